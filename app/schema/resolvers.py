"""The resolvers of the fields of ``User`` with arguments. ``fields.py`` has those of all others."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Annotated, Any, Protocol, TypeVar

import strawberry

from app.errors import BadUserInputError, SourceError, SourceFailure
from app.schema.connection import InvoiceConnection, page_request
from app.schema.values import Event
from app.sources.base import Page, PageRequest, PageSpec, PositionGone, Record, UserId
from app.sources.records import ACTIVITY, BILLING, INVOICES, ActivityRecord, EventRecord
from app.sources.results import SourceResults

R = TypeVar("R", bound=Record)

DEFAULT_FIRST = 20
"""The number of invoices of a page if the client does not give ``first``."""


class PageLoader(Protocol):
    """Loads pages of lists, for one request."""

    async def load_page(
        self, spec: PageSpec[R], request: PageRequest
    ) -> Page[R] | SourceFailure | PositionGone | None:
        """Ask for one page of one user's list.

        Args:
            spec: The list.
            request: The page, by the user's id.

        Returns:
            What the source answered.
        """
        ...


class LoadsPages(Protocol):
    """What a resolver of a field needs of the request."""

    @property
    def loaders(self) -> PageLoader:
        """Ask the sources."""
        ...


ResolverInfo = strawberry.Info[LoadsPages, None]
"""The info that Strawberry passes to a resolver, with the context that it needs."""


class UserResults(Protocol):
    """The part of ``User`` that a resolver reads."""

    id: strawberry.ID
    results: SourceResults


async def user_invoices(
    root: strawberry.Parent[UserResults],
    info: ResolverInfo,
    first: Annotated[
        int | None, strawberry.argument(description="How many invoices, 1 to 100.")
    ] = DEFAULT_FIRST,
    after: Annotated[
        str | None,
        strawberry.argument(description="Cursor to start behind; the newest when absent."),
    ] = strawberry.UNSET,
) -> InvoiceConnection | None:
    """Resolve ``User.invoices``. Makes no call for users that billing does not know.

    Args:
        root: The user.
        info: Strawberry's info, with the request's context.
        first: The number of invoices, 1 to 100.
        after: The cursor of the last invoice before the page.

    Returns:
        The page; ``None`` if billing does not know the user.

    Raises:
        BadUserInputError: An argument is not valid, or its invoice no longer exists.
        SourceError: Billing has failed.
    """
    size = DEFAULT_FIRST if first is None else first
    cursor = None if after is strawberry.UNSET else after
    request = page_request(UserId(root.id), size, cursor)
    if root.results.read(BILLING, ()) is None:
        return None
    page = await info.context.loaders.load_page(INVOICES, request)
    match page:
        case SourceFailure():
            raise SourceError(page)
        case PositionGone():
            raise BadUserInputError(
                "after is the cursor of an invoice that is gone: start again without it"
            )
        case None:
            return None
        case _:
            return InvoiceConnection.of(request, page)


def user_events(
    root: strawberry.Parent[UserResults],
    first: Annotated[
        int | None, strawberry.argument(description="How many at most; all when absent.")
    ] = strawberry.UNSET,
) -> list[Event] | None:
    """Resolve ``User.events``.

    Args:
        root: The user.
        first: The most events; all if absent.

    Returns:
        The latest events, newest first; ``None`` if activity does not know the user or its events.

    Raises:
        BadUserInputError: ``first`` is negative.
        SourceError: Activity has failed.
    """
    read = latest_events({} if first is strawberry.UNSET else {"first": first})
    activity = root.results.read(ACTIVITY, ("events",))
    events = None if activity is None else read(activity)
    return None if events is None else [Event.of(event) for event in events]


def latest_events(
    arguments: Mapping[str, Any],
) -> Callable[[ActivityRecord], Sequence[EventRecord] | None]:
    """Make the function that reads the latest events from a record. A ``Bind``.

    Args:
        arguments: The field's arguments: ``first``, if the client gives it.

    Returns:
        A function from activity's record to the events.

    Raises:
        BadUserInputError: ``first`` is negative.
    """
    first: int | None = arguments.get("first")
    if first is not None and first < 0:
        raise BadUserInputError(f"first takes 0 or more, got {first}")
    if first is None:
        return attrgetter("events")
    return lambda activity: None if activity.events is None else activity.events[:first]
