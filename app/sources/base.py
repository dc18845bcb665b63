"""What a source is: the contract types that the rest of the gateway knows sources by.

A source answers for users in many at once (``Source``) or lists something of one user page by page
(``PagedSource``). What a particular service looks like is said as data, in a ``SourceSpec`` or a
``PageSpec`` (``records.py``, ``records.py``, ``records.py``); ``rest.py`` serves all of them.

What became of one request at each source, for those who want to see it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from random import getrandbits
from typing import Any, Generic, NewType, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from app.errors import Code, SourceFailure
from app.readonly import readonly
from app.resilience.clock import Deadline
from app.sources.cache.lifetime import ArrivalTimes
from app.sources.mapping.strict import without_made_up_values


@dataclass(slots=True)
class SourceTrace:
    """What one request had of one source.

    Attributes:
        calls: Calls that were wanted: one for each batch and page.
        attempts: Calls that were made for them, repetitions included.
        keys: Users that were asked for.
        started: When the first began, by the clock's ``monotonic``.
        ended: When the last ended.
        code: The last failure, if there was one.
        circuit: State of the circuit breaker after the last call.
        pace: How fast the source was asked after it, by the source's own word.
        stale: Age in seconds of the oldest answer that was used past its time, if one was.
    """

    calls: int = 0
    attempts: int = 0
    keys: int = 0
    started: float | None = None
    ended: float = 0.0
    code: Code | None = None
    circuit: str | None = None
    pace: str | None = None
    stale: float | None = None

    @property
    def seconds(self) -> float:
        """How long the request had to do with the source."""
        return 0.0 if self.started is None else self.ended - self.started

    @property
    def status(self) -> str:
        """In a word, what the request got: ``stale``, ``failed`` or ``ok``."""
        if self.stale is not None:
            return "stale"
        return "failed" if self.code is not None else "ok"


@dataclass(slots=True)
class Trace:
    """What became of one request at each source. Filled while the request runs.

    Attributes:
        sources: By name of the source, in the order in which they were first asked.
    """

    sources: dict[str, SourceTrace] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with none."""
        self.sources = {}

    def for_source(self, name: str) -> SourceTrace:
        """Find or begin what is known of a source."""
        known = self.sources.get(name)
        if known is None:
            known = self.sources[name] = SourceTrace()
        return known


FieldSet: TypeAlias = frozenset[str]
"""Some of a record's fields, by their Python names."""

UserId = NewType("UserId", str)
"""The key of a user: opaque, checked against the pattern of the settings at the edge.

Where a source knows users by keys of its own (``sources/mapping/row_mapper.py``), it is asked by
those instead: opaque too, and checked by nobody.
"""

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Headers, each with one value; several of a name are in their order."""

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 8259, section 6)."""

MAX_INT = 2**31 - 1
"""The largest ``Int`` of GraphQL (GraphQL specification, section 3.5.1)."""


class Record(BaseModel):
    """Base of the private contracts: how one source writes one row.

    Parsed straight from the bytes of an answer. Strict: a number in quotes is not a number, a
    number is not a time, and no number is infinite. Fields that a source adds are ignored. A change
    at a source changes its record, never the schema.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=False,
        allow_inf_nan=False,
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls,
        source: Any,  # noqa: ANN401 # the type that pydantic makes a schema of
        handler: GetCoreSchemaHandler,
        /,
    ) -> CoreSchema:
        """Make the schema, stricter than pydantic's strict mode where that makes values up."""
        return without_made_up_values(handler(source), handler)


R = TypeVar("R", bound=Record)
R_co = TypeVar("R_co", bound=Record, covariant=True)


