"""All that a resolver may reach."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import strawberry

from app.errors import BadUserInputError, UnauthenticatedError, shown
from app.federation.loaders import Loaders
from app.federation.plan import Planner
from app.graphql.rights import Rights
from app.graphql.uuids import are_uuids
from app.readonly import readonly
from app.settings import Settings
from app.shapes.ids import UUID_PATTERN
from app.sources.base import UserId


@dataclass(frozen=True, slots=True)
class Guards:
    """What is checked of a client's input before anything is called.

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
        """Make the checks that the settings ask for.

        Args:
            settings: All settings.

        Returns:
            The checks.
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

    def _checked(self, values: Sequence[str]) -> Sequence[UserId]:
        """Check ids by the pattern, all of them by one call: there may be hundreds."""
        if self.user_id_pattern == UUID_PATTERN and are_uuids(values):
            return cast("Sequence[UserId]", values)
        if not all(map(self.user_id_pattern.fullmatch, values)):
            wrong = next(one for one in values if not self.user_id_pattern.fullmatch(one))
            raise BadUserInputError(
                f"{shown(wrong)} is not a user id:"
                f" expected a match of {self.user_id_pattern.pattern}"
            )
        return cast("Sequence[UserId]", values)  # now that each is known to be one

    def own_id(self, subject: str | None) -> UserId:
        """Check the id of the user that the caller is.

        Args:
            subject: Whom the caller's token names; ``None`` where it has none.

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

    def check_representations(self, number: int) -> None:
        """Check how many representations a router sent.

        Args:
            number: How many.

        Raises:
            BadUserInputError: There are too many.
        """
        most = self.max_representations
        if number > most:
            raise BadUserInputError(
                f"_entities takes at most {most:,} representations, got {number:,}"
            )


@readonly(frozen=True, slots=True)
class Context:
    """All that a resolver may reach: nothing else is shared between the fields of a request.

    Attributes:
        loaders: Ask the sources.
        planner: Finds the sources that a selection of ``User`` needs.
        guards: Check the client's input.
        required: Names of the sources without which there is no user.
        rights: What the caller may see.
    """

    loaders: Loaders
    planner: Planner
    guards: Guards
    required: frozenset[str]
    rights: Rights


Info = strawberry.Info[Context, None]
"""What Strawberry hands to a resolver."""
