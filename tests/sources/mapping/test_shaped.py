"""Reading responses of any shape that settings can describe."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import MalformedError, SourceFailure
from app.expressions.money import currencies, places_of
from app.settings.source import SourceSettings
from app.sources.base import DamagedRecord, Record, SourceSpec, UserId
from app.sources.mapping.paging import NextPage
from app.sources.mapping.readers import reader_of
from app.sources.mapping.row_mapper import MappingError
from app.sources.mapping.rows import AMBIGUOUS, RawAnswer, Rows
from app.sources.records import BILLING, PROFILE, AccountRecord, ProfileRecord
from tests.expressions.test_money import written
from tests.fakes import profile_row
from tests.fastpath.test_scan import HOSTILE
from tests.sources.mapping.test_rows import LOWER, UPPER, told
from tests.sources.odd import ODD, json_texts, with_member

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


T = TypeVar("T")


def present(value: T | None) -> T:
    """Check that a value is there, and return it."""
    assert value is not None
    return value


def ids(*keys: str) -> list[UserId]:
    """Make keys."""
    return [UserId(key) for key in keys]


EACH = {"form": "each", "path": "/users/{key}"}


def read(
    body: object,
    keys: Sequence[str],
    answer: Mapping[str, object],
    *,
    fields: Mapping[str, str] | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    spec: SourceSpec[Any] = PROFILE,
    **changes: object,
) -> Rows[Any]:
    """Read a response; a body that is not bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = EACH if answer.get("many") is False else None
    settings = {"base_url": "http://a", "request": request, "answer": answer, "fields": fields}
    reader = reader_of(spec, SourceSettings.model_validate(settings | changes))
    rows = reader.read(RawAnswer(status, headers or {}, raw), ids(*keys))
    rows.answers = [*reader.results(rows, ids(*keys))]
    return rows


def row(key: object, **changes: object) -> Mapping[str, object]:
    """Make a row that fits the record."""
    return profile_row(1, id=key, **changes)


# The places and the keys of rows


def test_rows_may_be_anywhere_in_any_order() -> None:
    body = {"data": [{"a.b": [row("b"), row("a")]}]}

    assert told(read(body, "abc", {"rows": ["data", 0, "a.b"]})) == ["a", "b", None]


def test_a_single_row_belongs_to_the_requested_user() -> None:
    answer = {"rows": ["user"], "many": False}

    assert told(read({"user": row(7)}, "a", answer)) == ["a"]
    assert told(read({"user": None}, "a", answer)) == [None]
    assert told(read({"user": [row("a")]}, "a", answer)) == ["SOURCE_MALFORMED"]
    assert told(read({"user": {"error": "no such user"}}, "a", answer)) == ["SOURCE_MALFORMED"]
    assert told(read({"user": "text"}, "a", answer)) == ["SOURCE_MALFORMED"]


def test_a_single_row_without_a_key_needs_requests_with_one_key() -> None:
    settings = {"base_url": "http://a", "answer": {"many": False}}

    with pytest.raises(MappingError, match="many is false, and requests have several keys"):
        reader_of(PROFILE, SourceSettings.model_validate(settings))
    reader_of(PROFILE, SourceSettings.model_validate({**settings, "max_keys": 1}))


@pytest.mark.parametrize(
    ("key", "asked", "taken"),
    [
        *[("a", "a", True), ("b", "a", False), ("A", "a", False), ("", "a", False)],
        *[(7, "7", True), (8, "7", False), ("8", "7", False)],
        *[(7, "a", True), (None, "a", True), (True, "a", True)],
    ],
)
def test_a_single_row_with_another_key_does_not_belong_to_the_requested_user(
    key: object, asked: str, *, taken: bool
) -> None:
    rows = read(row(key), [asked], {"many": False})

    assert told(rows) == [asked if taken else None]
    assert rows.unasked == (not taken)


def test_the_key_of_a_single_row_is_not_checked_if_its_name_is_uncertain() -> None:
    names = ("username", "displayName", "email", "createdAt")
    fields = {name: name for name in names}
    by_other_keys: dict[str, object] = {"base_url": "http://a", "request": EACH}
    by_other_keys["answer"] = {"many": False}
    by_other_keys |= {"key_from": {"source": "profile", "expression": "customer"}}
    reader = reader_of(PROFILE, SourceSettings.model_validate(by_other_keys))

    assert told(read(row("b"), "a", {"many": False}, fields=fields)) == ["a"]
    raw = RawAnswer(200, {}, json.dumps(row("b")).encode())
    assert told(reader.read(raw, ids("a"))) == ["a"]


