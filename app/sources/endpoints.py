"""What of a source is asked by itself: the endpoints that give its record, or all of it at once.

One source is one request form. Where a service takes two calls for what is one record here (an
account and its balance), each of them is a source of its own that holds a part of the record's
fields: with flights, cache and log lines of its own, by the name ``billing.balance``. They share
the service: its client, connections, breaker, bulkhead and budget of repetitions.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from app.shapes.endpoint import EndpointSettings
from app.shapes.key_from import KeyFromSettings
from app.shapes.source import SourceSettings
from app.sources.base import Record, SourceSpec
from app.sources.endpoint import Endpoint
from app.sources.mapping import Mistake, ShapeError, by_field
from app.sources.partial import partial
from app.sources.reader import reader_of
from app.sources.selector import Selector

R = TypeVar("R", bound=Record)

SHAPE = tuple(EndpointSettings.model_fields)
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
        ShapeError: The settings do not fit the record; with all mistakes.
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
        found = {own: Endpoint(spec, _shaped(settings, settings.endpoints.get(own)))}
    elif others:
        found = _divided(spec, settings, others)
    else:
        found = {"": Endpoint(spec, settings)}
    mistakes = [_within(name, one) for name in found for one in _mistakes_of(found[name])]
    if mistakes:
        raise ShapeError(mistakes)
    return tuple(found.values())


def _divided(
    spec: SourceSpec[R], settings: SourceSettings, parts: Mapping[str, EndpointSettings]
) -> Mapping[str, Endpoint[R]]:
    """Divide a source by the fields that its endpoints give."""
    mistakes = [
        Mistake((name,), "stands beside endpoints: expected it in each of them.")
        for name in SHAPE
        if getattr(settings, name) is not None
    ]
    given: dict[str, str] = {}
    for name, part in parts.items():
        fields, wrong = by_field(spec, part.fields)
        mistakes += [_within(name, one) for one in wrong]
        for field in fields:
            if field != spec.key and (other := given.setdefault(field, name)) != name:
                what = f"is given by {other} too: expected one endpoint for each field."
                mistakes.append(Mistake(("endpoints", name, "fields", field), what))
    first = next(iter(parts))
    for field, info in spec.record.model_fields.items():
        if field not in given and field != spec.key:
            given[field] = first  # what may be missing is, unless somebody gives it
            if info.is_required():
                what = f"give no {field}: expected it in the fields of one of them."
                mistakes.append(Mistake(("endpoints",), what))
    if mistakes:
        raise ShapeError(mistakes)
    return {
        name: Endpoint(
            replace(
                partial(spec, [field for field, giver in given.items() if giver == name]),
                name=f"{spec.name}.{name}",
            ),
            _shaped(settings, part),
        )
        for name, part in parts.items()
    }


def _shaped(settings: SourceSettings, own: EndpointSettings | None) -> SourceSettings:
    """Make the settings of an endpoint: its own shape, and all else of its service."""
    shape = {name: getattr(own, name, None) for name in SHAPE}
    return settings.model_copy(update={**shape, "endpoints": {}})


def _mistakes_of(endpoint: Endpoint[Any]) -> Sequence[Mistake]:
    """Tell where an endpoint could not be asked, or its answers not be read."""
    try:
        reader_of(endpoint.spec, endpoint.settings)
        if endpoint.selects:
            Selector(endpoint)
    except ShapeError as error:
        return error.mistakes
    return ()


def _within(endpoint: str, mistake: Mistake) -> Mistake:
    """Say of which endpoint a mistake is, where it is of one."""
    around = ("endpoints", endpoint) if endpoint else ()
    return replace(mistake, keys=(*around, *mistake.keys))
