"""Sources of a module: they have limits, batches and logs like services."""

from asyncio import CancelledError
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.errors import ConfigurationError
from app.extend.v1 import FailureCode, ReadFailure
from app.resilience.hedge import MIN_SAMPLES
from app.settings.models import Settings
from tests.clock import ManualClock
from tests.conftest import OpenGateway
from tests.extend.modules import ModuleFolder, imported, settings_with
from tests.extend.test_mistakes import config, found
from tests.fakes import FakeServices, user_id
from tests.readiness import source_states
from tests.settings.loading import load
from tests.ways import BOTH, Ways

LEDGER = """
import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager


class Entry(Record):
    user: str
    points: int | None = None
    level: str | None = None


class Ledger:
    def __init__(self) -> None:
        self.rows = {}
        self.asked = []
        self.calls = []
        self.opened = []
        self.error = None
        self.answer = None
        self.gate = None

    async def fetch(self, keys: Sequence[str], call: SourceCall):
        self.asked.append([*keys])
        self.calls.append(call)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.answer is not None:
            return self.answer
        return {key: self.rows[key] for key in keys if key in self.rows}


LEDGER = Ledger()


@asynccontextmanager
async def opened() -> AsyncGenerator[RowSource]:
    LEDGER.opened.append("open")
    yield LEDGER
    LEDGER.opened.append("closed")


def rank(level: str | None, points: int | None) -> str:
    return f"{level}:{points}"


def extension() -> Extension:
    return Extension(
        api="1.1",
        sources=[OwnSource("ledger", Entry, "user", opened)],
        fields=[
            shows("points", "Int", "ledger", "Points.", may=PUBLIC, value="points"),
            computed("rank", "String", "ledger", "Rank.", may=PUBLIC,
                reads=["level", "points"], compute=rank),
        ],
    )
"""

ONE, TWO, THREE = user_id(1), user_id(2), user_id(3)
QUERY = "query($ids: [ID!]!) { users(ids: $ids) { username points rank } }"


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


def settings(place: str, **ledger: Any) -> Settings:  # noqa: ANN401 # any setting of a source
    """Make settings with changed limits of the module's source."""
    calm = {"retry": {"max_retries": 0}, **ledger}
    own = {"base_url": "http://module.invalid", **calm}
    return settings_with(place, {"sources": {"ledger": own}})


async def test_rows_of_a_source_of_a_module_are_fields_of_users(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2, 3)
    place = folder.write(LEDGER)

    async with open_gateway(settings_with(place)) as gateway:  # the source needs no settings
        ledger = imported(place).LEDGER
        ledger.rows = {ONE: {"points": 3, "level": "high"}, TWO: {"points": None}}
        during = [*ledger.opened]
        reply = await gateway.query(QUERY, ids=[ONE, TWO, THREE])
        [fetch] = [one for one in gateway.events("source.fetch") if one["source"] == "ledger"]
        health = source_states(gateway.app)
        [started] = gateway.events("gateway.opened")

    assert reply.body == {
        "data": {
            "users": [
                {"username": "user1", "points": 3, "rank": "high:3"},
                {"username": "user2", "points": None, "rank": "None:None"},
                {"username": "user3", "points": None, "rank": None},
            ]
        }
    }
    assert ledger.asked == [[ONE, TWO, THREE]]
    assert (during, ledger.opened) == (["open"], ["open", "closed"])
    assert (fetch["keys"], fetch["outcome"]) == (3, "ok")
    assert fetch["request_id"] == ledger.calls[0].request_id
    assert isinstance(fetch["duration_ms"], float)
    own = health["ledger"]
    assert (own["circuit"], own["lastStatus"]) == ("closed", None)
    assert own["lastReachedAt"] is not None
    assert started["sources"]["ledger"] == f"module {place.rpartition('/')[2]}"


