"""The endpoints of a source, and whether its settings fit the record. Pure.

What of a source is asked by itself: the endpoints that give its record, or all of it at once.

One source is one request form. Where a service takes two calls for what is one record here (an
account and its balance), each of them is a source of its own that holds a part of the record's
fields: with batches, cache and log lines of its own, by the name ``billing.balance``. They share
the service: its client, connections, breaker, bulkhead and budget of repetitions.

Whether the settings of sources fit the records that they are made into. Pure.

The settings by themselves know no record. What does not fit is found here before anything starts,
by making what would read the source's answers.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from app.expressions.expression import ExpressionError, checked_expression
from app.settings.source import EndpointSettings, KeyFromSettings, SourceSettings
from app.sources.base import Record, SourceSpec
from app.sources.field_selection import Selector
from app.sources.mapping.reader import reader_of
from app.sources.mapping.row_mapper import MappingError, MappingMistake, by_field
from app.sources.records_in_parts import Endpoint, partial

R = TypeVar("R", bound=Record)

MAPPING_SETTINGS = tuple(EndpointSettings.model_fields)
"""The settings that an endpoint has of its own."""


def endpoints_of(
    specs: Sequence[SourceSpec[Any]], sources: Mapping[str, SourceSettings]
) -> Mapping[str, Sequence[Endpoint[Any]]]:
    """Find what is asked for each source.

    Args:
        specs: The sources. One whose name has a dot is an endpoint by itself, of the settings'
            ``endpoints`` where they have it.
        sources: The settings of their services.

    Returns:
        The endpoints by name of the source, in the order of the settings. Each field of a record
        is given by one of them.

    Raises:
        MappingError: The settings do not fit the record; with all mistakes.
    """
    taken = {spec.name for spec in specs}
    return {spec.name: _of(spec, sources[spec.service], taken) for spec in specs}


def keys_of(
    endpoints: Mapping[str, Sequence[Endpoint[Any]]], key_from: Mapping[str, KeyFromSettings]
) -> Mapping[str, KeyFromSettings]:
    """Find where the keys are of each endpoint that knows users by another source's.

    Args:
        endpoints: What is asked for each source, by its name.
        key_from: Where the keys are of each source that has some of its own.

    Returns:
        The same by name of the endpoint, and of the source for its lists. The keys of others are in
        the rows of a source's first endpoint.
    """
    return {
        child: one.model_copy(update={"source": endpoints[one.source][0].spec.name})
        for name, one in key_from.items()
        for child in (name, *(endpoint.spec.name for endpoint in endpoints[name]))
    }


def foreign_of(name: str, keys: Mapping[str, KeyFromSettings]) -> Mapping[str, str]:
    """Find the expressions for the keys that are in the rows of one endpoint.

    Args:
        name: The endpoint.
        keys: Where the keys are of each.

    Returns:
        The expressions, by whose keys they are.
    """
    return {child: one.expression for child, one in keys.items() if one.source == name}


def _of(
    spec: SourceSpec[R], settings: SourceSettings, taken: Collection[str]
) -> Sequence[Endpoint[R]]:
    """Find what is asked for one source."""
    own = spec.name.partition(".")[2]
    others = {
        name: endpoint
        for name, endpoint in settings.endpoints.items()
        if f"{spec.name}.{name}" not in taken
    }
    found: Mapping[str, Endpoint[R]]
    if own:
        found = {own: Endpoint(spec, _mapped(settings, settings.endpoints.get(own)))}
    elif others:
        found = _divided(spec, settings, others)
    else:
        found = {"": Endpoint(spec, settings)}
    mistakes = [_within(name, one) for name in found for one in _mistakes_of(found[name])]
    if mistakes:
        raise MappingError(mistakes)
    return tuple(found.values())


def _divided(
    spec: SourceSpec[R], settings: SourceSettings, parts: Mapping[str, EndpointSettings]
) -> Mapping[str, Endpoint[R]]:
    """Divide a source by the fields that its endpoints give."""
    mistakes = [
        MappingMistake((name,), "stands beside endpoints: expected it in each of them.")
        for name in MAPPING_SETTINGS
        if getattr(settings, name) is not None
    ]
    given: dict[str, str] = {}
    for name, part in parts.items():
        fields, wrong = by_field(spec, part.fields)
        mistakes += [_within(name, one) for one in wrong]
        for field in fields:
            if field != spec.key and (other := given.setdefault(field, name)) != name:
                what = f"is given by {other} too: expected one endpoint for each field."
                mistakes.append(MappingMistake(("endpoints", name, "fields", field), what))
    first = next(iter(parts))
    for field, info in spec.record.model_fields.items():
        if field not in given and field != spec.key:
            given[field] = first  # what may be missing is, unless somebody gives it
            if info.is_required():
                what = f"give no {field}: expected it in the fields of one of them."
                mistakes.append(MappingMistake(("endpoints",), what))
    if mistakes:
        raise MappingError(mistakes)
    return {
        name: Endpoint(
            replace(
                partial(spec, [field for field, giver in given.items() if giver == name]),
                name=f"{spec.name}.{name}",
            ),
            _mapped(settings, part),
        )
        for name, part in parts.items()
    }


def _mapped(settings: SourceSettings, own: EndpointSettings | None) -> SourceSettings:
    """Make the settings of an endpoint: its own shape, and all else of its service."""
    shape = {name: getattr(own, name, None) for name in MAPPING_SETTINGS}
    return settings.model_copy(update={**shape, "endpoints": {}})


def _mistakes_of(endpoint: Endpoint[Any]) -> Sequence[MappingMistake]:
    """Tell where an endpoint could not be asked, or its answers not be read."""
    try:
        reader_of(endpoint.spec, endpoint.settings)
        if endpoint.selects:
            Selector(endpoint)
    except MappingError as error:
        return error.mistakes
    return ()


def _within(endpoint: str, mistake: MappingMistake) -> MappingMistake:
    """Say of which endpoint a mistake is, where it is of one."""
    around = ("endpoints", endpoint) if endpoint else ()
    return replace(mistake, keys=(*around, *mistake.keys))


_SOMEWHERE = "http://nowhere"
_ANYTHING = "anything"
"""An expression that is right, in place of one that is not: its own mistake is told already."""


def misfits(spec: SourceSpec[Any], values: object) -> tuple[MappingMistake, ...]:
    """Find what does not fit in the settings of a source, whatever else is wrong with them.

    Args:
        spec: The source.
        values: Its settings as they were read, which need not be right.

    Returns:
        All that is wrong, by place below them.
    """
    settings = _as_far_as_right(values)
    if settings is None:
        return ()
    try:
        endpoints_of([spec], {spec.service: settings})
    except MappingError as error:
        return error.mistakes
    return ()


def _as_far_as_right(values: object) -> SourceSettings | None:
    """Take of some settings what is right by itself; ``None`` where nothing can be."""
    if not isinstance(values, dict):
        return None
    given = cast("Mapping[str, object]", values)
    known = SourceSettings.model_fields
    right = {
        name: value
        for name, value in _with_right_expressions(given)
        if name in known and _made({"base_url": _SOMEWHERE, name: value}) is not None
    }
    return _made({"base_url": _SOMEWHERE, **right})


def _with_right_expressions(values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Put a right expression in place of each that is not."""
    for name, value in values.items():
        if name == "fields" and isinstance(value, dict):
            fields = cast("Mapping[str, object]", value)
            yield (
                name,
                {one: text if _is_right(text) else _ANYTHING for one, text in fields.items()},
            )
        else:
            yield name, value


def _is_right(text: object) -> bool:
    """Tell whether something is an expression."""
    try:
        return isinstance(text, str) and bool(checked_expression(text))
    except ExpressionError:
        return False


def _made(values: Mapping[str, object]) -> SourceSettings | None:
    """Make settings, if they are right."""
    try:
        return SourceSettings.model_validate(values)
    except ValidationError:
        return None
