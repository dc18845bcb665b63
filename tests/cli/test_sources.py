"""The `sources` commands, against real servers."""

import asyncio
import json
import os
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from tests.fakes import Row, account_row, activity_row, invoice, profile_row, user_id
from tests.fakes.http_server import Answer, HttpServer, saying, serving

SECRET = "canary-secret"
HEADS = ["source", "reachable", "authenticated", "request form", "rows", "time"]


@pytest.fixture
async def servers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncGenerator[dict[str, HttpServer]]:
    """Run three services that know one user with one invoice, and set their variables."""
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    rows = {"profile": profile_row(1), "billing": account_row(1), "activity": activity_row(1)}
    async with AsyncExitStack() as stack:
        running = {
            name: await stack.enter_async_context(serving(_answering(row)))
            for name, row in rows.items()
        }
        for name, server in running.items():
            monkeypatch.setenv(f"GATEWAY_SOURCES__{name.upper()}__BASE_URL", server.base_url)
        monkeypatch.setenv("GATEWAY_SOURCES__BILLING__AUTH__KIND", "bearer")
        monkeypatch.setenv("GATEWAY_SOURCES__BILLING__AUTH__TOKEN", SECRET)
        monkeypatch.setenv("GATEWAY_SOURCES__PROFILE__AUTH__KIND", "forward")
        yield running


def _answering(row: Row) -> Answer:
    """Make a service that knows one user, and one invoice of that user."""
    page = {"items": [invoice(1)], "nextCursor": None}
    records, invoices = (saying(json.dumps(value).encode()) for value in ([row], page))
    return lambda exchange: (invoices if exchange.request.path == "/invoices" else records)(
        exchange
    )


