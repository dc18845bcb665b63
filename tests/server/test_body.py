"""Bodies of requests: types, encodings and length."""

import io
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope

from app.errors import RequestError
from app.observability.logs import make_log
from app.server.request import check_type, read_body
from tests.apps import make_app
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id
from tests.properties import examples
from tests.wire import served

QUERY = b'{"query": "{ __typename }"}'


class BodyStream:
    """A body that arrives in pieces.

    Attributes:
        read: The number of pieces that were read.
    """

    def __init__(self, *pieces: bytes, whole: bool = True) -> None:
        self.read = 0
        self._pieces = pieces
        self._whole = whole

    async def receive(self) -> Message:
        """Return the next piece."""
        if self.read == len(self._pieces):
            return {"type": "http.disconnect"}
        self.read += 1
        more = self.read < len(self._pieces) or not self._whole
        return {"type": "http.request", "body": self._pieces[self.read - 1], "more_body": more}


def scope(*headers: tuple[bytes, bytes]) -> Scope:
    """Make the head of a request with a JSON body."""
    return {"type": "http", "headers": [(b"content-type", b"application/json"), *headers]}


@given(pieces=st.lists(st.binary(max_size=20), min_size=1, max_size=8))
async def test_a_body_within_the_limit_is_read_whole_for_any_pieces(
    pieces: Sequence[bytes],
) -> None:
    body = b"".join(pieces)

    assert await read_body(scope(), BodyStream(*pieces).receive, limit=len(body)) == body


@given(pieces=st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=8))
async def test_a_body_over_the_limit_is_refused_for_any_pieces(pieces: Sequence[bytes]) -> None:
    limit = len(b"".join(pieces)) - 1

    with pytest.raises(RequestError) as caught:
        await read_body(scope(), BodyStream(*pieces).receive, limit=limit)

    assert caught.value.status == 413
    assert str(limit) in caught.value.message


async def test_pieces_after_the_limit_are_not_read() -> None:
    wire = BodyStream(*[b"x" * 10] * 100)

    with pytest.raises(RequestError):
        await read_body(scope(), wire.receive, limit=25)

    assert wire.read == 3


async def test_a_body_with_a_content_length_over_the_limit_is_not_read() -> None:
    for length in (b"26", b"9" * 5_000):
        wire = BodyStream(b"x" * 26)
        with pytest.raises(RequestError):
            await read_body(scope((b"content-length", length)), wire.receive, limit=25)
        assert wire.read == 0


async def test_an_incomplete_body_is_a_disconnect() -> None:
    for pieces in ((), (b"{",)):
        with pytest.raises(ClientDisconnect):
            await read_body(scope(), BodyStream(*pieces, whole=False).receive, limit=25)


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/json",
        b"Application/JSON",
        b"application/json;charset=utf-8",
        b'application/json ; Charset="UTF-8"',
        b"application/json; charset=utf8; profile=x",
        b"application/json;",
    ],
)
def test_json_in_utf_8_is_read(content_type: bytes) -> None:
    check_type(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        b"",
        b"text/plain",
        b"text/plain; application/json",
        b"text/plain, application/json",
        b"application/json, text/plain",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=application/json",
        b"application/graphql",
        b"application/graphql+json",
        b"application/jsonx",
        b"application/json; charset=utf-16",
        b"application/json; charset=iso-8859-1",
        b"application/json; charset=utf-7",
        b"application/json; charset=utf-8; charset=utf-7",
        b"application/json; charset=idna",
        b"application/json; charset=",
        b"application/json; charset=\xff\xfe",
    ],
)
def test_other_content_types_are_refused_with_the_supported_one(content_type: bytes | None) -> None:
    with pytest.raises(RequestError) as caught:
        check_type(content_type)

    assert caught.value.status == 415
    assert "expected" in caught.value.message
    assert "application/json" in caught.value.message


@given(content_type=st.binary(max_size=60))
def test_any_content_type_is_accepted_or_refused_with_415(content_type: bytes) -> None:
    try:
        check_type(content_type)
    except RequestError as error:
        assert error.status == 415  # noqa: PT017 # either is right


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "identity, gzip", "GZIP", "x"])
async def test_a_compressed_body_is_refused(gateway: GatewayClient, coding: str) -> None:
    response = await gateway.client.post(
        "/graphql",
        content=QUERY,
        headers={"Content-Type": "application/json", "Content-Encoding": coding},
    )

    assert response.status_code == 415
    assert response.headers["accept-encoding"] == "identity"
    assert "without Content-Encoding" in response.json()["errors"][0]["message"]


