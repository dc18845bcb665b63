"""The gateway as a subgraph of real federation routers from npm, composed by their composers.

Each router reads the schema of the running gateway by ``_service``, composes it with the schema of
a second subgraph, whose reviews name their authors by key, and executes queries over both.
"""

import io
import os
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import OctKey
from pydantic import BaseModel, Field, SecretStr

from app.execution.schema import build_schema
from app.observability.logs import make_log
from app.schema.export import client_text
from app.server.graphiql.build import NodePrograms
from app.settings.auth import JwtCallers
from app.settings.models import Settings
from tests.apps import make_app
from tests.conftest import GatewayReply
from tests.fakes import FakeServices, settings_for_fakes, user_id
from tests.issuer import AUDIENCE, ISSUER, signed
from tests.npm import node_with, running
from tests.ways import ALSO_BY_FILE, Ways
from tests.wire import served

FOLDER = Path(__file__).parent
ROUTER_TOKEN = "the-token-of-the-router"
SECRET = "a secret for development, of more than 32 bytes"
INSTALL = 240.0
"""Seconds that npm may take if `make test` has not installed the routers, which are large."""

PATIENCE = 60.0
"""Seconds that a response may take. A router starts in its own process."""

pytestmark = pytest.mark.timeout(INSTALL + PATIENCE)

REVIEWS = """
query($first: Int!) {
  reviews(first: $first) { text author { id username plan loginCount reviews } }
}
"""


class RouterStarted(BaseModel):
    """The first line that a router prints.

    Attributes:
        url: Its address, if it starts.
        refused: Why it does not start, if it does not.
    """

    url: str | None = Field(default=None)
    refused: str | None = Field(default=None)


class Built(BaseModel):
    """The result of graphql-js for a schema.

    Attributes:
        types: Its types, if it could be built.
        refused: Why it could not be built.
    """

    types: frozenset[str] = Field(default=frozenset())
    refused: str | None = Field(default=None)


@pytest.fixture(scope="module")
def node() -> NodePrograms:
    """Give the Node of this project, with the routers installed. They need a recent version."""
    return node_with(FOLDER, search_path="", install=INSTALL)


@pytest.fixture
def services() -> FakeServices:
    """Give services that know many users."""
    services = FakeServices()
    services.know(*range(1, 201))
    return services


@asynccontextmanager
async def router(
    node: NodePrograms, program: str, services: FakeServices, settings: Settings
) -> AsyncGenerator[RouterStarted]:
    """Serve the gateway, and start a router over it."""
    app = make_app(
        settings.model_copy(update={"router_token": SecretStr(ROUTER_TOKEN)}),
        make_log(settings.log, stream=io.StringIO()),
        transports=services.transport,
    )
    own = ("APOLLO", "HIVE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "PROXY", "NODE_OPTIONS")
    environment = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(own)
    }
    async with (
        served(app, settings) as address,
        running(
            *(node, FOLDER, program, address.url, ROUTER_TOKEN), environment=environment
        ) as line,
    ):
        yield RouterStarted.model_validate_json(line)


async def ask(
    started: RouterStarted, query: str, token: str | None, **variables: object
) -> GatewayReply:
    """Send a query to a router."""
    assert started.url is not None, started.refused
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
        response = await client.post(
            started.url, json={"query": query, "variables": variables}, headers=headers
        )
    return GatewayReply(response, response.json())


def jwt_settings(**changes: object) -> Settings:
    """Make settings with tokens. Callers without a token see public fields only."""
    auth: Mapping[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}
    callers = JwtCallers.model_validate({"mode": "jwt", "anonymous": True, **auth})
    return settings_for_fakes(auth=callers, **changes)


