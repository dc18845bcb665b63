"""Asking a service for no more fields of its rows than are wanted.

For each set of fields there is a question and a record of its own, made when it is first wanted:
a source as any other, of a part of the fields.

What a service is asked for, and what is read of it, where only some fields are wanted. Pure.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar

import orjson
from structlog.typing import FilteringBoundLogger

from app.errors import SourceFailure
from app.expressions.expression import compile_expression
from app.settings.request import FIELDS, BodyRequest, RequestSettings, SelectSettings
from app.settings.response import AnswerSettings, Segment
from app.sources.base import FieldSet, Record, RequestContext, SourceSpec, UserId
from app.sources.client import ServiceClient
from app.sources.mapping.contract import Observer
from app.sources.mapping.decoding import DecoderFactory, validating_decoder
from app.sources.mapping.row_mapper import MappingError, MappingMistake, by_field, name_in_json
from app.sources.records_in_parts import Endpoint, partial
from app.sources.rest import RestSource

R = TypeVar("R", bound=Record)

AT = ("request", "select", "names")
"""Where the names that fields need are in the settings."""


class Selector(Generic[R]):
    """Narrows what is asked of one source, and what is read, to some fields. Pure.

    Args:
        endpoint: The source, whose request has ``select``.
        foreign_keys: Expressions for other sources' keys in its rows: what they need is always
            asked for.

    Raises:
        MappingError: It is not known what some field needs; with all mistakes.
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
            *_of_foreign_keys(foreign_keys or {}),
        )

    def names(self, fields: FieldSet | None) -> tuple[str, ...]:
        """Find what the service is asked for.

        Args:
            fields: Fields of the record; ``None`` for all.

        Returns:
            The service's own names, each once: first those that are always asked for, the key's
            among them, then in the order of the record.
        """
        some = self._all if fields is None else fields
        wanted = (name for one, names in self._names.items() if one in some for name in names)
        return tuple(dict.fromkeys([*self._always, *wanted]))

    def narrowed(self, fields: FieldSet | None) -> Endpoint[R]:
        """Narrow the source.

        Args:
            fields: Fields of the record; ``None`` for all.

        Returns:
            The source whose record has these and the key, and whose request asks for them.
        """
        some = self._all if fields is None else fields
        kept = self._settings.fields
        if kept is not None:
            found, _ = by_field(self._spec, kept)
            kept = {one: text for one, text in found.items() if one in {*some, self._spec.key}}
        changed = {"request": self._asking(self.names(fields)), "fields": kept}
        return Endpoint(partial(self._spec, some), self._settings.model_copy(update=changed))

    def _asking(self, names: Sequence[str]) -> RequestSettings:
        """Write the request for some names; without any, it is for all there is."""
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
    """Find the names that each field of a record needs, the key among them."""
    told, wrong = by_field(spec, select.names, AT)
    made, _ = by_field(spec, expressions or {})
    mistakes = [*wrong]
    found: dict[str, Sequence[str]] = {}
    for field in spec.record.model_fields:
        if field in told:
            found[field] = told[field]
        elif field in made and (members := compile_expression(made[field]).members) is not None:
            found[field] = sorted(members)
        elif field in made:
            what = f"lacks {field}, whose expression reads the whole row: expected what it needs."
            mistakes.append(MappingMistake(AT, what))
        elif field == spec.key:
            found[field] = _of_the_key(spec, answer)
        else:  # without an expression it is never read, where others have one
            found[field] = (name_in_json(spec, field),) if expressions is None else ()
    # In a template a brace begins the place of a key.
    sign = "{" if select.parameter is None else select.separator
    mistakes += [
        MappingMistake(AT, f"have {sign!r} in {name}: expected none within a name.")
        for name in dict.fromkeys(name for names in found.values() for name in names)
        if sign in name
    ]
    if mistakes:
        raise MappingError(mistakes)
    return found


def _of_foreign_keys(expressions: Mapping[str, str]) -> Sequence[str]:
    """Find the names that other sources' keys need."""
    every = {source: compile_expression(text).members for source, text in expressions.items()}
    mistakes = [
        MappingMistake(AT, f"lack what the key of {source} needs, which is read of the whole row.")
        for source, members in every.items()
        if members is None
    ]
    if mistakes:
        raise MappingError(mistakes)
    return sorted(frozenset[str]().union(*(members or () for members in every.values())))


def _of_the_key(spec: SourceSpec[Any], answer: AnswerSettings) -> Sequence[str]:
    """Find the name that the key needs, where no expression gives it."""
    if answer.key is not None:
        return _first(answer.key)
    return () if answer.by_key or not answer.many else (name_in_json(spec, spec.key),)


def _first(path: Sequence[Segment]) -> Sequence[str]:
    """Find the name that a path into a row begins with."""
    return (path[0],) if path and isinstance(path[0], str) else ()


MAX_FIELD_SETS = 256
"""How many sets of fields of one source are kept ready: all there are of eight fields."""


class SelectingSource(Generic[R]):
    """A ``Source`` that asks for no more fields than ``RequestContext.fields``."""

    def __init__(
        self,
        endpoint: Endpoint[R],
        client: ServiceClient,
        log: FilteringBoundLogger,
        foreign_keys: Mapping[str, str] | None = None,
        *,
        observer: Observer | None = None,
        fold_case: bool = False,
        decoders: DecoderFactory = validating_decoder,
    ) -> None:
        self._name = endpoint.spec.name
        selector = Selector(endpoint, foreign_keys)

        def narrowed(fields: FieldSet | None) -> RestSource[R]:
            one = selector.narrowed(fields)
            asking = client.endpoint(one.spec.name, one.settings)
            return RestSource(
                one.spec,
                asking,
                log,
                foreign_keys,
                observer=observer,
                fold_case=fold_case,
                decoders=decoders,
            )

        self._narrowed = lru_cache(MAX_FIELD_SETS)(narrowed)

    @property
    def name(self) -> str:
        """What clients, settings and logs call the source."""
        return self._name

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> Sequence[R | SourceFailure | None]:
        """Fetch the wanted fields of each user.

        Args:
            keys: Users, each once.
            context: What of the incoming request goes on; its ``fields`` are what is wanted.

        Returns:
            One answer a key, in the order of the keys; records have these fields and the key.
        """
        return await self._narrowed(context.fields).fetch_many(keys, context)
