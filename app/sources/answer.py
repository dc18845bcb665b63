"""What comes back from a service, and what makes answers for keys of it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from app.readonly import readonly
from app.sources.base import Record, UserId

if TYPE_CHECKING:
    from app.sources.rows import Rows  # whose readers take a ``RawAnswer``

R = TypeVar("R", bound=Record)


@readonly(frozen=True, slots=True)
class RawAnswer:
    """An answer of a service, as it came.

    Attributes:
        status: Its HTTP status.
        headers: Its headers, their names in lower case; several of one name are one value, with
            commas between (RFC 9110, section 5.3). Nothing is read of them before it is asked for.
        body: Its body, decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Reader(Protocol[R]):
    """Makes answers for keys of what a service said."""

    def read(self, answer: RawAnswer, keys: Sequence[UserId]) -> "Rows[R]":
        """Read an answer.

        Args:
            answer: The answer.
            keys: What was asked.

        Returns:
            An answer a key, in their order.

        Raises:
            MalformedError: It does not fit at all; so does pydantic's ``ValidationError``.
        """
        ...
