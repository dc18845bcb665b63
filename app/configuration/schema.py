"""The JSON Schema of the configuration file, for editors.

It says what pydantic says of the settings, but for what a file is not: TOML has no null, a secret
is named rather than written, and what a variable may set need not be in the file.
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from app.configuration.keys import Table, as_list, as_table
from app.configuration.shape import Shape

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SECRET = "NamedSecret"  # noqa: S105 # the name of a definition
_OF_OPENAPI = {"discriminator", "format", "title", "writeOnly"}
"""Words that no editor needs."""


class _OfAFile(GenerateJsonSchema):
    """Writes the schema of settings as they are in a file.

    Args:
        model: The settings.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        super().__init__()
        self._tags: set[tuple[type[BaseModel], str]] = set()
        self._reached: set[tuple[type[BaseModel], bool]] = set()
        self._reach(Shape(tables=(model,)), by_variables=True)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Write a table; nothing has to be in it that a variable may set."""
        written = super().model_schema(schema)
        model = schema["cls"]
        required = (
            set[str]() if (model, True) in self._reached else set(written.pop("required", ()))
        )
        required |= {tag for of, tag in self._tags if of is model}
        written.pop("required", None)
        return {**written, "required": sorted(required)} if required else written

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Write what may be nothing: in TOML that is to leave it out."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Write what has a default: it is told for single values, each where it is."""
        written = super().default_schema(schema)
        default: object = written.get("default")
        if default is None or as_table(default) is not None:
            written.pop("default", None)
        return written

    def _reach(self, shape: Shape, *, by_variables: bool) -> None:
        """Note which tables variables reach, and which fields tell tables apart."""
        for inner in (shape.entries, shape.items):
            if inner is not None:
                # An entry has a variable; but what is in it depends on there being that entry.
                self._reach(inner, by_variables=False)
        for model in shape.tables:
            if shape.tag is not None:
                self._tags.add((model, shape.tag))
            if (model, by_variables) not in self._reached:
                self._reached.add((model, by_variables))
                table = Shape(tables=(model,))
                for name in table.names():
                    self._reach(table.below(name).shape, by_variables=by_variables)


def file_schema(model: type[BaseModel]) -> Table:
    """Write the schema of a file.

    Args:
        model: The settings.

    Returns:
        A JSON Schema of draft 2020-12.
    """
    written = _OfAFile(model).generate(model.__pydantic_core_schema__)
    schema = as_table(_tidied(written)) or {}
    definitions = {**schema.pop("$defs", {}), SECRET: _named_secret()}
    return {"$schema": DIALECT, "title": "user-gateway", **schema, "$defs": definitions}


def _tidied(schema: object) -> object:
    """Name secrets where pydantic has them written, and leave out what is for others."""
    if (items := as_list(schema)) is not None:
        return [_tidied(one) for one in items]
    if (table := as_table(schema)) is None:
        return schema
    tidied: Table = {}
    for word, value in table.items():
        inner = as_table(value)
        if word in {"properties", "$defs"} and inner is not None:  # below are names, not words
            tidied[word] = {name: _tidied(one) for name, one in inner.items()}
        elif word in {"default", "const", "enum", "examples"}:
            tidied[word] = value
        elif word not in _OF_OPENAPI:
            tidied[word] = _tidied(value)
    if table.get("writeOnly") is True and table.get("format") == "password":
        kept = {word: tidied[word] for word in ("description",) if word in tidied}
        return {"$ref": f"#/$defs/{SECRET}", **kept}
    return tidied


def _named_secret() -> Table:
    """Write what stands in a file for a secret."""
    ways: dict[str, str] = {
        "env": "Name of the variable that has it.",
        "file": "Path of the file that has it, from this file's folder; line breaks at its end do"
        " not count.",
    }
    return {
        "description": "Where a secret is; it is never written in this file.",
        "oneOf": [_one_way(name, meaning) for name, meaning in ways.items()],
    }


def _one_way(name: str, meaning: str) -> dict[str, Any]:
    """Write one way to name a secret."""
    return {
        "type": "object",
        "properties": {name: {"type": "string", "minLength": 1, "description": meaning}},
        "required": [name],
        "additionalProperties": False,
    }
