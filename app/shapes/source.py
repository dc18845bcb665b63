"""How one source is reached and asked, as settings."""

from typing import Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from app.shapes.address import BaseUrl
from app.shapes.answer import AnswerSettings, Fields, MoreSettings
from app.shapes.auth import AuthSettings, ClientCredentialsAuth, NoAuth
from app.shapes.base import Seconds, Shape
from app.shapes.endpoint import Endpoints, EndpointSettings
from app.shapes.key_from import KeyFromSettings
from app.shapes.proxy import ProxySettings
from app.shapes.request import RequestSettings
from app.shapes.resilience import (
    BreakerSettings,
    CacheSettings,
    CoalesceSettings,
    PacingSettings,
    RetrySettings,
)
from app.shapes.tls import TlsSettings


class SourceSettings(Shape):
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
    max_head_bytes: int = Field(
        default=65_536,
        ge=1_024,
        le=1_048_576,
        description="Longest head of an answer that is read: its status and headers.",
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
