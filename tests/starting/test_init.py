"""`user-gateway init` over real servers: how they are asked, what is written, and what is said."""

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
    init,
    is_written,
    only_first,
    postgrest,
    repeated,
    saying_only,
    scim,
    text_of_file,
    with_commas,
    write_file,
    written,
)

SECRET = "canary-secret"
TICKETS: Sequence[Row] = [
    {"requester": f"e{number}", "stats": {"open_now": number}, "first_name": "x"}
    for number in range(1, 4)
]
ALL = "{ users(ids: [%s]) { id %s } }"


@asynccontextmanager
async def gateway() -> AsyncGenerator[httpx.AsyncClient]:
    """Run the gateway by the file that the command has written."""
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


async def asked(query: str) -> Any:  # noqa: ANN401 # decoded JSON
    """Ask the gateway by the file that the command has written."""
    async with gateway() as client:
        response = await client.post("/graphql", json={"query": query})
        return response.json()


@pytest.mark.parametrize(
    ("service", "request_settings", "answer"),
    [
        (
            Service(asked=repeated("id")),
            {"form": "repeat", "path": "/employees", "parameter": "id"},
            {"key": ["id"]},
        ),
        (
            Service(asked=with_commas("ids"), by_path=True),
            {"form": "list", "path": "/employees", "parameter": "ids"},
            {"key": ["id"]},
        ),
        (
            Service(asked=repeated("employee_id")),
            {"form": "repeat", "path": "/employees", "parameter": "employee_id"},
            {"key": ["id"]},
        ),
        (
            Service(asked=only_first("userId"), around=lambda rows: {"data": rows, "total": 3}),
            {"form": "each", "path": "/employees", "parameter": "userId"},
            {"rows": ["data"], "key": ["id"]},
        ),
        (
            Service(by_path=True),
            {"form": "each", "path": "/employees/{key}"},
            {"many": False, "key": ["id"]},
        ),
        (
            Service(asked=repeated("ids"), around=lambda rows: {"by": {r["id"]: r for r in rows}}),
            {"form": "repeat", "path": "/employees", "parameter": "ids"},
            {"rows": ["by"], "by_key": True},
        ),
        (
            Service(asked=repeated("id"), around=lambda rows: {"items": rows, "has_more": False}),
            {"form": "repeat", "path": "/employees", "parameter": "id"},
            {"rows": ["items"], "key": ["id"], "more": {"has_more": ["has_more"]}},
        ),
        (
            Service(asked=postgrest),
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
            Service(asked=scim, around=lambda rows: {"Resources": rows}),
            {"form": "filter", "path": "/employees", "parameter": "filter", "escape": "backslash"},
            {"rows": ["Resources"], "key": ["id"]},
        ),
    ],
)
async def test_the_form_of_requests_is_found_out_and_the_file_gives_right_answers(
    service: Service, request_settings: Mapping[str, object], answer: Mapping[str, object]
) -> None:
    async with serving(service) as server:
        result = await init("--id", "e2", "--source", f"hr={server.base_url}")

        assert result.exit_code == 0, result.output
        source = written()["sources"]["hr"]
        assert source == {
            "base_url": server.base_url,
            "request": request_settings,
            "answer": answer,
        }
        got = await asked(ALL % ('"e3", "nobody", "e2"', "firstName hiredOn"))

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
async def test_an_address_may_say_where_the_id_is(address: str) -> None:
    service = Service(path="/v1/employees", asked=repeated("id"), by_path=True)
    async with serving(service) as server:
        result = await init("--id", "e1", "--source", f"hr={address.format(base=server.base_url)}")

        assert result.exit_code == 0, result.output
        assert written()["sources"]["hr"] == {
            "base_url": f"{server.base_url}/v1",
            "request": {"form": "repeat", "path": "/employees", "parameter": "id"},
            "answer": {"key": ["id"]},
        }


async def test_a_user_of_two_services_is_merged_and_names_that_clash_get_that_of_their_source() -> (
    None
):
    tickets = Service("/tickets", asked=with_commas("requester"), key="requester", rows=TICKETS)
    async with serving(Service(by_path=True)) as hr, serving(tickets) as support:
        result = await init(
            *("--id", "e1", "--id", "e2"),
            *("--source", f"hr={hr.base_url}/employees"),
            *("--source", f"support={support.base_url}/tickets?requester={{id}}"),
        )

        assert result.exit_code == 0, result.output
        got = await asked(ALL % ('"e1"', "firstName supportFirstName stats { openNow }"))

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
    assert {one["may"] for one in written()["user"].values()} == {"self"}


