"""Generates Python statements for expressions, as source text.

A syntax tree becomes statements that set one name after the other. ``name.first || login`` is:

    v1 = row.get('name') if type(row) is dict else None
    v2 = v1.get('first') if type(v1) is dict else None
    v3 = v2
    if not v3 and type(v3) not in numbers:
        v4 = row.get('login') if type(row) is dict else None
        v3 = v4

What a statement does is what the interpreter of JMESPath's library does for plain data. Where that
raises an error, the statements raise one, too, but not the same: the caller evaluates the
expression again by the library, so that the texts of errors have one author. The text has nothing
of a response. Names of members are written as literals, and other values are bound to names.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from types import MethodType
from typing import Any, cast

from jmespath.visitor import TreeInterpreter
from msgspec import Struct

from app.expressions.expression import Expression
from app.expressions.functions import ExactFunctions
from app.expressions.reading import SyntaxNode

MAX_DEPTH = 60
"""The deepest tree that is compiled. The interpreter may lack the stack for a deeper one."""

MAX_INDENT = 16
"""The deepest nesting of blocks; Python allows twenty loops."""

NUMBERS = frozenset({int, float, Decimal})
ORDERED = NUMBERS | {str}
"""The types of values that ``<`` compares; for others it gives ``None``."""

_TYPES: Mapping[str, frozenset[type]] = {
    "array": frozenset({list}),
    "boolean": frozenset({bool}),
    "null": frozenset({type(None)}),
    "number": NUMBERS,
    "object": frozenset({dict}),
    "string": frozenset({str}),
}
"""The types of plain data, by the names that the signatures of functions use."""

_SIGNS: Mapping[str, str] = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


class NotCompiledError(Exception):
    """Only the library evaluates the expression."""


class CompiledReference(Struct, frozen=True):
    """A compiled ``&expression``, as the library's functions use it.

    Attributes:
        function: Evaluates it for a value.
        expression: Its syntax tree.
    """

    function: Callable[[object], object]
    expression: SyntaxNode

    def visit(self, node: SyntaxNode, value: object) -> object:
        """Evaluate the expression.

        Args:
            node: Its syntax tree.
            value: The value that it is evaluated for.

        Returns:
            Its value.
        """
        del node
        return self.function(value)


class ExpressionWriter:
    """Writes the statements of one function. Names in it are ``v`` and a number.

    Args:
        has_facts: Whether the function has a parameter ``facts`` with the response.
    """

    def __init__(self, *, has_facts: bool) -> None:
        self._has_facts = has_facts
        self._functions = ExactFunctions()
        self._lines: list[str] = []
        self._indent = 1
        self._depth = 0
        self._names = 0
        self._bound: dict[str, object] = {"numbers": NUMBERS, "ordered": ORDERED}
        self._rules: Mapping[str, Callable[[SyntaxNode, str], str]] = {
            "and_expression": self._choice,
            "comparator": self._comparison,
            "current": self._current,
            "field": self._field,
            "filter_projection": self._projection,
            "flatten": self._flatten,
            "function_expression": self._call,
            "identity": self._current,
            "index": self._index,
            "index_expression": self._chain,
            "literal": self._literal,
            "multi_select_dict": self._object,
            "multi_select_list": self._list,
            "not_expression": self._not,
            "or_expression": self._choice,
            "pipe": self._chain,
            "projection": self._projection,
            "slice": self._slice,
            "subexpression": self._chain,
            "value_projection": self._projection,
            "variable": self._variable,
        }

    def function(self, parameters: str) -> Callable[..., Any]:
        """Compile the statements that were written.

        Args:
            parameters: The parameters of the function.

        Returns:
            The function.
        """
        text = "\n".join((f"def evaluate({parameters}):", *self._lines))
        names = {**self._bound}
        exec(compile(text, "<expression>", "exec"), names)  # noqa: S102 # of settings, see above
        # Not in its own globals, which would be a reference cycle.
        return cast("Callable[..., Any]", names.pop("evaluate"))

    def line(self, text: str) -> None:
        """Write a statement.

        Args:
            text: The statement, without indentation.
        """
        self._lines.append(" " * self._indent + text)

    @contextmanager
    def block(self, head: str) -> Generator[None]:
        """Write a statement that has others inside it, which are written in the context.

        Args:
            head: The statement, without the colon.

        Yields:
            Nothing.

        Raises:
            NotCompiledError: There are too many blocks within each other.
        """
        if self._indent > MAX_INDENT:
            raise NotCompiledError
        self.line(f"{head}:")
        self._indent += 1
        yield
        self._indent -= 1

    def set(self, text: str) -> str:
        """Write a statement that sets a new name.

        Args:
            text: The text of its value.

        Returns:
            The name.
        """
        name = self._name()
        self.line(f"{name} = {text}")
        return name

    def bind(self, value: object) -> str:
        """Bind a value to a new name in the function.

        Args:
            value: The value.

        Returns:
            The name.
        """
        name = self._name()
        self._bound[name] = value
        return name

    def value(self, tree: SyntaxNode, of: str) -> str:
        """Write the evaluation of a tree.

        Args:
            tree: The syntax tree.
            of: The name of the value that it is evaluated for.

        Returns:
            The name of the result.

        Raises:
            NotCompiledError: The tree has something that only the library evaluates.
        """
        write = self._rules.get(tree["type"])
        if write is None or self._depth >= MAX_DEPTH:
            raise NotCompiledError
        self._depth += 1
        result = write(tree, of)
        self._depth -= 1
        return result

    def evaluated(self, expression: Expression, of: str) -> str:
        """Write the evaluation of an expression, by the library if it is not compiled.

        Args:
            expression: The expression. It reads nothing of a response besides a row.
            of: The name of the row.

        Returns:
            The name of the result.
        """
        lines, indent, depth = len(self._lines), self._indent, self._depth
        try:
            return self.value(expression.tree, of)
        except NotCompiledError:
            del self._lines[lines:]
            self._indent, self._depth = indent, depth
            return self.set(f"{self.bind(expression.evaluate)}({of})")

    def _name(self) -> str:
        """Return a new name."""
        self._names += 1
        return f"v{self._names}"

    def _field(self, tree: SyntaxNode, of: str) -> str:
        """Write ``name``."""
        return self.set(f"{of}.get({tree['value']!r}) if type({of}) is dict else None")

    def _current(self, _: SyntaxNode, of: str) -> str:
        """Write ``@``."""
        return of

    def _literal(self, tree: SyntaxNode, _: str) -> str:
        """Write a constant."""
        return self.bind(tree["value"])

    def _variable(self, tree: SyntaxNode, _: str) -> str:
        """Write ``$status`` or ``$headers``."""
        if not self._has_facts:
            raise NotCompiledError
        return self.set("{**facts.headers}" if tree["value"] == "headers" else "facts.status")

    def _chain(self, tree: SyntaxNode, of: str) -> str:
        """Write a node in which each child is evaluated for the result of the one before."""
        for child in _children(tree):
            of = self.value(child, of)
        return of

    def _index(self, tree: SyntaxNode, of: str) -> str:
        """Write ``[0]``."""
        index = int(tree["value"])
        needed = index + 1 if index >= 0 else -index
        return self.set(f"{of}[{index}] if type({of}) is list and len({of}) >= {needed} else None")

    def _slice(self, tree: SyntaxNode, of: str) -> str:
        """Write ``[1:2]``."""
        part = self.bind(slice(*cast("Sequence[int | None]", tree["children"])))
        return self.set(f"{of}[{part}] if type({of}) is list else None")

    def _flatten(self, tree: SyntaxNode, of: str) -> str:
        """Write ``[]`` without what follows it."""
        items = self.value(_children(tree)[0], of)
        result, item = self.set("None"), self._name()
        with self.block(f"if type({items}) is list"):
            self.line(f"{result} = []")
            with self.block(f"for {item} in {items}"):
                with self.block(f"if type({item}) is list"):
                    self.line(f"{result}.extend({item})")
                with self.block("else"):
                    self.line(f"{result}.append({item})")
        return result

    def _projection(self, tree: SyntaxNode, of: str) -> str:
        """Write ``[*].b``, ``*.b`` or ``[?a].b``: the items that are not ``None``."""
        first, inner, *conditions = _children(tree)
        items = self.value(first, of)
        named = tree["type"] == "value_projection"
        result, item = self.set("None"), self._name()
        with self.block(f"if type({items}) is {'dict' if named else 'list'}"):
            self.line(f"{result} = []")
            with self.block(f"for {item} in {items}{'.values()' if named else ''}"):
                for condition in conditions:
                    with self.block(f"if {_is_false(self._set_to(condition, item))}"):
                        self.line("continue")
                value = self._set_to(inner, item)
                with self.block(f"if {value} is not None"):
                    self.line(f"{result}.append({value})")
        return result

    def _list(self, tree: SyntaxNode, of: str) -> str:
        """Write ``[a, b]``."""
        result = self.set("None")
        with self.block(f"if {of} is not None"):
            parts = [self.value(child, of) for child in _children(tree)]
            self.line(f"{result} = [{', '.join(parts)}]")
        return result

    def _object(self, tree: SyntaxNode, of: str) -> str:
        """Write ``{a: b}``."""
        result = self.set("None")
        with self.block(f"if {of} is not None"):
            parts = [
                f"{pair['value']!r}: {self.value(_children(pair)[0], of)}"
                for pair in _children(tree)
            ]
            self.line(f"{result} = {{{', '.join(parts)}}}")
        return result

    def _choice(self, tree: SyntaxNode, of: str) -> str:
        """Write ``||`` or ``&&``: the second value, by the truth of the first one."""
        first, second = _children(tree)
        result = self._set_to(first, of)
        is_false = _is_false(result)
        wanted = is_false if tree["type"] == "or_expression" else f"not ({is_false})"
        with self.block(f"if {wanted}"):
            self.line(f"{result} = {self.value(second, of)}")
        return result

    def _not(self, tree: SyntaxNode, of: str) -> str:
        """Write ``!``."""
        return self.set(_is_false(self._set_to(_children(tree)[0], of)))

    def _comparison(self, tree: SyntaxNode, of: str) -> str:
        """Write ``==`` or ``<``."""
        left, right = (self.value(child, of) for child in _children(tree))
        sign = str(tree["value"])
        if sign in _SIGNS:
            return self.set(
                f"{left} {_SIGNS[sign]} {right}"
                f" if type({left}) in ordered and type({right}) in ordered else None"
            )
        # Text equals what Python says. For numbers and truth values, JMESPath has other rules.
        texts = [f"type({one}) is str" for one in (left, right)]
        plain = "==" if sign == "eq" else "!="
        compared = self.bind(TreeInterpreter.COMPARATOR_FUNC[sign])
        return self.set(
            f"{left} {plain} {right} if {' or '.join(texts)} else {compared}({left}, {right})"
        )

    def _call(self, tree: SyntaxNode, of: str) -> str:
        """Write the call of a function."""
        name = str(tree["value"])
        if name in {"part", "parts"}:
            return self._part(tree, of)
        known = cast("Mapping[str, Any]", self._functions.FUNCTION_TABLE)[name]
        arguments: list[str] = []
        checks: list[str] = []
        wanted = [cast("Sequence[str]", one["types"]) for one in known["signature"]]
        for place, child in enumerate(_children(tree)):
            types = wanted[place] if place < len(wanted) else ()
            if (child["type"] == "expref") != ("expref" in types):
                raise NotCompiledError
            if child["type"] == "expref":
                arguments.append(self.bind(_reference(_children(child)[0])))
                continue
            argument = self.value(child, of)
            arguments.append(argument)
            if types:
                checks.append(self._check(argument, types))
        if any("-" in one for types in wanted for one in types):  # the library checks each item
            call = partial(self._functions.call_function, name)
            return self.set(f"{self.bind(call)}([{', '.join(arguments)}])")
        for check in checks:
            with self.block(f"if {check}"):
                self.line("raise TypeError")
        method = MethodType(known["function"], self._functions)
        return self.set(f"{self.bind(method)}({', '.join(arguments)})")

    def _check(self, argument: str, types: Sequence[str]) -> str:
        """Return the text that an argument has none of some types."""
        fitting = [_TYPES[one] for one in types if "-" not in one]
        allowed = frozenset[type]().union(*fitting)
        return f"type({argument}) not in {self.bind(allowed)}"

    def _part(self, tree: SyntaxNode, of: str) -> str:
        """Write ``part(x, &expression)`` or ``parts(x, &expression)``."""
        first, reference = _children(tree)
        if first["type"] == "expref" or reference["type"] != "expref":
            raise NotCompiledError
        [inner] = _children(reference)
        several = tree["value"] == "parts"
        value, result = self.value(first, of), self.set("None")
        with self.block(f"if {value} is not None"):
            with self.block(f"if type({value}) is not {'list' if several else 'dict'}"):
                self.line("raise TypeError")
            if not several:
                self.line(f"{result} = {self.value(inner, value)}")
                return result
            item = self._name()
            self.line(f"{result} = []")
            with self.block(f"for {item} in {value}"):
                self.line(f"{result}.append({self.value(inner, item)})")
        return result

    def _set_to(self, tree: SyntaxNode, of: str) -> str:
        """Write the evaluation of a tree, and set a new name to the result."""
        return self.set(self.value(tree, of))


def _is_false(name: str) -> str:
    """Return the text for what JMESPath calls false: all that Python does, except numbers."""
    return f"not {name} and type({name}) not in numbers"


def _children(tree: SyntaxNode) -> Sequence[SyntaxNode]:
    """List the children of a node."""
    return cast("Sequence[SyntaxNode]", tree["children"])


def _reference(tree: SyntaxNode) -> CompiledReference:
    """Compile ``&expression``."""
    writer = ExpressionWriter(has_facts=False)
    writer.line(f"return {writer.value(tree, 'item')}")
    return CompiledReference(writer.function("item"), tree)