async def test_a_damaged_value_is_an_error_only_at_its_fields(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2)
    place = folder.write(LEDGER)

    async with open_gateway(settings(place)) as gateway:
        ledger = imported(place).LEDGER
        ledger.rows = {ONE: {"points": 3, "level": 7}, TWO: "no row"}
        reply = await gateway.query(QUERY, ids=[ONE, TWO])

    assert reply.data["users"] == [
        {"username": "user1", "points": 3, "rank": None},
        {"username": "user2", "points": None, "rank": None},
    ]
    assert reply.codes == {
        "users.0.rank": "SOURCE_MALFORMED",
        "users.1.points": "SOURCE_MALFORMED",
        "users.1.rank": "SOURCE_MALFORMED",
    }


@pytest.mark.parametrize("again", [True, False])
async def test_a_second_call_in_parallel_takes_back_no_row_of_the_first(
    folder: ModuleFolder,
    services: FakeServices,
    open_gateway: OpenGateway,
    clock: ManualClock,
    *,
    again: bool,
) -> None:
    services.know(1, 2)
    place = folder.write(LEDGER)

    async with open_gateway(settings(place, hedge=True)) as gateway:
        ledger = imported(place).LEDGER
        failed = ReadFailure(FailureCode.UNAVAILABLE)
        answers: list[Any] = [{ONE: {"points": 0}}] * MIN_SAMPLES
        answers.append({ONE: {"points": 1}, TWO: failed})
        answers.append({ONE: {"points": 2} if again else failed, TWO: {"points": 2}})
        seconds = [0.1] * MIN_SAMPLES + [0.15, 0.1]
        asked: list[Sequence[str]] = []

        async def fetch(keys: Sequence[str], _: object) -> object:
            asked.append(keys)
            number = len(asked) - 1
            await clock.sleep(seconds[number])
            return answers[number]

        ledger.fetch = fetch
        for _ in range(MIN_SAMPLES):
            await clock.run(gateway.query(QUERY, ids=[ONE]))
        reply = await clock.run(gateway.query(QUERY, ids=[ONE, TWO]))

    assert [user["points"] for user in reply.data["users"]] == [1, 2]
    assert asked[-2:] == [[ONE, TWO]] * 2
    assert not reply.errors


BIG = """
    big: int | None = None
    words: list[str | None] | None = None


class Ledger:"""


async def test_a_value_that_does_not_fit_its_schema_type_is_an_error_at_its_field(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2)
    text = LEDGER.replace("\n\nclass Ledger:", BIG).replace(
        "        fields=[",
        """        fields=[
            shows("big", "Int", "ledger", "Big.", may=PUBLIC, value="big"),
            shows("words", "[String!]", "ledger", "Words.", may=PUBLIC, value="words"),""",
    )
    place = folder.write(text)
    query = "query($ids: [ID!]!) { users(ids: $ids) { big words points } }"

    async with open_gateway(settings(place)) as gateway:
        imported(place).LEDGER.rows = {
            ONE: {"big": 2**40, "points": 3, "level": None, "words": [None]},
            TWO: {"big": 2**20, "points": 3, "level": None, "words": ["a"]},
        }
        reply = await gateway.query(query, ids=[ONE, TWO])
        [odd] = gateway.events("source.odd_rows")
        bugs = [*gateway.events("extension.bug"), *gateway.events("graphql.bug")]

    assert reply.data["users"] == [
        {"big": None, "words": None, "points": 3},
        {"big": 2**20, "words": ["a"], "points": 3},
    ]
    assert reply.codes == {
        "users.0.big": "SOURCE_MALFORMED",
        "users.0.words": "SOURCE_MALFORMED",
    }
    assert (odd["source"], odd["malformed"]) == ("ledger", 1)
    assert odd["first_malformed"] == "big: the value is int: expected Int"
    assert not bugs


