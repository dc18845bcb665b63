"""Bearer tokens of callers: the header they are in, and whether one is good.

The header in which callers show a token, and what they are told where it is not good (RFC 6750).

Cookies and queries are not looked at: browsers send the ones unasked, and servers log the others.

Whether a token is good, and who its bearer is (RFC 7519, with the advice of RFC 8725).

The library checks signatures and the registered claims; here it is decided which key may have
signed, and nothing of that is left to the token: it names a key and an algorithm of those there
are, and keys, or addresses of keys, that it brings along are not even read. The header is read
once, by a model of ours: the library would read it anew, and trusts what it finds in it. Async,
since the key may have to be fetched.
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


MAX_TOKEN = 8_192
"""Longest token, in characters, that is read."""

TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""What a token that lets somebody in may say that it is (RFC 9068, section 2.1). What the same
issuer signs for other ends says otherwise (RFC 8725, section 3.11)."""

_BOUND = "cnf"
"""The claim of a token that is good only together with a key (RFC 7800; RFC 9449, section 6)."""


class BadTokenError(Exception):
    """A token lets nobody in.

    Attributes:
        why: What is wrong with it, in fixed words that can stand in a header.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class FindKey(Protocol):
    """Finds the key that a token is signed with."""

    async def __call__(self, name: str | None, algorithm: str) -> Key | None:
        """Find it.

        Args:
            name: Its name, if the token has one.
            algorithm: What the token is signed with.

        Returns:
            The key; ``None`` where there is none such.

        Raises:
            RequestError: It cannot be found out.
        """
        ...


class _Header(BaseModel):
    """What of a token's header is read."""

    model_config = ConfigDict(frozen=True, strict=True)

    alg: str = Field(description="What it is signed with.")
    kid: Annotated[str, Field(max_length=1_024)] | None = Field(
        default=None, description="Name of the key."
    )
    typ: str | None = Field(default=None, description="What it is.")
    crit: object = Field(default=None, description="What one has to understand; nothing here.")
    b64: object = Field(default=True, description="Whether the claims are in base64 (RFC 7797).")


class Verifier:
    """Tells whether tokens are good. Shared by all requests; keeps nothing of any."""

    def __init__(self, settings: JwtCallers, find: FindKey, clock: Clock) -> None:
        """Make it.

        Args:
            settings: Which tokens are good.
            find: Finds the key that a token is signed with.
            clock: Tells the time.
        """
        self._settings = settings
        self._find = find
        allowed = settings.algorithms if settings.secret is None else (SYMMETRIC,)
        self._algorithms: Mapping[str, JWSAlgModel] = {
            one: JWSRegistry.algorithms[one] for one in allowed
        }
        self._claims = JWTClaimsRegistry(
            now=lambda: int(clock.now().timestamp()),
            leeway=settings.leeway,
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "values": sorted(settings.audiences)},
            exp={"essential": True},
        )

    async def verify(self, token: str) -> Caller:
        """Find out who shows a token.

        Args:
            token: The token, whatever it is.

        Returns:
            The caller.

        Raises:
            BadTokenError: It lets nobody in.
            RequestError: The keys cannot be had.
        """
        if len(token) > MAX_TOKEN:
            raise BadTokenError(f"the token is longer than {MAX_TOKEN} characters")
        header = _read_header(token)
        algorithm = self._algorithms.get(header.alg)
        if algorithm is None:
            raise BadTokenError("the token is signed with an algorithm that is not taken here")
        key = await self._find(header.kid, header.alg)
        if key is None:
            raise BadTokenError("the token is signed with a key that is not known here")
        return self._caller(_verified(token, key, algorithm))

    def _caller(self, payload: bytes) -> Caller:
        """Check what a token says that was signed by whom it should, and read who shows it."""
        claims = _read_claims(payload)
        try:
            self._claims.validate(claims)
        except ExpiredTokenError as error:
            raise BadTokenError("the token has expired") from error
        except MissingClaimError as error:
            raise BadTokenError("the token lacks one of iss, aud and exp") from error
        except ClaimError as error:
            raise BadTokenError(f"the token is not good here by its claim {error.claim}") from error
        if _BOUND in claims:
            raise BadTokenError("the token is bound to a key, which is not asked for here")
        subject = claims.get(self._settings.user_claim)
        return Caller(
            subject=subject if isinstance(subject, str) and subject else None,
            scopes=_scopes(claims.get(self._settings.scope_claim)),
        )


def _read_header(token: str) -> _Header:
    """Read a token's header, which nobody has vouched for."""
    try:
        segment = token.partition(".")[0].encode("ascii")
        header = _Header.model_validate_json(urlsafe_b64decode(segment))
    except (ValidationError, ValueError) as error:
        raise BadTokenError("the token is no JWT") from error
    if "crit" in header.model_fields_set:  # whatever it is: null is no list of names either
        raise BadTokenError("the token wants something understood that is not understood here")
    if header.b64 is not True:
        raise BadTokenError("the token is no JWT")
    if header.typ is not None and header.typ.lower() not in TYPES:
        raise BadTokenError("the token is not one that lets somebody in, by its typ")
    return header


def _verified(token: str, key: Key, algorithm: JWSAlgModel) -> bytes:
    """Check a token's signature, and give what was signed (RFC 7515, section 5.2)."""
    try:
        signed, _, signature = token.encode("ascii").rpartition(b".")
        _, payload = signed.split(b".")
        claims = urlsafe_b64decode(payload)
        algorithm.check_key(key)
        is_good = algorithm.verify(signed, urlsafe_b64decode(signature), key)
    except (JoseError, ValueError) as error:
        raise BadTokenError("the token is no JWT") from error
    if not is_good:
        raise BadTokenError("the token's signature is wrong")
    return claims


def _read_claims(payload: bytes) -> dict[str, object]:
    """Read what was signed."""
    try:
        claims: object = orjson.loads(payload)
    except orjson.JSONDecodeError:
        claims = None
    if not isinstance(claims, dict):
        raise BadTokenError("the token holds no JSON object")
    return cast("dict[str, object]", claims)  # names are texts in JSON


def _scopes(said: object) -> frozenset[str]:
    """Read scopes: a text with spaces (RFC 6749, section 3.3), or a list; anything else is none."""
    if isinstance(said, str):
        return frozenset(said.split(" ")) - {""}
    if isinstance(said, list):
        several = cast("list[object]", said)  # whatever stands in it is looked at below
        return frozenset(one for one in several if isinstance(one, str) and one)
    return frozenset()
