"""Items of a batch API that fail: they are retried, and the circuit breaker counts them."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings.resilience import BreakerSettings, CacheSettings, PacingSettings, RetrySettings
from app.sources.base import RequestContext, UserId
from tests.fakes import json_response
from tests.sources.test_rest import Opened, opened

BATCH: Mapping[str, Any] = {
    "request": {
        "form": "body",
        "path": "/batch",
        "template": '{"requests": [{"id": "{key}", "url": "/users/{key}"}]}',
    },
    "answer": {
        "rows": ["responses"],
        "parts": {"key": "id", "status": ["status"], "row": ["body"]},
    },
    "fields": {"username": "name"},
}

Statuses = Callable[[str, int], int]
"""Returns the status of an item, by its user and the number of earlier calls for this user."""


class BatchApi:
    """A batch API, whose items have the statuses that a test wants.

    Attributes:
        batches: The users of each call.
    """

    def __init__(self, status: Statuses, headers: Sequence[Mapping[str, str]] = ()) -> None:
        self.batches: list[str] = []
        self._status = status
        self._headers = headers

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a call, with the items in another order than the users."""
        users = [one["id"] for one in json.loads(request.content)["requests"]]
        before = {user: "".join(self.batches).count(user) for user in users}
        number = len(self.batches)
        self.batches.append("".join(users))
        items = [
            {"id": user, "status": self._status(user, before[user]), "body": {"name": user * 2}}
            for user in reversed(users)
        ]
        answer = json_response({"responses": items})
        if number < len(self._headers):
            answer.headers.update(self._headers[number])
        return answer


def at_first(*users: str, status: int = 503) -> Statuses:
    """Fail the first call for some users."""
    return lambda user, before: status if user in users and not before else 200


def always(*users: str, status: int = 503) -> Statuses:
    """Fail every call for some users."""
    return lambda user, _: status if user in users else 200


def retrying(**changes: Any) -> Mapping[str, Any]:  # noqa: ANN401 # any setting of a source
    """Make the settings of a batch API with retries."""
    retry = RetrySettings(max_retries=2, budget_minimum=100)
    return {**BATCH, "retry": retry, "pacing": PacingSettings(enabled=True), **changes}


async def ask(source: Opened, users: str) -> list[str]:
    """Ask for users, and let the time pass that the gateway waits."""
    return await source.clock.run(source.ask([*users]))


async def test_only_failed_items_are_retried() -> None:
    service = BatchApi(at_first("b", "d"))
    async with opened(service, **retrying()) as source:
        assert await ask(source, "abcd") == ["aa", "bb", "cc", "dd"]
        fetches = source.events("source.fetch")

    assert service.batches == ["abcd", "bd"]
    assert [(one["outcome"], one["keys"]) for one in fetches] == [
        ("SOURCE_UNAVAILABLE", 4),
        ("ok", 2),
    ]
    assert fetches[0]["detail"] == "an item with status 503"
    [trace] = source.traces
    assert (trace.calls, trace.attempts, trace.code) == (1, 2, None)


async def test_an_item_that_keeps_failing_fails_only_its_user_after_all_retries() -> None:
    service = BatchApi(always("b"))
    async with opened(service, **retrying()) as source:
        assert await ask(source, "abc") == ["aa", "SOURCE_UNAVAILABLE", "cc"]

    assert service.batches == ["abc", "b", "b"]
    assert source.traces[0].code == "SOURCE_UNAVAILABLE"


@pytest.mark.parametrize("status", [400, 403, 500, 501])
async def test_an_item_with_a_final_failure_is_not_retried(status: int) -> None:
    service = BatchApi(always("b", status=status))
    async with opened(service, **retrying()) as source:
        assert (await ask(source, "abc"))[1].startswith("SOURCE_")

    assert service.batches == ["abc"]
    assert source.traces[0].code is None, "the call itself is good"


