"""Walking through the JSON of an answer to its rows, by both scanners."""

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
    """Scan a text, row by row and at once: both give the same."""
    raw = body.encode() if isinstance(body, str) else body
    wanted = AnswerSettings.model_validate(settings)
    at_once = told(AT_ONCE, raw, wanted)
    assert at_once == told(scan, raw, wanted)
    return scan(raw, wanted)


def told(way: Scanner, raw: bytes, settings: AnswerSettings) -> str:
    """Write what a scanner gives, with the types of values, or its error."""
    try:
        return repr(way(raw, settings))
    except MalformedError as error:
        return f"malformed: {error}"


def values(document: ScannedDocument) -> list[object]:
    """List the rows as they came."""
    return [*(document.rows or ())]


def test_rows_may_be_the_whole_answer() -> None:
    assert values(scanned(' [ {"id": 1} , 2 ] ')) == [{"id": 1}, 2]
    assert values(scanned("[]")) == []
    assert values(scanned(" null ")) == []


def test_rows_may_be_within_by_names_of_any_kind_and_by_positions() -> None:
    body = '{"a.b:c": [0, {"rows": [1, 2], "more": true}, 3], "n": [4]}'
    document = scanned(body, rows=["a.b:c", 1, "rows"])

    assert values(document) == [1, 2]
    assert document.around == {"a.b:c": [0, {"rows": None, "more": True}, 3], "n": [4]}


@pytest.mark.parametrize("first", ["7", "null", "{}", '"text"', "[9]", "[NaN]"])
def test_what_an_earlier_member_of_the_same_name_has_does_not_matter(first: str) -> None:
    within = f'{{"data": {{"rows": {first}}}, "data": {{"rows": [1]}}}}'

    assert values(scanned(f'{{"rows": {first}, "rows": [1]}}', rows=["rows"])) == [1]
    assert values(scanned(within, rows=["data", "rows"])) == [1]
    assert scanned(f'{{"rows": [1], "rows": {first}, "rows": null}}', rows=["rows"]).null


def test_there_may_be_one_row() -> None:
    assert values(scanned('{"user": {"id": 1}}', rows=["user"], many=False)) == [{"id": 1}]
    assert values(scanned('{"user": null}', rows=["user"], many=False)) == []
    assert values(scanned('[{"id": 1}]', rows=[0], many=False)) == [{"id": 1}]
    assert values(scanned("[]", rows=[0], many=False)) == []


def test_rows_may_be_named_by_their_keys() -> None:
    document = scanned('{"users": {"a": 1, "b": {}}}', rows=["users"], by_key=True)

    assert (document.rows, document.names) == ([1, {}], ("a", "b"))
    assert values(scanned('{"users": {}}', rows=["users"], by_key=True)) == []


@pytest.mark.parametrize("body", ["{}", '{"rows": []}', "[]", "[{}]", "7", "null", '{"data": 1}'])
def test_it_is_told_when_there_is_no_way_to_the_rows(body: str) -> None:
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
def test_something_else_where_the_rows_should_be_is_malformed(
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
def test_what_nobody_looks_at_may_be_strange(extra: bytes, place: str) -> None:
    row = b'{"id": 1' + (b', "x": ' + extra if place == "row" else b"") + b"}"
    around = b', "x": ' + extra if place == "around" else b""
    document = scanned(b'{"rows": [' + row + b"]" + around + b"}", rows=["rows"])

    assert len(values(document)) == 1


def test_of_a_name_that_is_repeated_the_last_counts() -> None:
    document = scanned('{"rows": [1], "n": 1, "rows": [2], "n": 2}', rows=["rows"])

    assert values(document) == [2]
    assert document.around == {"rows": None, "n": 2}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("place", ["a row", "in a row", "deep in a row", "around"])
def test_a_value_that_cannot_be_read_leaves_all_others_as_they_are(
    value: bytes, place: str
) -> None:
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
def test_a_value_that_cannot_be_read_cannot_be_written_either_or_is_written_as_it_was(
    value: bytes,
) -> None:
    [row] = values(scanned(b"[" + value + b"]"))

    with suppress(TypeError):
        text = as_json(row).decode()
        assert text == value.decode() or Decimal(text).compare(Decimal(value.decode())) == 0


@pytest.mark.parametrize("text", ["", "a", "ünïcødé 😀", "\x00\x7f\uffff", "\ud7ff\ue000"])
def test_a_text_is_known(text: str) -> None:
    assert is_text(text)


@pytest.mark.parametrize("text", ["\ud83d", "Ada \udc00", "ü\udfff", "\ud800x"])
def test_a_text_with_half_a_character_is_known(text: str) -> None:
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
def test_a_body_that_is_no_json_is_malformed(body: bytes, inside: bool) -> None:  # noqa: FBT001 # parametrized
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
def test_what_is_around_the_rows_has_to_be_json_as_well(body: str) -> None:
    with pytest.raises(MalformedError, match="not JSON"):
        scanned(body, rows=["rows"])


def test_no_more_rows_are_read_than_may_be_however_many_there_are() -> None:
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


def plainly(value: Json, path: list[str | int]) -> Json:
    """Follow a path plainly; ``...`` when it leads nowhere."""
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
def test_any_rows_are_what_a_plain_reader_finds(
    value: Json,
    path: list[str | int],
    indent: int | str | None,
    many: bool,  # noqa: FBT001 # drawn
) -> None:
    body = json.dumps(value, indent=indent).encode()
    expected = plainly(value, path)
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
def test_no_body_raises_anything_else(body: bytes | str) -> None:
    for settings in ({}, {"rows": ["r"]}, {"rows": [0], "many": False}, {"by_key": True}):
        with suppress(MalformedError):
            scanned(body, **settings)


def test_a_path_leads_somewhere_or_nowhere() -> None:
    value = {"a": [{"b": None}]}

    assert at(value, ("a", 0, "b")) == (True, None)
    for path in (("b",), ("a", 1), ("a", "b"), (0,), ("a", 0, "b", "c")):
        assert at(value, path) == (False, None)
