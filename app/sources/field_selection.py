"""Requests for only the wanted fields of a service's rows.

Each set of fields has its own request and its own record type, created when the set is first
wanted: a source like any other, with some of the fields.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Generic, TypeVar

import orjson
from structlog.typing import FilteringBoundLogger

from app.expressions.expression import compile_expression
from app.expressions.reading import RowShape
from app.settings.request import FIELDS, BodyRequest, RequestSettings, SelectSettings
from app.settings.response import AnswerSettings, Segment
from app.sources.base import (
    FetchResult,
    FieldSet,
    Record,
    RequestContext,
    SourceResult,
    SourceSpec,
    UserId,
)
from app.sources.client import ServiceClient
from app.sources.mapping.contract import Observer
from app.sources.mapping.decoding import BY_LIBRARIES, ReadMethods
from app.sources.mapping.row_mapper import MappingError, MappingMistake, by_field, name_in_json
from app.sources.records_in_parts import Endpoint, partial
from app.sources.rest import RestSource

R = TypeVar("R", bound=Record)
V = TypeVar("V")

AT = ("request", "select", "names")
"""Path of the setting with the names that each field needs."""


class Selector(Generic[R]):
    """Narrows the request and the record of one endpoint to some fields. Pure.

    Args:
        endpoint: The endpoint, whose request has ``select``.
        foreign_keys: Expressions for keys of other sources in its rows, by source name. The names
            that they need are always requested.

    Raises:
        MappingError: The settings do not say which names some field needs. It has all mistakes.
        TypeError: The request has no ``select``: a bug of ours.
    """

    def __init__(
        self, endpoint: Endpoint[R], foreign_keys: Mapping[str, str] | None = None
    ) -> None:
        request, settings = endpoint.settings.request, endpoint.settings
        if request is None or request.select is None:
            raise TypeError(f"{endpoint.spec.name} cannot be asked for some fields alone")
        self._spec = endpoint.spec
        self._settings = settings
        self._request: RequestSettings = request
        self._select: SelectSettings = request.select
        self._all = endpoint.gives
        answer = settings.answer or AnswerSettings()
        self._names = _names(endpoint.spec, settings.fields, answer, request.select)
        self._always = (
            *request.select.always,
            *self._names[endpoint.spec.key],
            *_first(answer.more.row_cursor or ()),
            *_of_rows_themselves(answer, request.select),
            *_of_foreign_keys(foreign_keys or {}, _shape(answer)),
        )

    def names(self, fields: FieldSet | None) -> tuple[str, ...]:
        """Return the names that are requested from the service.

        Args:
            fields: Fields of the record; ``None`` for all.

        Returns:
            The service's own names, without duplicates. First the names that are always requested,
            with those of the key; then the others in the order of the record.
        """
        some = self._all if fields is None else fields
        wanted = (name for field, names in self._names.items() if field in some for name in names)
        return tuple(dict.fromkeys([*self._always, *wanted]))

    def narrowed(self, fields: FieldSet | None) -> Endpoint[R]:
        """Narrow the endpoint to some fields.

        Args:
            fields: Fields of the record; ``None`` for all.

        Returns:
            An endpoint whose record has only these fields and the key, and whose request selects
            them.
        """
        some = self._all if fields is None else fields
        settings, kept = self._settings, {*some, self._spec.key}
        changed = {
            "request": self._request_for(self.names(fields)),
            "fields": None if settings.fields is None else self._some(settings.fields, kept),
            "words": self._some(settings.words, kept),
            "defaults": self._some(settings.defaults, kept),
        }
        return Endpoint(partial(self._spec, some), self._settings.model_copy(update=changed))

    def _some(self, values: Mapping[str, V], kept: Collection[str]) -> Mapping[str, V]:
        """Return what the settings say of some fields."""
        found, _ = by_field(self._spec, values)
        return {
            name_in_json(self._spec, field): value
            for field, value in found.items()
            if field in kept
        }

    def _request_for(self, names: Sequence[str]) -> RequestSettings:
        """Return the request that selects some names; a query without names selects all."""
        request, select = self._request, self._select
        changed: dict[str, object] = {"select": None}
        if isinstance(request, BodyRequest) and select.parameter is None:
            listed = orjson.dumps(names).decode()
            changed["template"] = request.template.replace(f'"{FIELDS}"', listed)
        elif names and select.parameter is not None:
            text = select.wrap.replace(FIELDS, select.separator.join(names))
            changed["parameters"] = {**request.parameters, select.parameter: text}
        return request.model_copy(update=changed)


def _names(
    spec: SourceSpec[Any],
    expressions: Mapping[str, str] | None,
    answer: AnswerSettings,
    select: SelectSettings,
) -> Mapping[str, Sequence[str]]:
    """Return the service's names that each field of a record needs, with the key."""
    configured, wrong = by_field(spec, select.names, AT)
    mapped, _ = by_field(spec, expressions or {})
    shape = _shape(answer)
    mistakes = [*wrong]
    found: dict[str, Sequence[str]] = {}
    for field in spec.record.model_fields:
        members: AbstractSet[str] | None = None
        if field in mapped:
            # A key is read of each row, before rows are grouped.
            of = RowShape.ROW if field == spec.key and answer.group is not None else shape
            members = compile_expression(mapped[field]).members_of(of)
        if field in configured:
            found[field] = configured[field]
        elif members is not None:
            found[field] = sorted(members)
        elif field in mapped:
            written = name_in_json(spec, field)
            what = f"lacks {written}, whose expression reads the whole row: expected what it needs."
            mistakes.append(MappingMistake(AT, what))
        elif field == spec.key:
            found[field] = _names_of_key(spec, answer)
        else:  # if there are expressions, a field without one is never read
            found[field] = (name_in_json(spec, field),) if expressions is None else ()
    # In a template, a brace starts a placeholder.
    sign = "{" if select.parameter is None else select.separator
    mistakes += [
        MappingMistake(AT, f"have {sign!r} in {name}: expected none within a name.")
        for name in dict.fromkeys(name for names in found.values() for name in names)
        if sign in name
    ]
    if mistakes:
        raise MappingError(mistakes)
    return found


