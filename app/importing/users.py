"""Guesses where a request names the users: in its path, its query or its body. Pure.

A parameter names users if it is called so: ``id``, ``userIds``, ``customer``, ``external_id``. A
list of them is better than one, except where the path is that of a user.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct
from pydantic import JsonValue

from app.errors import quote
from app.expressions.places import KEY
from app.expressions.template import KEYS
from app.importing.document import OpenApiError
from app.importing.names import IDS, OTHER_KEYS, USERS, singular, squashed
from app.importing.operation import IN_BRACES, OpenApiOperation, Parameter
from app.importing.schemas import Schemas, Shape
from app.importing.values import value_of

_SEPARATORS: Mapping[str, str] = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
_MOST_KEYS = 10_000


class Users(Struct, frozen=True):
    """How the users are named in a request.

    Attributes:
        form: The form of the request, and its own settings.
        name: The name of the parameter or member that has the users.
        taken: The parameters that are used up for it.
        max_keys: The most users of a call.
        notes: What has to be checked.
    """

    form: Mapping[str, JsonValue]
    name: str
    taken: frozenset[tuple[str, str]]
    max_keys: int | None = None
    notes: tuple[str, ...] = ()


def users_in(operation: OpenApiOperation) -> Users:
    """Guess where the requests of an operation name the users.

    Args:
        operation: The operation.

    Returns:
        The best way that was found.

    Raises:
        OpenApiError: None was found.
    """
    if operation.method == "post":
        found = _in_body(operation)
    else:
        found = next((way for way in _ways_of_get(operation) if way is not None), None)
    if found is None:
        raise OpenApiError(_no_place(operation))
    return found


def nouns_of(path: str) -> Sequence[str]:
    """List the nouns in a path.

    Args:
        path: The path.

    Returns:
        The squashed words between slashes, in the singular, the last first.
    """
    words = [squashed(word) for word in IN_BRACES.sub("", path).split("/")]
    return [singular(word) for word in reversed(words) if word]


def is_own(path: str, name: str) -> bool:
    """Return whether the row of an operation is that of the user itself.

    Args:
        path: The path of the operation.
        name: The parameter that names the user.

    Returns:
        Whether the path ends with the parameter, or does not have it: ``/users/{id}``. The row of
        ``/users/{id}/plan`` is that of a plan.
    """
    place = f"{{{name}}}"
    return place not in path or place in path.rsplit("/", 1)[-1]


def names_user(word: str) -> bool:
    """Return whether a name is that of a user, or of the id of a user.

    Args:
        word: The name, squashed, in the singular.

    Returns:
        Whether it is. ``id`` alone may be the id of anything.
    """
    return word in USERS or _is_of(word, USERS)


def _ways_of_get(operation: OpenApiOperation) -> Iterator[Users | None]:
    """List the ways to name users in a path and a query, the best first."""
    path = operation.path
    noun = next(iter(nouns_of(path)), "")
    fitting = [
        one for one in operation.parameters if one.place == "query" and _fitness(one.name, noun)
    ]
    fitting.sort(key=lambda one: -_fitness(one.name, noun))
    lists = (_in_list(one) for one in fitting)
    many = next((one for one in lists if one is not None), None)
    by_path = _in_path(path)
    of_a_list = noun in USERS and not IN_BRACES.search(path.rsplit("/", 1)[-1])
    if not of_a_list and by_path is not None and _rank_in_path(path, by_path.name):
        yield by_path
    yield many
    yield by_path
    yield from (_in_query(one) for one in fitting if _is_single(one))


def _no_place(operation: OpenApiOperation) -> str:
    """Say that no place for users was found, and where it was looked for."""
    place = f"{operation.method.upper()} {operation.path}"
    if operation.method == "post":
        return (
            f"{place}: expected a list of ids in its JSON body, such as ids or userIds: that is how"
            " the gateway reads by POST"
        )
    query = ", ".join(one.name for one in operation.parameters if one.place == "query") or "none"
    return (
        f"{place}: expected a place for users: a parameter in the path, such as {{id}}, or in the"
        f" query, such as ids or userId; the parameters of its query are: {query}"
    )


def _is_of(word: str, nouns: Collection[str]) -> bool:
    """Return whether a squashed name in the singular is the id of one of some nouns."""
    return any(word == f"{noun}{one}" for noun in nouns for one in IDS)


def _fitness(name: str, noun: str) -> int:
    """Return how well a name fits a parameter for users; 0 if it does not."""
    word = singular(squashed(name))
    nouns = {*USERS, noun}
    if word in IDS or _is_of(word, nouns):
        return 3
    if word in nouns:
        return 2
    return 1 if word in OTHER_KEYS else 0


def _in_path(path: str) -> Users | None:
    """Name the user in the path, by the parameter that names users most clearly."""
    names = IN_BRACES.findall(path)
    if not names:
        return None
    name = max(reversed(names), key=lambda name: _rank_in_path(path, name))
    return Users({"form": "each"}, name, frozenset({("path", name)}))


def _rank_in_path(path: str, name: str) -> int:
    """Return how clearly a parameter of a path names a user: by its name, or by its place."""
    word = singular(squashed(name))
    before = nouns_of(path.partition(f"{{{name}}}")[0])[:1]
    if names_user(word) or (word in IDS and not USERS.isdisjoint(before)):
        return 2
    return 1 if is_own(path, name) else 0


def _is_single(parameter: Parameter) -> bool:
    """Return whether a parameter takes one text or number."""
    shape = parameter.shape
    return not shape.types or shape.may_be("string", "integer", "number")


def _in_list(parameter: Parameter) -> Users | None:
    """Name many users in one query parameter that is a list."""
    shape, name = parameter.shape, parameter.name
    taken = frozenset({("query", name)})
    if shape.item is not None and shape.may_be("array"):
        most = _limit(shape.max_items)
        if parameter.style in _SEPARATORS and not parameter.explode:
            separator = _SEPARATORS[parameter.style]
            form = {"form": "list", "parameter": name, "separator": separator}
            return Users(form, name, taken, most)
        if parameter.style not in _SEPARATORS and not name.endswith("]"):
            name = f"{name}[]"  # deepObject has no rule for lists; this is the usual one
        return Users({"form": "repeat", "parameter": name}, parameter.name, taken, most)
    if not shape.may_be("string"):
        return None
    says_so = "comma" in parameter.description.lower()
    if not says_so and singular(squashed(name)) == squashed(name):
        return None
    notes = () if says_so else (f"request.parameter: {quote(name)} {_TAKEN_FOR_LIST}",)
    return Users({"form": "list", "parameter": name}, name, taken, notes=notes)


_TAKEN_FOR_LIST = "is one text in the document, taken for ids with commas between"


def _limit(most: int | None) -> int | None:
    """Return the most users of a call, if it is a limit that the settings take."""
    return most if most is not None and 1 <= most <= _MOST_KEYS else None


def _in_query(parameter: Parameter) -> Users:
    """Name one user in a query parameter."""
    name = parameter.name
    return Users({"form": "each", "parameter": name}, name, frozenset({("query", name)}))


def _in_body(operation: OpenApiOperation) -> Users | None:
    """Name many users in a JSON body: in a list that is a member of it, or all of it."""
    if operation.body is None:
        return None
    schemas = operation.schemas
    body = schemas.shape(operation.body)
    if body.item is not None:
        users = _body_users(body, schemas)
        return None if users is None else _by_body(users, "", users.template, users.notes)
    noun = next(iter(nouns_of(operation.path)), "")
    for name in sorted(body.properties, key=lambda name: -_fitness(name, noun)):
        users = _body_users(schemas.shape(body.properties[name]), schemas)
        if users is not None and (users.has_id or _fitness(name, noun)):
            others, notes = _others(body, name, schemas)
            template: JsonValue = {name: users.template, **others}
            return _by_body(users, name, template, (*users.notes, *notes))
    return None


class _BodyUsers(Struct, frozen=True):
    """The list of users in a body.

    Attributes:
        template: Its template: ``"{keys}"``, or a list with an object that has ``"{key}"``.
        numbers: Whether ids are numbers.
        most: The most users.
        notes: What has to be checked.
        has_id: Whether its items are objects with an id.
    """

    template: JsonValue
    numbers: bool
    most: int | None
    notes: tuple[str, ...] = ()
    has_id: bool = False


def _body_users(listed: Shape, schemas: Schemas) -> _BodyUsers | None:
    """Make the list of users of a body; ``None`` if a value is no list that ids fit in."""
    if listed.item is None:
        return None
    item = schemas.shape(listed.item)
    member = next((name for name in item.properties if squashed(name) in IDS), None)
    most = _limit(listed.max_items)
    if member is not None:
        numbers = _is_number(schemas.shape(item.properties[member]))
        others, notes = _others(item, member, schemas)
        return _BodyUsers([{member: KEY, **others}], numbers, most, notes, has_id=True)
    if item.properties or item.item is not None:
        return None
    return _BodyUsers(KEYS, _is_number(item), most)


def _by_body(users: _BodyUsers, name: str, template: JsonValue, notes: tuple[str, ...]) -> Users:
    """Name many users by a template of the body."""
    form: dict[str, JsonValue] = {
        "form": "body",
        "template": json.dumps(template, ensure_ascii=False),
        "numbers": users.numbers,
    }
    reads = "request.form: the gateway may repeat this POST: expected a request that only reads"
    return Users(form, name, frozenset(), users.most, (*notes, reads))


def _is_number(shape: Shape) -> bool:
    """Return whether a value is a number, and never text."""
    return shape.may_be("integer", "number") and not shape.may_be("string")


def _others(
    shape: Shape, name: str, schemas: Schemas
) -> tuple[Mapping[str, JsonValue], tuple[str, ...]]:
    """Fill in the members that an object must have beside one, and say which to check."""
    values: dict[str, JsonValue] = {}
    notes: list[str] = []
    for other, node in shape.properties.items():
        if other in shape.required and other != name:
            values[other], known = value_of(schemas.shape(node), other)
            if not known:
                notes.append(f"request.template: expected a value for {quote(other)}")
    return values, tuple(notes)
