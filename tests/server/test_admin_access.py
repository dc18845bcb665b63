"""The token of the admin port."""

from collections.abc import Mapping

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.server.admin import admin_app
from app.server.admin_access import AdminAccess
from app.server.reports import Reports

TOKEN = "0123456789abcdef"


async def post(token: str | None, headers: Mapping[str, str]) -> httpx.Response:
    """Send a change to an admin port with a token."""

    async def change(_: Request) -> Response:
        return PlainTextResponse("changed")

    access = AdminAccess(lambda: None if token is None else SecretStr(token))
    app = Starlette(routes=[Route("/change", access.guarded(change), methods=["POST"])])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        return await client.post("/change", headers={**headers})


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_a_client_with_the_token_may_change_something(scheme: str) -> None:
    response = await post(TOKEN, {"authorization": f"{scheme} {TOKEN}"})

    assert (response.status_code, response.text) == (200, "changed")


@pytest.mark.parametrize(
    "sent", [None, "", TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer 0123456789abcdeg"]
)
async def test_a_client_without_the_token_is_refused(sent: str | None) -> None:
    headers = {} if sent is None else {"authorization": sent}
    response = await post(TOKEN, headers)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="admin"'
    assert "GATEWAY_ADMIN__TOKEN" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize("sent", [{}, {"authorization": "Bearer "}])
async def test_changes_are_forbidden_if_no_token_is_configured(sent: dict[str, str]) -> None:
    response = await post(None, sent)

    assert response.status_code == 403
    assert "expected the setting GATEWAY_ADMIN__TOKEN" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("gateway.internal:9464", "/metrics", 200),
        ("GATEWAY.internal", "/readyz", 503),  # no process is ready here
        ("10.0.0.7:9464", "/metrics", 200),  # the address by which Prometheus finds a pod
        ("[fd00::7]:9464", "/", 200),
        ("evil.example:9464", "/metrics", 421),  # a page that rebinds its name to the port
        ("evil.example:9464", "/", 421),
        ("127.0.0.1.evil.example", "/metrics", 421),
        ("evil.example", "/healthz", 200),  # as at the main port: probes use any name
    ],
)
async def test_the_admin_port_answers_only_under_its_own_names_and_addresses(
    host: str, path: str, status: int
) -> None:
    reports = Reports(1, lambda: 0.0)
    app = admin_app(reports, "1", hosts=lambda: ("gateway.internal",))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://admin"
    ) as client:
        response = await client.get(path, headers={"host": host})

    assert response.status_code == status
