"""Guesses where the rows of an answer are, which property is their key, and what follows. Pure.

All objects and lists of objects that an answer may hold are candidates for the rows. The best one
has the most fields of the record, a key, and fits the request: a call for many users has many rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from app.importing.document import OpenApiError
from app.importing.fields import (
    MatchedFields,
    match_fields,
    match_rows_of_list,
    other_properties,
)
from app.importing.guess import AnswerGuess
from app.importing.names import (
    CURSORS,
    DELETED,
    HAS_MORE,
    IDS,
    NEXT_CURSORS,
    NEXT_URLS,
    USERS,
    singular,
    squashed,
)
from app.importing.operation import OpenApiOperation
from app.importing.places import Place, Spot, spots_of, usable, written
from app.importing.schemas import Schemas, Shape, type_text
from app.importing.users import names_user, nouns_of
from app.settings.request import EachRequest, RequestSettings
from app.settings.response import AnswerSettings, GroupSettings, Meaning, MoreSettings
from app.sources.base import SourceSpec

Many: TypeAlias = Literal["one", "list", "by_key"]

_MAX_CANDIDATES = 50
_MAX_DEPTH = 3
_AFTER_ROW = "startingafter"
_ROW_CURSORS = frozenset({"id"})
"""The parameter that takes a row to continue after, and the property that names the row."""

_NOT_FOUND = 404
_OWN_STATUSES = frozenset({"200", "2XX", "default"})
_MOST_LENGTH = 1_000
"""The most characters of a step of a path in the settings."""


class _Rows(Struct, frozen=True):
    """A candidate for the rows.

    Attributes:
        place: Where they are in the answer.
        many: Whether there is one row, a list of them, or an object with each under its key.
        row: The shape of a row.
        around: The object around them; ``None`` if the answer itself is the rows.
    """

    place: Place
    many: Many
    row: Shape
    around: Shape | None


class _Candidate(Struct, frozen=True):
    """A candidate with its key and fields, and how good it is."""

    rows: _Rows
    key: Place | None
    matched: MatchedFields
    score: int


def guess_answer(
    spec: SourceSpec[Any],
    operation: OpenApiOperation,
    request: RequestSettings,
    keys: Sequence[str],
) -> AnswerGuess:
    """Guess how the answers of an operation are read.

    Args:
        spec: The source.
        operation: The operation.
        request: How its requests name the users.
        keys: What the key of a row may be called, the likeliest first.

    Returns:
        The guess.

    Raises:
        OpenApiError: There is no object in the answer.
    """
    schemas = operation.schemas
    whole = schemas.shape(operation.answer.schema)
    place = f"{operation.method.upper()} {operation.path}, response {operation.answer.status}"
    candidates = [
        candidate
        for rows in _all_rows(whole, schemas)
        for candidate in (
            _candidate(spec, rows, request, keys, schemas),
            _candidate_of_many_rows(spec, rows, request, keys, operation),
        )
        if candidate is not None
    ]
    if not candidates:
        raise OpenApiError(
            f"{place}: expected an object or a list of objects with named properties,"
            f" got {type_text(whole)}"
        )
    best = max(candidates, key=lambda one: one.score)
    deleted = _deleted(best.rows.row, schemas)
    taken = best.matched.places | {one for one in (best.key, deleted) if one is not None}
    statuses = _statuses(operation, request)
    order = best.matched.order
    group = None if order is None else GroupSettings(order=order, descending=True)
    settings = AnswerSettings(
        rows=best.rows.place,
        many=best.rows.many != "one",
        by_key=best.rows.many == "by_key",
        key=best.key,
        group=group,
        without_row="unknown" if group is None else "defaults",
        absent=None if deleted is None else written(deleted),
        more=_more(best.rows, operation, schemas),
        status=statuses,
    )
    return AnswerGuess(
        settings=settings,
        fields=best.matched.fields,
        rest=tuple(other_properties(best.rows.row, schemas, taken)),
        notes=tuple(_notes(best, request, statuses)),
    )


def _notes(
    best: _Candidate, request: RequestSettings, statuses: Mapping[int, Meaning]
) -> Iterator[str]:
    """List what an operator has to check."""
    if best.key is None and best.rows.many != "by_key":
        needed = request.form != "each"
        what = "expected the path to it" if needed else "an answer counts as the requested user's"
        yield f"answer.key: no property of a row is called like a key: {what}"
    if best.rows.many == "one" and request.form != "each":
        yield "answer.many: the answer has one row, and the request names many users"
    if best.matched.order is not None:
        yield (
            "answer.group: all pages are read, to sort the rows: expected max instead of order if"
            " the service sends the newest first"
        )
        yield "answer.without_row: a user without rows counts as one whose list is empty"
    if _NOT_FOUND in statuses:
        yield "answer.status: 404 is taken for an unknown user, as the document says"


def _statuses(operation: OpenApiOperation, request: RequestSettings) -> Mapping[int, Meaning]:
    """Say what statuses mean, if they do not mean it by themselves.

    Status 404 means an unknown user by itself only if the user is in the path.
    """
    found: dict[int, Meaning] = {}
    if operation.answer.status not in _OWN_STATUSES:
        found[int(operation.answer.status)] = "rows"
    in_query = isinstance(request, EachRequest) and request.parameter is not None
    if in_query and operation.says_not_found:
        found[_NOT_FOUND] = "absent"
    return found


def _all_rows(whole: Shape, schemas: Schemas) -> Iterator[_Rows]:
    """List the candidates for the rows, the outer ones first; each schema once."""
    waiting: list[_Rows] = [*_rows_at((), whole, None, schemas)]
    seen: set[int] = set()
    for rows in waiting:  # grows while it is read
        if id(rows.row) in seen or len(seen) == _MAX_CANDIDATES:
            continue
        seen.add(id(rows.row))
        yield rows
        if rows.many == "one" and len(rows.place) < _MAX_DEPTH:
            for name, node in rows.row.properties.items():
                if len(name) <= _MOST_LENGTH:
                    shape = schemas.shape(node)
                    waiting += _rows_at((*rows.place, name), shape, rows.row, schemas)


def _rows_at(place: Place, shape: Shape, around: Shape | None, schemas: Schemas) -> Iterator[_Rows]:
    """List the candidates for the rows at one place."""
    if shape.item is not None:
        item = schemas.shape(shape.item)
        if item.properties:
            yield _Rows(place, "list", item, around)
    elif shape.properties:
        if not shape.may_be("string", "integer"):  # an object only where one asks for it
            yield _Rows(place, "one", shape, around)
    elif shape.entry is not None:
        entry = schemas.shape(shape.entry)
        if entry.properties:
            yield _Rows(place, "by_key", entry, around)


def _candidate(
    spec: SourceSpec[Any],
    rows: _Rows,
    request: RequestSettings,
    keys: Sequence[str],
    schemas: Schemas,
) -> _Candidate:
    """Judge a candidate."""
    matched = match_fields(spec, rows.row, schemas)
    key = None if rows.many == "by_key" else _key(spots_of(rows.row, schemas), keys, schemas)
    score = 2 * matched.score - len(rows.place)
    if rows.many == "by_key" or (key is not None and len(key) == 1):
        score += 3
    elif key is not None:
        score += 1
    in_path = request.form == "each" and request.parameter is None
    if (in_path and rows.many != "one") or (request.form != "each" and rows.many == "one"):
        score -= 8
    return _Candidate(rows, key, matched, score)


def _candidate_of_many_rows(
    spec: SourceSpec[Any],
    rows: _Rows,
    request: RequestSettings,
    keys: Sequence[str],
    operation: OpenApiOperation,
) -> _Candidate | None:
    """Judge a candidate whose rows are several of each user; ``None`` if that cannot be seen.

    The request names users as such, and the rows are called like a list of the record. Rows that
    stand in the object of a user are what that object has.
    """
    schemas = operation.schemas
    if rows.many != "list" or not names_user(keys[0]):
        return None
    around = () if rows.around is None else spots_of(rows.around, schemas)
    if _key([spot for spot in around if 0 not in spot.place], keys, schemas) is not None:
        return None
    key = _key(spots_of(rows.row, schemas), keys, schemas, of_item=True)
    if key is None and request.form != "each":
        return None
    names = (
        *nouns_of(operation.path)[:1],
        *(singular(squashed(str(step))) for step in rows.place[-1:]),
    )
    matched = match_rows_of_list(spec, rows.row, schemas, names)
    if matched is None:
        return None
    score = 2 * matched.score - len(rows.place) + (0 if key is None else 3)
    return _Candidate(rows, key, matched, score)


def _key(
    spots: Sequence[Spot], keys: Sequence[str], schemas: Schemas, *, of_item: bool = False
) -> Place | None:
    """Find the key of a row in its objects: in the row, or else in one of its containers.

    The id of an object in a row is that of the user only if the object is a user. The id of a row
    that is an item of a user is its own.
    """
    of_users = [key for key in keys if (names_user(key) if of_item else key not in IDS)]
    for spot in spots:
        is_user = not USERS.isdisjoint(map(singular, spot.within)) if spot.place else not of_item
        found = _key_at(spot, keys if is_user else of_users, schemas)
        if found is not None:
            return found
    return None


def _key_at(spot: Spot, keys: Sequence[str], schemas: Schemas) -> Place | None:
    """Find the key in one object of a row."""
    named = spot.named()
    for key in keys:
        name = named.get(key)
        if name is not None and len(name) <= _MOST_LENGTH:
            shape = schemas.shape(spot.shape.properties[name])
            if shape.may_be("string", "integer") or not shape.types:
                return (*spot.place, name)
    return None


def _deleted(row: Shape, schemas: Schemas) -> Place | None:
    """Find the truth value by which a row says that it does not count."""
    for name, node in row.properties.items():
        shape = schemas.shape(node)
        is_flag = shape.may_be("boolean") and len(shape.types) == 1
        if squashed(name) in DELETED and is_flag and usable(written((name,))):
            return (name,)
    return None


def _more(rows: _Rows, operation: OpenApiOperation, schemas: Schemas) -> MoreSettings:
    """Find how an answer shows that more rows follow, in the object around the rows."""
    if rows.around is None or rows.many == "one":
        return MoreSettings()
    around = Spot(rows.place[:-1], rows.around)
    query = [one.name for one in operation.parameters if one.place == "query" and one.is_plain]
    cursor = next((name for name in query if squashed(name) in CURSORS), None)
    next_cursor = _member(around, NEXT_CURSORS, schemas, "string", "integer")
    if next_cursor is not None and cursor is not None:
        return MoreSettings(next_cursor=next_cursor, cursor_parameter=cursor)
    next_url = _member(around, NEXT_URLS, schemas, "string")
    if next_url is not None and _is_url(around, str(next_url[-1]), schemas):
        return MoreSettings(next_url=next_url)
    has_more = _member(around, HAS_MORE, schemas, "boolean")
    by_row = _member(Spot((), rows.row), _ROW_CURSORS, schemas, "string", "integer")
    if has_more is not None and by_row is not None and squashed(cursor or "") == _AFTER_ROW:
        return MoreSettings(has_more=has_more, row_cursor=by_row, cursor_parameter=cursor)
    return MoreSettings(has_more=has_more)


def _is_url(spot: Spot, name: str, schemas: Schemas) -> bool:
    """Return whether a member is an address, by what the document says of it."""
    shape = schemas.shape(spot.shape.properties[name])
    said = f"{name} {shape.description}".lower()
    return shape.format.startswith("uri") or "url" in said or "link" in said


def _member(
    spot: Spot,
    names: frozenset[str],
    schemas: Schemas,
    *types: Literal["string", "integer", "boolean"],
) -> Place | None:
    """Find a member of an object by its name and type."""
    for name, node in spot.shape.properties.items():
        if (
            squashed(name) in names
            and len(name) <= _MOST_LENGTH
            and schemas.shape(node).may_be(*types)
        ):
            return (*spot.place, name)
    return None
