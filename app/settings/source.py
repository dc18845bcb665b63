"""Settings of one source: its service, its endpoints, and its keys.

A source may have several endpoints, each with some fields of its record. A source that knows users
by its own keys names the sources that have these keys, in order; the first key that is found
counts. A lookup finds a user by something else than the key, such as a mail address:

[sources.billing]
key_from = [
  { source = "profile", expression = "app_metadata.stripe_customer_id" },
  { source = "billing.by_mail", expression = "id" },
]

[sources.billing.lookups.by_mail]
key_from = { source = "profile", expression = "email" }
request = { form = "each", path = "/v1/customers", parameter = "email" }
answer = { rows = ["data"], key = ["email"] }
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self, TypeAlias

from msgspec import Struct
from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from app.settings.base import BaseUrl, Seconds, SettingsModel, refuse
from app.settings.credentials import AuthSettings, ClientCredentialsAuth, NoAuth
from app.settings.defaults import OF_CALLS, OF_ONE_SOURCE, SOURCES, SettledValues
from app.settings.lists import ListName, ListSettings
from app.settings.nested import Keys, as_table, value_at
from app.settings.request import RequestSettings
from app.settings.resilience import (
    BreakerSettings,
    CacheSettings,
    CoalesceSettings,
    PacingSettings,
    RetrySettings,
)
from app.settings.response import AnswerSettings, ExpressionText, FieldName, Fields, MoreSettings
from app.settings.transport import ProxySettings, TlsSettings
from app.settings.variables import nearest

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def _check_name(name: str) -> str:
    """Check a name that appears in logs and in names of variables."""
    if not is_service_name(name):
        raise ValueError("expected small letters, digits and _, such as latest_invoice")
    return name


def is_service_name(text: str) -> bool:
    """Return whether a text can be the name of a source.

    Args:
        text: The text.

    Returns:
        Whether it can.
    """
    return _NAME.fullmatch(text) is not None


EndpointName: TypeAlias = Annotated[str, AfterValidator(_check_name)]

ServiceName: TypeAlias = Annotated[str, AfterValidator(_check_name)]


Words: TypeAlias = Mapping[FieldName, Mapping[str, str]]
"""The record's word for each word of the service, by the name of the field."""

Defaults: TypeAlias = Mapping[FieldName, JsonValue]
"""The value of a field that is missing, as JSON, by the name of the field."""

_WORDS = (
    "For a field with text: the words of the service, and the word that the record gets instead of"
    " each. Other words stay as they are."
)
_WORDS_EXAMPLES = [{"status": {"incomplete": "PAST_DUE", "unpaid": "PAST_DUE"}}]
_DEFAULTS = (
    "The value of a field that is missing or null in a row. By default it is `null`. With"
    " `answer.without_row`, also a user without a row has these values."
)
_DEFAULTS_EXAMPLES: list[Mapping[str, JsonValue]] = [{"login_count": 0, "events": []}]


class KeyFromSettings(SettingsModel):
    """One place where the keys of a source may be, if these are not the ids of users."""

    source: str = Field(
        max_length=100,
        description="The source whose rows have the keys, or a lookup (`billing.by_mail`). It is"
        " called first. `key_from` may be a list of such places, of which the first key counts.",
        examples=["profile"],
    )
    expression: ExpressionText = Field(
        description="Expression (JMESPath) that reads the key from a row of that source, before any"
        " mapping. It gives text or a whole number. Null or an empty text means that the user has"
        " no key there.",
        examples=["app_metadata.stripe_customer_id"],
    )


def _some(places: tuple[KeyFromSettings, ...]) -> tuple[KeyFromSettings, ...]:
    """Raise ``ValueError`` if there are no places; return them otherwise."""
    # ``min_length`` would count the places without a mistake.
    if not places:
        raise ValueError("expected at least one table")
    return places


KeyFrom: TypeAlias = (
    KeyFromSettings
    | Annotated[
        tuple[KeyFromSettings, ...],
        AfterValidator(_some),
        Field(max_length=16, json_schema_extra={"minItems": 1}),
    ]
)
"""Where keys are: one place, or several in order. The first key that is found counts."""


def _as_tuple(key_from: KeyFrom | None) -> tuple[KeyFromSettings, ...]:
    """Return the places of keys in order; none if the ids of users are the keys."""
    if key_from is None:
        return ()
    return key_from if isinstance(key_from, tuple) else (key_from,)


