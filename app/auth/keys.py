"""The keys that an issuer signs tokens with (RFC 7517). Pure.

Each key is stored once for each algorithm that it fits. So the token decides nothing: its name and
algorithm select one of these entries, or none.
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
"""How many keys of a set are read. Issuers have two or three."""

LEAST_MODULUS = 2_048
"""Bits of the modulus of an RSA key (NIST SP 800-131A): shorter keys are not safe."""

_NUMBERS = frozenset({"kty", "crv", "n", "e", "x", "y"})
"""The members of a key that are passed to the library. This module checks the others, because the
library refuses a key with an unknown `key_ops` or `use`."""

SYMMETRIC = "HS256"
"""The algorithm of tokens that are signed with a shared secret."""

_TYPES: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}

KINDS: Mapping[Algorithm, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "Ed25519": ("OKP", "Ed25519"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""The type and curve that a key must have for each algorithm. None is symmetric, because a
published key is not secret."""


class Jwk(BaseModel):
    """A public key, as issuers publish it. Other members are ignored."""

    model_config = ConfigDict(frozen=True)

    kty: str = Field(description="The type of the key.")
    kid: str | None = Field(default=None, description="The name of the key.")
    use: str | None = Field(default=None, description="The purpose: `sig` or `enc`.")
    key_ops: tuple[str, ...] | None = Field(default=None, description="The allowed uses.")
    alg: str | None = Field(default=None, description="The only algorithm.")
    crv: str | None = Field(default=None, description="The curve.")
    n: str | None = Field(default=None, description="The modulus (RSA).")
    e: str | None = Field(default=None, description="The exponent (RSA).")
    x: str | None = Field(default=None, description="The x coordinate (EC) or the key (OKP).")
    y: str | None = Field(default=None, description="The y coordinate (EC).")

    def fits(self, algorithm: Algorithm) -> bool:
        """Return whether the key can verify signatures of an algorithm.

        Args:
            algorithm: The algorithm.

        Returns:
            Whether type, curve, algorithm and purpose of the key all allow it.
        """
        kind, curve = KINDS[algorithm]
        return (
            self.kty == kind
            and curve in {None, self.crv}
            and self.alg in {None, algorithm}
            and self.use in {None, "sig"}
            and (self.key_ops is None or "verify" in self.key_ops)
        )


class _JwkSet(BaseModel):
    """A set of keys. Each key is validated by itself."""

    keys: list[object] = Field(description="The keys.")


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of an issuer.

    Attributes:
        names: The names of all keys that have a name.
        by_use: The keys, by name and algorithm.
    """

    names: frozenset[str]
    by_use: Mapping[tuple[str | None, str], Key] = field(repr=False)

    def find(self, name: str | None, algorithm: str) -> Key | None:
        """Return the key for a token.

        Args:
            name: The key's name in the token, if it has one.
            algorithm: The algorithm in the token.

        Returns:
            The key of that name and algorithm. If the token or the issuer gives no names, the only
            key for the algorithm. ``None`` if there is no such key.
        """
        if name is not None and self.names:
            return self.by_use.get((name, algorithm))
        fitting = [key for (_, use), key in self.by_use.items() if use == algorithm]
        return fitting[0] if len(fitting) == 1 else None


def read_keys(body: bytes, algorithms: Sequence[Algorithm]) -> KeySet:
    """Read the keys that an issuer publishes.

    Args:
        body: A JWK Set.
        algorithms: The allowed algorithms of tokens.

    Returns:
        The keys that fit one of the algorithms. Broken keys and keys of unknown types are ignored.
        Of two keys with the same name and algorithm the first is used.

    Raises:
        MalformedError: The body is not a JWK Set, or no key of it fits.
    """
    try:
        published = _JwkSet.model_validate(read_document(body)).keys
    except ValidationError as error:
        raise MalformedError(what_is_wrong(error)) from error
    by_use: dict[tuple[str | None, str], Key] = {}
    for member in published[:MAX_KEYS]:
        try:
            key = Jwk.model_validate(member)
        except ValidationError:
            continue
        uses = [algorithm for algorithm in algorithms if key.fits(algorithm)]
        if uses and (imported := _import_key(key)) is not None:
            for algorithm in uses:
                by_use.setdefault((key.kid, algorithm), imported)
    if not by_use:
        raise MalformedError(
            f"none of its {len(published)} keys can be used with {', '.join(algorithms)}"
        )
    return KeySet(frozenset(name for name, _ in by_use if name is not None), by_use)


def secret_keys(secret: SecretStr) -> KeySet:
    """Make the key set of a shared secret.

    Args:
        secret: The secret.

    Returns:
        A set of one key for HS256, without a name.
    """
    key = OctKey.import_key(secret.get_secret_value().encode())
    return KeySet(frozenset(), {(None, SYMMETRIC): key})


def _import_key(key: Jwk) -> Key | None:
    """Import a key into the library; ``None`` if it is broken or too short to be safe."""
    try:
        if key.kty == "RSA" and _bits(key.n or "") < LEAST_MODULUS:
            return None
        return _TYPES[key.kty].import_key(key.model_dump(include={*_NUMBERS}, exclude_none=True))
    except (JoseError, UnsupportedAlgorithm, ValueError):
        return None


def _bits(number: str) -> int:
    """Return the bits of a base64url number, without leading zeros."""
    return int.from_bytes(urlsafe_b64decode(number.encode()), "big").bit_length()
