"""The forms of requests, as the settings of sources say them. Pure."""

from collections.abc import Mapping
from typing import Any, assert_never
from urllib.parse import quote

from app.shapes.parts import KEY, KEYS
from app.shapes.request import (
    BodyRequest,
    EachRequest,
    FilterRequest,
    ListRequest,
    RepeatRequest,
    RequestSettings,
)
from app.shapes.source import SourceSettings
from app.shapes.template import cut_template
from app.sources import escapes
from app.sources.auth import query_of
from app.sources.base import SourceSpec
from app.sources.escapes import Write
from app.sources.form import Form

_NOT_FOUND = frozenset({404})


def form_of(spec: SourceSpec[Any], settings: SourceSettings) -> Form:
    """Make the form in which a source is asked.

    Args:
        spec: The source, which tells it where the settings do not.
        settings: How it is reached.

    Returns:
        The form.
    """
    request = settings.request or RepeatRequest(
        form="repeat", path=spec.path, parameter=spec.parameter
    )
    match request:
        case RepeatRequest():
            name = f"{_fixed(request.parameter)}="
            write = escapes.in_query(escapes.as_it_is)
            return _queried(
                request,
                settings,
                before=name,
                between=f"&{name}",
                after="",
                write=write,
                everyday=True,
            )
        case ListRequest():
            return _list(request, settings)
        case FilterRequest():
            return _filter(request, settings)
        case BodyRequest():
            return _body(request, settings)
        case EachRequest():
            return _each(request, settings)
        case _:
            assert_never(request)


def pair(parameter: str, value: str) -> str:
    """Write one query parameter; whatever is in the value stays in it.

    Args:
        parameter: Its name, which needs no escaping.
        value: Any text.

    Returns:
        The pair, percent-encoded (RFC 3986, section 2.1).
    """
    return f"{parameter}={quote(value, safe='')}"


def _fixed(text: str) -> str:
    """Write what is no key into a query.

    What a query may have as it is stays so (RFC 3986, section 3.4): some services look for commas
    before they decode.
    """
    return quote(text, safe="!$'()*,:@/")


def _fixed_parameters(request: RequestSettings) -> str:
    """Write the query of parameters that are always sent; empty when there are none."""
    every: Mapping[str, str | tuple[str, ...]] = request.parameters
    if request.page_size_parameter is not None:
        every = {**every, request.page_size_parameter: str(request.page_size)}
    pairs = (
        (name, value)
        for name, values in every.items()
        for value in ((values,) if isinstance(values, str) else values)
    )
    return "&".join(f"{_fixed(name)}={_fixed(value)}" for name, value in pairs)


def _max_keys(request: RequestSettings, settings: SourceSettings) -> int:
    """Find the most keys of a request: no more than rows fit into its answer."""
    return min(settings.max_keys, request.page_size or settings.max_keys)


def _room(settings: SourceSettings) -> int:
    """Count the bytes of a URL that are left for path and query."""
    return settings.max_url_bytes - len(settings.base_url) - len(query_of(settings.auth))


def _queried(
    request: RepeatRequest | ListRequest | FilterRequest,
    settings: SourceSettings,
    *,
    before: str,
    between: str,
    after: str,
    write: Write,
    everyday: bool,
) -> Form:
    """Make a form whose keys are in a query, from the parts of that."""
    fixed = _fixed_parameters(request)
    start = f"{request.path}?{fixed}&{before}" if fixed else f"{request.path}?{before}"
    return Form(
        request=request,
        before=start,
        between=between,
        after=after,
        write=write,
        everyday=everyday,
        target=None,
        headers=tuple(request.headers.items()),
        max_keys=_max_keys(request, settings),
        max_bytes=_room(settings) - len(start) - len(after),
        at_a_time=settings.max_calls,
    )


def _list(request: ListRequest, settings: SourceSettings) -> Form:
    """Make the form of a list of keys."""
    mark = request.quote
    start, _, end = request.wrap.partition(KEYS)
    return _queried(
        request,
        settings,
        before=f"{_fixed(request.parameter)}={_fixed(start + mark)}",
        between=_fixed(mark + request.separator + mark),
        after=_fixed(mark + end),
        write=escapes.in_query(
            escapes.in_quotes(mark, request.escape)
            if mark
            else escapes.in_list(request.separator, end)
        ),
        everyday=bool(mark),
    )


def _filter(request: FilterRequest, settings: SourceSettings) -> Form:
    """Make the form of an expression for each key."""
    start, _, end = request.wrap.partition(KEYS)
    lead, _, trail = request.each.partition(KEY)
    mark = request.quote
    return _queried(
        request,
        settings,
        before=f"{_fixed(request.parameter)}={_fixed(start + lead)}",
        between=_fixed(trail + request.join + lead),
        after=_fixed(trail + end),
        write=escapes.in_query(
            escapes.in_quotes(mark, request.escape) if mark else escapes.in_expression
        ),
        everyday=bool(mark),
    )


def _body(request: BodyRequest, settings: SourceSettings) -> Form:
    """Make the form of a JSON body."""
    cut = cut_template(request.template, numbers=request.numbers)
    fixed = _fixed_parameters(request)
    headers = tuple(request.headers.items())
    if not any(name.lower() == "content-type" for name in request.headers):
        headers = (("Content-Type", "application/json"), *headers)
    return Form(
        request=request,
        before=cut.before,
        between=cut.between,
        after=cut.after,
        write=escapes.as_number if request.numbers else escapes.in_json,
        everyday=not request.numbers,
        target=f"{request.path}?{fixed}" if fixed else request.path,
        headers=headers,
        max_keys=_max_keys(request, settings),
        max_bytes=request.max_body_bytes - len(cut.before) - len(cut.after),
        at_a_time=settings.max_calls,
    )


def _each(request: EachRequest, settings: SourceSettings) -> Form:
    """Make the form of one call a key."""
    fixed = _fixed_parameters(request)
    if request.parameter is None:
        start, _, end = request.path.partition(KEY)
        before, after = start, f"{end}?{fixed}" if fixed else end
        write = escapes.in_path(start.rpartition("/")[2] + end.partition("/")[0])
    else:
        query = f"{fixed}&{_fixed(request.parameter)}" if fixed else _fixed(request.parameter)
        before, after = f"{request.path}?{query}=", ""
        write = escapes.in_query(escapes.not_empty)
    return Form(
        request=request,
        before=before,
        between="",
        after=after,
        write=write,
        everyday=False,  # a dot is written as it is elsewhere
        target=None,
        headers=tuple(request.headers.items()),
        max_keys=1,
        max_bytes=_room(settings) - len(before) - len(after),
        at_a_time=min(request.max_concurrent_calls, settings.max_calls),
        # Where the table of statuses has a word for it, that is what it means.
        absent=_NOT_FOUND
        if settings.answer is None
        else _NOT_FOUND - settings.answer.status.keys(),
    )
