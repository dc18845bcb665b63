"""How keys become the requests for them. Pure.

A form is what stands before, between and after keys, and a way to write a key that cannot leave
its place there (``escapes.py``). Where the request is escaped as a whole, as a URL is, all of these
are: the escaping of a text is that of its parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from string import ascii_letters, digits

from app.readonly import readonly
from app.shapes.request import BodyRequest, RequestSettings
from app.sources.ask import Ask
from app.sources.base import UserId
from app.sources.escapes import Write

UNRESERVED = (ascii_letters + digits + "-._~").encode()
"""The characters that are never escaped (RFC 3986, section 2.3)."""


@readonly(frozen=True, slots=True)
class Asks:
    """The requests for some keys.

    Attributes:
        sent: The requests; together their keys are those that can be written, in their order.
        refused: The keys that cannot be written in the form.
    """

    sent: Sequence[Ask]
    refused: Sequence[UserId]


@dataclass(frozen=True, slots=True)
class Form:
    """How keys are written into requests to one source.

    Attributes:
        request: The settings that it is of.
        before: What stands before the first key.
        between: What stands between two keys.
        after: What stands behind the last key.
        write: Writes a key.
        everyday: Whether keys of unreserved characters are all written as they are.
        target: Path and query where the keys are in the body; otherwise they are in these.
        headers: What is sent with each request.
        max_keys: Most keys of a request.
        max_bytes: Most bytes of all keys of a request, and what stands between them.
        at_a_time: Most requests for one batch of keys at the same time.
        absent: Statuses that say "no such user".
    """

    request: RequestSettings
    before: str
    between: str
    after: str
    write: Write
    everyday: bool
    target: str | None
    headers: tuple[tuple[str, str], ...]
    max_keys: int
    max_bytes: int
    at_a_time: int
    absent: frozenset[int] = frozenset()

    @property
    def method(self) -> str:
        """The HTTP method of the requests."""
        return "GET" if self.target is None else "POST"

    @property
    def parameter(self) -> str | None:
        """The query parameter for keys; ``None`` where they are elsewhere."""
        return None if isinstance(self.request, BodyRequest) else self.request.parameter

    @property
    def max_body_bytes(self) -> int | None:
        """The longest body of a request; ``None`` where it has none."""
        request = self.request
        return request.max_body_bytes if isinstance(request, BodyRequest) else None

    def asks(self, keys: Sequence[UserId]) -> Asks:
        """Write the requests for some keys.

        Args:
            keys: The keys, each once.

        Returns:
            As few requests as the limits allow. A key that does not fit even alone gets one of its
            own: whether it is too long is for the service to say.
        """
        kept, written, refused = self._written(keys)
        sent: list[Ask] = []
        start = 0
        while start < len(kept):
            some = written[start : start + self.max_keys]
            text = self.between.join(some)
            if len(text) > self.max_bytes:
                some = some[: self._fitting(some)]
                text = self.between.join(some)
            sent.append(self._ask(kept[start : start + len(some)], text))
            start += len(some)
        return Asks(sent, refused)

    def _written(
        self, keys: Sequence[UserId]
    ) -> tuple[Sequence[UserId], Sequence[str], Sequence[UserId]]:
        """Write keys: those that can be, how, and those that cannot."""
        if self.everyday and not "".join(keys).encode("utf-8", "replace").translate(
            None, UNRESERVED
        ):
            return keys, keys, ()
        kept: list[UserId] = []
        written: list[str] = []
        refused: list[UserId] = []
        for key in keys:
            text = self._one(key)
            if text is None:
                refused.append(key)
            else:
                kept.append(key)
                written.append(text)
        return kept, written, refused

    def _one(self, key: UserId) -> str | None:
        """Write a key; ``None`` where it cannot be."""
        try:
            key.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which no service could read
            return None
        return self.write(key)

    def _fitting(self, written: Sequence[str]) -> int:
        """Count the keys that fit into one request, at least one."""
        sizes = accumulate(len(self.between) + len(one) for one in written)
        room = self.max_bytes + len(self.between)  # one less stands between them
        return max(1, sum(1 for _ in takewhile(lambda size: size <= room, sizes)))

    def _ask(self, keys: Sequence[UserId], text: str) -> Ask:
        """Write the request for keys that are written."""
        whole = f"{self.before}{text}{self.after}"
        if self.target is None:
            return Ask(keys, self.request.path, whole, headers=self.headers)
        return Ask(
            keys, self.request.path, self.target, "POST", self.headers, whole.encode("ascii")
        )
