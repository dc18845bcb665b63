"""Asking each source as the gateway does, by an operation that selects all of its fields.

The gateway itself makes one request for each source. So everything that it does for a request
happens here, too: it gets a token, asks another source for the key, and follows pages. What would
hide a result is off: no call is retried or hedged, and none is answered by the cache.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, cast

import httpx
from graphql import GraphQLField, GraphQLObjectType, get_named_type

from app.execution.schema import GatewaySchema, build_schema
from app.main import create_app
from app.probe.recorder import Exchange, Recorder
from app.resilience.clock import Clock, SystemClock
from app.settings.auth import OpenCallers
from app.settings.models import Settings
from app.transport.client import client_transport
from app.transport.transport import TransportFactory


def fields_of(schema: GatewaySchema) -> Mapping[str, tuple[str, ...]]:
    """List the fields of ``User`` by the source that they read.

    Args:
        schema: The schema.

    Returns:
        Names of fields; those that are read page by page, by calls of their own, are left out.
    """
    found: dict[str, tuple[str, ...]] = {}
    for field, reading in schema.source_fields.items():
        if reading.pages is None:
            found[reading.spec.name] = (*found.get(reading.spec.name, ()), field)
    return found


def operation(schema: GatewaySchema, fields: tuple[str, ...]) -> str:
    """Write an operation that asks for some fields of users, whole.

    Args:
        schema: The schema.
        fields: Names of fields of ``User``.

    Returns:
        Its text; the users are a variable.
    """
    user = schema.core.get_type("User")
    assert isinstance(user, GraphQLObjectType)  # noqa: S101 # it is ours
    selected = " ".join(name + _selection(user.fields[name]) for name in fields)
    return f"query Probe($ids: [ID!]!) {{ users(ids: $ids) {{ {selected} }} }}"


def _selection(field: GraphQLField) -> str:
    """Select all of a field; nothing needs to be said of a scalar."""
    named = get_named_type(field.type)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] # graphql-core's lists are of any type
    if not isinstance(named, GraphQLObjectType):
        return ""
    inner = " ".join(name + _selection(below) for name, below in named.fields.items())
    return f" {{ {inner} }}"


HOST = "gateway"
"""What the probe calls the gateway."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came of asking one source.

    Attributes:
        source: Its name.
        ids: The users that were asked for.
        users: What the gateway answers of each: its fields, or ``None``.
        errors: The errors in that answer.
        seconds: How long the source took.
        exchanges: What went over the wire, to other sources too.
        events: What the gateway logged about it.
    """

    source: str
    ids: Sequence[str]
    users: Sequence[Mapping[str, Any] | None]
    errors: Sequence[Mapping[str, Any]]
    seconds: float
    exchanges: Sequence[Exchange]
    events: Sequence[Mapping[str, Any]]

    @property
    def service(self) -> str:
        """The service that was asked; what is behind a dot is one of its endpoints."""
        return self.source.partition(".")[0]

    @property
    def own(self) -> Sequence[Exchange]:
        """What went to the source itself, and to whoever gives the tokens for it."""
        return [one for one in self.exchanges if one.source == self.service]


async def probe(
    settings: Settings,
    ids: Sequence[str],
    *,
    sources: Sequence[str] | None = None,
    headers: Sequence[tuple[str, str]] = (),
    transports: TransportFactory = client_transport,
    clock: Clock | None = None,
) -> Sequence[ProbeResult]:
    """Ask sources about users, one source after the other.

    Args:
        settings: The settings of the gateway.
        ids: The users.
        sources: Names of the sources to ask; all by default.
        headers: What the gateway's client sends, where some of it is passed on.
        transports: Makes the transport to each service.
        clock: Tells the time; the machine's by default.

    Returns:
        What came of each source.
    """
    watched = _watched(settings)
    recorder = Recorder(watched, transports, clock or SystemClock())
    app = create_app(
        watched,
        recorder.log(),
        clock=recorder.clock,
        transports=recorder.transport,
        observer=recorder.observe,
    )
    schema = build_schema()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url=f"http://{HOST}", headers=[*headers]
            )
        )
        found: list[ProbeResult] = []
        for source, fields in fields_of(schema).items():
            if sources is None or source in sources:
                query = operation(schema, fields)
                found.append(await _ask(client, query, source, ids, recorder))
        return found


async def _ask(
    client: httpx.AsyncClient, query: str, source: str, ids: Sequence[str], recorder: Recorder
) -> ProbeResult:
    """Ask one source."""
    recorder.forget()
    variables = {"ids": [*ids]}
    response = await client.post("/graphql", json={"query": query, "variables": variables})
    answer = cast("Mapping[str, Any]", response.json())
    data: Mapping[str, Any] = answer.get("data") or {}
    told: Mapping[str, Mapping[str, Any]] = answer.get("extensions", {}).get("sources", {})
    own = [one for name, one in told.items() if name == source or name.startswith(f"{source}.")]
    return ProbeResult(
        source=source,
        ids=ids,
        users=data.get("users") or [None] * len(ids),
        errors=answer.get("errors", []),
        seconds=max((one.get("ms", 0.0) for one in own), default=0.0) / 1000,
        exchanges=recorder.exchanges,
        events=recorder.events,
    )


def _watched(settings: Settings) -> Settings:
    """Switch off what would blur the view."""
    sources = {
        name: one.model_copy(
            update={
                "contract": "optional",
                "hedge": False,
                "cache": one.cache.model_copy(update={"enabled": False}),
                "retry": one.retry.model_copy(update={"max_retries": 0}),
            }
        )
        for name, one in settings.sources
    }
    return settings.model_copy(
        update={
            "sources": settings.sources.model_copy(update=sources),
            "auth": OpenCallers(),  # nobody asks but this
            "hosts": (HOST,),
            "trace": "always",
            "graphiql": False,
            "explain": False,
        }
    )
