"""Keys into calls, calls into one answer a key."""

import asyncio
import io
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import httpx
import orjson
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Code, SourceError
from app.observability.logs import make_log
from app.settings import DeadlineSettings, LogSettings
from app.sources.base import Call, UserId
from app.sources.client import open_service
from app.sources.profile import PROFILE, ProfileRecord
from app.sources.rest import RestSource, pair, split
from tests.clock import ManualClock
from tests.fakes import FakeServices, calm_source, json_response, profile_row, user_id

CALL = Call("request-1")

Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


class Opened:
    """The source over a fake, and its log."""

    def __init__(self, source: RestSource[ProfileRecord], log: io.StringIO) -> None:
        self._source = source
        self._log = log

    async def ask(self, keys: Sequence[str]) -> list[str]:
        """Ask about users; a record is told by its name, a failure by its code."""
        answers = await self._source.fetch_many([UserId(key) for key in keys], CALL)
        return [
            one.code.value
            if isinstance(one, SourceError)
            else one.username
            if one is not None
            else "nobody"
            for one in answers
        ]

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """Read what the log has of an event."""
        lines = [orjson.loads(line) for line in self._log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]


@asynccontextmanager
async def opened(
    handler: Handler,
    base_url: str = "http://profile",
    **changes: Any,  # noqa: ANN401 # any setting of a source
) -> AsyncGenerator[Opened]:
    """Open the profile source over a fake."""
    stream = io.StringIO()
    log = make_log(LogSettings(level="debug"), "json", stream)
    async with open_service(
        "profile",
        calm_source(base_url=base_url, **changes),
        lambda _: httpx.MockTransport(handler),  # type: ignore[arg-type] # it takes either kind
        deadlines=DeadlineSettings(),
        clock=ManualClock(),
        chance=lambda: 0.5,
        log=log,
    ) as client:
        yield Opened(RestSource(PROFILE, client, log), stream)


def keys_of(request: httpx.Request) -> list[str]:
    """Read which users a request asks for."""
    return request.url.params.get_list("id")


@given(
    keys=st.lists(st.text(max_size=30).map(UserId), max_size=40),
    max_keys=st.integers(1, 10),
    max_bytes=st.integers(1, 200),
)
def test_batches_joined_are_the_keys_and_each_is_within_both_limits(
    keys: list[UserId], max_keys: int, max_bytes: int
) -> None:
    batches = list(split(keys, "id", max_keys=max_keys, max_bytes=max_bytes))

    assert [key for batch in batches for key in batch] == keys
    for batch in batches:
        assert 1 <= len(batch) <= max_keys
        query = "?" + "&".join(pair("id", key) for key in batch)
        assert len(query) <= max_bytes or len(batch) == 1


@given(
    keys=st.lists(st.text(max_size=30).map(UserId), min_size=2, max_size=40),
    max_keys=st.integers(1, 10),
    max_bytes=st.integers(1, 200),
)
def test_no_key_is_put_off_to_the_next_batch_that_had_room_in_the_last(
    keys: list[UserId], max_keys: int, max_bytes: int
) -> None:
    batches = list(split(keys, "id", max_keys=max_keys, max_bytes=max_bytes))

    for batch, following in pairwise(batches):
        more = [*batch, following[0]]
        query = "?" + "&".join(pair("id", key) for key in more)
        assert len(more) > max_keys or len(query) > max_bytes


def test_an_encoded_byte_counts_as_the_three_characters_that_it_becomes() -> None:
    keys = [UserId("ü"), UserId("ü")]

    assert pair("id", "ü") == "id=%C3%BC"
    assert len(list(split(keys, "id", max_keys=9, max_bytes=20))) == 1
    assert len(list(split(keys, "id", max_keys=9, max_bytes=19))) == 2


@given(value=st.text(max_size=40))
def test_a_pair_is_ascii_and_reads_back_as_the_value(value: str) -> None:
    written = pair("id", value)

    assert written.isascii()
    assert httpx.QueryParams(written).multi_items() == [("id", value)]


