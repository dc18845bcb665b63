"""The fast route to the endpoint serves the same paths as Starlette's routing."""

import httpx
import pytest
from starlette.types import Message

from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import settings_for_fakes

REQUEST = {"query": "{ __typename }"}
ANSWER = {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    ("root", "path", "status"),
    [
        ("", "/graphql", 200),
        ("/users", "/users/graphql", 200),
        ("/users", "/graphql", 200),
        ("/graphql", "/graphql/graphql", 200),
        ("/graphql", "/graphql", 307),
        ("", "/graphql/", 307),
        ("", "/graphql/more", 404),
        ("", "/GraphQL", 404),
        ("", "//graphql", 404),
    ],
)
async def test_the_endpoint_is_served_below_the_path_of_the_mount(
    gateway: GatewayClient, root: str, path: str, status: int
) -> None:
    transport = httpx.ASGITransport(app=gateway.app, root_path=root)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post(f"http://gateway{path}", json=REQUEST)

    assert response.status_code == status
    if status == 200:
        assert response.json() == ANSWER


async def test_a_websocket_to_the_endpoint_is_closed(gateway: GatewayClient) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": "/graphql",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"gateway")],
        "subprotocols": ["graphql-transport-ws"],
    }
    await gateway.app(scope, receive, send)

    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_a_cross_origin_request_is_answered_with_the_cors_headers(
    open_gateway: OpenGateway,
) -> None:
    origin = "https://app.example.test"
    settings = settings_for_fakes()
    cors = settings.cors.model_copy(update={"origins": (origin,)})
    async with open_gateway(settings.model_copy(update={"cors": cors})) as gateway:
        response = await gateway.client.post("/graphql", json=REQUEST, headers={"Origin": origin})

    assert response.json() == ANSWER
    assert response.headers["access-control-allow-origin"] == origin
