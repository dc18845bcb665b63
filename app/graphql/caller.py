"""Who asks, as far as that decides over what may be seen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        subject: The user that the caller is; ``None`` where it is none, or nobody knows.
        scopes: What the caller was granted (RFC 6749, section 3.3).
        trusted: Whether it sees everything, since callers are not told apart.
        router: Whether it asks through the router, which may read the schema.
    """

    subject: str | None = None
    scopes: frozenset[str] = frozenset()
    trusted: bool = False
    router: bool = False


NOBODY = Caller()
"""A caller who has shown nothing, where that is allowed."""

EVERYBODY = Caller(trusted=True)
"""Every caller, where they are not told apart."""
