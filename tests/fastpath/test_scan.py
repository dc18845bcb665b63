"""Both scanners find the same rows in the JSON of a response."""

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import MalformedError
from app.expressions.functions import as_json
from app.fastpath.scan import scanner_at_once
from app.settings.response import AnswerSettings
from app.sources.mapping.decoding import Scanner
from app.sources.mapping.scan import ScannedDocument, at, is_text, scan
from tests.sources.mapping.test_rows import EXTRAS
from tests.sources.odd import ODD, with_member

Json = Any

AT_ONCE = scanner_at_once()


def scanned(body: bytes | str, **settings: object) -> ScannedDocument:
    """Scan a text row by row and at once, and check that both results are the same."""
    raw = body.encode() if isinstance(body, str) else body
    wanted = AnswerSettings.model_validate(settings)
    at_once = result_of(AT_ONCE, raw, wanted)
    assert at_once == result_of(scan, raw, wanted)
    return scan(raw, wanted)


def result_of(way: Scanner, raw: bytes, settings: AnswerSettings) -> str:
    """Return the result of a scanner as text, with the types of values, or its error."""
    try:
        return repr(way(raw, settings))
    except MalformedError as error:
        return f"malformed: {error}"


def values(document: ScannedDocument) -> list[object]:
    """List the rows in their order."""
    return [*(document.rows or ())]


def test_rows_may_be_the_whole_body() -> None:
    assert values(scanned(' [ {"id": 1} , 2 ] ')) == [{"id": 1}, 2]
    assert values(scanned("[]")) == []
    assert values(scanned(" null ")) == []


def test_rows_are_found_by_a_path_of_names_and_indexes() -> None:
    body = '{"a.b:c": [0, {"rows": [1, 2], "more": true}, 3], "n": [4]}'
    document = scanned(body, rows=["a.b:c", 1, "rows"])

    assert values(document) == [1, 2]
    assert document.around == {"a.b:c": [0, {"rows": None, "more": True}, 3], "n": [4]}


@pytest.mark.parametrize("first", ["7", "null", "{}", '"text"', "[9]", "[NaN]"])
def test_an_earlier_member_with_the_same_name_is_ignored(first: str) -> None:
    within = f'{{"data": {{"rows": {first}}}, "data": {{"rows": [1]}}}}'

    assert values(scanned(f'{{"rows": {first}, "rows": [1]}}', rows=["rows"])) == [1]
    assert values(scanned(within, rows=["data", "rows"])) == [1]
    assert scanned(f'{{"rows": [1], "rows": {first}, "rows": null}}', rows=["rows"]).null


def test_a_single_row_may_be_read() -> None:
    assert values(scanned('{"user": {"id": 1}}', rows=["user"], many=False)) == [{"id": 1}]
    assert values(scanned('{"user": null}', rows=["user"], many=False)) == []
    assert values(scanned('[{"id": 1}]', rows=[0], many=False)) == [{"id": 1}]
    assert values(scanned("[]", rows=[0], many=False)) == []


def test_rows_may_be_members_with_their_keys_as_names() -> None:
    document = scanned('{"users": {"a": 1, "b": {}}}', rows=["users"], by_key=True)

    assert (document.rows, document.names) == ([1, {}], ("a", "b"))
    assert values(scanned('{"users": {}}', rows=["users"], by_key=True)) == []


@pytest.mark.parametrize("body", ["{}", '{"rows": []}', "[]", "[{}]", "7", "null", '{"data": 1}'])
def test_rows_are_none_if_the_path_does_not_exist(body: str) -> None:
    assert scanned(body, rows=["data", "rows"]).rows is None


@pytest.mark.parametrize(
    ("body", "settings"),
    [
        ('{"id": 1}', {}),
        ('"text"', {}),
        ("7", {}),
        ("[]", {"by_key": True}),
        ('{"rows": {}}', {"rows": ["rows"]}),
    ],
)
def test_a_value_of_another_type_in_place_of_the_rows_is_malformed(
    body: str, settings: dict[str, object]
) -> None:
    with pytest.raises(MalformedError, match="of rows, got"):
        scanned(body, **settings)


