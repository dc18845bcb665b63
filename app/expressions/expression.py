"""Expressions in JMESPath, compiled at start. Pure.

JMESPath's own library finds an unknown function, or a wrong number of arguments, only when an
expression is evaluated. Here both are found at compilation, with their column.

    name.formatted                                     a member of a member
    not_null(nickname, name)                           the first that is not null
    (emails[?primary].value)[0] || emails[0].value     the primary one, else the first
    "urn:ietf:params:scim:schemas:core:2.0:User".dept  a name with dots and colons
    {amount: cents, currency: upper(currency)}         an object, by names as in JSON
    number($headers."x-total-count")                   a header of the response, by its name
    $status == `206`                                   the status of the response

A pipe takes everything after it: ``a | [0] || b`` looks for ``b`` within ``a``. ``$headers`` and
``$status`` are the same everywhere in an expression, as the root node ``$`` of JMESPath Community.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from difflib import get_close_matches
from itertools import pairwise
from json import dumps
from string import ascii_letters
from typing import Any, cast

import jmespath
from jmespath.exceptions import (
    EmptyExpressionError,
    IncompleteExpressionError,
    JMESPathError,
    JMESPathTypeError,
    LexerError,
    ParseError,
)
from jmespath.functions import TYPES_MAP
from jmespath.lexer import Lexer
from jmespath.visitor import Options, TreeInterpreter
from msgspec import Struct

from app.expressions.functions import ExactFunctions
from app.expressions.money import InexactError
from app.expressions.reading import RowShape, SyntaxNode, members_read

VARIABLES = ("headers", "status")
"""The names after ``$``."""

_VARIABLE = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|\$(?P<name>[A-Za-z_0-9]*)""",
    re.DOTALL,
)
"""Texts in quotes, in which ``$`` means nothing, and variables."""


MAX_LENGTH = 2_000
"""The most characters of an expression in settings."""

EXACT = Context(prec=100, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])
"""The decimal context of expressions: an inexact result is an error. The code that evaluates them
enters it (``decimal.localcontext``), once for a whole answer."""

_SIGNS: Mapping[str, str] = {
    "colon": "':'",
    "comma": "','",
    "dot": "'.'",
    "eof": "the end",
    "lbrace": "'{'",
    "lbracket": "'['",
    "lparen": "'('",
    "quoted_identifier": "a name in double quotes",
    "rbrace": "'}'",
    "rbracket": "']'",
    "rparen": "')'",
    "unquoted_identifier": "a name",
}
"""The library's tokens, as error messages name them."""

_OTHER_NAMES = "a name with other characters than letters, digits and _ stands in double quotes"


class ExpressionError(ValueError):
    """An expression cannot be used. The message says where it is wrong, and what is expected."""


class EvaluationError(ValueError):
    """An expression cannot be evaluated for a row. The message has no values of the row."""


class ResponseFacts(Struct, frozen=True):
    """What expressions may read of a response besides its rows.

    Attributes:
        status: Its HTTP status.
        headers: Its headers, by names in lower case.
    """

    status: int
    headers: Mapping[str, str]


NO_RESPONSE = ResponseFacts(0, {})
"""The facts where there is no response, for the check of an expression."""


class _Interpreter(TreeInterpreter):
    """Evaluates expressions with the variables of one response.

    Args:
        functions: The functions of expressions.
        facts: The response.
    """

    def __init__(self, functions: ExactFunctions, facts: ResponseFacts) -> None:
        super().__init__(Options(custom_functions=functions))
        self._variables = {"headers": {**facts.headers}, "status": facts.status}

    def visit_variable(self, node: Mapping[str, Any], _: object) -> object:
        """Return the value of a variable; the current node does not matter."""
        return self._variables[node["value"]]


