"""The settings: what an operator can say, from where, and what is wrong with it.

The environment is read here and nowhere else. Everything else is handed a ``Settings`` value, which
knows nothing of the environment and can be built by hand (the demo and the tests do).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.shapes.address import BaseUrl
from app.shapes.answer import AnswerSettings, Fields, MoreSettings
from app.shapes.auth import AuthSettings, ClientCredentialsAuth, NoAuth
from app.shapes.endpoint import Endpoints, EndpointSettings
from app.shapes.key_from import KeyFromSettings, key_mistakes
from app.shapes.limits import LimitsSettings
from app.shapes.proxy import ProxySettings
from app.shapes.request import RequestSettings
from app.shapes.tls import TlsSettings

UUID_PATTERN = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""A UUID as text: either case is right on input (RFC 9562, section 4)."""


Seconds = Annotated[float, Field(ge=0.001, le=3600, allow_inf_nan=False)]


class _Frozen(BaseModel):
    """Base of all settings: they never change, and nothing unknown is passed over."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class RetrySettings(_Frozen):
    """When a call to a source is made again."""

    max_retries: int = Field(
        default=2, ge=0, le=10, description="Most times that a call is made again; 0 for never."
    )
    base_delay: Seconds = Field(
        default=0.05,
        description="Seconds within which the first repetition is made; doubled for each further.",
    )
    max_delay: Seconds = Field(
        default=1.0, description="Most seconds within which a repetition is made."
    )
    budget_share: Share = Field(
        default=0.1, description="Share of the calls that may be made again."
    )
    budget_minimum: int = Field(
        default=3, ge=0, le=1_000, description="Repetitions that are allowed beyond that share."
    )
    budget_window: Seconds = Field(
        default=10.0, description="Seconds over which calls and repetitions are counted."
    )


class PacingSettings(_Frozen):
    """How a source is asked that says how fast it may be."""

    enabled: bool = Field(
        default=True,
        description="Whether the service is asked more slowly, or later, where it says so (429,"
        " `Retry-After`, `RateLimit`, `X-RateLimit-…`, `Backoff`).",
    )
    max_pause: Seconds = Field(
        default=60.0,
        description="Most seconds for which it is not asked at a time, whatever it says.",
    )


class BreakerSettings(_Frozen):
    """When a source is not called for a while."""

    window: Seconds = Field(default=10.0, description="Seconds over which calls are judged.")
    min_calls: int = Field(
        default=20, ge=1, le=100_000, description="Fewest calls in the window to judge by."
    )
    failure_rate: float = Field(
        default=0.5, gt=0, le=1, description="Share of failures at which the circuit opens."
    )
    slow_call: Seconds | None = Field(
        default=None,
        description="Seconds from which on a call is slow; nine tenths of `timeout` when absent.",
    )
    slow_rate: float = Field(
        default=0.8, gt=0, le=1, description="Share of slow calls at which the circuit opens."
    )
    open_for: Seconds = Field(
        default=5.0,
        description="Most seconds that the circuit is open at first; doubled while probes fail.",
    )
    max_open: Seconds = Field(
        default=60.0, description="Most seconds that the circuit stays open at a time."
    )
    probes: int = Field(
        default=3, ge=1, le=100, description="Calls that have to succeed for the circuit to close."
    )


class CacheSettings(_Frozen):
    """How long a source's answers are kept, and how old they may be when they are used."""

    enabled: bool = Field(default=False, description="Whether answers are kept at all.")
    ttl: Seconds = Field(default=10.0, description="Seconds for which an answer is fresh.")
    stale_while_revalidate: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="Seconds after that in which it is still used, and renewed behind.",
    )
    stale_if_error: float = Field(
        default=300.0,
        ge=0,
        le=604_800,
        description="Seconds after that in which it is used where the source fails, if the contract"
        " is `stale_ok`.",
    )
    unknown_ttl: Seconds = Field(
        default=2.0, description="Seconds for which it is kept that a user is unknown."
    )
    max_entries: int = Field(
        default=10_000, ge=1, le=10_000_000, description="Most users whose answers are kept."
    )


