"""The model of all settings.

``Settings`` does not depend on the origin of its values: ``loading`` reads them from the
environment and from files, and the demo and the tests make them in code.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    create_model,
    field_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.expressions.ids import UUID_PATTERN
from app.settings.auth import CallersSettings, SharedToken
from app.settings.base import SettingsModel, Share, UsualNames
from app.settings.defaults import OF_ONE_SOURCE
from app.settings.fastpath import FastpathSettings
from app.settings.limits import LimitsSettings
from app.settings.listening import HOST, PORT
from app.settings.operations import (
    AdminSettings,
    DrainSettings,
    ReloadSettings,
    TelemetrySettings,
)
from app.settings.public_schema import (
    EnumSettings,
    ObjectSettings,
    PublicName,
    SchemaSettings,
    TypeName,
    UserFieldSettings,
)
from app.settings.resilience import (
    DeadlineSettings,
)
from app.settings.server import (
    LOOPBACK_HOSTS,
    BatchSettings,
    CacheControlSettings,
    ConnectionSettings,
    CorsSettings,
    HostName,
    PersistedSettings,
    ServerTlsSettings,
    TrustedSettings,
)
from app.settings.source import (
    KeyFromSettings,
    KeyMistake,
    LookupSettings,
    ServiceName,
    SourceSettings,
    key_mistakes,
)
from app.settings.store import StoreSettings

DEFAULT_SOURCES: tuple[str, ...] = ("profile", "billing", "activity")
"""The sources of the default schema."""


class LogSettings(SettingsModel):
    """The content and the format of the log."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="Format of the log; `auto` is `console` on a terminal, and else `json`.",
    )
    sample: Share = Field(
        default=1.0,
        description="Share of the requests whose successful operations and calls are logged."
        " Failures are always logged.",
    )


def _check_pattern(value: object) -> object:
    """Refuse a pattern that a later Python reads in another way: it has a sign that means a set."""
    if not isinstance(value, str):
        return value
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        try:
            re.compile(value)
        except FutureWarning as warning:
            raise ValueError(
                f"{str(warning).lower()}: expected \\ before a [, -, &, ~ or | that stands for"
                " itself"
            ) from None
        except re.error as error:
            raise ValueError(
                f"expected a regular expression such as usr_[0-9]+ ({error})"
            ) from None
        except (RecursionError, OverflowError):
            return value  # pydantic says what is wrong
    return value


