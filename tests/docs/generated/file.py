"""The page of the configuration file, from its JSON Schema."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel, Field

from app.settings.models import WrittenSettings
from app.settings.reference import file_schema
from tests.docs.generated.markdown import code, page, paragraphs, table

_HEAD = """\
The tables of `gateway.toml`, for `user-gateway serve --config gateway.toml` or `GATEWAY_CONFIG`.
[Define your own User](../how-to/schema.md), [services by example](../sources/README.md) and
[more settings of a source](../how-to/configuration.md) show files that are in use. Each setting
that has a single value is also [a variable](settings.md), and a variable wins.

- A secret is a reference: `{ env = "BILLING_TOKEN" }` or `{ file = "secrets/billing" }`. A secret
  itself is refused.
- A path into an answer is a list of names and numbers, such as `["data", 0]`.
- `NAME` is a name that you choose, or that of a field of the default schema.
- At the start, all mistakes are reported at once, each with its line.
- For completion in an editor, write `#:schema gateway.schema.json` into the first line, after
  `user-gateway config schema > gateway.schema.json`."""


class SchemaNode(BaseModel):
    """A part of a JSON Schema: the allowed values, with titles and descriptions."""

    description: str = Field(default="", description="What the value is.")
    type: str | list[str] = Field(default="", description="Its JSON type or types.")
    const: object = Field(default=None, description="The only value.")
    enum: Sequence[object] = Field(default=(), description="The only values.")
    default: object = Field(default=None, description="The value if there is none in the file.")
    minimum: float | None = Field(default=None, description="The least number.")
    maximum: float | None = Field(default=None, description="The greatest number.")
    ref: str = Field(default="", alias="$ref", description="Name of a definition.")
    any_of: Sequence["SchemaNode"] = Field(default=(), alias="anyOf", description="One of these.")
    one_of: Sequence["SchemaNode"] = Field(default=(), alias="oneOf", description="One of these.")
    items: "SchemaNode | None" = Field(default=None, description="The items of a list.")
    properties: Mapping[str, "SchemaNode"] = Field(default={}, description="By name.")
    required: Sequence[str] = Field(default=(), description="The properties that are needed.")
    others: "SchemaNode | bool" = Field(
        default=False, alias="additionalProperties", description="The values of all other names."
    )
    by_pattern: Mapping[str, "SchemaNode"] = Field(
        default={}, alias="patternProperties", description="The values of names of a form."
    )

    @property
    def choices(self) -> Sequence["SchemaNode"]:
        """The forms that a value may have."""
        return (*self.any_of, *self.one_of)

    @property
    def named(self) -> "SchemaNode | None":
        """The form of values that have names of the operator's choice."""
        if isinstance(self.others, SchemaNode):
            return self.others
        return next(iter(self.by_pattern.values()), None)

    @property
    def definition(self) -> str:
        """The name of the definition that it refers to."""
        return self.ref.rpartition("/")[2]


class FileSchema(SchemaNode):
    """The schema of the file."""

    definitions: Mapping[str, SchemaNode] = Field(alias="$defs", description="Parts, by name.")


