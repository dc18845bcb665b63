"""The schema for the tools of clients: what a client can ask for, and no parts of federation."""

from graphql import GraphQLObjectType, GraphQLSchema, print_schema


def client_text(core: GraphQLSchema) -> str:
    """Write a schema in GraphQL's own words, which every tool can build.

    Names that begin with one underscore are federation's: ``_entities`` and ``_service`` with their
    types. Applied directives are left out, but for those of the GraphQL specification: a tool
    refuses directives without a definition, and those here speak to routers.

    Args:
        core: The schema, with what is federation's.

    Returns:
        Its text, in GraphQL's schema definition language.

    Raises:
        ValueError: It has no queries.
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
        # Objects that are reached by their interfaces alone. All others are reached by fields.
        types=[
            kind
            for kind in core.type_map.values()
            if isinstance(kind, GraphQLObjectType) and kind.interfaces
        ],
    )
    return print_schema(client)


def _is_federations(name: str) -> bool:
    """Tell whether a name is federation's (Apollo Federation subgraph specification)."""
    return name.startswith("_")