def test_a_single_row_with_a_configured_key_has_to_match_a_requested_user() -> None:
    answer = {"many": False, "key": ["id"]}

    assert told(read(row("b"), "ab", answer)) == [None, "b"]
    other = read(row("c"), "a", answer)
    assert told(other) == [None]
    assert other.unasked == 1


def test_rows_may_be_named_by_their_keys() -> None:
    body = {"users": {"b": row("?"), "x": row("x")}}
    rows = read(body, "ab", {"rows": ["users"], "by_key": True})

    assert told(rows) == [None, "b"]
    assert rows.unasked == 1


def test_a_row_may_be_a_bare_value() -> None:
    body = {"a": 12.30, "b": None, "c": "x"}
    fields = {"plan": "'pro'", "status": "'active'", "balance": "money_decimal(@, 'EUR')"}
    rows = read(body, "abc", {"by_key": True}, fields=fields, spec=BILLING)

    [one, two, three] = rows.answers
    assert isinstance(one, AccountRecord)
    assert present(one.balance).amount == 1230
    assert isinstance(two, SourceFailure)
    assert isinstance(three, DamagedRecord)
    assert set(three.failures) == {"balance"}


@pytest.mark.parametrize("key", [7, "7"])
def test_the_key_may_be_nested_and_a_number(key: object) -> None:
    body = [{**row("?"), "ref": {"ids": [0, key]}}]

    assert told(read(body, "7", {"key": ["ref", "ids", 1]})) == ["7"]


@pytest.mark.parametrize("key", [None, 7.5, True, ["a"], {"a": 1}, 7.0])
def test_a_row_with_an_unreadable_key_fails_all_users_without_a_row(key: object) -> None:
    rows = read([row("a"), {**row("a"), "id": key}], "ab", {})

    assert told(rows) == ["a", "SOURCE_MALFORMED"]
    assert rows.malformed == ["a row without a key"]
    assert rows.found == 1


def test_the_key_may_come_from_an_expression() -> None:
    fields = {
        "id": "split.user",
        "username": "n",
        "displayName": "n",
        "email": "n",
        "createdAt": "iso_time(t)",
    }
    body = [{"split": {"user": "a"}, "n": "x", "t": "2024-01-01T00:00:00Z"}, {"split": 1}]

    assert told(read(body, "ab", {}, fields=fields)) == ["a", "SOURCE_MALFORMED"]
    failing = {**fields, "id": "lower(n)"}
    assert told(read([{"n": 7}], "a", {}, fields=failing)) == ["SOURCE_MALFORMED"]


def test_keys_that_differ_only_in_case_are_equal_with_fold_case() -> None:
    body = [row("ANN"), row("stra\u00dfe"), row("\u212aim")]
    asked = ["ann", "STRASSE", "bob", "strasse", "kim"]

    assert told(read(body, asked, {"fold_case": True})) == ["ann", None, None, None, None]
    assert told(read(body, ["ann"], {})) == [None]
    assert told(read(body, ["stra\u00dfe"], {"fold_case": True})) == ["stra\u00dfe"]


def test_two_users_that_differ_only_in_case_share_a_row_with_fold_case() -> None:
    rows = read([row("Ann")], ["ann", "ANN"], {"fold_case": True})

    assert told(rows) == ["ann", "ANN"]
    assert rows.duplicate == 0


def test_an_exact_key_has_its_own_row_and_an_ambiguous_one_fails() -> None:
    rows = read([row("Ann"), row("ANN")], ["ann", "ANN"], {"fold_case": True})

    assert told(rows) == ["SOURCE_MALFORMED", "ANN"]
    assert rows.duplicate == 1
    assert rows.malformed == [AMBIGUOUS]


