"""Bearer tokens of callers: reading them from the header, and verifying them.

Tokens are read from ``Authorization`` only (RFC 6750). Cookies are not read, because browsers send
them on requests of other sites, too. Queries are not read, because servers log them.

``Verifier`` verifies a token, and returns its caller (RFC 7519, with the advice of RFC 8725). The
library checks signatures and the registered claims. This module chooses the key. The token decides
nothing: it names one of the known keys and algorithms, and keys or URLs of keys in it are not read.
The token's header is read once, by our own model: the library would read it again, and trusts it.
"""

from collections.abc import Mapping
from typing import Annotated, Protocol, cast

import orjson
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError, MissingClaimError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry
from joserfc.util import urlsafe_b64decode
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers

from app.auth.keys import SYMMETRIC
from app.auth.policies import Caller
from app.errors import Code, RequestError
from app.resilience.clock import Clock
from app.settings.auth import JwtCallers

REALM = "user-gateway"

_SEND = "send Authorization: Bearer and a token of the identity provider"


def read_bearer(headers: Headers) -> str | None:
    """Read the bearer token of a request.

    Args:
        headers: The request's headers.

    Returns:
        The token, not verified yet; ``None`` if there is no ``Authorization``.

    Raises:
        RequestError: There are several ``Authorization`` headers, or it has another scheme.
    """
    values = headers.getlist("authorization")
    if not values:
        return None
    if len(values) > 1:
        raise RequestError(
            Code.BAD_REQUEST,
            "the request has several Authorization headers: expected one",
            headers=challenge("invalid_request", "several Authorization headers"),
        )
    scheme, _, token = values[0].strip(" \t").partition(" ")
    if scheme.lower() != "bearer":
        raise unauthenticated("the Authorization header has another scheme")
    return token.strip(" ")


def no_token() -> RequestError:
    """Make the refusal of a request without a token.

    Returns:
        The refusal, without an error code (RFC 6750, section 3.1).
    """
    return RequestError(
        Code.UNAUTHENTICATED,
        f"there is no token in the request: {_SEND}",
        status=401,
        headers={"WWW-Authenticate": f'Bearer realm="{REALM}"'},
    )


def unauthenticated(why: str) -> RequestError:
    """Make the refusal of a request with an invalid token.

    Args:
        why: What is wrong with the token, in fixed words without any part of the token.

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
    """Make the challenge to a client (RFC 6750, section 3).

    Args:
        error: The error code of section 3.1.
        description: What is wrong, in fixed words without quotes.

    Returns:
        The header ``WWW-Authenticate``.
    """
    value = f'Bearer realm="{REALM}", error="{error}", error_description="{description}"'
    return {"WWW-Authenticate": value}


MAX_TOKEN = 8_192
"""Most characters of a token. Longer tokens are refused."""

TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""The allowed values of ``typ`` (RFC 9068, section 2.1). Tokens that the same issuer signs for
other purposes have other values (RFC 8725, section 3.11)."""

_BOUND = "cnf"
"""The claim of a token that is valid only with proof of a key (RFC 7800; RFC 9449, section 6)."""


class BadTokenError(Exception):
    """A token is not valid.

    Attributes:
        why: What is wrong with the token, in fixed words that are safe in a header.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class FindKey(Protocol):
    """Returns the key that a token is signed with."""

    async def __call__(self, name: str | None, algorithm: str) -> Key | None:
        """Return the key. Async, because the keys may have to be fetched.

        Args:
            name: The name of the key (``kid``), if the token has one.
            algorithm: The token's algorithm.

        Returns:
            The key; ``None`` if there is no such key.

        Raises:
            RequestError: The keys are not available.
        """
        ...


class _Header(BaseModel):
    """The members of a token's header that are read."""

    model_config = ConfigDict(frozen=True, strict=True)

    alg: str = Field(description="The algorithm.")
    kid: Annotated[str, Field(max_length=1_024)] | None = Field(
        default=None, description="The name of the key."
    )
    typ: str | None = Field(default=None, description="The type of the token.")
    crit: object = Field(default=None, description="Extensions that must be supported; none is.")
    b64: object = Field(default=True, description="Whether the claims are in base64 (RFC 7797).")


