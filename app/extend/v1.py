"""Version 1 of the API for extensions: all that a module may import of the gateway.

A module is named by ``[schema] module`` and defines one function:

    from app.extend.v1 import PUBLIC, Extension, computed


    def initials(name: str | None) -> str | None:
        return None if name is None else "".join(part[0] for part in name.split())


    def extension() -> Extension:
        return Extension(
            api="1.2",
            fields=[
                computed(
                    "initials",
                    "String",
                    "profile",
                    "The first letters of the name.",
                    may=PUBLIC,
                    reads=["display_name"],
                    compute=initials,
                )
            ],
        )

A minor version adds names. It may deprecate one, which then works until the next major version:
using it is a ``DeprecationWarning``, and the gateway logs it at its start. A major version is
another module, ``v2``.

Changes:

1.1  calls ``derived`` ``computed``, and adds ``ObjectField.assumed_size``.
1.2  ``ReadFailure`` for one key; ``OwnSource.selects``, with which ``SourceCall.fields`` says what
     is needed; ``lists``, ``ListSource``, ``ListQuery``, ``ListPage`` and ``PositionGone`` for
     lists page by page.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Unpack

from app.auth.policies import PUBLIC, SELF, Policy, scoped, self_or
from app.schema.definitions import EnumDefinition, EnumValue, ObjectDefinition, ObjectField
from app.schema.extension import (
    API_VERSION,
    Extension,
    ExtensionField,
    FieldOptions,
    Input,
    ValueOptions,
)
from app.sources.base import PositionGone, Record
from app.sources.own.contract import (
    FailureCode,
    FetchPage,
    ListPage,
    ListQuery,
    ListSource,
    OwnSource,
    ReadFailure,
    Row,
    RowSource,
    SourceCall,
)

__all__ = [
    "API_VERSION",
    "PUBLIC",
    "SELF",
    "EnumDefinition",
    "EnumValue",
    "Extension",
    "ExtensionField",
    "FailureCode",
    "FetchPage",
    "FieldOptions",
    "Input",
    "ListPage",
    "ListQuery",
    "ListSource",
    "ObjectDefinition",
    "ObjectField",
    "OwnSource",
    "Policy",
    "PositionGone",
    "ReadFailure",
    "Record",
    "Row",
    "RowSource",
    "SourceCall",
    "ValueOptions",
    "computed",
    "derived",
    "lists",
    "scoped",
    "self_or",
    "shows",
]


def computed(
    name: str,
    kind: str,
    source: str,
    description: str,
    *,
    reads: Sequence[str | Input],
    compute: Callable[..., object],
    **options: Unpack[ValueOptions],
) -> ExtensionField:
    """Declare a field of a user whose value a function computes.

    The function gets the values that the field reads, in their order; a value that is missing is
    ``None``. It is not called for users that the source does not know, nor if the source has failed
    or one of the values does not fit. It must not wait, and should take microseconds. If it raises,
    or returns a value that does not fit the type, the field is an error that says nothing to
    clients. The log has the traceback (``extension.bug``).

    Args:
        name: The public name.
        kind: The type, in GraphQL's notation.
        source: The name of the source: a default one, or one of the file.
        description: The description in the schema.
        reads: The values of the source that the function gets. A text is the name of a field that
            the source has: of its record (``display_name``), or of the public field that shows it
            (``displayName``). An ``Input`` is another value of its rows.
        compute: The function. For an enum, it returns one of its words.
        **options: ``may``, and what else ``ValueOptions`` lists.

    Returns:
        The declaration.
    """
    return ExtensionField(name, kind, source, description, reads=reads, compute=compute, **options)


def shows(
    name: str,
    kind: str,
    source: str,
    description: str,
    *,
    value: str | Input,
    **options: Unpack[ValueOptions],
) -> ExtensionField:
    """Declare a field of a user that shows one value of a source as it is.

    Args:
        name: The public name.
        kind: The type, in GraphQL's notation.
        source: The name of the source.
        description: The description in the schema.
        value: The value, as in ``reads`` of ``computed``.
        **options: ``may``, and what else ``ValueOptions`` lists.

    Returns:
        The declaration.
    """
    return ExtensionField(name, kind, source, description, reads=(value,), **options)


def lists(
    name: str,
    item: str,
    source: str,
    description: str,
    *,
    pages: FetchPage | None = None,
    **options: Unpack[FieldOptions],
) -> ExtensionField:
    """Declare a field of a user that is a list, read page by page.

    The field is a connection (GraphQL Cursor Connections) with ``first`` and ``after``. The source
    is asked for the user's row first, so that no page is fetched for a user that it does not know.

    Args:
        name: The public name.
        item: The type of an item: an object of the module with a field of type ``ID!``.
        source: The name of a source of the module.
        description: The description in the schema.
        pages: The async function that fetches a page, as ``ListSource.fetch_page`` does. By
            default, that is a method of what the source opens.
        **options: ``may``, and what else ``FieldOptions`` lists.

    Returns:
        The declaration.
    """
    return ExtensionField(name, item, source, description, is_list=True, pages=pages, **options)


def derived(
    name: str,
    kind: str,
    source: str,
    description: str,
    *,
    may: Policy,
    reads: Sequence[str | Input],
    compute: Callable[..., object],
) -> ExtensionField:
    """Declare a computed field. Deprecated since 1.1: write ``computed``.

    Args:
        name: The public name.
        kind: The type.
        source: The name of the source.
        description: The description in the schema.
        may: Who may see the field.
        reads: The values that the function gets.
        compute: The function.

    Returns:
        The declaration.
    """
    warnings.warn("derived is deprecated: write computed", DeprecationWarning, stacklevel=2)
    field = computed(name, kind, source, description, may=may, reads=reads, compute=compute)
    return replace(field, outdated=("derived", "computed"))
