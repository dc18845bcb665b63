"""The source behind a REST service: keys into calls, calls into one answer a key."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import accumulate
from string import ascii_letters, digits
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from structlog.typing import FilteringBoundLogger

from app.errors import SourceError
from app.settings import SourceSettings
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
        batches = batches_of(keys, self._spec, self._client.settings)
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

        query = query_of(self._spec.parameter, keys)
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


def query_of(parameter: str, keys: Sequence[UserId]) -> str:
    """Write one parameter as often as there are keys.

    Args:
        parameter: Its name, which needs no escaping.
        keys: Its values.

    Returns:
        The query, percent-encoded, without a question mark.
    """
    if not "".join(keys).encode("utf-8", "replace").translate(None, UNRESERVED):
        return f"{parameter}=" + f"&{parameter}=".join(keys)  # everyday ids: nothing is escaped
    return "&".join(pair(parameter, key) for key in keys)


UNRESERVED = (ascii_letters + digits + "-._~").encode()
"""The characters that are never escaped (RFC 3986, section 2.3)."""


def batches_of(
    keys: Sequence[UserId], spec: SourceSpec[Any], settings: SourceSettings
) -> Sequence[Sequence[UserId]]:
    """Split keys into the calls that a source takes for them.

    Args:
        keys: The keys, each once.
        spec: The source.
        settings: How it is reached.

    Returns:
        The keys of each call; together they are the keys, in their order.
    """
    room = settings.max_url_bytes - len(settings.base_url) - len(spec.path)
    return list(split(keys, spec.parameter, max_keys=settings.max_keys, max_bytes=room))


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
    start = 0
    while start < len(keys):
        batch = keys[start : start + max_keys]
        if len(query_of(parameter, batch)) + 1 > max_bytes:
            sizes = accumulate(len(pair(parameter, key)) + 1 for key in batch)
            fitting = sum(size <= max_bytes for size in sizes)
            batch = batch[: max(1, fitting)]
        yield batch
        start += len(batch)