@pytest.mark.parametrize("service", [Service(by_path=True), Service(asked=repeated("id"))])
@pytest.mark.parametrize("ids", [("e9", "e1", "e2"), ("e1", "e9", "e2")])
async def test_an_id_without_a_row_is_named_and_the_file_is_written_by_the_others(
    service: Service, ids: Sequence[str]
) -> None:
    async with serving(service) as server:
        options = [part for one in ids for part in ("--id", one)]
        result = await init(*options, "--source", f"hr={server.base_url}")
        got = await asked(ALL % ('"e3", "e9"', "firstName"))

    assert result.exit_code == 0, result.output
    assert "hr: it knows no user with the id e9." in result.output
    assert "\nhr, e1\n" in result.output
    assert got == {"data": {"users": [{"id": "e3", "firstName": "Cy"}, None]}}


async def test_a_parameter_may_be_called_like_the_source() -> None:
    service = Service(path="/directory", asked=repeated("employee"))
    async with serving(service) as server:
        address = f"employees={server.base_url}/directory"
        result = await init("--id", "e1", "--source", address)

    assert result.exit_code == 0, result.output
    assert written()["sources"]["employees"]["request"] == {
        "form": "repeat",
        "path": "/directory",
        "parameter": "employee",
    }


async def test_a_password_in_an_address_is_refused_and_never_shown() -> None:
    result = await init("--id", "e1", "--source", "hr=http://me:hunter2@127.0.0.1:9/users")

    assert result.exit_code != 0
    assert "expected no user or password in it" in result.output
    assert "hunter2" not in result.output


async def test_the_file_has_no_value_of_a_row() -> None:
    async with serving(Service(by_path=True)) as server:
        result = await init("--id", "e1", "--source", f"hr={server.base_url}/employees")

    assert '"Ada"' in result.stdout
    text = text_of_file()
    assert "Ada" not in text
    assert "2021" not in text
    assert "e1" not in text


async def test_sources_check_is_well_with_the_file() -> None:
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
    ("answer", "said"),
    [
        (saying_only(b"<html>Sign in</html>", Content_Type="text/html"), "is a page in HTML"),
        (saying_only(b"hello"), "is no JSON"),
        (
            saying_only(b"", "302 Found", Location="https://sso.example.com/"),
            "leads to another address (https://sso.example.com/)",
        ),
        (saying_only(b"{}", "503 Service Unavailable"), "Try again when the service works"),
        (saying_only(b'{"error": "x"}', "401 Unauthorized"), "--auth hr=bearer:HR_TOKEN"),
        (saying_only(b'{"error": "x"}', "403 Forbidden"), "sources.hr.auth"),
        (saying_only(b"[]"), "it knows no user of this id"),
        (saying_only(json.dumps(EMPLOYEES).encode()), "answers do not depend on the id"),
        (saying_only(json.dumps(EMPLOYEES[0]).encode()), "answers do not depend on the id"),
        (saying_only(b'{"name": "Ada"}'), "answers do not depend on the id"),
        (saying_only(json.dumps([EMPLOYEES[0]] * 2).encode()), "several rows of one user"),
        (Service(by_path=True, rows=EMPLOYEES[1:]), "Check the id"),
    ],
)
async def test_a_service_without_the_user_is_told_with_what_to_do(
    answer: Any,  # noqa: ANN401 # what a server answers
    said: str,
) -> None:
    async with serving(answer) as server:
        result = await init("--id", "e1", "--source", f"hr={server.base_url}/employees")

    assert result.exit_code == 1
    assert said in result.stderr
    assert not is_written()


async def test_all_services_that_do_not_answer_are_told_at_once() -> None:
    async with serving(saying_only(b"[]")) as server:
        result = await init(
            *("--id", "e1", "--source", "hr=http://127.0.0.1:9"),
            *("--source", f"support={server.base_url}"),
        )

    assert result.exit_code == 1
    assert "hr: GET http://127.0.0.1:9/users/e1: no connection" in result.stderr
    assert "support: it knows no user" in result.stderr


