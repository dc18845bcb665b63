"""The endpoint: GraphQL over HTTP, as clients of every kind speak it."""

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.server.responses import GRAPHQL_JSON, JSON
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id
from tests.properties import examples

QUERY = f'{{ user(id: "{user_id(1)}") {{ username }} }}'
ASKED = {"GraphQL-Require-Preflight": "1"}
ANSWER = {"data": {"user": {"username": "user1"}}}


def content_type(response: httpx.Response) -> str:
    """Read the media type of a response."""
    return response.headers["content-type"].split(";")[0]


async def test_a_post_is_answered(gateway: GatewayClient, services: FakeServices) -> None:
    services.know(1)

    response = await gateway.client.post("/graphql", json={"query": QUERY})

    assert (response.status_code, content_type(response)) == (200, JSON)
    assert response.json() == ANSWER


async def test_a_get_is_answered(gateway: GatewayClient, services: FakeServices) -> None:
    services.know(1)
    parameters = {
        "query": "query A($id: ID!) { user(id: $id) { username } } query B { __typename }",
        "operationName": "A",
        "variables": f'{{"id": "{user_id(1)}"}}',
    }

    response = await gateway.client.get("/graphql", params=parameters, headers=ASKED)

    assert (response.status_code, response.json()) == (200, ANSWER)


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
async def test_the_answer_has_the_media_type_that_the_client_wants(
    gateway: GatewayClient, services: FakeServices, accept: str
) -> None:
    services.know(1)

    response = await gateway.client.post(
        "/graphql", json={"query": QUERY}, headers={"Accept": accept}
    )

    assert (response.status_code, content_type(response)) == (200, accept)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "{ user("}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{" * 20_000}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nope }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "{ __typename @nope }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query($id: ID!) { user(id: $id) { id } }"}, "BAD_USER_INPUT"),
        (
            {"query": "query($n: Int) { __typename @skip(if: false) a: __typename }"},
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ({"query": "{ __typename }", "operationName": "B"}, "OPERATION_RESOLUTION_FAILURE"),
        (
            {"query": "query A { __typename } query B { __typename }"},
            "OPERATION_RESOLUTION_FAILURE",
        ),
        ({"query": "fragment F on User { id }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "subscription { __typename }"}, None),
        ({"query": "mutation { __typename }"}, None),
    ],
)
async def test_what_cannot_be_executed_has_no_data_and_says_why(
    gateway: GatewayClient, body: dict[str, str], code: str | None
) -> None:
    new = await gateway.client.post("/graphql", json=body, headers={"Accept": GRAPHQL_JSON})
    old = await gateway.client.post("/graphql", json=body, headers={"Accept": JSON})

    assert (new.status_code, old.status_code) == (400, 200)
    assert new.json() == old.json()
    assert "data" not in new.json()
    codes = {error["extensions"]["code"] for error in new.json()["errors"]}
    assert (
        codes == {code}
        if code
        else codes
        <= {
            "OPERATION_RESOLUTION_FAILURE",
            "GRAPHQL_VALIDATION_FAILED",
        }
    )


async def test_a_null_where_an_argument_needs_a_value_is_the_client_s_mistake(
    gateway: GatewayClient,
) -> None:
    query = f'query($id: ID = "{user_id(1)}") {{ user(id: $id) {{ id }} }}'

    reply = await gateway.query(query, id=None)

    assert reply.codes == {"user": "BAD_USER_INPUT"}
    assert not gateway.events("graphql.bug")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[", 400),
        (b'{"query": "\xff"}', 400),
        (b'{"query": "\\ud800"}', 400),
        (b'{"query": "{ __typename }", "query": "{ nope }"}', 400),
        (b'{"query": "{ __typename }", "qu\\u0065ry": "{ nope }"}', 400),
        (b'{"query": "{ __typename }", "variables": {"a": 1, "a": 2}}', 400),
        (b'{"query": "{ __typename }", "variables": {"a": NaN}}', 400),
        (b'{"query": "{ __typename }", "variables": {"a": -Infinity}}', 400),
        (b'{"query": "{ __typename }", "variables": {"a": 1' + b"0" * 5_000 + b"}}", 400),
        (b'\xef\xbb\xbf{"query": "{ __typename }"}', 400),
        ('{"query": "{ __typename }"}'.encode("utf-16"), 400),
        (b'{"query": "{ __typename }"} {}', 400),
        (b"[" * 100_000, 400),
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 100_000, 400),
        (b'"{ __typename }"', 422),
        (b"7", 422),
        (b"null", 422),
        (b"{}", 422),
        (b"[]", 422),
        (b'[{"query": "{ __typename }"}]', 422),
        (b'{"query": null}', 422),
        (b'{"query": ""}', 422),
        (b'{"query": 7}', 422),
        (b'{"qeury": "{ __typename }"}', 422),
        (b'{"query": "{ __typename }", "variables": []}', 422),
        (b'{"query": "{ __typename }", "variables": "{}"}', 422),
        (b'{"query": "{ __typename }", "operationName": 7}', 422),
        (b'{"query": "{ __typename }", "extensions": 7}', 422),
        (b'{"query": "{ __typename }", "onError": "IGNORE"}', 422),
        (b'{"query": "{ __typename }", "documentId": 7}', 422),
    ],
)
async def test_a_body_that_is_no_graphql_request_is_refused_with_what_would_be_one(
    gateway: GatewayClient, body: bytes, status: int
) -> None:
    response = await gateway.client.post(
        "/graphql", content=body, headers={"Content-Type": "application/json"}
    )

    assert response.status_code == status
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "BAD_REQUEST"
    assert "expected" in error["message"]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/graphql", 422),
        ("/graphql?query=", 422),
        ("/graphql?query={__typename}&query={nope}", 422),
        ("/graphql?query=a&query=a", 422),
        ("/graphql?query={__typename}&variables=[]", 422),
        ("/graphql?query={__typename}&extensions=7", 422),
        ("/graphql?query={__typename}&onError=IGNORE", 422),
        ("/graphql?query={__typename}&variables={", 400),
        ("/graphql?query={__typename}&variables={},%22query%22:null", 400),
        ("/graphql?query={__typename}&variables={%22a%22:1,%22a%22:2}", 400),
        ("/graphql?query=%ff", 400),
        ("/graphql?" + "&".join(["query={__typename}"] * 200), 400),
    ],
)
async def test_a_url_that_is_no_graphql_request_is_refused_with_what_would_be_one(
    gateway: GatewayClient, url: str, status: int
) -> None:
    response = await gateway.client.get(url, headers=ASKED)

    assert response.status_code == status
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "BAD_REQUEST"
    assert "expected" in error["message"]


