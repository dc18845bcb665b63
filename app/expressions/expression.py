"""Expressions in JMESPath: compiled at start, and which members of a row they read. Pure.

Which members of a row an expression reads, found in its tree without any row. Pure.

Expressions: how a field is made of a row, in JMESPath, compiled at start. Pure.

JMESPath's own library finds an unknown function, and too many arguments, only when an expression
is used; here both are found when it is read, with the column.

    name.formatted                                     what is within
    not_null(nickname, name)                           the first that is there
    (emails[?primary].value)[0] || emails[0].value     the primary one, else the first
    "urn:ietf:params:scim:schemas:core:2.0:User".dept  a name with dots and colons
    {amount: cents, currency: upper(currency)}         an object, by names as in JSON

A pipe takes all that is behind it: ``a | [0] || b`` looks for ``b`` in what ``a`` is.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from difflib import get_close_matches
from itertools import pairwise
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

from app.expressions.functions import ExactFunctions
from app.expressions.money import InexactError

_OF_THE_FIRST = frozenset(
    {
        "subexpression",
        "pipe",
        "projection",
        "value_projection",
        "filter_projection",
        "flatten",
        "index_expression",
    }
)
"""Nodes whose first child is of the row, and all others of what that gives."""

_OF_ALL = frozenset(
    {
        "function_expression",
        "multi_select_list",
        "multi_select_dict",
        "key_val_pair",
        "comparator",
        "or_expression",
        "and_expression",
        "not_expression",
    }
)
"""Nodes whose children are all of the row."""

_THE_SAME = frozenset({"current", "identity"})
"""Nodes that give the row itself."""

_OF_NONE = frozenset({"literal", "expref"})
"""Nodes that read nothing of the row; an ``&expression`` is of the items of a list."""


def members_read(node: Mapping[str, Any]) -> frozenset[str] | None:
    """Find the members of a row that an expression begins with.

    Args:
        node: The expression's tree, as JMESPath's own parser gives it.

    Returns:
        Their names; ``None`` where it may be any: where it reads the row as a whole.
    """
    kind = node["type"]
    children = cast("Sequence[Mapping[str, Any]]", node["children"])
    if kind == "field":
        return frozenset({str(node["value"])})
    if kind in _OF_NONE:
        return frozenset()
    if kind in _OF_ALL:
        every = [members_read(child) for child in children]
        known = [members for members in every if members is not None]
        return frozenset[str]().union(*known) if len(known) == len(every) else None
    if kind in _OF_THE_FIRST:
        if kind in {"subexpression", "pipe"} and children[0]["type"] in _THE_SAME:
            return members_read(children[1])
        return members_read(children[0])
    return None


MAX_LENGTH = 2_000
"""Most characters of an expression."""

EXACT = Context(prec=100, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])
"""How expressions compute: an inexact result is an error. Whoever evaluates them puts it in force
(``decimal.localcontext``), once for a whole answer."""

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
"""What the library's tokens look like."""

_OTHER_NAMES = "a name with other characters than letters, digits and _ stands in double quotes"


class ExpressionError(ValueError):
    """An expression that cannot be used: where it is wrong, and what would be right."""


class EvaluationError(ValueError):
    """An expression that does not work for one row. Says nothing of what is in the row."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression.

    Attributes:
        text: What it was compiled from.
    """

    text: str
    _node: Mapping[str, Any]
    _interpreter: TreeInterpreter

    @property
    def members(self) -> frozenset[str] | None:
        """The members of a row that it begins with; ``None`` where it may be any."""
        return members_read(self._node)

    def evaluate(self, row: object) -> object:
        """Evaluate it.

        Args:
            row: Plain data, with ``Decimal`` for numbers that have a fraction.

        Returns:
            Plain data of the same kind; ``None`` for what is not there.

        Raises:
            EvaluationError: It does not work for this row.
        """
        try:
            result: object = self._interpreter.visit(cast("Any", self._node), row)
        except InexactError as error:
            raise EvaluationError(str(error)) from error
        except JMESPathTypeError as error:  # its own text quotes the value
            kind = {**TYPES_MAP, "Decimal": "number"}.get(error.actual_type, error.actual_type)
            expected = " or ".join(error.expected_types)
            raise EvaluationError(f"{error.function_name}() got {kind} for {expected}") from error
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise EvaluationError(type(error).__name__) from error
        return result