@pytest.mark.parametrize(
    "retry", [RetrySettings(max_retries=0), RetrySettings(budget_minimum=0, budget_share=0)]
)
async def test_retries_of_items_obey_the_retry_settings(retry: RetrySettings) -> None:
    service = BatchApi(at_first("b"))
    async with opened(service, **retrying(retry=retry)) as source:
        assert await ask(source, "abc") == ["aa", "SOURCE_UNAVAILABLE", "cc"]

    assert service.batches == ["abc"]


async def test_items_with_status_429_are_paced_without_the_retry_budget() -> None:
    service = BatchApi(at_first("b", status=429))
    retry = RetrySettings(max_retries=0)
    async with opened(service, **retrying(retry=retry)) as source:
        before = source.clock.seconds
        assert await ask(source, "ab") == ["aa", "bb"]
        assert source.clock.seconds > before

    assert service.batches == ["ab", "b"]


async def test_a_retry_that_fails_as_a_whole_keeps_the_earlier_results() -> None:
    service = BatchApi(at_first("b"))

    def answer(request: httpx.Request) -> httpx.Response:
        return service(request) if not service.batches else httpx.Response(404)

    async with opened(answer, **retrying()) as source:
        assert await ask(source, "abc") == ["aa", "SOURCE_UNAVAILABLE", "cc"]


async def test_a_circuit_opens_when_all_items_fail_and_stays_closed_when_some_do() -> None:
    breaker = BreakerSettings(min_calls=4)
    retry = RetrySettings(max_retries=0)
    settings = retrying(breaker=breaker, retry=retry)
    async with opened(BatchApi(always("a", "b", status=500)), **settings) as source:
        answers = [await ask(source, "ab") for _ in range(6)]
        assert answers[:4] == [["SOURCE_UNAVAILABLE"] * 2] * 4
        assert answers[4:] == [["SOURCE_CIRCUIT_OPEN"] * 2] * 2
    async with opened(BatchApi(always("a")), **retrying(breaker=breaker)) as source:
        answers = [await ask(source, "ab") for _ in range(6)]
        assert answers == [["SOURCE_UNAVAILABLE", "bb"]] * 6
        assert not source.events("source.circuit")


async def test_each_result_has_the_lifetime_of_its_own_response() -> None:
    headers = [{"cache-control": "no-store"}, {"cache-control": "max-age=60"}]
    service = BatchApi(at_first("b"), headers)
    cache = CacheSettings(enabled=True)
    async with opened(service, **retrying(cache=cache)) as source:
        keys = [UserId(key) for key in "ab"]
        fetched = await source.clock.run(source.fetched(keys, RequestContext("r")))

    assert fetched.arrivals[keys[0]].lifetime.over
    assert not fetched.arrivals[keys[1]].lifetime.over


@given(
    outcomes=st.dictionaries(
        st.sampled_from("abcdef"),
        st.lists(st.sampled_from([200, 404, 429, 500, 503]), min_size=1, max_size=4),
        min_size=1,
    )
)
async def test_each_user_has_the_first_outcome_that_is_not_retried(
    outcomes: Mapping[str, Sequence[int]],
) -> None:
    def status(user: str, before: int) -> int:
        return outcomes[user][min(before, len(outcomes[user]) - 1)]

    service = BatchApi(status)
    pacing = PacingSettings(enabled=False)
    async with opened(service, **retrying(pacing=pacing)) as source:
        answers = await ask(source, "".join(outcomes))

    names = {200: None, 404: "nobody", 429: "SOURCE_OVERLOADED", 500: "SOURCE_UNAVAILABLE"}
    for (user, statuses), answer in zip(outcomes.items(), answers, strict=True):
        calls = [*statuses, *[statuses[-1]] * 3][:3]
        final = next((one for one in calls if one not in {429, 503}), calls[-1])
        assert answer == (names.get(final, "SOURCE_UNAVAILABLE") or user * 2)
        assert "".join(service.batches).count(user) == (
            calls.index(final) + 1 if final not in {429, 503} else 3
        )
