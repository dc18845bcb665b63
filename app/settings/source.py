"""Settings of one source: its service, its endpoints, and its keys.

A source may have several endpoints, each with some fields of its record. A source that knows users
by its own keys names the other source that has these keys:

[sources.billing.key_from]
source = "profile"
expression = "app_metadata.stripe_customer_id"
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from app.settings.base import BaseUrl, Seconds, SettingsModel
from app.settings.credentials import AuthSettings, ClientCredentialsAuth, NoAuth
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


def _check_name(name: str) -> str:
    """Check a name that appears in logs and in names of variables."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ValueError("expected small letters, digits and _, such as latest_invoice")
    return name


EndpointName: TypeAlias = Annotated[str, AfterValidator(_check_name)]


class EndpointSettings(SettingsModel):
    """How one endpoint of a service is asked, and which of the record's fields it gives."""

    request: RequestSettings = Field(description="How it is asked for users.")
    answer: AnswerSettings | None = Field(
        default=None,
        description="How its answers are read; as the default contract has it when absent.",
    )
    fields: Annotated[Mapping[FieldName, ExpressionText], Field(min_length=1)] = Field(
        description="The fields of the record that it gives: an expression (JMESPath) for each.",
        examples=[{"balance": "money_minor(due, currency)"}],
    )


Endpoints: TypeAlias = Mapping[EndpointName, EndpointSettings]
"""The endpoints of a service, by name. The first is asked where a user's existence is all that
matters."""


class KeyFromSettings(SettingsModel):
    """Where a source's keys are."""

    source: str = Field(
        max_length=100,
        description="The source that has this one's key of each user. It is asked first.",
        examples=["profile"],
    )
    expression: ExpressionText = Field(
        description="Where its rows have the key, as they come: an expression (JMESPath) that gives"
        " text or a whole number. Null, nothing or an empty text says that there is none.",
        examples=["app_metadata.stripe_customer_id"],
    )


@dataclass(frozen=True, slots=True)
class KeyMistake:
    """A source whose ``key_from`` cannot work.

    Attributes:
        source: The source.
        what: The mistake, and what is expected.
    """

    source: str
    what: str


def key_mistakes(parents: Mapping[str, str | None]) -> Iterator[KeyMistake]:
    """Find sources whose keys cannot be obtained.

    Args:
        parents: For every source, the source that has its keys; ``None`` if users' ids are its
            keys.

    Yields:
        A mistake for each source that gets its keys from itself, from an unknown source, or in a
        cycle; one mistake for each cycle.
    """
    told: set[str] = set()
    for name, parent in parents.items():
        if parent is None:
            continue
        if parent not in parents or parent == name:
            others = ", ".join(one for one in parents if one != name)
            yield KeyMistake(name, f"expected one of {others}")
            continue
        ring = _ring(name, parents)
        if ring and told.isdisjoint(ring):
            told.update(ring)
            way = " ← ".join([*ring, name])
            yield KeyMistake(name, f"expected no ring ({way}): none of it could be asked first")


def _ring(name: str, parents: Mapping[str, str | None]) -> list[str]:
    """Follow a source to the sources of its keys; return the cycle, or none."""
    way = [name]
    while (parent := parents.get(way[-1])) is not None and parent not in way:
        way.append(parent)
    return way if parent == name and len(way) > 1 else []


class SourceSettings(SettingsModel):
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
    """Raise ``ValueError`` if a request itself sets a header or parameter of ``auth``."""
    headers = {name.lower() for name in (request.headers if request else ())}
    if taken := headers & {auth.own_header, *auth.forwards}:
        raise ValueError(f"expected no {min(taken)} in request.headers: auth has it")
    own, more = auth.own_parameter, answer.more if answer else MoreSettings()
    parameters = request.all_parameters if request else ()
    if own is not None and own in {*parameters, more.cursor_parameter, more.offset_parameter}:
        raise ValueError(f"expected another name than {own} in auth.parameter: it is taken")
