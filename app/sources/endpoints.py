"""The endpoints of a source, and whether its settings fit the record. Pure.

An endpoint has one kind of request. A service may need two calls for what is one record here (an
account and its balance). Then each endpoint gives a part of the record's fields, and has its own
batches, cache and log lines, under a name such as ``billing.balance``. The endpoints share the
service: its client, connections, circuit breaker, bulkhead and retry budget.

The settings by themselves do not know the record. Mistakes are found here before the gateway
starts, by creating the readers of the endpoints.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from app.expressions.expression import ExpressionError, checked_expression
from app.settings.source import EndpointSettings, KeyFromSettings, SourceSettings
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


def endpoints_of(
    specs: Sequence[SourceSpec[Any]], sources: Mapping[str, SourceSettings]
) -> Mapping[str, Sequence[Endpoint[Any]]]:
    """Return the endpoints of each source.

    Args:
        specs: The sources. A source whose name has a dot is itself an endpoint. Its settings are in
            ``endpoints`` of its service, if that has them.
        sources: The settings by name of the service.

    Returns:
        The endpoints by name of the source, in the order of the settings. Each field of a record
        comes from one of them.

    Raises:
        MappingError: The settings do not fit the record. It has all mistakes.
    """
    taken = {spec.name for spec in specs}
    return {spec.name: _endpoints(spec, sources[spec.service], taken) for spec in specs}


def keys_of(
    endpoints: Mapping[str, Sequence[Endpoint[Any]]], key_from: Mapping[str, KeyFromSettings]
) -> Mapping[str, KeyFromSettings]:
    """Return ``key_from`` for each endpoint whose keys come from another source.

    Args:
        endpoints: The endpoints by name of the source.
        key_from: The settings ``key_from`` by name of the source.

    Returns:
        The settings by name of the endpoint, and by name of the source for its lists. ``source`` is
        the first endpoint of the other source: its rows have the keys.
    """
    return {
        child: origin.model_copy(update={"source": endpoints[origin.source][0].spec.name})
        for name, origin in key_from.items()
        for child in (name, *(endpoint.spec.name for endpoint in endpoints[name]))
    }


def foreign_of(name: str, keys: Mapping[str, KeyFromSettings]) -> Mapping[str, str]:
    """Return the expressions for the keys of other endpoints in the rows of one endpoint.

    Args:
        name: Name of the endpoint.
        keys: The result of ``keys_of``.

    Returns:
        The expressions, by name of the endpoint whose keys they give.
    """
    return {child: origin.expression for child, origin in keys.items() if origin.source == name}


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
        fields, wrong = by_field(spec, part.fields)
        mistakes += [_in_endpoint(name, mistake) for mistake in wrong]
        for field in fields:
            if field != spec.key and (other := given.setdefault(field, name)) != name:
                what = f"is given by {other} too: expected one endpoint for each field."
                mistakes.append(MappingMistake(("endpoints", name, "fields", field), what))
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
    known = SourceSettings.model_fields
    changed: dict[str, Any] = {
        name: known[name].get_default() if own is None else getattr(own, name)
        for name in MAPPING_SETTINGS
    }
    if own is not None:
        limits = {name: getattr(own, name) for name in LIMITS}
        changed |= {name: limit for name, limit in limits.items() if limit is not None}
        changed["max_calls"] = min(settings.max_calls, own.max_calls or settings.max_calls)
    return settings.model_copy(update={**changed, "endpoints": {}})


def _mistakes_of(endpoint: Endpoint[Any]) -> Sequence[MappingMistake]:
    """Return the mistakes in the settings of an endpoint."""
    try:
        reader_of(endpoint.spec, endpoint.settings)
        if endpoint.selects:
            Selector(endpoint)
    except MappingError as error:
        return error.mistakes
    return ()


def _in_endpoint(endpoint: str, mistake: MappingMistake) -> MappingMistake:
    """Put the name of the endpoint, if it has one, before the keys of a mistake."""
    prefix = ("endpoints", endpoint) if endpoint else ()
    return replace(mistake, keys=(*prefix, *mistake.keys))


_ANY_URL = "http://nowhere"
_ANY_EXPRESSION = "anything"
"""A valid expression in place of an invalid one, whose mistake is reported elsewhere."""


def misfits(spec: SourceSpec[Any], values: object) -> tuple[MappingMistake, ...]:
    """Find settings of a source that do not fit its record, even if others are invalid.

    Args:
        spec: The source.
        values: Its settings as they were read, which may be invalid.

    Returns:
        All mistakes.
    """
    settings = _valid_part(values)
    if settings is None:
        return ()
    try:
        endpoints_of([spec], {spec.service: settings})
    except MappingError as error:
        return error.mistakes
    return ()


def _valid_part(values: object) -> SourceSettings | None:
    """Return the settings that are valid by themselves; ``None`` if these are not settings."""
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