class CoalesceSettings(_Frozen):
    """How requests that come together share the calls to a source."""

    enabled: bool = Field(
        default=True,
        description="Whether users of several requests with the same identity go in one call.",
    )
    max_batches: int = Field(
        default=8,
        ge=1,
        le=1_000,
        description="Batches under way at the same time; while it is so many, the next gathers.",
    )
    full_at: int = Field(
        default=16,
        ge=1,
        le=1_000,
        description="Requests in a batch at which it leaves at once, where it may.",
    )


class DeadlineSettings(_Frozen):
    """How long a request may take."""

    budget: Seconds = Field(
        default=5.0,
        description="Seconds a request may take; `X-Request-Timeout: 800ms` asks for less.",
    )
    reserve: float = Field(
        default=0.05,
        ge=0,
        le=60,
        description="Seconds of it that are kept for merging and answering.",
    )
    header: HeaderName = Field(
        default="X-Request-Timeout",
        description="Header by which sources are told how long they have, such as `800ms`.",
    )


class SourceSettings(_Frozen):
    """How one source is reached."""

    base_url: BaseUrl = Field(
        description="Address below which the service answers.",
        examples=["https://users.internal/api"],
    )
    auth: AuthSettings = Field(default=NoAuth(), description="How the service knows who asks.")
    tls: TlsSettings | None = Field(
        default=None,
        description="Whose certificates are trusted, and which one is shown; what the system trusts"
        " and none when absent.",
    )
    proxy: ProxySettings | None = Field(
        default=None,
        description="HTTP proxy between gateway and service; none when absent: `HTTP_PROXY` and the"
        " like are not read.",
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
    request: RequestSettings | None = Field(
        default=None,
        description="How the service is asked for users; as the default contract has it when"
        " absent.",
    )
    answer: AnswerSettings | None = Field(
        default=None,
        description="How the service's answers are read; as the default contract has it when"
        " absent.",
    )
    fields: Fields | None = Field(
        default=None,
        description="How the record's fields are made of a row: an expression (JMESPath) for each."
        " When absent, the row has them as the default contract does.",
        examples=[{"display_name": "name.formatted", "created_at": "unix_seconds(created)"}],
    )
    key_from: KeyFromSettings | None = Field(
        default=None,
        description="Which other source has the keys by which this one knows users; their ids when"
        " absent.",
    )
    endpoints: Endpoints = Field(
        default={},
        description="The endpoints of a service that takes several calls for one record, by name;"
        " each has `request`, `answer` and `fields` of its own, and only those are called that have"
        " what is asked for. The first is asked where only a user's existence matters.",
        examples=[
            {
                "account": {
                    "request": {"form": "repeat", "path": "/accounts", "parameter": "userId"},
                    "fields": {"plan": "plan", "status": "status"},
                }
            }
        ],
    )
    max_concurrent_pages: int = Field(
        default=10,
        ge=1,
        le=1_000,
        description="Pages (invoices) of one list of users, fetched at once.",
    )
    page_timeout: Seconds = Field(
        default=2.0, description="Seconds that one call for a page (invoices) may take."
    )
    max_calls: int = Field(
        default=64, ge=1, le=10_000, description="Calls to the service at the same time."
    )
    max_waiting_calls: int = Field(
        default=256, ge=0, le=100_000, description="Calls that wait for one of those to end."
    )
    max_answer_bytes: int = Field(
        default=10_485_760, ge=1_024, description="Longest answer that is read, decompressed."
    )
    contract: Literal["optional", "required", "stale_ok"] = Field(
        default="optional",
        description="What a failure costs: the source's fields (`optional`), the user (`required`),"
        " or nothing while an old answer is at hand (`stale_ok`).",
    )
    hedge: bool = Field(
        default=False,
        description="Whether a call that is slower than 95 of 100 is made a second time beside it.",
    )
    cache: CacheSettings = Field(
        default=CacheSettings(), description="How long its answers are kept."
    )
    coalesce: CoalesceSettings = Field(
        default=CoalesceSettings(), description="How requests share calls."
    )
    retry: RetrySettings = Field(default=RetrySettings(), description="When a call is made again.")
    pacing: PacingSettings = Field(
        default=PacingSettings(), description="How fast the service is called, by its own word."
    )
    breaker: BreakerSettings = Field(
        default=BreakerSettings(), description="When the service is not called for a while."
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

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Accept a request in which nothing has two meanings.

        Raises:
            ValueError: Something is said twice, or would have no effect.
        """
        shapes: tuple[SourceSettings | EndpointSettings, ...] = (self, *self.endpoints.values())
        for shape in shapes:
            _check_beside_auth(shape.request, shape.answer, self.auth)
        addresses = [self.base_url]
        if isinstance(self.auth, ClientCredentialsAuth):
            addresses.append(self.auth.token_url)
        if self.tls is not None and not any(one.startswith("https:") for one in addresses):
            raise ValueError("expected https in base_url beside tls")
        return self


def _check_beside_auth(
    request: RequestSettings | None, answer: AnswerSettings | None, auth: AuthSettings
) -> None:
    """Refuse a request that says by itself what is for ``auth`` to say.

    Args:
        request: How the service is asked.
        answer: How its answers are read, and their next pages asked for.
        auth: How the service knows who asks.

    Raises:
        ValueError: A header or a parameter would be there twice.
    """
    headers = {name.lower() for name in (request.headers if request else ())}
    if taken := headers & {auth.own_header, *auth.forwards}:
        raise ValueError(f"expected no {min(taken)} in request.headers: auth has it")
    own, more = auth.own_parameter, answer.more if answer else MoreSettings()
    parameters = request.all_parameters if request else ()
    if own is not None and own in {*parameters, more.cursor_parameter, more.offset_parameter}:
        raise ValueError(f"expected another name than {own} in auth.parameter: it is taken")


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
    sample: Share = Field(
        default=1.0,
        description="Share of the requests whose good operations and calls are logged; failures"
        " always are.",
    )


class BatchSettings(_Frozen):
    """Several operations in one HTTP request."""

    enabled: bool = Field(
        default=False, description="Whether a JSON array of operations is executed."
    )
    max_operations: int = Field(
        default=10, ge=1, le=1_000, description="Most operations in one array."
    )


class PersistedSettings(_Frozen):
    """Documents that clients send once and then name by their hash."""

    enabled: bool = Field(
        default=False,
        description="Whether documents are kept that clients send with their hash (automatic"
        " persisted queries).",
    )
    max_documents: int = Field(
        default=1_000, ge=1, le=1_000_000, description="Most documents that are kept for that."
    )


class TrustedSettings(_Frozen):
    """Documents that the operator has given."""

    path: Path | None = Field(
        default=None,
        description="Manifest (Apollo's or Relay's format), document (`.graphql`), or folder of"
        " such files: documents that clients may name by their hash.",
    )
    mode: Literal["also", "only"] = Field(
        default="also",
        description="Whether other documents are executed, too (`also`), or nothing else (`only`),"
        " GraphiQL's queries included.",
    )


def _check_origin(origin: str) -> str:
    """Accept the origin of a site, as browsers write it (RFC 6454, section 6.2).

    Args:
        origin: The origin.

    Returns:
        The origin.

    Raises:
        ValueError: It is none; ``*`` and ``null`` are everybody, and nobody is to be let in so.
    """
    if not re.fullmatch(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", origin):
        raise ValueError("expected an origin such as https://app.example.com, in lower case")
    return origin


Origin = Annotated[str, AfterValidator(_check_origin)]


class CorsSettings(_Frozen):
    """Which other sites' pages may read answers (Fetch Standard, "CORS protocol")."""

    origins: tuple[Origin, ...] = Field(
        default=(),
        description="Origins whose pages may send requests and read the answers.",
        examples=[["https://app.example.com"]],
    )
    credentials: bool = Field(
        default=False, description="Whether their requests may carry cookies."
    )
    headers: tuple[HeaderName, ...] = Field(
        default=(),
        description="Headers that their requests may have, beside those that the gateway reads.",
    )
    max_age: int = Field(
        default=600,
        ge=0,
        le=86_400,
        description="Whole seconds for which browsers remember what they were allowed.",
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
        description="Most ids in one `users`, and most representations in one `_entities`.",
    )
    compile: bool = Field(
        default=True,
        description="Whether everyday operations are compiled rather than interpreted.",
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
        """Where the keys are of each source that knows users by another source's."""
        return {name: one.key_from for name, one in self.sources if one.key_from is not None}

    @field_validator("sources")
    @classmethod
    def _keys_can_be_had(cls, sources: SourcesSettings) -> SourcesSettings:
        """Refuse sources whose keys can never be had, each at its place."""
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