@pytest.mark.parametrize(
    "url", ["/graphql?query={__typename}&operationName=&variables=&onError=&extensions=&other=%41"]
)
async def test_a_parameter_of_a_url_that_is_empty_or_unknown_is_none(
    gateway: GatewayClient, url: str
) -> None:
    response = await gateway.client.get(url, headers=ASKED)

    assert response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    ("method", "headers", "status", "hint"),
    [
        ("PUT", {}, 405, "POST"),
        ("DELETE", {}, 405, "POST"),
        ("POST", {"Content-Type": "text/plain"}, 415, "application/json"),
        ("POST", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
        ("POST", {}, 415, "application/json"),
        ("QUERY", {"Content-Type": "application/json"}, 405, "POST"),
        ("OPTIONS", {}, 405, "POST"),
        ("POST", {"Accept": "image/png"}, 406, GRAPHQL_JSON),
    ],
)
async def test_a_request_of_the_wrong_kind_is_told_the_right_one(
    gateway: GatewayClient, method: str, headers: dict[str, str], status: int, hint: str
) -> None:
    response = await gateway.client.request(
        method, "/graphql", content=b'{"query": "{ __typename }"}', headers=headers
    )

    assert response.status_code == status
    assert hint in response.json()["errors"][0]["message"]
    assert response.headers.get("allow") == ("GET, POST" if status == 405 else None)


async def test_a_client_with_a_persisted_query_link_is_told_to_send_the_document(
    gateway: GatewayClient,
) -> None:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}

    post = await gateway.client.post("/graphql", json={"extensions": extensions})
    get = await gateway.client.get(
        "/graphql", params={"extensions": orjson.dumps(extensions).decode()}, headers=ASKED
    )

    for response in (post, get):
        assert response.status_code == 200
        assert response.json() == {
            "errors": [
                {
                    "message": "PersistedQueryNotSupported",
                    "extensions": {"code": "PERSISTED_QUERY_NOT_SUPPORTED"},
                }
            ]
        }


