"""The endpoint: GraphQL over HTTP, with requests of all kinds of clients."""

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
PREFLIGHTED = {"GraphQL-Require-Preflight": "1"}
RESPONSE = {"data": {"user": {"username": "user1"}}}


def content_type(response: httpx.Response) -> str:
    """Read the media type of a response."""
    return response.headers["content-type"].split(";")[0]


async def test_a_post_is_answered(gateway: GatewayClient, services: FakeServices) -> None:
    services.know(1)

    response = await gateway.client.post("/graphql", json={"query": QUERY})

    assert (response.status_code, content_type(response)) == (200, JSON)
    assert response.json() == RESPONSE


async def test_a_get_is_answered(gateway: GatewayClient, services: FakeServices) -> None:
    services.know(1)
    parameters = {
        "query": "query A($id: ID!) { user(id: $id) { username } } query B { __typename }",
        "operationName": "A",
        "variables": f'{{"id": "{user_id(1)}"}}',
    }

    response = await gateway.client.get("/graphql", params=parameters, headers=PREFLIGHTED)

    assert (response.status_code, response.json()) == (200, RESPONSE)


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
async def test_the_response_has_the_media_type_of_the_accept_header(
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
async def test_an_invalid_operation_returns_an_error_code_and_no_data(
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


async def test_a_null_variable_for_a_required_argument_is_a_user_error(
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
async def test_an_invalid_body_is_refused_with_the_expected_form(
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
async def test_an_invalid_url_is_refused_with_the_expected_form(
    gateway: GatewayClient, url: str, status: int
) -> None:
    response = await gateway.client.get(url, headers=PREFLIGHTED)

    assert response.status_code == status
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "BAD_REQUEST"
    assert "expected" in error["message"]


@pytest.mark.parametrize(
    "url", ["/graphql?query={__typename}&operationName=&variables=&onError=&extensions=&other=%41"]
)
async def test_empty_and_unknown_url_parameters_are_ignored(
    gateway: GatewayClient, url: str
) -> None:
    response = await gateway.client.get(url, headers=PREFLIGHTED)

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
async def test_an_unsupported_method_or_media_type_is_refused_with_the_supported_one(
    gateway: GatewayClient, method: str, headers: dict[str, str], status: int, hint: str
) -> None:
    response = await gateway.client.request(
        method, "/graphql", content=b'{"query": "{ __typename }"}', headers=headers
    )

    assert response.status_code == status
    assert hint in response.json()["errors"][0]["message"]
    assert response.headers.get("allow") == ("GET, POST" if status == 405 else None)


async def test_a_persisted_query_returns_not_supported_by_default(
    gateway: GatewayClient,
) -> None:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}

    post = await gateway.client.post("/graphql", json={"extensions": extensions})
    get = await gateway.client.get(
        "/graphql", params={"extensions": orjson.dumps(extensions).decode()}, headers=PREFLIGHTED
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


async def test_a_browser_gets_the_page_unless_its_request_has_a_query(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

    asked = browser | PREFLIGHTED
    async with open_gateway(settings_for_fakes(graphiql=True)) as gateway:
        page = await gateway.client.get("/graphql", headers=browser)
        answer = await gateway.client.get("/graphql", params={"query": QUERY}, headers=asked)
        home = await gateway.client.get("/", headers=browser)

    assert (page.status_code, content_type(page)) == (200, "text/html")
    assert answer.json() == RESPONSE
    assert home.headers["location"] == "graphql"


async def test_graphiql_is_off_by_default(gateway: GatewayClient) -> None:
    response = await gateway.client.get("/graphql", headers={"Accept": "text/html"})

    assert response.status_code == 406


async def test_introspection_returns_the_schema_if_it_is_enabled(open_gateway: OpenGateway) -> None:
    query = '{ __type(name: "User") { fields { name description } } }'
    async with open_gateway(settings_for_fakes(introspection=True)) as gateway:
        reply = await gateway.query(query)

    fields = {field["name"]: field["description"] for field in reply.data["__type"]["fields"]}
    assert {"id", "username", "invoices", "events"} <= fields.keys()
    assert all(fields.values())


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
@pytest.mark.parametrize("kind", ["mutation", "subscription"])
async def test_a_get_accepts_queries_only(gateway: GatewayClient, kind: str, accept: str) -> None:
    response = await gateway.client.get(
        "/graphql",
        params={
            "query": f"query A {{ __typename }} {kind} B {{ __typename }}",
            "operationName": "B",
        },
        headers={"Accept": accept, **PREFLIGHTED},
    )

    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert f"this is a {kind}" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("accept", "on", "status"),
    [(GRAPHQL_JSON, True, 294), (GRAPHQL_JSON, False, 200), (JSON, True, 200)],
)
async def test_a_partial_response_has_its_own_status_if_configured(
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


async def test_an_error_response_has_the_media_type_of_the_accept_header(
    gateway: GatewayClient,
) -> None:
    response = await gateway.client.post(
        "/graphql",
        content=b"{",
        headers={"Accept": GRAPHQL_JSON, "Content-Type": "application/json"},
    )

    assert (response.status_code, content_type(response)) == (400, GRAPHQL_JSON)


async def test_responses_are_not_stored_by_default(gateway: GatewayClient) -> None:
    good = await gateway.client.post("/graphql", json={"query": QUERY})
    bad = await gateway.client.post("/graphql", json={})

    assert good.headers["cache-control"] == bad.headers["cache-control"] == "no-store"


@settings(
    max_examples=examples(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
async def test_no_body_causes_a_server_error(gateway: GatewayClient, body: bytes) -> None:
    response = await gateway.client.post(
        "/graphql", content=body, headers={"Content-Type": "application/json"}
    )

    assert response.status_code < 500
    assert response.json()["errors"]


async def test_an_explained_request_returns_its_plan_without_a_call(
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


async def test_an_invalid_operation_is_refused_and_not_explained(
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
async def test_a_request_is_executed_if_explain_is_not_allowed_or_not_requested(
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

    assert response.json() == RESPONSE
    assert services.calls["profile"] == 1
