"""Reports the errors of operations: bugs of ours to the log, and what clients may see to them."""

from collections.abc import Sequence

from graphql import GraphQLError, GraphQLFormattedError
from structlog.typing import FilteringBoundLogger

from app.errors import Code, ExtensionError, bare
from app.execution.request import GraphQLResponse
from app.execution.response_errors import (
    bounded,
    drop_tracebacks,
    is_bug,
    public_error,
    root_cause,
)
from app.sources.base import RequestContext


class ErrorReports:
    """Reports the errors of operations. Shared by all requests.

    Args:
        log: The log.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log

    def log_bug(self, bug: BaseException) -> None:
        """Log a bug of ours that no field is known for, and drop its traceback.

        Args:
            bug: The exception. It is written to the log, with its traceback.
        """
        self._log.error("graphql.bug", path=None, exc_info=bug)
        bare(bug)

    def log_bugs(self, errors: Sequence[GraphQLError]) -> None:
        """Log the bugs of ours among errors with their tracebacks, and drop all tracebacks.

        Args:
            errors: The errors.
        """
        of_extensions = set[tuple[str, str]]()
        for error in errors:
            cause = root_cause(error)
            if isinstance(cause, ExtensionError):
                # A function that fails for one user may fail for all: once is enough.
                place = cause.module, cause.field
                if place not in of_extensions:
                    of_extensions.add(place)
                    self._log.error(
                        "extension.bug",
                        module=cause.module,
                        field=cause.field,
                        path=error.path,
                        exc_info=cause,
                    )
            elif is_bug(error):
                self._log.error("graphql.bug", path=error.path, exc_info=cause)
            drop_tracebacks(error)

    def public(
        self, errors: Sequence[GraphQLError], call: RequestContext, code: Code = Code.BAD_USER_INPUT
    ) -> list[GraphQLFormattedError]:
        """Return errors as clients see them, and log bugs of ours.

        Args:
            errors: The errors.
            call: The request context.
            code: The code of errors that have none.

        Returns:
            The errors. Those of bugs are masked.
        """
        self.log_bugs(errors)
        return [public_error(one, otherwise=code, request_id=call.request_id) for one in errors]

    def refusal(
        self, errors: Sequence[GraphQLError], code: Code, call: RequestContext, *, status: int = 400
    ) -> GraphQLResponse:
        """Make the response to a request that is not executed, and log bugs of ours.

        Args:
            errors: Why it is not.
            code: The code of errors that have none.
            call: The request context.
            status: The HTTP status.

        Returns:
            The response, with as many of the errors as a response may have.
        """
        first = bounded(self.public(errors, call, code))
        return GraphQLResponse(executed=False, data=None, errors=first, status=status)