async def test_a_browser_gets_a_page_and_a_request_with_a_query_gets_its_answer(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

    asked = browser | ASKED
    async with open_gateway(settings_for_fakes(graphiql=True)) as gateway:
        page = await gateway.client.get("/graphql", headers=browser)
        answer = await gateway.client.get("/graphql", params={"query": QUERY}, headers=asked)
        home = await gateway.client.get("/", headers=browser)

    assert (page.status_code, content_type(page)) == (200, "text/html")
    assert answer.json() == ANSWER
    assert home.headers["location"] == "graphql"


async def test_graphiql_is_switched_off(gateway: GatewayClient) -> None:
    response = await gateway.client.get("/graphql", headers={"Accept": "text/html"})

    assert response.status_code == 406


async def test_introspection_tells_the_schema(open_gateway: OpenGateway) -> None:
    query = '{ __type(name: "User") { fields { name description } } }'
    async with open_gateway(settings_for_fakes(introspection=True)) as gateway:
        reply = await gateway.query(query)

    fields = {field["name"]: field["description"] for field in reply.data["__type"]["fields"]}
    assert {"id", "username", "invoices", "events"} <= fields.keys()
    assert all(fields.values())


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
@pytest.mark.parametrize("kind", ["mutation", "subscription"])
async def test_a_get_is_for_queries_only(gateway: GatewayClient, kind: str, accept: str) -> None:
    response = await gateway.client.get(
        "/graphql",
        params={
            "query": f"query A {{ __typename }} {kind} B {{ __typename }}",
            "operationName": "B",
        },
        headers={"Accept": accept, **ASKED},
    )

    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert f"this is a {kind}" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("accept", "on", "status"),
    [(GRAPHQL_JSON, True, 294), (GRAPHQL_JSON, False, 200), (JSON, True, 200)],
)
async def test_a_partial_answer_can_have_a_status_of_its_own(
    open_gateway: OpenGateway,
    services: FakeServices,
    accept: str,
    on: bool,  # noqa: FBT001 # a column of the table
    status: int,
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)
    query = f'{{ user(id: "{user_id(1)}") {{ username plan }} }}'
    async with open_gateway(settings_for_fakes(partial_status=on)) as gateway:
        partial = await gateway.client.post(
            "/graphql", json={"query": query}, headers={"Accept": accept}
        )
        whole = await gateway.client.post(
            "/graphql", json={"query": QUERY}, headers={"Accept": accept}
        )

    assert (partial.status_code, whole.status_code) == (status, 200)
    assert partial.json()["data"] == {"user": {"username": "user1", "plan": None}}


async def test_what_is_refused_has_the_media_type_that_the_client_wants(
    gateway: GatewayClient,
) -> None:
    response = await gateway.client.post(
        "/graphql",
        content=b"{",
        headers={"Accept": GRAPHQL_JSON, "Content-Type": "application/json"},
    )

    assert (response.status_code, content_type(response)) == (400, GRAPHQL_JSON)


async def test_no_answer_is_kept_by_anybody_on_its_way(gateway: GatewayClient) -> None:
    good = await gateway.client.post("/graphql", json={"query": QUERY})
    bad = await gateway.client.post("/graphql", json={})

    assert good.headers["cache-control"] == bad.headers["cache-control"] == "no-store"


@settings(
    max_examples=examples(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
async def test_no_body_is_answered_by_a_server_error(gateway: GatewayClient, body: bytes) -> None:
    response = await gateway.client.post(
        "/graphql", content=body, headers={"Content-Type": "application/json"}
    )

    assert response.status_code < 500
    assert response.json()["errors"]


async def test_a_request_to_be_explained_is_told_its_plan_and_nothing_is_called(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    async with open_gateway(settings_for_fakes(explain=True)) as gateway:
        response = await gateway.client.post(
            "/graphql", json={"query": QUERY}, headers={"X-Gateway-Explain": "1"}
        )

    body = response.json()
    assert (response.status_code, body["data"]) == (200, None)
    assert "errors" not in body
    [source] = body["extensions"]["explain"]["sources"]
    assert (source["name"], source["keys"], source["calls"]) == ("profile", [user_id(1)], 1)
    assert services.calls == {"profile": 0, "billing": 0, "activity": 0}


async def test_what_could_not_be_executed_is_not_explained_but_refused(
    open_gateway: OpenGateway,
) -> None:
    async with open_gateway(settings_for_fakes(explain=True)) as gateway:
        response = await gateway.client.post(
            "/graphql",
            json={"query": "{ nope }"},
            headers={"X-Gateway-Explain": "1", "Accept": GRAPHQL_JSON},
        )

    assert response.status_code == 400
    assert set(response.json()) == {"errors"}


@pytest.mark.parametrize(("allowed", "header"), [(False, "1"), (True, "0"), (True, None)])
async def test_a_request_is_executed_where_explaining_is_not_allowed_or_not_asked(
    open_gateway: OpenGateway,
    services: FakeServices,
    allowed: bool,  # noqa: FBT001 # a column of the table
    header: str | None,
) -> None:
    services.know(1)
    async with open_gateway(settings_for_fakes(explain=allowed)) as gateway:
        response = await gateway.client.post(
            "/graphql",
            json={"query": QUERY},
            headers={} if header is None else {"X-Gateway-Explain": header},
        )

    assert response.json() == ANSWER
    assert services.calls["profile"] == 1
