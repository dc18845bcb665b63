"""The fast paths read responses with the same results as the libraries, for any settings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.errors import MalformedError
from app.main import read_methods
from app.settings.fastpath import FastpathSettings
from app.settings.source import SourceSettings
from app.sources.base import Record, SourceSpec, UserId
from app.sources.mapping.decoding import ReadMethods
from app.sources.mapping.readers import reader_of
from app.sources.mapping.row_mapper import MappingError
from app.sources.mapping.rows import RawAnswer
from app.sources.records import ACTIVITY, BILLING, PROFILE
from tests.fakes import account_row, activity_row, profile_row, settings_for_fakes
from tests.properties import examples
from tests.random_expressions import EXPRESSIONS
from tests.sources.odd import ODD

KEYS = [UserId(key) for key in ("a", "b", "c", "7", "D")]

SPECS: Mapping[str, tuple[SourceSpec[Any], Any, str]] = {
    "profile": (PROFILE, profile_row, "id"),
    "billing": (BILLING, account_row, "userId"),
    "activity": (ACTIVITY, activity_row, "userId"),
}

FAST = read_methods(settings_for_fakes())
PLAIN = read_methods(settings_for_fakes(fastpath=FastpathSettings(enabled=False)))


def plain_data(value: object) -> object:
    """Return results as plain data, for any type of records."""
    names: Sequence[str] = getattr(value, "__struct_fields__", ())
    if isinstance(value, Record):
        names = [*type(value).model_fields]
    elif is_dataclass(value):
        names = [one.name for one in fields(value)]
    if names:
        return {name: plain_data(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {name: plain_data(one) for name, one in cast("Mapping[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [plain_data(one) for one in cast("Sequence[object]", value)]
    return value.isoformat() if isinstance(value, datetime) else repr(value)


def read(
    methods: ReadMethods, source: str, changes: Mapping[str, Any], body: bytes, status: int = 200
) -> object:
    """Read a response, and return the results and the counts of odd rows, or the error."""
    spec, _, _ = SPECS[source]
    wanted: dict[str, Any] = {"base_url": "https://service.example", **changes}
    foreign = wanted.pop("foreign", None)
    unique = wanted.pop("unique", False)
    try:
        reader = reader_of(
            replace(spec, unique=unique),
            SourceSettings.model_validate(wanted),
            foreign,
            methods=methods,
        )
    except MappingError as error:
        return f"settings: {error}"
    try:
        rows = reader.read(RawAnswer(status, {"x-a": "A"}, body), KEYS)
        results = reader.results(rows, KEYS)
    except MalformedError as error:
        return f"malformed: {error}"
    return plain_data(
        [results, rows.malformed, rows.duplicate, rows.unasked, rows.remainder, rows.other_case]
    )


FIELDS = {
    "profile": ("username", "displayName", "email", "avatarUrl", "locale", "createdAt"),
    "billing": ("plan", "status", "balance", "renewsAt"),
    "activity": ("lastSeenAt", "loginCount", "events"),
}


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, dict[str, Any], bytes]:  # noqa: C901, PLR0912 # one line for each choice
    """Draw a source, its settings, and a response."""
    source = draw(st.sampled_from(sorted(SPECS)))
    _, row_of, written = SPECS[source]
    envelope: list[str | int] = draw(st.sampled_from([[], ["data"], ["d", 0, "rows"], ["data", 1]]))
    answer: dict[str, Any] = {"rows": envelope}
    shape = draw(st.sampled_from(["many", "many", "many", "one", "by_key", "group", "unique"]))
    changes: dict[str, Any] = {"answer": answer}
    if draw(st.booleans()):
        expressions = st.sampled_from(FIELDS[source]).map(lambda name: f"{name} || @") | EXPRESSIONS
        plain = st.sampled_from([*FIELDS[source], "nested.value", "nested.value || `null`"])
        changes["fields"] = draw(
            st.dictionaries(st.sampled_from(FIELDS[source]), plain | expressions, max_size=4)
        )
    if draw(st.booleans()):
        answer["absent"] = draw(st.sampled_from(["deleted", "plan == 'pro'", "lower(deleted)"]))
    if draw(st.integers(0, 4)) == 0:
        changes["foreign"] = {"other": draw(st.sampled_from(["nested.value", "number(plan)"]))}
    if draw(st.integers(0, 4)) == 0:
        answer["max_rows"] = draw(st.integers(1, 3))
    if shape == "one":
        answer["many"], changes["max_keys"] = False, 1
    elif shape == "by_key":
        answer["by_key"] = True
    elif shape == "group":
        answer["group"] = {"order": draw(st.sampled_from([None, "nested.value"]))}
    elif shape == "unique":
        changes["unique"] = True
    rows = [draw(_rows(row_of, written)) for _ in range(draw(st.integers(0, 4)))]
    body: Any = f"[{', '.join(rows)}]"
    if shape == "one":
        body = rows[0] if rows else "null"
    elif shape == "by_key":
        body = (
            "{"
            + ", ".join(f'"{key}": {row}' for key, row in zip(KEYS * 2, rows, strict=False))
            + "}"
        )
    for step in reversed(envelope):
        beside = draw(st.sampled_from(["1", "null", '{"a": [1.5]}', "NaN"]))
        if isinstance(step, int):
            body = "[" + f"{beside}, " * step + f"{body}, {beside}]"
        else:
            twice = draw(st.sampled_from(["", "", f'"{step}": [7], ', f'"{step}": null, ']))
            body = f'{{{twice}"x": {beside}, "{step}": {body}}}'
    text: str = body
    if draw(st.integers(0, 9)) == 0:
        text = text[: draw(st.integers(0, len(text)))] + draw(st.sampled_from(["", "]", "x"]))
    return source, changes, text.encode(errors="surrogateescape")


@st.composite
def _rows(draw: st.DrawFn, row_of: Any, written: str) -> str:  # noqa: ANN401 # one of the fakes
    """Draw the JSON of a row, with some values changed."""
    row: dict[str, Any] = row_of(1)
    keys = st.sampled_from([*KEYS, "A", "e"]) | st.sampled_from([7, None, 1.5, ["a"], "\ud83d"])
    row |= {written: draw(keys), "nested": {"value": draw(_ANYTHING)}}
    row |= {"deleted": draw(st.sampled_from([None, False, "", 0, "yes", 7]))}
    for name in draw(st.lists(st.sampled_from([*row]), max_size=3)):
        row[name] = draw(_ANYTHING)
    text = json.dumps(row)
    if draw(st.integers(0, 5)) == 0:
        name = draw(st.sampled_from([*row]))
        odd = draw(st.sampled_from([one.decode(errors="surrogateescape") for one in ODD.values()]))
        text = f'{text[:-1]}, "{name}": {odd}}}'
    return text if draw(st.integers(0, 9)) else draw(st.sampled_from(["null", "[]", "7", "{}"]))


_ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 1.0, 1.5, 1e30, 2**31, 2**53, 2**64, 10**40]),
    st.sampled_from(["", "x", "12", "12.50", "EUR", "pro", "2026-06-01T10:00:00Z", "\ud83d"]),
    st.sampled_from(["2026-06-01T10:00:00.1234567+02:00", "2026-06-01", "yesterday"]),
    st.fixed_dictionaries({"amount": st.integers(-9, 9), "currency": st.just("EUR")}),
    st.lists(
        st.fixed_dictionaries(
            {"id": st.sampled_from(["a", 7]), "type": st.just("x")},
            optional={"occurredAt": st.just("2026-06-01T10:00:00Z"), "other": st.just(1.5)},
        ),
        max_size=2,
    ),
)


@settings(max_examples=examples(1_000, "FUZZ_EXAMPLES"))
@given(case=cases())
def test_any_response_is_read_as_by_the_libraries(
    case: tuple[str, dict[str, Any], bytes],
) -> None:
    source, changes, body = case

    assert read(FAST, source, changes, body) == read(PLAIN, source, changes, body)


def page(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write the rows of a page."""
    return json.dumps(rows).encode()