class Settings(SettingsModel):
    """All settings of the gateway."""

    sources: Annotated[Mapping[ServiceName, SourceSettings], UsualNames(DEFAULT_SOURCES)] = Field(
        default={},
        description="The services whose records the gateway merges, by the name of the source."
        " The default schema reads `profile`, `billing` and `activity`.",
    )
    public_schema: SchemaSettings = Field(
        default=SchemaSettings(),
        alias="schema",
        description="What the public schema begins with, and what its type of users is called.",
    )
    user: Mapping[PublicName, UserFieldSettings] = Field(
        default={},
        description="Fields of a user, by name: those that are added to the default schema, and"
        " those of it that are hidden.",
        examples=[
            {
                "openTickets": {
                    "source": "support",
                    "type": "Int",
                    "description": "How many tickets are open.",
                    "may": "self or support:read",
                }
            }
        ],
    )
    types: Mapping[TypeName, ObjectSettings] = Field(
        default={}, description="Objects inside a user's fields, by the name of their type."
    )
    enums: Mapping[TypeName, EnumSettings] = Field(
        default={}, description="Enums inside a user's fields, by the name of their type."
    )
    host: str = Field(default=HOST, min_length=1, description="Address that `serve` listens on.")
    port: int = Field(default=PORT, ge=0, le=65_535, description="Port that `serve` listens on.")
    workers: int = Field(default=1, ge=1, le=64, description="Processes that `serve` runs.")
    hosts: tuple[HostName, ...] = Field(
        default=LOOPBACK_HOSTS,
        description="Names that clients may use for the gateway (the header `Host`, without the"
        " port): `*.example.com` for all names below one, `*` for any. `/healthz` and `/readyz`"
        " accept any name. The admin port accepts any address, too.",
        examples=[["api.example.com"]],
    )
    tls: ServerTlsSettings | None = Field(
        default=None,
        description="Certificate with which `serve` uses https. When absent, it uses http, which"
        " fits behind a proxy that ends TLS.",
    )
    connections: ConnectionSettings = Field(
        default=ConnectionSettings(), description="Limits of clients' connections and requests."
    )
    shutdown_timeout: int = Field(
        default=10,
        ge=0,
        le=600,
        description="Whole seconds in which running requests may end after SIGTERM.",
    )
    drain: DrainSettings = Field(
        default=DrainSettings(), description="How the gateway ends after SIGTERM."
    )
    auth: CallersSettings | None = Field(
        default=None,
        description="How the gateway identifies callers; `serve` does not start without it.",
    )
    router_token: SharedToken | None = Field(
        default=None,
        description="Token that a federation router sends in `X-Router-Token` to read the schema"
        " (`_service`) while `introspection` is off.",
    )
    security_directives: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether the schema has directives that show routers the policy of each field"
        " (`@authenticated`, `@requiresScopes`, `@owner`); `auto`: if `auth.mode` is `jwt`."
        " Apollo's JavaScript gateway needs `never`. The policies apply with any of these values.",
    )
    user_id_pattern: Annotated[re.Pattern[str], BeforeValidator(_check_pattern)] = Field(
        default=UUID_PATTERN,
        description="Pattern that a whole user id has to match. Ids that differ only in case name"
        " the same user if they are UUIDs, or if the pattern begins with `(?i)`.",
    )
    deadline: DeadlineSettings = Field(
        default=DeadlineSettings(), description="How long a request may take."
    )
    max_operations: int = Field(
        default=1_000,
        ge=1,
        le=1_000_000,
        description="Maximum number of operations that run at the same time. More get status 503"
        " and `Retry-After`.",
    )
    max_body_bytes: int = Field(
        default=1_048_576,
        ge=1_024,
        le=1_073_741_824,
        description="Maximum number of bytes of a request's body.",
    )
    batch: BatchSettings = Field(
        default=BatchSettings(), description="Several operations in one HTTP request."
    )
    persisted: PersistedSettings = Field(
        default=PersistedSettings(), description="Documents that clients name by their hash."
    )
    trusted: TrustedSettings = Field(
        default=TrustedSettings(), description="Documents that the operator provides."
    )
    cache_control: CacheControlSettings = Field(
        default=CacheControlSettings(),
        description="Which responses caches between the gateway and its clients may store.",
    )
    store: StoreSettings = Field(
        default=StoreSettings(), description="A store that several gateways share: Redis or Valkey."
    )
    csrf_prevention: bool = Field(
        default=True,
        description="Whether a GET request needs a header that pages of other sites cannot send"
        " without a CORS preflight, such as `GraphQL-Require-Preflight: 1`, `X-Requested-With` or"
        " `Authorization: Bearer …`.",
    )
    cors: CorsSettings = Field(
        default=CorsSettings(), description="Which pages of other sites may read responses (CORS)."
    )
    partial_status: bool = Field(
        default=False,
        description="Whether a response with data and errors has status 294 instead of 200, for"
        " clients that accept `application/graphql-response+json`.",
    )
    errors: Literal["each", "grouped"] = Field(
        default="each",
        description="Whether each failed field has an error at its path (`each`), or each failed"
        " source one error for each root field, with the paths as patterns (`grouped`). A client"
        ' chooses by `"extensions": {"errors": "grouped"}` in its request.',
    )
    trace: Literal["never", "asked", "always"] = Field(
        default="never",
        description="Whether responses report the calls to each source and their results; `asked`:"
        " if the request has `X-Gateway-Trace: 1`.",
    )
    admin: AdminSettings = Field(
        default=AdminSettings(),
        description="The port for operators: metrics, and the states of sources.",
    )
    reload: ReloadSettings = Field(
        default=ReloadSettings(),
        description="How settings are read anew while the gateway runs.",
    )
    telemetry: TelemetrySettings = Field(
        default=TelemetrySettings(),
        description="The content of metrics and traces. Where they are sent is said by the standard"
        " variables of OpenTelemetry, such as `OTEL_EXPORTER_OTLP_ENDPOINT`.",
    )
    explain: bool = Field(
        default=False,
        description="Whether a request with `X-Gateway-Explain: 1` gets an explanation of the calls"
        " that its operation would make. No source is called for it.",
    )
    max_ids: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Maximum number of ids in one field `users`.",
    )
    max_representations: int = Field(
        default=1_000,
        ge=1,
        le=10_000,
        description="Maximum number of representations in one field `_entities`. Federation"
        " routers do not split them, so the longest list of users in other subgraphs has to fit.",
    )
    fastpath: FastpathSettings = Field(
        default=FastpathSettings(),
        description="Which fast paths are on. They give the same responses for less CPU.",
    )
    document_cache: int = Field(
        default=1_000,
        ge=0,
        le=100_000,
        description="Maximum number of parsed and validated documents in cache.",
    )
    limits: LimitsSettings = Field(
        default=LimitsSettings(), description="Limits of documents, operations and callers."
    )
    introspection: bool = Field(
        default=False,
        description="Whether clients may read the schema: `__schema`, `__type`, `_service`.",
    )
    suggestions: bool = Field(
        default=False,
        description="Whether an error about an unknown name suggests a similar one.",
    )
    graphiql: bool = Field(
        default=False,
        description="Whether `/graphql` serves GraphiQL to browsers; it needs `introspection`.",
    )
    log: LogSettings = Field(default=LogSettings(), description="The log.")

    @property
    def key_from(self) -> Mapping[str, tuple[KeyFromSettings, ...]]:
        """The places of keys in order, by the names of all sources and lookups.

        There are none if users' ids are the keys.
        """
        return _origins(self.sources)

    @property
    def has_security_directives(self) -> bool:
        """Whether the schema has directives that show routers who may read which field."""
        if self.security_directives == "auto":
            return self.auth is not None and self.auth.mode == "jwt"
        return self.security_directives == "always"

    @field_validator("sources")
    @classmethod
    def _keys_can_be_obtained(
        cls, sources: Mapping[str, SourceSettings]
    ) -> Mapping[str, SourceSettings]:
        """Reject sources whose keys cannot be obtained, each at its own place.

        The sources of the default schema come first, in the order of that schema.
        """
        usual = [name for name in DEFAULT_SOURCES if name in sources]
        sources = {name: sources[name] for name in dict.fromkeys((*usual, *sources))}
        origins = _origins(sources)
        parents = {name: [one.source for one in places] for name, places in origins.items()}
        mistakes = [_key_error(one, sources, parents) for one in key_mistakes(parents)]
        if mistakes:
            raise ValidationError.from_exception_data(cls.__name__, mistakes)
        return sources


