"""The objects of lists that are read page by page (GraphQL Cursor Connections). Pure.

They show parts of pages (``connection.py``), as other objects show parts of records.
"""

from collections.abc import Sequence

from app.schema.connection import PageEdge, ResolvedPage
from app.schema.definitions import (
    ObjectDefinition,
    ObjectField,
    SchemaDefinition,
    connection_name,
)

PAGE_INFO = ObjectDefinition(
    "PageInfo",
    "Where a page lies in its list.",
    (
        ObjectField("hasNextPage", "Boolean!", "Whether items follow the page.", "has_next_page"),
        ObjectField(
            "hasPreviousPage", "Boolean!", "Whether items precede the page.", "has_previous_page"
        ),
        ObjectField("startCursor", "String", "Cursor of the page's first item.", "start_cursor"),
        ObjectField(
            "endCursor",
            "String",
            "Cursor of the page's last item: `after` for the next page.",
            "end_cursor",
        ),
    ),
    record=ResolvedPage,
)
"""Where a page lies in its list (GraphQL Cursor Connections specification)."""


def connection_of(item: str) -> Sequence[ObjectDefinition]:
    """Define the connection of a type of items, and its edges.

    Args:
        item: The type of the items.

    Returns:
        The connection, and the type of its edges.
    """
    edge = ObjectDefinition(
        f"{item}Edge",
        "An item of a page.",
        (
            ObjectField(
                "cursor", "String!", "`after` for the page that follows this item.", "cursor"
            ),
            ObjectField("node", f"{item}!", "The item.", "node"),
        ),
        record=PageEdge,
    )
    edges = "The page's items, in the order of the list."
    connection = ObjectDefinition(
        connection_name(item),
        "A page of a list.",
        (
            ObjectField("edges", f"[{edge.name}!]!", edges, "edges"),
            ObjectField("pageInfo", "PageInfo!", "Where the page lies in the list.", "page_info"),
        ),
        record=ResolvedPage,
    )
    return connection, edge


def page_types(schema: SchemaDefinition) -> Sequence[ObjectDefinition]:
    """List the objects that the pages of a schema's lists consist of.

    Args:
        schema: The schema.

    Returns:
        Connections and edges, and ``PageInfo``; nothing if no field is such a list.
    """
    items = dict.fromkeys(one.type for one in schema.fields if one.pages is not None)
    objects = [one for item in items for one in connection_of(item)]
    return [*objects, PAGE_INFO] if objects else []