async def test_a_row_that_does_not_say_whose_it_is_counts_where_others_are_unknown() -> None:
    plan: Row = {"user": "e1", "tier": "pro"}

    async def answer(exchange: Any) -> None:  # noqa: ANN401 # an exchange
        known = exchange.request.path == "/users/e1/plan"
        body = {"tier": plan["tier"]} if known else {"error": "no such user"}
        await exchange.say(json.dumps(body).encode(), "200 OK" if known else "404 Not Found")

    async with serving(answer) as server:
        result = await init("--id", "e1", "--source", f"billing={server.base_url}/users/e1/plan")
        got = await asked(ALL % ('"e1", "e2"', "tier"))

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
async def test_credentials_are_sent_and_the_file_only_names_their_variable(
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
        got = await asked(ALL % ('"e1"', "firstName"))

    assert result.exit_code == 0, result.output
    assert written()["sources"]["hr"]["auth"] == table
    assert SECRET not in text_of_file() + result.output
    assert "export HR_SECRET=…" in result.stdout
    assert got["data"]["users"][0]["firstName"] == "Ada"


async def test_credentials_that_are_missing_or_refused_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(saying_only(b"{}", "401 Unauthorized")) as server:
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
    ("arguments", "said"),
    [
        (["--source", "hr"], "expected NAME=ADDRESS"),
        (["--source", "HR=http://localhost:1"], "small letters, digits and _ in NAME"),
        (["--source", "hr=a", "--source", "hr=b"], "expected hr once"),
        (["--source", "hr=a", "--auth", "crm=bearer:X"], "with the name of a --source"),
        (["--source", "hr=a", "--id", "e 1"], "expected an id of letters, digits"),
    ],
)
async def test_options_that_are_wrong_are_refused(arguments: list[str], said: str) -> None:
    result = await init(*arguments)

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("hr=ftp://localhost/users", "expected an address such as"),
        ("hr=http://localhost:1/{id}/{id}", "expected {id} once"),
        ("hr=http://localhost:1/x{id}", "as a whole step of the path"),
        ("hr=http://localhost:1/?api_key=canary&id={id}", "--auth NAME=parameter:api_key:VARIABLE"),
    ],
)
async def test_addresses_that_cannot_be_used_are_told(source: str, said: str) -> None:
    result = await init("--id", "e1", "--source", source)

    assert result.exit_code == 1
    assert said in result.stderr
    assert "canary" not in result.output


async def test_what_the_options_do_not_say_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPPORT_TOKEN", SECRET)
    tickets = Service("/tickets", asked=repeated("requester"), key="requester", rows=TICKETS)

    async def closed(exchange: Any) -> None:  # noqa: ANN401 # an exchange
        if exchange.request.header("authorization"):
            await tickets(exchange)
        else:
            await exchange.say(b"{}", "401 Unauthorized")

    async with serving(Service(by_path=True)) as hr, serving(closed) as support:
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
        got = await asked(ALL % ('"e1"', "firstName stats { openNow }"))

    assert list(written()["sources"]) == ["hr", "support"]
    assert "expected an id of letters" in result.stdout
    assert "hr: it knows no user of this id" in result.stdout
    assert "support: status 401" in result.stdout
    assert "crm: GET http://127.0.0.1:9/users/e1: no connection" in result.stdout
    assert got["data"]["users"][0] == {"id": "e1", "firstName": "Ada", "stats": {"openNow": 1}}


async def test_ids_that_are_numbers_are_asked_for_as_numbers() -> None:
    rows = [{"id": number, "userId": 7, "age": 40 + number} for number in (7, 8)]
    service = Service("/users", asked=repeated("id"), rows=rows)
    async with serving(service) as server:
        result = await init("--id", "7", "--source", f"hr={server.base_url}")
        got = await asked(ALL % ('"8"', "userId age"))

    assert result.exit_code == 0, result.output
    assert written()["user_id_pattern"] == "[0-9]{1,18}"
    assert written()["sources"]["hr"]["answer"] == {"key": ["id"]}
    assert got == {"data": {"users": [{"id": "8", "userId": "7", "age": 48}]}}