async def test_a_row_with_the_key_of_another_user_is_malformed(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2)
    place = folder.write(LEDGER)

    async with open_gateway(settings(place)) as gateway:
        imported(place).LEDGER.rows = {
            ONE: {"user": TWO, "points": 3},
            TWO: {"user": TWO.upper(), "points": 4},
        }
        reply = await gateway.query(QUERY, ids=[ONE, TWO])
        [odd] = gateway.events("source.odd_rows")

    assert reply.data["users"] == [
        {"username": "user1", "points": None, "rank": None},
        {"username": "user2", "points": 4, "rank": "None:4"},
    ]
    assert reply.codes == {
        "users.0.points": "SOURCE_MALFORMED",
        "users.0.rank": "SOURCE_MALFORMED",
    }
    assert odd["first_malformed"] == "the row under a key has another one in user"


async def test_unknown_members_are_logged_once_if_expected_ones_are_missing(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2, 3)
    place = folder.write(LEDGER)

    async with open_gateway(settings(place)) as gateway:
        ledger = imported(place).LEDGER
        ledger.rows = {ONE: {"points": 3, "level": "high", "more": 1}, TWO: {"points": 3}}
        await gateway.query(QUERY, ids=[ONE, TWO])
        fine = gateway.events("extension.odd_members")
        ledger.rows = {key: {"pts": 3, "level": "high"} for key in (ONE, TWO, THREE)}
        await gateway.query(QUERY, ids=[ONE, TWO])
        reply = await gateway.query(QUERY, ids=[THREE])
        [odd] = gateway.events("extension.odd_members")

    assert not fine
    assert reply.data["users"] == [{"username": "user3", "points": None, "rank": "high:None"}]
    assert not reply.errors
    assert (odd["source"], odd["members"], odd["missing"]) == ("ledger", ["pts"], ["points"])


FAILURES: Mapping[str, tuple[str, Any, str]] = {
    "an exception": ("error", OSError("secret"), "SOURCE_UNAVAILABLE"),
    "a timeout": ("error", TimeoutError(), "SOURCE_TIMEOUT"),
    "an end of the program": ("error", SystemExit(3), "SOURCE_UNAVAILABLE"),
    "an interruption": ("error", KeyboardInterrupt(), "SOURCE_UNAVAILABLE"),
    "an end of a generator": ("error", GeneratorExit(), "SOURCE_UNAVAILABLE"),
    "a cancellation of its own": ("error", CancelledError(), "SOURCE_UNAVAILABLE"),
    "another answer": ("answer", [1], "SOURCE_MALFORMED"),
    "rows of others only": ("answer", {"somebody": {"points": 1}}, "SOURCE_MALFORMED"),
}


@pytest.mark.parametrize("kind", FAILURES)
async def test_a_failed_source_of_a_module_fails_only_its_fields(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway, kind: str
) -> None:
    services.know(1)
    place = folder.write(LEDGER)
    name, value, code = FAILURES[kind]

    async with open_gateway(settings(place)) as gateway:
        setattr(imported(place).LEDGER, name, value)
        reply = await gateway.query(QUERY, ids=[ONE])

    assert reply.data == {"users": [{"username": "user1", "points": None, "rank": None}]}
    assert reply.codes == {"users.0.points": code, "users.0.rank": code}
    assert "secret" not in reply.response.text


async def test_a_call_to_a_module_is_cancelled_after_its_timeout(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway, clock: ManualClock
) -> None:
    services.know(1)
    place = folder.write(LEDGER)

    async with open_gateway(settings(place, timeout=0.5)) as gateway:
        module = imported(place)
        module.LEDGER.gate = module.asyncio.Event()
        async with module.asyncio.TaskGroup() as group:
            asking = group.create_task(gateway.query(QUERY, ids=[ONE]))
            while not module.LEDGER.asked:
                await module.asyncio.sleep(0)
            clock.advance(0.6)
        reply = asking.result()

    assert reply.codes == {"users.0.points": "SOURCE_TIMEOUT", "users.0.rank": "SOURCE_TIMEOUT"}
    assert 0 < module.LEDGER.calls[0].seconds <= 0.5