@pytest.mark.parametrize("answer", [{}, {"key": ["id"]}, {"many": False, "key": ["id"]}])
@pytest.mark.parametrize(("key", "written"), [(UPPER, LOWER), (LOWER, UPPER)])
def test_a_uuid_in_capitals_is_the_same_user(
    answer: Mapping[str, object], key: str, written: str
) -> None:
    body = row(written) if answer.get("many") is False else [row(written)]

    # Each result is that user, with the key as requested or as written in the row.
    assert [str(one).lower() for one in told(read(body, [key], answer))] == [LOWER]
    assert [str(one).lower() for one in told(read(body, [LOWER, UPPER], answer))] == [LOWER, LOWER]


def test_a_uuid_in_capitals_can_be_the_member_name_of_its_row() -> None:
    assert told(read({UPPER: row("?")}, [LOWER], {"by_key": True})) == [LOWER]


def test_the_first_row_of_a_key_is_used_and_the_others_are_counted() -> None:
    rows = read([row("a", username="one"), row("x"), row("a", username="two")], "a", {})

    [one] = rows.answers
    assert isinstance(one, ProfileRecord)
    assert one.username == "one"
    assert (rows.duplicate, rows.unasked) == (1, 1)


def test_a_malformed_row_fails_only_its_own_user() -> None:
    rows = read([row("a"), row("b", username=7)], "abc", {})

    assert told(rows) == ["a", "SOURCE_MALFORMED", None]
    assert rows.malformed == ["username: Input should be a valid string"]


# Absent rows and cut off responses


@pytest.mark.parametrize("status", [404, 204])
def test_a_status_can_mean_that_all_users_are_unknown(status: int) -> None:
    table = {str(status): "absent"}

    assert told(read(b"no JSON", "ab", {"status": table}, status=status)) == [None, None]


@pytest.mark.parametrize("status", [403, 204, 500])
def test_a_status_without_a_meaning_is_malformed(status: int) -> None:
    with pytest.raises(MalformedError, match=f"status {status}"):
        read([row("a")], "a", {"status": {"403": "auth"}}, status=status)


def test_a_user_without_a_row_in_a_partial_response_is_not_absent() -> None:
    rows = read([row("a")], "ab", {}, status=206)

    assert told(rows) == ["a", "SOURCE_MALFORMED"]
    failure = rows.answers[1]
    assert isinstance(failure, SourceFailure)
    assert failure.detail == "the answer was cut off, as told by its status"
    assert rows.next == NextPage(offset=1)
    assert rows.remainder.more is not None
    assert not rows.malformed


def test_a_cut_off_response_does_not_fail_the_users_with_a_row() -> None:
    rows = read([row("a")], "a", {}, headers={"content-range": "items 0-0/319"})

    assert told(rows) == ["a"]
    assert rows.remainder.more is not None
    assert rows.next is None


def test_a_status_can_be_configured_as_partial() -> None:
    assert told(read([], "a", {"status": {"207": "partial"}}, status=207)) == ["SOURCE_MALFORMED"]
    assert told(read([], "a", {"status": {"207": "rows"}}, status=207)) == [None]


@pytest.mark.parametrize("answer", [{"key": ["id"]}, {"by_key": True}, {"group": {}}], ids=str)
def test_null_instead_of_rows_is_malformed_without_a_path_to_the_rows(
    answer: dict[str, object],
) -> None:
    with pytest.raises(MalformedError, match="expected rows, got nothing"):
        read(None, "a", answer)
    assert told(read(None, "a", {"many": False})) == [None]  # a single row that is missing


def test_missing_rows_are_malformed_but_null_means_no_rows() -> None:
    assert told(read({"data": None}, "a", {"rows": ["data"]})) == [None]
    bodies: list[object] = [{"error": "no"}, {"data": {"rows": []}}, []]
    for body in bodies:
        with pytest.raises(MalformedError, match="expected rows at data → row, got nothing"):
            read(body, "a", {"rows": ["data", "row"]})


def test_rows_may_be_missing_if_the_total_is_zero() -> None:
    answer = {"rows": ["Resources"], "more": {"total": ["totalResults"]}}

    assert told(read({"totalResults": 0}, "a", answer)) == [None]
    with pytest.raises(MalformedError, match="Resources"):
        read({"totalResults": 1}, "a", answer)


def test_a_single_row_never_counts_as_a_full_page() -> None:
    answer = {"many": False, "key": ["id"], "more": {"limit": 1}}

    assert told(read(row("x"), "a", answer)) == [None]


