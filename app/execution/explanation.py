"""An explanation of an operation: as data, and as text for a person. Pure.

What an operation would ask of the sources, as data: the answer of ``explain.py``.

Its names are public: they stand in ``extensions.explain`` and in what the command line prints.

An explanation, and what is wrong with a request, as text for a person. Pure.
"""

from collections.abc import Iterator, Sequence

from graphql import GraphQLFormattedError
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _ExplanationModel(BaseModel):
    """Base of all parts of an explanation."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
    )


class SourceReading(_ExplanationModel):
    """One source that a field of the operation needs."""

    source: str = Field(description="Name of the source, or of its endpoint.")
    fields: tuple[str, ...] = Field(
        description="The selected fields that read it, each once; none where it is asked only"
        " whether the user exists, or only for keys."
    )
    keys_of: tuple[str, ...] = Field(
        description="The other needed sources whose keys it has: they are asked after it."
    )
    for_keys_only: bool = Field(
        description="Whether it is asked for no more than those keys. Then it does not count as"
        " asked: whether it knows a user says nothing of whether there is one."
    )


class FieldExplanation(_ExplanationModel):
    """One field of the operation."""

    key: str = Field(description="Its key in the answer.")
    field: str = Field(description="Its name in the schema.")
    ids: int | None = Field(
        description="How many users are named; null where that is told at run time, where it is"
        " wrong, and where the field names none."
    )
    distinct_ids: int | None = Field(
        description="How many different ones those are, without the wrong ones."
    )
    missing_variables: tuple[str, ...] = Field(
        description="Variables without a value that name users: they are told at run time."
    )
    wrong: tuple[str, ...] = Field(description="What is wrong with the ids.")
    sources: tuple[SourceReading, ...] = Field(
        description="The sources that the selection needs, in the order of the schema."
    )
    existence_only: bool = Field(
        description="Whether no selected field reads a source, so that the one source is asked"
        " only whether the users exist."
    )
    sourceless: tuple[str, ...] = Field(
        description="The selected fields of users that read no source."
    )
    hidden: tuple[str, ...] = Field(
        description="The selected fields that the caller may not see of these users: no source is"
        " asked for them."
    )


class PagesExplanation(_ExplanationModel):
    """The calls for one list that is read page by page."""

    path: str = Field(description="Where the list is asked for, below the source's base URL.")
    parameter: str = Field(description="The query parameter for the user.")
    calls: int | None = Field(
        description="Most pages that are asked for, by one call each: users that the source does"
        " not know cost none. Null where the number of users is told at run time."
    )
    at_a_time: int = Field(description="How many of those calls are made at the same time.")


class SourceExplanation(_ExplanationModel):
    """What one source is asked for the whole operation."""

    name: str = Field(description="Name of the source, or of its endpoint: `billing.balance`.")
    form: str = Field(
        description="How users are written into a call: `repeat`, `list`, `filter`, `body` or"
        " `each`."
    )
    method: str = Field(description="The HTTP method.")
    path: str = Field(
        description="Where it is asked, below its base URL; `{key}` is where a user stands in it."
    )
    parameter: str | None = Field(
        description="The query parameter for the users; null where they are in the path or in the"
        " body."
    )
    key_from: str | None = Field(
        description="The source that has its keys, and is asked before it; null where users' ids"
        " are its keys."
    )
    selects: tuple[str, ...] | None = Field(
        description="The service's names of the fields that are asked for, the key's among them;"
        " null where it sends all it has."
    )
    keys: tuple[str, ...] = Field(
        description="The users it is asked about, each once, as far as they are known. None where"
        " its keys are another source's: they are told at run time."
    )
    not_written: tuple[str, ...] = Field(
        description="The users it cannot be asked about, since the form has no way to write their"
        " ids; they fail with `SOURCE_REJECTED`."
    )
    more_at_run_time: bool = Field(description="Whether others are told at run time.")
    batches: tuple[int, ...] | None = Field(
        description="How many users each call has, in the order of `keys`, when nothing is asked"
        " again and nothing comes from a cache or another request's calls. Where its keys are"
        " another source's, the most that may be: users without a key, and those who share one,"
        " make it fewer. Null where it is decided at run time."
    )
    calls: int | None = Field(description="How many calls those are.")
    pages: tuple[PagesExplanation, ...] = Field(
        description="The lists of the source that are read page by page, after those calls."
    )
    at_a_time: int = Field(
        description="How many of those calls are made at the same time, for one batch of users."
    )
    max_keys: int = Field(description="Most users in one call.")
    max_url_bytes: int = Field(description="Longest URL of one call, in bytes.")
    max_body_bytes: int | None = Field(
        description="Longest body of one call, in bytes; null where calls have none."
    )
    cached: bool = Field(description="Whether answers are kept, so that fewer calls may do.")


class Explanation(_ExplanationModel):
    """What one operation would ask of the sources."""

    operation: str | None = Field(description="Name of the operation.")
    missing_variables: tuple[str, ...] = Field(
        description="Variables that have no value and no default, and that a run has to be given."
    )
    compiled: bool = Field(
        description="Whether its answer would be written straight from records, rather than by"
        " the resolvers."
    )
    interpreted_because: str | None = Field(description="Why it would not, if so.")
    fields: tuple[FieldExplanation, ...] = Field(description="Its fields, in their order.")
    sources: tuple[SourceExplanation, ...] = Field(
        description="The sources, all asked at the same time but those whose keys are another's."
        " Fields share their calls."
    )
    calls: int | None = Field(
        description="How many calls are made in all, at most. Null where it is decided at run time."
    )
    cost: int | None = Field(
        description="What it costs, by `@cost` and `@listSize` of the schema. Null where users are"
        " told at run time."
    )
    max_cost: int | None = Field(description="What it may cost; null where that has no limit.")


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
