"""Random expressions by JMESPath's grammar, with our functions, and documents that they may fit."""

import json
from decimal import Decimal

from hypothesis import strategies as st

NAMES = ("a", "b", "c", "d e")

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2, 7, 2**63, 10**30]),
    st.sampled_from([Decimal("0.0"), Decimal("1.0"), Decimal("1.5"), Decimal("-2E+3")]),
    st.sampled_from(["", "a", "A b", "12", "1.50", "EUR", "2026-06-01T10:00:00Z", "é", "\ud83d"]),
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)
"""Plain data, as a response is decoded to it."""

LITERALS = st.one_of(
    st.sampled_from(["'a'", "''", "'EUR'", "`0`", "`1`", "`1.5`", "`true`", "`false`", "`null`"]),
    st.recursive(
        st.sampled_from([None, True, 0, 1, 2.5, "a"]),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)
        ),
        max_leaves=4,
    ).map(lambda value: f"`{json.dumps(value)}`"),
)
VARIABLES = st.sampled_from(["$status", "$headers", "$headers.a", '$headers."d e"'])

ONE = ("unix_seconds", "iso_time", "number", "lower", "upper", "to_number", "to_string", "type")
OTHERS = ("abs", "ceil", "keys", "values", "length", "sum", "sort", "max", "reverse", "to_array")
TWO = ("money_minor", "money_decimal", "before", "after", "contains", "starts_with", "join")
BY_REFERENCE = ("part", "parts", "sort_by", "max_by", "min_by")


def _index() -> st.SearchStrategy[str]:
    """Return brackets with a number or a slice."""
    number = st.integers(-3, 3)
    part = st.none() | number
    return number.map(lambda one: f"[{one}]") | st.tuples(part, part, part).map(
        lambda parts: f"[{':'.join('' if one is None else str(one) for one in parts)}]"
    )


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return expressions that are made of smaller ones."""
    named = st.sampled_from(NAMES).map(json.dumps)
    pair = st.tuples(inner, inner)
    return st.one_of(
        pair.map(
            lambda two: f"({two[0]}).{two[1]}" if two[1][:1] == '"' else f"{two[0]} | {two[1]}"
        ),
        st.tuples(inner, named).map(lambda two: f"({two[0]}).{two[1]}"),
        st.tuples(inner, _index()).map(lambda two: f"({two[0]}){two[1]}"),
        st.tuples(inner, st.sampled_from(["[*]", "[]", ".*"]), named).map(
            lambda three: f"({three[0]}){three[1]}.{three[2]}"
        ),
        st.tuples(inner, st.sampled_from(["[*]", "[]", ".*"])).map("".join),
        st.tuples(inner, inner, named).map(lambda parts: "({})[?{}].{}".format(*parts)),
        pair.map(lambda two: "({})[?{}]".format(*two)),
        st.tuples(inner, st.sampled_from(["||", "&&"]), inner).map(
            "({0[0]}) {0[1]} ({0[2]})".format
        ),
        st.tuples(inner, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), inner).map(
            "({0[0]}) {0[1]} ({0[2]})".format
        ),
        inner.map("!({})".format),
        st.lists(inner, min_size=1, max_size=3).map(lambda several: f"[{', '.join(several)}]"),
        st.lists(st.tuples(named, inner), min_size=1, max_size=3).map(
            lambda pairs: f"{{{', '.join(f'{name}: {value}' for name, value in pairs)}}}"
        ),
        st.tuples(st.sampled_from(ONE + OTHERS), inner).map("{0[0]}({0[1]})".format),
        st.tuples(st.sampled_from(TWO), inner, inner).map("{0[0]}({0[1]}, {0[2]})".format),
        st.tuples(st.sampled_from(BY_REFERENCE), inner, inner).map(
            "{0[0]}({0[1]}, &{0[2]})".format
        ),
        pair.map("map(&{0[0]}, {0[1]})".format),
        pair.map("lookup({{a: {0[0]}, b: `2`}}, {0[1]})".format),
        pair.map("merge({0[0]}, {0[1]})".format),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda several: f"not_null({', '.join(several)})"
        ),
    )


EXPRESSIONS = st.recursive(
    st.sampled_from(NAMES).map(json.dumps) | st.just("@") | LITERALS | VARIABLES,
    _larger,
    max_leaves=6,
)
"""Texts of expressions. Some of them are none, where a name follows what no name may follow."""
