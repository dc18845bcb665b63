"""Settings of the credentials that a service gets, by kind.

kind                what the service is sent
none                nothing
bearer              ``Authorization: Bearer …`` (RFC 6750)
basic               ``Authorization: Basic …`` (RFC 7617)
api_key             a key, in a header or a query parameter
client_credentials  a token that the gateway gets for itself (OAuth 2, RFC 6749, section 4.4)
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
)

AUTHORIZATION = "authorization"

_NEVER_A_KEY = OUR_HEADERS | {"cookie", "proxy-authorization", "accept", "user-agent"}

_NEVER_SENT_ON = OUR_HEADERS | {
    *("accept", "content-type", "content-encoding", "user-agent", "x-request-timeout"),  # ours
    "x-router-token",
    *("cookie", "set-cookie", "proxy-authorization", "proxy-authenticate", "proxy-connection"),
    *("range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"),
}
"""What would say of the gateway's own request what was meant of another, and what is never given
away."""

_BEARER_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""What can stand in a header as a bearer token (RFC 6750, section 2.1)."""

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
        raise ValueError("expected letters, digits and -._~+/ only, as RFC 6750 has it")
    return token


def _check_key(key: SecretStr) -> SecretStr:
    """Check a key that fits into a header."""
    if not HEADER_VALUE.fullmatch(key.get_secret_value()):
        raise ValueError("expected printable ASCII that begins and ends with no space")
    return key


def _check_secret(secret: SecretStr) -> SecretStr:
    """Check a password or a client secret: not empty, no control characters."""
    if not _NO_CONTROL.fullmatch(secret.get_secret_value()):
        raise ValueError("expected at least one character, and no control characters")
    return secret


def _check_name(name: str) -> str:
    """Check the name of a user, which stands before a colon (RFC 7617, section 2)."""
    if not _NO_CONTROL.fullmatch(name) or ":" in name:
        raise ValueError("expected a name without colons and control characters")
    return name


def _check_key_header(name: str) -> str:
    """Check the name of the header for a key."""
    if not HEADER_NAME.fullmatch(name):
        raise ValueError("expected a header name: letters, digits and -")
    if name.lower() in _NEVER_A_KEY:
        raise ValueError(f"expected a header for a key, such as X-Api-Key: {name} is none")
    return name


def _check_forwarded(name: str) -> str:
    """Check the name of a header that may be forwarded."""
    if not HEADER_NAME.fullmatch(name):
        raise ValueError("expected a header name: letters, digits and -")
    if name.lower() == AUTHORIZATION:
        raise ValueError('expected kind = "forward" for the caller\'s Authorization')
    if name.lower() in _NEVER_SENT_ON:
        raise ValueError(f"expected no {name}: it is never sent on")
    return name


BearerToken = Annotated[SecretStr, AfterValidator(_check_token)]
Key = Annotated[SecretStr, AfterValidator(_check_key)]
Secret = Annotated[SecretStr, AfterValidator(_check_secret)]
UserName = Annotated[str, Field(max_length=256), AfterValidator(_check_name)]
KeyHeader = Annotated[str, AfterValidator(_check_key_header)]
ForwardedName = Annotated[str, AfterValidator(_check_forwarded)]
Prefix = Annotated[str, Field(max_length=64, pattern=r"^([!-~][ -~]*)?$")]
Text = Annotated[str, Field(min_length=1, max_length=1_024)]


_KIND = (
    "What the service is sent: nothing (`none`), a token (`bearer`), a user and a password"
    " (`basic`), a key in a header or in the query (`api_key`), a token that the gateway gets for"
    " itself (`client_credentials`, OAuth 2), or what the caller has in `Authorization`"
    " (`forward`)."
)


class _Auth(SettingsModel):
    """What all kinds have."""

    forward_headers: Annotated[tuple[ForwardedName, ...], Field(max_length=32)] = Field(
        default=(),
        description="Headers of the caller's that are sent on. Only callers that send the same in"
        " them share calls and kept answers.",
        examples=[["X-Tenant"]],
    )

    @property
    def own_header(self) -> str | None:
        """The header that it writes, in lower case."""
        return None

    @property
    def own_parameter(self) -> str | None:
        """The query parameter that it writes."""
        return None

    @property
    def forwards(self) -> frozenset[str]:
        """The headers of the caller's that are sent on, in lower case."""
        return frozenset(name.lower() for name in self.forward_headers)

    @model_validator(mode="after")
    def _each_header_once(self) -> Self:
        """Accept headers that do not stand in each other's way.

        Raises:
            ValueError: One is written twice.
        """
        if self.own_header in {name.lower() for name in self.forward_headers}:
            raise ValueError("expected forward_headers without the header that has the key")
        return self