class CallSettings(SettingsModel):
    """The calls of one endpoint or lookup of a service: their requests, answers and limits."""

    request: RequestSettings = Field(description="How a request names the users.")
    answer: AnswerSettings | None = Field(
        default=None,
        description="How its answers are read. When absent, the default contract applies.",
    )
    timeout: Seconds | None = Field(
        default=None,
        description="Maximum number of seconds of one call, instead of the source's `timeout`.",
        examples=[0.5],
    )
    max_keys: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Maximum number of users in one call, instead of the source's `max_keys`.",
        examples=[20],
    )
    max_calls: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Maximum number of these calls at the same time, within the source's"
        " `max_calls`. More wait, as many as `max_waiting_calls` allows.",
        examples=[4],
    )


class EndpointSettings(CallSettings):
    """One endpoint of a service: its calls, and the record's fields that it has."""

    fields: Annotated[Fields, Field(min_length=1)] | None = Field(
        default=None,
        description="The fields of the record that this endpoint has: an expression (JMESPath) for"
        " each. They may be absent if fields of `[user]` read the endpoint by its name.",
        examples=[{"balance": "money_minor(due, currency)"}],
    )
    words: Words = Field(default={}, description=_WORDS, examples=_WORDS_EXAMPLES)
    defaults: Defaults = Field(default={}, description=_DEFAULTS, examples=_DEFAULTS_EXAMPLES)


Endpoints: TypeAlias = Mapping[EndpointName, EndpointSettings]
"""The endpoints of a service, by name. If an operation only needs to know whether users exist, the
first one is called."""


class LookupSettings(CallSettings):
    """A way to find the key of a user by something else: an endpoint without fields.

    Its own name in ``key_from`` is that of the service with a dot: ``billing.by_mail``.
    """

    key_from: KeyFrom | None = Field(
        default=None,
        description="Where the values are by which users are looked up, such as their mail"
        " addresses: one table, or a list of tables in order. When absent, users are looked up by"
        " their ids.",
        examples=[{"source": "profile", "expression": "email"}],
    )

    @property
    def origins(self) -> tuple[KeyFromSettings, ...]:
        """The places of the values by which users are looked up, in order."""
        return _as_tuple(self.key_from)


Lookups: TypeAlias = Mapping[EndpointName, LookupSettings]
"""The lookups of a service, by name."""


class KeyMistake(Struct, frozen=True):
    """A place of keys that cannot work, or a lookup that has no use.

    Attributes:
        source: The source or lookup whose keys are meant.
        number: The position in its ``key_from``, from 0; ``None`` for a lookup without use.
        what: The mistake, and what is expected.
    """

    source: str
    number: int | None
    what: str


def key_mistakes(origins: Mapping[str, Sequence[str]]) -> Iterator[KeyMistake]:
    """Find sources whose keys cannot be obtained, and lookups that no source uses.

    Args:
        origins: For every source and lookup, the sources and lookups that have its keys, in order;
            none if users' ids are its keys.

    Yields:
        A mistake for each place that is unknown, that is the source itself, or that comes twice;
        one mistake for cycles that have a source in common, and for each lookup without use.
    """
    reported: set[str] = set()
    for name, parents in origins.items():
        for number, parent in enumerate(parents):
            if parent not in origins or parent == name:
                others = [one for one in origins if one != name]
                near = nearest(parent, others)
                hint = "" if near is None else f" ({near})"
                yield KeyMistake(name, number, f"expected one of {', '.join(others)}{hint}")
            elif parent in parents[:number]:
                what = "expected each source once: join its expressions by ||"
                yield KeyMistake(name, number, what)
        cycle = _cycle(name, origins)
        if len(cycle) > 1 and reported.isdisjoint(cycle):
            reported.update(cycle)
            way = " ← ".join([*cycle, name])
            what = f"expected no cycle ({way}): none of these sources can be called first"
            yield KeyMistake(name, parents.index(cycle[1]), what)
    used = {parent for parents in origins.values() for parent in parents}
    for name in origins:
        if "." in name and name not in used:
            what = f'expected source = "{name}" in the key_from of a source: nothing uses it'
            yield KeyMistake(name, None, what)


