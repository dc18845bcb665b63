"""What a module declares and writes for a source of its own, and what it gets.

``OwnSource`` declares the source. ``RowSource`` is the protocol of the object that the module opens
for it, and ``ListSource`` the protocol of one that also has lists page by page.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, cast

from app.errors import Code, SourceFailure
from app.sources.base import PositionGone, Record, SourceSpec

MAX_DETAIL = 200
"""The most characters of a module's ``detail`` in the log."""


OPEN_EXPECTED = (
    "expected an async context manager, such as an async function with yield and"
    " @asynccontextmanager makes"
)
"""What is right for the ``open`` of a source."""


class FailureCode(StrEnum):
    """Why something could not be read. Each stands for one code that clients get."""

    TIMEOUT = "SOURCE_TIMEOUT"
    """It did not come in time. The call may be repeated."""
    UNAVAILABLE = "SOURCE_UNAVAILABLE"
    """It cannot be had now: no connection, or an error there. The call may be repeated."""
    OVERLOADED = "SOURCE_OVERLOADED"
    """There were too many calls. The call may be repeated later."""
    REJECTED = "SOURCE_REJECTED"
    """The call was refused, and would be again: credentials, or a key that is not allowed."""
    MALFORMED = "SOURCE_MALFORMED"
    """What was read is not what it should be."""


FAULTS = frozenset({FailureCode.TIMEOUT, FailureCode.UNAVAILABLE, FailureCode.OVERLOADED})
"""The failures that are due to the source's health, so that a retry may help."""


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """Says that reading has failed: for one key, for all keys of a call, or for a page.

    It is a value in the place of a row, of the rows, or of a page. It is never raised.

    Attributes:
        code: Why.
        detail: The exact cause, for the log only. It should have no personal data.
        retry_after: Seconds for which the source does not want to be called again; ``None`` if it
            does not say.
    """

    code: FailureCode
    detail: str = ""
    retry_after: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is not of the right type, at the place in the module where it is.

        Raises:
            TypeError: The code is none, the detail is no text, or the time is no number of seconds.
        """
        code, detail, wait = cast("tuple[object, object, object]", _parts_of(self))
        if not isinstance(code, FailureCode):
            raise TypeError(f"code of a ReadFailure is {code!r}: expected a FailureCode")
        if not isinstance(detail, str):
            raise TypeError(f"detail of a ReadFailure is {detail!r}: expected text")
        if wait is not None and not (
            isinstance(wait, int | float) and math.isfinite(wait) and wait >= 0
        ):
            raise TypeError(f"retry_after of a ReadFailure is {wait!r}: expected seconds")


def _parts_of(failure: ReadFailure) -> tuple[object, ...]:
    """Return the values of a failure, which a module may have made of anything."""
    return failure.code, failure.detail, failure.retry_after


def source_failure(source: str, failure: ReadFailure) -> SourceFailure:
    """Return the source failure that a module means.

    Args:
        source: Name of the source.
        failure: What the module said.

    Returns:
        The failure. It can be repeated if it is due to the source's health.
    """
    return SourceFailure(
        source,
        Code(failure.code.value),
        failure.detail[:MAX_DETAIL] or "the module says so",
        retryable=failure.code in FAULTS,
        retry_after=failure.retry_after,
    )


@dataclass(frozen=True, slots=True)
class SourceCall:
    """One call to a source of a module.

    Attributes:
        request_id: The id of the request, or of the batch that several requests share, for logs.
        traceparent: The trace, for services that take it (W3C Trace Context); ``None`` if the
            client sent none.
        seconds: How long the call may take. It is cancelled then.
        fields: The fields of the record that are needed, by their names in Python, without the key;
            ``None`` for all, and for each source without ``selects``. An empty set asks only
            whether the users exist.
    """

    request_id: str
    traceparent: str | None
    seconds: float
    fields: frozenset[str] | None = None

    def needs(self, field: str) -> bool:
        """Return whether a field of the record is needed.

        Args:
            field: Its name in Python.

        Returns:
            Whether it is, which is so for each field if the source is not told.
        """
        return self.fields is None or field in self.fields


Row: TypeAlias = Mapping[str, object]
"""The values of a record's fields, by their names in Python. What a row lacks is ``None``."""


