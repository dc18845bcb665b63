"""Tables for a person's terminal."""

from hypothesis import given
from hypothesis import strategies as st

from app.probe.report import fields_lines, padded, printable, shortened, table, written
from app.probe.verdict import FieldCheck, RowCheck


def test_columns_are_as_wide_as_need_be_wide_signs_counted() -> None:
    rows = [("name", "x"), ("윤예준", "y")]

    assert list(table(rows)) == ["name    x", "윤예준  y"]
    assert padded("예", 4) == "예  "


@given(st.text())
def test_nothing_can_do_something_to_a_terminal(text: str) -> None:
    assert all(sign.isprintable() or sign == "\n" for sign in printable(text))


def test_long_values_are_cut() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
    assert written({"ä": [1, None]}) == '{"ä": [1, null]}'
    assert written(None) == ""


def field(name: str, *, expression: str | None = None, wrong: str | None = None) -> FieldCheck:
    """Make a field whose value is text, or wrong."""
    kind = None if wrong else "text"
    return FieldCheck(name=name, expression=expression, value="v", type=kind, wrong=wrong)


def test_expressions_have_a_column_where_there_are_some_and_what_is_wrong_is_said() -> None:
    fields = (field("a", expression="b"), field("c", wrong="no text"))
    row = RowCheck(source="profile", key="u", wrong="c: no text", fields=fields)

    assert fields_lines(row, width=100) == [
        "  field  expression  value  type",
        '  a      b           "v"    text',
        '  c                  "v"    WRONG: no text',
        "  Not a valid record: c: no text",
    ]
