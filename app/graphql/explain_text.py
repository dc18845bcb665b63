"""An explanation, and what is wrong with a request, as text for a person. Pure."""

from collections.abc import Iterator, Sequence

from graphql import GraphQLFormattedError

from app.graphql.explanation import (
    Explanation,
    FieldExplanation,
    PagesExplanation,
    SourceExplanation,
    SourceReading,
)

MAX_BATCHES = 6
"""How many calls have their sizes told one by one."""


def explanation_text(explanation: Explanation) -> str:
    """Write an explanation for a person.

    Args:
        explanation: The explanation.

    Returns:
        Lines: how the operation is run, a tree of its fields, and a table of the calls.
    """
    name = f"Operation {explanation.operation}" if explanation.operation else "The operation"
    way = (
        "compiled: its answer is written straight from the sources' records"
        if explanation.compiled
        else f"interpreted by the resolvers ({explanation.interpreted_because})"
    )
    lines = [f"{name} is {way}."]
    for field in explanation.fields:
        lines += ["", *_tree(field)]
    lines += ["", *_table(explanation), "", _cost(explanation), "Nothing was called for this."]
    return "\n".join(lines)


def error_line(error: GraphQLFormattedError) -> str:
    """Write an error for a person.

    Args:
        error: The error, as clients see it.

    Returns:
        Its code, its message and its places in the document.
    """
    code = error.get("extensions", {}).get("code")
    places = [f"line {one['line']}, column {one['column']}" for one in error.get("locations", ())]
    return f"{code}: {error.get('message')}" + (f" ({'; '.join(places)})" if places else "")


def _tree(field: FieldExplanation) -> Iterator[str]:
    """Write a field of the operation, and below it the sources and what reads them."""
    alias = f"{field.key}: " if field.key != field.field else ""
    yield f"{alias}{field.field}{_whom(field)}"
    branches = [(one.source, _what(one)) for one in field.sources]
    if field.sourceless:
        branches.append(("no source", ", ".join(field.sourceless)))
    if field.hidden:
        branches.append(("hidden", ", ".join(field.hidden)))
    width = max((len(name) for name, _ in branches), default=0)
    for number, (name, what) in enumerate(branches, start=1):
        bough = "└─" if number == len(branches) else "├─"
        yield f"{bough} {name:{width}}  {what}"


def _what(reading: SourceReading) -> str:
    """Say what of a source is read."""
    if reading.for_keys_only:
        return f"only the keys of {_and(reading.keys_of)}"
    what = ", ".join(reading.fields) or "only whether the user exists"
    return what + (f", and the keys of {_and(reading.keys_of)}" if reading.keys_of else "")


def _whom(field: FieldExplanation) -> str:
    """Say whom a field asks about."""
    if field.missing_variables:
        who = "1 id" if field.field == "user" else "ids"
        return f", {who} told at run time by {_listed(field.missing_variables)}"
    if field.ids is None:
        return ", nobody: see what is wrong with it" if field.wrong else ", without any source"
    text = f", {_counted(field.ids, 'id')}"
    if field.distinct_ids is not None and field.distinct_ids < field.ids - len(field.wrong):
        text += f" of {_counted(field.distinct_ids, 'user')}"
    return text + (f", {len(field.wrong)} of them wrong" if field.wrong else "")


def _table(explanation: Explanation) -> Iterator[str]:
    """Write the calls to each source."""
    if not explanation.sources:
        yield "Calls: none."
        return
    at_most = any(source.pages or source.key_from for source in explanation.sources)
    number = (
        "as many as the users told at run time take"
        if explanation.calls is None
        else f"{explanation.calls} at most"
        if at_most
        else str(explanation.calls)
    )
    yield f"Calls: {number}{_order(explanation.sources)}."
    rows: list[tuple[str, str, str]] = []
    for source in explanation.sources:
        rows.append((source.name, _request(source), _batches(source)))
        rows += [("", _request(pages), _pages(pages)) for pages in source.pages]
    names, requests = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, request, what in rows:
        yield f"  {name:{names}}  {request:{requests}}  {what}"


def _order(sources: Sequence[SourceExplanation]) -> str:
    """Say which sources are asked when."""
    later = [f"{one.name} after {one.key_from}" for one in sources if one.key_from is not None]
    together = len(sources) - len(later)
    if not later:
        return ", all sources at the same time" if together > 1 else ""
    return f", {_and(later)}" + (", all others at the same time" if together > 1 else "")


def _cost(explanation: Explanation) -> str:
    """Write what the operation costs."""
    most = "" if explanation.max_cost is None else f", of {explanation.max_cost:,} at most"
    if explanation.cost is None:
        return f"Cost: as the users told at run time make it{most}."
    return f"Cost: {explanation.cost:,}{most}."


def _request(asked: SourceExplanation | PagesExplanation) -> str:
    """Write what is sent."""
    method = asked.method if isinstance(asked, SourceExplanation) else "GET"
    query = "" if asked.parameter is None else f"?{asked.parameter}=…"
    return f"{method} {asked.path}{query}"


def _batches(source: SourceExplanation) -> str:
    """Say how the users of a source become calls."""
    cached = ", fewer where the cache has answers" if source.cached else ""
    most = "" if source.key_from is None else "at most "
    if source.selects:
        cached = f", only {', '.join(source.selects)} of each{cached}"
    if source.batches is None:
        known = f"{_counted(len(source.keys), 'user')} and those" if source.keys else "users"
        return f"{known} told at run time, up to {source.max_keys:,} in a call{cached}"
    calls = _counted(len(source.batches), "call")
    text = f"{most}{_counted(sum(source.batches), 'user')} in {calls}"
    if len(source.batches) > 1:
        *full, _ = source.batches
        if len(source.batches) <= MAX_BATCHES:
            text += f" ({' + '.join(map(str, source.batches))})"
        text += (
            f", up to {source.max_keys:,} in a call"
            if set(full) == {source.max_keys}
            else f", in URLs of up to {source.max_url_bytes:,} bytes"
            if source.max_body_bytes is None
            else f", in bodies of up to {source.max_body_bytes:,} bytes"
        )
    if source.at_a_time < len(source.batches):
        text += f", {source.at_a_time} at a time"
    if source.not_written:
        text += f", {len(source.not_written):,} whose id cannot be written there"
    return text + cached


def _pages(pages: PagesExplanation) -> str:
    """Say how many pages of a list are asked for."""
    if pages.calls is None:
        number = "1 call for each user's page"
    else:
        number = f"at most {_counted(pages.calls, 'call')}, 1 for each user's page"
    return f"after that, {number}, {pages.at_a_time} at a time"


def _listed(names: Sequence[str]) -> str:
    """List variables."""
    return ", ".join(f"${name}" for name in names)


def _and(names: Sequence[str]) -> str:
    """List names in a sentence."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _counted(number: int, what: str) -> str:
    """Write a number of things."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
