"""What the compiler makes of a selection, and the rendering of a response uses.

Part of ``compiled.py``, which says what it replaces.
"""

from collections.abc import Callable, Sequence
from typing import Any

from graphql.language.location import FormattedSourceLocation
from msgspec import Struct

from app.errors import GatewayError, SourceFailure
from app.fastpath.lists import CompiledList
from app.sources.base import FieldSet

UserData = dict[str, Any]
"""A user in the response."""


class FieldFailure(Struct, frozen=True):
    """The errors that one field of the users of a selection can have.

    Attributes:
        key: The response key.
        sources: The sources that the field reads.
        reads: The record fields that it reads.
        wrong: The error that the field always has, if any: the caller may not see it, or an
            argument is not valid.
        missing: The failure if there is no value; ``None`` if the field may be ``null``.
        nullable: Whether the field may be ``null`` by the schema.
        locations: The locations of the field in the document.
    """

    key: str
    sources: tuple[str, ...]
    reads: FieldSet
    wrong: GatewayError | None
    missing: SourceFailure | None
    nullable: bool
    locations: Sequence[FormattedSourceLocation]


class UserWriter(Struct, frozen=True):
    """Makes the users of one selection in the response.

    Attributes:
        fields: The selected fields.
        write_user: Makes a user from its id and the record of each needed source. Returns ``None``
            if no source knows the user.
        write_known: Like ``write_user``, for a user that exists although all records may be
            ``None``, because a source has failed. Its first argument has the response keys of the
            fields that have failed.
        always_wrong: Whether a field always has an error.
        never_null: The response keys of the fields that need a value.
        lists: The lists that are read page by page. The functions get their pages after the
            records.
        computed: Whether functions of operators make some of the values.
        number: The number by which the JSON of its users is kept; ``None`` if it is not kept.
    """

    fields: Sequence[FieldFailure]
    write_user: Callable[..., UserData | None]
    write_known: Callable[..., UserData]
    always_wrong: bool
    never_null: Sequence[str] = ()
    lists: Sequence[CompiledList] = ()
    computed: bool = False
    number: int | None = None

    def lacks(self, user: UserData | None) -> bool:
        """Return whether a user lacks a value.

        Args:
            user: The user; ``None`` if it is unknown, which lacks nothing.

        Returns:
            Whether a field that needs a value has none.
        """
        return user is not None and any(user[key] is None for key in self.never_null)


class CompiledRoot(Struct, frozen=True):
    """One root field, compiled.

    Attributes:
        locations: The locations of the field in the document.
        others: Makes other users than the caller; ``None`` if the field does not return users.
        own: Makes the caller's own user. It is ``others`` if the caller may see the same of both.
    """

    locations: Sequence[FormattedSourceLocation]
    others: UserWriter | None = None
    own: UserWriter | None = None
