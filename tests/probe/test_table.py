"""Tables for a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.probe.report import (
    fields_lines,
    padded,
    printable,
    shortened,
    table,
    wrapped,
    written,
)
from app.probe.verdict import FieldCheck, RowCheck


def test_columns_fit_their_cells_and_count_wide_characters() -> None:
    rows = [("name", "x"), ("윤예준", "y")]

    assert list(table(rows)) == ["name    x", "윤예준  y"]
    assert padded("예", 4) == "예  "


@given(st.text())
def test_a_printable_text_has_no_control_characters(text: str) -> None:
    assert all(sign.isprintable() or sign == "\n" for sign in printable(text))


def test_long_values_are_cut() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
    assert shortened("윤예준", 5) == "윤예…"
    assert written({"ä": [1, None]}) == '{"ä": [1, null]}'
    assert written(None) == ""


def field(name: str, *, expression: str | None = None, wrong: str | None = None) -> FieldCheck:
    """Make a field with a text value, or a wrong one."""
    kind = None if wrong else "text"
    return FieldCheck(name=name, expression=expression, value="v", type=kind, wrong=wrong)


def test_expressions_have_a_column_and_mistakes_are_shown() -> None:
    fields = (field("a", expression="b"), field("c", wrong="no text"))
    row = RowCheck(source="profile", key="u", wrong="c: no text", fields=fields)

    assert fields_lines(row, width=100) == [
        "  field  expression  value  type",
        '  a      b           "v"    text',
        '  c                  "v"    WRONG: no text',
        "  Not a valid record: c: no text",
    ]


LONG = (
    "join(' ', [name.given, name.family][?@ != null]) || name.formatted || userName || "
    "emails[?primary == `true`] | [0].value || 'nobody'"
)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_long_expression_is_wrapped_and_never_cut(
    width: int,
) -> None:
    long = "expected one of " + ", ".join(f"word{number}" for number in range(20))
    fields = (
        field("displayName", expression=LONG),
        field("email", expression="emails[0].value", wrong=long),
    )
    row = RowCheck(source="profile", key="u", wrong=None, fields=fields)

    head, *lines = fields_lines(row, width=width)

    columns = [head.index(name) for name in ("expression", "value", "type")]
    first = [line for line in lines if line[: columns[0]].strip() in {"displayName", ""}]
    end = next(number for number, line in enumerate(lines) if "email" in line[: columns[0]])
    assert max(map(len, [head, *lines])) <= width
    cells = [line[columns[0] : columns[1]].strip() for line in first[:end]]
    assert "".join(cells).replace(" ", "") == LONG.replace(" ", "")
    kinds = [line[columns[2] :].strip() for line in lines[end:]]
    assert " ".join(kinds) == f"WRONG: {long}"


@given(st.text(st.characters(exclude_characters="\t\n")), st.integers(2, 40))
def test_wrapped_lines_have_the_whole_text_within_the_width(text: str, limit: int) -> None:
    lines = wrapped(text, limit)

    assert "".join(lines) == text
    assert all(padded(line, 100).count(" ") - line.count(" ") >= 100 - limit for line in lines)


def test_an_expression_keeps_its_lines() -> None:
    row = RowCheck(
        source="profile", key="u", wrong=None, fields=(field("a", expression="b ||\n\tc"),)
    )

    assert fields_lines(row, width=80) == [
        "  field  expression  value  type",
        '  a      b ||        "v"    text',
        "             c",
    ]
