"""The source behind a REST service: keys into calls, calls into one answer a key."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar
from urllib.parse import quote

from structlog.typing import FilteringBoundLogger

from app.errors import SourceError
from app.sources.base import Call, Record, SourceSpec, UserId
from app.sources.client import ServiceClient
from app.sources.rows import RowReader, Rows

R = TypeVar("R", bound=Record)


class RestSource(Generic[R]):
    """Answers for many users at once, as its ``SourceSpec`` says. A ``Source``."""

    def __init__(
        self, spec: SourceSpec[R], client: ServiceClient, log: FilteringBoundLogger
    ) -> None:
        self._spec = spec
        self._client = client
        self._reader = RowReader(spec)
        self._log = log

    @property
    def name(self) -> str:
        """What clients, settings and logs call the source."""
        return self._spec.name

    async def fetch_many(
        self, keys: Sequence[UserId], call: Call
    ) -> Sequence[R | SourceError | None]:
        """Fetch what the service has of each user; too many for one call are split.

        Args:
            keys: Users, each once.
            call: What of the incoming request goes on.

        Returns:
            One answer a key, in the order of the keys.
        """
        settings = self._client.settings
        room = settings.max_url_bytes - len(settings.base_url) - len(self._spec.path)
        batches = list(
            split(keys, self._spec.parameter, max_keys=settings.max_keys, max_bytes=room)
        )
        if len(batches) == 1:
            return await self._fetch(batches[0], call)
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(self._fetch(batch, call)) for batch in batches]
        return [answer for part in parts for answer in part.result()]

    async def _fetch(self, keys: Sequence[UserId], call: Call) -> Sequence[R | SourceError | None]:
        """Fetch one batch by one call; where one key may have spoilt it, by halves, once."""
        answers = await self._ask(keys, call)
        failure = answers[0]
        if not (
            isinstance(failure, SourceError)
            and failure.divisible
            and all(answer is failure for answer in answers)
            and len(keys) > 1
            and self._client.guard.take_repetition()
            and self._client.guard.take_repetition()
        ):
            return answers
        middle = len(keys) // 2
        async with asyncio.TaskGroup() as group:
            first = group.create_task(self._ask(keys[:middle], call))
            second = group.create_task(self._ask(keys[middle:], call))
        return [*first.result(), *second.result()]

    async def _ask(self, keys: Sequence[UserId], call: Call) -> Sequence[R | SourceError | None]:
        """Ask about some users by one call."""

        def read(body: bytes) -> Rows[R]:
            return self._reader.read(body, keys)

        query = "&".join(pair(self._spec.parameter, key) for key in keys)
        rows = await self._client.get(f"{self._spec.path}?{query}", call, read, keys=len(keys))
        if not isinstance(rows, Rows):
            return [rows] * len(keys)
        if rows.odd:
            self._log.warning(
                "source.odd_rows",
                source=self.name,
                malformed=len(rows.malformed),
                first_malformed=rows.malformed[0] if rows.malformed else None,
                duplicate=rows.duplicate,
                unasked=rows.unasked,
            )
        return rows.answers


def pair(parameter: str, value: str) -> str:
    """Write one query parameter; whatever is in the value stays in it.

    Args:
        parameter: Its name, which needs no escaping.
        value: Any text.

    Returns:
        The pair, percent-encoded (RFC 3986, section 2.1).
    """
    return f"{parameter}={quote(value, safe='')}"


def split(
    keys: Sequence[UserId], parameter: str, *, max_keys: int, max_bytes: int
) -> Iterator[Sequence[UserId]]:
    """Split keys into batches that fit into one call each.

    Args:
        keys: The keys.
        parameter: The query parameter that each key takes.
        max_keys: Most keys of a batch, at least 1.
        max_bytes: Most bytes of a batch's query, its ``?`` included. A key that does not fit
            even alone gets a batch of its own: whether it is too long is for the service to say.

    Yields:
        The batches; together they are the keys, in their order.
    """
    start = used = 0
    for index, key in enumerate(keys):
        size = len(pair(parameter, key)) + 1
        if index > start and (index - start == max_keys or used + size > max_bytes):
            yield keys[start:index]
            start, used = index, 0
        used += size
    if keys:
        yield keys[start:]