def test_the_first_of_several_rows_without_keys_is_not_taken_for_the_user() -> None:
    fields = {"username": "username"}
    answer = {"many": False, "rows": ["data", 0]}
    rows = [{"username": "one"}, {"username": "two"}]

    assert told(read({"data": rows[:1]}, "a", answer, fields=fields)) == ["a"]
    assert told(read({"data": []}, "a", answer, fields=fields)) == [None]
    with pytest.raises(MalformedError, match="2 rows without a key for one user"):
        read({"data": rows}, "a", answer, fields=fields)
    keyed = [{**one, "id": key} for one, key in zip(rows, "ab", strict=True)]
    assert told(read({"data": keyed}, "a", {**answer, "key": ["id"]}, fields=fields)) == ["a"]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {}),
        (200, {"content-range": "items 0-19/100"}),
        (200, {"link": '</users/a?page=2>; rel="next"'}),
    ],
)
def test_a_cut_off_single_row_is_a_failure(status: int, headers: Mapping[str, str]) -> None:
    rows = read(row("a"), "a", {"many": False}, status=status, headers=headers)

    assert told(rows) == ["SOURCE_MALFORMED"]
    [wrong] = rows.malformed
    assert wrong.startswith("the row was cut off, as told by ")
    whole = read(row("a"), "a", {"many": False}, headers={"content-range": "items 0-0/1"})
    assert told(whole) == ["a"]


# Hostile responses


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_body_that_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        read(body, "a", {})


def test_no_more_rows_than_max_rows_are_read() -> None:
    body = b"[" + b'{"id":"x"},' * 1_000_000 + b'{"id":"a"}]'
    rows = read(body, "a", {"max_rows": 1_000})

    assert rows.unasked == 1_000
    assert told(rows) == ["SOURCE_MALFORMED"]
    assert rows.next is None
    failure = rows.remainder.answer
    assert failure is not None
    assert failure.detail.endswith("more than 1,000 rows, which is `max_rows`")