def test_numbers_with_a_fraction_keep_their_digits() -> None:
    row = values(scanned("[0.10, 1E2, 12345678901234567890, -Infinity, NaN]"))

    assert [str(one) for one in row] == ["0.10", "1E+2", "12345678901234567890", "-Infinity", "NaN"]
    assert [type(one) for one in row] == [Decimal, Decimal, int, Decimal, Decimal]


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize("place", ["row", "around"])
def test_unused_values_may_be_odd(extra: bytes, place: str) -> None:
    row = b'{"id": 1' + (b', "x": ' + extra if place == "row" else b"") + b"}"
    around = b', "x": ' + extra if place == "around" else b""
    document = scanned(b'{"rows": [' + row + b"]" + around + b"}", rows=["rows"])

    assert len(values(document)) == 1


def test_the_last_of_several_members_with_the_same_name_is_used() -> None:
    document = scanned('{"rows": [1], "n": 1, "rows": [2], "n": 2}', rows=["rows"])

    assert values(document) == [2]
    assert document.around == {"rows": None, "n": 2}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("place", ["a row", "in a row", "deep in a row", "around"])
def test_an_unreadable_value_does_not_change_the_other_values(value: bytes, place: str) -> None:
    row = {
        "a row": value,
        "in a row": with_member(b'{"id": 2}', "x", value),
        "deep in a row": with_member(b'{"id": 2}', "x", b'[{"y": ' + value + b'}, "z"]'),
        "around": b'{"id": 2}',
    }[place]
    around = b', "x": ' + value if place == "around" else b""
    body = b'{"rows": [{"id": 1}, ' + row + b', {"id": 3}]' + around + b', "n": 9}'

    document = scanned(body, rows=["rows"])

    first, odd, last = values(document)
    assert (first, last) == ({"id": 1}, {"id": 3})
    assert at(document.around, ("n",)) == (True, 9)
    if place != "a row":
        assert at(odd, ("id",)) == (True, 2)
    if place == "deep in a row":
        assert at(odd, ("x", 1)) == (True, "z")


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_an_odd_value_is_written_unchanged_or_cannot_be_written(
    value: bytes,
) -> None:
    [row] = values(scanned(b"[" + value + b"]"))

    with suppress(TypeError):
        text = as_json(row).decode()
        assert text == value.decode() or Decimal(text).compare(Decimal(value.decode())) == 0


@pytest.mark.parametrize("text", ["", "a", "ünïcødé 😀", "\x00\x7f\uffff", "\ud7ff\ue000"])
def test_a_valid_text_is_recognized(text: str) -> None:
    assert is_text(text)


@pytest.mark.parametrize("text", ["\ud83d", "Ada \udc00", "ü\udfff", "\ud800x"])
def test_a_text_with_a_lone_surrogate_is_recognized(text: str) -> None:
    assert not is_text(text)


HOSTILE = {
    "nothing": b"",
    "blanks": b" \n ",
    "cut off in a row": b'[{"id": "a"',
    "cut off behind a row": b'[{"id": "a"}',
    "cut off behind a comma": b"[1,",
    "a trailing comma": b"[1,]",
    "no comma": b"[1 2]",
    "trailing text": b"[] and more",
    "two values": b"[]\n[]",
    "HTML": b"<h1>It works!</h1>",
    "a word": b"nothing",
    "deep nesting": b"[" * 100_000,
    "deep objects": b'[{"a":' * 100_000,
    "deep and closed too soon": b"[" * 100_000 + b"]" * 99_999,
    "deep and closed too often": b"[" * 100_000 + b"]" * 100_001,
    "deep with a text that does not end": b"[" * 100_000 + b'"' + b"]" * 100_000,
    "deep with an escape at the end": b"[" * 100_000 + b'"\\"' + b"]" * 100_000,
    "a huge integer and no end": b"[" + b"9" * 100_000,
    "a huge integer and a word": b"[" + b"9" * 100_000 + b"x]",
    "invalid UTF-8 outside of text": b"[\xff\xfe]",
    "invalid UTF-8 behind all": b"[]\xff",
    "UTF-16": "[]".encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf[]",
    "control characters": b'["\x00\x01"]',
    "single quotes": b"['a']",
    "another kind of blank": b"[\x0b1]",
    "a number with a plus": b"[+1]",
    "a bare fraction": b"[.5]",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "within"])
