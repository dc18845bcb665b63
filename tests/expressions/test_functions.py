"""The functions of expressions, called in expressions."""

import json
from collections.abc import Sequence
from decimal import Decimal, localcontext

import pytest

from app.expressions.expression import EXACT, EvaluationError, compile_expression
from app.expressions.functions import as_json

D = Decimal


def value_of(expression: str, row: object = None) -> object:
    """Evaluate an expression as a reader of rows does."""
    with localcontext(EXACT):
        return compile_expression(expression).evaluate(row)


def pairs_of(expression: str, rows: Sequence[object]) -> list[tuple[str, object]]:
    """Pair an expression with each of some rows."""
    return [(expression, row) for row in rows]


def money(amount: int, currency: str) -> object:
    """Make an amount as in records."""
    return {"amount": amount, "currency": currency}


@pytest.mark.parametrize(
    ("expression", "row", "result"),
    [
        ("unix_seconds(@)", 0, "1970-01-01T00:00:00Z"),
        ("unix_seconds(@)", "1700000000", "2023-11-14T22:13:20Z"),
        ("unix_seconds(@)", D("1700000000.123"), "2023-11-14T22:13:20.123000Z"),
        ("unix_millis(@)", 1700000000123, "2023-11-14T22:13:20.123000Z"),
        ("unix_millis(@)", "1700000000123", "2023-11-14T22:13:20.123000Z"),
        ("iso_time(@)", "2024-02-29 13:00:00+0100", "2024-02-29T12:00:00Z"),
        ("iso_time_utc(@)", "2024-02-29", "2024-02-29T00:00:00Z"),
        ("number(@)", "42", 42),
        ("number(@)", "42.0", 42),
        ("number(@)", "+.5", D("0.5")),
        ("number(@)", D("1E+3"), 1000),
        ("number(@)", -7, -7),
        ("money_minor(a, c)", {"a": 1234, "c": "eur"}, money(1234, "EUR")),
        ("money_minor(a, c)", {"a": "-5", "c": "JPY"}, money(-5, "JPY")),
        ("money_minor(a, 'USD')", {"a": D("1234.00")}, money(1234, "USD")),
        ("money_decimal(a, c)", {"a": "12.34", "c": "EUR"}, money(1234, "EUR")),
        ("money_decimal(a, c)", {"a": D("12.3"), "c": "EUR"}, money(1230, "EUR")),
        ("money_decimal(a, c)", {"a": 12, "c": "KWD"}, money(12_000, "KWD")),
        ("money_decimal(a, c)", {"a": "12.000", "c": "JPY"}, money(12, "JPY")),
        ("money_decimal(a, c)", {"a": "0.0001", "c": "UYW"}, money(1, "UYW")),
        ("money_scaled(a, c, `6`)", {"a": 12_340_000, "c": "EUR"}, money(1234, "EUR")),
        ("money_scaled(a, c, `2`)", {"a": 500, "c": "UGX"}, money(5, "UGX")),
        ("lower(@)", "ACTIVE", "active"),
        ("upper(@)", "eur", "EUR"),
        ('lookup(`{"1": "active"}`, @)', 1, "active"),
        ('lookup(`{"on": "active"}`, @)', "on", "active"),
    ],
)
def test_functions_of_the_gateway_return_the_documented_values(
    expression: str, row: object, result: object
) -> None:
    value = value_of(expression, row)

    assert value == result
    assert type(value) is type(result)


@pytest.mark.parametrize(
    "expression",
    [
        *("unix_seconds(a)", "unix_millis(a)", "iso_time(a)", "iso_time_utc(a)", "number(a)"),
        *("money_minor(a, 'EUR')", "money_minor(`1`, a)", "money_decimal(a, 'EUR')"),
        *("money_scaled(a, 'EUR', `6`)", "lower(a)", "upper(a)", "lookup(`{}`, a)"),
    ],
)
def test_a_missing_value_stays_null_so_that_a_fallback_can_be_used(expression: str) -> None:
    assert value_of(expression, {}) is None
    assert value_of(f"{expression} || 'other'", {}) == "other"


