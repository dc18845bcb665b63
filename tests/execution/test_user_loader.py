"""The loader of one source reuses a record that has all needed fields."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import Code, SourceFailure
from app.execution.user_loader import LoadedResults, UserLoader
from app.sources.base import FieldSet, Record, UserId
from tests.properties import examples

A, B, C = UserId("a"), UserId("b"), UserId("c")
ALL = frozenset("xyz")
UNKNOWN = UserId("nobody")
FAILED = SourceFailure("profile", Code.SOURCE_TIMEOUT, "slow")


class Partial(Record):
    """A record that has the names of its requested fields."""

    user: str
    fields: FieldSet


@dataclass
class FieldwiseSource:
    """A source whose records have only the requested fields.

    Attributes:
        calls: The users of each call, and the fields.
        asked: Set by the first call.
        gate: The event that each call waits for.
        failing: The failure that is returned instead of a record, by user.
        bugs: The number of next calls that raise.
    """

    calls: list[tuple[list[UserId], FieldSet | None]] = field(
        default_factory=list[tuple[list[UserId], FieldSet | None]]
    )
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    failing: dict[UserId, SourceFailure] = field(default_factory=dict[UserId, SourceFailure])
    bugs: int = 0

    async def ask(self, users: Sequence[UserId], fields: FieldSet | None) -> LoadedResults:
        """Answer."""
        self.calls.append((list(users), fields))
        self.asked.set()
        await self.gate.wait()
        if self.bugs:
            self.bugs -= 1
            raise ZeroDivisionError("a bug")
        returned = ALL if fields is None else fields
        return [
            None if user == UNKNOWN else self.failing.get(user) or record(user, returned)
            for user in users
        ]


def record(user: str, fields: FieldSet) -> Partial:
    """Make a record."""
    return Partial.model_validate({"user": user, "fields": fields})


def has(answer: object, fields: str) -> bool:
    """Return whether an answer is a record that has some fields."""
    return isinstance(answer, Partial) and answer.fields >= frozenset(fields)


@pytest.fixture
def source() -> FieldwiseSource:
    """Make a source that answers at once."""
    made = FieldwiseSource()
    made.gate.set()
    return made


async def test_a_batch_that_is_not_sent_takes_the_fields_of_all_waiters(
    source: FieldwiseSource,
) -> None:
    loader = UserLoader(source.ask, frozenset("x"))

    one, other, same = (
        loader.load(A, frozenset("x")),
        loader.load(B, frozenset("y")),
        loader.load(A, frozenset("z")),
    )

    assert same is one
    assert has(await one, "xyz")
    assert has(await other, "y")
    assert source.calls == [([A, B], ALL)]


async def test_a_sent_batch_is_reused_only_by_waiters_that_need_no_other_fields(
    source: FieldwiseSource,
) -> None:
    source.gate.clear()
    loader = UserLoader(source.ask, frozenset("xy"))
    first = loader.load(A, frozenset("xy"))
    await source.asked.wait()

    less, more = loader.load(A, frozenset("y")), loader.load(A, frozenset("z"))
    source.gate.set()

    assert less is first
    assert more is not first
    assert not has(await first, "z")
    assert has(await more, "z")
    assert [fields for _, fields in source.calls] == [frozenset("xy"), ALL]


async def test_an_unknown_user_is_not_requested_again_for_other_fields(
    source: FieldwiseSource,
) -> None:
    loader = UserLoader(source.ask, frozenset("x"))

    assert await loader.load(UNKNOWN, frozenset("x")) is None
    assert await loader.load(UNKNOWN, frozenset("yz")) is None
    assert len(source.calls) == 1


async def test_a_failure_holds_for_the_requested_fields_only(source: FieldwiseSource) -> None:
    source.failing[A] = FAILED
    loader = UserLoader(source.ask, frozenset("x"))

    assert await loader.load(A, frozenset("x")) == FAILED
    assert await loader.load(A, frozenset("x")) == FAILED
    del source.failing[A]
    assert has(await loader.load(A, frozenset("y")), "y")
    assert len(source.calls) == 2


async def test_a_bug_is_not_remembered(source: FieldwiseSource) -> None:
    source.bugs = 1
    loader = UserLoader(source.ask, None)
    failed = loader.load(A, None)
    with pytest.raises(ZeroDivisionError):
        await failed

    assert has(await loader.load(A, frozenset("x")), "x")
    assert await loader.load(A, frozenset()) == record(A, ALL)
    assert len(source.calls) == 2


async def test_a_whole_record_is_reused_for_any_fields_and_a_partial_one_is_not(
    source: FieldwiseSource,
) -> None:
    whole = UserLoader(source.ask, None)
    await whole.load(A, None)
    await whole.load(A, frozenset("x"))
    part = UserLoader(source.ask, frozenset("x"))
    await part.load(A, frozenset("x"))
    await part.load(A, None)

    assert [fields for _, fields in source.calls] == [None, frozenset("x"), None]


async def test_any_record_is_reused_if_only_the_key_is_needed(source: FieldwiseSource) -> None:
    loader = UserLoader(source.ask, frozenset("x"))
    first = loader.load(A, frozenset("x"))

    assert loader.load(A, frozenset()) is first
    await first
    assert loader.load(A, frozenset()) is first
    await loader.load(B, frozenset())
    assert source.calls == [([A], frozenset("x")), ([B], frozenset("x"))]


async def test_a_remembered_record_is_reused_and_replaces_no_loaded_one(
    source: FieldwiseSource,
) -> None:
    loader = UserLoader(source.ask, frozenset("x"))
    own = await loader.load(A, frozenset("x"))

    loader.remember({A: None, B: record(B, frozenset("y"))}, frozenset("y"))

    assert await loader.load(A, frozenset("x")) == own
    assert has(await loader.load(B, frozenset("y")), "y")
    assert has(await loader.load(B, frozenset("x")), "x")
    assert [users for users, _ in source.calls] == [[A], [B]]


FIELDS = st.frozensets(st.sampled_from("xyz"))
Step = tuple[str, FieldSet]
Waiting = tuple[str, FieldSet | None, asyncio.Future[object]]

TICKS = {"tick": 1, "ticks": 5}


async def run_steps(
    steps: Sequence[Step], source: FieldwiseSource, *, selects: bool
) -> Sequence[Waiting]:
    """Load users one after the other, while the source answers or waits."""
    loader = UserLoader(source.ask, frozenset() if selects else None)
    waiting: list[Waiting] = []
    for what, fields in steps:
        wanted = fields if selects else None
        match what:
            case "tick" | "ticks":
                for _ in range(TICKS[what]):
                    await asyncio.sleep(0)
            case "open":
                source.gate.set()
            case "shut":
                source.gate.clear()
            case "key a":
                waiting.append(("a", frozenset(), loader.load(A, frozenset())))
            case _:
                waiting.append((what, wanted, loader.load(UserId(what), wanted)))
    source.gate.set()
    await asyncio.gather(*(future for _, _, future in waiting))
    return waiting


X, Y, Z = map(frozenset, "xyz")
NONE: FieldSet = frozenset()


@settings(max_examples=examples(200), deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "nobody", *TICKS, "open", "shut", "key a"]), FIELDS
        ),
        max_size=25,
    ),
    selects=st.booleans(),
)
@example(  # a user is requested after one batch has closed and before the next one is sent
    steps=[("a", X), ("tick", NONE), ("b", Y), ("tick", NONE), ("b", Z), ("tick", NONE), ("b", X)],
    selects=True,
)
async def test_each_waiter_gets_its_fields_and_no_field_is_requested_twice(
    steps: list[Step],
    selects: bool,  # noqa: FBT001 # drawn
) -> None:
    source = FieldwiseSource()
    source.gate.set()

    for user, wanted, future in await run_steps(steps, source, selects=selects):
        answer = future.result()
        if user == UNKNOWN:
            assert answer is None
            continue
        assert isinstance(answer, Partial)
        assert answer.user == user
        assert answer.fields >= (ALL if wanted is None else wanted)
    for users, _ in source.calls:
        assert len(set(users)) == len(users)
    for user in (A, B, C, UNKNOWN):
        asked = [ALL if some is None else some for users, some in source.calls if user in users]
        assert all(one < other for one, other in pairwise(asked)), user
