"""Expressions compiled to Python functions, instead of JMESPath's interpreter.

Replaces: ``Expression.evaluate`` (``expressions/expression.py``).
Switch: ``GATEWAY_FASTPATH__EXPRESSIONS``.
Gains: 920 us instead of 2,480 us for three pages of fifty users mapped by names, in process, and
    2,780 instead of 9,110 us by filters and functions; with records.py
    (docs/explanation/performance.md).
Proof: tests/fastpath/test_expressions.py compares both on JMESPath's compliance suite, and on
    random expressions and documents.

The interpreter visits a tree for each row, and checks the arguments of functions by the names of
their types. Here each tree becomes one function at start (``expression_code.py``). An expression
that such a function does not cover is left to the library as a whole, and so is a row for which the
function raises an error: the library then says what is wrong.
"""

from collections.abc import Callable

import msgspec
from jmespath.exceptions import JMESPathError

from app.expressions.expression import (
    NO_RESPONSE,
    Expression,
    ResponseFacts,
    compile_expression,
)
from app.fastpath.expression_code import ExpressionWriter, NotCompiledError


class CompiledExpression(Expression, frozen=True):
    """An expression that is a function.

    Attributes:
        function: Evaluates it for a row and its response, or raises an error.
    """

    function: Callable[[object, ResponseFacts], object]

    def evaluate(self, row: object, facts: ResponseFacts = NO_RESPONSE) -> object:
        """Evaluate the expression for a row, as ``Expression.evaluate`` does.

        Args:
            row: Plain data.
            facts: The response that the row is from.

        Returns:
            Plain data; ``None`` for missing values.

        Raises:
            EvaluationError: It cannot be evaluated for this row.
        """
        try:
            return self.function(row, facts)
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError):
            return Expression.evaluate(self, row, facts)


def compile_to_function(text: str) -> Expression:
    """Compile an expression. An ``ExpressionCompiler``.

    Args:
        text: The expression.

    Returns:
        The compiled expression, which is a function if one covers it.

    Raises:
        ExpressionError: It is not an expression, or calls unknown functions.
    """
    whole = compile_expression(text)
    writer = ExpressionWriter(has_facts=True)
    try:
        writer.line(f"return {writer.value(whole.tree, 'row')}")
    except NotCompiledError:
        return whole
    return CompiledExpression(
        **msgspec.structs.asdict(whole), function=writer.function("row, facts")
    )
