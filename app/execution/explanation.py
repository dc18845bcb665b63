"""The explanation of an operation (``explain.py``): as data, and as text for people. Pure.

The names of the models and their fields are public: they are in ``extensions.explain`` and in the
output of the command line.
"""

from collections.abc import Iterator, Sequence

from graphql import GraphQLFormattedError
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from app.expressions.places import KEY


class _ExplanationModel(BaseModel):
    """Base of all parts of an explanation."""

    model_config = ConfigDict(
        defer_build=True,
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
        description="The selected fields that read it, each once; empty if it is asked only"
        " whether the user exists, or only for keys."
    )
    keys_of: tuple[str, ...] = Field(
        description="The other needed sources whose keys it has: they are asked after it."
    )
    for_keys_only: bool = Field(
        description="Whether it is asked only for those keys. Then its result does not decide"
        " whether the user exists."
    )
    fallback: bool = Field(
        description="Whether it is only asked about users who have no such key in the sources"
        " before it."
    )


class FieldExplanation(_ExplanationModel):
    """One field of the operation."""

    key: str = Field(description="Its key in the answer.")
    field: str = Field(description="Its name in the schema.")
    is_list: bool = Field(description="Whether it has a list of users.")
    ids: int | None = Field(
        description="How many users are named; null if that is known only at run time, if the"
        " argument is invalid, or if the field names no users."
    )
    distinct_ids: int | None = Field(
        description="How many different users those are, without the invalid ids."
    )
    lookup: str | None = Field(
        description="The source that finds the users first, by another key than their ids; null if"
        " the ids are known."
    )
    missing_variables: tuple[str, ...] = Field(
        description="Variables without a value that name users: these are known only at run time."
    )
    wrong: tuple[str, ...] = Field(description="The errors of the ids.")
    sources: tuple[SourceReading, ...] = Field(
        description="The sources that the selection needs, in the order of the schema."
    )
    existence_only: bool = Field(
        description="Whether no selected field reads a source. The one source is then asked only"
        " whether the users exist."
    )
    sourceless: tuple[str, ...] = Field(
        description="The selected fields of users that read no source."
    )
    hidden: tuple[str, ...] = Field(
        description="The selected fields of these users that the caller may not see: no source is"
        " asked for them."
    )
    deferred: tuple[str, ...] = Field(
        description="The selected fields of users that come after the first payload, where a client"
        " accepts several. The first payload waits for the sources of the others only."
    )


class PagesExplanation(_ExplanationModel):
    """The calls for one list that is read page by page."""

    list: str = Field(description="The name of the list in the settings.")
    method: str = Field(description="The HTTP method; empty if a Python module makes the calls.")
    path: str = Field(
        description="The path of the list, below the source's base URL; `{key}` stands for a user."
        " Empty if a module makes the calls."
    )
    parameter: str | None = Field(
        description="The query parameter for the user; null if the user is elsewhere."
    )
    request: str = Field(
        description="Path and query of a first page, as they are sent; `{key}` stands for a user,"
        " and `…` for a size that differs or is known only at run time. With `POST`, the page and"
        " perhaps the user are in the body. Empty if a module makes the calls."
    )
    calls: int | None = Field(
        description="The most pages, by one call each, or more where the service's pages are"
        " shorter: users that the source does not know need none. Null if the number of users is"
        " known only at run time."
    )
    at_a_time: int = Field(description="How many of those calls are made at the same time.")


