"""Errors of graphql-core in words for clients: values as JSON or GraphQL writes them.

graphql-core prints the values of variables as Python does (``None``, ``{'a': True}``), and quotes
what a scalar's parser raised. Clients write JSON and GraphQL, and cannot know either. The messages
are taken apart at graphql-core's own words, which a test holds to the installed version.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, isnan
from typing import Any, cast

from graphql import GraphQLError
from graphql.pyutils import inspect

from app.errors import shown

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
        return shown(value, most=MAX_WRITTEN)
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
            yield shown(value, most=MAX_WRITTEN)
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