@dataclass(frozen=True, slots=True)
class SourceSpec(Generic[R]):
    """One source that knows many users at once, as data.

    Attributes:
        name: What clients, settings and logs call it. A dot in it divides the service from one of
            its endpoints (``billing.balance``): these share all but what they are asked.
        record: How it writes one row.
        path: Where it is asked, below its base URL.
        parameter: The query parameter that is repeated for each key.
        key: The field of ``record`` that holds the key, by its Python name.
    """

    name: str
    record: type[R]
    path: str
    parameter: str
    key: str

    @property
    def service(self) -> str:
        """The service that is asked, by whose name its settings are found."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class PageSpec(Generic[R]):
    """One list of a user that is read page by page, as data.

    Attributes:
        name: The source that it belongs to; it shares that one's base URL, connections and limits.
        item: How it writes one item.
        path: Where it is asked, below the base URL.
        parameter: The query parameter for the user's key.
        key: The field of ``item`` that tells items apart, by its Python name.
    """

    name: str
    item: type[R]
    path: str
    parameter: str
    key: str


@readonly(frozen=True, slots=True)
class RequestContext:
    """What of the incoming request matters to the calls that are made for it.

    Attributes:
        request_id: Sent as ``X-Request-ID``.
        traceparent: The trace that it belongs to, when that was valid (W3C Trace Context). Each
            exchange with a source sends it with a parent id of its own (``child_of``).
        identity: Tells callers apart for whom a source may answer differently: answers are never
            shared between two identities. All callers are one while nothing of theirs is sent. It
            is a source's own: ``credentials.py`` finds it where a call comes to one.
        deadline: When the request has to be answered; ``None`` for never.
        trace: Takes note of what becomes of the request at each source.
        requests: Ids of the requests that it is made for, where several share it; ``request_id``
            is one of its own then.
        sharers: Tells the ids of the requests that share it at the moment; ``None`` where none can.
        forwarded: The caller's headers that one source or another may be sent. They may be secret.
        arrivals: Takes note of how long the answers may be kept; ``None`` where none is.
        fields: The fields of the record that are wanted, of a source that can be asked for some
            alone; ``None`` for all.
        isolated: Whether the one key that it is about is known to be slow or to fail, while others
            are answered.
    """

    request_id: str
    traceparent: str | None = None
    identity: str = ""
    deadline: Deadline | None = None
    trace: Trace = field(default_factory=Trace)
    requests: tuple[str, ...] = ()
    forwarded: Headers = field(default=(), repr=False)
    arrivals: ArrivalTimes | None = None
    fields: FieldSet | None = None
    isolated: bool = False
    sharers: Callable[[], Sequence[str]] | None = field(default=None, compare=False, repr=False)


def new_request_id() -> str:
    """Make an id for a request that has none: 128 random bits, in hex.

    Ids tell requests apart and are no secrets, so the system is not asked for each.
    """
    return f"{getrandbits(128):032x}"


def child_of(traceparent: str) -> str:
    """Continue a trace: the same trace, version and flags, with a new parent id.

    Each exchange with a source is a span of its own, so that what the source does for two of them
    is not taken for the same (W3C Trace Context, section 3.2.2.4).

    Args:
        traceparent: A valid ``traceparent``.

    Returns:
        The ``traceparent`` to send. Its parent id is random, and never the invalid one of zeros.
    """
    return f"{traceparent[:36]}{getrandbits(64) or 1:016x}{traceparent[52:]}"


class Source(Protocol[R_co]):
    """Answers for many users at once."""

    @property
    def name(self) -> str:
        """What clients, settings and logs call the source."""
        ...

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> Sequence[R_co | SourceFailure | None]:
        """Fetch what the source has of each user.

        Args:
            keys: Users, each once.
            context: What of the incoming request goes on to the source.

        Returns:
            One answer a key, in the order of the keys: a record; ``None`` when the source does
            not know the user; a ``SourceFailure`` when it could not say. Nothing that an upstream
            does is raised.
        """
        ...


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page of one user's list.

    Attributes:
        user: Whose list.
        first: How many items, at least 1.
        after: The position after which the page starts; the start of the list when ``None``.
    """

    user: UserId
    first: int
    after: "Position | None" = None


@dataclass(frozen=True, slots=True)
class PageTrail:
    """The way to an upstream page, as far as it takes to notice that the pages go in a circle.

    This is Brent's algorithm: the mark moves to the latest page after 1, 2, 4, 8… pages. A circle
    comes back to its mark before the mark has moved twice.

    R. P. Brent, "An improved Monte Carlo factorization algorithm", BIT 20, 1980.

    Attributes:
        pages: How many pages come before it.
        mark: A digest of the cursor of one of them; empty where there is none yet.
    """

    pages: int = 0
    mark: str = ""

    def to(self, cursor: str) -> "PageTrail | None":
        """Go on to the next page.

        Args:
            cursor: Its cursor.

        Returns:
            The way to that page; ``None`` where it is the marked one, which was read before.
        """
        digest = blake2b(cursor.encode(), digest_size=8).hexdigest()
        if digest == self.mark:
            return None
        pages = self.pages + 1
        return PageTrail(pages, digest if pages.bit_count() == 1 else self.mark)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an upstream's list: behind an item, or where an upstream page begins.

    Attributes:
        cursor: The upstream's own cursor of the page; ``None`` for its first page.
        item: Key of the item on that page behind which the position lies; ``None`` when it lies at
            the beginning of the page.
        trail: The way to that page.
    """

    cursor: str | None
    item: str | None
    trail: PageTrail = PageTrail()


@dataclass(frozen=True, slots=True)
class PageItem(Generic[R]):
    """An item and the position right behind it."""

    item: R
    position: Position


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some items of a list in the source's order, and whether more follow."""

    items: tuple[PageItem[R], ...]
    has_next: bool


@dataclass(frozen=True, slots=True)
class PositionGone:
    """The list no longer has the item that a position was behind."""


class PagedSource(Protocol[R]):
    """Lists something of one user, page by page."""

    @property
    def name(self) -> str:
        """The source that it belongs to."""
        ...

    async def fetch_pages(
        self, requests: Sequence[PageRequest], context: RequestContext
    ) -> Sequence[Page[R] | SourceFailure | PositionGone | None]:
        """Fetch pages, several at once up to the bound of the settings.

        Args:
            requests: Pages, each once.
            context: What of the incoming request goes on to the source.

        Returns:
            One answer a request, in their order: a page; ``None`` when the source does not know
            the user; ``PositionGone`` when the page cannot start where it should; a
            ``SourceFailure`` when the source could not say.
        """
        ...
