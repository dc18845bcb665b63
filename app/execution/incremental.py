"""Answers that come in several payloads, by ``@defer`` and ``@stream``.

The payloads are those of the draft of the GraphQL specification ("Incremental Stream"): the first
one lists what is pending, and each later one has data for what is pending, by its id, and says what
is completed. How they are written for a client is the server's business.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, TypeAlias

from graphql import GraphQLFormattedError
from msgspec import Struct

ResponsePath: TypeAlias = Sequence[str | int]
"""The position of a value in the answer."""


class Pending(Struct, frozen=True):
    """A deferred fragment at an object, or a streamed list, whose data will come.

    Attributes:
        id: Names it in later payloads.
        path: The position of the object or list.
        label: The label of the directive, if it has one.
    """

    id: str
    path: ResponsePath
    label: str | None = None


class DeferredData(Struct, frozen=True):
    """Fields of an object that were deferred.

    Attributes:
        id: The pending fragment.
        sub_path: The position of the object, below the path of the fragment.
        data: The fields that no payload before it had.
        errors: The errors of these fields.
    """

    id: str
    sub_path: ResponsePath
    data: dict[str, Any]
    errors: Sequence[GraphQLFormattedError] = ()


class StreamedItems(Struct, frozen=True):
    """The next items of a list.

    Attributes:
        id: The pending list.
        items: The items, in the order of the list.
        errors: The errors of these items.
    """

    id: str
    items: Sequence[object]
    errors: Sequence[GraphQLFormattedError] = ()


class Completed(Struct, frozen=True):
    """A fragment or a list of which nothing more comes.

    Attributes:
        id: Its id.
        errors: Why it failed: then it has no data, or the list has no more items.
    """

    id: str
    errors: Sequence[GraphQLFormattedError] = ()


class Payload(Struct):
    """A payload after the first.

    Attributes:
        pending: What is pending from now on.
        incremental: The data, in the order in which it is to be applied.
        completed: What is completed by this payload.
        has_next: Whether another payload follows.
        extensions: ``extensions`` of the payload; ``None`` for none.
    """

    pending: Sequence[Pending] = ()
    incremental: Sequence[DeferredData | StreamedItems] = ()
    completed: Sequence[Completed] = ()
    has_next: bool = False
    extensions: Mapping[str, object] | None = None

    @property
    def errors(self) -> Sequence[GraphQLFormattedError]:
        """All errors of the payload."""
        return [error for one in (*self.incremental, *self.completed) for error in one.errors]


class LaterPayloads(Struct):
    """What comes after the first payload.

    Attributes:
        pending: What is pending in the first payload.
        payloads: The later payloads, as they come. At least one; the last one says so.
    """

    pending: Sequence[Pending]
    payloads: AsyncGenerator[Payload]
