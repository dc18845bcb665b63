"""The header in which callers show a token, and what they are told where it is not good (RFC 6750).

Cookies and queries are not looked at: browsers send the ones unasked, and servers log the others.
"""

from collections.abc import Mapping

from starlette.datastructures import Headers

from app.errors import Code, RequestError

REALM = "user-gateway"

_SEND = "send Authorization: Bearer and a token of the identity provider"


def read_bearer(headers: Headers) -> str | None:
    """Find the token that a caller shows.

    Args:
        headers: The headers of its request.

    Returns:
        The token, whatever it is; ``None`` where there is no ``Authorization``.

    Raises:
        RequestError: There are two, or it is of another scheme.
    """
    shown = headers.getlist("authorization")
    if not shown:
        return None
    if len(shown) > 1:
        raise RequestError(
            Code.BAD_REQUEST,
            "the request has several Authorization headers: expected one",
            headers=challenge("invalid_request", "several Authorization headers"),
        )
    scheme, _, token = shown[0].strip(" \t").partition(" ")
    if scheme.lower() != "bearer":
        raise unauthenticated("the Authorization header is of another scheme")
    return token.strip(" ")


def no_token() -> RequestError:
    """Refuse a caller who shows nothing (section 3.1: without an error code)."""
    return RequestError(
        Code.UNAUTHENTICATED,
        f"there is no token in the request: {_SEND}",
        status=401,
        headers={"WWW-Authenticate": f'Bearer realm="{REALM}"'},
    )


def unauthenticated(why: str) -> RequestError:
    """Refuse a caller whose token lets nobody in.

    Args:
        why: What is wrong with it, in fixed words; nothing of the token itself.

    Returns:
        The refusal.
    """
    return RequestError(
        Code.UNAUTHENTICATED,
        f"{why}: {_SEND}",
        status=401,
        headers=challenge("invalid_token", why),
    )


def challenge(error: str, description: str) -> Mapping[str, str]:
    """Write a challenge.

    Args:
        error: The error code of section 3.1.
        description: What is wrong, in fixed words without quotes.

    Returns:
        The header.
    """
    value = f'Bearer realm="{REALM}", error="{error}", error_description="{description}"'
    return {"WWW-Authenticate": value}