class Expression(Struct, frozen=True):
    """A compiled expression.

    Attributes:
        text: Its source text.
        reads_response: Whether it reads anything of the response besides the row.
        tree: Its syntax tree, as JMESPath's library parses it, with our nodes for variables.
    """

    text: str
    reads_response: bool
    tree: SyntaxNode
    _functions: ExactFunctions
    _interpreter: TreeInterpreter

    @property
    def members(self) -> frozenset[str] | None:
        """The members of a row that it reads; ``None`` when it may read any."""
        return self.members_of(RowShape.ROW)

    def members_of(self, shape: RowShape) -> frozenset[str] | None:
        """Return the members of a row that it reads.

        Args:
            shape: Whether it is evaluated on a row, or on several rows of a user.

        Returns:
            Their names; ``None`` when it may read any.
        """
        return members_read(self.tree, shape)

    @property
    def path(self) -> tuple[str, ...] | None:
        """The names that it walks from the row, if it does nothing else; else ``None``."""
        return _path_of(self.tree)

    def evaluate(self, row: object, facts: ResponseFacts = NO_RESPONSE) -> object:
        """Evaluate the expression for a row.

        Args:
            row: Plain data, with ``Decimal`` for numbers that have a fraction.
            facts: The response that the row is from.

        Returns:
            Plain data of the same kind; ``None`` for missing values.

        Raises:
            EvaluationError: It cannot be evaluated for this row.
        """
        interpreter = self._interpreter
        if self.reads_response:
            interpreter = _Interpreter(self._functions, facts)
        try:
            result: object = interpreter.visit(cast("Any", self.tree), row)
        except InexactError as error:
            raise EvaluationError(str(error)) from error
        except JMESPathTypeError as error:  # its own text quotes the value
            kind = {**TYPES_MAP, "Decimal": "number"}.get(error.actual_type, error.actual_type)
            expected = " or ".join(error.expected_types)
            raise EvaluationError(f"{error.function_name}() got {kind} for {expected}") from error
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise EvaluationError(type(error).__name__) from error
        return result


def _path_of(node: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names that a tree walks; ``None`` if it does anything else."""
    if node["type"] == "field":
        return (str(node["value"]),)
    if node["type"] != "subexpression":
        return None
    parts = [_path_of(child) for child in node["children"]]
    known = [part for part in parts if part is not None]
    return tuple(name for part in known for name in part) if len(known) == len(parts) else None


def compile_expression(text: str) -> Expression:
    """Compile an expression.

    Args:
        text: JMESPath, with the functions of ``functions.py`` besides its own.

    Returns:
        The compiled expression.

    Raises:
        ExpressionError: It is not an expression, or calls unknown functions.
    """
    functions = ExactFunctions()
    plain, variables = _without_variables(text)
    node = _with_variables(_with_decimals(_parsed(plain)), variables)
    places = _calls_in_text(plain)
    for call, (name, column) in zip(_calls_in_tree(node), places, strict=True):
        _check_call(functions, name, len(call["children"]), column)
    interpreter = TreeInterpreter(Options(custom_functions=functions))
    return Expression(text, bool(variables), node, functions, interpreter)


def path_expression(path: Sequence[str | int]) -> str:
    """Write a path as an expression.

    Args:
        path: Names of members and positions in lists, at least one; a position is not negative.

    Returns:
        The expression. It is ``None`` for a value that lacks the path.
    """
    steps = (f"[{step}]" if isinstance(step, int) else f".{dumps(step)}" for step in path)
    return "".join(steps).removeprefix(".")


def checked_expression(text: str) -> str:
    """Check that an expression compiles; a validator for settings.

    Args:
        text: The expression.

    Returns:
        The same text.

    Raises:
        ExpressionError: It cannot be compiled, or is too long.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"expected at most {MAX_LENGTH:,} characters")
    compile_expression(text)
    return text


def _without_variables(text: str) -> tuple[str, Mapping[str, str]]:
    """Replace variables by names of the same length, which JMESPath's parser accepts.

    Returns the text with these names, and the variables by these names. A name begins with a sign
    that no name in the text has, so that it is no member of a row.
    """
    used = set(re.findall(r"[A-Za-z_0-9]+", text))
    names: dict[str, str] = {}

    def name_of(match: re.Match[str]) -> str:
        variable = match["name"]
        if variable is None:
            return match[0]
        if variable not in VARIABLES:
            known = " or ".join(f"${name}" for name in VARIABLES)
            raise _error_at(match.start(), f"there is no ${variable}: expected {known}")
        free = next(
            one for one in (f"{sign}{variable}" for sign in ascii_letters) if one not in used
        )
        names[free] = variable
        return free

    return _VARIABLE.sub(name_of, text), names