class FilePage:
    """Writes the page: a section for each table of the file, and for each form of a value."""

    def __init__(self, schema: FileSchema) -> None:
        self._schema = schema
        self._written: list[str] = []

    def text(self) -> str:
        """Write the page.

        Returns:
            The text, in Markdown.
        """
        parts = ["# The configuration file", _HEAD, "## The file itself"]
        parts.append(self._table(self._schema))
        pending = list(self._tables_in(self._schema))
        while pending:
            name = pending.pop(0)
            if name in self._written:
                continue
            self._written.append(name)
            node = self._schema.definitions[name]
            parts += [f"## {self._titles[name]}", paragraphs(node.description), self._table(node)]
            pending = [*self._tables_in(node), *pending]
        return page(*parts)

    @cached_property
    def _titles(self) -> Mapping[str, str]:
        """Name each definition by the place in the file where it is used first."""
        titles: dict[str, str] = {}
        pending: list[tuple[str, SchemaNode]] = [("", self._schema)]
        while pending:
            place, node = pending.pop(0)
            for key, found in node.properties.items():
                value = found.named or found
                names = (place, key, "NAME" if found.named else "")
                path = ".".join(name for name in names if name)
                choices = [one for one in (value, *value.choices) if self._is_table(one)]
                for one in choices:
                    kind = self._kind(self._schema.definitions[one.definition])
                    suffix = f", {kind}" if kind and len(choices) > 1 else ""
                    if one.definition not in titles:
                        titles[one.definition] = f"`{path}`{suffix}"
                        pending.append((path, self._schema.definitions[one.definition]))
        return titles

    @staticmethod
    def _kind(node: SchemaNode) -> str:
        """Return the setting that chooses a form, such as `kind = "bearer"`."""
        return next(
            (
                f'`{name} = "{one.const}"`'
                for name, one in node.properties.items()
                if one.const is not None
            ),
            "",
        )

    def _is_table(self, node: SchemaNode) -> bool:
        """Return whether a value is a table with its own settings."""
        found = self._schema.definitions.get(node.definition)
        return found is not None and bool(found.properties)

    def _tables_in(self, node: SchemaNode) -> Iterator[str]:
        """Name the definitions of the tables in a table."""
        for value in node.properties.values():
            inner = value.named or value
            yield from (one.definition for one in (inner, *inner.choices) if self._is_table(one))

    def _table(self, node: SchemaNode) -> str:
        """Write the settings of a table."""
        rows = [
            (code(name), self._type(value), self._default(node, name, value), self._meaning(value))
            for name, value in node.properties.items()
        ]
        return table(("Key", "Value", "Default", "Meaning"), rows)

    def _meaning(self, node: SchemaNode) -> str:
        """Return the description of a value: that of its place, or that of its form."""
        found = self._schema.definitions.get(node.definition)
        return node.description or paragraphs(found.description if found else "")

    def _type(self, node: SchemaNode) -> str:
        """Describe the type of a value."""
        if node.named is not None:
            named = self._type(node.named)
            return f"tables by name: {named}" if node.named.ref else "names and values"
        if node.ref and node.definition in self._titles:
            return self._link(node.definition)
        if node.choices:
            return " or ".join(dict.fromkeys(self._type(one) for one in node.choices))
        if node.items is not None:
            return f"list of {self._type(node.items)}"
        return self._simple(node)

    @staticmethod
    def _simple(node: SchemaNode) -> str:
        """Name a single value, with its bounds."""
        if node.definition == "NamedSecret":
            return "a reference to a secret"
        values = node.enum or ([] if node.const is None else [node.const])
        if values:
            return ", ".join(code(json.dumps(one)) for one in values)
        words = {"string": "text", "boolean": "true or false", "integer": "whole number"}
        names = [node.type] if isinstance(node.type, str) else node.type
        text = " or ".join(words.get(one, one or "any value") for one in names)
        low, high = node.minimum, node.maximum
        if low is not None and high is not None:
            return f"{text}, {_number(low)} to {_number(high)}"
        return text if low is None else f"{text}, at least {_number(low)}"

    def _link(self, name: str) -> str:
        """Link to the section of a definition."""
        title = self._titles[name]
        anchor = "".join(one for one in title.lower() if one.isalnum() or one in "_- ")
        return f"[{title}](#{anchor.replace(' ', '-')})"

    @staticmethod
    def _default(table_of: SchemaNode, name: str, node: SchemaNode) -> str:
        """Write the default of a setting."""
        if name in table_of.required:
            return "**needed**"
        return "" if node.default is None else code(json.dumps(node.default, ensure_ascii=False))


def _number(value: float) -> str:
    """Write a number: in full, and without a point if it is whole."""
    return f"{int(value):,}" if value == int(value) else str(value)


def file_page() -> str:
    """Write the page.

    Returns:
        Its text, in Markdown.
    """
    written: Any = file_schema(WrittenSettings)
    return FilePage(FileSchema.model_validate(written)).text()
