"""What a Python module declares for the schema, as data. ``app/extend/v1.py`` is its public door.

A declaration is checked where it meets the other tables (``configured/extended.py``), so that all
mistakes of a module are found at once.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Required, TypedDict, cast

from app.auth.policies import Policy
from app.schema.definitions import EnumDefinition, ObjectDefinition
from app.sources.own.contract import FetchPage, OwnSource

API_VERSION = "1.2"
"""The version of the API for extensions: major and minor. A minor version only adds."""

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})")


@dataclass(frozen=True, slots=True)
class Input:
    """A value of a source's rows that only functions read. The schema does not show it.

    Attributes:
        name: Its name.
        type: Its type, in GraphQL's notation.
        value: The expression (JMESPath) that reads it from a row; its name if ``None``.
    """

    name: str
    type: str
    value: str | None = None


class FieldOptions(TypedDict, total=False):
    """What may be said of every field that a module declares.

    Attributes:
        may: Who may see the field. It has no default, so that nobody publishes by accident.
        cost: What the field adds to the cost of a query. By default its type says it, and a list
            that is read page by page costs 5.
        deprecated: Why clients should not use the field any more.
    """

    may: Required[Policy]
    cost: int | None
    deprecated: str | None


class ValueOptions(FieldOptions, total=False):
    """What may be said of a field that has a value of a row.

    Attributes:
        assumed_size: For a list that is to have the argument ``first``, the number of items that
            the cost assumes without it.
    """

    assumed_size: int | None


@dataclass(frozen=True, slots=True)
class ExtensionField:
    """A field of a user that a module declares.

    Attributes:
        name: The public name.
        type: The type, in GraphQL's notation.
        source: The name of the source.
        description: The description in the schema.
        may: The policy of the field.
        reads: The values of the source that it reads: fields of the source's record, by the names
            of these or of public fields, and inputs.
        compute: The function of these values; ``None`` to show the only one.
        assumed_size: For a list that is to have the argument ``first``, the number of items that
            the cost assumes without it.
        cost: What the field adds to the cost of a query, if its type does not say it.
        deprecated: Why clients should not use the field any more; ``None`` if they may.
        outdated: The name of the API that declared it and the one to use, if that is deprecated.
        is_list: Whether it is a list that is read page by page.
        pages: The function that fetches the pages of such a list; ``None`` if the source does.
    """

    name: str
    type: str
    source: str
    description: str
    may: Policy
    reads: Sequence[str | Input] = ()
    compute: Callable[..., object] | None = None
    assumed_size: int | None = None
    cost: int | None = None
    deprecated: str | None = None
    outdated: tuple[str, str] | None = None
    is_list: bool = False
    pages: FetchPage | None = None

    def __post_init__(self) -> None:
        """Refuse what is not even of the right type, at the place in the module where it is.

        Raises:
            TypeError: A text is none, ``reads`` is one, or a list page by page has what is for
                values of a row.
        """
        for name in ("name", "type", "source", "description"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} of a field is {getattr(self, name)!r}: expected text")
        reads: object = self.reads
        if not isinstance(reads, list | tuple) or not all(
            isinstance(one, str | Input) for one in cast("Sequence[object]", reads)
        ):
            raise TypeError(f"reads of {self.name} is {reads!r}: expected a list of names")
        if self.is_list and (self.reads or self.compute or self.assumed_size is not None):
            raise TypeError(
                f"{self.name} is a list page by page: expected no reads, compute or assumed_size"
            )


@dataclass(frozen=True, slots=True)
class Extension:
    """All that a module declares.

    Attributes:
        api: The version of the API that the module is written for: ``1.2``.
        fields: Fields of a user.
        objects: Objects inside these fields.
        enums: Enums inside these fields.
        sources: Sources that the module brings.
    """

    api: str
    fields: Sequence[ExtensionField] = ()
    objects: Sequence[ObjectDefinition] = ()
    enums: Sequence[EnumDefinition] = ()
    sources: Sequence[OwnSource] = ()

    def __post_init__(self) -> None:
        """Refuse what is no list, at the place in the module where it is.

        Raises:
            TypeError: It is none.
        """
        for name in ("fields", "objects", "enums", "sources"):
            given: object = getattr(self, name)
            if not isinstance(given, list | tuple):
                raise TypeError(f"{name} of Extension is {type(given).__name__}: expected a list")

    @property
    def listed(self) -> Sequence[str]:
        """The types of the items of its lists, each of which makes two more types."""
        every = cast("Sequence[object]", self.fields)  # a module says what it wants
        return [one.type for one in every if isinstance(one, ExtensionField) and one.is_list]


def version_mistake(api: object) -> str | None:
    """Compare the version that a module is written for with the one that there is.

    Args:
        api: The version of the module.

    Returns:
        What is wrong with it; ``None`` if the module can be used.
    """
    found = _VERSION.fullmatch(api) if isinstance(api, str) else None
    if found is None:
        return f'has api = {api!r}: expected the version of the API, "{API_VERSION}".'
    major, minor = (int(part) for part in API_VERSION.split("."))
    if int(found[1]) != major:
        return (
            f"is written for version {api} of the API: this gateway has version {API_VERSION}, and"
            " another major version may mean something else by the same names."
        )
    if int(found[2]) > minor:
        return (
            f"is written for version {api} of the API, and this gateway has version {API_VERSION}:"
            " expected a later version of the gateway."
        )
    return None
