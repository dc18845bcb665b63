"""Version 1 of the API for extensions: all that a module may import of the gateway.

A module is named by ``[schema] module`` and defines one function:

    from app.extend.v1 import PUBLIC, Extension, computed


    def initials(name: str | None) -> str | None:
        return None if name is None else "".join(part[0] for part in name.split())


    def extension() -> Extension:
        return Extension(
            api="1.1",
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

Changes: 1.1 calls ``derived`` ``computed``, and adds ``ObjectField.assumed_size``.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

from app.auth.policies import PUBLIC, SELF, Policy, scoped, self_or
from app.schema.definitions import EnumDefinition, EnumValue, ObjectDefinition, ObjectField
from app.schema.extension import API_VERSION, Extension, ExtensionField, Input
from app.sources.base import Record
from app.sources.own import OwnSource, RowSource, SourceCall

__all__ = [
    "API_VERSION",
    "PUBLIC",
    "SELF",
    "EnumDefinition",
    "EnumValue",
    "Extension",
    "ExtensionField",
    "Input",
    "ObjectDefinition",
    "ObjectField",
    "OwnSource",
    "Policy",
    "Record",
    "RowSource",
    "SourceCall",
    "computed",
    "derived",
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
    may: Policy,
    reads: Sequence[str | Input],
    compute: Callable[..., object],
    assumed_size: int | None = None,
    cost: int | None = None,
    deprecated: str | None = None,
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
        may: Who may see the field.
        reads: The values of the source that the function gets. A text is the name of a field that
            the source has: of its record (``display_name``), or of the public field that shows it
            (``displayName``). An ``Input`` is another value of its rows.
        compute: The function. For an enum, it returns one of its words.
        assumed_size: For a list that is to have the argument ``first``, the number of items that
            the cost assumes without it.
        cost: What the field adds to the cost of a query. By default its type says it.
        deprecated: Why clients should not use the field any more.

    Returns:
        The declaration.
    """
    return ExtensionField(
        name,
        kind,
        source,
        description,
        may,
        reads=reads,
        compute=compute,
        assumed_size=assumed_size,
        cost=cost,
        deprecated=deprecated,
    )


def shows(
    name: str,
    kind: str,
    source: str,
    description: str,
    *,
    may: Policy,
    value: str | Input,
    assumed_size: int | None = None,
    cost: int | None = None,
    deprecated: str | None = None,
) -> ExtensionField:
    """Declare a field of a user that shows one value of a source as it is.

    Args:
        name: The public name.
        kind: The type, in GraphQL's notation.
        source: The name of the source.
        description: The description in the schema.
        may: Who may see the field.
        value: The value, as in ``reads`` of ``computed``.
        assumed_size: As for ``computed``.
        cost: As for ``computed``.
        deprecated: Why clients should not use the field any more.

    Returns:
        The declaration.
    """
    return ExtensionField(
        name,
        kind,
        source,
        description,
        may,
        reads=(value,),
        assumed_size=assumed_size,
        cost=cost,
        deprecated=deprecated,
    )


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
