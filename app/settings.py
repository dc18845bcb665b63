"""The settings: what an operator can say, from where, and what is wrong with it.

The environment is read here and nowhere else. Everything else is handed a ``Settings`` value, which
knows nothing of the environment and can be built by hand (the demo and the tests do).
"""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

UUID_PATTERN = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""A UUID as text: either case is right on input (RFC 9562, section 4)."""


def _check_base_url(url: str) -> str:
    """Accept an absolute http address, without what a base cannot have.

    Args:
        url: The address.

    Returns:
        The address without slashes at its end.

    Raises:
        ValueError: It is no such address.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("expected an address such as https://users.internal/api")
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected no user or password in it; a token has a setting of its own")
    if parts.query or parts.fragment:
        raise ValueError("expected no query and no fragment in it")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("expected printable ASCII without spaces; percent-encode the rest")
    _ = parts.port  # urlsplit raises its ValueError for a bad port only here
    return url.rstrip("/")


def _check_token(token: SecretStr) -> SecretStr:
    """Accept what can stand in a header as a bearer token (RFC 6750, section 2.1).

    Args:
        token: The token.

    Returns:
        The token.

    Raises:
        ValueError: It has other characters.
    """
    if not re.fullmatch(r"[A-Za-z0-9\-._~+/]+=*", token.get_secret_value()):
        raise ValueError("expected letters, digits and -._~+/ only, as RFC 6750 has it")
    return token


BaseUrl = Annotated[str, AfterValidator(_check_base_url)]
BearerToken = Annotated[SecretStr, AfterValidator(_check_token)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class _Frozen(BaseModel):
    """Base of all settings: they never change, and nothing unknown is passed over."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SourceSettings(_Frozen):
    """How one source is reached."""

    base_url: BaseUrl = Field(description="Address below which the service answers.")
    bearer_token: BearerToken | None = Field(
        default=None, description="Sent to the service as `Authorization: Bearer …`."
    )
    timeout: Seconds = Field(
        default=2.0, description="Seconds that one call may take, from first to last byte."
    )
    connect_timeout: Seconds = Field(
        default=0.5, description="Seconds that opening a connection may take, within `timeout`."
    )
    max_keys: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Most users in one call; more are split into calls.",
    )
    max_url_bytes: int = Field(
        default=7_500,
        ge=256,
        le=65_536,
        description="Longest URL of one call; more users are split.",
    )
    max_concurrent_pages: int = Field(
        default=10,
        ge=1,
        le=1_000,
        description="Pages (invoices) that one query fetches at the same time.",
    )
    max_connections: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Connections open to the service at the same time.",
    )
    keepalive: Seconds = Field(
        default=15.0, description="Seconds that an idle connection is kept for the next call."
    )


class SourcesSettings(_Frozen):
    """The sources, by name."""

    profile: SourceSettings = Field(description="Who a user is.")
    billing: SourceSettings = Field(description="What a user pays.")
    activity: SourceSettings = Field(description="What a user does.")


class LogSettings(_Frozen):
    """What the log says and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is written."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto` is `console` on a terminal and `json` elsewhere."
    )


class Settings(_Frozen):
    """All settings of the gateway."""

    sources: SourcesSettings = Field(description="The services that users are merged from.")
    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address that `serve` listens on."
    )
    port: int = Field(default=8000, ge=0, le=65_535, description="Port that `serve` listens on.")
    workers: int = Field(default=1, ge=1, le=64, description="Processes that `serve` runs.")
    shutdown_timeout: int = Field(
        default=10,
        ge=0,
        le=600,
        description="Whole seconds that running requests get to end on SIGTERM.",
    )
    user_id_pattern: re.Pattern[str] = Field(
        default=UUID_PATTERN, description="Pattern that a whole user id has to match."
    )
    max_ids: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Most ids in one `users`, and most representations in one `_entities`.",
    )
    document_cache: int = Field(
        default=1_000, ge=0, le=100_000, description="Parsed and validated documents that are kept."
    )
    graphiql: bool = Field(default=True, description="Whether browsers get GraphiQL at `/graphql`.")
    log: LogSettings = Field(default=LogSettings(), description="The log.")
