"""Answers of batch APIs in which some items failed: only these items are requested again.

A batch API gives each item a status of its own, within a response with status 200. An item with
status 503 is what a call with status 503 would be for one user. So such a response is a failure for
the resilience pipeline, which waits, looks after the rate, the budget and the deadline, and repeats
the call. The repeated call has the failed users only. The circuit breaker counts the response as
failed if no user has a result yet.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from app.errors import Code, SourceFailure
from app.sources.base import Record, SourceResult, UserId
from app.sources.client import Unfinished
from app.sources.mapping.requests import RequestEncoder, UpstreamRequest
from app.sources.mapping.rows import RawAnswer, Reader, Rows

R = TypeVar("R", bound=Record)

FAULTS = frozenset({Code.SOURCE_UNAVAILABLE, Code.SOURCE_OVERLOADED})
"""The codes of items that failed because of the service's health."""


class FailedItems(Generic[R]):
    """Collects the results of one call of which failed items are repeated.

    Args:
        reader: Reads the responses.
        encoder: Encodes the request for the failed users.
        request: The first request, with all users.

    Attributes:
        rows: The results so far, for the users of the first request; ``None`` before the first
            readable response.
    """

    def __init__(
        self, reader: Reader[R], encoder: RequestEncoder, request: UpstreamRequest
    ) -> None:
        self._reader = reader
        self._encoder = encoder
        self._keys = request.keys
        self.rows: Rows[Any] | None = None

    def read(self, answer: RawAnswer) -> Rows[Any] | Unfinished[Rows[Any]]:
        """Read a response to the first request.

        Args:
            answer: The response.

        Returns:
            The results; ``Unfinished`` if a retry may give more of them, or if all failed.

        Raises:
            MalformedError: The response as a whole does not fit the settings.
        """
        return self._read(self._keys, answer)

    def _read(self, keys: Sequence[UserId], answer: RawAnswer) -> Rows[Any] | Unfinished[Rows[Any]]:
        """Read a response to a request for some of the users."""
        rows = self.rows = self._with(keys, self._reader.read(answer, keys))
        failed = {
            key: result
            for key, result in zip(self._keys, rows.answers, strict=True)
            if isinstance(result, SourceFailure) and result.code in FAULTS
        }
        again = {key: failure for key, failure in failed.items() if failure.retryable}
        partial_result = len(failed) < len(self._keys)
        if not again and (partial_result or not failed):
            return rows
        first = next(iter((again or failed).values()))
        # The users of one request fit into one request, and so do some of them.
        [request] = self._encoder.encode([*(again or failed)]).sent
        return Unfinished(
            replace(first, partial=partial_result), request, partial(self._read, request.keys)
        )

    def _with(self, keys: Sequence[UserId], rows: Rows[Any]) -> Rows[Any]:
        """Put the results of a response into the results so far."""
        if self.rows is None:
            return rows
        new: dict[UserId, SourceResult[R]] = dict(zip(keys, rows.answers, strict=True))
        answers = [
            new.get(key, before) if _may_change(before) else before
            for key, before in zip(self._keys, self.rows.answers, strict=True)
        ]
        malformed = [*self.rows.malformed, *rows.malformed]
        return replace(self.rows, answers=answers, malformed=malformed, facts=rows.facts)


def _may_change(result: SourceResult[Record]) -> bool:
    """Return whether a retry may give another result."""
    return isinstance(result, SourceFailure) and result.retryable
