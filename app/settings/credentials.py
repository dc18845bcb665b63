"""Settings of the credentials that the gateway sends to a service, by kind.

kind                what the gateway sends
none                nothing
bearer              ``Authorization: Bearer …`` (RFC 6750)
basic               ``Authorization: Basic …`` (RFC 7617)
api_key             a key, in a header or a query parameter
client_credentials  a token that the gateway requests for itself (OAuth 2, RFC 6749, section 4.4)
forward             the ``Authorization`` header of the caller

With each kind, further headers of the caller may be forwarded.
"""

import re
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.settings.base import (
    HEADER_NAME,
    HEADER_VALUE,
    OUR_HEADERS,
    Address,
    ParameterName,
    SettingsModel,
    in_words,
)

AUTHORIZATION = "authorization"

_NEVER_A_KEY = OUR_HEADERS | {"cookie", "proxy-authorization", "accept", "user-agent"}

_NEVER_SENT_ON = OUR_HEADERS | {
    *("accept", "content-type", "content-encoding", "user-agent", "x-request-timeout"),  # ours
    "x-router-token",
    *("cookie", "set-cookie", "proxy-authorization", "proxy-authenticate", "proxy-connection"),
    *("range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"),
}
"""Headers that are never forwarded: some describe the client's request and would be wrong for the
gateway's own, and some are secrets between the client and the gateway."""

_BEARER_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""The syntax of a bearer token (RFC 6750, section 2.1)."""

_NO_CONTROL = re.compile(r"[^\x00-\x1f\x7f]+")


def is_bearer_token(token: str) -> bool:
    """Return whether a text can be a bearer token in a header.

    Args:
        token: The text.

    Returns:
        Whether it can.
    """
    return _BEARER_TOKEN.fullmatch(token) is not None


def _check_token(token: SecretStr) -> SecretStr:
    """Check a bearer token."""
    if not is_bearer_token(token.get_secret_value()):
        raise ValueError("expected letters, digits and -._~+/ only (RFC 6750)")
    return token


def _check_key(key: SecretStr) -> SecretStr:
    """Check that a key fits into a header."""
    if not HEADER_VALUE.fullmatch(key.get_secret_value()):
        raise ValueError("expected printable ASCII without a space at its beginning or end")
    return key


def _check_secret(secret: SecretStr) -> SecretStr:
    """Check a password or a client secret: not empty, no control characters."""
    if not _NO_CONTROL.fullmatch(secret.get_secret_value()):
        raise ValueError("expected at least one character, and no control characters")
    return secret


def _check_name(name: str) -> str:
    """Check the name of a user: it has no colon, which ends it (RFC 7617, section 2)."""
    if not _NO_CONTROL.fullmatch(name) or ":" in name:
        raise ValueError("expected a name without colons and control characters")
    return name


def _check_key_header(name: str) -> str:
    """Check the name of the header for a key."""
    if not HEADER_NAME.fullmatch(name):
        raise ValueError("expected a header name: letters, digits and -")
    if name.lower() in _NEVER_A_KEY:
        raise ValueError(f"expected a header for a key, such as X-Api-Key: {name} has another use")
    return name


def _check_forwarded(name: str) -> str:
    """Check the name of a header that may be forwarded."""
    if not HEADER_NAME.fullmatch(name):
        raise ValueError("expected a header name: letters, digits and -")
    if name.lower() == AUTHORIZATION:
        raise ValueError('expected kind = "forward" for the caller\'s Authorization')
    if name.lower() in _NEVER_SENT_ON:
        raise ValueError(f"expected no {name}: it is never forwarded")
    return name


BearerToken = Annotated[SecretStr, AfterValidator(_check_token)]
ApiKey = Annotated[SecretStr, AfterValidator(_check_key)]
Secret = Annotated[SecretStr, AfterValidator(_check_secret)]
UserName = Annotated[str, Field(max_length=256), AfterValidator(_check_name)]
KeyHeader = Annotated[str, AfterValidator(_check_key_header)]
ForwardedName = Annotated[str, AfterValidator(_check_forwarded)]
_PREFIX = "^([!-~][ -~]*)?$"
Prefix = Annotated[
    str,
    Field(max_length=64, pattern=_PREFIX),
    in_words(
        _PREFIX, 'expected printable ASCII without a space at its beginning, such as "Token "'
    ),
]
NonEmptyText = Annotated[str, Field(min_length=1, max_length=1_024)]


_KIND = (
    "Credentials that the gateway sends to the service: none (`none`), a token (`bearer`), a user"
    " and a password (`basic`), a key in a header or in the query (`api_key`), a token that the"
    " gateway requests for itself (`client_credentials`, OAuth 2), or the caller's own"
    " `Authorization` header (`forward`)."
)


class _Auth(SettingsModel):
    """The settings of all kinds."""

    forward_headers: Annotated[tuple[ForwardedName, ...], Field(max_length=32)] = Field(
        default=(),
        description="Headers of the caller that are forwarded to the service. Only callers with the"
        " same values in them share calls and cached answers.",
        examples=[["X-Tenant"]],
    )

    @property
    def own_header(self) -> str | None:
        """The header with the credentials, in lower case; ``None`` if there is none."""
        return None

    @property
    def own_parameter(self) -> str | None:
        """The query parameter with the gateway's credentials; ``None`` if there is none."""
        return None

    @property
    def forwards(self) -> frozenset[str]:
        """The headers of the caller that are forwarded, in lower case."""
        return frozenset(name.lower() for name in self.forward_headers)

    @model_validator(mode="after")
    def _each_header_once(self) -> Self:
        """Require that no header is written twice.

        Raises:
            ValueError: The header with the credentials is also forwarded.
        """
        if self.own_header in {name.lower() for name in self.forward_headers}:
            raise ValueError("expected forward_headers without the header for the key")
        return self