async def test_a_call_to_a_module_has_the_deadline_of_the_request(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1)
    place = folder.write(LEDGER)

    async with open_gateway(settings(place, timeout=2, coalesce={"enabled": False})) as gateway:
        for header in ({}, {"X-Request-Timeout": "400ms"}):
            reply = await gateway.query_as(header, QUERY, ids=[ONE])
            assert not reply.errors

    [usual, short] = [call.seconds for call in imported(place).LEDGER.calls]
    assert usual == 2
    assert 0 < short < 0.4


NOTES_END = """
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.opened.append("cancelled")
                raise
"""


async def test_a_call_to_a_module_without_waiters_is_cancelled(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1)
    place = folder.write(LEDGER.replace("            await self.gate.wait()\n", NOTES_END))

    async with open_gateway(settings(place)) as gateway:
        module = imported(place)
        module.LEDGER.gate = module.asyncio.Event()
        asking = module.asyncio.create_task(gateway.query(QUERY, ids=[ONE]))
        while not module.LEDGER.asked:
            await module.asyncio.sleep(0)
        asking.cancel()
        await module.asyncio.wait([asking])
        while "cancelled" not in module.LEDGER.opened:
            await module.asyncio.sleep(0)

    assert module.LEDGER.opened == ["open", "cancelled", "closed"]


async def test_a_source_of_a_module_is_not_called_while_its_circuit_is_open(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1)
    place = folder.write(LEDGER)

    async with open_gateway(settings(place, breaker={"min_calls": 2})) as gateway:
        ledger = imported(place).LEDGER
        ledger.error = OSError()
        codes = [
            (await gateway.query(QUERY, ids=[user_id(number)])).codes for number in range(1, 6)
        ]

    opened = "SOURCE_CIRCUIT_OPEN"
    assert codes[-1] == {"users.0.points": opened, "users.0.rank": opened}
    assert len(ledger.asked) < len(codes)


async def test_a_call_to_a_module_has_at_most_max_keys(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2, 3)
    place = folder.write(LEDGER)

    async with open_gateway(settings(place, max_keys=2)) as gateway:
        await gateway.query(QUERY, ids=[ONE, TWO, THREE])

    asked: Sequence[Sequence[str]] = imported(place).LEDGER.asked
    assert sorted(map(len, asked)) == [1, 2]
    assert sorted(key for keys in asked for key in keys) == [ONE, TWO, THREE]


async def test_calls_of_one_batch_to_a_module_do_not_wait_in_the_bulkhead(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2, 3)
    waits = "        self.calls.append(call)\n        await asyncio.sleep(0)\n"
    place = folder.write(LEDGER.replace("        self.calls.append(call)\n", waits))

    async with open_gateway(
        settings(place, max_keys=1, max_calls=1, max_waiting_calls=0)
    ) as gateway:
        reply = await gateway.query(QUERY, ids=[ONE, TWO, THREE])

    assert not reply.errors
    assert sorted(imported(place).LEDGER.asked) == [[ONE], [TWO], [THREE]]


async def test_a_module_that_changes_the_list_of_keys_does_not_mix_up_users(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2, 3)
    changes = "        self.asked.append([*keys])\n        keys.reverse()\n"
    place = folder.write(LEDGER.replace("        self.asked.append([*keys])\n", changes))

    async with open_gateway(settings(place)) as gateway:
        imported(place).LEDGER.rows = {ONE: {"points": 1}, THREE: {"points": 3}}
        reply = await gateway.query(QUERY, ids=[ONE, TWO, THREE])

    assert [user["points"] for user in reply.data["users"]] == [1, None, 3]


