"""Expressions: mistakes are found at compilation, and evaluation never raises other errors."""

from contextlib import suppress
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.expressions.expression import (
    EXACT,
    EvaluationError,
    ExpressionError,
    checked_expression,
    compile_expression,
)

CANARY = "canary-value"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("userName", "ann"),
        ("name.formatted", "Ann B."),
        ("not_null(missing, userName)", "ann"),
        ("(emails[?primary].value)[0] || emails[0].value", "b@example.com"),
        ('"urn:a:2.0:User".dept', "sales"),
        ("{amount: cents, currency: upper(currency)}", {"amount": 5, "currency": "EUR"}),
        ("events[].{id: id, occurredAt: unix_seconds(at)}[0].occurredAt", "1970-01-01T00:00:01Z"),
        ("`1.5`", Decimal("1.5")),
        ('`{"a": [0.1]}`.a[0]', Decimal("0.1")),
        ("emails[?starts_with(value, 'a')].value", ["a@example.com"]),
        ("emails[?lower(value) == 'b@example.com'] | length(@)", 1),
        ("emails[::-1].value | [0]", "b@example.com"),
    ],
)
def test_an_expression_is_evaluated_over_a_row(text: str, result: object) -> None:
    row = {
        "userName": "ann",
        "name": {"formatted": "Ann B."},
        "emails": [
            {"value": "a@example.com"},
            {"value": "b@example.com", "primary": True},
        ],
        "urn:a:2.0:User": {"dept": "sales"},
        "cents": 5,
        "currency": "eur",
        "events": [{"id": "e", "at": 1}],
    }
    assert compile_expression(text).evaluate(row) == result


def test_the_first_item_is_used_if_no_item_is_primary() -> None:
    expression = compile_expression("(emails[?primary].value)[0] || emails[0].value")

    assert expression.evaluate({"emails": [{"value": "a"}, {"value": "b"}]}) == "a"
    assert expression.evaluate({"emails": []}) is None


def test_a_pipe_applies_to_everything_after_it() -> None:
    row = {"emails": [{"value": "a"}]}

    assert (
        compile_expression("emails[?primary].value | [0] || emails[0].value").evaluate(row) is None
    )
    assert (
        compile_expression("(emails[?primary].value | [0]) || emails[0].value").evaluate(row) == "a"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected an expression, got nothing"),
        ("a ||", "column 5: expected more, got the end"),
        ("f(a", "column 4: expected more, got the end"),
        ("a.1", "column 3: expected a name in double quotes or a name or '[' or '{', got '1'"),
        ("{a b}", "column 4: expected ':', got 'b'"),
        ("a b", "column 3: cannot have 'b' here"),
        ("foo-bar", "column 4: cannot have '-' here: a name with other characters than letters,"),
        ("$.a", "column 1: there is no $: expected $headers or $status"),
        ("a[?b = c]", "column 6: expected '==' to compare, got '='"),
        ("'a", "column 1: expected a closing '"),
        ('"a\\x"', "column 1: expected JSON text between the quotes"),
        ("`a`", "expected JSON between `…`; text stands in single quotes"),
        ('"lower"(a)', "column 1: a function has a plain name, got '('"),
        ("frist(a)", "column 1: there is no frist(), but "),
        ("a || unix_second(b)", "column 6: there is no unix_second(), but unix_seconds()"),
        ("[?lower(a, b)].upper()", "column 3: lower() takes 1, got 2"),
        ("[?lower(a)].upper()", "column 13: upper() takes 1, got 0"),
        ("not_null()", "column 1: not_null() takes at least 1, got 0"),
        ("(" * 1900, "expected an expression that is less deep"),
    ],
)
def test_an_invalid_expression_is_reported_with_its_column_and_a_correction(
    text: str, message: str
) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)

    assert str(caught.value).startswith(message)
    with pytest.raises(ExpressionError):
        checked_expression(text)


def test_an_expression_in_settings_has_a_limit_on_its_length() -> None:
    with pytest.raises(ExpressionError, match="expected at most 2,000 characters"):
        checked_expression("a" * 2001)


def test_a_valid_expression_is_returned_unchanged() -> None:
    assert checked_expression(" a . b ") == " a . b "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lower(@)", "a number where text has to be"),
        ("abs(a)", "abs() got string for number"),
        ("sort_by(l, &@)", "sort_by() got number for string"),
        ("a < `1`", "TypeError"),
        ("contains(a, `1`)", "TypeError"),
        ("l[::0]", "ValueError"),
    ],
)
def test_an_evaluation_error_has_no_values_of_the_row(text: str, message: str) -> None:
    row: object = 7 if text == "lower(@)" else {"a": CANARY, "l": [CANARY, 1]}
    with pytest.raises(EvaluationError) as caught:
        compile_expression(text).evaluate(row)

    assert str(caught.value) == message
    assert CANARY not in str(caught.value)


def test_a_value_that_is_too_deep_is_an_error() -> None:
    row: list[object] = []
    for _ in range(100_000):
        row = [row]
    with pytest.raises(EvaluationError):
        compile_expression("to_string(@)").evaluate(row)


WORDS = [
    *("a", "b.c", "[0]", "[*]", "[]", "[?", "]", "(", ")", "{", "}", ":", ",", "|", "||", "&&"),
    *("&", "!", "==", "<", "@", "*", "'x'", "`1.5`", '`[1, "a"]`', "`null`", '"', "'", "`", "."),
    *("lower(", "number(", "sum(", "sort_by(", "to_number(", "join(", "map(", "unix_millis("),
    *("money_decimal(", "lookup(", "merge(", "avg(", "max_by(", "ceil(", "-1", " ", "é"),
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(words=st.lists(st.sampled_from(WORDS), max_size=8) | st.lists(st.characters(), max_size=8))
def test_any_text_is_valid_or_an_expression_error(words: list[str]) -> None:
    text = "".join(words)
    try:
        checked = checked_expression(text)
    except ExpressionError:
        return
    assert checked == text


@given(
    text=st.sampled_from(
        [
            *("a || b", "*.a", "[?a > b]", "sum(a)", "sort_by(@, &a)", "join(a, b)", "max(@)"),
            *("avg(a)", "ceil(a)", "to_string(@)", "to_number(a)", "merge(a, b)", "map(&a, b)"),
            *("number(a)", "money_decimal(a, b)", "unix_seconds(a)", "iso_time_utc(a)", "a == b"),
            *("money_scaled(a, 'EUR', b)", "lookup(a, b)", "abs(a)", "values(a)", "contains(a, b)"),
        ]
    ),
    row=JSON | st.fixed_dictionaries({"a": JSON, "b": JSON}),
)
def test_any_row_has_a_value_or_an_evaluation_error(text: str, row: object) -> None:
    expression = compile_expression(text)
    with localcontext(EXACT), suppress(EvaluationError):
        expression.evaluate(row)
