"""Many requests while services also send unsolicited responses: no value is of another user.

The services use real connections. After many responses they send a stray one: a complete response
for another user, or a part of it, at once or while the connection is idle. Invoices do not name
their user, so only the connection assigns them. ``FUZZ_EXAMPLES=20000`` makes the test long.
"""

import asyncio
import io
import os
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest

from app.observability.logs import make_log
from app.settings.fastpath import FastpathSettings
from app.settings.models import DEFAULT_SOURCES
from tests.apps import make_app
from tests.fakes import (
    account_row,
    activity_row,
    calm_source,
    profile_row,
    settings_for_fakes,
    user_id,
)
from tests.fakes.raw_server import RawConnection, RawServer, answered

REQUESTS = int(os.environ.get("FUZZ_EXAMPLES", "300"))
"""The number of requests to each gateway."""

AT_ONCE = 20
"""The number of clients that send requests at the same time."""

STRAYS = 0.2
"""The share of responses that a stray one follows."""

USERS = [user_id(number) for number in range(1, 41)]

QUERY = """query ($ids: [ID!]!, $one: ID!) {
  users(ids: $ids) { id username plan lastSeenAt loginCount }
  user(id: $one) { id email invoices(first: 2) { edges { node { id number } } } }
}"""


def body_for(target: str) -> bytes:
    """Make the body of the response for a target. Each value names its user."""
    path, asked = urlsplit(target).path, parse_qs(urlsplit(target).query)
    if path == "/users":
        rows: object = [
            {**profile_row(1), "id": user, "username": f"name {user}", "email": f"{user}@x.example"}
            for user in asked["id"]
        ]
    elif path == "/accounts":
        rows = [
            {**account_row(1), "userId": user, "plan": f"plan {user}"} for user in asked["userId"]
        ]
    elif path == "/summaries":
        rows = [
            {**activity_row(1), "userId": user, "loginCount": USERS.index(user)}
            for user in asked["userId"]
        ]
    else:
        [user] = asked["userId"]
        total = {"amount": 1, "currency": "EUR"}
        issued = {"status": "paid", "issuedAt": "2026-01-01T00:00:00Z", "total": total}
        items = [{"id": f"{user} {n}", "number": f"{user} {n}", **issued} for n in range(2)]
        rows = {"items": items, "nextCursor": None}
    return orjson.dumps(rows)


def straying(chance: random.Random) -> Callable[[RawConnection], None]:
    """Make services that respond, and sometimes send a stray response, too."""

    def behave(peer: RawConnection) -> None:
        right = answered(body_for(peer.target), "Content-Type: application/json")
        peer.send(right)
        if chance.random() >= STRAYS:
            return
        other = chance.choice(USERS)
        path = chance.choice(["/users?id=", "/accounts?userId=", "/invoices?userId="])
        stray = answered(body_for(f"{path}{other}"), "Content-Type: application/json")
        stray = stray[: chance.choice([len(stray), len(stray), chance.randrange(1, len(stray))])]
        asked = len(peer.heads)

        def send_if_idle() -> None:
            # A client that waits for a response has to take any data for it: send none then.
            if len(peer.heads) == asked and not peer.has_unread:
                peer.send(stray)

        if chance.random() < 0.5:  # half of them
            peer.send(stray)
        else:
            asyncio.get_running_loop().call_later(chance.random() / 500, send_if_idle)

    return behave


def wrong_in(user: Mapping[str, Any]) -> Sequence[str]:
    """List the values of a user that belong to another user."""
    key = user["id"]
    expected = {
        "username": f"name {key}",
        "email": f"{key}@x.example",
        "plan": f"plan {key}",
        "loginCount": USERS.index(key),
    }
    wrong = [
        name
        for name, value in expected.items()
        if user.get(name) is not None and user[name] != value
    ]
    page: Mapping[str, Any] | None = user.get("invoices")
    nodes: list[Mapping[str, str]] = [edge["node"] for edge in page["edges"]] if page else []
    return wrong + [
        node["number"]
        for node in nodes
        if node["number"] != node["id"] or not node["id"].startswith(key)
    ]


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("fast", [True, False], ids=["fast paths", "reference path"])
async def test_no_value_of_another_user_is_returned_despite_stray_responses(*, fast: bool) -> None:
    chance, stream = random.Random(7), io.StringIO()  # noqa: S311 # the same requests each time
    async with RawServer(straying(chance)).listening() as upstream:
        source = calm_source(base_url=upstream.base_url)
        settings = settings_for_fakes(
            sources=dict.fromkeys(DEFAULT_SOURCES, source),
            fastpath=FastpathSettings(enabled=fast),
        )
        app = make_app(settings, make_log(settings.log, stream=stream))
        remaining, complete = iter(range(REQUESTS)), 0

        async def ask(client: httpx.AsyncClient) -> None:
            nonlocal complete
            for _ in remaining:
                ids = chance.sample(USERS, 3)
                variables = {"ids": ids, "one": chance.choice(USERS)}
                response = await client.post(
                    "/graphql", json={"query": QUERY, "variables": variables}
                )
                data = response.json()["data"]
                users = [*(data["users"] or ()), data["user"]]
                found = [user for user in users if user is not None]
                assert not [wrong for user in found for wrong in wrong_in(user)]
                assert [user["id"] for user in found if user in users[:3]] == [
                    key for key, user in zip(ids, users, strict=False) if user is not None
                ]
                complete += "errors" not in response.json()

        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app), base_url="http://gateway"
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(AT_ONCE):
                group.create_task(ask(client))

    assert complete > REQUESTS / 10
    assert "source.unsolicited_response" in stream.getvalue()