def _cycle(name: str, origins: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Follow a source to the sources of its keys; return the way back to it, or nothing."""
    ways, visited = [[name]], {name}
    while ways:
        way = ways.pop()
        for parent in origins.get(way[-1], ()):
            if parent == name:
                return way
            if parent not in visited:
                visited.add(parent)
                ways.append([*way, parent])
    return ()


OWN_ADDRESS = "http://module.invalid"
"""The address of a source that a Python module brings, which has none (RFC 2606, section 2)."""


def requests_of_own(values: object, settled: SettledValues) -> Iterator[tuple[Keys, str]]:
    """Find settings of requests and answers in the table of a source that a module brings.

    Defaults of all sources are there, too, and are no mistake.

    Args:
        values: All values, with the address of each such source.
        settled: The same without that, and with the places of the defaults.

    Yields:
        The place of each, and what is wrong.
    """
    for name, source in (as_table(value_at(values, (SOURCES,))) or {}).items():
        table = as_table(source) or {}
        for one in OF_CALLS if table.get("base_url") == OWN_ADDRESS else ():
            place: Keys = (SOURCES, name, one)
            if one in table and place not in settled.inherited:
                yield place, f"is for services that speak HTTP, and {name} is a source of a module."


class SourceSettings(SettingsModel):
    """All settings of one source."""

    base_url: BaseUrl = Field(
        description="Base address of the service.",
        examples=["https://service.internal/api"],
    )
    auth: AuthSettings = Field(default=NoAuth(), description="Credentials for the service.")
    tls: TlsSettings | None = Field(
        default=None,
        description="Certificates for the service: the trusted ones, and the gateway's own. When"
        " absent, the gateway trusts those of the system and has none itself.",
    )
    proxy: ProxySettings | None = Field(
        default=None,
        description="HTTP proxy between the gateway and the service; none when absent. `HTTP_PROXY`"
        " and similar variables are not read.",
    )
    timeout: Seconds = Field(
        default=2.0,
        description="Maximum number of seconds of one call, from its first to its last byte.",
    )
    connect_timeout: Seconds = Field(
        default=0.5, description="Maximum number of seconds to open a connection, within `timeout`."
    )
    max_keys: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Maximum number of users in one call. More are split into several calls.",
    )
    max_url_bytes: int = Field(
        default=7_500,
        ge=256,
        le=65_536,
        description="Maximum number of bytes of a call's URL. More users are split into several"
        " calls.",
    )
    request: RequestSettings | None = Field(
        default=None,
        description="How a request names the users. When absent, the default contract applies.",
    )
    answer: AnswerSettings | None = Field(
        default=None,
        description="How the answers are read. When absent, the default contract applies.",
    )
    fields: Fields | None = Field(
        default=None,
        description="Expression (JMESPath) for each field of the record, evaluated on a row. When"
        " absent, a row has the fields of the default contract.",
        examples=[{"display_name": "name.formatted", "created_at": "unix_seconds(created)"}],
    )
    words: Words = Field(default={}, description=_WORDS, examples=_WORDS_EXAMPLES)
    defaults: Defaults = Field(default={}, description=_DEFAULTS, examples=_DEFAULTS_EXAMPLES)
    key_from: KeyFrom | None = Field(
        default=None,
        description="Where the keys of this source are: one table, or a list of tables in order, of"
        " which the first key that is found counts. When absent, the keys are the ids of users.",
        examples=[
            [
                {"source": "profile", "expression": "app_metadata.stripe_customer_id"},
                {"source": "billing.by_mail", "expression": "id"},
            ]
        ],
    )
    lookups: Lookups = Field(
        default={},
        description="Lookups by name: calls that find the key of a user by something else, such as"
        " a mail address, for `key_from`. A user whose key is known before is not looked up.",
        examples=[
            {
                "by_mail": {
                    "key_from": {"source": "profile", "expression": "email"},
                    "request": {"form": "each", "path": "/customers", "parameter": "email"},
                    "answer": {"rows": ["data"], "key": ["email"]},
                }
            }
        ],
    )
    endpoints: Endpoints = Field(
        default={},
        description="Endpoints by name, if one record needs several calls. Each has its own"
        " `request`, `answer` and `fields`. Only endpoints with wanted fields are called; the first"
        " one is called if an operation only needs to know whether users exist.",
        examples=[
            {
                "account": {
                    "request": {"form": "repeat", "path": "/accounts", "parameter": "userId"},
                    "fields": {"plan": "plan", "status": "status"},
                }
            }
        ],
    )
    lists: Mapping[ListName, ListSettings] = Field(
        default={},
        description="Lists that are read page by page, by name: `invoices`. A list without settings"
        " has the default contract.",
        examples=[
            {
                "invoices": {
                    "path": "/v1/invoices",
                    "parameter": "customer",
                    "rows": ["data"],
                    "next_cursor": ["meta", "next"],
                }
            }
        ],
    )
    without_lists: tuple[ListName, ...] = Field(
        default=(),
        description="Lists that the service does not have. They are null for every user, and are"
        " not requested.",
        examples=[["invoices"]],
    )
    max_concurrent_pages: int = Field(
        default=10,
        ge=1,
        le=1_000,
        description="Maximum number of calls for pages (invoices) at the same time, for one list"
        " of users.",
    )
    page_timeout: Seconds = Field(
        default=2.0, description="Maximum number of seconds of one call for a page (invoices)."
    )
    max_calls: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="Maximum number of calls to the service at the same time.",
    )
    max_waiting_calls: int = Field(
        default=256,
        ge=0,
        le=100_000,
        description="Maximum number of calls that wait while `max_calls` are running.",
    )
    max_answer_bytes: int = Field(
        default=10_485_760,
        ge=1_024,
        description="Maximum number of bytes of an answer, decompressed.",
    )
    max_head_bytes: int = Field(
        default=65_536,
        ge=1_024,
        le=1_048_576,
        description="Maximum number of bytes of the head of an answer: its status and headers.",
    )
    contract: Literal["optional", "required", "stale_ok"] = Field(
        default="optional",
        description="What becomes null if the source fails: its fields (`optional`), the whole user"
        " (`required`), or its fields unless the cache has an old record (`stale_ok`).",
    )
    hedge: bool = Field(
        default=False,
        description="Whether a second call is made in parallel if a call takes longer than 95 of"
        " 100 calls.",
    )
    cache: CacheSettings = Field(
        default=CacheSettings(), description="How long source results are cached."
    )
    coalesce: CoalesceSettings = Field(
        default=CoalesceSettings(), description="How requests share calls."
    )
    retry: RetrySettings = Field(
        default=RetrySettings(), description="When a failed call is retried."
    )
    pacing: PacingSettings = Field(
        default=PacingSettings(), description="How the rate of calls follows the service's signals."
    )
    breaker: BreakerSettings = Field(
        default=BreakerSettings(), description="When calls to the service stop for a while."
    )
    max_connections: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Maximum number of open connections to the service at the same time.",
    )
    keepalive: Seconds = Field(
        default=15.0, description="Seconds that an idle connection stays open for the next call."
    )

    without_source_defaults: tuple[str, ...] = Field(
        default=(),
        description="Names of settings for which `source_defaults` does not count: this source has"
        " its own value, or the gateway's default.",
        examples=[["proxy", "tls"]],
    )

    @property
    def origins(self) -> tuple[KeyFromSettings, ...]:
        """The places of the source's keys in order; none if the keys are the ids of users."""
        return _as_tuple(self.key_from)

    @field_validator("without_source_defaults")
    @classmethod
    def _have_defaults(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Require names of settings that may have a default for all sources."""
        allowed = cls.model_fields.keys() - OF_ONE_SOURCE
        if wrong := [name for name in names if name not in allowed]:
            raise ValueError(f"expected names of settings in source_defaults, not {wrong[0]!r}")
        return names

    @property
    def uses_tls(self) -> bool:
        """Whether the service or its token endpoint is called by https."""
        addresses = [self.base_url]
        if isinstance(self.auth, ClientCredentialsAuth):
            addresses.append(self.auth.token_url)
        return any(one.startswith("https:") for one in addresses)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Require settings that fit together.

        Raises:
            ValueError: A header or parameter has two values, or ``tls`` has no effect.
        """
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[str]:
        """Yield what does not fit together."""
        shapes: tuple[SourceSettings | CallSettings, ...] = (
            self,
            *self.endpoints.values(),
            *self.lookups.values(),
        )
        for shape in shapes:
            yield from _mistakes_beside_auth(shape.request, shape.answer, self.auth)
        for name, one in self.lists.items():
            yield from _mistakes_of_list_beside_auth(name, one, self.auth)
        if both := {*self.lookups} & {*self.endpoints}:
            yield f"expected another name than {min(both)} in lookups: an endpoint has it"
        if both := {*self.lists} & {*self.without_lists}:
            yield f"expected {min(both)} in lists or in without_lists, not in both"
        if self.tls is not None and not self.uses_tls:
            yield "expected https in base_url beside tls"


def _mistakes_beside_auth(
    request: RequestSettings | None, answer: AnswerSettings | None, auth: AuthSettings
) -> Iterator[str]:
    """Yield which headers and parameters of ``auth`` a request itself sets."""
    headers = {name.lower() for name in (request.headers if request else ())}
    if taken := headers & {auth.own_header, *auth.forwards}:
        yield f"expected no {min(taken)} in request.headers: auth writes it"
    own, more = auth.own_parameter, answer.more if answer else MoreSettings()
    parameters = request.all_parameters if request else ()
    if own is not None and own in {*parameters, more.cursor_parameter, more.offset_parameter}:
        yield f"expected another name than {own} in auth.parameter: it is taken"


def _mistakes_of_list_beside_auth(
    name: str, settings: ListSettings, auth: AuthSettings
) -> Iterator[str]:
    """Yield which headers and parameters of ``auth`` a list itself sets."""
    headers = {header.lower() for header in settings.headers}
    if taken := headers & {auth.own_header, *auth.forwards}:
        yield f"expected no {min(taken)} in lists.{name}.headers: auth writes it"
    if auth.own_parameter in settings.all_parameters:
        yield (
            f"expected another name than {auth.own_parameter} in auth.parameter: lists.{name} has"
            " it"
        )
