"""Calls each source with an operation that selects all of its fields, and records the calls.

A real gateway runs one operation for each source. So all steps of a request happen here, too: it
requests a token, calls another source for the keys, and follows pages. Features that could hide a
failure are off: retries, hedging and the entity cache.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, cast

import httpx
from msgspec import Struct
from msgspec.structs import replace

from app.execution.schema import GatewaySchema, schema_for
from app.expressions.places import KEY
from app.main import create_app
from app.probe.operations import fields_of, list_operation, lists_of, operation
from app.probe.recorder import RecordedExchange, Recorder
from app.resilience.clock import Clock, SystemClock
from app.schema.configured import configured
from app.settings.auth import OpenCallers
from app.settings.models import Settings
from app.settings.source import OWN_ADDRESS, SourceSettings
from app.sources.base import PageSpec
from app.sources.lists.contract import settings_of
from app.transport.client import client_transport
from app.transport.transport import TransportFactory

HOST = "gateway"
"""The host name under which the probe calls the gateway."""


class ProbeResult(Struct, frozen=True):
    """The recorded result of the operation for one source.

    Attributes:
        source: The name of the source; after a dot, the name of an endpoint or of a list.
        ids: The ids of the requested users.
        users: For each id, the fields in the gateway's response; ``None`` for no user.
        errors: The errors in the gateway's response.
        seconds: The time of the source in the gateway's trace.
        exchanges: All requests and answers, including those of other sources; for a list, only
            those for its pages.
        events: The events that the gateway logged.
        items: The items of a list in the gateway's response; ``None`` for a source.
        notes: What is wrong with how the pages of a list continue.
        unchecked: What could not be checked of a list.
        lists: The results of the lists of a source.
    """

    source: str
    ids: Sequence[str]
    users: Sequence[Mapping[str, Any] | None]
    errors: Sequence[Mapping[str, Any]]
    seconds: float
    exchanges: Sequence[RecordedExchange]
    events: Sequence[Mapping[str, Any]]
    items: Sequence[Mapping[str, Any]] | None = None
    notes: Sequence[str] = ()
    unchecked: Sequence[str] = ()
    lists: Sequence["ProbeResult"] = ()

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
    schema: GatewaySchema | None = None,
) -> Sequence[ProbeResult]:
    """Request users from sources, one source after the other.

    Args:
        settings: The settings of the gateway.
        ids: The ids of the users.
        sources: Names of the sources; all sources by default.
        headers: Headers of the gateway's client, for sources that forward some of them.
        transports: Makes the transport to each service.
        clock: The clock; by default that of the machine.
        schema: The schema, if it is built already: of settings that differ only in the requests of
            sources. By default, it is built here.

    Returns:
        One result for each source, with those of its lists: the first page of the first user that
        the source knows.
    """
    if schema is None:
        schema, watched = schema_for(_watched(settings))
    else:
        _, watched = configured(_watched(settings))
    recorder = Recorder(watched, transports, clock or SystemClock())
    app = create_app(
        watched,
        recorder.log(),
        clock=recorder.clock,
        transports=recorder.transport,
        observer=recorder.observe,
        schema=schema,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url=f"http://{HOST}", headers=[*headers]
            )
        )
        probing = _Probing(client, recorder, schema)
        found: list[ProbeResult] = []
        for source, fields in fields_of(schema).items():
            if sources is not None and source not in sources:
                continue
            result = await probing.ask(operation(schema, fields), source, ids)
            own = watched.sources[result.service]
            lists = [
                await probing.ask_list(field, spec, result, own)
                for field, spec in lists_of(schema, source).items()
                if spec.list not in own.without_lists
            ]
            found.append(replace(result, lists=lists))
        return found


class _Probing:
    """Runs operations at the gateway.

    Args:
        client: Calls the gateway.
        recorder: Records its calls.
        schema: Its schema.
    """

    def __init__(
        self, client: httpx.AsyncClient, recorder: Recorder, schema: GatewaySchema
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._schema = schema

    async def ask(
        self, query: str, source: str, ids: Sequence[str], **variables: object
    ) -> ProbeResult:
        """Run the operation for one source, or for one list of it."""
        self._recorder.forget()
        body = {"query": query, "variables": {"ids": [*ids], **variables}}
        response = await self._client.post("/graphql", json=body)
        answer = cast("Mapping[str, Any]", response.json())
        data: Mapping[str, Any] = answer.get("data") or {}
        trace: Mapping[str, Mapping[str, Any]] = answer.get("extensions", {}).get("sources", {})
        own = [
            one for name, one in trace.items() if name == source or name.startswith(f"{source}.")
        ]
        return ProbeResult(
            source=source,
            ids=ids,
            users=data.get("users") or [None] * len(ids),
            errors=answer.get("errors", []),
            seconds=max((one.get("ms", 0.0) for one in own), default=0.0) / 1000,
            exchanges=self._recorder.exchanges,
            events=self._recorder.events,
        )

    async def ask_list(
        self, field: str, spec: PageSpec[Any], result: ProbeResult, settings: SourceSettings
    ) -> ProbeResult:
        """Request the first page of a list, for a user that the source knows.

        If it has several items, the first ones are requested one by one, too. That shows whether
        the settings say how pages continue: otherwise a list would end after its first page.
        """
        source = f"{spec.name}.{spec.list}"
        user = _known_user(result)
        if user is None:
            return ProbeResult(source, (), (), (), 0.0, (), (), items=())
        query = list_operation(self._schema, field)
        whole = _Listed(await self.ask(query, source, [user]), field)
        notes: Sequence[str] = ()
        after: str | None = None
        for number in range(min(PAGES, len(whole.nodes)) if len(whole.nodes) > 1 else 0):
            page = _Listed(await self.ask(query, source, [user], first=1, after=after), field)
            check = _CHECK_MODULE if settings.base_url == OWN_ADDRESS else _CHECK_PAGES
            notes = page.mistakes or _difference(whole, page, number, check)
            if notes:
                break
            after = page.end
        unchecked: Sequence[str] = ()
        has_short_pages = settings_of(spec, settings).page_size_parameter is not None
        if not (notes or has_short_pages or whole.has_next) and len(whole.nodes) > 1:
            unchecked = [_unchecked(len(whole.nodes))] if settings.base_url != OWN_ADDRESS else ()
        exchanges = [
            exchange
            for exchange in whole.result.exchanges
            if exchange.source == spec.name and _is_page(exchange.url, spec, settings)
        ]
        return replace(
            whole.result,
            exchanges=exchanges,
            seconds=sum(exchange.seconds for exchange in exchanges),
            items=whole.nodes,
            notes=notes,
            unchecked=unchecked,
        )


class _Listed(Struct, frozen=True):
    """One page of a list in the gateway's response.

    Attributes:
        result: The result of its operation.
        field: The name of the field.
    """

    result: ProbeResult
    field: str

    @property
    def page(self) -> Mapping[str, Any]:
        """The page; empty if there is none."""
        user = self.result.users[0] if self.result.users else None
        page: Mapping[str, Any] | None = (user or {}).get(self.field)
        return page or {}

    @property
    def nodes(self) -> Sequence[Mapping[str, Any]]:
        """The items."""
        return [edge["node"] for edge in self.page.get("edges", ())]

    @property
    def end(self) -> str | None:
        """The cursor of the last item."""
        end: str | None = self.page.get("pageInfo", {}).get("endCursor")
        return end

    @property
    def has_next(self) -> bool:
        """Whether items follow."""
        return bool(self.page.get("pageInfo", {}).get("hasNextPage"))

    @property
    def mistakes(self) -> Sequence[str]:
        """Why the page is not there."""
        details = [
            str(event["detail"])
            for event in self.result.events
            if event.get("level") == "warning" and "detail" in event
        ]
        messages = [str(error.get("message")) for error in self.result.errors]
        return [f"items one by one: {one}" for one in (details or messages)[:1]]


PAGES = 3
"""Number of pages of one item that are requested of a list. By offset, the second page of one item
looks right even if the service ignores the offset."""

_CHECK_PAGES = (
    "check how pages continue (`next_cursor`, `next_url`, `next_header`, `row_cursor`,"
    " `page_parameter`, `offset_parameter`) and `cursor_parameter`"
)

_CHECK_MODULE = "check what the module does with `first` and `after`, and that `next` fits `after`"


def _unchecked(count: int) -> str:
    """Return the note on a list that may end too early: no shorter page can be requested."""
    return (
        f"the first page has {count} items and does not say that more follow: if there are more,"
        f" {_CHECK_PAGES}; with `page_size_parameter`, this check asks for shorter pages"
    )


def _difference(whole: _Listed, page: _Listed, number: int, check: str) -> Sequence[str]:
    """Compare a page of one item, by its number from 0, with the page of many items."""
    count = len(whole.nodes)
    if page.nodes != whole.nodes[number : number + 1]:
        what = "pages of 1 item have other items than one page of many"
    elif not page.has_next and number + 1 < count:
        what = f"the list ends after {number + 1} of {count} items if they are requested one by one"
    else:
        return ()
    return [f"{what}: {check}"]


def _known_user(result: ProbeResult) -> str | None:
    """Return the first user that a source knows; ``None`` if there is none."""
    for key, user in zip(result.ids, result.users, strict=True):
        if user is not None and (not result.errors or any(user.values())):
            return key
    return None


def _is_page(url: str, spec: PageSpec[Any], settings: SourceSettings) -> bool:
    """Return whether a URL is one of a page of a list."""
    pattern = re.escape(settings_of(spec, settings).path).replace(re.escape(KEY), "[^/]*")
    path = url.removeprefix(settings.base_url).partition("?")[0]
    return re.fullmatch(pattern, path) is not None


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
        for name, one in settings.sources.items()
    }
    return settings.model_copy(
        update={
            "sources": sources,
            "auth": OpenCallers(),  # only the probe can reach this gateway
            "hosts": (HOST,),
            "trace": "always",
            "graphiql": False,
            "explain": False,
        }
    )
