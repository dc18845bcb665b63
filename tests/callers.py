"""Callers of tests: who they are, they say in headers."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import Scope

from app.auth.policies import Caller

SUBJECT, SCOPES = "x-subject", "x-scopes"


async def by_headers(scope: Scope) -> Caller:
    """Believe what a request says of its caller."""
    headers = Headers(scope=scope)
    return Caller(headers.get(SUBJECT), frozenset(headers.get(SCOPES, "").split()))


def headers_of(subject: str | None, *scopes: str) -> Mapping[str, str]:
    """Write who asks."""
    named = {} if subject is None else {SUBJECT: subject}
    return {**named, SCOPES: " ".join(scopes)}
