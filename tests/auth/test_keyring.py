"""The keys of an issuer are cached and renewed."""

import asyncio

import httpx
import pytest

from tests.auth.conftest import ask
from tests.clock import ManualClock
from tests.conftest import OpenGateway
from tests.fakes import FakeServices
from tests.issuer import FakeIssuer, key_of, knowing, signed


def unavailable(response: httpx.Response) -> int:
    """Check that authentication is unavailable, and return the seconds until a retry."""
    [error] = response.json()["errors"]
    assert response.status_code == 503
    assert error["extensions"] == {"code": "AUTHENTICATION_UNAVAILABLE"}
    assert "www-authenticate" not in response.headers
    wait = int(response.headers["retry-after"])
    assert error["message"].endswith(f"try again in {wait} s")
    return wait


def forged(issuer: FakeIssuer, name: str) -> str:
    """Sign a token with a key that the issuer does not have."""
    return signed(issuer.claims(), key_of("ES256", 99), kid=name)


async def test_the_keys_are_fetched_once_at_the_start_for_all_requests(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        await clock.settle()
        fetched = list(issuer.asked)
        responses = await asyncio.gather(*(ask(gateway, issuer.token()) for _ in range(20)))

        [line] = gateway.events("auth.keys")

    assert fetched == ["/.well-known/openid-configuration", "/keys"] == issuer.asked
    assert {one.status_code for one in responses} == {200}
    assert line["outcome"] == "ok"
    assert line["keys"] == 1
    assert "duration_ms" in line


async def test_a_new_key_is_fetched_once_for_all_waiting_requests(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        old = issuer.token()
        await ask(gateway, old)
        clock.advance(10)
        issuer.keys = {"second": key_of("ES256", 2)}
        new = issuer.token("second")
        responses = await asyncio.gather(*(ask(gateway, new) for _ in range(30)))
        retired = await ask(gateway, old)

    assert {one.status_code for one in responses} == {200}
    assert issuer.fetches == 2
    assert retired.status_code == 401


async def test_many_tokens_with_unknown_keys_cause_one_fetch_per_interval(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        await ask(gateway, issuer.token())
        soon = [await ask(gateway, forged(issuer, f"x{number}")) for number in range(50)]
        at_once = issuer.fetches
        clock.advance(10)
        later = await asyncio.gather(
            *(ask(gateway, forged(issuer, f"y{one}")) for one in range(50))
        )
        good = await ask(gateway, issuer.token())

    assert at_once == 1
    assert issuer.fetches == 2
    assert {one.status_code for one in (*soon, *later)} == {401}
    assert good.status_code == 200


async def test_old_keys_are_used_while_they_are_renewed_in_the_background(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    release = asyncio.Event()

    async def hold(request: httpx.Request) -> None:
        if request.url.path == "/keys" and issuer.fetches:
            await release.wait()

    services.before = hold
    async with open_gateway(knowing(issuer, services, {"timeout": 60})) as gateway:
        token = issuer.token(exp=10**9)
        await ask(gateway, token)
        clock.advance(599)
        await ask(gateway, token)
        young = len(issuer.asked)
        clock.advance(1)
        responses = [await ask(gateway, token) for _ in range(5)]
        await clock.settle()
        release.set()
        await clock.settle()

    assert young == 2
    assert {one.status_code for one in responses} == {200}
    assert issuer.fetches == 2


async def test_keys_are_used_for_at_most_a_day_while_the_issuer_is_down(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        token = issuer.token(exp=10**9)
        await ask(gateway, token)
        issuer.down = True
        clock.advance(86_399)
        last = await ask(gateway, token)
        await clock.settle()
        clock.advance(1)
        over = await ask(gateway, token)
        clock.advance(10)
        issuer.down = False
        back = await ask(gateway, token)

        outcomes = [line["outcome"] for line in gateway.events("auth.keys")]

    assert last.status_code == 200
    assert unavailable(over) == 9
    assert back.status_code == 200
    assert outcomes == ["ok", "SOURCE_UNAVAILABLE", "ok"]


async def test_a_token_with_a_new_key_gets_503_while_the_issuer_is_down(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        await ask(gateway, issuer.token())
        clock.advance(10)
        issuer.keys["second"] = key_of("ES256", 2)
        issuer.down = True
        new = await ask(gateway, issuer.token("second"))
        known = await ask(gateway, issuer.token())

    assert unavailable(new) == 10
    assert known.status_code == 200


async def test_a_token_with_an_unknown_key_gets_401_after_the_issuer_is_back(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        await ask(gateway, issuer.token())
        clock.advance(10)
        issuer.down = True
        down = await ask(gateway, forged(issuer, "x"))
        clock.advance(10)
        issuer.down = False
        back = [await ask(gateway, forged(issuer, name)) for name in ("x", "y")]

    assert unavailable(down) == 10
    assert [one.status_code for one in back] == [401, 401]
    assert issuer.fetches == 2


async def test_a_fetch_of_keys_is_logged_without_a_request_id(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        await ask(gateway, issuer.token())
        clock.advance(10)
        await ask(gateway, forged(issuer, "x"))  # waits for the keys
        clock.advance(600)
        await ask(gateway, issuer.token())  # renews the keys in the background
        await clock.settle()

        lines = gateway.events("auth.keys")

    assert len(lines) == 3
    assert not any("request_id" in line for line in lines)


@pytest.mark.parametrize("state", ["hangs", "down", "hangs for a request"])
async def test_no_task_is_left_after_the_gateway_has_stopped(
    open_gateway: OpenGateway,
    services: FakeServices,
    issuer: FakeIssuer,
    clock: ManualClock,
    state: str,
) -> None:
    issuer.down = state == "down"

    async def hold(request: httpx.Request) -> None:
        if request.url.path == "/keys" and (state == "hangs" or issuer.fetches):
            await asyncio.Event().wait()

    services.before = hold
    before = asyncio.all_tasks()
    async with open_gateway(knowing(issuer, services)) as gateway:
        await clock.settle()
        requests = [asyncio.create_task(ask(gateway, issuer.token()))]
        await clock.settle()
        clock.advance(10)
        if state == "hangs for a request":
            requests.append(asyncio.create_task(ask(gateway, forged(issuer, "x"))))
        await clock.settle()
    await asyncio.wait(requests)

    assert asyncio.all_tasks() == before
    assert requests[-1].result().status_code == 503


async def test_an_issuer_that_is_down_at_the_start_is_retried_until_it_responds(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    issuer.down = True

    async with open_gateway(knowing(issuer, services)) as gateway:
        await clock.settle()
        before = await gateway.client.get("/readyz")
        refused = [await ask(gateway, issuer.token()) for _ in range(10)]
        asked = len(issuer.asked)
        issuer.down = False
        clock.advance(10)
        await clock.settle()
        after = await gateway.client.get("/readyz")
        good = await ask(gateway, issuer.token())
        alive = await gateway.client.get("/healthz")

    assert (before.status_code, before.json()["status"]) == (503, "starting")
    assert {unavailable(one) for one in refused} == {10}
    assert asked == 1
    assert (after.status_code, after.json()["status"]) == (200, "ready")
    assert (good.status_code, alive.status_code) == (200, 200)
    assert not services.calls["billing"]


async def test_the_gateway_stays_ready_when_the_issuer_goes_down_later(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    async with open_gateway(knowing(issuer, services)) as gateway:
        await ask(gateway, issuer.token())
        issuer.down = True
        clock.advance(700)
        await ask(gateway, issuer.token())
        await clock.settle()
        ready = await gateway.client.get("/readyz")

    assert ready.status_code == 200


async def test_a_fetch_of_keys_ends_at_its_timeout(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    never = asyncio.Event()

    async def hold(request: httpx.Request) -> None:
        if request.url.path == "/keys":
            await never.wait()

    services.before = hold
    async with open_gateway(knowing(issuer, services)) as gateway:
        request = asyncio.create_task(ask(gateway, issuer.token()))
        await clock.settle()
        clock.advance(2)
        response = await request

        [line] = gateway.events("auth.keys")

    assert unavailable(response) == 10
    assert line["outcome"] == "SOURCE_TIMEOUT"


async def test_a_cancelled_request_does_not_cancel_the_fetch_for_other_requests(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    release = asyncio.Event()

    async def hold(request: httpx.Request) -> None:
        if request.url.path == "/keys":
            await release.wait()

    services.before = hold
    async with open_gateway(knowing(issuer, services)) as gateway:
        cancelled = asyncio.create_task(ask(gateway, issuer.token()))
        waiting = asyncio.create_task(ask(gateway, issuer.token()))
        await clock.settle()
        cancelled.cancel()
        await clock.settle()
        release.set()
        response = await waiting

    assert cancelled.cancelled()
    assert response.status_code == 200
    assert issuer.fetches == 1


async def test_the_gateway_stops_during_a_fetch_of_keys(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer, clock: ManualClock
) -> None:
    never = asyncio.Event()

    async def hold(_: httpx.Request) -> None:
        await never.wait()

    services.before = hold
    async with open_gateway(knowing(issuer, services)):
        await clock.settle()

    assert services.closed == len(services.opened)
