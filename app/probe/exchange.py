"""What went over the wire, and what was made of it."""

from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from app.errors import MalformedError
from app.sources.inflation import Inflation
from app.sources.seen import RowSeen

MAX_KEPT = 1_048_576
"""How many bytes of a body are kept, compressed or not."""


@dataclass(slots=True)
class Exchange:
    """A request to a service, and what came of it.

    Attributes:
        source: Whose service it went to.
        method: Its HTTP method.
        url: Its address.
        headers: Its headers.
        body: Its body.
        status: The status of the answer; ``None`` where there was none.
        answer_headers: The headers of the answer.
        raw: The body of the answer as it came, or its beginning.
        failure: Why there was no answer.
        seconds: How long it took, to the last byte.
        rows: What was made of the rows in it.
    """

    source: str
    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    status: int | None = None
    answer_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    raw: bytes = b""
    failure: str | None = None
    seconds: float = 0.0
    rows: list[RowSeen] = field(default_factory=list[RowSeen])

    @property
    def answer(self) -> bytes:
        """The body of the answer, decompressed, or its beginning."""
        encoding = self.answer_headers.get("content-encoding", "identity")
        if encoding == "identity":
            return self.raw.removeprefix(BOM_UTF8)
        inflation = Inflation(MAX_KEPT, may_be_raw=encoding == "deflate")
        with suppress(MalformedError):
            inflation.add(self.raw)
        return inflation.beginning.removeprefix(BOM_UTF8) or self.raw
