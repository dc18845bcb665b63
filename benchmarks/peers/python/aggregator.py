"""The yardstick: a REST aggregator written by hand, without GraphQL and without validation.

``GET /user/{id}`` answers one merged user (404 where profile does not know them), ``GET
/users?id=a&id=b`` a list with null for whoever is unknown. ``s=profile,billing`` asks only these
sources. The fields of a source that fails are null. ``CLIENT`` is ``httpx`` or ``aiohttp``.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from yarl import URL

Row = dict[str, Any]
Rows = dict[str, Row]
Get = Callable[[str], Awaitable[bytes]]

UPSTREAM = os.environ["UPSTREAM"]
CLIENT = os.environ["CLIENT"]
SOURCES = ("profile", "billing", "activity")
PATHS: Mapping[str, tuple[str, str]] = {
    "profile": ("/profile/users", "id"),
    "billing": ("/billing/accounts", "userId"),
    "activity": ("/activity/summaries", "userId"),
}
CONNECTIONS = 256


class SourceFailed(Exception):  # noqa: N818 # it is what happened
    """A source did not answer with its rows."""


@asynccontextmanager
async def by_httpx() -> AsyncGenerator[Get]:
    """Open a client that gets a URL's body by httpx."""
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(timeout=10, limits=limits) as client:

        async def get(url: str) -> bytes:
            try:
                answer = await client.get(url)
                answer.raise_for_status()
            except httpx.HTTPError as error:
                raise SourceFailed from error
            return answer.content

        yield get


@asynccontextmanager
async def by_aiohttp() -> AsyncGenerator[Get]:
    """Open a client that gets a URL's body by aiohttp."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector) as client:

        async def get(url: str) -> bytes:
            try:
                async with client.get(URL(url, encoded=True)) as answer:
                    answer.raise_for_status()
                    return await answer.read()
            except aiohttp.ClientError as error:
                raise SourceFailed from error

        yield get


async def fetch(get: Get, source: str, ids: Sequence[str]) -> Rows:
    """Fetch the rows of many users from one source; none where it fails."""
    path, parameter = PATHS[source]
    try:
        body = await get(f"{UPSTREAM}{path}?" + "&".join([f"{parameter}={one}" for one in ids]))
    except SourceFailed:
        return {}
    return {row[parameter]: row for row in orjson.loads(body)}


def merge(user: str, rows: Mapping[str, Rows]) -> Row | None:
    """Merge what the sources said of one user."""
    merged: Row = {"id": user}
    if "profile" in rows:
        profile = rows["profile"].get(user)
        if profile is None:
            return None
        merged.update(profile)
    if "billing" in rows:
        billing = rows["billing"].get(user, {})
        merged["plan"] = billing.get("plan")
        merged["billingStatus"] = billing.get("status")
        merged["balance"] = billing.get("balance")
        merged["renewsAt"] = billing.get("renewsAt")
    if "activity" in rows:
        activity = rows["activity"].get(user, {})
        merged["lastSeenAt"] = activity.get("lastSeenAt")
        merged["loginCount"] = activity.get("loginCount")
        merged["events"] = activity.get("events")
    return merged


async def load(request: Request, ids: Sequence[str]) -> Mapping[str, Rows]:
    """Fetch what the request asks for, all sources at the same time."""
    asked = request.query_params.get("s")
    sources = asked.split(",") if asked else SOURCES
    clients: Mapping[str, Get] = request.state.clients
    rows = await asyncio.gather(*(fetch(clients[source], source, ids) for source in sources))
    return dict(zip(sources, rows, strict=True))


def answer(value: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(orjson.dumps(value), status, media_type="application/json")


async def one_user(request: Request) -> Response:
    """Answer one user."""
    user: str = request.path_params["id"]
    merged = merge(user, await load(request, [user]))
    return answer({"error": "not found"}, 404) if merged is None else answer(merged)


async def many_users(request: Request) -> Response:
    """Answer a list of users."""
    ids = request.query_params.getlist("id")
    rows = await load(request, ids)
    return answer([merge(user, rows) for user in ids])


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[Mapping[str, Mapping[str, Get]]]:
    """Open a client per source."""
    open_client = by_httpx if CLIENT == "httpx" else by_aiohttp
    async with open_client() as profile, open_client() as billing, open_client() as activity:
        yield {"clients": {"profile": profile, "billing": billing, "activity": activity}}


app = Starlette(
    routes=[Route("/user/{id}", one_user), Route("/users", many_users)], lifespan=lifespan
)