@pytest.mark.parametrize(
    ("expression", "row"),
    [
        *pairs_of("unix_seconds(@)", ["soon", "", True, [1], {"a": 1}, D("NaN"), "1e3"]),
        *pairs_of(
            "unix_seconds(@)", ["2024-02-29", "0x10", "1\n", " 1", "\u0661", "\uff11", object()]
        ),
        *pairs_of("unix_millis(@)", ["2024-02-29T12:00:00Z", "", "1_0", 10**18, D("1E+30")]),
        *pairs_of("iso_time_utc(@)", ["0", "1717200000", "202602", "2024-W09-4", "12:00:00", 0]),
        *pairs_of(
            "iso_time_utc(@)", ["2024-02-29T12:00:60", "2024-02-29T12:00:00\n", "\u0662024-02-29"]
        ),
        *pairs_of("number(@)", ["1\n", "\uff11", "1e999", "1\x00", "+", "-", ".", "1..2"]),
        *pairs_of("iso_time(@)", ["soon", 17, "2024-02-29T12:00:00"]),
        *pairs_of("number(@)", ["", "1,234.50", "1_000", " 1", "٤٢", "NaN", False]),
        *pairs_of("number(@)", ["9" * 101, 10**41, D("1E+999999999"), D("Infinity")]),
        *pairs_of("money_minor(@, 'EUR')", [D("0.5"), "0.5", "1 EUR", [], True]),
        *pairs_of("money_decimal(@, 'EUR')", ["12.345", D("1E-999999999"), "€5"]),
        *pairs_of(
            "money_decimal(`1`, @)", ["XXX", "€", 978, "euro", "u\u017fd", "\u0131nr", "USD\n"]
        ),
        *pairs_of("money_scaled(`1`, 'EUR', @)", [-1, 19, "2", D("2.0"), None, True, False]),
        *pairs_of("lower(@)", [7, ["a"]]),
        *pairs_of('lookup(`{"1": "active"}`, @)', ["2", True, [], D("1.0")]),
        ("lookup('text', @)", "a"),
    ],
)
def test_an_invalid_value_is_an_error_and_never_null(expression: str, row: object) -> None:
    with pytest.raises(EvaluationError):
        value_of(expression, row)


@pytest.mark.parametrize(
    ("expression", "row", "result"),
    [
        ("abs(@)", D("-1.5"), D("1.5")),
        ("sum(@)", [D("0.1"), D("0.2"), 1], D("1.3")),
        ("avg(@)", [1, 2], D("1.5")),
        ("avg(@)", [D("0.1"), D("0.3")], D("0.2")),
        ("avg(@)", [], None),
        ("max(@)", [1, D("1.5")], D("1.5")),
        ("min(@)", [1, D("0.5")], D("0.5")),
        ("sort(@)", [2, D("1.5")], [D("1.5"), 2]),
        ("sort_by(@, &a)[0].a", [{"a": D("1.5")}, {"a": 1}], 1),
        ("max_by(@, &a).a", [{"a": D("1.5")}, {"a": 1}], D("1.5")),
        ("ceil(@)", D("1.2"), 2),
        ("ceil(@)", D("-1.2"), -1),
        ("floor(@)", D("1.2"), 1),
        ("floor(@)", D("-1.2"), -2),
        ("ceil(@)", 3, 3),
        ("type(@)", D("1.5"), "number"),
        ("type(@)", None, "null"),
        ("type(@)", [], "array"),
        ("to_number(@)", "0.1", D("0.1")),
        ("to_number(@)", "7", 7),
        ("to_number(@)", "x", None),
        ("to_number(@)", [1], None),
        ("to_number(@)", None, None),
        ("to_string(@)", D("1.50"), "1.50"),
        ("to_string(@)", 7, "7"),
        ("to_string(@)", "a", "a"),
        ("to_string(@)", {"a": [D("1.50"), None, "é"]}, '{"a":[1.50,null,"é"]}'),
        ("[?@ > `1.1`]", [1, D("1.2")], [D("1.2")]),
        ("[?@ == `0.1`]", [D("0.1"), D("0.10")], [D("0.1"), D("0.10")]),
    ],
)
def test_the_functions_of_jmespath_accept_decimal_numbers(
    expression: str, row: object, result: object
) -> None:
    value = value_of(expression, row)

    assert value == result
    assert type(value) is type(result)


@pytest.mark.parametrize(
    ("expression", "row"),
    [
        ("sum(@)", [D("1E+60"), D("1E-60")]),
        ("ceil(@)", D("1E+999999999")),
        ("floor(@)", D("NaN")),
        ("[?@ < `1`]", [D("NaN")]),
    ],
)
def test_a_value_that_cannot_be_computed_exactly_is_an_error(expression: str, row: object) -> None:
    with pytest.raises(EvaluationError):
        value_of(expression, row)


def test_decimal_numbers_are_written_with_all_their_digits() -> None:
    text = as_json({"a": [D("0.10"), D("123456789012345678901234567890.5"), D("1E+2")]})

    assert text == b'{"a":[0.10,123456789012345678901234567890.5,1E+2]}'
    assert json.loads(text, parse_float=Decimal)["a"][0] == D("0.1")


@pytest.mark.parametrize("value", [2**64, "\ud800", object()])
def test_a_value_that_json_cannot_represent_is_not_written(value: object) -> None:
    with pytest.raises(TypeError):
        as_json({"a": value})
