"""The bytes of a response become one result for each key."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.errors import Code, MalformedError, SourceFailure, what_is_wrong
from app.sources.base import DamagedRecord, Record, SourceResult, UserId
from app.sources.mapping.decoding import values_of
from app.sources.mapping.rows import AMBIGUOUS, RowReader, Rows
from app.sources.records import ACTIVITY, PROFILE, AccountRecord, ActivityRecord, ProfileRecord
from tests.fakes import Row, account_row, activity_row, profile_row
from tests.sources.odd import ODD, json_texts, with_member

CANARY = "canary-value"

LOWER = "0f8fad5b-d9cb-469f-a165-70867728950e"
UPPER = LOWER.upper()


R = TypeVar("R", bound=Record)


def ids(*keys: str) -> list[UserId]:
    """Make keys."""
    return [UserId(key) for key in keys]


def good(key: str, **changes: object) -> Row:
    """Make a row that fits the contract."""
    return profile_row(1, id=key, **changes)


def bad(key: object) -> Row:
    """Make a row that does not fit the contract."""
    return {**good("x"), "id": key, "username": 7}


def read(rows: object, *keys: str) -> Rows[ProfileRecord]:
    """Read a response of profile."""
    return RowReader(PROFILE).read(json.dumps(rows).encode(), ids(*keys))


def told(rows: Rows[Any]) -> list[str | None]:
    """Shorten results: the key of a record, the code of a failure, or ``None``."""
    return [
        one.code.value if isinstance(one, SourceFailure) else one.id if one is not None else None
        for one in map(failure_or_record, rows.answers)
    ]


def failure_or_record(answer: SourceResult[R]) -> R | SourceFailure | None:
    """Return the first failure of a damaged record, and any other result unchanged."""
    return next(iter(answer.failures.values())) if isinstance(answer, DamagedRecord) else answer


def test_rows_may_come_in_any_order() -> None:
    rows = read([good("c"), good("a"), good("b")], "a", "b", "c")

    assert told(rows) == ["a", "b", "c"]
    assert not rows.unexpected


def test_a_user_without_a_row_is_unknown() -> None:
    assert told(read([good("b")], "a", "b")) == [None, "b"]
    assert told(read([], "a", "b")) == [None, None]


def test_fields_that_the_contract_does_not_name_are_ignored() -> None:
    rows = read([good("a", shoeSize=44, nested={"id": "b"}, user_id="c")], "a", "b")

    assert told(rows) == ["a", None]
    assert not rows.unexpected


def test_an_unrequested_row_is_dropped_and_counted() -> None:
    rows = read([good("x"), good("a"), bad("y")], "a")

    assert told(rows) == ["a"]
    assert rows.unasked == 2
    assert rows.unexpected


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        (good("a", username="one"), good("a", username="two"), "one"),
        (bad("a"), good("a", username="two"), "SOURCE_MALFORMED"),
        (good("a", username="one"), bad("a"), "one"),
        (bad("a"), bad("a"), "SOURCE_MALFORMED"),
    ],
)
def test_the_first_row_of_a_key_is_used_even_if_it_is_malformed(
    first: Row, second: Row, answer: str
) -> None:
    rows = read([first, second], "a")

    [one] = map(failure_or_record, rows.answers)
    assert one is not None
    assert (one.code if isinstance(one, SourceFailure) else one.username) == answer
    assert rows.duplicate == 1
    assert rows.unasked == 0


def test_a_malformed_value_fails_only_its_own_field() -> None:
    rows = read([good("a"), bad("b"), good("c")], "a", "b", "c", "d")

    assert told(rows) == ["a", "SOURCE_MALFORMED", "c", None]
    assert len(rows.malformed) == 1
    damaged = rows.answers[1]
    assert isinstance(damaged, DamagedRecord)
    assert damaged.record == ProfileRecord.model_validate_json(
        json.dumps({**bad("b"), "username": None})
    )
    [(name, failure)] = damaged.failures.items()
    assert (name, failure.source, failure.code) == ("username", "profile", Code.SOURCE_MALFORMED)
    assert failure.detail == rows.malformed[0] == "username: Input should be a valid string"


@pytest.mark.parametrize("stray", [None, 7, "a", [], {}, {"id": None}, {"id": 7}, {"ID": "a"}])
def test_a_row_without_a_key_fails_all_users_without_a_row(stray: object) -> None:
    rows = read([stray, good("a"), bad("b")], "a", "b", "c")

    assert told(rows) == ["a", "SOURCE_MALFORMED", "SOURCE_MALFORMED"]
    assert len(rows.malformed) == 2
    assert rows.duplicate == rows.unasked == 0


def test_a_key_may_have_another_name_in_json() -> None:
    reader = RowReader(ACTIVITY)
    body = json.dumps([activity_row(1, userId="a"), activity_row(2, userId="b", loginCount="2")])
    rows = reader.read(body.encode(), ids("a", "b"))

    first, second = rows.answers
    assert isinstance(first, ActivityRecord)
    assert isinstance(second, DamagedRecord)
    assert (second.record.user_id, set(second.failures)) == ("b", {"login_count"})


HOSTILE = {
    "nothing": b"",
    "blanks": b" \n ",
    "an object": b'{"id": "a"}',
    "null": b"null",
    "a number": b"7",
    "text": b'"[]"',
    "NaN": b"NaN",
    "cut off": b'[{"id": "a"',
    "trailing text": b"[] and more",
    "two values": b"[]\n[]",
    "a trailing comma": b"[1,]",
    "HTML": b"<h1>It works!</h1>",
    "deep nesting": b"[" * 100_000,
    "deep objects": b'[{"a":' * 100_000,
    "a huge integer": b"9" * 100_000,
    "a lone surrogate": rb'"\ud800"',
    "invalid UTF-8": b"[\xff\xfe]",
    "UTF-16": "[]".encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf[]",
    "control characters": b'["\x00\x01"]',
    "single quotes": b"['a']",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_body_that_is_not_a_json_array_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        RowReader(PROFILE).read(body, ids("a"))


@given(body=st.binary(max_size=60) | st.text(alphabet='[]{}",:\\u0d1eNaI-.9 \x00', max_size=40))
def test_any_body_gives_rows_or_a_malformed_error(body: bytes | str) -> None:
    raw = body.encode() if isinstance(body, str) else body
    try:
        rows = RowReader(PROFILE).read(raw, ids("a"))
    except MalformedError:
        return
    assert len(rows.answers) == 1


EXTRAS = {
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "a float beyond all": b"1e999",
    "a tiny float": b"1e-999",
    "a large integer": b"9" * 4000,
    "deep nesting": b"[" * 150 + b"]" * 150,
    "escapes": b'"\\u0000\\ud83d\\ude00\\/"',
    "repeated names": b'{"a": 1, "a": 2}',
}


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize("beside", [b"", b', {"id": "b"}'], ids=["alone", "beside a bad row"])
def test_an_ignored_field_may_have_any_value(extra: bytes, beside: bytes) -> None:
    row = json.dumps(good("a")).encode()[:-1] + b', "extra": ' + extra + b"}"
    rows = RowReader(PROFILE).read(b"[" + row + beside + b"]", ids("a"))

    assert told(rows) == ["a"]


@pytest.mark.parametrize("beside", [b"", b', {"id": "c"}'], ids=["alone", "beside a bad row"])
def test_the_last_value_of_a_repeated_member_is_used(beside: bytes) -> None:
    row = json.dumps(good("b")).encode()[:-1] + b', "id": "a"}'
    rows = RowReader(PROFILE).read(b"[" + row + beside + b"]", ids("a", "b"))

    assert told(rows) == ["a", None]


def test_the_last_key_of_a_malformed_row_is_used() -> None:
    body = b'[{"id": "b", "username": 7, "id": "a"}]'

    assert told(RowReader(PROFILE).read(body, ids("a", "b"))) == ["SOURCE_MALFORMED", None]


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_an_unreadable_row_fails_all_users_without_a_row(
    value: bytes,
) -> None:
    body = b"[" + json.dumps(good("a")).encode() + b", " + value + b"]"
    rows = RowReader(PROFILE).read(body, ids("a", "b"))

    assert told(rows) == ["a", "SOURCE_MALFORMED"]
    assert rows.malformed == ["a row without a key"]


@given(data=st.data(), name=st.sampled_from(["id", "username", "createdAt", "extra"]))
def test_an_odd_row_does_not_change_the_results_of_other_rows(
    data: st.DataObject, name: str
) -> None:
    kept = {one: value for one, value in good("b").items() if one != name}
    odd = with_member(json.dumps(kept).encode(), name, data.draw(json_texts))
    others = [json.dumps(good(key)).encode() for key in "ac"]
    reader = RowReader(PROFILE)

    rows = reader.read(b"[" + b",".join([others[0], odd, others[1]]) + b"]", ids("a", "b", "c"))

    alone = reader.read(b"[" + b",".join(others) + b"]", ids("a", "c")).answers
    [first, found, last] = rows.answers
    assert [values(one) for one in (first, last)] == [values(one) for one in alone]
    if name == "extra":
        assert values(found) == values(reader.read(odd_alone(good("b")), ids("b")).answers[0])


def odd_alone(row: Row) -> bytes:
    """Write a response with one row."""
    return json.dumps([row]).encode()


def values(answer: object) -> object:
    """Return the values of a result, for both ways of reading."""
    assert isinstance(answer, Record | msgspec.Struct)
    return values_of(answer)


@pytest.mark.parametrize(
    ("key", "written"),
    [(UPPER, LOWER), (LOWER, UPPER)],
    ids=["requested in capitals", "returned in capitals"],
)
@pytest.mark.parametrize("odd", [False, True], ids=["quick", "one by one"])
def test_a_uuid_in_capitals_is_the_same_user(key: str, written: str, *, odd: bool) -> None:
    beside = bad("x") if odd else good("x")

    alone = read([good(written)], key)
    rows = read([beside, good(written), good("b")], "b", key, "x", "c")

    assert told(alone) == [written]
    assert told(rows) == ["b", written, "SOURCE_MALFORMED" if odd else "x", None]
    assert alone.unasked == rows.unasked == rows.duplicate == 0


@pytest.mark.parametrize("odd", [False, True], ids=["quick", "one by one"])
def test_a_uuid_requested_in_both_cases_has_one_row(*, odd: bool) -> None:
    rows = read([bad("x") if odd else good("x"), good(LOWER)], LOWER, UPPER, "x")

    assert told(rows)[:2] == [LOWER, LOWER]
    assert not rows.unasked


@pytest.mark.parametrize("odd", [False, True], ids=["quick", "one by one"])
def test_two_rows_of_a_uuid_in_other_cases_are_ambiguous(*, odd: bool) -> None:
    mixed = LOWER[:18] + UPPER[18:]
    rows = read([bad("x") if odd else good("x"), good(LOWER), good(UPPER)], mixed, UPPER)

    assert told(rows) == ["SOURCE_MALFORMED", UPPER]
    assert rows.malformed == [AMBIGUOUS]


def test_other_keys_differ_by_case_without_fold_case() -> None:
    body = odd_alone(good("ANN"))

    assert told(RowReader(PROFILE).read(body, ids("ann"))) == [None]
    assert told(RowReader(PROFILE, fold_case=True).read(body, ids("ann"))) == ["ANN"]
    assert told(RowReader(PROFILE, fold_case=True).read(odd_alone(good("\u212a")), ids("k"))) == [
        None
    ]


def test_the_number_of_rows_that_are_read_one_by_one_is_limited() -> None:
    rows = b'{"id": "x"},' * 100_001
    body = b"[" + json.dumps(bad("b")).encode() + b"," + rows + b'{"id": "a"}]'

    found = RowReader(PROFILE).read(body, ids("a", "b"))

    assert told(found) == ["SOURCE_MALFORMED", "SOURCE_MALFORMED"]
    assert found.malformed[-1] == "more than 100,000 rows"


@dataclass(frozen=True)
class RowCase:
    """A row of the property: its key, if it has one, and whether it fits."""

    key: str | None
    fits: bool

    @property
    def row(self) -> object:
        """The row itself."""
        if self.key is None:
            return {"username": "nobody"}
        return good(self.key) if self.fits else bad(self.key)


KEYS = "abcdef"


@st.composite
def answers(draw: st.DrawFn) -> list[RowCase]:
    """Make responses of good, bad, duplicate, unrequested and keyless rows."""
    keyed = st.builds(RowCase, st.sampled_from(KEYS), st.booleans())
    nameless = st.just(RowCase(None, fits=False))
    return draw(st.lists(keyed | keyed | keyed | nameless, max_size=10))


def reference(sent: Sequence[RowCase], asked: Sequence[str]) -> list[str | None]:
    """Find the results in a plain way, one key at a time."""
    found: list[str | None] = []
    for key in asked:
        own = [one for one in sent if one.key == key]
        if own:
            found.append(key if own[0].fits else "SOURCE_MALFORMED")
        elif any(one.key is None for one in sent):
            found.append("SOURCE_MALFORMED")
        else:
            found.append(None)
    return found


@given(sent=answers(), asked=st.lists(st.sampled_from(KEYS), unique=True))
def test_each_key_has_the_result_of_a_plain_reference(
    sent: list[RowCase], asked: list[str]
) -> None:
    rows = read([one.row for one in sent], *asked)

    keyed = [one.key for one in sent if one.key is not None]
    wanted = [key for key in keyed if key in asked]
    assert told(rows) == reference(sent, asked)
    assert rows.duplicate == len(wanted) - len(set(wanted))
    assert rows.unasked == len(keyed) - len(wanted)
    assert bool(rows.malformed) == ("SOURCE_MALFORMED" in told(rows) or len(keyed) < len(sent))
    assert rows.unexpected == bool(rows.malformed or rows.duplicate or rows.unasked)
    for one in rows.answers:
        assert not isinstance(one, SourceFailure) or one.code is Code.SOURCE_MALFORMED


JSON: st.SearchStrategy[Any] = st.recursive(
    st.just(CANARY) | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just(CANARY), inner, max_size=1),
    max_leaves=4,
)

ROWS: list[tuple[type[Record], Row]] = [
    (ProfileRecord, profile_row(1)),
    (AccountRecord, account_row(1)),
    (ActivityRecord, activity_row(1)),
]


@pytest.mark.parametrize(("record", "row"), ROWS, ids=["profile", "billing", "activity"])
@given(data=st.data())
def test_a_validation_message_has_the_place_but_not_the_value(
    record: type[Record], row: Row, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(row)))
    value = data.draw(JSON | st.fixed_dictionaries({"amount": JSON, "currency": JSON}))
    try:
        record.model_validate_json(json.dumps({**row, name: value, CANARY: CANARY}))
    except ValidationError as error:
        sentence = what_is_wrong(error)
        assert sentence.startswith(name)
        assert CANARY not in sentence


def test_a_validation_message_has_the_number_of_further_mistakes() -> None:
    with pytest.raises(ValidationError) as caught:
        ProfileRecord.model_validate_json('{"id": 7}')

    sentence = what_is_wrong(caught.value)
    assert sentence == "id: Input should be a valid string"

    with pytest.raises(ValidationError) as caught:
        ProfileRecord.model_validate_json('{"id": 7, "email": 7}')

    assert what_is_wrong(caught.value) == "id: Input should be a valid string (and 1 more)"
