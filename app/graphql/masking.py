"""What clients see of an error: ours as they are, bugs masked, tracebacks in the log alone."""

from collections.abc import Sequence

import orjson
from graphql import FieldNode, GraphQLError, GraphQLFormattedError

from app.errors import Code, GatewayError, LimitError, SourceFailedError, bare
from app.graphql.wording import in_words

MAX_ERRORS = 100
"""How many errors of a request that is not executed are told."""

MAX_ERROR_BYTES = 65_536
"""How many bytes they may have."""

MAX_MESSAGE = 1_000
"""How many characters of a message are told that may quote the document."""

MASKED = "Something went wrong on our side; the log has it under this request id."


def public_error(error: GraphQLError, *, otherwise: Code, request_id: str) -> GraphQLFormattedError:
    """Tell clients of an error.

    Args:
        error: What graphql-core reports: an error of the request, or one that a resolver raised.
        otherwise: The code of an error of the request itself.
        request_id: Shown with what is masked, so that the log can be searched for it.

    Returns:
        The error with its place, and ``code`` in its extensions.
    """
    formatted = error.formatted
    cause = root_cause(error)
    if isinstance(cause, GatewayError):
        formatted["message"] = cause.message
        formatted["extensions"] = {"code": cause.code.value}
        if isinstance(cause, SourceFailedError):
            formatted["extensions"]["source"] = cause.error.public_source
        elif isinstance(cause, LimitError):
            formatted["extensions"] |= {"limit": cause.limit, "allowed": cause.allowed}
    elif is_bug(error):
        formatted |= masked(request_id)
    else:
        formatted["message"] = in_words(error.message)
        formatted["extensions"] = {"code": otherwise.value}
    return formatted


def masked(request_id: str) -> GraphQLFormattedError:
    """Tell clients of a bug of ours, without a place.

    Args:
        request_id: Leads to the log, which has all of it.

    Returns:
        The error.
    """
    return {
        "message": MASKED,
        "extensions": {"code": Code.INTERNAL_SERVER_ERROR.value, "requestId": request_id},
    }


def bounded(errors: Sequence[GraphQLFormattedError]) -> list[GraphQLFormattedError]:
    """Leave out what nobody would read of the errors of a request that is not executed.

    Args:
        errors: All of them.

    Returns:
        The first ones, and how many there are beside them.
    """
    told: list[GraphQLFormattedError] = []
    room = MAX_ERROR_BYTES
    for error in errors if len(errors) <= MAX_ERRORS else errors[: MAX_ERRORS - 1]:
        message = error.get("message", "")
        if len(message) > MAX_MESSAGE:
            error["message"] = message[:MAX_MESSAGE] + "…"
        room -= len(orjson.dumps(error)) + 1
        if room < MAX_MESSAGE:
            break
        told.append(error)
    if len(told) < len(errors):
        rest = f"and {len(errors) - len(told)} more errors"
        told.append({"message": rest, "extensions": errors[0].get("extensions", {})})
    return told


def root_cause(error: GraphQLError) -> Exception:
    """Find what graphql-core wrapped.

    Args:
        error: What it reports.

    Returns:
        The innermost error: the error itself when it wraps none.
    """
    cause: Exception = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return cause


def untrace(error: GraphQLError) -> None:
    """Take the tracebacks from an error and from all that it wraps, once the log has them.

    Args:
        error: What graphql-core reports. Its frames would hold on to all of the request, and it to
            them.
    """
    cause: Exception | None = error
    while cause is not None:
        bare(cause)
        cause = cause.original_error if isinstance(cause, GraphQLError) else None


def is_bug(error: GraphQLError) -> bool:
    """Tell whether an error is our fault, and nothing that clients should read.

    Args:
        error: What graphql-core reports.

    Returns:
        Whether a resolver raised what it should not have, or returned what does not fit the
        schema. What was found before the execution has no path and is the client's, and so is an
        error of graphql-core's own that points at an argument, whatever the parser of a scalar
        has raised there.
    """
    if error.path is None or isinstance(root_cause(error), GatewayError):
        return False
    while isinstance(error.original_error, GraphQLError):
        error = error.original_error
    return all(isinstance(node, FieldNode) for node in error.nodes or ())
