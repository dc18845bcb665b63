"""The model of all settings.

A ``Settings`` value knows nothing of where its values come from: ``loading`` reads them from the
environment and from files, and the demo and the tests build it by hand.
"""

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import (
    Field,
    ValidationError,
    field_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.expressions.ids import UUID_PATTERN
from app.settings.auth import CallersSettings, RouterToken
from app.settings.base import SettingsModel, Share
from app.settings.fastpath import FastpathSettings
from app.settings.limits import LimitsSettings
from app.settings.resilience import (
    DeadlineSettings,
)
from app.settings.server import (
    LOOPBACK_HOSTS,
    BatchSettings,
    ConnectionSettings,
    CorsSettings,
    HostName,
    PersistedSettings,
    ServerTlsSettings,
    TrustedSettings,
)
from app.settings.source import KeyFromSettings, SourceSettings, key_mistakes


class SourcesSettings(SettingsModel):
    """The sources, by name."""

    profile: SourceSettings = Field(description="Who a user is.")
    billing: SourceSettings = Field(description="What a user pays.")
    activity: SourceSettings = Field(description="What a user does.")


class LogSettings(SettingsModel):
    """What the log says and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is written."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto` is `console` on a terminal and `json` elsewhere."
    )
    sample: Share = Field(
        default=1.0,
        description="Share of the requests whose good operations and calls are logged; failures"
        " always are.",
    )


class Settings(SettingsModel):
    """All settings of the gateway."""

    sources: SourcesSettings = Field(description="The services that users are merged from.")
    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address that `serve` listens on."
    )
    port: int = Field(default=8000, ge=0, le=65_535, description="Port that `serve` listens on.")
    workers: int = Field(default=1, ge=1, le=64, description="Processes that `serve` runs.")
    hosts: tuple[HostName, ...] = Field(
        default=LOOPBACK_HOSTS,
        description="Names by which clients may call the gateway (`Host`, without the port);"
        " `*.example.com` for all below one, `*` for any. `/healthz` and `/readyz` answer to any.",
        examples=[["api.example.com"]],
    )
    tls: ServerTlsSettings | None = Field(
        default=None,
        description="Certificate with which `serve` speaks https; http when absent, as behind a"
        " proxy that has one.",
    )
    connections: ConnectionSettings = Field(
        default=ConnectionSettings(), description="What clients may take, in time and in size."
    )
    shutdown_timeout: int = Field(
        default=10,
        ge=0,
        le=600,
        description="Whole seconds that running requests get to end on SIGTERM.",
    )
    auth: CallersSettings | None = Field(
        default=None, description="How the gateway knows who asks it; `serve` has to be told."
    )
    router_token: RouterToken | None = Field(
        default=None,
        description="What a federation router shows in `X-Router-Token` to be told the schema"
        " (`_service`) where `introspection` is off.",
    )
    security_directives: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether the schema tells routers who may see which field (`@authenticated`,"
        " `@requiresScopes`, `@owner`); `auto`: with `auth.mode` `jwt`. Apollo's JavaScript gateway"
        " needs `never`. What callers may see is the same either way.",
    )
    user_id_pattern: re.Pattern[str] = Field(
        default=UUID_PATTERN,
        description="Pattern that a whole user id has to match. Ids that differ in case alone are"
        " the same user where they are UUIDs, or where the pattern begins with `(?i)`.",
    )
    deadline: DeadlineSettings = Field(
        default=DeadlineSettings(), description="How long a request may take."
    )
    max_operations: int = Field(
        default=1_000,
        ge=1,
        le=1_000_000,
        description="Operations that run at the same time; more are told to come back.",
    )
    max_body_bytes: int = Field(
        default=1_048_576,
        ge=1_024,
        le=1_073_741_824,
        description="Longest body of a request that is read.",
    )
    batch: BatchSettings = Field(
        default=BatchSettings(), description="Several operations in one HTTP request."
    )
    persisted: PersistedSettings = Field(
        default=PersistedSettings(), description="Documents that clients name by their hash."
    )
    trusted: TrustedSettings = Field(
        default=TrustedSettings(), description="Documents that the operator has given."
    )
    csrf_prevention: bool = Field(
        default=True,
        description="Whether a GET is executed only with a header that no other site's page can"
        " send unasked, such as `GraphQL-Require-Preflight: 1`.",
    )
    cors: CorsSettings = Field(
        default=CorsSettings(), description="Which other sites' pages may read answers."
    )
    partial_status: bool = Field(
        default=False,
        description="Whether an answer with data and errors has status 294 instead of 200, for"
        " clients that accept `application/graphql-response+json`.",
    )
    trace: Literal["never", "asked", "always"] = Field(
        default="never",
        description="Whether answers tell what became of them at each source; `asked`: where the"
        " request has `X-Gateway-Trace: 1`.",
    )
    explain: bool = Field(
        default=False,
        description="Whether a request with `X-Gateway-Explain: 1` is told what it would ask of the"
        " sources; nothing is called for it.",
    )
    max_ids: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Most ids in one `users`.",
    )
    max_representations: int = Field(
        default=1_000,
        ge=1,
        le=10_000,
        description="Most representations in one `_entities`. Federation routers do not split them:"
        " it has to be as many as the lists of other subgraphs name users.",
    )
    fastpath: FastpathSettings = Field(
        default=FastpathSettings(),
        description="Which fast paths are on. They change the CPU that an answer costs, and"
        " nothing of the answer.",
    )
    document_cache: int = Field(
        default=1_000, ge=0, le=100_000, description="Parsed and validated documents that are kept."
    )
    limits: LimitsSettings = Field(default=LimitsSettings(), description="What a query may cost.")
    introspection: bool = Field(
        default=False,
        description="Whether clients may ask for the schema: `__schema`, `__type`, `_service`.",
    )
    suggestions: bool = Field(
        default=False,
        description="Whether an error says which field or argument may have been meant.",
    )
    graphiql: bool = Field(
        default=False,
        description="Whether browsers get GraphiQL at `/graphql`; it needs `introspection`.",
    )
    log: LogSettings = Field(default=LogSettings(), description="The log.")

    @property
    def key_from(self) -> Mapping[str, KeyFromSettings]:
        """The ``key_from`` settings by source, for the sources that have any."""
        return {
            name: source.key_from for name, source in self.sources if source.key_from is not None
        }

    @property
    def has_security_directives(self) -> bool:
        """Whether the schema has directives that show routers who may read which field."""
        if self.security_directives == "auto":
            return self.auth is not None and self.auth.mode == "jwt"
        return self.security_directives == "always"

    @field_validator("sources")
    @classmethod
    def _keys_can_be_had(cls, sources: SourcesSettings) -> SourcesSettings:
        """Reject sources whose keys cannot be obtained, each at its own place."""
        parents = {name: one.key_from and one.key_from.source for name, one in sources}
        mistakes = [
            InitErrorDetails(
                type=PydanticCustomError("key_from", "{what}", {"what": one.what}),
                loc=(one.source, "key_from", "source"),
                input=parents[one.source],
            )
            for one in key_mistakes(parents)
        ]
        if mistakes:
            raise ValidationError.from_exception_data(cls.__name__, mistakes)
        return sources