async def run(*arguments: str) -> Result:
    """Run a command as a user does, while the servers run."""
    runner = CliRunner(env={"COLUMNS": "100"})
    result = await asyncio.to_thread(runner.invoke, main, ["sources", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


Servers = dict[str, HttpServer]


async def test_check_of_good_sources_exits_with_0_and_shows_every_field(
    servers: Servers,
) -> None:
    result = await run("check", "--ids", user_id(1))

    assert result.exit_code == 0
    head, profile, billing, invoices, activity = result.stdout.splitlines()[:5]
    assert re.split("  +", head) == HEADS
    assert [row.split()[:7] for row in (profile, billing, activity)] == [
        [name, "yes", "yes", "yes", "1", "of", "1"] for name in servers
    ]
    assert invoices.split()[:6] == ["billing.invoices", "yes", "yes", "yes", "1", "item"]
    assert '  displayName  "User 1"' in result.stdout
    assert "\nbilling.invoices, inv-1\n" in result.stdout
    assert '  number    "2026-0001"' in result.stdout
    assert not result.stderr
    assert SECRET not in result.output
    assert servers["billing"].requests[0].header("authorization") == [f"Bearer {SECRET}"]


async def test_check_without_ids_requests_an_unknown_user(servers: Servers) -> None:
    for server in servers.values():
        server.answer = saying(b"[]")

    result = await run("check")

    assert result.exit_code == 0
    [seen] = servers["profile"].requests
    assert seen.parameters == [("id", "00000000-0000-0000-0000-000000000000")]


async def test_check_exits_with_1_and_the_reason_if_one_source_fails(servers: Servers) -> None:
    servers["activity"].answer = saying(b'{"detail": "secret place"}', "403 Forbidden")

    result = await run("check", "--ids", user_id(1))
    as_json = await run("check", "--ids", user_id(1), "--json")

    assert result.exit_code == as_json.exit_code == 1
    assert "  - activity: status 403\n" in result.stdout
    checks = {one["source"]: one for one in json.loads(as_json.stdout)["sources"]}
    assert {name: one["well"] for name, one in checks.items()} == {
        "profile": True,
        "billing": True,
        "billing.invoices": True,
        "activity": False,
    }
    assert (checks["billing"]["items"], checks["billing.invoices"]["items"]) == (None, 1)
    assert checks["activity"]["authenticated"] is False
    assert checks["profile"]["rows"][0]["fields"][1]["value"] == "User 1"


async def test_try_shows_request_response_and_record(servers: Servers) -> None:
    result = await run("try", "billing", user_id(1))

    assert result.exit_code == 0
    base = servers["billing"].base_url
    assert f"GET {base}/accounts?userId={user_id(1)}\n" in result.stdout
    assert "Status 200 after" in result.stdout
    assert '"plan": "pro",' in result.stdout
    assert '  plan      "pro"' in result.stdout
    assert f"GET {base}/invoices?userId={user_id(1)}&limit=20\n" in result.stdout
    assert "\nbilling.invoices has 1 item on the first page of " in result.stdout
    assert SECRET not in result.output
    assert not servers["profile"].requests


async def test_try_shows_the_response_of_a_failure(servers: Servers) -> None:
    servers["billing"].answer = saying(b'{"detail": "tokens are too old"}', "401 Unauthorized")

    result = await run("try", "billing", user_id(1))

    assert result.exit_code == 1
    assert "tokens are too old" in result.stdout


async def test_a_header_of_a_client_is_sent_and_not_shown(servers: Servers) -> None:
    result = await run("try", "profile", user_id(1), "-H", f"Authorization: Bearer {SECRET}x")

    assert result.exit_code == 0
    [seen] = servers["profile"].requests
    assert seen.header("authorization") == [f"Bearer {SECRET}x"]
    assert SECRET not in result.output


async def test_list_shows_the_addresses_of_sources(servers: Servers) -> None:
    result = await run("list")

    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["source", *servers]
    assert servers["billing"].base_url in result.stdout


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["check", "--ids", "x"], "'x': expected a UUID"),
        (["check", "--ids", ""], "'': expected a UUID"),
        (["check", "--ids", ",".join(map(user_id, range(101)))], "expected at most 100"),
        (["try", "nobody", "x"], "expected one of profile, billing, activity"),
        (["try", "billing"], "Missing argument"),
        (["check", "-H", "no colon"], "expected NAME:VALUE"),
        (["check", "--config", "nothing.toml"], "nothing.toml cannot be read"),
    ],
)
async def test_a_wrong_argument_exits_with_2_and_the_reason(
    arguments: list[str], complaint: str
) -> None:
    result = await run(*arguments)

    assert result.exit_code == 2
    assert complaint in result.stderr
    assert not result.stdout


@pytest.mark.usefixtures("servers")
async def test_check_requires_ids_if_its_own_user_does_not_match_the_pattern(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_USER_ID_PATTERN", "u-.*")

    result = await run("check")

    assert result.exit_code == 2
    assert "expected --ids with users that match u-.*" in result.stderr


LOOKUP_AND_ENDPOINTS = """
[sources.billing.endpoints.plans]
request = { form = "list", path = "/plans", parameter = "ids" }
fields = { plan = "plan", status = "status", renews_at = "renewsAt" }

[sources.billing.endpoints.balances]
request = { form = "each", path = "/users/{key}/balance" }
fields = { balance = "balance" }

[schema.lookups.userByEmail]
source = "profile"
key = "email"
request = { form = "repeat", path = "/users", parameter = "email" }
answer = { key = ["email"] }
value = "id"
description = "The user with this mail address."
may = "profile:read"
"""


async def test_list_shows_the_forms_of_endpoints_and_try_refuses_a_lookup(
    servers: dict[str, HttpServer],
) -> None:
    file = Path("gateway.toml")
    await asyncio.to_thread(file.write_text, LOOKUP_AND_ENDPOINTS, encoding="utf-8")

    listed = await run("list", "--config", "gateway.toml")
    tried = await run("try", "profile.userByEmail", "a@example.com", "--config", "gateway.toml")

    [billing] = [line for line in listed.output.splitlines() if line.startswith("billing ")]
    assert "list, each" in billing
    assert tried.exit_code == 2
    assert "run a query with userByEmail" in re.sub(r"\s+", " ", tried.output.replace("│", ""))
    assert not any(server.requests for server in servers.values())
