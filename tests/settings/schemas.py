"""Searches in a JSON Schema."""

from collections.abc import Iterator, Sequence

from app.settings.nested import Table
from app.settings.variables import Variable


def properties_of(schema: Table, found: Table, keys: Sequence[str]) -> Iterator[Table]:
    """Find the schemas of a setting, one for each kind of table that has it.

    Args:
        schema: The whole schema, for its definitions.
        found: The part of the schema to search.
        keys: The keys that lead to the setting.

    Yields:
        A schema of the setting.
    """
    for one in kinds(schema, found):
        if not keys:
            yield one
        elif inner := one.get("properties", {}).get(keys[0]) or one.get("additionalProperties"):
            yield from properties_of(schema, inner, keys[1:])


def kinds(schema: Table, found: Table) -> Iterator[Table]:
    """List the alternatives of a schema; its own description wins over that of its definition."""
    reference = str(found.get("$ref", ""))
    if reference:
        found = {**schema["$defs"][reference.rpartition("/")[2]], **found}
        del found["$ref"]
    choices = [*found.get("oneOf", ()), *found.get("anyOf", ())]
    if not choices:
        yield found
    for choice in choices:
        yield from kinds(schema, {**choice, "description": found.get("description")})


def single_value_schema(schema: Table, variable: Variable) -> Table | None:
    """Find the schema of a setting that is a single value in every configuration."""
    found = list(properties_of(schema, schema, variable.path))
    if variable.dependent or len(found) > 1 or found[0]["type"] in {"object", "array"}:
        return None
    return found[0]
