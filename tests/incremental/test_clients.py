"""Real clients read responses in several payloads, each payload when it arrives."""

import asyncio
import io
import re
import subprocess
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from app.execution.schema import build_schema
from app.observability.logs import make_log
from app.schema.export import client_text
from app.server.graphiql.build import NodePrograms
from tests.apps import make_app
from tests.conftest import APP, GatewayClient
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id
from tests.incremental.gates import Gates
from tests.incremental.reading import CURRENT, Json, applied, asking
from tests.npm import START, node_with, talking
from tests.wire import served

FOLDER = Path(__file__).parent / "clients"
QUERY = "query Page($id: ID!) { user(id: $id) { id username ... @defer { plan } } }"
STREAM = """query Page($ids: [ID!]!) {
    users(ids: $ids) @stream(initialCount: 1) { id username } }"""
ID = {"id": user_id(1)}
IDS = {"ids": [user_id(number) for number in (1, 2, 3)]}
OLD = "multipart/mixed;deferSpec=20220824, application/json"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def node() -> NodePrograms:
    """Return Node with the clients."""
    return node_with(FOLDER)


class Lines:
    """The output of a client: a line of JSON for each result."""

    def __init__(self, printed: asyncio.StreamReader) -> None:
        self._printed = printed

    async def next(self) -> Json:
        """Read the next line."""
        async with asyncio.timeout(START):
            line: Json = orjson.loads(await self._printed.readline())
        return line

    async def rest(self) -> Sequence[Json]:
        """Read all lines that are left, until the program ends."""
        async with asyncio.timeout(START):
            return [orjson.loads(line) for line in (await self._printed.read()).splitlines()]


@asynccontextmanager
async def client(
    node: NodePrograms, services: FakeServices, program: str, *arguments: str | Json
) -> AsyncGenerator[Lines]:
    """Run a client against the gateway over the fakes."""
    settings = settings_for_fakes()
    log = make_log(settings.log, stream=io.StringIO())
    app = make_app(settings, log, transports=services.transport)
    texts = [one if isinstance(one, str) else orjson.dumps(one).decode() for one in arguments]
    async with (
        served(app, settings) as address,
        talking(node, FOLDER, program, address.url, *texts) as printed,
    ):
        yield Lines(printed)


CACHES = [
    pytest.param("apollo.mjs", "current", id="Apollo Client, GraphQL17Alpha9Handler"),
    pytest.param("apollo.mjs", "2022", id="Apollo Client, Defer20220824Handler"),
    pytest.param("urql.mjs", "", id="urql"),
    pytest.param("urql.mjs", OLD, id="urql with the form of 2022"),
]


@pytest.mark.parametrize(("program", "way"), CACHES)
async def test_a_client_shows_the_first_payload_before_the_next_arrives(
    node: NodePrograms, services: FakeServices, program: str, way: str
) -> None:
    services.know(1)
    gates = Gates(services, "billing")

    async with client(node, services, program, way, QUERY, ID) as lines:
        first = await lines.next()
        gates.open("billing")
        second = await lines.next()
        while not second.get("last"):
            second = await lines.next()

    user = first["data"]["user"]
    assert (user["username"], user.get("plan")) == ("user1", None)
    assert second["data"]["user"]["plan"] == "pro"
    assert not second["codes"]


@pytest.mark.parametrize(("program", "way"), CACHES)
async def test_a_client_gets_the_errors_of_a_later_payload(
    node: NodePrograms, services: FakeServices, program: str, way: str
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)

    async with client(node, services, program, way, QUERY, ID) as lines:
        line = await lines.next()
        while not line.get("last") and not line["codes"]:
            line = await lines.next()

    assert line["data"]["user"]["username"] == "user1"
    assert line["codes"] == ["SOURCE_UNAVAILABLE"]


STREAMING = [*CACHES[:2], CACHES[3]]  # urql puts items of the current form at wrong places


@pytest.mark.parametrize(("program", "way"), STREAMING)
async def test_a_client_adds_the_items_of_a_stream(
    node: NodePrograms, services: FakeServices, program: str, way: str
) -> None:
    services.know(1, 2, 3)

    async with client(node, services, program, way, STREAM, IDS) as lines:
        line = await lines.next()
        while not line.get("last"):
            line = await lines.next()

    assert [one["username"] for one in line["data"]["users"]] == ["user1", "user2", "user3"]