@pytest.mark.parametrize("extra", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", ["extra", "locale", "id"])
def test_an_odd_value_fails_at_most_its_own_row(extra: bytes, name: str) -> None:
    good = json.dumps(row("b")).encode()
    kept = {one: value for one, value in row("a").items() if one != name}
    odd = with_member(json.dumps(kept).encode(), name, extra)

    for answer in ({}, {"key": ["id"]}, {"fold_case": True}):
        rows = read(b"[" + odd + b", " + good + b"]", "ab", answer)

        if name == "id" and extra == ODD["an integer of 400 digits"]:  # a key that no user has
            assert told(rows) == [None, "b"]
        else:
            assert told(rows) == ["a" if name == "extra" else "SOURCE_MALFORMED", "b"]


def test_the_last_value_of_a_repeated_member_is_used() -> None:
    body = b'[{"id": "b", ' + json.dumps(row("a")).encode()[1:] + b"]"

    assert told(read(body, "ab", {})) == ["a", None]


@pytest.mark.parametrize("name", [rb'"b\ud83d"', b'"b\xff"'])
def test_an_unreadable_member_name_fails_all_users_without_a_row(name: bytes) -> None:
    good = json.dumps(row("?")).encode()
    body = b'{"a": ' + good + b", " + name + b": " + good + b"}"

    rows = read(body, "ab", {"by_key": True})

    assert told(rows) == ["a", "SOURCE_MALFORMED"]
    assert rows.malformed == ["a row without a key"]


@given(data=st.data(), name=st.sampled_from(["id", "username", "createdAt", "extra"]))
def test_an_odd_row_does_not_change_the_results_of_other_rows(
    data: st.DataObject, name: str
) -> None:
    kept = {one: value for one, value in row("b").items() if one != name}
    odd = with_member(json.dumps(kept).encode(), name, data.draw(json_texts))
    others = [json.dumps(row(key)).encode() for key in "ac"]
    fields = data.draw(st.sampled_from([None, {**PLAIN, "locale": "to_string(@)"}, PLAIN]))

    rows = read(b"[" + b",".join([others[0], odd, others[1]]) + b"]", "abc", {}, fields=fields)
    alone = read(b"[" + b",".join(others) + b"]", "ac", {}, fields=fields)

    assert [rows.answers[0], rows.answers[2]] == alone.answers


PLAIN = {
    "username": "username",
    "displayName": "displayName",
    "email": "email",
    "createdAt": "iso_time(createdAt)",
}


@given(body=st.binary(max_size=60) | st.text(alphabet='[]{}",:\\u0d1eNaI-.9 \x00id', max_size=40))
def test_any_body_gives_rows_or_a_malformed_error(body: bytes | str) -> None:
    raw = body.encode() if isinstance(body, str) else body
    for answer in ({}, {"rows": ["i"]}, {"many": False}, {"by_key": True}):
        try:
            rows = read(raw, "a", answer)
        except MalformedError:
            continue
        assert len(rows.answers) == 1


# Rows written in foreign shapes


@dataclass(frozen=True)
class Foreign:
    """A service whose responses are very different from the default contract.

    Attributes:
        answer: The ``answer`` settings.
        fields: The ``fields`` settings.
        write: Writes the response with the rows of some users.
    """

    answer: Mapping[str, object]
    fields: Mapping[str, str]
    write: Callable[[Sequence[Record]], object]


def _scim(records: Sequence[ProfileRecord]) -> object:
    """Write users as SCIM does (RFC 7643)."""
    zone = timedelta(hours=5, minutes=45)
    resources = [
        {
            "id": record.id.upper(),
            "userName": record.username,
            "name": {"formatted": record.display_name},
            "emails": [
                {"value": "other@example.com", "primary": False},
                {"value": record.email, "primary": True},
            ],
            **({"locale": record.locale} if record.locale is not None else {}),
            "photos": [{"value": record.avatar_url}] if record.avatar_url is not None else [],
            "meta": {"created": f"{(present(record.created_at) + zone).replace(tzinfo=None)}+0545"},
        }
        for record in records
    ]
    rows = {"Resources": resources} if resources else {}
    return {"totalResults": len(resources), "startIndex": 1, **rows}


def _by_key(records: Sequence[ProfileRecord]) -> object:
    """Write users as an object of lists, with milliseconds."""
    return [
        {"ok": True},
        {
            "urn:x.y": {
                record.id: [
                    record.username,
                    None,
                    record.display_name,
                    record.email,
                    record.avatar_url or "",
                    record.locale or "",
                    str((present(record.created_at) - EPOCH) // MILLISECOND),
                ]
                for record in records
            }
        },
    ]


PROFILES = {
    "SCIM": Foreign(
        {
            "rows": ["Resources"],
            "key": ["id"],
            "fold_case": True,
            "more": {"total": ["totalResults"]},
        },
        {
            "username": "userName",
            "display_name": "not_null(displayName, name.formatted)",
            "email": "(emails[?primary].value)[0] || emails[0].value",
            "avatar_url": "photos[0].value",
            "locale": "locale",
            "created_at": "iso_time(meta.created)",
        },
        _scim,  # type: ignore[arg-type] # records of profile
    ),
    "lists by key": Foreign(
        {"rows": [1, "urn:x.y"], "by_key": True},
        {
            "username": "[0]",
            "displayName": "not_null([1], [2])",
            "email": "[3]",
            "avatarUrl": "[4] || `null`",
            "locale": "[5] || null",
            "createdAt": "unix_millis([6])",
        },
        _by_key,  # type: ignore[arg-type] # the same
    ),
}

WORD = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
MOMENTS = st.integers(0, 2**41).map(lambda number: EPOCH + number * MILLISECOND)
KEYS = "abcdef"


@st.composite
def profiles(draw: st.DrawFn) -> Sequence[ProfileRecord]:
    """Make records of some users."""
    return [
        ProfileRecord.model_validate(
            {
                "id": key,
                "username": draw(WORD),
                "displayName": draw(WORD),
                "email": draw(WORD),
                "avatarUrl": draw(st.none() | WORD),
                "locale": draw(st.none() | WORD),
                "createdAt": draw(MOMENTS),
            }
        )
        for key in draw(st.permutations(draw(st.sets(st.sampled_from(KEYS)).map(sorted))))
    ]


@pytest.mark.parametrize("foreign", PROFILES.values(), ids=PROFILES)
@given(records=profiles())
def test_users_in_a_foreign_shape_are_read_unchanged(
    foreign: Foreign, records: Sequence[ProfileRecord]
) -> None:
    rows = read(foreign.write(records), KEYS, foreign.answer, fields=foreign.fields)

    known = {record.id: record for record in records}
    assert rows.answers == [known.get(key) for key in KEYS]
    assert not rows.unexpected


def _minor(records: Sequence[AccountRecord]) -> bytes:
    """Write accounts with minor units and seconds."""
    rows = [
        {
            "customer": {"id": record.user_id},
            "items": {"data": [{"plan": record.plan}]},
            "status": present(record.status).upper(),
            "amount": present(record.balance).amount,
            "currency": present(record.balance).currency.lower(),
            "end": None
            if record.renews_at is None
            else (record.renews_at - EPOCH) // timedelta(seconds=1),
        }
        for record in records
    ]
    return json.dumps({"object": "list", "has_more": False, "data": rows}).encode()


def _decimal(records: Sequence[AccountRecord]) -> bytes:
    """Write accounts with decimal numbers, digit by digit."""
    rows: list[str] = []
    for record in records:
        money = present(record.balance)
        places = places_of(money.currency)
        texts = {
            "ref": json.dumps(record.user_id),
            "plan": json.dumps(record.plan),
            "state": json.dumps(record.status),
            "due": written(money.amount, places),
            "code": json.dumps(money.currency),
            "renews": json.dumps(record.renews_at and str(record.renews_at.replace(tzinfo=None))),
        }
        rows.append("{" + ", ".join(f'"{name}": {text}' for name, text in texts.items()) + "}")
    return f"[{', '.join(rows)}]".encode()


def _text(records: Sequence[AccountRecord]) -> bytes:
    """Write the same with the decimal numbers in quotes."""
    text = _decimal(records).decode()
    for record in records:
        amount = written(
            present(record.balance).amount, places_of(present(record.balance).currency)
        )
        text = text.replace(f'"due": {amount},', f'"due": "{amount}",')
    return text.encode()


_DECIMAL = {
    "plan": "plan",
    "status": "state",
    "balance": "money_decimal(due, code)",
    "renews_at": "iso_time_utc(renews)",
}

ACCOUNTS = {
    "minor units": Foreign(
        {"rows": ["data"], "key": ["customer", "id"], "more": {"has_more": ["has_more"]}},
        {
            "plan": "items.data[0].plan",
            "status": "lower(status)",
            "balance": "money_minor(amount, currency)",
            "renews_at": "unix_seconds(end)",
        },
        _minor,  # type: ignore[arg-type] # records of billing
    ),
    "decimal numbers": Foreign({"key": ["ref"]}, _DECIMAL, _decimal),  # type: ignore[arg-type] # the same
    "decimal text": Foreign({"key": ["ref"]}, _DECIMAL, _text),  # type: ignore[arg-type] # the same
}


@st.composite
def accounts(draw: st.DrawFn) -> Sequence[AccountRecord]:
    """Make accounts of some users."""
    whole = MOMENTS.map(lambda time: time.replace(microsecond=0))
    return [
        AccountRecord.model_validate(
            {
                "userId": key,
                "plan": draw(WORD),
                "status": draw(st.sampled_from(["active", "past_due", "cancelled"])),
                "balance": {
                    "amount": draw(st.integers(-(2**53) + 1, 2**53 - 1)),
                    "currency": draw(st.sampled_from(sorted(currencies()))),
                },
                "renewsAt": draw(st.none() | whole),
            }
        )
        for key in draw(st.sets(st.sampled_from(KEYS)).map(sorted))
    ]


@pytest.mark.parametrize("foreign", ACCOUNTS.values(), ids=ACCOUNTS)
@given(records=accounts())
def test_accounts_in_a_foreign_shape_are_read_exactly(
    foreign: Foreign, records: Sequence[AccountRecord]
) -> None:
    body = foreign.write(records)
    rows = read(body, KEYS, foreign.answer, fields=foreign.fields, spec=BILLING)

    known = {record.user_id: record for record in records}
    assert rows.answers == [known.get(key) for key in KEYS]
    assert not rows.unexpected
