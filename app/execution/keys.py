"""Reads the users that a root field names, and checks them before any source is called.

A new root field that returns users needs an entry in ``key_readers``, and nothing else here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeAlias, cast

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.auth.policies import Rights
from app.errors import BadUserInputError, GatewayError, UnauthenticatedError, bare, quote
from app.expressions.ids import form_of
from app.settings.models import Settings
from app.settings.public_schema import NODE, NODES, USER_NAMES, UserNames
from app.sources.base import UserId

MAX_KEY = 1_000
"""The most characters of a key by which a user is looked up."""

Key: TypeAlias = UserId | GatewayError
"""A user, or the error of an invalid key."""


class InputLimits(Struct, frozen=True):
    """Limits of client input, checked before any source is called.

    Attributes:
        user_id_pattern: The pattern that a whole user id has to match.
        max_ids: The most ids in one `users`.
        max_representations: The most representations in one `_entities`.
        names: What the schema calls users.
    """

    user_id_pattern: re.Pattern[str]
    max_ids: int
    max_representations: int
    names: UserNames = USER_NAMES

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Make the limits that the settings contain.

        Args:
            settings: All settings.

        Returns:
            The limits.
        """
        return cls(
            settings.user_id_pattern,
            settings.max_ids,
            settings.max_representations,
            settings.public_schema.names,
        )

    @property
    def fold_case(self) -> bool:
        """Whether ids that differ only in case name the same user, even if they are not UUIDs."""
        return bool(self.user_id_pattern.flags & re.IGNORECASE)

    def user_id(self, value: str) -> UserId:
        """Check a user id.

        Args:
            value: The id that the client sent.

        Returns:
            The same text, as a key.

        Raises:
            BadUserInputError: The id does not match the pattern.
        """
        if self.user_id_pattern.fullmatch(value) is None:
            raise self._mismatch(value)
        return UserId(value)

    def user_ids(self, values: Sequence[str], root: str) -> Sequence[UserId]:
        """Check a list of user ids.

        Args:
            values: The ids that the client sent; may be empty.
            root: The root field.

        Returns:
            The same texts, as keys.

        Raises:
            BadUserInputError: There are too many ids, or one does not match the pattern.
        """
        if len(values) > self.max_ids:
            raise BadUserInputError(
                f"{root} takes at most {self.max_ids:,} ids, got {len(values):,}"
            )
        match = self.user_id_pattern.fullmatch
        if not all(map(match, values)):
            raise self._mismatch(next(value for value in values if match(value) is None))
        return cast("Sequence[UserId]", values)  # each was checked

    def looked_up(self, keys: Sequence[str], root: str) -> Sequence[UserId]:
        """Check keys by which users are looked up.

        Args:
            keys: The keys that the client sent; may be empty.
            root: The root field.

        Returns:
            The same texts, as keys.

        Raises:
            BadUserInputError: There are too many keys, or one is empty or too long.
        """
        if len(keys) > self.max_ids:
            raise BadUserInputError(
                f"{root} takes at most {self.max_ids:,} keys, got {len(keys):,}"
            )
        if any(not 0 < len(one) <= MAX_KEY for one in keys):
            raise BadUserInputError(f"{root} takes keys of 1 to {MAX_KEY} characters")
        return [UserId(one) for one in keys]

    def own_id(self, subject: str | None) -> UserId:
        """Check the caller's own user id.

        Args:
            subject: The subject of the caller's token; ``None`` for a caller without one.

        Returns:
            The same text, as a key.

        Raises:
            UnauthenticatedError: The caller is not authenticated.
            BadUserInputError: The subject is not a user id; the caller may be a program.
        """
        if subject is None:
            raise UnauthenticatedError(
                "the caller is unknown: send a token (Authorization: Bearer …) that names a user"
            )
        if self.user_id_pattern.fullmatch(subject) is None:
            raise BadUserInputError("the token names no user: its subject is not a user id")
        return UserId(subject)

    def representations(self, values: Sequence[object]) -> Sequence[Key]:
        """Check the representations that a federation router sent, each on its own.

        Args:
            values: The representations, unchecked; may be empty.

        Returns:
            For each representation the user's key, or its error.

        Raises:
            BadUserInputError: There are too many representations.
        """
        most = self.max_representations
        if len(values) > most:
            raise BadUserInputError(
                f"_entities takes at most {most:,} representations, got {len(values):,}"
            )
        return [self._representation(value) for value in values]

    def _representation(self, raw: object) -> Key:
        """Read one representation."""
        kind = self.names.type
        if not isinstance(raw, dict) or cast("dict[str, object]", raw).get("__typename") != kind:
            return BadUserInputError(
                f'a representation has to be an object with "__typename": "{kind}" and the key "id"'
            )
        try:
            return self.user_id(str(UserRepresentation.model_validate(raw).id))
        except ValidationError:
            return BadUserInputError(f'a representation of {kind} needs the key "id", a text')
        except BadUserInputError as error:
            return bare(error)

    def _mismatch(self, value: str) -> BadUserInputError:
        """Make the error of a text that is not a user id."""
        expected = form_of(self.user_id_pattern.pattern)
        return BadUserInputError(
            f"{quote(value)} is not a user id: expected {expected} (GATEWAY_USER_ID_PATTERN)"
        )


class UserRepresentation(BaseModel):
    """How a federation router names a user (Apollo Federation subgraph specification)."""

    model_config = ConfigDict(defer_build=True, frozen=True, strict=True, extra="ignore")

    id: str | int = Field(description="The key. A router sends an ID as text or as an integer.")


KeyReader: TypeAlias = Callable[[InputLimits, Mapping[str, Any], Rights], Sequence[Key]]
"""Reads the users from the coerced arguments of a root field and the caller's rights.

It may raise a ``GatewayError``, which fails the whole field.
"""


def key_readers(names: UserNames) -> Mapping[str, KeyReader]:
    """Return the key reader of each root field that returns users.

    Args:
        names: What the schema calls users.

    Returns:
        The readers by the name of the field.
    """

    def several(root: str) -> KeyReader:
        return lambda limits, arguments, _: limits.user_ids(arguments["ids"], root)

    one, many = (
        ((names.one, NODE), (names.several, NODES))
        if names.node
        else ((names.one,), (names.several,))
    )
    return {
        **{name: lambda limits, arguments, _: [limits.user_id(arguments["id"])] for name in one},
        **{name: several(name) for name in many},
        "me": lambda limits, _, rights: [limits.own_id(rights.subject)],
        "_entities": lambda limits, arguments, _: limits.representations(
            arguments["representations"]
        ),
    }
