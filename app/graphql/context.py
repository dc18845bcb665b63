"""All that a resolver may reach."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import strawberry

from app.errors import BadUserInputError, UnauthenticatedError, shown
from app.federation.loaders import Loaders
from app.federation.plan import Planner
from app.graphql.rights import Rights
from app.graphql.uuids import are_uuids
from app.readonly import readonly
from app.settings import UUID_PATTERN
from app.sources.base import UserId


@dataclass(frozen=True, slots=True)
class Guards:
    """What is checked of a client's input before anything is called.

    Attributes:
        user_id_pattern: What a whole user id has to match.
        max_ids: The most ids in one list.
    """

    user_id_pattern: re.Pattern[str]
    max_ids: int

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
            values: What the client sent.

        Returns:
            The same texts, as keys.

        Raises:
            BadUserInputError: There are none or too many, or one does not match the pattern.
        """
        self.count(len(values), "users")
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

    def count(self, number: int, what: str) -> None:
        """Check how many ids a list has.

        Args:
            number: How many it has.
            what: The list, as the client knows it.

        Raises:
            BadUserInputError: It is empty or too long.
        """
        if not 1 <= number <= self.max_ids:
            raise BadUserInputError(f"{what} takes 1 to {self.max_ids} ids, got {number}")


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
