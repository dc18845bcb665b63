"""The endpoints and lookups of a source, and whether its settings fit the record. Pure.

An endpoint has one kind of request. A service may need two calls for what is one record here (an
account and its balance). Then each endpoint gives a part of the record's fields, and has its own
batches, cache and log lines, under a name such as ``billing.balance``. The endpoints share the
service: its client, connections, circuit breaker, bulkhead and retry budget.

A lookup is an endpoint that gives no field of the record, only keys for other endpoints. Its name
is one such as ``billing.by_mail``.

The settings by themselves do not know the record. Mistakes are found here before the gateway
starts, by creating the readers of the endpoints.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from msgspec.structs import replace
from pydantic import Field, ValidationError

from app.expressions.expression import ExpressionError, checked_expression
from app.settings.request import EachRequest
from app.settings.response import AnswerSettings
from app.settings.source import CallSettings, EndpointSettings, KeyFromSettings, SourceSettings
from app.sources.base import Record, SourceSpec
from app.sources.field_selection import Selector
from app.sources.mapping.readers import reader_of
from app.sources.mapping.row_mapper import MappingError, MappingMistake, by_field
from app.sources.records_in_parts import Endpoint, partial

R = TypeVar("R", bound=Record)

LIMITS = ("timeout", "max_keys", "max_calls")
"""The settings of a source that an endpoint may replace by its own."""

MAPPING_SETTINGS = tuple(name for name in EndpointSettings.model_fields if name not in LIMITS)
"""The settings that each endpoint has for itself."""

_NO_MAPPING = {name: SourceSettings.model_fields[name].get_default() for name in MAPPING_SETTINGS}
"""The values of these settings for an endpoint without settings."""


def endpoints_of(
    specs: Collection[SourceSpec[Any]], sources: Mapping[str, SourceSettings]
) -> Mapping[str, Sequence[Endpoint[Any]]]:
    """Return the endpoints of each source, and its lookups.

    Args:
        specs: The sources. A source whose name has a dot is itself an endpoint. Its settings are in
            ``endpoints`` of its service, if that has them.
        sources: The settings by name of the service.

    Returns:
        The endpoints by name of the source, in the order of the settings. Each field of a record
        comes from one of them. Each lookup is there by its own name.

    Raises:
        MappingError: The settings do not fit the record. It has all mistakes.
    """
    taken = {spec.name for spec in specs}
    found = {spec.name: _endpoints(spec, sources[spec.service], taken) for spec in specs}
    for service in dict.fromkeys(spec.service for spec in specs):
        found |= _lookups(service, sources[service], taken)
    return found


class LookupRecord(Record):
    """A row that a lookup finds. Keys of other sources are added to it."""

    looked_up: str = Field(description="The value by which the row was looked up.")


def _lookups(
    service: str, settings: SourceSettings, taken: Collection[str]
) -> Mapping[str, Sequence[Endpoint[LookupRecord]]]:
    """Return the lookups of a service by their names, such as ``billing.by_mail``."""
    found: dict[str, Sequence[Endpoint[LookupRecord]]] = {}
    mistakes: list[MappingMistake] = []
    for lookup, own in settings.lookups.items():
        name = f"{service}.{lookup}"
        spec = SourceSpec(
            name=name, record=LookupRecord, path="", parameter="", key="looked_up", unique=True
        )
        mapping: dict[str, Any] = {"request": own.request, "answer": own.answer, "fields": {}}
        endpoint = Endpoint(spec, _with_calls(settings, own, {**_NO_MAPPING, **mapping}, None))
        found[name] = (endpoint,)
        wrong = _mistakes_of(endpoint)
        if name in taken:
            wrong = [MappingMistake((), "has the name of an endpoint: expected another name.")]
        mistakes += [replace(one, keys=("lookups", lookup, *one.keys)) for one in wrong]
    if mistakes:
        raise MappingError(mistakes)
    return found


def _says_key(settings: SourceSettings) -> bool:
    """Return whether it is known whose a row of a lookup is."""
    answer = settings.answer or AnswerSettings()
    one_key = isinstance(settings.request, EachRequest) or settings.max_keys == 1
    by_part = answer.match == "position" or answer.parts is not None
    return one_key or by_part or answer.by_key or answer.key is not None


def keys_of(
    endpoints: Mapping[str, Sequence[Endpoint[Any]]],
    key_from: Mapping[str, Sequence[KeyFromSettings]],
    services: Mapping[str, SourceSettings],
) -> Mapping[str, Sequence[KeyFromSettings]]:
    """Return the places of keys for each endpoint whose keys come from other sources.

    Args:
        endpoints: The endpoints by name of the source or lookup.
        key_from: The places of keys by name of the service or lookup.
        services: The settings of the services by name.

    Returns:
        The places in order, by name of the endpoint, and by name of the source for its lists.
        ``source`` is the first endpoint of the other source: its rows have the keys.
    """
    found: dict[str, Sequence[KeyFromSettings]] = {}
    for name, several in endpoints.items():
        spec = several[0].spec
        # What finds users by another key is not asked by the keys of its service.
        places = key_from.get(name, () if spec.unique else key_from.get(spec.service, ()))
        if places:
            at_endpoints = tuple(_at_endpoint(one, endpoints, services) for one in places)
            of_lists = name if spec.unique else spec.service
            children = (name, of_lists, *(endpoint.spec.name for endpoint in several))
            found |= dict.fromkeys(children, at_endpoints)
    return found


def _at_endpoint(
    place: KeyFromSettings,
    endpoints: Mapping[str, Sequence[Endpoint[Any]]],
    services: Mapping[str, SourceSettings],
) -> KeyFromSettings:
    """Replace the source of a place of keys by its first endpoint."""
    service = place.source.partition(".")[0]
    first = f"{place.source}.{next(iter(services[service].endpoints), '')}"
    several = endpoints.get(first, ())
    if not several or several[0].spec.unique:
        several = endpoints[place.source]  # the first endpoint is not read apart
    return place.model_copy(update={"source": several[0].spec.name})


def sources_of_keys(
    keys: Mapping[str, Sequence[KeyFromSettings]],
) -> Mapping[str, tuple[str, ...]]:
    """Return the endpoints that have the keys of others, without the expressions.

    Args:
        keys: The result of ``keys_of``.

    Returns:
        Names of the endpoints in order, by name of the endpoint whose keys they have.
    """
    return {name: tuple(one.source for one in places) for name, places in keys.items()}


def foreign_of(name: str, keys: Mapping[str, Sequence[KeyFromSettings]]) -> Mapping[str, str]:
    """Return the expressions for the keys of other endpoints in the rows of one endpoint.

    Args:
        name: Name of the endpoint.
        keys: The result of ``keys_of``.

    Returns:
        The expressions, by name of the endpoint whose keys they give.
    """
    return {
        child: place.expression
        for child, places in keys.items()
        for place in places
        if place.source == name
    }


def _endpoints(
    spec: SourceSpec[R], settings: SourceSettings, taken: Collection[str]
) -> Sequence[Endpoint[R]]:
    """Return the endpoints of one source."""
    own = spec.name.partition(".")[2]
    others = {
        name: endpoint
        for name, endpoint in settings.endpoints.items()
        if f"{spec.name}.{name}" not in taken
    }
    found: Mapping[str, Endpoint[R]]
    mistakes: dict[tuple[str, ...], MappingMistake] = {}
    if own:
        found = {own: Endpoint(spec, _endpoint_settings(settings, settings.endpoints.get(own)))}
    elif others:
        found, wrong = _partition(spec, settings, others)
        mistakes = {mistake.keys: mistake for mistake in wrong}
    else:
        found = {"": Endpoint(spec, settings)}
    for name, endpoint in found.items():
        for mistake in _mistakes_of(endpoint):
            inner = _in_endpoint(name, mistake)
            mistakes.setdefault(inner.keys, inner)
    if mistakes:
        raise MappingError([*mistakes.values()])
    return tuple(found.values())


def _partition(
    spec: SourceSpec[R], settings: SourceSettings, parts: Mapping[str, EndpointSettings]
) -> tuple[Mapping[str, Endpoint[R]], Sequence[MappingMistake]]:
    """Divide the record of a source over its endpoints, by the fields that they give.

    Return the endpoints, and the mistakes in which endpoint gives what.
    """
    mistakes = [
        MappingMistake((name,), "stands beside endpoints: expected it in each of them.")
        for name in MAPPING_SETTINGS
        if getattr(settings, name) not in (None, {})
    ]
    given: dict[str, str] = {}
    for name, part in parts.items():
        if not part.fields:
            what = "gives no field: expected an expression for at least one."
            mistakes.append(MappingMistake(("endpoints", name, "fields"), what))
        written = {one: one for one in part.fields or {}}
        fields, wrong = by_field(spec, written)
        mistakes += [_in_endpoint(name, mistake) for mistake in wrong]
        for field, one in fields.items():
            if field != spec.key and (other := given.setdefault(field, name)) != name:
                what = f"is given by {other} too: expected one endpoint for each field."
                mistakes.append(MappingMistake(("endpoints", name, "fields", one), what))
    first = next(iter(parts))
    for field in spec.record.model_fields:
        if field not in given and field != spec.key:
            given[field] = first  # a field that no endpoint gives is missing in its rows
    endpoints = {
        name: Endpoint(
            replace(
                partial(spec, [field for field, endpoint in given.items() if endpoint == name]),
                name=f"{spec.name}.{name}",
            ),
            _endpoint_settings(settings, part),
        )
        for name, part in parts.items()
    }
    return endpoints, mistakes


def _endpoint_settings(settings: SourceSettings, own: EndpointSettings | None) -> SourceSettings:
    """Return the settings of an endpoint: its own mapping and limits, the rest of its service."""
    mapping = {name: getattr(own, name, default) for name, default in _NO_MAPPING.items()}
    return _with_calls(settings, own, mapping, settings.key_from)


def _with_calls(
    settings: SourceSettings,
    own: CallSettings | None,
    mapping: Mapping[str, Any],
    key_from: object,
) -> SourceSettings:
    """Return the settings of a service with the mapping and the limits of one of its endpoints."""
    changed: dict[str, Any] = {**mapping, "endpoints": {}, "lookups": {}, "key_from": key_from}
    if own is not None:
        limits = {name: getattr(own, name) for name in LIMITS}
        changed |= {name: limit for name, limit in limits.items() if limit is not None}
        changed["max_calls"] = min(settings.max_calls, own.max_calls or settings.max_calls)
    return settings.model_copy(update=changed)


def _mistakes_of(endpoint: Endpoint[Any]) -> Sequence[MappingMistake]:
    """Return the mistakes in the settings of an endpoint."""
    try:
        reader_of(endpoint.spec, endpoint.settings)
        if endpoint.selects:
            Selector(endpoint)
    except MappingError as error:
        return error.mistakes
    if endpoint.spec.unique and not _says_key(endpoint.settings):
        what = "has no key: expected the path of the value by which rows are looked up."
        return (MappingMistake(("answer",), what),)
    return ()


def _in_endpoint(endpoint: str, mistake: MappingMistake) -> MappingMistake:
    """Put the name of the endpoint, if it has one, before the keys of a mistake."""
    prefix = ("endpoints", endpoint) if endpoint else ()
    return replace(mistake, keys=(*prefix, *mistake.keys))


_ANY_URL = "http://nowhere"
_ANY_EXPRESSION = "anything"
"""A valid expression in place of an invalid one, whose mistake is reported elsewhere."""


def misfits(
    spec: SourceSpec[Any], settings: SourceSettings, taken: Collection[str]
) -> tuple[MappingMistake, ...]:
    """Find settings of a source that do not fit its record.

    Args:
        spec: The source.
        settings: Its settings.
        taken: The names of all sources. An endpoint of the settings that has one of them belongs to
            that source.

    Returns:
        All mistakes.
    """
    try:
        _endpoints(spec, settings, taken)
        _lookups(spec.service, settings, taken)
    except MappingError as error:
        return error.mistakes
    return ()


def valid_part(values: object) -> SourceSettings | None:
    """Return the settings of a source that are valid by themselves.

    Args:
        values: The settings as they were read, which may be invalid.

    Returns:
        The valid ones; ``None`` if these are not settings.
    """
    if not isinstance(values, dict):
        return None
    given = cast("Mapping[str, object]", values)
    known = SourceSettings.model_fields
    valid = {
        name: value
        for name, value in _with_valid_expressions(given)
        if name in known and _validated({"base_url": _ANY_URL, name: value}) is not None
    }
    return _validated({"base_url": _ANY_URL, **valid})


def _with_valid_expressions(values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Replace each invalid expression by a valid one."""
    for name, value in values.items():
        if name == "fields" and isinstance(value, dict):
            fields = cast("Mapping[str, object]", value)
            yield (
                name,
                {
                    field: text if _is_expression(text) else _ANY_EXPRESSION
                    for field, text in fields.items()
                },
            )
        else:
            yield name, value


def _is_expression(text: object) -> bool:
    """Return whether a value is a valid expression."""
    try:
        return isinstance(text, str) and bool(checked_expression(text))
    except ExpressionError:
        return False


def _validated(values: Mapping[str, object]) -> SourceSettings | None:
    """Return the settings; ``None`` if they are invalid."""
    try:
        return SourceSettings.model_validate(values)
    except ValidationError:
        return None