def _shape(answer: AnswerSettings) -> RowShape:
    """Return what the expressions of fields are evaluated on."""
    if answer.parts is not None and answer.parts.per_user > 1:
        return RowShape.ROWS if answer.parts.name is None else RowShape.NAMED_ROWS
    return RowShape.ROW if answer.group is None else RowShape.ROWS


def _of_rows_themselves(answer: AnswerSettings, select: SelectSettings) -> Sequence[str]:
    """Return the names that decide which rows count, and in which order."""
    shape = RowShape.ROW if answer.group is not None else _shape(answer)
    order = None if answer.group is None else answer.group.order
    found: list[str] = []
    mistakes: list[MappingMistake] = []
    for place, text, of in (
        (("answer", "absent"), answer.absent, shape),
        (("answer", "group", "order"), order, RowShape.ROW),
    ):
        members = frozenset[str]() if text is None else compile_expression(text).members_of(of)
        if members is None and not select.always:
            what = "reads the whole row: expected what it needs in request.select.always."
            mistakes.append(MappingMistake(place, what))
        found += sorted(members or ())
    if mistakes:
        raise MappingError(mistakes)
    return found


def _of_foreign_keys(expressions: Mapping[str, str], shape: RowShape) -> Sequence[str]:
    """Return the names that the keys of other sources need."""
    every = {
        source: compile_expression(text).members_of(shape) for source, text in expressions.items()
    }
    mistakes = [
        MappingMistake(AT, f"lack what the key of {source} needs, which is read of the whole row.")
        for source, members in every.items()
        if members is None
    ]
    if mistakes:
        raise MappingError(mistakes)
    return sorted(frozenset[str]().union(*(members or () for members in every.values())))


def _names_of_key(spec: SourceSpec[Any], answer: AnswerSettings) -> Sequence[str]:
    """Return the name that the key needs if it has no expression."""
    if answer.key is not None:
        return _first(answer.key)
    in_row = answer.many and not answer.by_key and answer.match == "key" and answer.parts is None
    return (name_in_json(spec, spec.key),) if in_row else ()


def _first(path: Sequence[Segment]) -> Sequence[str]:
    """Return the first name of a path into a row."""
    return (path[0],) if path and isinstance(path[0], str) else ()


MAX_FIELD_SETS = 256
"""How many sets of fields of one source are cached: all subsets of eight fields."""


class SelectingSource(Generic[R]):
    """A ``Source`` that requests only the fields in ``RequestContext.fields``.

    Args:
        endpoint: The endpoint, whose request has ``select``.
        client: The client of the service.
        log: Where divided calls are logged.
        foreign_keys: Expressions for keys of other sources in its rows, by source name.
        observer: Called for each record with how it was made; ``None`` for no observer.
        fold_case: Whether keys that differ only in case are the same, whatever the settings say.
        methods: How rows are decoded and expressions evaluated.

    Raises:
        MappingError: The settings do not say which names some field needs. It has all mistakes.
    """

    def __init__(
        self,
        endpoint: Endpoint[R],
        client: ServiceClient,
        log: FilteringBoundLogger,
        foreign_keys: Mapping[str, str] | None = None,
        *,
        observer: Observer | None = None,
        fold_case: bool = False,
        methods: ReadMethods = BY_LIBRARIES,
    ) -> None:
        self._name = endpoint.spec.name
        selector = Selector(endpoint, foreign_keys)

        def narrowed(fields: FieldSet | None) -> RestSource[R]:
            narrow = selector.narrowed(fields)
            return RestSource(
                narrow.spec,
                client.endpoint(narrow.spec.name, narrow.settings),
                log,
                foreign_keys,
                observer=observer,
                fold_case=fold_case,
                methods=methods,
            )

        self._narrowed = lru_cache(MAX_FIELD_SETS)(narrowed)

    @property
    def name(self) -> str:
        """Name of the source for clients, settings and logs."""
        return self._name

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[SourceResult[R]]:
        """Fetch the wanted fields of each user.

        Args:
            keys: Keys of users, without duplicates.
            context: The context of the call; its ``fields`` are the wanted ones.

        Returns:
            One source result per key, in the order of ``keys``. Records have these fields and the
            key.
        """
        return await self._narrowed(context.fields).fetch_many(keys, context)
