"""How many bytes documents and compiled operations have in memory: estimates, by what is in them.

Counting all of their objects would take longer than making them. The figures were measured by
tracemalloc with CPython 3.11, and a test holds the estimates to be within a factor of two of what
it says.
"""

import sys
from collections.abc import Iterator, Sequence
from types import CodeType, FunctionType

from app.graphql.compiler import RootField, View

DOCUMENT_BYTES = 1_500
"""A document without anything in it."""

TREE_BYTES = 4_500
"""What the syntax tree, the price and the operations of a document have beside their tokens."""

TOKEN_BYTES = 345
"""A token, with what nodes of the tree there are for each on average."""

ERROR_BYTES = 700
"""An error with its place and its message."""

VARIABLE_BYTES = 1_000
"""What is kept to coerce the values of a variable."""

VARIANT_BYTES = 900
"""A compiled operation without anything in it."""

VIEW_BYTES = 900
"""What is selected of users, without fields and functions."""

FIELD_BYTES = 330
"""A field of users, with its places in the document."""

BOUND_BYTES = 500
"""A value that a function has beside its text, such as what reads a field with arguments."""


def document_bytes(text: str, *, tokens: int, errors: int, variables: int) -> int:
    """Estimate how many bytes a prepared document has.

    Args:
        text: Its text.
        tokens: How many tokens its syntax tree was made of; 0 where there is none.
        errors: What is wrong with it: how many errors are kept.
        variables: How many variables its operations have.

    Returns:
        The estimate.
    """
    # The text itself, and once more for what of it are texts of their own in the tree.
    size = DOCUMENT_BYTES + 2 * sys.getsizeof(text)
    if tokens:
        size += TREE_BYTES + TOKEN_BYTES * tokens
    return size + ERROR_BYTES * errors + VARIABLE_BYTES * variables


def compiled_bytes(roots: Sequence[RootField]) -> int:
    """Estimate how many bytes a compiled operation has, beside the document's.

    Args:
        roots: Its fields.

    Returns:
        The estimate.
    """
    views = {id(view): view for root in roots for view in (root.others, root.own)}
    return VARIANT_BYTES * (1 + len(roots)) + sum(map(_view_bytes, views.values()))


def _view_bytes(view: View) -> int:
    """Estimate how many bytes the compiled selection of users has."""
    functions = [
        one for one in (view.write_user, view.write_known) if isinstance(one, FunctionType)
    ]
    bound = max((len(one.__globals__) for one in functions), default=0)  # what both have is one
    size = VIEW_BYTES + FIELD_BYTES * len(view.fields) + BOUND_BYTES * bound
    return size + sum(map(_function_bytes, functions))


def _function_bytes(function: FunctionType) -> int:
    """Estimate how many bytes a function of the writer has, without what is bound in it."""
    size = sys.getsizeof(function) + sys.getsizeof(function.__globals__)
    return size + sum(map(_code_bytes, _codes(function.__code__)))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Give the code of a function, and that of each function in it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


def _code_bytes(code: CodeType) -> int:
    """Count the bytes of code, without those of the code in it."""
    parts: tuple[object, ...] = (
        code,
        code.co_linetable,
        code.co_consts,
        code.co_names,
        code.co_varnames,
        code.co_qualname,
    )
    texts = (one for one in code.co_consts if isinstance(one, str))
    return sum(map(sys.getsizeof, (*parts, *texts)))