class NoAuth(_Auth):
    """A service that does not ask who asks."""

    kind: Literal["none"] = Field(default="none", description=_KIND)


class BearerAuth(_Auth):
    """A service that knows the gateway by a token."""

    kind: Literal["bearer"] = Field(description=_KIND)
    token: BearerToken = Field(description="The token (`bearer`).")

    @property
    def own_header(self) -> str | None:
        """The header that it writes, in lower case."""
        return AUTHORIZATION


class BasicAuth(_Auth):
    """A service that knows the gateway by a password."""

    kind: Literal["basic"] = Field(description=_KIND)
    username: UserName = Field(description="The user (`basic`).", examples=["gateway"])
    password: Secret = Field(description="The password (`basic`).")

    @property
    def own_header(self) -> str | None:
        """The header that it writes, in lower case."""
        return AUTHORIZATION


class ApiKeyAuth(_Auth):
    """A service that knows the gateway by a key."""

    kind: Literal["api_key"] = Field(description=_KIND)
    key: Key = Field(description="The key (`api_key`).")
    header: KeyHeader | None = Field(
        default=None, description="Header that has the key (`api_key`).", examples=["X-Api-Key"]
    )
    prefix: Prefix = Field(
        default="", description="What stands before the key in that header.", examples=["Token "]
    )
    parameter: ParameterName | None = Field(
        default=None,
        description="Query parameter that has the key (`api_key`); a header is better where the"
        " service knows one, since others log addresses.",
        examples=["api_key"],
    )

    @property
    def own_header(self) -> str | None:
        """The header that it writes, in lower case."""
        return None if self.header is None else self.header.lower()

    @property
    def own_parameter(self) -> str | None:
        """The query parameter that it writes."""
        return self.parameter

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        """Accept one place for the key.

        Raises:
            ValueError: It has two, or none.
        """
        if (self.header is None) == (self.parameter is None):
            raise ValueError("expected either header or parameter, where the key goes")
        if self.prefix and self.header is None:
            raise ValueError("expected prefix beside header only")
        return self


class ClientCredentialsAuth(_Auth):
    """A service that takes tokens of an authorization server (RFC 6749, section 4.4)."""

    kind: Literal["client_credentials"] = Field(description=_KIND)
    token_url: Address = Field(
        description="Where tokens are given out (`client_credentials`). The source's `tls` and"
        " `proxy` hold for it, too.",
        examples=["https://login.internal/oauth/token"],
    )
    client_id: UserName = Field(description="The gateway's name there.", examples=["user-gateway"])
    client_secret: Secret = Field(description="The gateway's secret there.")
    client_auth: Literal["basic", "post"] = Field(
        default="basic",
        description="Where these two stand: in `Authorization` (`basic`), or in the body (`post`).",
    )
    scope: Text | None = Field(
        default=None,
        description="What the token is to be good for; several with spaces between.",
        examples=["users:read"],
    )
    audience: Text | None = Field(
        default=None,
        description="For whom the token is, where the server wants to know it.",
        examples=["https://users.internal/api"],
    )
    token_timeout: float = Field(
        default=2.0,
        ge=0.001,
        le=3600,
        allow_inf_nan=False,
        description="Seconds that getting a token may take.",
    )

    @property
    def own_header(self) -> str | None:
        """The header that it writes, in lower case."""
        return AUTHORIZATION


class ForwardAuth(_Auth):
    """A service that knows the caller by itself."""

    kind: Literal["forward"] = Field(description=_KIND)

    @property
    def own_header(self) -> str | None:
        """The header that it writes, in lower case."""
        return AUTHORIZATION

    @property
    def forwards(self) -> frozenset[str]:
        """The headers of the caller's that are sent on, in lower case."""
        return super().forwards | {AUTHORIZATION}


AuthSettings: TypeAlias = Annotated[
    NoAuth | BearerAuth | BasicAuth | ApiKeyAuth | ClientCredentialsAuth | ForwardAuth,
    Field(discriminator="kind"),
]
"""How a service knows who asks."""
