"""A service in which users were found, and how. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from app.settings.nested import Table
from app.settings.request import EachRequest, RequestSettings
from app.settings.response import AnswerSettings
from app.starting.credentials import GivenCredentials


class FoundService(Struct, frozen=True):
    """A service in which users were found.

    Attributes:
        source: The name of the source.
        base_url: Its address.
        request: How a request names users.
        answer: Where rows and keys are in its answers.
        rows: The row of each user that was found.
        shown: A request that found them, without secrets.
        around: The other members of the object around a list of rows.
        users: The ids of the users that were found.
        missing: The ids of the users that it does not know.
        credentials: Its credentials; ``None`` if it needs none.
    """

    source: str
    base_url: str
    request: RequestSettings
    answer: AnswerSettings
    rows: Sequence[Table]
    shown: str
    around: Sequence[str] = ()
    users: Sequence[str] = ()
    missing: Sequence[str] = ()
    credentials: GivenCredentials | None = None

    @property
    def has_many(self) -> bool:
        """Whether one call finds several users."""
        return not isinstance(self.request, EachRequest)
