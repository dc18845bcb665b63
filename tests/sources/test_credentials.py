"""The credentials of the gateway in each request, over real connections."""

from base64 import b64encode
from urllib.parse import parse_qsl, quote, urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings.credentials import ApiKeyAuth
from app.sources.base import UserId
from app.sources.credentials import query_of, with_query
from app.sources.records import PROFILE
from app.sources.rest import RestSource
from tests.fakes import profile_row
from tests.fakes.http_server import HttpExchange, HttpRequest, saying, serving
from tests.sources.test_client import CALL, asking, asking_for, silent

SECRET = "canary-key%&=?# +/@"
IN_QUERY = {"kind": "api_key", "key": SECRET, "parameter": "api_key"}


async def sent(auth: dict[str, str]) -> tuple[HttpRequest, str]:
    """Send a request; return it as received, and the log."""
    async with (
        serving(saying(b"", "403 Forbidden")) as server,
        asking(server.base_url, auth=auth) as asked,
    ):
        await asked.client.send(asking_for("/users?id=1"), CALL, lambda answer: answer.status)
    [seen] = server.requests
    return seen, asked.log


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"kind": "bearer", "token": "abc"}, "authorization", "Bearer abc"),
        (
            {"kind": "basic", "username": "gateway", "password": "pa:ss wörd"},
            "authorization",
            f"Basic {b64encode('gateway:pa:ss wörd'.encode()).decode()}",
        ),
        ({"kind": "api_key", "key": SECRET, "header": "X-Api-Key"}, "x-api-key", SECRET),
        (
            {"kind": "api_key", "key": SECRET, "header": "Authorization", "prefix": "Token "},
            "authorization",
            f"Token {SECRET}",
        ),
    ],
)
async def test_a_request_has_the_configured_authorization_header(
    auth: dict[str, str], header: str, value: str
) -> None:
    seen, log = await sent(auth)

    assert seen.header(header) == [value]
    assert seen.target == "/users?id=1"
    assert value not in log


async def test_a_request_without_credentials_has_no_authorization_header() -> None:
    seen, _ = await sent({"kind": "none"})

    assert not seen.header("authorization")


async def test_an_api_key_in_the_query_reaches_the_service_but_not_the_log() -> None:
    seen, log = await sent(IN_QUERY)

    assert seen.parameters == [("id", "1"), ("api_key", SECRET)]
    assert "canary" not in log  # however it is written


async def test_a_url_with_the_api_key_is_within_the_limit() -> None:
    auth = {"kind": "api_key", "key": "k" * 100, "parameter": "key"}
    async with (
        serving(saying(b"[]")) as server,
        asking(server.base_url, auth=auth, max_url_bytes=256) as asked,
    ):
        users = [UserId(f"user-{number}") for number in range(30)]
        await RestSource(PROFILE, asked.client, silent()).fetch_many(users, CALL)

    assert max(len(server.base_url + seen.target) for seen in server.requests) <= 256
    asked_for = [
        value for seen in server.requests for name, value in seen.parameters if name == "id"
    ]
    assert sorted(asked_for) == sorted(users)
    assert all(("key", "k" * 100) in seen.parameters for seen in server.requests)


async def test_the_api_key_is_sent_once_if_the_next_page_url_repeats_it() -> None:
    async def answer(exchange: HttpExchange) -> None:
        user, more = ("a", "&page=2") if len(server.requests) == 1 else ("b", None)
        following = None if more is None else server.requests[0].target + more
        body = {"rows": [profile_row(1, id=user)], "next": following}
        await exchange.say(orjson.dumps(body))

    settings = {"rows": ["rows"], "more": {"next_url": ["next"]}}
    async with (
        serving(answer) as server,
        asking(server.base_url, auth=IN_QUERY, answer=settings) as asked,
    ):
        source = RestSource(PROFILE, asked.client, silent())
        answers = (await source.fetch_many([UserId("a"), UserId("b")], CALL)).results

    assert [getattr(one, "id", one) for one in answers] == ["a", "b"]
    assert [seen.parameters.count(("api_key", SECRET)) for seen in server.requests] == [1, 1]
    assert "canary" not in asked.log


@given(
    key=st.from_regex("[!-~]([ -~]*[!-~])?", fullmatch=True),
    users=st.lists(st.text(alphabet="ab&=%+ ", max_size=5), max_size=3),
)
def test_an_api_key_does_not_change_the_rest_of_the_query(key: str, users: list[str]) -> None:
    own = query_of(ApiKeyAuth.model_validate({"kind": "api_key", "key": key, "parameter": "key"}))
    query = urlencode([("id", user) for user in users], quote_via=quote, safe="")

    signed = with_query(f"/users?{query}" if query else "/users", own)

    path, _, after = signed.partition("?")
    assert path == "/users"
    assert parse_qsl(after, keep_blank_values=True) == [
        *[("id", user) for user in users],
        ("key", key),
    ]
    assert with_query(signed, own) == signed
