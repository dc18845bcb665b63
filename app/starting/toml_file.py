"""Writes what is proposed as a configuration file, in TOML, with comments. Pure.

The file has names and types, and no value of a row: a row is personal data.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from app.expressions.ids import UUID_PATTERN
from app.importing.toml_text import MAX_LISTED, comment_line, toml_value
from app.settings.nested import Table
from app.starting.proposal import ProposedField, ProposedSource, ProposedType

_MAY = "self"

_HEAD = """\
# A first configuration file, by what the services answered. It has names and types, no values.
# Check the services:  user-gateway sources check --ids ID --config {file}
# Run the gateway:     user-gateway serve --config {file}
"""

_USERS = """\
# Everyone may ask, and sees every field: for your own machine only. In production, callers have
# tokens: mode = "jwt", with issuer and audience (docs/how-to/authentication.md).
auth = { mode = "none" }

# For GraphiQL at http://127.0.0.1:8000/graphql, also for your own machine only:
# graphiql = true
# introspection = true

[schema]
extends = "none"        # a User with the fields below, and nothing else
"""

_FIELDS = f"""\
# Who may see a field, when callers have tokens: may = "{_MAY}" is the user itself alone. Others are
# "public" (every caller), a scope such as "hr:read", or both: "self or hr:read".
# The descriptions are in the schema for everyone: say there what each field means.
"""


def starting_toml(sources: Sequence[ProposedSource], pattern: re.Pattern[str], file: str) -> str:
    """Write a configuration file.

    Args:
        sources: What is proposed for each service.
        pattern: The pattern of ids.
        file: The name of the file.

    Returns:
        The text. It is valid TOML.
    """
    parts = [_HEAD.format(file=comment_line(file))]
    if pattern is not UUID_PATTERN:
        parts.append(
            f"# What the id of a user looks like.\nuser_id_pattern = {_written(pattern.pattern)}\n"
        )
    parts += [_USERS, _FIELDS]
    for source in sources:
        parts += ["\n".join([*_source(source), ""])]
        parts += ["\n".join([*_field(source, one), ""]) for one in source.fields]
        parts += [text for one in source.types if (text := "\n".join([*_type(one), ""]))]
    return "\n".join(parts)


def _source(source: ProposedSource) -> Iterator[str]:
    """Write the table of a source, and what its rows have besides."""
    service = source.service
    name = service.source
    many = "one call for several users" if service.has_many else "one call for each user"
    yield f"# {comment_line(f'{name}: {many}')}"
    if service.around:
        around = ", ".join(service.around)
        yield f"# {comment_line(f'Around its rows: {around}')}"
        yield "# If it cuts long answers off, say in answer.more how that shows (docs/sources)."
    yield f"[sources.{name}]"
    yield f"base_url = {_written(service.base_url)}"
    if service.credentials is not None:
        yield f"auth = {_written(service.credentials.table)}"
    yield f"request = {_written(_changed(service.request))}"
    answer = _changed(service.answer)
    if answer:
        yield f"answer = {_written(answer)}"
    yield from _left_out(f"Rows of {name} also have, without a type so far:", source.left_out)


def _field(source: ProposedSource, one: ProposedField) -> Iterator[str]:
    """Write the table of a field of a user."""
    if one.note:
        yield f"# Check: {comment_line(one.note)}."
    yield f"[user.{one.name}]"
    yield f"source = {_written(source.service.source)}"
    yield f"type = {_written(one.type)}"
    if one.value is not None:
        yield f"value = {_written(one.value)}"
    yield f"description = {_written(_described(one, source.service.source))}"
    yield f"may = {_written(_MAY)}"


def _type(one: ProposedType) -> Iterator[str]:
    """Write the table of an object."""
    yield f"[types.{one.name}]"
    yield f"description = {_written(f'An object that was seen in rows: {one.name}.')}"
    for field in one.fields:
        settings: Table = {"type": field.type}
        if field.value is not None:
            settings["value"] = field.value
        settings["description"] = _described(field, one.name)
        check = f"  # check: {comment_line(field.note)}" if field.note else ""
        yield f"fields.{field.name} = {_written(settings)}{check}"
    yield from _left_out("It also has, without a type so far:", one.left_out)


def _described(one: ProposedField, where: str) -> str:
    """Say what was seen, in the place of a description."""
    return f"{one.shown} of {where}: {one.words}."


def _left_out(headline: str, members: Mapping[str, str]) -> Iterator[str]:
    """List members that have no type."""
    if members:
        yield f"# {headline}"
    for number, (name, why) in enumerate(members.items()):
        if number == MAX_LISTED:
            yield f"#   and {len(members) - MAX_LISTED} more"
            return
        yield f"# {comment_line(f'  {name}: {why}')}"


def _changed(model: BaseModel) -> Table:
    """Return the settings of a model that are not their default, the form first."""
    values: Table = model.model_dump(mode="json", exclude_defaults=True)
    return {name: values[name] for name in sorted(values, key=lambda name: name != "form")}


def _written(value: object) -> str:
    """Write a value in one line."""
    return toml_value(value).as_string()