class RowSource(Protocol):
    """Gives the rows of many users at once. A module writes it."""

    async def fetch(
        self, keys: Sequence[str], call: SourceCall
    ) -> Mapping[str, Row | ReadFailure] | ReadFailure:
        """Fetch rows.

        Async because it waits for what has the rows. It is cancelled at the end of its time, or if
        nobody waits for it any more.

        Args:
            keys: Keys of users, without duplicates, as many as ``max_keys`` allows.
            call: The call.

        Returns:
            For each user that is known, by key: the row, or a ``ReadFailure`` if it could not be
            read. A key that is missing here means that there is no such user. A ``ReadFailure`` in
            the place of it all stands for every key.

        Raises:
            TimeoutError: The rows did not come in time (``SOURCE_TIMEOUT``).
            Exception: The rows cannot be had (``SOURCE_UNAVAILABLE``).
        """
        ...


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A page that is wanted of one user's list.

    Attributes:
        name: The name of the field that shows the list.
        key: The key of the user.
        first: The most items that are wanted, 1 to 100.
        after: What ``ListPage.next`` of an earlier page was; ``None`` for the first page. It comes
            from the client, who may have made it up.
    """

    name: str
    key: str
    first: int
    after: str | None


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of one user's list.

    Attributes:
        items: The items in order, ``first`` of them at most: the values of each one's fields, by
            their names in Python.
        next: Where the next page begins, as the module likes, in 1 to 2,048 characters; ``None`` if
            no items follow. It has no default, so that no list ends by accident.
    """

    items: Sequence[Row]
    next: str | None


PageAnswer: TypeAlias = ListPage | ReadFailure | PositionGone | None
"""A page; a failure; ``PositionGone`` if ``after`` is no position of this list; or ``None`` if the
source does not know the user."""

FetchPage: TypeAlias = Callable[[ListQuery, SourceCall], Awaitable[PageAnswer]]
"""Fetches a page, as ``ListSource.fetch_page`` does."""


class ListSource(RowSource, Protocol):
    """Gives rows, and pages of lists. A module writes it."""

    async def fetch_page(self, query: ListQuery, call: SourceCall) -> PageAnswer:
        """Fetch a page of one user's list.

        Async because it waits for what has the items. It is cancelled at the end of its time.

        Args:
            query: The page.
            call: The call.

        Returns:
            The page; a ``ReadFailure`` if it cannot be read; ``PositionGone`` if ``after`` is no
            position of this list; or ``None`` if the source does not know the user.

        Raises:
            TimeoutError: The page did not come in time (``SOURCE_TIMEOUT``).
            Exception: The page cannot be had (``SOURCE_UNAVAILABLE``).
        """
        ...


@dataclass(frozen=True, slots=True)
class OwnList:
    """A list of a source that a module brings.

    Attributes:
        check: Returns an item. Raises ``ValueError`` if it does not fit the schema.
        fetch: The function that fetches its pages; ``None`` if the source does.
    """

    check: Callable[[object], object]
    fetch: FetchPage | None = None


@dataclass(frozen=True, slots=True)
class OwnSource:
    """A source that a module brings.

    Attributes:
        name: Its name, for settings, logs and clients: small letters, digits and ``_``.
        record: The type of its rows.
        key: The field of the record that has the user's key.
        open: Opens what the source needs when the gateway starts, and closes it at the end.
        selects: Whether ``SourceCall.fields`` says which fields of the record are needed, so that
            the source can leave out the others.
        module: The module; the gateway fills it in.
        lists: Its lists by the names of their fields; the gateway fills them in.
        checks: For each field of the record that the schema shows, what checks its values: each
            raises ``ValueError`` for one that the schema cannot show. The gateway fills them in.
    """

    name: str
    record: type[Record]
    key: str
    open: Callable[[], AbstractAsyncContextManager[RowSource]]
    selects: bool = False
    module: str = field(default="", compare=False)
    lists: Mapping[str, OwnList] = field(default_factory=dict[str, OwnList], compare=False)
    checks: Mapping[str, Sequence[Callable[[object], object]]] = field(
        default_factory=dict[str, Sequence[Callable[[object], object]]], compare=False
    )

    @property
    def spec(self) -> SourceSpec[Any]:
        """The source as the rest of the gateway knows it.

        Raises:
            TypeError: The record lacks the key, needs more than that, or cannot be read in part.
        """
        if self.key not in self.record.model_fields:
            raise TypeError(f"{self.record.__name__} has no field {self.key}")
        if self.selects and self.record.__pydantic_decorators__.model_validators:
            raise TypeError(
                f"{self.record.__name__} has a validator of the whole record, and selects asks for"
                " some fields: expected validators of fields alone"
            )
        return SourceSpec(self.name, self.record, path="", parameter="", key=self.key)