class SourceExplanation(_ExplanationModel):
    """The calls to one source for the whole operation."""

    name: str = Field(description="Name of the source, or of its endpoint: `billing.balance`.")
    form: str = Field(
        description="How users are written into a call: `repeat`, `list`, `filter`, `body` or"
        " `each`; `module` if a Python module makes the calls."
    )
    method: str = Field(description="The HTTP method; empty if a module makes the calls.")
    path: str = Field(
        description="The path of the calls, below its base URL; `{key}` stands for a user. Empty if"
        " a module makes the calls."
    )
    parameter: str | None = Field(
        description="The query parameter for the users; null if they are in the path or in the"
        " body."
    )
    lookup: bool = Field(
        description="Whether it finds users by another key than their ids, before all others."
    )
    key_from: tuple[str, ...] = Field(
        description="The sources that have its keys, and are asked before it, in order: the first"
        " key counts. Empty if users' ids are its keys."
    )
    fallback: bool = Field(
        description="Whether it is asked about some users only if the sources before it in the"
        " `key_from` of another gave no key."
    )
    selects: tuple[str, ...] | None = Field(
        description="The service's names of the fields that are asked for, the key's among them, or"
        " the names in Python if a module makes the calls; null if it sends all fields."
    )
    record_fields: tuple[str, ...] = Field(
        description="The fields of its record that the selected fields read, in alphabetical order."
    )
    keys: tuple[str, ...] = Field(
        description="The users it is asked about, each once, as far as they are known. Empty if"
        " another source has its keys: they are known only at run time."
    )
    not_written: tuple[str, ...] = Field(
        description="The users it cannot be asked about, since the form has no way to write their"
        " ids; they fail with `SOURCE_REJECTED`."
    )
    more_at_run_time: bool = Field(description="Whether other users are known only at run time.")
    batches: tuple[int, ...] | None = Field(
        description="How many users each call has, in the order of `keys`, without retries, caches"
        " and calls shared with other requests. If another source has its keys, or if it is a"
        " fallback, this is an upper bound: users without a key, with the same key, or with a key"
        " from elsewhere make it fewer. Null if it is known only at run time."
    )
    calls: int | None = Field(description="How many calls those are.")
    pages: tuple[PagesExplanation, ...] = Field(
        description="The lists of the source that are read page by page, after those calls."
    )
    at_a_time: int = Field(
        description="How many of those calls are made at the same time, for one batch of users."
    )
    max_keys: int = Field(description="The most users in one call.")
    max_url_bytes: int = Field(description="The longest URL of one call, in bytes.")
    max_body_bytes: int | None = Field(
        description="The longest body of one call, in bytes; null if calls have no body."
    )
    cached: bool = Field(
        description="Whether results are cached, so that there may be fewer calls."
    )


class Explanation(_ExplanationModel):
    """The calls and the cost of one operation."""

    operation: str | None = Field(description="Name of the operation.")
    missing_variables: tuple[str, ...] = Field(
        description="Variables without a value and without a default, which a run needs."
    )
    compiled: bool = Field(
        description="Whether the answer would be written straight from records, not by resolvers."
    )
    interpreted_because: str | None = Field(description="Why it is not compiled, if so.")
    fields: tuple[FieldExplanation, ...] = Field(description="The root fields, in their order.")
    sources: tuple[SourceExplanation, ...] = Field(
        description="The sources. Those that find users by another key are asked first. All others"
        " are asked at the same time, except fallbacks and those whose keys are in the records of"
        " another. Fields share their calls."
    )
    calls: int | None = Field(
        description="The most calls in all. Null if that is known only at run time."
    )
    cost: int | None = Field(
        description="The cost, by `@cost` and `@listSize` of the schema. Null if users are known"
        " only at run time."
    )
    max_cost: int | None = Field(description="The limit of the cost; null without a limit.")


MAX_BATCHES = 6
"""The most calls of a source whose sizes are listed one by one."""


def explanation_text(explanation: Explanation) -> str:
    """Write an explanation as text for people.

    Args:
        explanation: The explanation.

    Returns:
        Lines: how the operation is run, a tree of its fields, and a table of the calls.
    """
    name = f"Operation {explanation.operation}" if explanation.operation else "The operation"
    execution = (
        "compiled: its answer is written straight from the sources' records"
        if explanation.compiled
        else f"interpreted by the resolvers ({explanation.interpreted_because})"
    )
    lines = [f"{name} is {execution}."]
    for field in explanation.fields:
        lines += ["", *_tree(field)]
    lines += ["", *_table(explanation), "", _cost(explanation), "Nothing was called for this."]
    return "\n".join(lines)


def error_line(error: GraphQLFormattedError) -> str:
    """Write an error as text for people.

    Args:
        error: The error, as clients see it.

    Returns:
        The code, the message and the locations in the document.
    """
    code = error.get("extensions", {}).get("code")
    places = [f"line {one['line']}, column {one['column']}" for one in error.get("locations", ())]
    return f"{code}: {error.get('message')}" + (f" ({'; '.join(places)})" if places else "")


def _tree(field: FieldExplanation) -> Iterator[str]:
    """Write a root field, and below it its sources with the fields that read them."""
    alias = f"{field.key}: " if field.key != field.field else ""
    yield f"{alias}{field.field}{_users(field)}"
    branches = [(one.source, _fields_read(one)) for one in field.sources]
    if field.sourceless:
        branches.append(("no source", ", ".join(field.sourceless)))
    if field.hidden:
        branches.append(("hidden", ", ".join(field.hidden)))
    if field.deferred:
        branches.append(("deferred", ", ".join(field.deferred)))
    width = max((len(name) for name, _ in branches), default=0)
    for number, (name, text) in enumerate(branches, start=1):
        line = "└─" if number == len(branches) else "├─"
        yield f"{line} {name:{width}}  {text}"


