"""What clients may send beside a plain request, and which pages of other sites may, as settings."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.shapes.base import HeaderName, Shape


class BatchSettings(Shape):
    """Several operations in one HTTP request."""

    enabled: bool = Field(
        default=False, description="Whether a JSON array of operations is executed."
    )
    max_operations: int = Field(
        default=10, ge=1, le=1_000, description="Most operations in one array."
    )


class PersistedSettings(Shape):
    """Documents that clients send once and then name by their hash."""

    enabled: bool = Field(
        default=False,
        description="Whether documents are kept that clients send with their hash (automatic"
        " persisted queries).",
    )
    max_documents: int = Field(
        default=1_000, ge=1, le=1_000_000, description="Most documents that are kept for that."
    )


class TrustedSettings(Shape):
    """Documents that the operator has given."""

    path: Path | None = Field(
        default=None,
        description="Manifest (Apollo's or Relay's format), document (`.graphql`), or folder of"
        " such files: documents that clients may name by their hash.",
    )
    mode: Literal["also", "only"] = Field(
        default="also",
        description="Whether other documents are executed, too (`also`), or nothing else (`only`),"
        " GraphiQL's queries included.",
    )


def _check_origin(origin: str) -> str:
    """Accept the origin of a site, as browsers write it (RFC 6454, section 6.2).

    Args:
        origin: The origin.

    Returns:
        The origin.

    Raises:
        ValueError: It is none; ``*`` and ``null`` are everybody, and nobody is to be let in so.
    """
    if not re.fullmatch(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", origin):
        raise ValueError("expected an origin such as https://app.example.com, in lower case")
    return origin


Origin = Annotated[str, AfterValidator(_check_origin)]


class CorsSettings(Shape):
    """Which other sites' pages may read answers (Fetch Standard, "CORS protocol")."""

    origins: tuple[Origin, ...] = Field(
        default=(),
        description="Origins whose pages may send requests and read the answers.",
        examples=[["https://app.example.com"]],
    )
    credentials: bool = Field(
        default=False, description="Whether their requests may carry cookies."
    )
    headers: tuple[HeaderName, ...] = Field(
        default=(),
        description="Headers that their requests may have, beside those that the gateway reads.",
    )
    max_age: int = Field(
        default=600,
        ge=0,
        le=86_400,
        description="Whole seconds for which browsers remember what they were allowed.",
    )
