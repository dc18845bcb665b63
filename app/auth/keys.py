"""The keys that an issuer signs tokens with (RFC 7517). Pure.

Each key is kept once for each algorithm that it is good for, so that nothing is left to be decided
by the token: what a token says picks one of these, or none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from app.errors import MalformedError, what_is_wrong
from app.settings.auth import Algorithm
from app.transport.body import read_document

MAX_KEYS = 100
"""How many keys of a set are looked at; issuers have two or three."""

LEAST_MODULUS = 2_048
"""Bits of the modulus of an RSA key (NIST SP 800-131A): shorter keys are not safe."""

_NUMBERS = frozenset({"kty", "crv", "n", "e", "x", "y"})
"""The members of a key that its numbers are in. The others are judged here, and not given to the
library: it refuses a key whose `key_ops` or `use` it does not know."""

SYMMETRIC = "HS256"
"""What those who share a secret sign with."""

_TYPES: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}

KINDS: Mapping[Algorithm, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "Ed25519": ("OKP", "Ed25519"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""Which type and which curve a key has to be of for an algorithm. There is no symmetric one: a key
that is published is no secret."""


class Jwk(BaseModel):
    """The public half of a key, as issuers publish it. What else they say of it is not read."""

    model_config = ConfigDict(frozen=True)

    kty: str = Field(description="Its type.")
    kid: str | None = Field(default=None, description="Its name.")
    use: str | None = Field(default=None, description="What it is for: `sig` or `enc`.")
    key_ops: tuple[str, ...] | None = Field(default=None, description="What it may be used for.")
    alg: str | None = Field(default=None, description="The one algorithm that it is for.")
    crv: str | None = Field(default=None, description="Its curve.")
    n: str | None = Field(default=None, description="Its modulus (RSA).")
    e: str | None = Field(default=None, description="Its exponent (RSA).")
    x: str | None = Field(default=None, description="Its point (EC, OKP).")
    y: str | None = Field(default=None, description="Its point (EC).")

    def fits(self, algorithm: Algorithm) -> bool:
        """Tell whether signatures of an algorithm can be checked by it."""
        kind, curve = KINDS[algorithm]
        return (
            self.kty == kind
            and curve in {None, self.crv}
            and self.alg in {None, algorithm}
            and self.use in {None, "sig"}
            and (self.key_ops is None or "verify" in self.key_ops)
        )


class _JwkSet(BaseModel):
    """A set of keys; each is judged by itself."""

    keys: list[object] = Field(description="The keys.")


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of an issuer.

    Attributes:
        names: The names of the keys that have one.
        by_use: The keys, by name and algorithm.
    """

    names: frozenset[str]
    by_use: Mapping[tuple[str | None, str], Key] = field(repr=False)

    def find(self, name: str | None, algorithm: str) -> Key | None:
        """Find the key that a token names.

        Args:
            name: Its name; the only one there is for the algorithm, where the token or
                the issuer gives no names.
            algorithm: What the token says that it is signed with.

        Returns:
            The key, if there is one for that algorithm.
        """
        if name is not None and self.names:
            return self.by_use.get((name, algorithm))
        fitting = [key for (_, use), key in self.by_use.items() if use == algorithm]
        return fitting[0] if len(fitting) == 1 else None


def read_keys(body: bytes, algorithms: Sequence[Algorithm]) -> KeySet:
    """Read the keys that an issuer publishes.

    Args:
        body: A JWK Set.
        algorithms: What tokens may be signed with.

    Returns:
        Those that are good for one of these; those that are broken, or of a kind that is not known
        here, do no harm to the others. Of two keys with one name the first counts.

    Raises:
        MalformedError: It is no JWK Set, or has none that is good.
    """
    try:
        published = _JwkSet.model_validate(read_document(body)).keys
    except ValidationError as error:
        raise MalformedError(what_is_wrong(error)) from error
    by_use: dict[tuple[str | None, str], Key] = {}
    for one in published[:MAX_KEYS]:
        try:
            key = Jwk.model_validate(one)
        except ValidationError:
            continue
        uses = [algorithm for algorithm in algorithms if key.fits(algorithm)]
        if uses and (ready := _ready(key)) is not None:
            for algorithm in uses:
                by_use.setdefault((key.kid, algorithm), ready)
    if not by_use:
        raise MalformedError(
            f"none of its {len(published)} keys is good for {', '.join(algorithms)}"
        )
    return KeySet(frozenset(name for name, _ in by_use if name is not None), by_use)


def secret_keys(secret: SecretStr) -> KeySet:
    """Make the one key of those who share a secret.

    Args:
        secret: The secret.

    Returns:
        A key for HS256; tokens do not name it.
    """
    key = OctKey.import_key(secret.get_secret_value().encode())
    return KeySet(frozenset(), {(None, SYMMETRIC): key})


def _ready(key: Jwk) -> Key | None:
    """Make a key ready; ``None`` where it is broken, or too short to be safe."""
    try:
        if key.kty == "RSA" and _bits(key.n or "") < LEAST_MODULUS:
            return None
        return _TYPES[key.kty].import_key(key.model_dump(include={*_NUMBERS}, exclude_none=True))
    except (JoseError, UnsupportedAlgorithm, ValueError):
        return None


def _bits(number: str) -> int:
    """Count the bits of a number in base64url; zeros in front of it are none."""
    return int.from_bytes(urlsafe_b64decode(number.encode()), "big").bit_length()
