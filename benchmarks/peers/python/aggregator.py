"""The yardstick: a REST aggregator written by hand, without GraphQL and without validation.

``GET /user/{id}`` answers one merged user (404 where profile does not know them), ``GET
/users?id=a&id=b`` a list with null for whoever is unknown. ``s=profile,billing`` asks only these
sources, ``invoices=3`` also for that many invoices of each user. The fields of a source that fails
are null. ``CLIENT`` is ``httpx`` or ``aiohttp``. ``DOOR`` says what the upstream is like:
``foreign``, and rows are mapped by the functions below; ``cached``, and rows are kept.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
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
DOOR = os.environ["DOOR"]
SOURCES = ("profile", "billing", "activity")
PATHS: Mapping[str, tuple[str, str]] = {
    "profile": ("/profile/users", "id"),
    "billing": ("/billing/accounts", "userId"),
    "activity": ("/activity/summaries", "userId"),
}
CONNECTIONS = 256
KEPT_SECONDS = 300.0


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


def moment(seconds: int) -> str:
    """Write a time."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def map_profile(row: Row) -> Row:
    """Read a foreign row of profile."""
    return {
        "id": row["uid"],
        "username": row["login"],
        "displayName": row["name"]["display"] or row["login"],
        "email": row["emails"][0]["address"],
        "avatarUrl": row["picture"] or row["thumbnail"],
        "locale": row["settings"]["locale"],
        "createdAt": moment(row["created"]),
    }


def map_account(row: Row) -> Row:
    """Read a foreign row of billing."""
    subscription, wallet = row["subscription"], row["wallet"]
    return {
        "userId": row["customer"]["ref"],
        "plan": subscription["product"],
        "status": subscription["state"],
        "balance": {"amount": wallet["cents"], "currency": wallet["iso"]},
        "renewsAt": moment(subscription["until"]),
    }


def map_summary(row: Row) -> Row:
    """Read a foreign row of activity."""
    return {
        "userId": row["user"]["id"],
        "lastSeenAt": moment(row["seen"]),
        "loginCount": row["counts"]["logins"],
        "events": [
            {"id": event["ref"], "type": event["kind"], "occurredAt": event["when"]}
            for event in row["history"]
        ],
    }


MAPS: Mapping[str, Callable[[Row], Row]] = {
    "profile": map_profile,
    "billing": map_account,
    "activity": map_summary,
}


def decode(source: str, body: bytes) -> list[Row]:
    """Read the rows of an answer."""
    if DOOR != "foreign":
        rows: list[Row] = orjson.loads(body)
        return rows
    return [MAPS[source](row) for row in orjson.loads(body)["items"]]


async def fetch(get: Get, source: str, ids: Sequence[str]) -> Rows:
    """Fetch the rows of many users from one source; none where it fails."""
    path, parameter = PATHS[source]
    try:
        body = await get(f"{UPSTREAM}{path}?" + "&".join([f"{parameter}={one}" for one in ids]))
    except SourceFailed:
        return {}
    return {row[parameter]: row for row in decode(source, body)}


class Kept:
    """The rows of one source, each kept for some minutes."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._kept: dict[str, tuple[float, Row]] = {}

    async def fetch(self, get: Get, ids: Sequence[str]) -> Rows:
        """Fetch rows, and only those that are not there."""
        now = time.monotonic()
        rows: Rows = {}
        missing: list[str] = []
        for user in ids:
            kept = self._kept.get(user)
            if kept is not None and kept[0] > now:
                rows[user] = kept[1]
            else:
                missing.append(user)
        if missing:
            found = await fetch(get, self._source, missing)
            self._kept |= {user: (now + KEPT_SECONDS, row) for user, row in found.items()}
            rows |= found
        return rows


KEPT: Mapping[str, Kept] = {source: Kept(source) for source in SOURCES}


async def invoices(get: Get, user: str, limit: str) -> Row | None:
    """Fetch the newest invoices of a user; nothing where billing fails."""
    try:
        page: Row = orjson.loads(
            await get(f"{UPSTREAM}/billing/invoices?userId={user}&limit={limit}")
        )
    except SourceFailed:
        return None
    return page


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
    if DOOR == "cached":
        calls = [KEPT[source].fetch(clients[source], ids) for source in sources]
    else:
        calls = [fetch(clients[source], source, ids) for source in sources]
    return dict(zip(sources, await asyncio.gather(*calls), strict=True))


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
    limit = request.query_params.get("invoices")
    if limit is None:
        rows = await load(request, ids)
        return answer([merge(user, rows) for user in ids])
    get: Get = request.state.clients["billing"]
    calls = asyncio.gather(*(invoices(get, user, limit) for user in ids))
    rows, pages = await asyncio.gather(load(request, ids), calls)
    users = [merge(user, rows) for user in ids]
    return answer(
        [user and {**user, "invoices": page} for user, page in zip(users, pages, strict=True)]
    )


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[Mapping[str, Mapping[str, Get]]]:
    """Open a client per source."""
    open_client = by_httpx if CLIENT == "httpx" else by_aiohttp
    async with open_client() as profile, open_client() as billing, open_client() as activity:
        yield {"clients": {"profile": profile, "billing": billing, "activity": activity}}


app = Starlette(
    routes=[Route("/user/{id}", one_user), Route("/users", many_users)], lifespan=lifespan
)
