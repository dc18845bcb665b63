"""The generated reference: the settings in effect, and the JSON Schema of the file.

The overview shows a person each setting with its origin, without secrets. The JSON Schema is for
editors.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, cast

from msgspec import Struct
from pydantic import BaseModel, SecretStr
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from app.settings.config_files import INCLUDE, INCLUDE_MEANING
from app.settings.defaults import DEFAULTS, SOURCES
from app.settings.field_schema import FieldSchema, settings_in
from app.settings.loading import AnySettings, LoadedSettings
from app.settings.nested import Keys, Table, as_list, as_table, dotted
from app.settings.secret_values import is_address, without_secrets

DEFAULT = "default"
HEADS = ("Setting", "Value", "From")
WIDEST = 60
"""The greatest width of a column, in characters. Longer values extend beyond it."""


class SettingRow(Struct, frozen=True):
    """A setting in effect.

    Attributes:
        name: Its name in a file.
        value: Its value as in TOML; empty if there is none.
        origin: Its origin: a line of the file, a variable, or ``default``.
    """

    name: str
    value: str
    origin: str


def rows(reading: LoadedSettings[AnySettings]) -> Iterator[SettingRow]:
    """List all settings in effect.

    Args:
        reading: The settings, as they were read.

    Yields:
        A row for each single value, in the order of the settings.
    """
    for keys, value, secret in _values(
        reading.settings, (), FieldSchema(tables=(type(reading.settings),))
    ):
        yield SettingRow(dotted(keys), _written(value, secret=secret), _origin(reading, keys))


def overview(reading: LoadedSettings[AnySettings], *, everything: bool) -> str:
    """Write the settings in effect as a table.

    Args:
        reading: The settings, as they were read.
        everything: Whether to list settings with their default, too.

    Returns:
        Lines for a person.
    """
    every = list(rows(reading))
    listed = [row for row in every if everything or row.origin != DEFAULT]
    lines = [HEADS, *((row.name, row.value, row.origin) for row in listed)]
    widths = [min(WIDEST, max(len(line[column]) for line in lines)) for column in (0, 1)]
    table = [
        f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}" for name, value, origin in lines
    ]
    if left := len(every) - len(listed):
        table += ["", f"{left} more have their defaults; --all shows them, too."]
    return "\n".join(table)


def _values(value: object, keys: Keys, schema: FieldSchema) -> Iterator[tuple[Keys, object, bool]]:
    """List the single values of settings, and whether each is secret."""
    if isinstance(value, BaseModel):
        for name, inner in settings_in(value).items():
            below = FieldSchema(tables=(type(value),)).below(name).schema
            yield from _values(inner, (*keys, name), below)
    elif table := as_table(value):
        for name, inner in table.items():
            yield from _values(inner, (*keys, name), schema.below(name).schema)
    elif schema.items is not None and schema.items.tables and isinstance(value, Iterable):
        for number, inner in enumerate(cast("Iterable[object]", value)):
            yield from _values(inner, (*keys, number), schema.items)
    else:
        yield keys, value, schema.secret


def _written(value: object, *, secret: bool) -> str:
    """Write a value as in TOML, without secrets."""
    if value is None:
        return ""
    if secret or isinstance(value, SecretStr):
        return "(secret)"
    plain: object = getattr(value, "pattern", value)
    if isinstance(value, str) and is_address(value):
        plain = without_secrets(value)
    return json.dumps(plain, ensure_ascii=False, default=str)


def _origin(reading: LoadedSettings[AnySettings], keys: Keys) -> str:
    """Return the origin of a setting."""
    origins = reading.origins
    if (variable := origins.variable(keys)) is not None:
        return reading.environment.origin(variable)
    file = origins.in_the_file(keys)
    if file is None:
        return DEFAULT
    written, reference = origins.written(keys), origins.reference(keys)
    origin = file.line(written)
    if written != keys:
        origin += f" [{DEFAULTS}]"
    return origin + ("" if reference is None else f", {reference}")


DIALECT = "https://json-schema.org/draft/2020-12/schema"
SECRET = "NamedSecret"  # noqa: S105 # the name of a definition
_OF_OPENAPI = {"discriminator", "format", "title", "writeOnly"}
"""Keywords that editors do not need."""


class _OfAFile(GenerateJsonSchema):
    """Writes the JSON Schema of settings as they are in a file.

    Args:
        model: The model of the settings.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        super().__init__()
        self._tags: set[tuple[type[BaseModel], str]] = set()
        self._reached: set[tuple[type[BaseModel], bool]] = set()
        root = FieldSchema(tables=(model,))
        self._parts: frozenset[type[BaseModel]] = frozenset()
        if DEFAULTS in root.names():
            for name in (SOURCES, DEFAULTS):
                self._reach(root.below(name).schema, by_variables=True)
                self._reach(root.below(name).schema, by_variables=False)
            self._parts = frozenset(table for table, _ in self._reached)
        self._reach(root, by_variables=True)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Write the schema of a table.

        A discriminator is required and has no default. Other settings are required only if no
        variable can set them. Nothing is required in tables of sources, because the rest may be in
        the defaults of all sources.

        Args:
            schema: The schema from pydantic.

        Returns:
            The JSON Schema.
        """
        written = super().model_schema(schema)
        model = schema["cls"]
        required = (
            set[str]() if (model, True) in self._reached else set(written.pop("required", ()))
        )
        for tag in (tag for of, tag in self._tags if of is model):
            required.add(tag)
            written["properties"][tag].pop("default", None)
        if model in self._parts:
            required.clear()
        written.pop("required", None)
        return {**written, "required": sorted(required)} if required else written

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """Write the schema of a table of one of several kinds.

        Args:
            schema: The schema from pydantic.

        Returns:
            The JSON Schema. Where no tag is required, a table may fit several kinds.
        """
        written = super().tagged_union_schema(schema)
        optional = {tag for model, tag in self._tags if model in self._parts}
        if written["discriminator"]["propertyName"] in optional:
            written["anyOf"] = written.pop("oneOf")
        return written

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Write the schema of an optional value. TOML has no null; such a value is left out.

        Args:
            schema: The schema from pydantic.

        Returns:
            The JSON Schema of the value, without null.
        """
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Write the schema of a value with a default. Only defaults of single values are kept.

        Args:
            schema: The schema from pydantic.

        Returns:
            The JSON Schema.
        """
        written = super().default_schema(schema)
        default: object = written.get("default")
        if default is None or as_table(default) is not None:
            written.pop("default", None)
        return written

    def _reach(self, schema: FieldSchema, *, by_variables: bool) -> None:
        """Record which tables variables can set, and which fields are discriminators."""
        for inner in (schema.entries, schema.items):
            if inner is not None:
                # Variables can set an entry, too. But if the file has it, it has to be complete.
                self._reach(inner, by_variables=False)
        for model in schema.tables:
            if schema.tag is not None:
                self._tags.add((model, schema.tag))
            if (model, by_variables) not in self._reached:
                self._reached.add((model, by_variables))
                table = FieldSchema(tables=(model,))
                for name in table.names():
                    self._reach(table.below(name).schema, by_variables=by_variables)


def file_schema(model: type[BaseModel]) -> Table:
    """Write the JSON Schema of the configuration file.

    Args:
        model: The model of the settings.

    Returns:
        A JSON Schema of draft 2020-12.
    """
    written = _OfAFile(model).generate(model.__pydantic_core_schema__)
    schema = as_table(_tidied(written)) or {}
    definitions = {**schema.pop("$defs", {}), SECRET: _named_secret()}
    schema["properties"] = {INCLUDE: _included_files(), **schema["properties"]}
    return {"$schema": DIALECT, "title": "user-gateway", **schema, "$defs": definitions}


def _included_files() -> Table:
    """Write the JSON Schema of the list of files that a file includes."""
    return {
        "description": INCLUDE_MEANING,
        "examples": [["common.toml"]],
        "type": "array",
        "items": {"type": "string", "minLength": 1},
    }


def _tidied(schema: object) -> object:
    """Replace secrets by references, and drop keywords that editors do not need."""
    if (items := as_list(schema)) is not None:
        return [_tidied(one) for one in items]
    if (table := as_table(schema)) is None:
        return schema
    tidied: Table = {}
    for word, value in table.items():
        inner = as_table(value)
        if word in {"properties", "$defs"} and inner is not None:  # its keys are names
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
    """Write the JSON Schema of a reference to a secret."""
    ways: dict[str, str] = {
        "env": "Name of the variable with the secret.",
        "file": "Path of the file with the secret, relative to this file's folder. Line breaks at"
        " its end do not count.",
    }
    return {
        "description": "Reference to a secret. Secrets are never written in this file.",
        "oneOf": [_one_way(name, meaning) for name, meaning in ways.items()],
    }


def _one_way(name: str, meaning: str) -> dict[str, Any]:
    """Write the JSON Schema of one kind of reference."""
    return {
        "type": "object",
        "properties": {name: {"type": "string", "minLength": 1, "description": meaning}},
        "required": [name],
        "additionalProperties": False,
    }
