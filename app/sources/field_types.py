"""The types of records' fields, for the types of the public schema. Pure."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from annotated_types import Ge, Le
from msgspec import Struct
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from app.sources.base import MAX_INT, MAX_SAFE_INTEGER

_URL = re.compile(r"https?://[!-~]+", re.ASCII | re.IGNORECASE)


def id_text(value: object) -> object:
    """Return an id as text, as GraphQL writes ids (GraphQL specification, section 3.5.5).

    Args:
        value: The value in a row.

    Returns:
        Text for an integer; else the same value.
    """
    return str(value) if type(value) is int else value


def check_url(value: str) -> str:
    """Check an absolute address of the web (RFC 3986).

    Args:
        value: The address.

    Returns:
        The same address.

    Raises:
        ValueError: It is no such address.
    """
    if not _URL.fullmatch(value):
        raise ValueError("expected an address that begins with http: or https:")
    return value


class OneOf(Struct, frozen=True):
    """Checks that text is one of some words, in any case.

    Attributes:
        words: The words, in small letters.
    """

    words: frozenset[str]

    def __call__(self, value: str) -> str:
        """Check a text.

        Args:
            value: The text.

        Returns:
            The same text.

        Raises:
            ValueError: It is another word.
        """
        if value.lower() not in self.words:
            raise ValueError("expected one of the enum's words")
        return value


SCALAR_FIELDS: Mapping[str, Any] = {
    "String": str,
    "Int": Annotated[int, Ge(-MAX_INT - 1), Le(MAX_INT)],
    "Float": float,
    "Boolean": bool,
    "ID": Annotated[str, BeforeValidator(id_text)],
    "DateTime": AwareDatetime,
    "Date": date,
    "SafeInt": Annotated[int, Ge(-MAX_SAFE_INTEGER), Le(MAX_SAFE_INTEGER)],
    "URL": Annotated[str, AfterValidator(check_url)],
}
"""The type of a record's field by the scalar that shows it."""
