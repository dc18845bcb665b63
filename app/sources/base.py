"""The contract types of sources, for the rest of the gateway.

A ``Source`` fetches many users at once. A ``PagedSource`` lists something of one user page by page.
A ``SourceSpec`` or a ``PageSpec`` describes a particular service as data (``records.py``);
``rest.py`` and ``pages.py`` serve all of them. What a fetch did at the source is returned with its
results (``FetchResult``).
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from random import getrandbits
from typing import Any, Generic, NewType, Protocol, TypeAlias, TypeVar

from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from app.errors import SourceFailure
from app.observability.trace_context import TraceContext
from app.resilience.clock import Deadline
from app.sources.cache.lifetime import ArrivalTime
from app.sources.mapping.strict import without_made_up_values
from app.sources.trace import SourceTrace

FieldSet: TypeAlias = frozenset[str]
"""A set of fields of a record, by their Python names."""

UserId = NewType("UserId", str)
"""The key of a user: opaque, checked against the pattern of the settings when a request arrives.

A source that knows users by its own keys (``sources/mapping/row_mapper.py``) gets those instead.
They are opaque, too, and are not checked.
"""

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Headers, each with one value. Headers with the same name keep their order."""

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader reads exactly (RFC 8259, section 6)."""

MAX_INT = 2**31 - 1
"""The largest ``Int`` of GraphQL (GraphQL specification, section 3.5.1)."""


class Record(BaseModel):
    """Base of the private contracts: a record is the typed row of one source.

    It is parsed directly from the bytes of a response. Parsing is strict: a number in quotes is not
    a number, a number is not a time, and no number is infinite. Additional fields are ignored. A
    change at a source changes its record, never the schema.

    Every field of a row but the key has the default ``None``: a value that is missing costs no
    other value. Records inside a field may require their own fields.
    """

    model_config = ConfigDict(
        defer_build=True,  # fast paths make their own of it
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
        source: Any,  # noqa: ANN401 # the type for which pydantic creates a schema
        handler: GetCoreSchemaHandler,
        /,
    ) -> CoreSchema:
        """Create the schema, stricter than pydantic's strict mode where that converts values."""
        return without_made_up_values(handler(source), handler)


R = TypeVar("R", bound=Record)
R_co = TypeVar("R_co", bound=Record, covariant=True)


class RecordSpec(Protocol[R_co]):
    """The part of a spec that says what is made of a row."""

    @property
    def name(self) -> str:
        """Name for messages and logs."""
        ...

    @property
    def record(self) -> type[R_co]:
        """The type of one row."""
        ...

    @property
    def key(self) -> str:
        """The field of ``record`` that identifies a row, by its Python name."""
        ...


class SourceSpec(Struct, Generic[R], frozen=True):
    """A source that returns many users in one call, as data.

    Attributes:
        name: Its name for clients, settings and logs. A dot separates the service from one of its
            endpoints (``billing.balance``). Endpoints share everything except request and answer.
        record: The type of one row.
        path: Path of the request, below the base URL.
        parameter: The query parameter that is repeated for each key.
        key: The field of ``record`` with the key, by its Python name.
        unique: Whether several different rows of a key are a failure. Otherwise the first counts.
    """

    name: str
    record: type[R]
    path: str
    parameter: str
    key: str
    unique: bool = False

    def __post_init__(self) -> None:
        """Refuse a record that needs more than its key.

        Raises:
            TypeError: A field other than the key has no default, or another than ``None``.
        """
        for name, info in self.record.model_fields.items():
            if name != self.key and (info.is_required() or info.get_default() is not None):
                raise TypeError(
                    f"{self.record.__name__}.{name} needs the default None, because a service may"
                    f" leave it out: declare it as {name}: … | None = None"
                )

    @property
    def service(self) -> str:
        """The name of the service, under which its settings are found."""
        return self.name.partition(".")[0]


class PageSpec(Struct, Generic[R], frozen=True):
    """A list of one user that is read page by page, as data.

    Attributes:
        name: The source to which it belongs, and whose base URL, connections and limits it shares.
        list: Its name, under which its settings are found: ``sources.<name>.lists.<list>``.
        record: The type of one item.
        path: Path of the request by the default contract, below the base URL.
        parameter: The query parameter for the user's key, by the default contract.
        key: The field of ``record`` that identifies an item, by its Python name.
        numbers: Whether the key may be an integer in an item.
    """

    name: str
    list: str
    record: type[R]
    path: str
    parameter: str
    key: str
    numbers: bool = False


class RequestContext(Struct, frozen=True):
    """The parts of an incoming request, or of a batch, that calls to sources need.

    Attributes:
        request_id: Sent as ``X-Request-ID``.
        trace: The span of the request; ``None`` if it belongs to no trace. Each exchange with a
            source sends a child of it.
        baggage: The header ``baggage``, which each exchange sends on (W3C Baggage).
        identity: The identity of the caller for one source, by ``credentials.identity_of``. Nothing
            is shared between two identities. Empty if the source is sent nothing of the caller.
        deadline: When the request must be answered; ``None`` if there is no limit.
        requests: Ids of the requests of a shared batch, which has its own ``request_id``; empty for
            a single request.
        sharers: Returns the ids of the requests that share the batch now; ``None`` if none can.
        forwarded: The caller's headers that may be sent to a source. They may be secret.
        fields: The wanted fields of the record, for a source that can return only some; ``None``
            for all.
        isolated: Whether the call is for one key that is known to be slow or to fail, while others
            succeed.
        divisible: Whether the batch is divided if it fails, because some of its requests want only
            some of its keys.
    """

    request_id: str
    trace: TraceContext | None = None
    identity: str = ""
    deadline: Deadline | None = None
    requests: tuple[str, ...] = ()
    forwarded: Headers = ()
    fields: FieldSet | None = None
    isolated: bool = False
    divisible: bool = False
    sharers: Callable[[], Sequence[str]] | None = None
    baggage: str | None = None

    def __repr__(self) -> str:
        return f"RequestContext({self.request_id!r})"  # the rest may be secret