class Verifier:
    """Verifies tokens. Shared by all requests; stores nothing of a token."""

    def __init__(self, settings: JwtCallers, find: FindKey, clock: Clock) -> None:
        """Set up the verification.

        Args:
            settings: Which tokens are valid.
            find: Returns the key that a token is signed with.
            clock: The clock.
        """
        self._settings = settings
        self._find = find
        allowed = settings.algorithms if settings.secret is None else (SYMMETRIC,)
        self._algorithms: Mapping[str, JWSAlgModel] = {
            name: JWSRegistry.algorithms[name] for name in allowed
        }
        self._claims = JWTClaimsRegistry(
            now=lambda: int(clock.now().timestamp()),
            leeway=settings.leeway,
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "values": sorted(settings.audiences)},
            exp={"essential": True},
        )

    async def verify(self, token: str) -> Caller:
        """Verify a token. Async, because the keys may have to be fetched.

        Args:
            token: The text of the token.

        Returns:
            The caller.

        Raises:
            BadTokenError: The token is not valid.
            RequestError: The keys are not available.
        """
        if len(token) > MAX_TOKEN:
            raise BadTokenError(f"the token is longer than {MAX_TOKEN} characters")
        header = _read_header(token)
        algorithm = self._algorithms.get(header.alg)
        if algorithm is None:
            raise BadTokenError("the token is signed with an algorithm that is not accepted here")
        key = await self._find(header.kid, header.alg)
        if key is None:
            raise BadTokenError("the token is signed with an unknown key")
        return self._caller(_verified(token, key, algorithm))

    def _caller(self, payload: bytes) -> Caller:
        """Validate the claims of a token whose signature is verified, and return its caller."""
        claims = _read_claims(payload)
        try:
            self._claims.validate(claims)
        except ExpiredTokenError as error:
            raise BadTokenError("the token has expired") from error
        except MissingClaimError as error:
            raise BadTokenError("the token lacks one of iss, aud and exp") from error
        except ClaimError as error:
            raise BadTokenError(
                f"the token is not valid here because of its claim {error.claim}"
            ) from error
        if _BOUND in claims:
            raise BadTokenError("the token is bound to a key, which is not supported here")
        subject = claims.get(self._settings.user_claim)
        return Caller(
            subject=subject if isinstance(subject, str) and subject else None,
            scopes=_scopes(claims.get(self._settings.scope_claim)),
        )


def _read_header(token: str) -> _Header:
    """Read a token's header. Its signature is not verified yet."""
    try:
        segment = token.partition(".")[0].encode("ascii")
        header = _Header.model_validate_json(urlsafe_b64decode(segment))
    except (ValidationError, ValueError) as error:
        raise BadTokenError("the token is not a JWT") from error
    if "crit" in header.model_fields_set:  # any value: null is not a list of names, either
        raise BadTokenError("the token requires an extension that is not supported here")
    if header.b64 is not True:
        raise BadTokenError("the token is not a JWT")
    if header.typ is not None and header.typ.lower() not in TYPES:
        raise BadTokenError("the token has another purpose, according to its typ")
    return header


def _verified(token: str, key: Key, algorithm: JWSAlgModel) -> bytes:
    """Verify a token's signature, and return the signed claims (RFC 7515, section 5.2)."""
    try:
        signed, _, signature = token.encode("ascii").rpartition(b".")
        _, payload = signed.split(b".")
        claims = urlsafe_b64decode(payload)
        algorithm.check_key(key)
        is_good = algorithm.verify(signed, urlsafe_b64decode(signature), key)
    except (JoseError, ValueError) as error:
        raise BadTokenError("the token is not a JWT") from error
    if not is_good:
        raise BadTokenError("the token's signature is wrong")
    return claims


def _read_claims(payload: bytes) -> dict[str, object]:
    """Parse the signed claims."""
    try:
        claims: object = orjson.loads(payload)
    except orjson.JSONDecodeError:
        claims = None
    if not isinstance(claims, dict):
        raise BadTokenError("the token does not contain a JSON object")
    return cast("dict[str, object]", claims)  # names in JSON are text


def _scopes(claim: object) -> frozenset[str]:
    """Read scopes from text with spaces (RFC 6749, section 3.3) or a list; else no scopes."""
    if isinstance(claim, str):
        return frozenset(claim.split(" ")) - {""}
    if isinstance(claim, list):
        items = cast("list[object]", claim)  # each item is checked below
        return frozenset(item for item in items if isinstance(item, str) and item)
    return frozenset()
