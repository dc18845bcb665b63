"""Which attributes a function reads of what it is given, found in its code without running it.

To show it a record and watch would miss what it reads on another branch. In its code every use of
the record is there: each has to be the reading of an attribute, or nothing is known.
"""

import dis
from collections.abc import Callable
from inspect import CO_VARARGS, CO_VARKEYWORDS
from itertools import pairwise
from types import CodeType
from typing import cast

_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


def attributes_read(function: Callable[..., object]) -> frozenset[str] | None:
    """Find the attributes that a function reads of its one argument.

    Args:
        function: The function.

    Returns:
        Their names; ``None`` where it does anything else with the argument: hands it on, keeps it,
        or uses it within a function of its own.
    """
    code: object = getattr(function, "__code__", None)
    if not isinstance(code, CodeType) or code.co_argcount != 1 or _takes_more(code):
        return None
    argument = code.co_varnames[0]
    if argument in code.co_cellvars:
        return None
    names: set[str] = set()
    for one, following in pairwise(dis.get_instructions(code)):
        # Newer versions of Python load two variables at once: then it is a pair of names.
        if one.opcode in dis.haslocal and argument in _names(one.argval):
            if one.argval != argument or following.opname not in _ATTRIBUTE:
                return None
            names.add(str(following.argval))
    return frozenset(names)


def _takes_more(code: CodeType) -> bool:
    """Tell whether a function takes arguments of other kinds."""
    return bool(code.co_kwonlyargcount or code.co_flags & (CO_VARARGS | CO_VARKEYWORDS))


def _names(value: object) -> tuple[object, ...]:
    """List the variables of an instruction."""
    return cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