def new_request_id() -> str:
    """Create a request id: 128 random bits, in hex.

    Ids are not secret, so a pseudo-random generator is enough, and faster than the system's.

    Returns:
        The id, 32 characters.
    """
    return f"{getrandbits(128):032x}"


class DamagedRecord(Struct, Generic[R_co], frozen=True):
    """The record of a row in which some values do not fit. Each field stands for itself.

    Attributes:
        record: The record. The fields that do not fit are ``None`` in it.
        failures: Why such a field has no value, by its Python name.
    """

    record: R_co
    failures: Mapping[str, SourceFailure]


SourceResult: TypeAlias = R_co | DamagedRecord[R_co] | SourceFailure | None
"""The result for one key: a record, possibly with damaged fields, a failure, or ``None`` if the
source does not know the key."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class FetchResult(Struct, Generic[T_co], frozen=True):
    """The results of a fetch, and what it did at the source.

    Attributes:
        results: One result for each key or page, in the order of the request.
        trace: What the fetch did at the source.
        arrivals: When the responses for some keys arrived, and how long they may be kept. A
            response for any other key has no bounds, and arrived just now.
    """

    results: Sequence[T_co]
    trace: SourceTrace = field(default_factory=SourceTrace)
    arrivals: Mapping[UserId, ArrivalTime] = {}


def joined_fetches(
    parts: Sequence[FetchResult[T]], *, before: SourceTrace | None = None
) -> FetchResult[T]:
    """Join the results of several fetches.

    Args:
        parts: The fetches, in the order of their results.
        before: What was done before them; ``None`` for nothing.

    Returns:
        All results, with the sum of the traces.
    """
    trace = SourceTrace()
    arrivals: dict[UserId, ArrivalTime] = {}
    if before is not None:
        trace.add(before)
    for part in parts:
        trace.add(part.trace)
        arrivals.update(part.arrivals)
    return FetchResult([result for part in parts for result in part.results], trace, arrivals)


class Source(Protocol[R_co]):
    """Fetches many users at once."""

    @property
    def name(self) -> str:
        """Name of the source for clients, settings and logs."""
        ...

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[SourceResult[R_co]]:
        """Fetch the records of users.

        Args:
            keys: Keys of users, without duplicates.
            context: The context of the call.

        Returns:
            One source result per key, in the order of ``keys``. An upstream failure is never
            raised.
        """
        ...


class PageRequest(Struct, frozen=True):
    """One page of one user's list.

    Attributes:
        user: The key of the user.
        first: Number of items, at least 1.
        after: The position after which the page starts; ``None`` for the start of the list.
    """

    user: UserId
    first: int
    after: "Position | None" = None


class PageTrail(Struct, frozen=True):
    """What is needed of the pages before an upstream page to detect a cycle of pages.

    This is Brent's algorithm: the mark moves to the latest page after 1, 2, 4, 8… pages. A cycle
    returns to the mark before the mark has moved twice.

    R. P. Brent, "An improved Monte Carlo factorization algorithm", BIT 20, 1980.

    Attributes:
        pages: Number of pages before it.
        mark: A digest of the cursor of one of them; empty if there is none yet.
    """

    pages: int = 0
    mark: str = ""

    def to(self, cursor: str) -> "PageTrail | None":
        """Return the trail to the next page.

        Args:
            cursor: The cursor of the next page.

        Returns:
            The trail; ``None`` if the next page is the marked one, which was read before.
        """
        digest = blake2b(cursor.encode(), digest_size=8).hexdigest()
        if digest == self.mark:
            return None
        pages = self.pages + 1
        return PageTrail(pages, digest if pages.bit_count() == 1 else self.mark)


class Position(Struct, frozen=True):
    """A position in a list of a source: after an item, or at the start of an upstream page.

    Attributes:
        cursor: The source's cursor of the upstream page; ``None`` for the first page.
        item: Key of the item on that page after which the position is; ``None`` for the start of
            the page.
        trail: The trail to that page.
    """

    cursor: str | None
    item: str | None
    trail: PageTrail = PageTrail()


class PageItem(Struct, Generic[R], frozen=True):
    """An item and the position directly after it."""

    item: R
    position: Position


class Page(Struct, Generic[R], frozen=True):
    """Some items of a list in the source's order, and whether more follow."""

    items: tuple[PageItem[R], ...]
    has_next: bool


class PositionGone(Struct, frozen=True):
    """The list no longer has the item of a position."""


PageResult: TypeAlias = Page[R] | SourceFailure | PositionGone | None
"""A page; a failure; ``PositionGone``; or ``None`` if the source does not know the user."""


class PagedSource(Protocol[R]):
    """Lists something of one user, page by page."""

    @property
    def name(self) -> str:
        """Name of the source to which the list belongs."""
        ...

    async def fetch_pages(
        self, requests: Sequence[PageRequest], context: RequestContext
    ) -> FetchResult[PageResult[R]]:
        """Fetch pages, at most ``max_concurrent_pages`` at once.

        Args:
            requests: Pages, without duplicates.
            context: The context of the call.

        Returns:
            One result per request, in their order: a page, ``None`` if the source does not know
            the user, ``PositionGone`` if the page cannot start at its position, or a
            ``SourceFailure``.
        """
        ...
