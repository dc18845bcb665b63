"""The callers of the demo: everybody without a token, and two people with one.

Without a token the demo hides nothing, so that the first query works. Two tokens show the rest:
what a user sees of itself and of others, and what a support person sees. The key that signs them is
made at each start, so that no token is good for anything else.
"""

import secrets
from collections.abc import Sequence

from joserfc import jwt
from joserfc.jwk import Key, OctKey
from msgspec import Struct
from pydantic import SecretStr
from starlette.types import Scope
from structlog.typing import FilteringBoundLogger

from app.auth.by_token import by_token
from app.auth.callers import Authenticate
from app.auth.keys import secret_keys
from app.auth.policies import EVERYBODY, NOBODY, Caller
from app.auth.tokens import Verifier
from app.resilience.clock import Clock, SystemClock
from app.schema.default import DEFAULT_SCHEMA
from app.settings.auth import JwtCallers

ISSUER = "user-gateway demo"
AUDIENCE = "user-gateway"
LIFETIME = 30 * 24 * 3600
"""Seconds for which a token of the demo is good, if the demo runs that long."""


class DemoToken(Struct, frozen=True):
    """A token for trying the policies.

    Attributes:
        who: Who the caller is, in words.
        text: The token.
    """

    who: str
    text: str


class DemoCallers:
    """Signs the tokens of the demo, and authenticates its callers.

    Args:
        users: The ids of the user and of the support person.
        clock: The clock; the system's by default.
    """

    def __init__(self, users: tuple[str, str], clock: Clock | None = None) -> None:
        secret = SecretStr(secrets.token_urlsafe(48))
        self._settings = JwtCallers(mode="jwt", issuer=ISSUER, audience=AUDIENCE, secret=secret)
        self._key = OctKey.import_key(secret.get_secret_value())
        self._keys = secret_keys(secret)
        self._clock = clock or SystemClock()
        self._users = users

    @property
    def tokens(self) -> Sequence[DemoToken]:
        """The tokens of a user and of a support person."""
        user, support = self._users
        scopes = sorted({one for may in DEFAULT_SCHEMA.policies.values() for one in may.scopes})
        return [
            DemoToken(f"the user {user}", self._signed(user, [])),
            DemoToken(f"a support person, with {' '.join(scopes)}", self._signed(support, scopes)),
        ]

    def authenticate(self, log: FilteringBoundLogger) -> Authenticate:
        """Return what authenticates callers.

        Args:
            log: The log of refused callers.

        Returns:
            A function that returns the caller of a request. Without a token, the caller may see
            everything.
        """
        by_its_token = by_token(
            Verifier(self._settings, self._find, self._clock),
            anonymous=True,
            router_token=None,
            log=log,
        )

        async def authenticate(scope: Scope) -> Caller:
            caller = await by_its_token(scope)
            return EVERYBODY if caller is NOBODY else caller

        return authenticate

    async def _find(self, name: str | None, algorithm: str) -> Key | None:
        """Find the key of a token."""
        return self._keys.find(name, algorithm)

    def _signed(self, subject: str, scopes: Sequence[str]) -> str:
        """Sign a token."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": int(self._clock.now().timestamp()) + LIFETIME,
            "sub": subject,
            "scope": " ".join(scopes),
        }
        return jwt.encode({"alg": "HS256"}, claims, self._key)
