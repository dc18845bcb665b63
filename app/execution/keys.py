"""Reading the users that a root field names, and checking them before anything is called.

A new root field that gives users needs an entry in ``KEY_READERS``, and nothing else here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.auth.policies import Rights
from app.errors import BadUserInputError, GatewayError, UnauthenticatedError, bare, quote
from app.expressions.ids import UUID_PATTERN, are_uuids
from app.settings.models import Settings
from app.sources.base import UserId

Key: TypeAlias = UserId | GatewayError
"""A user, or what is wrong with the one that was named."""


@dataclass(frozen=True, slots=True)
class InputLimits:
    """What a client's input is checked against before anything is called.

    Attributes:
        user_id_pattern: What a whole user id has to match.
        max_ids: The most ids in one `users`.
        max_representations: The most representations in one `_entities`.
    """

    user_id_pattern: re.Pattern[str]
    max_ids: int
    max_representations: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make the limits that the settings ask for.

        Args:
            settings: All settings.

        Returns:
            The limits.
        """
        return cls(settings.user_id_pattern, settings.max_ids, settings.max_representations)

    @property
    def fold_case(self) -> bool:
        """Whether users' ids that differ in case alone are the same, UUIDs or not."""
        return bool(self.user_id_pattern.flags & re.IGNORECASE)

    def user_id(self, value: str) -> UserId:
        """Check a user id.

        Args:
            value: What the client sent.

        Returns:
            The same text, as a key.

        Raises:
            BadUserInputError: It does not match the pattern.
        """
        return self._checked([value])[0]

    def user_ids(self, values: Sequence[str]) -> Sequence[UserId]:
        """Check a list of user ids.

        Args:
            values: What the client sent; perhaps nothing.

        Returns:
            The same texts, as keys.

        Raises:
            BadUserInputError: There are too many, or one does not match the pattern.
        """
        if len(values) > self.max_ids:
            raise BadUserInputError(
                f"users takes at most {self.max_ids:,} ids, got {len(values):,}"
            )
        return self._checked(values)

    def own_id(self, subject: str | None) -> UserId:
        """Check the id of the user that the caller is.

        Args:
            subject: The user that the caller's token names; ``None`` where it has none.

        Returns:
            The same text, as a key.

        Raises:
            UnauthenticatedError: The caller has not shown who it is.
            BadUserInputError: It is no user, but a program, say.
        """
        if subject is None:
            raise UnauthenticatedError(
                "nobody knows who asks: send a token (Authorization: Bearer …) that names a user"
            )
        if self.user_id_pattern.fullmatch(subject) is None:
            raise BadUserInputError("the token names no user: its subject is not a user id")
        return UserId(subject)

    def representations(self, values: Sequence[object]) -> Sequence[Key]:
        """Check the representations that a federation router sent; each stands for itself.

        Args:
            values: What the router sent; perhaps nothing.

        Returns:
            For each the user's key, or what is wrong with it.

        Raises:
            BadUserInputError: There are too many.
        """
        most = self.max_representations
        if len(values) > most:
            raise BadUserInputError(
                f"_entities takes at most {most:,} representations, got {len(values):,}"
            )
        return [self._representation(one) for one in values]

    def _representation(self, raw: object) -> Key:
        """Read one representation."""
        if not isinstance(raw, dict) or cast("dict[str, object]", raw).get("__typename") != "User":
            return BadUserInputError(
                'a representation has to be an object with "__typename": "User" and the key "id"'
            )
        try:
            return self.user_id(str(UserRepresentation.model_validate(raw).id))
        except ValidationError:
            return BadUserInputError('a representation of User needs the key "id", a text')
        except BadUserInputError as error:
            return bare(error)

    def _checked(self, values: Sequence[str]) -> Sequence[UserId]:
        """Check ids by the pattern, all of them by one call: there may be hundreds."""
        if self.user_id_pattern == UUID_PATTERN and are_uuids(values):
            return cast("Sequence[UserId]", values)
        if not all(map(self.user_id_pattern.fullmatch, values)):
            wrong = next(one for one in values if not self.user_id_pattern.fullmatch(one))
            raise BadUserInputError(
                f"{quote(wrong)} is not a user id:"
                f" expected a match of {self.user_id_pattern.pattern}"
            )
        return cast("Sequence[UserId]", values)  # now that each is known to be one


class UserRepresentation(BaseModel):
    """How a federation router names a user (Apollo Federation subgraph specification)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    id: str | int = Field(description="The key. A router sends an ID as text or as an integer.")


KeyReader: TypeAlias = Callable[[InputLimits, Mapping[str, Any], Rights], Sequence[Key]]
"""Reads the users from the coerced arguments of a root field, and from who asks.

What it raises, a ``GatewayError``, fails the whole field.
"""

KEY_READERS: Mapping[str, KeyReader] = {
    "user": lambda limits, arguments, _: [limits.user_id(arguments["id"])],
    "users": lambda limits, arguments, _: limits.user_ids(arguments["ids"]),
    "me": lambda limits, _, rights: [limits.own_id(rights.subject)],
    "_entities": lambda limits, arguments, _: limits.representations(arguments["representations"]),
}
"""For each root field that gives users, how they are read."""