@pytest.mark.parametrize("wrong", [{"plan": 7}, {"renewsAt": "soon"}, {"balance": {"amount": 1.5}}])
def test_a_malformed_row_does_not_take_the_others_off_the_fast_path(wrong: dict[str, Any]) -> None:
    rows = [{**account_row(number), "userId": key} for number, key in enumerate(KEYS)]
    rows[1] |= wrong
    mapped = {"fields": {name: name for name in FIELDS["billing"]}}
    reader = reader_of(
        BILLING,
        SourceSettings.model_validate({"base_url": "https://service.example", **mapped}),
        methods=FAST,
    )

    results = reader.read(RawAnswer(200, {}, page(rows)), KEYS).answers

    assert [isinstance(one, Record) for one in results] == [False] * 5
    assert [type(one).__name__ for one in results].count("DamagedRecord") == 1
    assert read(FAST, "billing", mapped, page(rows)) == read(PLAIN, "billing", mapped, page(rows))


def test_fields_with_words_and_defaults_are_read_as_by_the_libraries() -> None:
    changes: dict[str, Any] = {
        "fields": {"plan": "nested.plan", "status": "state", "balance": "owed"},
        "words": {"status": {"on": "active", "off": "cancelled"}},
        "defaults": {"plan": "free", "balance": {"amount": 0, "currency": "EUR"}},
    }
    rows: list[dict[str, Any]] = [
        {"userId": "a", "nested": {"plan": "pro"}, "state": "on"},
        {"userId": "b", "nested": None, "state": "other", "owed": {"amount": 5, "currency": "USD"}},
        {"userId": "c", "state": 7},
    ]

    found = read(FAST, "billing", changes, page(rows))

    assert found == read(PLAIN, "billing", changes, page(rows))
    assert "'free'" in str(found)
    assert "'active'" in str(found)