def token_of(number: int, *scopes: str) -> str:
    """Sign the token of a user."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 300}
    own = {"sub": user_id(number), "scope": " ".join(scopes)}
    return signed({**claims, **own}, OctKey.import_key(SECRET), "HS256")


def author(number: int, *, plan: str | None = "pro", logins: bool = True) -> Mapping[str, object]:
    """Make a review with the fields of its author from both subgraphs."""
    return {
        "text": f"Review {number}",
        "author": {
            "id": user_id(number),
            "username": f"user{number}",
            "plan": plan,
            "loginCount": number if logins else None,
            "reviews": number,
        },
    }


WITHOUT_DIRECTIVES = jwt_settings(security_directives="never")


@pytest.mark.parametrize("ways", ALSO_BY_FILE, ids=str)
@pytest.mark.parametrize(
    ("program", "settings"),
    [
        pytest.param(
            "apollo.mjs", settings_for_fakes(), id="apollo, by default without directives"
        ),
        pytest.param("hive.mjs", jwt_settings(), id="hive, by default with directives"),
        pytest.param("hive.mjs", WITHOUT_DIRECTIVES, id="hive without directives"),
    ],
)
async def test_a_router_joins_more_users_than_one_query_may_have(
    node: NodePrograms, services: FakeServices, program: str, settings: Settings, ways: Ways
) -> None:
    token = token_of(1, "billing:read", "activity:read")
    async with router(node, program, services, ways.of(settings)) as started:
        joined = await ask(started, REVIEWS, token, first=150)
        back = await ask(started, f'{{ user(id: "{user_id(7)}") {{ username reviews }} }}', token)

    assert not joined.errors
    assert joined.data == {"reviews": [author(number) for number in range(1, 151)]}
    assert back.body == {"data": {"user": {"username": "user7", "reviews": 7}}}
    assert [len(batch) for batch in services.billing.batches] == [100, 50]


@pytest.mark.parametrize("ways", ALSO_BY_FILE, ids=str)
@pytest.mark.parametrize(
    ("program", "settings"),
    [
        pytest.param("apollo.mjs", WITHOUT_DIRECTIVES, id="apollo without directives"),
        pytest.param("hive.mjs", jwt_settings(), id="hive with directives"),
        pytest.param("hive.mjs", WITHOUT_DIRECTIVES, id="hive without directives"),
    ],
)
async def test_forbidden_fields_are_null_with_and_without_security_directives(
    node: NodePrograms, services: FakeServices, program: str, settings: Settings, ways: Ways
) -> None:
    async with router(node, program, services, ways.of(settings)) as started:
        mine = await ask(started, REVIEWS, token_of(2), first=3)
        anonymous = await ask(started, REVIEWS, None, first=3)

    def seen_by(user: int | None) -> Mapping[str, object]:
        plans = {number: "pro" if number == user else None for number in (1, 2, 3)}
        return {"reviews": [author(n, plan=plan, logins=False) for n, plan in plans.items()]}

    assert mine.data == seen_by(2)
    assert anonymous.data == seen_by(None)
    assert mine.errors
    assert anonymous.errors
    assert services.billing.batches == [[user_id(2)]]
    assert services.activity.batches == []


async def test_apollo_gateway_does_not_start_with_security_directives(
    node: NodePrograms, services: FakeServices
) -> None:
    async with router(node, "apollo.mjs", services, jwt_settings()) as started:
        pass

    assert started.url is None
    assert started.refused is not None
    for name in ("authenticated", "requiresScopes"):
        assert f"{name}/v0.1 is for: SECURITY but is unsupported" in started.refused


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(jwt_settings(), id="with directives"),
        pytest.param(WITHOUT_DIRECTIVES, id="without directives"),
    ],
)
async def test_cosmo_composes_the_schema_with_another_subgraph(
    node: NodePrograms, services: FakeServices, settings: Settings
) -> None:
    async with router(node, "cosmo.mjs", services, settings) as composed:
        pass

    assert composed.refused is None


async def test_graphql_js_builds_the_client_schema_and_refuses_the_router_schema(
    node: NodePrograms, tmp_path: Path
) -> None:
    schema = build_schema()
    texts = {"client": client_text(schema.core), "router": schema.as_str()}
    built: dict[str, Built] = {}
    for name, text in texts.items():
        file = tmp_path / f"{name}.graphql"
        file.write_text(text, encoding="utf-8")
        async with running(node, FOLDER, "client.mjs", str(file)) as line:
            built[name] = Built.model_validate_json(line)

    assert built["client"].refused is None
    assert {"Query", "User", "DateTime"} <= built["client"].types
    assert not any(one.startswith("_") and one[1] != "_" for one in built["client"].types)
    assert "Unknown directive" in (built["router"].refused or "")