async def test_ids_that_differ_in_case_are_the_same_user(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    place = folder.write(LEDGER)
    upper = "ABCDEFAB-0000-4000-8000-000000000001"

    async with open_gateway(settings(place)) as gateway:
        imported(place).LEDGER.answer = {upper.lower(): {"points": 5}}
        reply = await gateway.query("query($id: ID!) { user(id: $id) { points } }", id=upper)

    assert reply.body == {"data": {"user": {"points": 5}}}


WRONG = """
class Entry(Record):
    user: str
    points: int


async def later(): ...


async def parts():
    yield


def extension():
    def field(source, value):
        return shows(f"f_{source}", "Int", source, "D.", may=PUBLIC, value=value)

    return Extension(
        api="1.1",
        sources=[
            OwnSource("profile", Entry, "user", print),
            OwnSource("Bad", Entry, "user", print),
            OwnSource("one", Entry, "user", print),
            OwnSource("two", Record, "user", print),
            OwnSource("three", int, "user", print),
            OwnSource("four", Record, "user", None),
            OwnSource("six", Entry, "user", later),
            OwnSource("seven", Entry, "user", parts),
            "five",
        ],
        fields=[],
    )
"""


RIGHT_OPEN = (
    "expected an async context manager, such as an async function with yield and"
    " @asynccontextmanager makes"
)

OPENINGS: Mapping[str, tuple[str, str, str | None]] = {
    "another value": ("lambda: 3", f"returns int: {RIGHT_OPEN}.", None),
    "a coroutine": ("lambda: asyncio.sleep(0)", f"returns coroutine: {RIGHT_OPEN}.", None),
    "an exception": ("failing", "has raised OSError: no database.", "OSError"),
    "an exception without text": ("bare", "has raised KeyError.", "KeyError"),
    "an end of the program": ("ending", "has raised SystemExit: 3.", "SystemExit"),
    "an end before the context": ("lambda: sys.exit(3)", "has raised SystemExit: 3.", "SystemExit"),
}

FAILING = """
import sys


def opening(error):
    @asynccontextmanager
    async def opened():
        raise error
        yield

    return opened


failing, bare, ending = opening(OSError("no database")), opening(KeyError()), opening(SystemExit(3))
"""


@pytest.mark.parametrize("kind", OPENINGS)
async def test_a_source_that_cannot_be_opened_is_reported_with_its_cause(
    folder: ModuleFolder, open_gateway: OpenGateway, kind: str
) -> None:
    opening, what, cause = OPENINGS[kind]
    text = LEDGER.replace('"user", opened', f'"user", {opening}').replace(
        "def rank(", f"{FAILING}\n\ndef rank("
    )
    place = folder.write(text)
    name = place.rpartition("/")[2]

    with pytest.raises(ConfigurationError) as caught:
        async with open_gateway(settings(place)):
            pass

    assert caught.value.mistakes == (f"module {name}: open of the source ledger {what}",)
    found_cause = caught.value.__cause__
    assert (None if found_cause is None else type(found_cause).__name__) == cause


def test_all_mistakes_in_sources_of_a_module_are_reported_together(folder: ModuleFolder) -> None:
    assert found(folder, WRONG) == [
        "has something among its sources that is none: expected what OwnSource makes.",
        "the source profile is there already: expected another name.",
        "the source Bad has a wrong name: expected small letters, digits and _.",
        (
            "the source one cannot be used: Entry.points needs the default None, because a service"
            " may leave it out: declare it as points: … | None = None."
        ),
        "the source two cannot be used: Record has no field user.",
        "the source three cannot be used: its record is <class 'int'>, which is no Record.",
        "the source four cannot be used: its open is no function.",
        f"the source six cannot be used: its open is a plain function: {RIGHT_OPEN}.",
        f"the source seven cannot be used: its open is a plain function: {RIGHT_OPEN}.",
    ]


def test_the_table_of_a_source_of_a_module_may_only_have_limits(folder: ModuleFolder) -> None:
    more = (
        '[user.extra]\nsource = "ledger"\ntype = "Int"\ndescription = "D."\nmay = "public"\n'
        "[sources.ledger]\ntimeout = 0.5\nfields = { points = 'p' }\nlists.a = { path = '/a',"
        " parameter = 'b' }\n"
    )
    text = LEDGER.replace('value="points"', 'value=Input("points", "Int")')

    reported = found(folder, text, more)

    assert [one.partition(".toml:")[2] or one for one in reported] == [
        "points reads points, which is an Input: expected a field of the record of ledger.",
        (
            "4: [user.extra] source is ledger, a source of a module: expected the field in that"
            " module."
        ),
        (
            "10: [sources.ledger.fields] is for services that speak HTTP, and ledger is a source"
            " of a module."
        ),
        (
            "11: [sources.ledger.lists] is for services that speak HTTP, and ledger is a source"
            " of a module."
        ),
    ]


def test_a_request_in_the_table_is_reported_and_one_in_the_defaults_is_not(
    folder: ModuleFolder,
) -> None:
    request = "{ form = 'list', path = '/a', parameter = 'b' }"
    defaults = f"[source_defaults]\nanswer.rows = ['data']\nrequest = {request}\n"

    load(config(folder, folder.write(LEDGER), defaults))
    own = f"[sources.ledger]\nrequest = {request}\nanswer.key = ['id']\n"
    reported = found(folder, LEDGER, f"{defaults}{own}")

    assert [one.partition(".toml:")[2] for one in reported] == [
        (
            "7: [sources.ledger.request] is for services that speak HTTP, and ledger is a source"
            " of a module."
        ),
        (
            "8: [sources.ledger.answer] is for services that speak HTTP, and ledger is a source"
            " of a module."
        ),
    ]


def test_a_source_of_a_module_has_no_foreign_keys_and_no_lookups(folder: ModuleFolder) -> None:
    more = (
        "[sources.support]\nbase_url = 'http://support'\n"
        "request = { form = 'list', path = '/a', parameter = 'b' }\n"
        "key_from = { source = 'ledger', expression = 'id' }\n"
        "[schema.lookups.byName]\nsource = 'ledger'\nkey = 'name'\ndescription = 'D.'\n"
        "request = { form = 'list', path = '/a', parameter = 'b' }\nmay = 'public'\n"
    )

    reported = found(folder, LEDGER, more)

    assert [one.partition(".toml:")[2] for one in reported] == [
        (
            "6: [sources.support.key_from] is ledger, a source of a module: expected one whose"
            " rows are JSON."
        ),
        (
            "8: [schema.lookups.byName] source is ledger, a source of a module: expected one that"
            " speaks HTTP."
        ),
    ]


async def test_a_service_may_have_the_keys_of_a_source_of_a_module(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1)
    place = folder.write(LEDGER)
    key_from = {"source": "profile", "expression": "username"}

    async with open_gateway(settings(place, key_from=key_from)) as gateway:
        imported(place).LEDGER.rows = {"user1": {"points": 3}}
        reply = await gateway.query("query($id: ID!) { user(id: $id) { points } }", id=ONE)

    assert reply.body == {"data": {"user": {"points": 3}}}
    assert imported(place).LEDGER.asked == [["user1"]]


async def test_stale_rows_are_served_if_the_source_of_a_module_fails(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway, clock: ManualClock
) -> None:
    services.know(1)
    place = folder.write(LEDGER)
    cache = {"enabled": True, "ttl": 1}
    query = "query($id: ID!) { user(id: $id) { points } }"

    async with open_gateway(settings(place, cache=cache, contract="stale_ok")) as gateway:
        ledger = imported(place).LEDGER
        ledger.rows = {ONE: {"points": 3}}
        first = await gateway.query(query, id=ONE)
        clock.advance(5)
        ledger.error = OSError()
        second = await gateway.query(query, id=ONE)

    assert first.data == second.data == {"user": {"points": 3}}
    stale = {"ledger": {"status": "stale", "ageMs": 5000}}
    assert second.body["extensions"] == {"sources": stale}
