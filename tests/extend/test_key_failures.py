"""A source of a module may return failures of single keys."""

from collections.abc import Mapping
from typing import Any

import pytest

from app.errors import Code
from app.extend.v1 import FailureCode, ReadFailure
from tests.clock import ManualClock
from tests.conftest import OpenGateway
from tests.extend.modules import ModuleFolder, imported
from tests.extend.test_own_sources import LEDGER, ONE, QUERY, THREE, TWO, settings
from tests.fakes import FakeServices
from tests.ways import BOTH, Ways

FAILS = LEDGER.replace(
    "        if self.answer is not None:",
    """        for key in keys:
            self.tries[key] = self.tries.get(key, 0) + 1
        if self.failing:
            return {
                key: self.failing[key][min(self.tries[key], len(self.failing[key])) - 1]
                for key in keys
                if key in self.failing
            }
        if self.answer is not None:""",
).replace("        self.rows = {}\n", "        self.rows, self.failing, self.tries = {}, {}, {}\n")
"""The ledger, with its results of each key at the first attempt, at the second, and so on."""

ROW: Mapping[str, object] = {"points": 3, "level": "high"}


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


def failed(place: int, code: str) -> Mapping[str, str]:
    """Return the expected codes of a user's fields."""
    return {f"users.{place}.points": code, f"users.{place}.rank": code}


def failing(code: FailureCode, **more: Any) -> ReadFailure:  # noqa: ANN401 # any part of a failure
    """Make a failure with a secret detail."""
    return ReadFailure(code, "shard 7 is secret", **more)


@pytest.mark.parametrize("code", FailureCode)
async def test_a_failed_key_fails_only_its_user(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway, code: FailureCode
) -> None:
    services.know(1, 2, 3)
    place = folder.write(FAILS)

    async with open_gateway(settings(place, pacing={"enabled": False})) as gateway:
        ledger = imported(place).LEDGER
        ledger.failing = {ONE: [ROW], TWO: [failing(code)]}
        reply = await gateway.query(QUERY, ids=[ONE, TWO, THREE])
        fetches = [one for one in gateway.events("source.fetch") if one["source"] == "ledger"]

    assert reply.data["users"] == [
        {"username": "user1", "points": 3, "rank": "high:3"},
        {"username": "user2", "points": None, "rank": None},
        {"username": "user3", "points": None, "rank": None},
    ]
    assert reply.codes == failed(1, code.value)
    assert "secret" not in reply.response.text
    retryable = code in {FailureCode.TIMEOUT, FailureCode.UNAVAILABLE, FailureCode.OVERLOADED}
    assert fetches[0]["outcome"] == (code.value if retryable else "ok")
    assert ("1 of 3 keys: shard 7 is secret" in str(fetches[0].get("detail"))) == retryable


def test_the_failure_codes_for_modules_are_those_of_sources() -> None:
    every = {one.value for one in Code if one.value.startswith("SOURCE_")}

    # Only the gateway itself reports an open circuit.
    assert {one.value for one in FailureCode} == every - {"SOURCE_CIRCUIT_OPEN"}


async def test_only_retryable_keys_are_retried(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway, clock: ManualClock
) -> None:
    services.know(1, 2, 3)
    place = folder.write(FAILS)
    async with open_gateway(settings(place, retry={"max_retries": 2})) as gateway:
        ledger = imported(place).LEDGER
        ledger.failing = {
            ONE: [ROW],
            TWO: [failing(FailureCode.TIMEOUT), ROW],
            THREE: [failing(FailureCode.REJECTED), ROW],
        }
        reply = await clock.run(gateway.query(QUERY, ids=[ONE, TWO, THREE]))

    assert ledger.asked == [[ONE, TWO, THREE], [TWO]]
    assert reply.codes == failed(2, "SOURCE_REJECTED")
    assert reply.data["users"][1] == {"username": "user2", "points": 3, "rank": "high:3"}


async def test_a_failure_instead_of_the_rows_is_a_failure_of_all_keys(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2)
    place = folder.write(FAILS)

    async with open_gateway(settings(place, pacing={"enabled": False})) as gateway:
        imported(place).LEDGER.answer = failing(FailureCode.OVERLOADED)
        reply = await gateway.query(QUERY, ids=[ONE, TWO])

    overloaded = "SOURCE_OVERLOADED"
    assert reply.codes == {**failed(0, overloaded), **failed(1, overloaded)}


async def test_an_overloaded_source_is_retried_after_its_retry_after(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway, clock: ManualClock
) -> None:
    services.know(1)
    place = folder.write(FAILS)

    async with open_gateway(settings(place)) as gateway:
        later = failing(FailureCode.OVERLOADED, retry_after=0.2)
        imported(place).LEDGER.failing = {ONE: [later, ROW]}
        before = clock.seconds
        reply = await clock.run(gateway.query(QUERY, ids=[ONE]))

    assert not reply.errors
    assert 0.2 <= clock.seconds - before < 1


async def test_failed_keys_open_the_circuit_only_if_all_keys_fail(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2)
    place = folder.write(FAILS)

    async def codes_of(some: Mapping[str, object]) -> set[str]:
        async with open_gateway(settings(place, breaker={"min_calls": 2})) as gateway:
            imported(place).LEDGER.failing = {key: [one] for key, one in some.items()}
            replies = [await gateway.query(QUERY, ids=[ONE, TWO]) for _ in range(6)]
        return {*replies[-1].codes.values()}

    broken = failing(FailureCode.UNAVAILABLE)
    assert await codes_of({ONE: ROW, TWO: broken}) == {"SOURCE_UNAVAILABLE"}
    assert await codes_of({ONE: broken, TWO: broken}) == {"SOURCE_CIRCUIT_OPEN"}


async def test_a_failed_key_is_not_cached(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2)
    place = folder.write(FAILS)
    cache = {"enabled": True, "ttl": 60}

    async with open_gateway(settings(place, cache=cache)) as gateway:
        ledger = imported(place).LEDGER
        ledger.failing = {ONE: [ROW], TWO: [failing(FailureCode.REJECTED), ROW]}
        first = await gateway.query(QUERY, ids=[ONE, TWO])
        second = await gateway.query(QUERY, ids=[ONE, TWO])

    assert first.codes == failed(1, "SOURCE_REJECTED")
    assert not second.errors
    assert ledger.asked == [[ONE, TWO], [TWO]]


WRONG: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "a text": (("SOURCE_TIMEOUT",), "code of a ReadFailure is 'SOURCE_TIMEOUT': expected a Fail"),
    "no detail": ((FailureCode.TIMEOUT, None), "detail of a ReadFailure is None: expected text"),
    "a negative wait": ((FailureCode.TIMEOUT, "", -1), "retry_after of a ReadFailure is -1: exp"),
    "no number": ((FailureCode.TIMEOUT, "", "1"), "retry_after of a ReadFailure is '1': expected"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_failure_with_invalid_arguments_is_refused_when_it_is_made(kind: str) -> None:
    arguments, expected = WRONG[kind]

    with pytest.raises(TypeError) as caught:
        ReadFailure(*arguments)

    assert str(caught.value).startswith(expected)
