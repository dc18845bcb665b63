"""Guesses the settings of the request, around the place where it names the users. Pure."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote as percent_encoded

from msgspec import Struct
from pydantic import JsonValue, TypeAdapter, ValidationError

from app.errors import quote, what_is_wrong
from app.expressions.places import KEY
from app.importing.document import OpenApiError
from app.importing.guess import RequestGuess
from app.importing.names import (
    IDS,
    OTHER_KEYS,
    PAGE_SIZES,
    SECRETS,
    USERS,
    singular,
    squashed,
)
from app.importing.operation import IN_BRACES, OpenApiOperation
from app.importing.users import Users, is_own, nouns_of, users_in
from app.importing.values import as_text, placeholder, value_of
from app.settings.base import OUR_HEADERS
from app.settings.request import RequestSettings

_UNRESERVED_IN_PATH = "/-._~!$&'()*+,;=:@%"
_NEVER_WRITTEN = OUR_HEADERS | {"authorization", "accept", "content-type", "cookie"}
_LARGEST_PAGE = 100_000

_request_settings: TypeAdapter[RequestSettings] = TypeAdapter(RequestSettings)


class _Fixed(Struct, frozen=True):
    """What is the same in each request, and what an operator has to check of it.

    Attributes:
        parameters: The query parameters.
        headers: The headers.
        notes: What has to be checked.
    """

    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    notes: tuple[str, ...]


def guess_request(operation: OpenApiOperation) -> RequestGuess:
    """Guess how the requests of an operation name the users.

    Args:
        operation: The operation.

    Returns:
        The guess.

    Raises:
        OpenApiError: There is no place for users in it, or the settings do not support it.
    """
    users = users_in(operation)
    fixed = _fixed(operation, users)
    path, path_notes = _path(operation, users)
    values: dict[str, JsonValue] = {
        **users.form,
        "path": path,
        **({"parameters": dict(fixed.parameters)} if fixed.parameters else {}),
        **({"headers": dict(fixed.headers)} if fixed.headers else {}),
        **(_page_size(operation) if users.form["form"] != "each" else {}),
    }
    try:
        settings = _request_settings.validate_python(values)
    except ValidationError as error:
        raise OpenApiError(
            f"{operation.method.upper()} {operation.path}: its request does not fit the settings of"
            f" a source: {what_is_wrong(error)}"
        ) from error
    return RequestGuess(
        settings=settings,
        keys=_keys(operation.path, users.name),
        max_keys=users.max_keys,
        notes=(*path_notes, *users.notes, *fixed.notes),
    )


def _path(operation: OpenApiOperation, users: Users) -> tuple[str, tuple[str, ...]]:
    """Write the path, with a place for the user if it is there."""
    known = {one.name: one.shape for one in operation.parameters if one.place == "path"}
    path, notes, rest = "", list[str](), 0
    for place in IN_BRACES.finditer(operation.path):
        path += percent_encoded(operation.path[rest : place.start()], safe=_UNRESERVED_IN_PATH)
        name, rest = place[1], place.end()
        if ("path", name) in users.taken and KEY not in path:
            path += KEY
            continue
        value, is_known = (
            value_of(known[name], name) if name in known else (placeholder(name), False)
        )
        path += percent_encoded(as_text(value), safe="-._~")
        what = f"{quote(name)} has the same value in all requests"
        notes.append(f"request.path: {what}: {'check it' if is_known else 'expected that value'}")
    return path + percent_encoded(operation.path[rest:], safe=_UNRESERVED_IN_PATH), tuple(notes)


def _fixed(operation: OpenApiOperation, users: Users) -> _Fixed:
    """List the parameters that each request must have, with a value for each."""
    values: dict[str, dict[str, str]] = {"query": {}, "header": {}}
    notes: list[str] = []
    for one in operation.parameters:
        if not one.required or (one.place, one.name) in users.taken or one.place not in values:
            continue
        if one.place == "header" and one.name.lower() in _NEVER_WRITTEN:
            continue
        kind = "parameters" if one.place == "query" else "headers"
        if any(word in squashed(one.name) for word in SECRETS):
            notes.append(f"request.{kind}: {quote(one.name)} is for a secret: expected it in auth")
            continue
        value, known = value_of(one.shape, one.name)
        values[one.place][one.name] = as_text(value)
        if not known:
            notes.append(f"request.{kind}: expected a value for {quote(one.name)}")
    return _Fixed(values["query"], values["header"], tuple(notes))


def _page_size(operation: OpenApiOperation) -> Mapping[str, JsonValue]:
    """Find the parameter for the most rows of an answer, if the document has a limit for it."""
    for one in operation.parameters:
        most = one.shape.maximum
        if (
            one.place == "query"
            and one.is_plain
            and squashed(one.name) in PAGE_SIZES
            and most is not None
            and 1 <= most <= _LARGEST_PAGE
            and not one.required
        ):
            return {"page_size_parameter": one.name, "page_size": most}
    return {}


def _keys(path: str, name: str) -> Sequence[str]:
    """List what the key of a row may be called, the likeliest first.

    The row of a user has its id. A row that is of a user (the balance of a customer) has an id of
    its own, and the id of the user under the name of the user.
    """
    word = singular(squashed(name))
    if word in OTHER_KEYS:
        return OTHER_KEYS[word]
    users = [*nouns_of(path.partition(f"{{{name}}}")[0]), *sorted(USERS)]
    of_users = [f"{noun}id" for noun in users]
    ids = sorted(IDS, key=lambda one: word not in {f"{noun}{one}" for noun in users})
    if is_own(path, name):
        names = [word, *ids, *of_users]
    else:
        names = [*(() if word in IDS else (word,)), *of_users, *ids]
    return [*dict.fromkeys([*names, *(noun for noun in users if noun in USERS)])]