def _with_variables(node: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """Copy a tree, with variables instead of the names that stand for them.

    The name of a header is in lower case then, because names of headers have no case (RFC 9110,
    section 5.1).
    """
    if not names:
        return node
    if node["type"] == "field" and node["value"] in names:
        return {"type": "variable", "children": [], "value": names[node["value"]]}
    children: list[object] = [
        _with_variables(one, names) if isinstance(one, dict) else one for one in _children(node)
    ]
    if node["type"] == "subexpression" and children:
        first, *rest = cast("list[Mapping[str, Any]]", children)
        of_headers = (first["type"], first.get("value")) == ("variable", "headers")
        if of_headers and rest[0]["type"] == "field":
            rest[0] = {**rest[0], "value": str(rest[0]["value"]).lower()}
        children = [first, *rest]
    return {**node, "children": children}


def _parsed(text: str) -> Mapping[str, Any]:
    """Parse an expression into its syntax tree."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PendingDeprecationWarning)
            return cast("Mapping[str, Any]", jmespath.compile(text).parsed)
    except PendingDeprecationWarning as error:
        raise ExpressionError("expected JSON between `…`; text stands in single quotes") from error
    except EmptyExpressionError as error:
        raise ExpressionError("expected an expression, got nothing") from error
    except IncompleteExpressionError as error:
        raise _error_at(len(text), "expected more, got the end") from error
    except LexerError as error:
        raise _error_at(error.lexer_position, _explain_lexer_error(error)) from error
    except ParseError as error:
        raise _error_at(error.lex_position, _explain_parser_error(error)) from error
    except RecursionError as error:
        raise ExpressionError("expected an expression that is less deep") from error


def _error_at(position: int, what: str) -> ExpressionError:
    """Make the error for a position; the first column is 1, as in editors."""
    return ExpressionError(f"column {position + 1}: {what}")


def _explain_lexer_error(error: LexerError) -> str:
    """Return which character is wrong."""
    if error.message.startswith("Unclosed"):
        return f"expected a closing {error.message.split()[1]}"
    if error.lexer_value == "=":
        return "expected '==' to compare, got '='"
    if error.message.startswith("Unknown token"):
        return f"cannot have {error.lexer_value!r} here: {_OTHER_NAMES}"
    return "expected JSON text between the quotes"


def _explain_parser_error(error: ParseError) -> str:
    """Return which token is wrong, and which ones are expected."""
    got = repr(str(error.token_value)) if error.token_value else "the end"
    expected = re.match(r"Expecting: (.*), got:", error.msg)
    if expected is not None:
        words = [_SIGNS.get(word, word) for word in re.findall(r"\w+", expected[1])]
        return f"expected {' or '.join(words)}, got {got}"
    if "function name" in error.msg:
        return f"a function has a plain name, got {got}"
    return f"cannot have {got} here"


def _with_decimals(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Copy a tree, with decimal numbers instead of the floats in JSON literals."""
    children = [_with_decimals(one) if isinstance(one, dict) else one for one in _children(node)]
    value: object = node.get("value")
    return {
        **node,
        "children": children,
        "value": _decimal_literal(value) if node["type"] == "literal" else value,
    }


def _children(node: Mapping[str, Any]) -> Sequence[dict[str, Any] | int | None]:
    """List the children of a node: nodes, and the numbers of a slice."""
    return cast("Sequence[dict[str, Any] | int | None]", node["children"])


def _decimal_literal(value: object) -> object:
    """Copy a literal with decimal numbers; ``repr`` gives the digits as written, up to 15."""
    if isinstance(value, list):
        return [_decimal_literal(one) for one in cast("list[object]", value)]
    if isinstance(value, dict):
        members = cast("dict[str, object]", value).items()
        return {name: _decimal_literal(one) for name, one in members}
    return Decimal(repr(value)) if isinstance(value, float) else value


def _calls_in_tree(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """List the function calls of a tree, in the order of the text."""
    if node["type"] == "function_expression":
        yield node
    children = [one for one in _children(node) if isinstance(one, dict)]
    if node["type"] == "filter_projection":  # a[?condition].b has the condition last in the tree
        children = [children[0], children[2], children[1]]
    for child in children:
        yield from _calls_in_tree(child)


def _calls_in_text(text: str) -> Iterator[tuple[str, int]]:
    """List the names of the functions that a text calls, and their columns."""
    tokens = list(Lexer().tokenize(text))
    for token, following in pairwise(tokens):
        if token["type"] == "unquoted_identifier" and following["type"] == "lparen":
            yield str(token["value"]), int(token["start"])


def _check_call(functions: ExactFunctions, name: str, arguments: int, column: int) -> None:
    """Reject the call of an unknown function, or with a wrong number of arguments."""
    known = cast("Mapping[str, Any]", functions.FUNCTION_TABLE)
    if name not in known:
        similar = get_close_matches(name, known, n=1)
        hint = f", but {similar[0]}()" if similar else f", but {', '.join(sorted(known))}"
        raise _error_at(column, f"there is no {name}(){hint}")
    wanted = known[name]["signature"]
    variadic = bool(wanted[-1].get("variadic"))
    if arguments != len(wanted) and not (variadic and arguments > len(wanted)):
        least = "at least " if variadic else ""
        raise _error_at(column, f"{name}() takes {least}{len(wanted)}, got {arguments}")
