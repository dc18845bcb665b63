"""The examples and tables of the README and of docs/how-to/configuration.md are true."""

import re
import tomllib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from jsonschema import Draft202012Validator

import app
from app.demo.services import demo_services
from app.errors import MEANINGS, Code
from app.main import create_app, load_settings
from app.observability.logs import make_log
from app.settings.models import WrittenSettings
from app.settings.reference import file_schema
from app.settings.source import SourceSettings
from tests.certificates import Certificates
from tests.demo_data import demo_data
from tests.fakes import FakeTransport, failing, json_response, settings_for_fakes, user_id

ROOT = Path(app.__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs/how-to/configuration.md").read_text(encoding="utf-8")
SOURCES = (ROOT / "docs/sources/README.md").read_text(encoding="utf-8")


def block(language: str, containing: str, text: str = README) -> str:
    """Find the block of code that contains some words, in the README by default."""
    blocks = re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
    [found] = [one for one in blocks if containing in one]
    return str(found)


def test_the_documented_error_codes_equal_those_in_the_code() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    typescript = (ROOT / "docs/clients/error-codes.ts").read_text(encoding="utf-8")

    assert re.findall(r"^\| `([A-Z_]+)` \|", page, flags=re.MULTILINE) == [*Code]
    codes, _, rest = typescript.partition("] as const;")
    assert re.findall(r'"([A-Z_]+)"', codes) == [*Code]
    assert {*re.findall(r'"([A-Z_]+)"', rest)} == {one for one in Code if MEANINGS[one].again}


async def test_the_example_with_one_source_down_equals_the_response_of_the_demo() -> None:
    settings = settings_for_fakes()
    with demo_services(demo_data()) as services:
        applications = {
            "http://profile": services.profile,
            "http://activity": services.activity,
        }

        def transport(source: SourceSettings) -> httpx.AsyncBaseTransport:
            if source.base_url in applications:
                return httpx.ASGITransport(app=applications[source.base_url])
            return FakeTransport(failing(503))

        gateway = create_app(settings, make_log(settings.log), transports=transport)
        async with (
            gateway.router.lifespan_context(gateway),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=gateway), base_url="http://localhost"
            ) as client,
        ):
            query = block("graphql", "displayName")
            response = await client.post("/graphql", json={"query": query})

    assert response.status_code == 200
    assert response.json() == orjson.loads(block("json", "is unavailable"))


def test_the_example_configuration_fits_its_schema_and_the_gateway(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = block("toml", "#:schema", CONFIGURATION)
    file = tmp_path / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("BILLING_TOKEN", "x")

    settings = load_settings(None, config=file)

    Draft202012Validator(file_schema(WrittenSettings)).validate(tomllib.loads(text))  # pyright: ignore[reportUnknownMemberType] # its stubs leave one open
    assert settings.sources["billing"].answer is not None
    assert settings.sources["billing"].answer.more.has_more == ("has_more",)


def test_the_example_of_source_defaults_is_loaded_as_documented(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates, tmp_path: Path
) -> None:
    text = block("toml", "source_defaults", CONFIGURATION)
    file = tmp_path / "gateway.toml"
    authority = str(certificates.ca_file)
    file.write_text(text.replace("/etc/ssl/internal-ca.pem", authority), encoding="utf-8")
    for name in ("INTERNAL_TOKEN", "BILLING_KEY"):
        monkeypatch.setenv(name, "x")

    sources = load_settings(None, config=file).sources

    Draft202012Validator(file_schema(WrittenSettings)).validate(tomllib.loads(text))  # pyright: ignore[reportUnknownMemberType] # its stubs leave one open
    assert [source.timeout for source in sources.values()] == [1.0, 1.0, 1.0]
    assert [source.auth.kind for source in sources.values()] == ["bearer", "api_key", "none"]
    assert (sources["profile"].retry.base_delay, sources["profile"].retry.max_retries) == (0.1, 1)
    assert sources["activity"].tls is None
    assert sources["billing"].request is not None
    assert sources["billing"].request.headers == {"X-Client": "user-gateway"}


def test_the_example_of_included_files_is_loaded_as_documented(tmp_path: Path) -> None:
    text = block("toml", "include = ", CONFIGURATION)
    for name, other in (("common", "activity"), ("sources/billing", "billing")):
        path = tmp_path / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'[sources.{other}]\nbase_url = "http://{other}"', encoding="utf-8")
    file = tmp_path / "gateway.toml"
    file.write_text(text, encoding="utf-8")

    sources = load_settings(None, config=file).sources

    assert [source.base_url for source in sources.values()] == [
        "https://users.internal",
        "http://billing",
        "http://activity",
    ]


