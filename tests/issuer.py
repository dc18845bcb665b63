"""A fake identity provider, at the transport: it publishes keys and signs tokens with them."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

from app.settings.auth import JwtCallers
from app.settings.models import Settings
from tests.clock import ManualClock
from tests.fakes import FakeServices, json_response, nobody, settings_for_fakes

HOST = "login.example.com"
ISSUER = f"https://{HOST}/"
AUDIENCE = "user-gateway"
SUBJECT = "00000000-0000-4000-8000-000000000001"


@cache
def key_of(algorithm: str, number: int = 0) -> Key:
    """Make a key for an algorithm; each is made once, since that takes a while."""
    assert number >= 0
    if algorithm.startswith(("RS", "PS")):
        return RSAKey.generate_key(2048)
    if algorithm.startswith("ES"):
        return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm])
    if algorithm.startswith("HS"):
        return OctKey.generate_key(512)
    return OKPKey.generate_key("Ed25519")


def signed(
    claims: Mapping[str, Any], key: Key, algorithm: str = "ES256", /, **header: object
) -> str:
    """Sign a token, of whatever it is."""
    registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = 100_000
    wanted: dict[str, Any] = {"alg": algorithm, **header}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # of EdDSA, whose name is old
        return jwt.encode(wanted, dict(claims), key, registry=registry)


def raw_token(header: bytes, claims: bytes, key: Key, algorithm: str = "ES256") -> str:
    """Sign a token of any bytes, as no library would write it."""
    signed = b".".join(map(urlsafe_b64encode, (header, claims)))
    signature = JWSRegistry.algorithms[algorithm].sign(signed, key)
    return b".".join((signed, urlsafe_b64encode(signature))).decode()


def jwk(key: Key, **more: str) -> dict[str, str | list[str]]:
    """Write a key as it is published."""
    return {**key.as_dict(private=False), **more}


@dataclass
class FakeIssuer:
    """An identity provider.

    Attributes:
        clock: The time.
        keys: What it signs with, by name.
        algorithm: How.
        published: What it publishes, if not those keys.
        discovery: What it says of itself, in place of what is right.
        down: Whether it cannot be reached.
        status: What it answers with.
        asked: The path of each request.
    """

    clock: ManualClock
    keys: dict[str, Key] = field(default_factory=lambda: {"first": key_of("ES256")})
    algorithm: str = "ES256"
    published: list[object] | None = None
    discovery: dict[str, object] = field(default_factory=dict[str, object])
    down: bool = False
    status: int = 200
    asked: list[str] = field(default_factory=list[str])

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        self.asked.append(request.url.path)
        if self.down:
            raise httpx.ConnectError("refused")
        if request.url.path == "/.well-known/openid-configuration":
            right = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}keys"}
            return json_response({**right, **self.discovery}, self.status)
        if request.url.path != "/keys":
            nobody(request)
        named = [jwk(key, kid=name) for name, key in self.keys.items()]
        return json_response({"keys": named if self.published is None else self.published})

    @property
    def fetches(self) -> int:
        """How often its keys were asked for."""
        return self.asked.count("/keys")

    def claims(self, **claims: object) -> Mapping[str, object]:
        """Write what a good token says; ``None`` leaves something out."""
        now = int(self.clock.now().timestamp())
        good = {"iss": ISSUER, "aud": AUDIENCE, "exp": now + 300, "iat": now, "sub": SUBJECT}
        return {name: one for name, one in {**good, **claims}.items() if one is not None}

    def token(self, name: str = "first", /, **claims: object) -> str:
        """Sign a token."""
        return signed(self.claims(**claims), self.keys[name], self.algorithm, kid=name)


def knowing(
    issuer: FakeIssuer,
    services: FakeServices,
    changes: Mapping[str, object] | None = None,
    **others: object,
) -> Settings:
    """Make settings by which callers are known by the issuer's tokens."""
    services.others[HOST] = issuer.answer
    auth = {"mode": "jwt", "issuer": ISSUER, "audience": AUDIENCE, **(changes or {})}
    return settings_for_fakes(auth=JwtCallers.model_validate(auth), **others)