def _origins(sources: Mapping[str, SourceSettings]) -> Mapping[str, tuple[KeyFromSettings, ...]]:
    """Return the places of the keys of each source, and of each lookup."""
    found = {name: source.origins for name, source in sources.items()}
    for name, source in sources.items():
        found |= {f"{name}.{lookup}": one.origins for lookup, one in source.lookups.items()}
    return found


def _key_error(
    mistake: KeyMistake, sources: Mapping[str, SourceSettings], parents: Mapping[str, Sequence[str]]
) -> InitErrorDetails:
    """Put a mistake in the places of keys at its own place."""
    service, _, lookup = mistake.source.partition(".")
    own = sources[service]
    table: SourceSettings | LookupSettings = own.lookups[lookup] if lookup else own
    place: tuple[str | int, ...] = (service, "lookups", lookup) if lookup else (service,)
    value: object = {}
    if mistake.number is not None:
        # After a union, pydantic's locations have the name of the type.
        is_list = isinstance(table.key_from, tuple)
        kind = ("tuple", mistake.number) if is_list else (KeyFromSettings.__name__,)
        place = (*place, "key_from", *kind, "source")
        value = parents[mistake.source][mistake.number]
    return InitErrorDetails(
        type=PydanticCustomError("key_from", "{what}", {"what": mistake.what}),
        loc=place,
        input=value,
    )


def _defaults_of(model: type[BaseModel]) -> type[BaseModel]:
    """Make the model of defaults for tables of another model: all its settings, none required."""
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if name not in OF_ONE_SOURCE:
            default = copy(info)
            if default.is_required():
                default.default = None
            fields[name] = (info.annotation, default)
    return create_model(
        "SourceDefaults", __base__=SettingsModel, __doc__="Defaults of all sources.", **fields
    )


class WrittenSettings(Settings):
    """The settings as operators write them: with defaults of all sources, which each source has.

    Only ``loading`` uses it, to find the place of a value. It reads ``Settings``.
    """

    source_defaults: _defaults_of(SourceSettings) = Field(  # type: ignore[valid-type] # made of another model
        default=None,
        description="Settings that all sources have unless they say something else themselves."
        " All settings of a source may be here except `fields`, `words`, `defaults`, `key_from`,"
        " `lookups` and `endpoints`."
        " `request` and `answer` count for the endpoints of a source that has some, and for"
        " lookups.",
    )