@asynccontextmanager
async def served(
    example: str, respond: Callable[[httpx.Request], httpx.Response], folder: Path
) -> AsyncGenerator[Callable[[str], Awaitable[Any]]]:
    """Run the gateway with an example of a configuration; yield a function that queries a user."""
    names = [
        name for name in ("profile", "billing", "activity") if f"sources.{name}]" not in example
    ]
    others = "".join(f'[sources.{name}]\nbase_url = "http://{name}"\n' for name in names)
    file = folder / "gateway.toml"
    auth = '[auth]\nmode = "none"\n'
    file.write_text(auth + others + example, encoding="utf-8")
    settings = load_settings(None, config=file)
    log, transport = make_log(settings.log), FakeTransport(respond)
    gateway = create_app(settings, log, transports=lambda _: transport)
    async with (
        gateway.router.lifespan_context(gateway),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=gateway), base_url="http://localhost"
        ) as client,
    ):

        async def ask(fields: str) -> Any:  # noqa: ANN401 # tests compare it
            query = f'{{ user(id: "{user_id(1)}") {{ {fields} }} }}'
            response = await client.post("/graphql", json={"query": query})
            return response.json()["data"]["user"]

        yield ask


async def test_the_example_of_two_endpoints_works_as_documented(
    tmp_path: Path,
) -> None:
    requested: list[str] = []
    responses: dict[str, object] = {
        "/subscriptions": [
            {"customer": user_id(1), "plan": {"name": "pro"}, "status": "active", "period_end": 0}
        ],
        f"/customers/{user_id(1)}/balance": {"due": 1234, "currency": "eur"},
    }

    def respond(request: httpx.Request) -> httpx.Response:
        requested.append(request.url.path)
        return json_response(responses[request.url.path])

    async with served(block("toml", "endpoints.balance", CONFIGURATION), respond, tmp_path) as ask:
        plan = await ask("plan renewsAt")
        both = await ask("plan balance { amount currency }")

    assert plan == {"plan": "pro", "renewsAt": "1970-01-01T00:00:00Z"}
    assert both == {"plan": "pro", "balance": {"amount": 1234, "currency": "EUR"}}
    assert sorted(requested) == [f"/customers/{user_id(1)}/balance", *["/subscriptions"] * 2]


@pytest.mark.parametrize(
    ("row", "customers", "paths"),
    [
        ({"app_metadata": {"stripe_customer_id": "cus_1"}}, [], []),
        ({}, [{"id": "cus_1", "metadata": {"user_id": user_id(1)}}], ["/v1/customers/search"]),
        (
            {"email": "a@b"},
            [{"id": "cus_1", "email": "a@b"}],
            ["/v1/customers/search", "/v1/customers"],
        ),
    ],
)
async def test_the_example_of_lookups_finds_the_customer(
    tmp_path: Path,
    row: Mapping[str, object],
    customers: Sequence[Mapping[str, object]],
    paths: Sequence[str],
) -> None:
    requested: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        path, params = request.url.path, request.url.params
        if path == "/users":
            return json_response([{"id": user_id(1), **row}])
        requested.append(path)
        if path == "/accounts":
            return json_response([{"userId": params["userId"], "plan": "pro"}])
        if path == "/v1/customers/search":
            assert params["query"] == f"metadata['user_id']:'{user_id(1)}'"
            found = [one for one in customers if "metadata" in one]
        else:
            found = [one for one in customers if one.get("email") == params["email"]]
        return json_response({"data": found, "has_more": False})

    async with served(block("toml", "lookups.by_mail", CONFIGURATION), respond, tmp_path) as ask:
        user = await ask("plan")

    assert user == {"plan": "pro"}
    assert requested == [*paths, "/accounts"]


async def test_the_example_of_selected_fields_sends_the_documented_request(
    tmp_path: Path,
) -> None:
    requested: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requested.append(request.url.params["attributes"])
        row = {"id": user_id(1), "userName": "ada", "emails": [{"value": "a@b", "primary": True}]}
        return json_response({"totalResults": 1, "Resources": [row]})

    async with served(block("toml", "select = {", CONFIGURATION), respond, tmp_path) as ask:
        user = await ask("username email")

    assert user == {"username": "ada", "email": "a@b"}
    [names] = requested
    assert f"`attributes={names}`" in CONFIGURATION


async def test_the_example_of_a_batch_api_works_as_documented(tmp_path: Path) -> None:
    requested: list[object] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requested.append(orjson.loads(request.content))
        account = {"Plan__c": "pro", "Status__c": "active"}
        return json_response({"results": [{"statusCode": 200, "result": account}]})

    async with served(block("toml", "batchRequests", SOURCES), respond, tmp_path) as ask:
        user = await ask("plan billingStatus")

    assert user == {"plan": "pro", "billingStatus": "ACTIVE"}
    assert requested == [{"batchRequests": [{"method": "GET", "url": f"/accounts/{user_id(1)}"}]}]


async def test_the_example_of_a_batch_api_with_two_requests_per_user_works(tmp_path: Path) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        bodies = {"account": {"plan": "pro"}, "balance": {"due": 7, "currency": "EUR"}}
        responses = [
            {"id": one["id"], "status": 200, "body": bodies[one["id"].partition(":")[2]]}
            for one in reversed(orjson.loads(request.content)["requests"])
        ]
        return json_response({"responses": responses})

    async with served(block("toml", "$batch", SOURCES), respond, tmp_path) as ask:
        user = await ask("plan balance { amount }")

    assert user == {"plan": "pro", "balance": {"amount": 7}}
