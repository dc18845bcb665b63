"""Several operations in one HTTP request: a JSON array of requests, answered by one of answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from graphql import GraphQLFormattedError

from app.errors import Code, RequestError
from app.graphql.request import Answer, GraphQLRequest
from app.http.parameters import from_json
from app.shapes.edge import BatchSettings


@dataclass(frozen=True, slots=True)
class Batch:
    """Several operations.

    Attributes:
        items: Each as it was asked for, or what is wrong with it.
    """

    items: Sequence[GraphQLRequest | RequestError]

    @property
    def requests(self) -> Sequence[GraphQLRequest]:
        """Those that can be run."""
        return [one for one in self.items if isinstance(one, GraphQLRequest)]

    def answers(self, ran: Sequence[Answer]) -> Sequence[Answer]:
        """Put the answers into the order of the operations.

        Args:
            ran: Those to ``requests``.

        Returns:
            One for each operation; what is wrong with it where it was not run.
        """
        rest = iter(ran)
        return [
            next(rest) if isinstance(one, GraphQLRequest) else refused(one) for one in self.items
        ]


def read_batch(values: Sequence[object], settings: BatchSettings) -> Batch:
    """Read a batch.

    Args:
        values: The JSON of its operations.
        settings: Whether there may be one, and how long.

    Returns:
        The batch.

    Raises:
        RequestError: There may be none, or it is empty, too long, or of something else.
    """
    if not settings.enabled:
        raise _refusal("several operations in one request are not executed here: expected one")
    if not 1 <= len(values) <= settings.max_operations:
        raise _refusal(
            f"the body has {len(values)} operations:"
            f" expected 1 to {settings.max_operations} in one request"
        )
    if not all(isinstance(value, dict) for value in values):
        raise _refusal(
            "the body is a list of something else: expected a JSON object for each operation"
        )
    return Batch([_read(value) for value in values])


def _read(value: object) -> GraphQLRequest | RequestError:
    """Read one operation; what is wrong with one does not concern the others."""
    try:
        return from_json(value)
    except RequestError as error:
        return error


def _refusal(message: str) -> RequestError:
    """Refuse a batch as a whole."""
    return RequestError(Code.BAD_REQUEST, message, status=422)


def refused(error: RequestError) -> Answer:
    """Answer an operation that was not run.

    Args:
        error: Why it was not.

    Returns:
        The answer.
    """
    told: GraphQLFormattedError = {
        "message": error.message,
        "extensions": {"code": error.code.value},
    }
    return Answer(
        executed=False, data=None, errors=[told], status=error.status, headers=error.headers
    )