def compile_expression(text: str) -> Expression:
    """Compile an expression.

    Args:
        text: JMESPath, with the functions of ``functions.py`` beside its own.

    Returns:
        The expression, ready to be evaluated again and again.

    Raises:
        ExpressionError: It is none, or calls functions that there are not.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"expected at most {MAX_LENGTH:,} characters")
    functions = ExactFunctions()
    node = _exact(_parsed(text))
    places = _calls_in(text)
    for call, (name, column) in zip(_calls_of(node), places, strict=True):
        _check(functions, name, len(call["children"]), column)
    return Expression(text, node, TreeInterpreter(Options(custom_functions=functions)))


def checked_expression(text: str) -> str:
    """Accept an expression that can be compiled; for settings.

    Args:
        text: The expression.

    Returns:
        The same text.

    Raises:
        ExpressionError: It cannot be compiled.
    """
    compile_expression(text)
    return text


def _parsed(text: str) -> Mapping[str, Any]:
    """Parse an expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PendingDeprecationWarning)
            return cast("Mapping[str, Any]", jmespath.compile(text).parsed)
    except PendingDeprecationWarning as error:
        raise ExpressionError("expected JSON between `…`; text stands in single quotes") from error
    except EmptyExpressionError as error:
        raise ExpressionError("expected an expression, got nothing") from error
    except IncompleteExpressionError as error:
        raise _wrong(len(text), "expected more, got the end") from error
    except LexerError as error:
        raise _wrong(error.lexer_position, _of_lexer(error)) from error
    except ParseError as error:
        raise _wrong(error.lex_position, _of_parser(error)) from error
    except RecursionError as error:
        raise ExpressionError("expected an expression that is less deep") from error


def _wrong(position: int, what: str) -> ExpressionError:
    """Say where something is wrong; the first column is 1, as editors have it."""
    return ExpressionError(f"column {position + 1}: {what}")


def _of_lexer(error: LexerError) -> str:
    """Say which character cannot be there."""
    if error.message.startswith("Unclosed"):
        return f"expected a closing {error.message.split()[1]}"
    if error.lexer_value == "=":
        return "expected '==' to compare, got '='"
    if error.message.startswith("Unknown token"):
        return f"cannot have {error.lexer_value!r} here: {_OTHER_NAMES}"
    return "expected JSON text between the quotes"


def _of_parser(error: ParseError) -> str:
    """Say which word cannot be there, and which could."""
    got = repr(str(error.token_value)) if error.token_value else "the end"
    expected = re.match(r"Expecting: (.*), got:", error.msg)
    if expected is not None:
        words = [_SIGNS.get(word, word) for word in re.findall(r"\w+", expected[1])]
        return f"expected {' or '.join(words)}, got {got}"
    if "function name" in error.msg:
        return f"a function has a plain name, got {got}"
    return f"cannot have {got} here"


def _exact(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Copy a tree, with decimal numbers for the floats that JSON literals in it were read as."""
    children = [_exact(one) if isinstance(one, dict) else one for one in _children(node)]
    value: object = node.get("value")
    return {
        **node,
        "children": children,
        "value": _decimal(value) if node["type"] == "literal" else value,
    }


def _children(node: Mapping[str, Any]) -> Sequence[dict[str, Any] | int | None]:
    """List what is below a node: nodes, and the numbers of a slice."""
    return cast("Sequence[dict[str, Any] | int | None]", node["children"])


def _decimal(value: object) -> object:
    """Copy a literal, with decimal numbers; a float is written as it was read, to 15 digits."""
    if isinstance(value, list):
        return [_decimal(one) for one in cast("list[object]", value)]
    if isinstance(value, dict):
        members = cast("dict[str, object]", value).items()
        return {name: _decimal(one) for name, one in members}
    return Decimal(repr(value)) if isinstance(value, float) else value


def _calls_of(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """List the calls in a tree, in the order in which they are written."""
    if node["type"] == "function_expression":
        yield node
    children = [one for one in _children(node) if isinstance(one, dict)]
    if node["type"] == "filter_projection":  # a[?condition].b has the condition last in the tree
        children = [children[0], children[2], children[1]]
    for child in children:
        yield from _calls_of(child)


def _calls_in(text: str) -> Iterator[tuple[str, int]]:
    """List the names of the functions that are called in a text, and their columns."""
    tokens = list(Lexer().tokenize(text))
    for token, following in pairwise(tokens):
        if token["type"] == "unquoted_identifier" and following["type"] == "lparen":
            yield str(token["value"]), int(token["start"])


def _check(functions: ExactFunctions, name: str, arguments: int, column: int) -> None:
    """Refuse a call of a function that there is not, or not with so many arguments."""
    known = cast("Mapping[str, Any]", functions.FUNCTION_TABLE)
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f", but {near[0]}()" if near else f", but {', '.join(sorted(known))}"
        raise _wrong(column, f"there is no {name}(){hint}")
    wanted = known[name]["signature"]
    variadic = bool(wanted[-1].get("variadic"))
    if arguments != len(wanted) and not (variadic and arguments > len(wanted)):
        least = "at least " if variadic else ""
        raise _wrong(column, f"{name}() takes {least}{len(wanted)}, got {arguments}")