async def test_no_keys_are_no_call() -> None:
    services = FakeServices()
    async with opened(services.handle) as source:
        assert await source.ask([]) == []

    assert services.calls["profile"] == 0


async def test_keys_that_fit_are_one_call_and_more_are_split() -> None:
    services = FakeServices()
    services.know(1, 2, 3, 5)
    async with opened(services.handle, max_keys=2) as source:
        answers = await source.ask([user_id(n) for n in (5, 4, 3, 2, 1)])

    assert answers == ["user5", "nobody", "user3", "user2", "user1"]
    assert sorted(services.profile.batches) == sorted(
        [[user_id(5), user_id(4)], [user_id(3), user_id(2)], [user_id(1)]]
    )


async def test_no_url_is_longer_than_the_setting_says() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return json_response([])

    base = "http://profile.internal.example/api/v2"
    keys = [user_id(n) for n in range(50)]
    async with opened(answer, base, max_url_bytes=300) as source:
        assert await source.ask(keys) == ["nobody"] * 50

    lengths = [len(str(request.url)) for request in requests]
    assert max(lengths) <= 300
    assert max(lengths) + len(f"&id={user_id(1)}") > 300
    assert sorted(key for request in requests for key in keys_of(request)) == sorted(keys)


async def test_a_key_that_is_too_long_by_itself_is_asked_for_by_itself() -> None:
    batches: list[list[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        batches.append(keys_of(request))
        return json_response([], 414 if len(str(request.url)) > 256 else 200)

    long = "x" * 300
    async with opened(answer, max_url_bytes=256) as source:
        assert await source.ask(["a", long, "b"]) == ["nobody", "SOURCE_REJECTED", "nobody"]

    assert sorted(batches) == [["a"], ["b"], [long]]


async def test_the_parts_of_a_split_run_concurrently() -> None:
    together = asyncio.Barrier(3)

    async def answer(request: httpx.Request) -> httpx.Response:
        await together.wait()  # nobody is answered before all three have asked
        return json_response([profile_row(1, id=key, username=key) for key in keys_of(request)])

    async with opened(answer, max_keys=1) as source:
        assert await source.ask(["a", "b", "c"]) == ["a", "b", "c"]


async def test_a_part_that_fails_fails_its_own_keys_alone() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "c" in keys_of(request):
            return json_response([], 503)
        return json_response([profile_row(1, id=key, username=key) for key in keys_of(request)])

    async with opened(answer, max_keys=2) as source:
        answers = await source.ask(["a", "b", "c", "d", "e"])

    assert answers == ["a", "b", "SOURCE_UNAVAILABLE", "SOURCE_UNAVAILABLE", "e"]
    async with opened(answer, max_keys=2) as source:
        await source.ask(["a", "b", "c", "d", "e"])
        keys = [(event["keys"], event["outcome"]) for event in source.events("source.fetch")]
    assert sorted(keys) == [(1, "ok"), (2, Code.SOURCE_UNAVAILABLE), (2, "ok")]


async def test_odd_rows_are_logged_with_their_numbers_and_without_their_values() -> None:
    rows = [
        profile_row(1, id="a"),
        profile_row(2, id="a"),
        profile_row(3, id="b", username=["secret"]),
        profile_row(4, id="c-secret"),
        profile_row(5, id="d-secret"),
        {"username": "e-secret"},
    ]
    async with opened(lambda _: json_response(rows)) as source:
        answers = await source.ask(["a", "b", "f"])
        [event] = source.events("source.odd_rows")

    assert answers == ["user1", "SOURCE_MALFORMED", "SOURCE_MALFORMED"]
    assert event["level"] == "warning"
    assert event["source"] == "profile"
    assert event["malformed"] == 2
    assert event["first_malformed"] == "username: Input should be a valid string"
    assert event["duplicate"] == 1
    assert event["unasked"] == 2
    assert "secret" not in str(event)


async def test_rows_as_they_should_be_are_not_odd() -> None:
    async with opened(lambda _: json_response([profile_row(1, id="a", extra=1)])) as source:
        await source.ask(["a", "b"])

        assert not source.events("source.odd_rows")
