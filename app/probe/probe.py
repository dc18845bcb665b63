"""Calls each source with an operation that selects all of its fields, and records the calls.

A real gateway runs one operation for each source. So all steps of a request happen here, too: it
requests a token, calls another source for the keys, and follows pages. Features that could hide a
failure are off: retries, hedging and the entity cache.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, cast

import httpx
from graphql import GraphQLField, GraphQLObjectType, get_named_type

from app.execution.schema import GatewaySchema, build_schema
from app.main import create_app
from app.probe.recorder import RecordedExchange, Recorder
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
        Names of fields. Fields with pages, which are read by calls of their own, are left out.
    """
    found: dict[str, tuple[str, ...]] = {}
    for field, reading in schema.source_fields.items():
        if reading.pages is None:
            found[reading.spec.name] = (*found.get(reading.spec.name, ()), field)
    return found


def operation(schema: GatewaySchema, fields: tuple[str, ...]) -> str:
    """Write an operation that selects fields of users, with all of their subfields.

    Args:
        schema: The schema.
        fields: Names of fields of ``User``.

    Returns:
        The text of the operation. The ids of the users are its variable ``ids``.
    """
    user = schema.core.get_type("User")
    assert isinstance(user, GraphQLObjectType)  # noqa: S101 # `User` is an object type
    selected = " ".join(name + _selection(user.fields[name]) for name in fields)
    return f"query Probe($ids: [ID!]!) {{ users(ids: $ids) {{ {selected} }} }}"


def _selection(field: GraphQLField) -> str:
    """Write the selection of all subfields of a field; empty for a scalar."""
    named = get_named_type(field.type)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] # graphql-core's lists are of any type
    if not isinstance(named, GraphQLObjectType):
        return ""
    inner = " ".join(name + _selection(below) for name, below in named.fields.items())
    return f" {{ {inner} }}"


HOST = "gateway"
"""The host name under which the probe calls the gateway."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The recorded result of the operation for one source.

    Attributes:
        source: The name of the source; after a dot, the name of an endpoint.
        ids: The ids of the requested users.
        users: For each id, the fields in the gateway's response; ``None`` for no user.
        errors: The errors in the gateway's response.
        seconds: The time of the source in the gateway's trace.
        exchanges: All requests and answers, including those of other sources.
        events: The events that the gateway logged.
    """

    source: str
    ids: Sequence[str]
    users: Sequence[Mapping[str, Any] | None]
    errors: Sequence[Mapping[str, Any]]
    seconds: float
    exchanges: Sequence[RecordedExchange]
    events: Sequence[Mapping[str, Any]]

    @property
    def service(self) -> str:
        """The name of the service, which is the name of the source without an endpoint."""
        return self.source.partition(".")[0]

    @property
    def own(self) -> Sequence[RecordedExchange]:
        """The exchanges with the service, and with the server that issues tokens for it."""
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
    """Request users from sources, one source after the other.

    Args:
        settings: The settings of the gateway.
        ids: The ids of the users.
        sources: Names of the sources; all sources by default.
        headers: Headers of the gateway's client, for sources that forward some of them.
        transports: Makes the transport to each service.
        clock: The clock; by default that of the machine.

    Returns:
        One result for each source.
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
    """Run the operation for one source."""
    recorder.forget()
    variables = {"ids": [*ids]}
    response = await client.post("/graphql", json={"query": query, "variables": variables})
    answer = cast("Mapping[str, Any]", response.json())
    data: Mapping[str, Any] = answer.get("data") or {}
    trace: Mapping[str, Mapping[str, Any]] = answer.get("extensions", {}).get("sources", {})
    own = [one for name, one in trace.items() if name == source or name.startswith(f"{source}.")]
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
    """Return settings without features that could hide a failure, and with the trace."""
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
            "auth": OpenCallers(),  # only the probe can reach this gateway
            "hosts": (HOST,),
            "trace": "always",
            "graphiql": False,
            "explain": False,
        }
    )