def test_a_body_that_is_not_json_is_malformed(body: bytes, inside: bool) -> None:  # noqa: FBT001 # parametrized
    whole = b'{"rows": ' + body + b', "n": 1}' if inside else body
    with pytest.raises(MalformedError):
        scanned(whole, rows=["rows"] if inside else [])


@pytest.mark.parametrize(
    "body",
    [
        *('{"rows" []}', "{rows: []}", '{"rows": []', '{"rows": [] "n": 1}', '{"rows": [],}'),
        *("{7: []}", '{"rows": [], "n"}', '{"n": 1e, "rows": []}', '{"rows": []} x', '{"rows":}'),
    ],
)
def test_the_text_around_the_rows_has_to_be_json(body: str) -> None:
    with pytest.raises(MalformedError, match="not JSON"):
        scanned(body, rows=["rows"])


def test_at_most_the_limit_of_rows_is_read() -> None:
    rows = b",".join(b'{"id": "x%d"}' % number for number in range(5_000))
    body = b'{"rows": [' + rows + b", this is never looked at" * 100_000
    document = scanned(body, rows=["rows"])

    assert len(values(document)) == 5_000
    assert not document.ended
    assert scanned("[1, 2]", max_rows=2).ended
    assert values(scanned('{"a": 1, "b": 2}', by_key=True, max_rows=1)) == [1]


NAMES = st.sampled_from(["a", "b", "rows", "a.b", "urn:x", "", "é\n"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def value_at(value: Json, path: list[str | int]) -> Json:
    """Follow a path in plain code; return ``...`` if it does not exist."""
    for step in path:
        fits = type(value) is dict if isinstance(step, str) else type(value) is list
        if not fits or (step not in value if isinstance(step, str) else step >= len(value)):
            return ...
        value = value[step]
    return value


@given(
    value=JSON,
    path=st.lists(NAMES | st.integers(0, 3), max_size=3),
    indent=st.sampled_from([None, 1, "\t"]),
    many=st.booleans(),
)
def test_the_scanners_find_the_same_rows_as_a_plain_reader(
    value: Json,
    path: list[str | int],
    indent: int | str | None,
    many: bool,  # noqa: FBT001 # drawn
) -> None:
    body = json.dumps(value, indent=indent).encode()
    expected = value_at(value, path)
    if many and expected is not ... and not isinstance(expected, list | None):
        with pytest.raises(MalformedError):
            scanned(body, rows=path)
        return
    document = scanned(body, rows=path, many=many)

    found = expected is not ... and expected is not None
    assert values(document) == ((expected if many else [expected]) if found else [])
    if not path:
        assert document.around is None
    elif expected is ...:
        assert document.around == value
    else:
        assert at(document.around, tuple(path)) == (True, None)


@given(body=st.binary(max_size=60) | st.text(alphabet='[]{}",:\\u0d1eNaI-.9 \x00r', max_size=40))
def test_any_body_is_read_or_malformed(body: bytes | str) -> None:
    for settings in ({}, {"rows": ["r"]}, {"rows": [0], "many": False}, {"by_key": True}):
        with suppress(MalformedError):
            scanned(body, **settings)


def test_a_path_is_found_or_reported_as_missing() -> None:
    value = {"a": [{"b": None}]}

    assert at(value, ("a", 0, "b")) == (True, None)
    for path in (("b",), ("a", 1), ("a", "b"), (0,), ("a", 0, "b", "c")):
        assert at(value, path) == (False, None)
