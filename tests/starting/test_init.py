"""`user-gateway init` over real servers: its requests, the written file, and its messages."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from app.cli import main
from app.cli.serve import forbidden
from app.main import create_app, load_settings
from app.observability.logs import make_log
from tests.fakes.http_server import serving
from tests.starting.services import (
    EMPLOYEES,
    FILE,
    Row,
    Service,
    always,
    init,
    is_written,
    only_first,
    postgrest,
    repeated,
    scim,
    text_of_file,
    with_commas,
    write_file,
    written_settings,
)

SECRET = "canary-secret"
TICKETS: Sequence[Row] = [
    {"requester": f"e{number}", "stats": {"open_now": number}, "first_name": "x"}
    for number in range(1, 4)
]
ALL = "{ users(ids: [%s]) { id %s } }"


@asynccontextmanager
async def gateway() -> AsyncGenerator[httpx.AsyncClient]:
    """Run the gateway with the file that the command has written."""
    settings = load_settings(config=Path(FILE), serving=True)
    assert not forbidden(settings, settings.host)
    app = create_app(settings, make_log(settings.log))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost"
        ) as client,
    ):
        yield client


async def query_gateway(query: str) -> Any:  # noqa: ANN401 # decoded JSON
    """Send a query to the gateway with the file that the command has written."""
    async with gateway() as client:
        response = await client.post("/graphql", json={"query": query})
        return response.json()


@pytest.mark.parametrize(
    ("service", "request_settings", "answer"),
    [
        (
            Service(requested_ids=repeated("id")),
            {"form": "repeat", "path": "/employees", "parameter": "id"},
            {"key": ["id"]},
        ),
        (
            Service(requested_ids=with_commas("ids"), by_path=True),
            {"form": "list", "path": "/employees", "parameter": "ids"},
            {"key": ["id"]},
        ),
        (
            Service(requested_ids=repeated("employee_id")),
            {"form": "repeat", "path": "/employees", "parameter": "employee_id"},
            {"key": ["id"]},
        ),
        (
            Service(
                requested_ids=only_first("userId"), wrap=lambda rows: {"data": rows, "total": 3}
            ),
            {"form": "each", "path": "/employees", "parameter": "userId"},
            {"rows": ["data"], "key": ["id"]},
        ),
        (
            Service(by_path=True),
            {"form": "each", "path": "/employees/{key}"},
            {"many": False, "key": ["id"]},
        ),
        (
            Service(
                requested_ids=repeated("ids"), wrap=lambda rows: {"by": {r["id"]: r for r in rows}}
            ),
            {"form": "repeat", "path": "/employees", "parameter": "ids"},
            {"rows": ["by"], "by_key": True},
        ),
        (
            Service(
                requested_ids=repeated("id"), wrap=lambda rows: {"items": rows, "has_more": False}
            ),
            {"form": "repeat", "path": "/employees", "parameter": "id"},
            {"rows": ["items"], "key": ["id"], "more": {"has_more": ["has_more"]}},
        ),
        (
            Service(requested_ids=postgrest),
            {
                "form": "list",
                "path": "/employees",
                "parameter": "id",
                "quote": '"',
                "escape": "backslash",
                "wrap": "in.({keys})",
            },
            {"key": ["id"]},
        ),
        (
            Service(requested_ids=scim, wrap=lambda rows: {"Resources": rows}),
            {"form": "filter", "path": "/employees", "parameter": "filter", "escape": "backslash"},
            {"rows": ["Resources"], "key": ["id"]},
        ),
    ],
)
async def test_the_form_of_requests_is_found_and_the_file_works(
    service: Service, request_settings: Mapping[str, object], answer: Mapping[str, object]
) -> None:
    async with serving(service) as server:
        result = await init("--id", "e2", "--source", f"hr={server.base_url}")

        assert result.exit_code == 0, result.output
        source = written_settings()["sources"]["hr"]
        assert source == {
            "base_url": server.base_url,
            "request": request_settings,
            "answer": answer,
        }
        got = await query_gateway(ALL % ('"e3", "nobody", "e2"', "firstName hiredOn"))

    assert got == {
        "data": {
            "users": [
                {"id": "e3", "firstName": "Cy", "hiredOn": "2021-03-03"},
                None,
                {"id": "e2", "firstName": "Ben", "hiredOn": "2021-03-02"},
            ]
        }
    }


@pytest.mark.parametrize(
    "address",
    [
        "{base}/v1/employees",
        "{base}/v1/employees/",
        "{base}/v1/employees/{{id}}",
        "{base}/v1/employees/e1",
        "{base}/v1/employees?id={{id}}",
        "{base}/v1/employees?id=e1",
    ],
)
async def test_an_address_may_show_the_place_of_the_id(address: str) -> None:
    service = Service(path="/v1/employees", requested_ids=repeated("id"), by_path=True)
    async with serving(service) as server:
        result = await init("--id", "e1", "--source", f"hr={address.format(base=server.base_url)}")

        assert result.exit_code == 0, result.output
        assert written_settings()["sources"]["hr"] == {
            "base_url": f"{server.base_url}/v1",
            "request": {"form": "repeat", "path": "/employees", "parameter": "id"},
            "answer": {"key": ["id"]},
        }


async def test_a_user_of_two_services_has_the_fields_of_both() -> None:
    tickets = Service(
        "/tickets", requested_ids=with_commas("requester"), key="requester", rows=TICKETS
    )
    async with serving(Service(by_path=True)) as hr, serving(tickets) as support:
        result = await init(
            *("--id", "e1", "--id", "e2"),
            *("--source", f"hr={hr.base_url}/employees"),
            *("--source", f"support={support.base_url}/tickets?requester={{id}}"),
        )

        assert result.exit_code == 0, result.output
        got = await query_gateway(ALL % ('"e1"', "firstName supportFirstName stats { openNow }"))

    assert got == {
        "data": {
            "users": [
                {
                    "id": "e1",
                    "firstName": "Ada",
                    "supportFirstName": "x",
                    "stats": {"openNow": 1},
                }
            ]
        }
    }
    assert {one["may"] for one in written_settings()["user"].values()} == {"self"}


@pytest.mark.parametrize("service", [Service(by_path=True), Service(requested_ids=repeated("id"))])
@pytest.mark.parametrize("ids", [("e9", "e1", "e2"), ("e1", "e9", "e2")])
async def test_an_unknown_id_is_reported_and_the_file_is_written(
    service: Service, ids: Sequence[str]
) -> None:
    async with serving(service) as server:
        options = [part for one in ids for part in ("--id", one)]
        result = await init(*options, "--source", f"hr={server.base_url}")
        got = await query_gateway(ALL % ('"e3", "e9"', "firstName"))

    assert result.exit_code == 0, result.output
    assert "hr: it knows no user with the id e9." in result.output
    assert "\nhr, e1\n" in result.output
    assert got == {"data": {"users": [{"id": "e3", "firstName": "Cy"}, None]}}


async def test_a_parameter_may_have_the_name_of_the_source() -> None:
    service = Service(path="/directory", requested_ids=repeated("employee"))
    async with serving(service) as server:
        address = f"employees={server.base_url}/directory"
        result = await init("--id", "e1", "--source", address)

    assert result.exit_code == 0, result.output
    assert written_settings()["sources"]["employees"]["request"] == {
        "form": "repeat",
        "path": "/directory",
        "parameter": "employee",
    }


async def test_a_password_in_an_address_is_refused_and_never_shown() -> None:
    result = await init("--id", "e1", "--source", "hr=http://me:hunter2@127.0.0.1:9/users")

    assert result.exit_code != 0
    assert "expected no user or password in it" in result.output
    assert "hunter2" not in result.output


async def test_the_file_has_no_values_of_rows() -> None:
    async with serving(Service(by_path=True)) as server:
        result = await init("--id", "e1", "--source", f"hr={server.base_url}/employees")

    assert '"Ada"' in result.stdout
    text = text_of_file()
    assert "Ada" not in text
    assert "2021" not in text
    assert "e1" not in text


async def test_sources_check_passes_with_the_file() -> None:
    async with serving(Service(by_path=True)) as server:
        await init("--id", "e1", "--source", f"hr={server.base_url}/employees")
        arguments = ["sources", "check", "--ids", "e1,e2", "--config", FILE]
        result = await asyncio.to_thread(CliRunner().invoke, main, arguments)

    assert result.exit_code == 0, result.output
    assert re.search('hired_on +"2021-03-02" +day', result.stdout)


async def test_an_existing_file_is_not_changed_and_nothing_is_called() -> None:
    write_file("port = 80\n")
    async with serving(Service(by_path=True)) as server:
        result = await init("--id", "e1", "--source", f"hr={server.base_url}")
        assert not server.requests

    assert result.exit_code == 2
    assert "gateway.toml exists: expected --output with the name of a new file" in result.stderr
    assert text_of_file() == "port = 80\n"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (always(b"<html>Sign in</html>", Content_Type="text/html"), "is a page in HTML"),
        (always(b"hello"), "is no JSON"),
        (
            always(b"", "302 Found", Location="https://sso.example.com/"),
            "leads to another address (https://sso.example.com/)",
        ),
        (always(b"{}", "503 Service Unavailable"), "Try again when the service works"),
        (always(b'{"error": "x"}', "401 Unauthorized"), "--auth hr=bearer:HR_TOKEN"),
        (always(b'{"error": "x"}', "403 Forbidden"), "sources.hr.auth"),
        (always(b"[]"), "it knows no user of this id"),
        (always(json.dumps(EMPLOYEES).encode()), "answers do not depend on the id"),
        (always(json.dumps(EMPLOYEES[0]).encode()), "answers do not depend on the id"),
        (always(b'{"name": "Ada"}'), "answers do not depend on the id"),
        (always(json.dumps([EMPLOYEES[0]] * 2).encode()), "several rows of one user"),
        (Service(by_path=True, rows=EMPLOYEES[1:]), "Check the id"),
    ],
)
async def test_a_service_without_the_user_is_reported_with_a_hint(
    answer: Any,  # noqa: ANN401 # a handler of a server
    expected: str,
) -> None:
    async with serving(answer) as server:
        result = await init("--id", "e1", "--source", f"hr={server.base_url}/employees")

    assert result.exit_code == 1
    assert expected in result.stderr
    assert not is_written()


async def test_all_failing_services_are_reported_together() -> None:
    async with serving(always(b"[]")) as server:
        result = await init(
            *("--id", "e1", "--source", "hr=http://127.0.0.1:9"),
            *("--source", f"support={server.base_url}"),
        )

    assert result.exit_code == 1
    assert "hr: GET http://127.0.0.1:9/users/e1: no connection" in result.stderr
    assert "support: it knows no user" in result.stderr


async def test_a_row_without_a_key_is_used_if_other_users_are_unknown() -> None:
    plan: Row = {"user": "e1", "tier": "pro"}

    async def answer(exchange: Any) -> None:  # noqa: ANN401 # an exchange
        known = exchange.request.path == "/users/e1/plan"
        body = {"tier": plan["tier"]} if known else {"error": "no such user"}
        await exchange.say(json.dumps(body).encode(), "200 OK" if known else "404 Not Found")

    async with serving(answer) as server:
        result = await init("--id", "e1", "--source", f"billing={server.base_url}/users/e1/plan")
        got = await query_gateway(ALL % ('"e1", "e2"', "tier"))

    assert result.exit_code == 0
    assert got == {"data": {"users": [{"id": "e1", "tier": "pro"}, None]}}


@pytest.mark.parametrize(
    ("kind", "header", "table"),
    [
        (
            "bearer:HR_SECRET",
            ("authorization", f"Bearer {SECRET}"),
            {"kind": "bearer", "token": {"env": "HR_SECRET"}},
        ),
        (
            "basic:gateway:HR_SECRET",
            ("authorization", "Basic Z2F0ZXdheTpjYW5hcnktc2VjcmV0"),
            {"kind": "basic", "username": "gateway", "password": {"env": "HR_SECRET"}},
        ),
        (
            "header:X-Api-Key:HR_SECRET",
            ("x-api-key", SECRET),
            {"kind": "api_key", "header": "X-Api-Key", "key": {"env": "HR_SECRET"}},
        ),
    ],
)
async def test_credentials_are_sent_and_the_file_names_only_their_variable(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    header: tuple[str, str],
    table: Mapping[str, object],
) -> None:
    monkeypatch.setenv("HR_SECRET", SECRET)
    name, value = header
    service = Service(by_path=True)

    async def answer(exchange: Any) -> None:  # noqa: ANN401 # an exchange
        if exchange.request.header(name) == [value]:
            await service(exchange)
        else:
            await exchange.say(b"{}", "401 Unauthorized")

    async with serving(answer) as server:
        source = f"hr={server.base_url}/employees"
        result = await init("--id", "e1", "--source", source, "--auth", f"hr={kind}")
        got = await query_gateway(ALL % ('"e1"', "firstName"))

    assert result.exit_code == 0, result.output
    assert written_settings()["sources"]["hr"]["auth"] == table
    assert SECRET not in text_of_file() + result.output
    assert "export HR_SECRET=…" in result.stdout
    assert got["data"]["users"][0]["firstName"] == "Ada"


async def test_missing_or_refused_credentials_are_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(always(b"{}", "401 Unauthorized")) as server:
        arguments = ("--id", "e1", "--source", f"hr={server.base_url}", "--auth")
        missing = await init(*arguments, "hr=bearer:HR_SECRET")
        assert not server.requests
        monkeypatch.setenv("HR_SECRET", SECRET)
        refused = await init(*arguments, "hr=bearer:HR_SECRET")

    assert missing.exit_code == refused.exit_code == 1
    assert "the variable HR_SECRET is not set" in missing.stderr
    assert "does not accept the credentials in the variable HR_SECRET" in refused.stderr
    assert SECRET not in refused.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--source", "hr"], "expected NAME=ADDRESS"),
        (["--source", "HR=http://localhost:1"], "small letters, digits and _ in NAME"),
        (["--source", "hr=a", "--source", "hr=b"], "expected hr once"),
        (["--source", "hr=a", "--auth", "crm=bearer:X"], "with the name of a --source"),
        (["--source", "hr=a", "--id", "e 1"], "expected an id of letters, digits"),
    ],
)
async def test_wrong_options_are_refused(arguments: list[str], expected: str) -> None:
    result = await init(*arguments)

    assert result.exit_code == 2
    assert expected in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hr=ftp://localhost/users", "expected an address such as"),
        ("hr=http://localhost:1/{id}/{id}", "expected {id} once"),
        ("hr=http://localhost:1/x{id}", "as a whole step of the path"),
        ("hr=http://localhost:1/?api_key=canary&id={id}", "--auth NAME=parameter:api_key:VARIABLE"),
    ],
)
async def test_wrong_addresses_are_reported(source: str, expected: str) -> None:
    result = await init("--id", "e1", "--source", source)

    assert result.exit_code == 1
    assert expected in result.stderr
    assert "canary" not in result.output


async def test_missing_options_are_prompted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPPORT_TOKEN", SECRET)
    tickets = Service(
        "/tickets", requested_ids=repeated("requester"), key="requester", rows=TICKETS
    )

    async def with_credentials(exchange: Any) -> None:  # noqa: ANN401 # an exchange
        if exchange.request.header("authorization"):
            await tickets(exchange)
        else:
            await exchange.say(b"{}", "401 Unauthorized")

    async with serving(Service(by_path=True)) as hr, serving(with_credentials) as support:
        there = f"{support.base_url}/tickets?requester={{id}}"
        given = "\n".join(
            [
                *("not an id", "e1"),
                *("HR", "hr", f"{hr.base_url}/nothing", f"{hr.base_url}/employees", ""),
                *("support", there, "", "bearer:SUPPORT_TOKEN"),
                *("crm", "http://127.0.0.1:9", "-", ""),
            ]
        )
        result = await init(given=f"{given}\n")

        assert result.exit_code == 0, result.output
        got = await query_gateway(ALL % ('"e1"', "firstName stats { openNow }"))

    assert list(written_settings()["sources"]) == ["hr", "support"]
    assert "expected an id of letters" in result.stdout
    assert "hr: it knows no user of this id" in result.stdout
    assert "support: status 401" in result.stdout
    assert "crm: GET http://127.0.0.1:9/users/e1: no connection" in result.stdout
    assert got["data"]["users"][0] == {"id": "e1", "firstName": "Ada", "stats": {"openNow": 1}}


async def test_numeric_ids_are_requested_as_numbers() -> None:
    rows = [{"id": number, "userId": 7, "age": 40 + number} for number in (7, 8)]
    service = Service("/users", requested_ids=repeated("id"), rows=rows)
    async with serving(service) as server:
        result = await init("--id", "7", "--source", f"hr={server.base_url}")
        got = await query_gateway(ALL % ('"8"', "userId age"))

    assert result.exit_code == 0, result.output
    assert written_settings()["user_id_pattern"] == "[0-9]{1,18}"
    assert written_settings()["sources"]["hr"]["answer"] == {"key": ["id"]}
    assert got == {"data": {"users": [{"id": "8", "userId": "7", "age": 48}]}}
