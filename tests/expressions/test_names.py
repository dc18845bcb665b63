"""The members of a row that an expression reads."""

import pytest

from app.expressions.expression import compile_expression


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("name", {"name"}),
        ("name.formatted", {"name"}),
        ('"urn:a:b".dept', {"urn:a:b"}),
        ("emails[0].value", {"emails"}),
        ("(emails[?primary].value)[0] || emails[0].value", {"emails"}),
        ("emails[?value == other].value", {"emails"}),
        ("emails[].value | [0]", {"emails"}),
        ("names.*.first", {"names"}),
        ("tags[1:3]", {"tags"}),
        ("@.name", {"name"}),
        ("@ | name", {"name"}),
        ("not_null(nickname, name)", {"nickname", "name"}),
        ("{amount: cents, currency: upper(currency)}", {"cents", "currency"}),
        ("money_decimal(total.value, 'EUR')", {"total"}),
        ("[first, last] | join(' ', @)", {"first", "last"}),
        ("first && !last", {"first", "last"}),
        ("a == b || c < `3`", {"a", "b", "c"}),
        ("sort_by(events, &time)[0].type", {"events"}),
        ('lookup(`{"a": 1}`, state)', {"state"}),
        ("'constant'", set[str]()),
    ],
)
def test_the_members_that_an_expression_reads_are_found(text: str, members: set[str]) -> None:
    found = compile_expression(text).members

    assert found is not None
    assert set(found) == members


@pytest.mark.parametrize(
    "text", ["@", "to_string(@)", "keys(@)[0]", "*.name", "[0]", "[?a].b", "name || @", "{all: @}"]
)
def test_an_expression_of_the_whole_row_may_read_any_member(text: str) -> None:
    assert compile_expression(text).members is None
