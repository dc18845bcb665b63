"""Errors in a response: their order, their messages, and what is masked. Pure.

Order: an executor reports errors when they happen. This order would show which source was faster,
and would differ between compiled and interpreted operations. So errors are sorted by their position
in the answer: fields in the order of selection, list items by number, depth first.

Messages: graphql-core prints the values of variables as Python does (``None``, ``{'a': True}``),
and quotes what a scalar's parser raised. Clients write JSON and GraphQL, and know neither. The
messages are split at fixed words of graphql-core; a test checks these words in the installed
version.

Masking: clients see our own errors as they are. Bugs are masked, and only the log has tracebacks.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, isnan
from typing import Any, TypeAlias, cast

import orjson
from graphql import FieldNode, GraphQLError, GraphQLFormattedError
from graphql.pyutils import inspect

from app.errors import Code, GatewayError, LimitError, SourceError, bare, quote

SortKey: TypeAlias = tuple[list[int], list[int]]
"""The position of an error in the answer, and its first location in the document."""


def in_answer_order(
    errors: Sequence[GraphQLFormattedError], data: Mapping[str, Any] | None, *, above: int = 0
) -> Sequence[GraphQLFormattedError]:
    """Sort errors by their positions in the answer.

    Args:
        errors: The errors, with their paths.
        data: The data of the answer. If an error made a parent ``null`` (``PROPAGATE``), it is
            sorted by the part of its path that is left, and then by its location in the document.
        above: How many parts of the paths are above the data, if it is a part of the answer.

    Returns:
        The same errors, sorted.
    """
    if len(errors) < 2:  # noqa: PLR2004 # nothing to sort
        return errors
    positions: dict[int, Mapping[str, int]] = {}

    def positions_in(value: Mapping[str, Any]) -> Mapping[str, int]:
        if (found := positions.get(id(value))) is None:
            found = positions[id(value)] = {name: number for number, name in enumerate(value)}
        return found

    def sort_key(error: GraphQLFormattedError) -> SortKey:
        value: object = data
        steps: list[int] = []
        for part in error.get("path", ())[above:]:
            if isinstance(value, dict) and isinstance(part, str) and part in value:
                fields = cast("Mapping[str, Any]", value)
                steps.append(positions_in(fields)[part])
                value = fields[part]
            elif isinstance(value, list) and isinstance(part, int):
                steps.append(part)
                value = cast("list[object]", value)[part]
            else:
                break
        [first, *_] = error.get("locations") or [{"line": 0, "column": 0}]
        return steps, [first["line"], first["column"]]

    return sorted(errors, key=sort_key)


MAX_WRITTEN = 240
"""The most characters of a value that a message repeats: as many as graphql-core does."""

_RAISED = ", but encountered error '"
_FOUND = "'; found: "
_NOT_NONE = "not to be None."


def in_words(message: str) -> str:
    """Remove Python's words from a message about a value in the document.

    Args:
        message: A message of graphql-core. It quotes the document as GraphQL.

    Returns:
        The message without the exception of a scalar's parser, and with ``null`` for ``None``.
    """
    if message.endswith(_NOT_NONE):
        return message.removesuffix(_NOT_NONE) + "not to be null."
    before, raised, after = message.partition(_RAISED)
    if not raised:
        return message
    return f"{before}, found: {after.rpartition(_FOUND)[2]}"


def about_value(error: GraphQLError, value: object) -> str:
    """Write a message about a value that came as JSON.

    Args:
        error: The error of graphql-core.
        value: The value that the error is about.

    Returns:
        The error's message, with the value written as JSON.
    """
    printed = inspect(value)
    message = in_words(error.message)
    before, found, after = message.rpartition(printed)
    return f"{before}{json_text(value)}{after}" if found else message


def json_text(value: object) -> str:
    """Write a value as JSON, cut to ``MAX_WRITTEN`` characters.

    Args:
        value: A JSON value that a client sent.

    Returns:
        The value as JSON. Numbers that JSON cannot write, such as infinity, are described in words.
    """
    if isinstance(value, str):
        return quote(value, most=MAX_WRITTEN)
    text = ""
    for part in _parts(value):
        text += part
        if len(text) > MAX_WRITTEN:
            return text[:MAX_WRITTEN] + "…"
    return text


def _parts(value: object) -> Iterator[str]:
    """Write a value piece by piece, so that a long one is not written to its end."""
    match value:
        case str():
            yield quote(value, most=MAX_WRITTEN)
        case float() if isnan(value):
            yield "no number"
        case float() if not isfinite(value):
            yield f"a number beyond {'-' if value < 0 else ''}1.8e308"
        case dict():
            yield from _joined("{", _members(cast("Mapping[str, Any]", value)), "}")
        case list():
            yield from _joined("[", map(_parts, cast("Sequence[Any]", value)), "]")
        case _:
            yield json.dumps(value)


def _members(table: Mapping[str, object]) -> Iterator[Iterator[str]]:
    """Write the members of an object."""
    for name, value in table.items():
        yield _member(name, value)


def _member(name: str, value: object) -> Iterator[str]:
    """Write one member of an object."""
    yield from _parts(name)
    yield ": "
    yield from _parts(value)


def _joined(opening: str, items: Iterator[Iterator[str]], closing: str) -> Iterator[str]:
    """Write items between brackets."""
    yield opening
    for number, item in enumerate(items):
        if number:
            yield ", "
        yield from item
    yield closing


MAX_ERRORS = 100
"""The most errors that are returned for a request that is not executed."""

MAX_ERROR_BYTES = 65_536
"""The most bytes of these errors together."""

MAX_MESSAGE = 1_000
"""The most characters of a message that may quote the document."""

MASKED = "Something went wrong on our side; the log has it under this request id."


def public_error(error: GraphQLError, *, otherwise: Code, request_id: str) -> GraphQLFormattedError:
    """Return an error as clients see it.

    Args:
        error: An error of graphql-core: of the request itself, or raised by a resolver.
        otherwise: The code for errors of the request itself.
        request_id: Written into masked errors; it leads to the log.

    Returns:
        The error with its path and locations, and ``code`` in its extensions.
    """
    formatted = error.formatted
    cause = root_cause(error)
    if isinstance(cause, GatewayError):
        formatted["message"] = cause.message
        formatted["extensions"] = {"code": cause.code.value}
        if isinstance(cause, SourceError):
            formatted["extensions"]["source"] = cause.failure.public_source
        elif isinstance(cause, LimitError):
            formatted["extensions"] |= {"limit": cause.limit, "allowed": cause.allowed}
    elif is_bug(error):
        formatted |= masked(request_id)
    else:
        formatted["message"] = in_words(error.message)
        formatted["extensions"] = {"code": otherwise.value}
    return formatted


def masked(request_id: str) -> GraphQLFormattedError:
    """Return a bug of ours as clients see it, without path and locations.

    Args:
        request_id: The id of the request; it leads to the log, which has the traceback.

    Returns:
        The error.
    """
    return {
        "message": MASKED,
        "extensions": {"code": Code.INTERNAL_SERVER_ERROR.value, "requestId": request_id},
    }


def bounded(errors: Sequence[GraphQLFormattedError]) -> list[GraphQLFormattedError]:
    """Limit the errors of a request that is not executed, in number, bytes and message length.

    Args:
        errors: All errors.

    Returns:
        The first errors, and one that says how many more there are.
    """
    first: list[GraphQLFormattedError] = []
    room = MAX_ERROR_BYTES
    for error in errors if len(errors) <= MAX_ERRORS else errors[: MAX_ERRORS - 1]:
        message = error.get("message", "")
        if len(message) > MAX_MESSAGE:
            error["message"] = message[:MAX_MESSAGE] + "…"
        room -= len(orjson.dumps(error)) + 1
        if room < MAX_MESSAGE:
            break
        first.append(error)
    if len(first) < len(errors):
        rest = f"and {len(errors) - len(first)} more errors"
        first.append({"message": rest, "extensions": errors[0].get("extensions", {})})
    return first


def root_cause(error: GraphQLError) -> Exception:
    """Return the error that graphql-core wrapped.

    Args:
        error: An error of graphql-core.

    Returns:
        The innermost error; the error itself if it wraps none.
    """
    cause: Exception = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return cause


def drop_tracebacks(error: GraphQLError) -> None:
    """Remove the tracebacks of an error and of all errors that it wraps, after they are logged.

    The frames of a traceback refer to the whole request, and the request refers to the error: a
    reference cycle.

    Args:
        error: An error of graphql-core.
    """
    cause: Exception | None = error
    while cause is not None:
        bare(cause)
        cause = cause.original_error if isinstance(cause, GraphQLError) else None


def is_bug(error: GraphQLError) -> bool:
    """Return whether an error is a bug of ours, which clients should not read.

    Args:
        error: An error of graphql-core.

    Returns:
        ``True`` if a resolver raised an unexpected exception, or returned a value that does not fit
        the schema. ``False`` for errors of the client: those without a path, found before
        execution, and graphql-core's own errors that point at an argument, whatever exception a
        scalar's parser raised there.
    """
    if error.path is None or isinstance(root_cause(error), GatewayError):
        return False
    while isinstance(error.original_error, GraphQLError):
        error = error.original_error
    return all(isinstance(node, FieldNode) for node in error.nodes or ())