WITHOUT_CACHE = pytest.mark.parametrize(
    ("program", "accept"),
    [("fetch.mjs", ""), ("sse.mjs", ""), ("meros.mjs", "multipart/mixed, application/json")],
)


@WITHOUT_CACHE
async def test_a_client_without_a_cache_reads_the_items_of_a_stream(
    node: NodePrograms, services: FakeServices, program: str, accept: str
) -> None:
    services.know(1, 2, 3)

    async with client(node, services, program, accept, STREAM, IDS) as lines:
        payloads = await lines.rest()

    assert len(payloads) > 1
    users = applied(payloads)["data"]["users"]
    assert [one["username"] for one in users] == ["user1", "user2", "user3"]


@WITHOUT_CACHE
async def test_a_client_without_a_cache_reads_each_payload_when_it_arrives(
    node: NodePrograms, services: FakeServices, program: str, accept: str
) -> None:
    services.know(1)
    gates = Gates(services, "billing")

    async with client(node, services, program, accept, QUERY, ID) as lines:
        first = await lines.next()
        gates.open("billing")
        payloads = [first, *await lines.rest()]

    assert first["data"]["user"] == {"id": user_id(1), "username": "user1"}
    expected = {"id": user_id(1), "username": "user1", "plan": "pro"}
    assert applied(payloads) == {"data": {"user": expected}}


def test_the_code_in_the_guide_is_the_code_under_test() -> None:
    guide = (APP.parent / "docs" / "how-to" / "incremental-delivery.md").read_text()
    [shown] = re.findall(r"```js\n(.*?)```", guide, re.DOTALL)

    assert shown in (FOLDER / "fetch.mjs").read_text()


async def test_relay_updates_its_store_with_each_payload(
    node: NodePrograms, services: FakeServices
) -> None:
    services.know(1)
    compile_for_relay()
    gates = Gates(services, "billing")

    async with client(node, services, "relay.mjs", ID) as lines:
        first = await lines.next()
        gates.open("billing")
        rest = await lines.rest()

    assert first == {"username": "user1"}
    assert rest == [{"username": "user1", "plan": "pro"}, {"complete": True}]


def compile_for_relay() -> None:
    """Compile Relay's operations with the schema that is exported for clients."""
    build = FOLDER / "build"
    (build / "relay").mkdir(parents=True, exist_ok=True)
    (build / "schema.graphql").write_text(client_text(build_schema().core))
    made = subprocess.run(  # relay-compiler
        ("node", "../node_modules/relay-compiler/cli.js", "relay.config.json"),  # noqa: S607 # found below
        cwd=FOLDER / "relay",
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (QUERY, ID),
        (STREAM, IDS),
        (
            """query($id: ID!) { user(id: $id) { id
            ... @defer(label: "a") { username ... @defer(label: "b") { balance { amount } } }
            events @stream(initialCount: 1) { id } } }""",
            ID,
        ),
    ],
)
async def test_payloads_equal_those_of_graphql_js_17(  # noqa: PLR0917 # two of them are columns
    node: NodePrograms,
    gateway: GatewayClient,
    services: FakeServices,
    tmp_path: Path,
    query: str,
    variables: Json,
) -> None:
    services.know(1, 2, 3)
    schema = tmp_path / "schema.graphql"
    schema.write_text(client_text(build_schema().core))
    users = [
        {
            "id": user_id(number),
            "username": f"user{number}",
            "plan": "pro",
            "balance": {"amount": 100 * number},
            "events": [{"id": "e3"}, {"id": "e2"}, {"id": "e1"}],
        }
        for number in (1, 2, 3)
    ]
    root = orjson.dumps({"user": users[0], "users": users}).decode()

    async with talking(
        node, FOLDER, "graphql17.mjs", str(schema), query, orjson.dumps(variables).decode(), root
    ) as printed:
        theirs = await Lines(printed).rest()
    async with asking(gateway.app, query, variables, accept=CURRENT) as talk:
        ours = await talk.all()

    assert ours[0] == theirs[0]
    assert applied(ours) == applied(theirs)
    assert members(ours) == members(theirs)


def members(payloads: Sequence[Json]) -> set[tuple[str, ...]]:
    """Return the names of the members of the payloads and their parts."""
    parts = [
        one
        for payload in payloads
        for name in ("pending", "incremental", "completed")
        for one in payload.get(name, ())
    ]
    return {tuple(sorted(one)) for one in parts}