async def test_a_body_with_the_encoding_identity_is_read(gateway: GatewayClient) -> None:
    response = await gateway.client.post(
        "/graphql",
        content=QUERY,
        headers={"Content-Type": "application/json", "Content-Encoding": "identity"},
    )

    assert response.json() == {"data": {"__typename": "Query"}}


async def test_the_limit_of_a_body_is_a_setting(open_gateway: OpenGateway) -> None:
    at = QUERY + b" " * (2_048 - len(QUERY))
    json = {"Content-Type": "application/json"}

    async def chunked(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    async with open_gateway(settings_for_fakes(max_body_bytes=2_048)) as gateway:
        post = gateway.client.post
        within = await post("/graphql", content=at, headers=json)
        over = await post("/graphql", content=at + b" ", headers=json)
        over_in_chunks = await post("/graphql", content=chunked(at + b" "), headers=json)

    assert within.json() == {"data": {"__typename": "Query"}}
    for response in (over, over_in_chunks):
        assert response.status_code == 413
        assert "2048 bytes" in response.json()["errors"][0]["message"]


async def test_a_too_long_body_is_refused_before_its_end(
    services: FakeServices,
) -> None:
    chosen = settings_for_fakes(max_body_bytes=2_048)
    log = make_log(chosen.log, stream=io.StringIO())
    app = make_app(chosen, log, transports=services.transport)
    head = b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
    head += b"Connection: close\r\n"
    async with served(app) as address:
        announced = await address.exchange(head + b"Content-Length: 9000000\r\n\r\n{")
        endless = await address.exchange(
            head
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + b"400\r\n"
            + b" " * 1_024
            + b"\r\n400\r\n"
            + b" " * 1_024
            + b"\r\n1\r\n \r\n"
        )

    for answer in (announced, endless):
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"2048 bytes" in answer


async def test_a_partial_response_has_its_status_on_the_wire(services: FakeServices) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)
    chosen = settings_for_fakes(partial_status=True)
    log = make_log(chosen.log, stream=io.StringIO())
    app = make_app(chosen, log, transports=services.transport)
    async with served(app) as address, httpx.AsyncClient() as client:
        response = await client.post(
            address.url,
            json={"query": f'{{ user(id: "{user_id(1)}") {{ plan }} }}'},
            headers={"Accept": "application/graphql-response+json"},
        )

    assert response.status_code == 294
    assert response.json()["errors"][0]["extensions"]["code"] == "SOURCE_UNAVAILABLE"


@pytest.mark.parametrize("value", [b"1" * 4_000, b"-" + b"9" * 4_000, b"1e999", b"0.1e-9999"])
@pytest.mark.parametrize(
    "document",
    [
        b"query($a: ID!) { user(id: $a) { plan } }",
        b"query($a: ID!) { user(id: $a) { plan ... on User { events(first: 1) { id } } } }",
        b"query($a: [ID!]!) { users(ids: $a) { plan } }",
        b"query($a: Int) { user(id: 1) { events(first: $a) { id } } }",
        b"query($a: Boolean!) { __typename @skip(if: $a) }",
        b"query($a: Float) { __typename }",
    ],
)
async def test_a_huge_number_in_variables_is_a_user_error(
    gateway: GatewayClient, document: bytes, value: bytes
) -> None:
    response = await gateway.client.post(
        "/graphql",
        content=b'{"query": "%s", "variables": {"a": %s}}' % (document, value),
        headers={"Content-Type": "application/json"},
    )

    assert response.status_code < 500
    assert response.json()["errors"]
    assert not gateway.events("graphql.bug")


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
MEMBERS = st.sampled_from(
    ["query", "variables", "operationName", "extensions", "onError", "documentId", "doc_id"]
)
TEXTS = st.sampled_from(
    ["{ __typename }", "query($a: ID!) { user(id: $a) { plan } }", "{", "mutation { a }", "\x00"]
)


@settings(
    max_examples=examples(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    body=st.dictionaries(MEMBERS | st.text(max_size=5), JSON_VALUES | TEXTS, max_size=6)
    | st.lists(st.dictionaries(MEMBERS, JSON_VALUES | TEXTS, max_size=4), max_size=4)
)
async def test_no_json_body_causes_a_server_error(gateway: GatewayClient, body: object) -> None:
    response = await gateway.client.post("/graphql", json=body)

    assert response.status_code < 500
    assert response.json().keys() & {"data", "errors"}
    assert not gateway.events("graphql.bug")