class NoAuth(_Auth):
    """A service that needs no credentials."""

    kind: Literal["none"] = Field(default="none", description=_KIND)


class BearerAuth(_Auth):
    """A service that identifies the gateway by a token."""

    kind: Literal["bearer"] = Field(description=_KIND)
    token: BearerToken = Field(description="The token.")

    @property
    def own_header(self) -> str | None:
        """The header with the credentials, in lower case; ``None`` if there is none."""
        return AUTHORIZATION


class BasicAuth(_Auth):
    """A service that identifies the gateway by a user name and a password."""

    kind: Literal["basic"] = Field(description=_KIND)
    username: UserName = Field(description="The user.", examples=["gateway"])
    password: Secret = Field(description="The password.")

    @property
    def own_header(self) -> str | None:
        """The header with the credentials, in lower case; ``None`` if there is none."""
        return AUTHORIZATION


class ApiKeyAuth(_Auth):
    """A service that identifies the gateway by a key."""

    kind: Literal["api_key"] = Field(description=_KIND)
    key: ApiKey = Field(description="The key.")
    header: KeyHeader | None = Field(
        default=None, description="Header for the key.", examples=["X-Api-Key"]
    )
    prefix: Prefix = Field(
        default="", description="Text before the key in that header.", examples=["Token "]
    )
    parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter for the key. A header is better if the service"
        " supports one, because proxies and services log addresses.",
        examples=["api_key"],
    )

    @property
    def own_header(self) -> str | None:
        """The header with the credentials, in lower case; ``None`` if there is none."""
        return None if self.header is None else self.header.lower()

    @property
    def own_parameter(self) -> str | None:
        """The query parameter with the gateway's credentials; ``None`` if there is none."""
        return self.parameter

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        """Require exactly one place for the key.

        Raises:
            ValueError: There are two places, or none.
        """
        if (self.header is None) == (self.parameter is None):
            raise ValueError("expected either header or parameter, the place of the key")
        if self.prefix and self.header is None:
            raise ValueError("expected prefix beside header only")
        return self


class ClientCredentialsAuth(_Auth):
    """A service that accepts tokens of an authorization server (RFC 6749, section 4.4)."""

    kind: Literal["client_credentials"] = Field(description=_KIND)
    token_url: Address = Field(
        description="Address of the server that issues tokens. The source's"
        " `tls` and `proxy` apply to it, too.",
        examples=["https://login.internal/oauth/token"],
    )
    client_id: UserName = Field(
        description="The gateway's client id at that server.", examples=["user-gateway"]
    )
    client_secret: Secret = Field(description="The gateway's client secret at that server.")
    client_auth: Literal["basic", "post"] = Field(
        default="basic",
        description="Place of client id and secret in the request: the header `Authorization`"
        " (`basic`), or the body (`post`).",
    )
    scope: NonEmptyText | None = Field(
        default=None,
        description="Scopes that the token needs, separated by spaces.",
        examples=["users:read"],
    )
    audience: NonEmptyText | None = Field(
        default=None,
        description="Audience of the token, if the server needs one.",
        examples=["https://service.internal/api"],
    )
    token_timeout: float = Field(
        default=2.0,
        ge=0.001,
        le=3600,
        allow_inf_nan=False,
        description="Seconds that a request for a token may take.",
    )

    @property
    def own_header(self) -> str | None:
        """The header with the credentials, in lower case; ``None`` if there is none."""
        return AUTHORIZATION


class ForwardAuth(_Auth):
    """A service that identifies the caller by the caller's own credentials."""

    kind: Literal["forward"] = Field(description=_KIND)

    @property
    def own_header(self) -> str | None:
        """The header with the credentials, in lower case; ``None`` if there is none."""
        return AUTHORIZATION

    @property
    def forwards(self) -> frozenset[str]:
        """The headers of the caller that are forwarded, in lower case."""
        return super().forwards | {AUTHORIZATION}


AuthSettings: TypeAlias = Annotated[
    NoAuth | BearerAuth | BasicAuth | ApiKeyAuth | ClientCredentialsAuth | ForwardAuth,
    Field(discriminator="kind"),
]
"""How the gateway authenticates itself or the caller at a service."""
