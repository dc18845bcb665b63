"""Tokens that the gateway gets from an authorization server, over real connections."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
import structlog

from app.errors import Code, SourceFailure
from app.resilience.clock import Deadline
from app.sources.base import RequestContext
from tests.clock import ManualClock
from tests.fakes.http_server import Answer, hanging, saying, writing
from tests.fakes.raw_server import RawConnection, RawServer, answered
from tests.sources.login import TOKEN, Login, until
from tests.sources.test_client import OpenClient, asking

SECRET = "canary-client secret+/"


@asynccontextmanager
async def opened(
    login: Login,
    clock: ManualClock | None = None,
    *,
    connections: int = 10,
    **auth: object,
) -> AsyncGenerator[OpenClient]:
    """Open the client of a service that needs tokens."""
    settings = {
        "kind": "client_credentials",
        "token_url": f"{login.base_url}/token",
        "client_id": "gate way",
        "client_secret": SECRET,
        **auth,
    }
    async with asking(
        login.base_url,
        clock=clock or ManualClock(),
        auth=settings,
        max_connections=connections,
    ) as asked:
        yield asked
    for secret in (SECRET, TOKEN):
        assert secret not in asked.log


async def failure(asked: OpenClient, context: RequestContext | None = None) -> SourceFailure:
    """Send a GET that has to fail."""
    answer = await asked.get() if context is None else await asked.get(context=context)
    assert isinstance(answer, SourceFailure)
    return answer


def told(asked: OpenClient) -> Sequence[Mapping[str, Any]]:
    """List the log lines of requests for tokens."""
    return [event for event in asked.events if event["event"] == "source.token"]


async def until_told(asked: OpenClient, times: int) -> None:
    """Wait until the log has ``times`` lines of requests for tokens."""
    await until(lambda: len(told(asked)) == times)


async def test_a_token_is_requested_with_the_client_secret_and_sent_to_the_service() -> None:
    async with Login().listening() as login, opened(login) as asked:
        assert await asked.get() == "[1]"

    [request] = login.asked
    assert request.method == "POST"
    assert parse_qsl(request.body.decode()) == [("grant_type", "client_credentials")]
    assert request.header("content-type") == ["application/x-www-form-urlencoded"]
    assert request.header("host") == [login.base_url.removeprefix("http://")]
    credentials = b"gate+way:canary-client+secret%2B%2F"  # encoded first: RFC 6749, section 2.3.1
    assert request.header("authorization") == [f"Basic {b64encode(credentials).decode()}"]
    [sent] = [seen for seen in login.requests if seen.path == "/users"]
    assert sent.header("authorization") == [f"Bearer {TOKEN}-1"]


@pytest.mark.parametrize("end", [RawConnection.close, RawConnection.reset])
async def test_a_token_request_on_a_closed_idle_connection_is_sent_again(
    end: Callable[[RawConnection], None],
) -> None:
    def behave(peer: RawConnection) -> None:
        if len(peer.heads) == 3 and peer.target == "/token":
            end(peer)
        elif peer.target == "/token":
            token = {"access_token": "a", "token_type": "Bearer", "expires_in": 0}
            peer.send(answered(orjson.dumps(token)))
        else:
            peer.send(answered(b"[1]"))

    async with RawServer(behave).listening() as upstream:
        auth = {
            "kind": "client_credentials",
            "token_url": f"{upstream.base_url}/token",
            "client_id": "gateway",
            "client_secret": SECRET,
        }
        async with asking(upstream.base_url, auth=auth) as asked:
            for _ in range(3):
                assert await asked.get() == "[1]"

    assert [peer.targets for peer in upstream.peers] == [
        ["/token", "/users", "/token"],
        ["/token", "/users", "/token"],
        ["/token", "/users"],
    ]


async def test_the_client_secret_can_be_sent_in_the_body_with_scope_and_audience() -> None:
    async with (
        Login().listening() as login,
        opened(login, client_auth="post", scope="users:read a", audience="https://users/") as asked,
    ):
        assert await asked.get() == "[1]"

    [request] = login.asked
    assert not request.header("authorization")
    assert dict(parse_qsl(request.body.decode())) == {
        "grant_type": "client_credentials",
        "scope": "users:read a",
        "audience": "https://users/",
        "client_id": "gate way",
        "client_secret": SECRET,
    }


@pytest.mark.parametrize("expires_in", [3600, "3600", 3600.5, None])
async def test_a_token_is_cached_for_all_calls(expires_in: object) -> None:
    async with Login().listening() as login, opened(login) as asked:
        login.expires_in = expires_in
        for _ in range(3):
            assert await asked.get() == "[1]"

    assert login.tokens == ["1", "1", "1"]
    assert login.given == 1


async def test_simultaneous_calls_share_one_token_request() -> None:
    async with Login().listening() as login, opened(login) as asked:
        answers = await asyncio.gather(*[asked.get() for _ in range(20)])

    assert answers == ["[1]"] * 20
    assert len(login.asked) == 1


@pytest.mark.parametrize(("expires_in", "begins"), [(3600, 3540), (100, 90)])
async def test_a_token_is_renewed_before_its_end_while_calls_use_the_old_one(
    expires_in: int, begins: float
) -> None:
    clock = ManualClock()
    async with Login().listening() as login, opened(login, clock) as asked:
        login.expires_in = expires_in
        await asked.get()
        clock.advance(begins - 0.1)
        await asked.get()
        assert len(login.asked) == 1

        login.may_give.clear()
        clock.advance(0.2)
        assert await asked.get() == "[1]"
        assert await asked.get() == "[1]"
        await until(lambda: len(login.asked) == 2)
        login.may_give.set()
        await until(lambda: len(told(asked)) == 2)
        await asked.get()

    assert login.tokens == ["1", "1", "1", "1", "2"]
    assert len(login.asked) == 2


async def test_an_expired_token_is_not_sent() -> None:
    clock = ManualClock()
    async with Login().listening() as login, opened(login, clock) as asked:
        await asked.get()
        clock.advance(3600)
        await asked.get()

    assert login.tokens == ["1", "2"]


async def test_a_token_that_expires_at_once_is_used_by_the_calls_that_wait_for_it() -> None:
    async with Login().listening() as login, opened(login) as asked:
        login.expires_in = 0
        assert await asked.get() == "[1]"
        assert await asked.get() == "[1]"

    assert login.tokens == ["1", "2"]


async def test_an_old_token_is_used_until_its_end_if_its_renewal_fails() -> None:
    clock = ManualClock()
    async with Login().listening() as login, opened(login, clock) as asked:
        await asked.get()
        login.instead = saying(b"", "503 Down")
        for seconds in (1000, 2000, 550):
            clock.advance(seconds)
            assert await asked.get() == "[1]"
        await until(lambda: len(told(asked)) == 2)
        assert await asked.get() == "[1]"  # within a second: no new request for a token
        assert len(login.asked) == 2
        clock.advance(50)
        assert (await failure(asked)).code is Code.SOURCE_UNAVAILABLE

    assert set(login.tokens) == {"1"}


async def test_a_refused_token_is_replaced_and_the_call_is_sent_again() -> None:
    clock = ManualClock()
    async with Login().listening() as login, opened(login, clock) as asked:
        await asked.get()
        clock.advance(10)
        login.taken = {f"{TOKEN}-2"}
        assert await asked.get() == "[1]"
        trace = asked.traces[-1]
        assert await asked.get() == "[1]"

    assert login.tokens == ["1", "1", "2", "2"]
    assert (trace.attempts, trace.code, trace.circuit) == (1, None, "closed")
    fetched = [event for event in asked.events if event["event"] == "source.fetch"]
    assert [event["status"] for event in fetched] == [200, 401, 200, 200]


async def test_a_call_with_a_refused_token_is_sent_again_only_once() -> None:
    clock = ManualClock()
    async with Login().listening() as login, opened(login, clock) as asked:
        await asked.get()
        clock.advance(10)
        login.taken = set()
        answer = await failure(asked)

    assert (answer.code, answer.detail) == (Code.SOURCE_REJECTED, "status 401")
    assert login.tokens == ["1", "1", "2"]


async def test_calls_that_are_refused_together_share_the_new_token() -> None:
    clock = ManualClock()
    async with Login().listening() as login, opened(login, clock) as asked:
        await asked.get()
        clock.advance(10)
        login.taken = {f"{TOKEN}-2"}
        assert await asyncio.gather(*[asked.get() for _ in range(10)]) == ["[1]"] * 10

    assert login.given == 2


async def test_a_call_refused_with_an_old_token_uses_the_newer_token() -> None:
    clock = ManualClock()
    late = asyncio.Event()
    async with Login().listening() as login, opened(login, clock) as asked:
        await asked.get()
        clock.advance(10)
        login.taken = {f"{TOKEN}-2"}
        login.delayed = late
        slow = asyncio.create_task(asked.get("/late"))  # with the first token
        await until(lambda: login.tokens == ["1", "1"])
        assert await asked.get() == "[1]"  # is refused, and gets the second token
        late.set()
        assert await slow == "[1]"

    assert login.given == 2
    assert login.tokens == ["1", "1", "1", "2", "2"]


async def test_a_token_renewed_in_background_replaces_the_old_one() -> None:
    clock = ManualClock()
    async with Login().listening() as login, opened(login, clock) as asked:
        login.expires_in = 100
        for _ in range(3):
            await asked.get()
            clock.advance(91)
            known = len(told(asked))
            await asked.get()
            await until_told(asked, known + 1)

        await asked.get()

    assert login.tokens == ["1", "1", "2", "2", "3", "3", "4"]


async def test_the_lifetime_of_a_token_begins_with_its_request() -> None:
    clock = ManualClock()
    async with Login().listening() as login, opened(login, clock) as asked:
        login.expires_in = 10
        login.may_give.clear()
        context = asyncio.create_task(asked.get())
        await until(lambda: len(login.asked) == 1)
        clock.advance(1.5)
        login.may_give.set()
        await context
        clock.advance(8.5)
        await asked.get()

    assert login.tokens == ["1", "2"]


async def test_each_response_of_the_authorization_server_is_closed() -> None:
    answers = [
        saying(b"", "503 Down"),
        saying(b"{}"),
        saying(b"x" * 70_000),
        saying(b"<html>", headers={"Content-Type": "text/html"}),
        saying(b"{}", headers={"Content-Encoding": "br"}),
        saying(b"x", headers={"Content-Encoding": "gzip"}),
        saying(b"", "302 There", {"Location": "/"}),
        writing(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
        None,
    ]
    clock = ManualClock()
    async with Login().listening() as login, opened(login, clock, connections=1) as asked:
        for answer in answers:
            login.instead = answer
            clock.advance(4000)
            # A connection that is not returned to the pool would let this wait for ever.
            await asyncio.wait_for(asked.get(), 5)

        assert await asked.get() == "[1]"


async def test_a_new_token_is_not_renewed_when_a_service_refuses_it() -> None:
    async with Login().listening() as login, opened(login) as asked:
        login.taken = set()
        for _ in range(3):
            assert (await failure(asked)).code is Code.SOURCE_REJECTED

    assert login.given == 1
    assert login.tokens == ["1", "1", "1"]


def giving(**said: object) -> Answer:
    """Make a response of the authorization server with other values."""
    token = {"access_token": TOKEN, "token_type": "Bearer", **said}
    pairs = ", ".join(f'"{name}": {value}' for name, value in _json(token).items())
    return saying(f"{{{pairs}}}".encode())


def _json(values: Mapping[str, object]) -> Mapping[str, str]:
    """Write values as JSON."""
    return {name: "null" if one is None else f'"{one}"' for name, one in values.items()}


@pytest.mark.parametrize(
    ("instead", "code", "detail"),
    [
        (saying(b'{"error": "x"}', "400 Bad"), Code.SOURCE_REJECTED, "status 400"),
        (saying(b'{"error": "x"}', "401 Who"), Code.SOURCE_REJECTED, "status 401"),
        (saying(b"", "429 Slow"), Code.SOURCE_OVERLOADED, "status 429"),
        (saying(b"", "503 Down"), Code.SOURCE_UNAVAILABLE, "status 503"),
        (saying(b"", "302 There", {"Location": "/"}), Code.SOURCE_MALFORMED, "status 302"),
        (saying(b"<html>"), Code.SOURCE_MALFORMED, "Invalid JSON"),
        (saying(b"[]"), Code.SOURCE_MALFORMED, "all of it: Input should be an object"),
        (saying(b"{}"), Code.SOURCE_MALFORMED, "access_token: Field required"),
        (giving(access_token=None), Code.SOURCE_MALFORMED, "access_token: Input should be"),
        (giving(access_token="a b"), Code.SOURCE_MALFORMED, "expected a bearer token"),
        (giving(access_token=""), Code.SOURCE_MALFORMED, "expected a bearer token"),
        (giving(token_type="mac"), Code.SOURCE_MALFORMED, "expected a bearer token"),
        (giving(expires_in="-1"), Code.SOURCE_MALFORMED, "expires_in: Input should be greater"),
        (giving(scope="x" * 70_000), Code.SOURCE_MALFORMED, "longer than 65536 bytes"),
        (saying(b"a=b", headers={"Content-Type": "text/html"}), Code.SOURCE_MALFORMED, "not JSON"),
        (writing(b""), Code.SOURCE_UNAVAILABLE, "ClientConnectionError"),
    ],
)
async def test_an_error_at_the_token_endpoint_is_a_failure_with_its_reason(
    instead: Answer, code: Code, detail: str
) -> None:
    async with Login().listening() as login, opened(login) as asked:
        login.instead = instead
        answer = await failure(asked)

    assert (answer.source, answer.code) == ("profile", code)
    assert answer.detail.startswith("token endpoint: ")
    assert detail in answer.detail
    assert not answer.divisible
    assert not login.tokens
    [event] = told(asked)
    assert (event["outcome"], event["detail"]) == (code.value, answer.detail)


async def test_a_final_token_failure_is_not_retried_within_a_second() -> None:
    clock = ManualClock()
    async with Login().listening() as login, opened(login, clock) as asked:
        login.instead = saying(b"", "401 Who")
        assert (await failure(asked)).code is Code.SOURCE_REJECTED
        assert (await failure(asked)).code is Code.SOURCE_REJECTED
        assert len(login.asked) == 1
        clock.advance(1)
        login.instead = None
        assert await asked.get() == "[1]"


async def test_a_retryable_token_failure_is_retried_at_once() -> None:
    async with Login().listening() as login, opened(login) as asked:
        login.instead = saying(b"", "503 Down")
        assert (await failure(asked)).retryable
        login.instead = None
        assert await asked.get() == "[1]"


async def test_a_token_request_ends_at_its_own_timeout() -> None:
    clock = ManualClock()
    async with Login().listening() as login, opened(login, clock, token_timeout=0.5) as asked:
        login.instead = hanging
        context = asyncio.create_task(failure(asked))
        await until(lambda: len(login.asked) == 1)
        clock.advance(0.5)
        answer = await context

    assert answer.code is Code.SOURCE_TIMEOUT
    assert answer.detail == "token endpoint: no complete answer within the timeout"


async def test_a_caller_that_leaves_does_not_cancel_a_shared_token_request() -> None:
    clock = ManualClock()
    async with Login().listening() as login, opened(login, clock) as asked:
        login.may_give.clear()
        hurried = RequestContext("hurried", deadline=Deadline(clock.seconds + 0.2, clock))
        late = asyncio.create_task(failure(asked, hurried))
        gone = asyncio.create_task(asked.get())
        patient = asyncio.create_task(asked.get())
        await until(lambda: len(login.asked) == 1)
        clock.advance(0.2)
        gone.cancel()
        answer = await late
        login.may_give.set()
        assert await patient == "[1]"

    assert answer.code is Code.SOURCE_TIMEOUT
    assert answer.detail == "token endpoint: no time was left to wait for a token"
    assert len(login.asked) == 1


async def test_closing_the_client_cancels_its_token_request() -> None:
    async with Login().listening() as login:
        async with opened(login) as asked:
            login.may_give.clear()
            context = asyncio.create_task(failure(asked))
            await until(lambda: len(login.asked) == 1)
        answer = await context

    assert (answer.code, answer.detail) == (
        Code.SOURCE_UNAVAILABLE,
        "token endpoint: the gateway stops",
    )
    assert not told(asked)  # it was cancelled, and has not failed


async def test_the_log_line_of_a_token_has_no_request_id() -> None:
    async with Login().listening() as login, opened(login) as asked:
        with structlog.contextvars.bound_contextvars(request_id="of-one-request"):
            await asked.get()

    [event] = told(asked)
    assert event["outcome"] == "ok"
    assert "request_id" not in event