def _fields_read(reading: SourceReading) -> str:
    """Write what is read of a source."""
    if reading.for_keys_only:
        missing = ", where they are still missing" if reading.fallback else ""
        return f"only the keys of {_joined(reading.keys_of)}{missing}"
    text = ", ".join(reading.fields) or "only whether the user exists"
    return text + (f", and the keys of {_joined(reading.keys_of)}" if reading.keys_of else "")


def _users(field: FieldExplanation) -> str:
    """Write which users a field names."""
    if field.missing_variables:
        ids = "ids" if field.is_list else "1 id"
        return f", {ids} known at run time, from {_variables(field.missing_variables)}"
    if field.lookup is not None:
        ids = "ids" if field.is_list else "1 id"
        return f", {ids} known at run time, from {field.lookup}"
    if field.ids is None:
        return ", no users: see its errors" if field.wrong else ", without any source"
    text = f", {_counted(field.ids, 'id')}"
    if field.distinct_ids is not None and field.distinct_ids < field.ids - len(field.wrong):
        text += f" of {_counted(field.distinct_ids, 'user')}"
    return text + (f", {len(field.wrong)} of them wrong" if field.wrong else "")


def _table(explanation: Explanation) -> Iterator[str]:
    """Write the calls to each source."""
    if not explanation.sources:
        yield "Calls: none."
        return
    at_most = any(one.pages or one.key_from or one.fallback for one in explanation.sources)
    number = (
        "as many as the users known at run time need"
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
    for name, request, calls in rows:
        yield f"  {name:{names}}  {request:{requests}}  {calls}"


def _order(sources: Sequence[SourceExplanation]) -> str:
    """Write in which order sources are asked."""
    first = [one.name for one in sources if one.lookup]
    later = [
        f"{one.name} after {_joined(after)}" for one in sources if (after := _before(one, sources))
    ]
    together = len(sources) - len(later) - len(first)
    steps = ([f"{_joined(first)} first"] if first else []) + later
    if not steps:
        return ", all sources at the same time" if together > 1 else ""
    order = ", " + "; ".join(steps)
    return order + (", all others at the same time" if together > 1 else "")


def _before(source: SourceExplanation, sources: Sequence[SourceExplanation]) -> Sequence[str]:
    """List the sources that are asked before another: for its keys, and before it for keys."""
    found = dict.fromkeys(source.key_from)
    for child in sources if source.fallback else ():
        if source.name in child.key_from:
            found |= dict.fromkeys(child.key_from[: child.key_from.index(source.name)])
    return tuple(found)


def _cost(explanation: Explanation) -> str:
    """Write the cost of the operation."""
    most = "" if explanation.max_cost is None else f", of {explanation.max_cost:,} at most"
    if explanation.cost is None:
        return f"Cost: depends on the users known at run time{most}."
    return f"Cost: {explanation.cost:,}{most}."


def _request(calls: SourceExplanation | PagesExplanation) -> str:
    """Write the request that calls send."""
    if isinstance(calls, PagesExplanation):
        if not calls.method:
            return f"{calls.list} by the module"
        return f"{calls.method} {calls.request.replace(KEY, '…')}"
    if calls.form == "module":
        return "by the module"
    query = "" if calls.parameter is None else f"?{calls.parameter}=…"
    return f"{calls.method} {calls.path}{query}"


def _batches(source: SourceExplanation) -> str:
    """Write how the users of a source are split into calls."""
    cached = ", fewer where the cache has answers" if source.cached else ""
    most = "at most " if source.key_from or source.fallback else ""
    if source.fallback:
        cached = f", fewer where keys are found before{cached}"
    if source.selects:
        cached = f", only {', '.join(source.selects)} of each{cached}"
    if source.batches is None:
        known = f"{_counted(len(source.keys), 'user')} and those" if source.keys else "users"
        return f"{known} known at run time, up to {source.max_keys:,} in a call{cached}"
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
    """Write how many pages of a list are asked for."""
    if pages.calls is None:
        number = "1 call for each user's page"
    else:
        number = f"at most {_counted(pages.calls, 'call')}, 1 for each user's page"
    return f"after that, {number}, {pages.at_a_time} at a time"


def _variables(names: Sequence[str]) -> str:
    """Write a list of variables."""
    return ", ".join(f"${name}" for name in names)


def _joined(names: Sequence[str]) -> str:
    """Write a list of names, the last after "and"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _counted(number: int, noun: str) -> str:
    """Write a number with a noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
