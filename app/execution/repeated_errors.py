"""The errors of many users that lack the same fields for the same reason. Pure.

If a source is down, each of fifty users lacks the same fields, and each of these fields has an
error. The errors of two users differ only in the place of the user in the list. So what is counted,
grouped or written of them is found once for one user.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast, overload

import msgspec
from graphql import GraphQLFormattedError


@dataclass(frozen=True, slots=True)
class RepeatedErrors(Sequence[GraphQLFormattedError]):
    """The errors of users in a list, by user and then by field, which is the order of the answer.

    Attributes:
        root: The response key of the list.
        places: The places of the users in the list.
        fields: The error of each field of a user, by response key. Their paths are not used.
    """

    root: str
    places: Sequence[int]
    fields: Sequence[tuple[str, GraphQLFormattedError]]

    def __len__(self) -> int:
        return len(self.places) * len(self.fields)

    @overload
    def __getitem__(self, index: int) -> GraphQLFormattedError: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[GraphQLFormattedError]: ...

    def __getitem__(
        self, index: int | slice
    ) -> GraphQLFormattedError | Sequence[GraphQLFormattedError]:
        return [*self][index]

    def __iter__(self) -> Iterator[GraphQLFormattedError]:
        for place in self.places:
            yield from self.at(place)

    @property
    def of_one(self) -> Sequence[GraphQLFormattedError]:
        """The errors of the first user."""
        return [*self.at(self.places[0])] if self.places else []

    def at(self, place: int) -> Iterator[GraphQLFormattedError]:
        """Yield the errors of one user.

        Args:
            place: The place of the user.

        Yields:
            Its errors, with their paths.
        """
        for name, error in self.fields:
            yield cast("GraphQLFormattedError", {**error, "path": [self.root, place, name]})

    def json(self) -> bytes:
        """Encode the errors.

        Returns:
            A JSON array, as if each error was encoded for itself.
        """
        pieces = [b""]
        for name, error in self.fields:
            before, after = _around_place(self.root, name, error)
            pieces[-1] += (b"," if len(pieces) > 1 else b"") + before
            pieces.append(after)
        # The place of a user stands between the pieces.
        return b"[%b]" % b",".join([(b"%d" % place).join(pieces) for place in self.places])


def _around_place(root: str, name: str, error: GraphQLFormattedError) -> tuple[bytes, bytes]:
    """Encode the error of a field, divided where the place of the user is in its path."""
    before: list[bytes] = []
    after: list[bytes] = []
    part = before
    for member, value in error.items():
        key, text = msgspec.json.encode(member), msgspec.json.encode(value)
        if member == "path":
            before.append(b"%b:[%b," % (key, msgspec.json.encode(root)))
            after.append(b",%b]" % msgspec.json.encode(name))
            part = after
        else:
            part.append(b"%b:%b" % (key, text))
    return b"{" + b",".join(before), b",".join(after) + b"}"
