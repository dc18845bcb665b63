"""The schema as text for client tools, and the differences of two such texts. Pure."""

import difflib
from collections.abc import Collection

from graphql import (
    BreakingChange,
    ConstDirectiveNode,
    DangerousChange,
    FieldDefinitionNode,
    GraphQLObjectType,
    GraphQLSchema,
    NameNode,
    ObjectTypeDefinitionNode,
    Visitor,
    build_schema,
    find_breaking_changes,
    find_dangerous_changes,
    is_specified_directive,
    parse,
    print_ast,
    print_schema,
    visit,
)
from msgspec import Struct

from app.schema.directives import SemanticNonNull, directives_of
from app.schema.incremental import DEFER, STREAM


def client_text(core: GraphQLSchema) -> str:
    """Print a schema for client tools, without the parts of federation.

    Names that begin with an underscore are federation's: ``_entities`` and ``_service`` with their
    types. Only directives of the GraphQL specification and its drafts are printed: tools refuse
    directives without a definition, and the others are for routers.

    Args:
        core: The schema, with the parts of federation.

    Returns:
        The text in GraphQL's schema definition language.

    Raises:
        ValueError: The schema has no queries.
    """
    if core.query_type is None:
        raise ValueError("a schema without queries is nothing that a client could use")
    query = core.query_type.to_kwargs()
    query["fields"] = {
        name: field for name, field in core.query_type.fields.items() if not _is_federations(name)
    }
    client = GraphQLSchema(
        query=GraphQLObjectType(**query),
        mutation=core.mutation_type,
        subscription=core.subscription_type,
        directives=[
            one
            for one in core.directives
            if is_specified_directive(one) or one.name in {DEFER, STREAM}
        ],
        # Objects that only interfaces lead to. Fields lead to all others.
        types=[
            kind
            for kind in core.type_map.values()
            if isinstance(kind, GraphQLObjectType) and kind.interfaces
        ],
    )
    return _with_draft_directives(print_schema(client), core)


def _with_draft_directives(text: str, core: GraphQLSchema) -> str:
    """Add ``@semanticNonNull`` to the text of a schema, which graphql-core prints without it."""
    marked = {
        (kind.name, name)
        for kind in core.type_map.values()
        if isinstance(kind, GraphQLObjectType)
        for name, field in kind.fields.items()
        if any(isinstance(one, SemanticNonNull) for one in directives_of(field))
    }
    if not marked:
        return text
    visitor = _Marking(marked)
    return f"{_SEMANTIC_NON_NULL}\n\n{print_ast(visit(parse(text), visitor))}"


class _Marking(Visitor):
    """Adds the directive to the fields of a schema.

    Args:
        marked: The type and the name of each field.
    """

    def __init__(self, marked: Collection[tuple[str, str]]) -> None:
        super().__init__()
        self._marked = marked
        self._type = ""

    def enter_object_type_definition(self, node: ObjectTypeDefinitionNode, *_: object) -> None:
        """Keep the name of the type."""
        self._type = node.name.value

    def enter_field_definition(
        self, node: FieldDefinitionNode, *_: object
    ) -> FieldDefinitionNode | None:
        """Add the directive to a field."""
        if (self._type, node.name.value) not in self._marked:
            return None
        return FieldDefinitionNode(
            name=node.name,
            description=node.description,
            arguments=node.arguments,
            type=node.type,
            directives=(*(node.directives or ()), _DIRECTIVE),
        )


_DIRECTIVE = ConstDirectiveNode(name=NameNode(value="semanticNonNull"), arguments=())
_SEMANTIC_NON_NULL = "directive @semanticNonNull(levels: [Int!]! = [0]) on FIELD_DEFINITION"


def _is_federations(name: str) -> bool:
    """Return whether a name is federation's (Apollo Federation subgraph specification)."""
    return name.startswith("_")


class Drift(Struct, frozen=True):
    """The differences of two schemas.

    Attributes:
        diff: The lines that differ, as a unified diff; empty if the texts are the same.
        breaking: Changes that make valid operations invalid, one sentence each.
        dangerous: Changes that may change how valid operations behave, one sentence each.
    """

    diff: str
    breaking: tuple[str, ...]
    dangerous: tuple[str, ...]


def compare(exported: str, current: str, *, name: str) -> Drift:
    """Compare an exported schema with the current one.

    Args:
        exported: The exported text.
        current: The text of the current code.
        name: The name of the exported text in the diff.

    Returns:
        The differences of the current schema from the exported one.

    Raises:
        GraphQLSyntaxError: The exported text is not a schema.
        TypeError: The exported text uses a type that it does not define.
    """
    # Federation's directives have no definition in the text, as routers require.
    old = build_schema(exported, assume_valid_sdl=True)
    new = build_schema(current, assume_valid_sdl=True)
    breaking: list[BreakingChange] = find_breaking_changes(old, new)
    dangerous: list[DangerousChange] = find_dangerous_changes(old, new)
    diff = difflib.unified_diff(
        exported.splitlines(keepends=True),
        current.splitlines(keepends=True),
        fromfile=name,
        tofile="the code",
    )
    return Drift(
        diff="".join(diff),
        breaking=tuple(change.description for change in breaking),
        dangerous=tuple(change.description for change in dangerous),
    )
