"""The page of the default schema, from the schema itself."""

from collections.abc import Iterator, Sequence

from graphql import (
    ConstDirectiveNode,
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    StringValueNode,
    TypeDefinitionNode,
    parse,
    print_ast,
)

from app.execution.schema import build_schema
from tests.docs.generated.markdown import code, page, paragraphs, table

_HEAD = """\
The default schema, without a file that changes it.
`user-gateway schema print --client --config gateway.toml` prints yours.
[Define your own User](../how-to/schema.md) says how to change it, and
[authorization](../how-to/authorization.md) how the gateway decides who may see a field.

Every field of `User` is nullable, because its source may fail or not know the user. What is inside
an object is strict."""

_FEDERATION = frozenset(("_Any", "_Entity", "_Service"))
_FIRST = ("Query", "User")


def schema_page() -> str:
    """Write the page.

    Returns:
        Its text, in Markdown.
    """
    document = parse(build_schema().as_str())
    types = [
        one
        for one in document.definitions
        if isinstance(one, TypeDefinitionNode) and one.name.value not in _FEDERATION
    ]
    types.sort(key=lambda one: (one.name.value not in _FIRST, one.name.value))
    return page("# The default schema", _HEAD, *(part for one in types for part in _section(one)))


def _section(node: TypeDefinitionNode) -> Iterator[str]:
    """Write the section of a type."""
    yield f"## `{node.name.value}`"
    yield _description(node.description)
    match node:
        case ObjectTypeDefinitionNode() | InterfaceTypeDefinitionNode():
            yield _fields(node.fields)
        case EnumTypeDefinitionNode():
            rows = [
                (code(one.name.value), _description(one.description)) for one in node.values or ()
            ]
            yield table(("Value", "Meaning"), rows)
        case ScalarTypeDefinitionNode():
            yield " ".join(
                f"[Specification]({_text(one)})." for one in node.directives or () if _text(one)
            )
        case _:
            raise LookupError(f"nothing here writes {node.kind}")


def _fields(nodes: Sequence[FieldDefinitionNode] | None) -> str:
    """Write the fields of a type, those for routers left out."""
    rows = [
        (code(one.name.value + _arguments(one.arguments)), code(print_ast(one.type)), _meaning(one))
        for one in nodes or ()
        if not one.name.value.startswith("_")
    ]
    return table(("Field", "Type", "Meaning"), rows)


def _meaning(node: FieldDefinitionNode) -> str:
    """Describe a field and each of its arguments."""
    arguments = [
        f"{code(one.name.value)}: {_description(one.description)}" for one in node.arguments or ()
    ]
    return " ".join((_description(node.description), *arguments))


def _arguments(nodes: Sequence[InputValueDefinitionNode] | None) -> str:
    """Write the arguments of a field in the notation of a document."""
    written = [
        f"{one.name.value}: {print_ast(one.type)}"
        + (f" = {print_ast(one.default_value)}" if one.default_value else "")
        for one in nodes or ()
    ]
    return f"({', '.join(written)})" if written else ""


def _text(directive: ConstDirectiveNode) -> str:
    """Return the address that a directive names."""
    value = directive.arguments[0].value if directive.arguments else None
    return value.value if isinstance(value, StringValueNode) else ""


def _description(node: StringValueNode | None) -> str:
    """Return a description."""
    return paragraphs(node.value) if node else ""
