"""The gateway of the demo: its host names, its origins and its callers."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx
import pytest

from app.cli.demo import demo_gateway
from app.cli.demo_callers import DemoCallers
from app.demo.faults import DemoOptions
from app.demo.people import user_id
from app.demo.run import SourceUrls
from tests.demo.support import running

NOWHERE = SourceUrls(*["http://127.0.0.1:9"] * 3)
USER, SUPPORT = user_id(1), user_id(2)
FIELDS = "username plan loginCount"


@pytest.fixture
def callers() -> DemoCallers:
    """Make the callers of one demo."""
    return DemoCallers((USER, SUPPORT))


@pytest.mark.parametrize(
    ("host", "name", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8000", 200),
        ("127.0.0.1", "rebound.example", 421),
        ("0.0.0.0", "demo.internal:8000", 200),  # noqa: S104 # as text
    ],
)
async def test_a_demo_that_listens_for_other_machines_accepts_any_host_name(
    host: str, name: str, status: int, callers: DemoCallers
) -> None:
    app = demo_gateway(host, NOWHERE, callers=callers)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{name}") as client:
        response = await client.get("/graphql", headers={"Accept": "text/html"})

    assert response.status_code == status


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1:5173", True),
        ("https://localhost", True),
        ("http://[::1]:3000", True),
        ("https://app.example.com", True),
        ("https://app.example.com:8443", False),
        ("http://localhost.example.com:3000", False),
        ("http://evil.example", False),
    ],
)
async def test_pages_of_this_machine_and_of_named_origins_may_send_requests(
    origin: str, callers: DemoCallers, *, allowed: bool
) -> None:
    app = demo_gateway("127.0.0.1", NOWHERE, callers=callers, origins=["https://app.example.com"])
    transport = httpx.ASGITransport(app=app)
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    headers = {"Access-Control-Request-Headers": "authorization,content-type"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.options("/graphql", headers={**preflight, **headers})

    assert response.headers.get("access-control-allow-origin") == (origin if allowed else None)


async def test_tokens_of_the_demo_show_the_fields_of_their_callers(
    callers: DemoCallers,
) -> None:
    users = [
        f'{key}: user(id: "{of}") {{ {FIELDS} }}' for key, of in (("own", USER), ("other", SUPPORT))
    ]
    query = f"{{ me {{ id }} {' '.join(users)} }}"
    user, support = [f"Bearer {one.text}" for one in callers.tokens]
    gateway = partial(demo_gateway, "127.0.0.1", callers=callers)

    async with running(DemoOptions(port=0), gateway) as at, httpx.AsyncClient(timeout=10) as client:

        async def send_query(token: str | None) -> Mapping[str, Any]:
            headers = {} if token is None else {"Authorization": token}
            response = await client.post(str(at.graphiql), json={"query": query}, headers=headers)
            body: Mapping[str, Any] = response.json()
            return body

        without, of_user, of_support, forged = [
            await send_query(one) for one in (None, user, support, f"{user[:-9]}AAAAAAAAA")
        ]

    assert refused(without) == ["me"]
    assert of_user["data"]["me"] == {"id": USER}
    assert refused(of_user) == ["own.loginCount", "other.plan", "other.loginCount"]
    assert of_support["data"]["me"] == {"id": SUPPORT}
    assert refused(of_support) == []
    assert forged["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert "data" not in forged


def refused(answer: Mapping[str, Any]) -> list[str]:
    """List the paths of the errors."""
    return [".".join(error["path"]) for error in answer.get("errors", [])]


def test_tokens_of_the_demo_are_new_at_each_start(callers: DemoCallers) -> None:
    others = DemoCallers((USER, SUPPORT))

    assert not {one.text for one in callers.tokens} & {one.text for one in others.tokens}
