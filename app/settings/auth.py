"""Settings of authentication: how the gateway identifies its callers.

mode   who may send requests
none   anyone, with access to everything: only if the operator sets it, never by default
jwt    callers with a token (RFC 7519), signed by an identity provider or a holder of the secret
"""

from typing import Annotated, Literal, Self, TypeAlias, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.errors import ConfigurationError
from app.settings.base import HEADER_VALUE, Address, Seconds, SettingsModel, check_address
from app.settings.credentials import NonEmptyText
from app.settings.transport import ProxySettings, TlsSettings

Algorithm: TypeAlias = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
]
"""The algorithms with which issuers sign (RFC 7518, section 3.1; RFC 9864; RFC 8037). Each of them
uses a pair of keys; the issuer publishes the public key."""

LEAST_SECRET = 32
"""The least length of a secret for HS256, in bytes (RFC 7518, section 3.2)."""

LEAST_SHARED_TOKEN = 16
"""The least length of a router token, in characters."""

_MODE = (
    "Who may send requests: anyone, with access to everything (`none`), or callers with a token of"
    " an identity provider (`jwt`). `serve` does not start without this setting."
)

WHO_MAY_ASK = (
    "expected jwt, with issuer and audience beside it, or none, which lets anyone read everything."
)


def _check_secret(secret: SecretStr) -> SecretStr:
    """Check that a secret is too long to guess, and not a public key."""
    if "-----BEGIN" in secret.get_secret_value():
        raise ValueError("expected no key or certificate: anyone may know a public key")
    if len(secret.get_secret_value().encode()) < LEAST_SECRET:
        raise ValueError(f"expected at least {LEAST_SECRET} bytes, as openssl rand -hex 32 gives")
    return secret


def _check_shared_token(token: SecretStr) -> SecretStr:
    """Check that a token fits into a header and is too long to guess."""
    text = token.get_secret_value()
    if len(text) < LEAST_SHARED_TOKEN or not HEADER_VALUE.fullmatch(text):
        raise ValueError(
            f"expected at least {LEAST_SHARED_TOKEN} characters of printable ASCII without a space"
            " at the beginning or end"
        )
    return token


SharedToken = Annotated[SecretStr, AfterValidator(_check_shared_token)]


class OpenCallers(SettingsModel):
    """Requests are not authenticated."""

    mode: Literal["none"] = Field(default="none", description=_MODE)


class JwtCallers(SettingsModel):
    """Callers send a token (RFC 7519) that the issuer has signed."""

    mode: Literal["jwt"] = Field(description=_MODE)
    issuer: NonEmptyText = Field(
        description="Issuer of the tokens, exactly as in their claim `iss`. The document below this"
        " address (`/.well-known/openid-configuration`) says where the keys are, unless `jwks_url`"
        " or `secret` is set.",
        examples=["https://login.example.com/"],
    )
    audience: (
        NonEmptyText | Annotated[tuple[NonEmptyText, ...], Field(min_length=1, max_length=32)]
    ) = Field(
        description="Audience of the tokens: their claim `aud` has to contain one of these.",
        examples=["user-gateway"],
    )
    jwks_url: Address | None = Field(
        default=None,
        description="Address of the keys (JWK Set), for an issuer without a discovery document.",
        examples=["https://login.example.com/keys"],
    )
    secret: Annotated[SecretStr, AfterValidator(_check_secret)] | None = Field(
        default=None,
        description="For development: the secret that signs the tokens (HS256), of at least"
        f" {LEAST_SECRET} bytes. A client that has it can act as any user.",
    )
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = Field(
        default=get_args(Algorithm),
        description="Signature algorithms that are accepted; with `secret`, only HS256 is.",
        examples=[["RS256", "ES256"]],
    )
    leeway: int = Field(
        default=30,
        ge=0,
        le=300,
        description="Whole seconds by which the clocks of the gateway and the issuer may differ.",
    )
    user_claim: NonEmptyText = Field(
        default="sub", description="Claim of a token that has the user id of the caller."
    )
    scope_claim: NonEmptyText = Field(
        default="scope",
        description="Claim of a token that lists the scopes of the caller, as a text with spaces or"
        " as a list; some issuers call it `scp` or `permissions`.",
    )
    anonymous: bool = Field(
        default=False,
        description="Whether requests without a token are answered. They get public fields only.",
    )
    refresh_interval: Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)] = Field(
        default=600.0, description="Seconds after which the keys are fetched again."
    )
    max_age: Annotated[float, Field(ge=1, le=2_592_000, allow_inf_nan=False)] = Field(
        default=86_400.0,
        description="Maximum number of seconds that keys are used while they cannot be fetched"
        " again.",
    )
    min_interval: Annotated[float, Field(ge=1, le=3600, allow_inf_nan=False)] = Field(
        default=10.0,
        description="Minimum number of seconds between two fetches of the keys, even if many"
        " tokens name unknown keys.",
    )
    timeout: Seconds = Field(default=2.0, description="Seconds that fetching the keys may take.")
    tls: TlsSettings | None = Field(
        default=None,
        description="Certificates for fetching the keys: the trusted ones, and the gateway's own."
        " When absent, the gateway trusts those of the system and has none itself.",
    )
    proxy: ProxySettings | None = Field(
        default=None, description="HTTP proxy between the gateway and the issuer; none when absent."
    )

    @property
    def audiences(self) -> frozenset[str]:
        """The audiences of which a token needs one."""
        return frozenset((self.audience,) if isinstance(self.audience, str) else self.audience)

    @property
    def keys_at(self) -> str | None:
        """The address that is requested first to get keys; ``None`` with a secret instead."""
        if self.secret is not None:
            return None
        return self.jwks_url or discovery_of(self.issuer)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Require a single origin of keys, and no setting that has no effect with it.

        Raises:
            ValueError: There are two origins, or a setting has no effect.
        """
        if self.secret is not None:
            for name in ("jwks_url", "algorithms", "tls", "proxy"):
                if name in self.model_fields_set and getattr(self, name) is not None:
                    raise ValueError(f"expected no {name} beside secret, which is for HS256 only")
            return self
        if self.jwks_url is None:
            try:
                check_address(self.issuer)
            except ValueError as error:
                raise ValueError(
                    "expected as issuer an address such as https://login.example.com, or jwks_url"
                    " beside it"
                ) from error
            if "?" in self.issuer:
                raise ValueError("expected no query in issuer, or jwks_url beside it")
        if self.tls is not None and urlsplit(self.keys_at or "").scheme != "https":
            raise ValueError("expected https in issuer or jwks_url beside tls")
        if self.refresh_interval > self.max_age:
            raise ValueError("expected a max_age that is no shorter than refresh_interval")
        return self


CallersSettings: TypeAlias = Annotated[OpenCallers | JwtCallers, Field(discriminator="mode")]
"""How the gateway identifies callers."""


def discovery_of(issuer: str) -> str:
    """Return the address of an issuer's discovery document.

    See OpenID Connect Discovery 1.0, section 4.

    Args:
        issuer: The address of the issuer.

    Returns:
        The address of the document, which names the address of the keys.
    """
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def require_callers(settings: CallersSettings | None) -> CallersSettings:
    """Check that ``auth`` is set: the gateway must not serve anyone by accident.

    Args:
        settings: The settings of ``auth``; ``None`` if they are missing.

    Returns:
        The same settings.

    Raises:
        ConfigurationError: They are missing.
    """
    if settings is None:
        raise ConfigurationError((f"GATEWAY_AUTH__MODE is missing: {WHO_MAY_ASK}",))
    return settings
