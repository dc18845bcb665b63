"""Errors in a response: their words, their order, and what is masked.

The order of errors: that of their places in the answer. Pure.

An executor reports errors as they happen, so that their order would tell which source was faster,
and a compiled operation would differ from an interpreted one. The answer has one order: fields as
they are selected, items as they are numbered, and what is in one before what follows it.

Errors of graphql-core in words for clients: values as JSON or GraphQL writes them.

graphql-core prints the values of variables as Python does (``None``, ``{'a': True}``), and quotes
what a scalar's parser raised. Clients write JSON and GraphQL, and cannot know either. The messages
are taken apart at graphql-core's own words, which a test holds to the installed version.

What clients see of an error: ours as they are, bugs masked, tracebacks in the log alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, isnan
from typing import Any, TypeAlias, cast

import orjson
from graphql import FieldNode, GraphQLError, GraphQLFormattedError
from graphql.pyutils import inspect

from app.errors import Code, GatewayError, LimitError, SourceError, bare, quote

Place: TypeAlias = tuple[list[int], list[int]]
"""Where an error is in the answer; and in the document, where the answer has no such place."""


def in_answer_order(
    errors: Sequence[GraphQLFormattedError], data: Mapping[str, Any] | None
) -> Sequence[GraphQLFormattedError]:
    """Put errors into the order of their places in the answer.

    Args:
        errors: The errors, with their paths.
        data: The data of the answer. Where an error has taken more than its own place with it
            (``PROPAGATE``), what is left of its path decides, and then its place in the document.

    Returns:
        The same errors.
    """
    if len(errors) < 2:  # noqa: PLR2004 # one has no order
        return errors
    numbers: dict[int, Mapping[str, int]] = {}

    def numbered(value: Mapping[str, Any]) -> Mapping[str, int]:
        if (found := numbers.get(id(value))) is None:
            found = numbers[id(value)] = {name: number for number, name in enumerate(value)}
        return found

    def place(error: GraphQLFormattedError) -> Place:
        at: object = data
        steps: list[int] = []
        for part in error.get("path", ()):
            if isinstance(at, dict) and isinstance(part, str) and part in at:
                fields = cast("Mapping[str, Any]", at)
                steps.append(numbered(fields)[part])
                at = fields[part]
            elif isinstance(at, list) and isinstance(part, int):
                steps.append(part)
                at = cast("list[object]", at)[part]
            else:
                break
        [first, *_] = error.get("locations") or [{"line": 0, "column": 0}]
        return steps, [first["line"], first["column"]]

    return sorted(errors, key=place)


MAX_WRITTEN = 240
"""How much of a value, in characters, a message repeats: as much as graphql-core does."""

_RAISED = ", but encountered error '"
_FOUND = "'; found: "
_NOT_NONE = "not to be None."


def in_words(message: str) -> str:
    """Take the words of Python out of a message about something written in the document.

    Args:
        message: A message of graphql-core. It quotes the document as GraphQL.

    Returns:
        The same, without what a scalar's parser raised.
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
        error: What graphql-core has found.
        value: The value that it is about.

    Returns:
        Its message, in which the value is JSON.
    """
    printed = inspect(value)
    message = in_words(error.message)
    before, found, after = message.rpartition(printed)
    return f"{before}{written(value)}{after}" if found else message


def written(value: object) -> str:
    """Write a value as JSON, cut where it is long.

    Args:
        value: What a client has sent as JSON.

    Returns:
        It as JSON. A number that is too large for that is named in words.
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
    """Write a value piece by piece, so that a long one need not be written to its end."""
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
