"""Strategies for random documents: valid ones, nearly valid ones and invalid ones."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tests.fakes import user_id

USERS = [user_id(number) for number in (1, 2, 3)]
KNOWN = [
    *(
        "user",
        "users",
        "node",
        "nodes",
        "Node",
        "_entities",
        "__typename",
        "id",
        "username",
        "email",
        "plan",
        "balance",
    ),
    *("amount", "currency", "invoices", "edges", "node", "cursor", "pageInfo", "events", "type"),
    *("billingStatus", "loginCount", "renewsAt", "createdAt", "__schema", "__type", "_service"),
    *("User", "Query", "Money", "ID", "Int", "String", "Boolean", "_Any", "DateTime", "sdl"),
    *("first", "after", "ids", "representations", "name", "if", "skip", "include", "on", "true"),
]
WORDS = st.sampled_from(KNOWN) | st.from_regex(r"[_A-Za-z][_0-9A-Za-z]{0,12}", fullmatch=True)
DIRECTIVES = st.sampled_from(["skip", "include", "deprecated", "cost", "a"])
VARIABLES = st.sampled_from(["a", "b", "c", "id", "ids"])
TYPES = st.sampled_from(
    ["ID", "ID!", "[ID!]!", "[ID]", "Int", "Int!", "Boolean!", "String", "_Any!", "[_Any!]!", "No"]
)
TEXTS = st.text(max_size=30) | st.sampled_from([*USERS, "", "x" * 3_000, "\x00", "\ufeff"])


def quoted(text: str) -> str:
    """Write a string as a GraphQL string literal."""
    escaped = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\x00": "\\u0000"}
    return '"' + "".join(escaped.get(one, one) for one in text) + '"'


LARGE = "9" * 4_301
"""A number with more digits than Python converts."""

ATOMS = st.one_of(
    TEXTS.map(quoted),
    TEXTS.map(lambda text: '"""' + text + '"""'),
    st.integers().map(str),
    st.sampled_from(["-0", "00", "1e999", "9" * 5_000, "1.5", "-2147483649", "0.1e-9999"]),
    st.sampled_from(['"\\ud800"', '"\\u{110000}"', '"\\u{1F600}"', '"\\x"', '"\\ud83d\\ude00"']),
    st.sampled_from(["true", "null", "ACTIVE", "$", "$a", "$ids", "[]", "{}", "{a: $a}"]),
    VARIABLES.map(lambda name: f"${name}"),
    st.sampled_from([quoted(one) for one in USERS]),
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=5).map(lambda items: f"[{' '.join(items)}]")
        | st.lists(st.tuples(WORDS, inner), max_size=3).map(
            lambda pairs: "{" + " ".join(f"{name}: {value}" for name, value in pairs) + "}"
        )
    ),
    max_leaves=8,
)
ARGUMENTS = st.lists(st.tuples(WORDS, VALUES), min_size=1, max_size=3).map(
    lambda pairs: "(" + ", ".join(f"{name}: {value}" for name, value in pairs) + ")"
)
DIRECTED = st.just("") | st.lists(
    st.tuples(DIRECTIVES, st.just("") | ARGUMENTS).map(lambda pair: f" @{pair[0]}{pair[1]}"),
    max_size=3,
).map("".join)
FRAGMENTS = st.sampled_from(["F", "G", "H"])


@st.composite
def selections(draw: st.DrawFn, depth: int = 4) -> str:
    """Make a selection set of fields, some of which the schema lacks."""
    parts: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        match draw(st.integers(0, 9)):
            case 0:
                parts.append(f"...{draw(FRAGMENTS)}{draw(DIRECTED)}")
            case 1 if depth:
                on = draw(
                    st.sampled_from(["", "on User", "on Node", "on Query", "on Money", "on No"])
                )
                parts.append(f"... {on}{draw(DIRECTED)} {draw(selections(depth - 1))}")
            case _:
                alias = draw(st.sampled_from(["", "", "", "a: ", "b: "]))
                arguments = draw(st.sampled_from([0, 0, 0, 1]))
                name = draw(WORDS) + (draw(ARGUMENTS) if arguments else "")
                inner = draw(selections(depth - 1)) if depth and draw(st.booleans()) else ""
                parts.append(f"{alias}{name}{draw(DIRECTED)} {inner}")
    return "{ " + " ".join(parts) + " }"


FIELDS = st.lists(
    st.sampled_from(
        [
            *(
                "id",
                "username",
                "plan",
                "loginCount",
                "__typename",
                "balance { amount }",
                "b: plan",
            ),
            *(
                "events(first: $a) { id }",
                "invoices(first: 2) { edges { cursor } }",
                "...F",
                "...G",
            ),
            *(
                "... on User { plan }",
                "... on Node { id }",
                "plan @skip(if: $b)",
                "email @include(if: true)",
                "no",
            ),
            *(f"events(first: {LARGE}) {{ id }}", "events(first: 1e999) { id }"),
            *(f"invoices(first: -{LARGE}) {{ edges {{ cursor }} }}", f"plan @skip(if: {LARGE})"),
            *('invoices(after: "\\u0000") { edges { cursor } }', "events(first: null) { id }"),
            *("plan @include(if: null)", 'events(first: """1""") { type }', "email @skip(if: on)"),
        ]
    ),
    min_size=1,
    max_size=8,
).map(" ".join)
ROOTS = st.sampled_from(
    [
        "user(id: $id)",
        "users(ids: $ids)",
        *("node(id: $id)", "nodes(ids: $ids)", f'node(id: "{USERS[0]}")'),
        f'user(id: "{USERS[0]}")',
        *("user(id: 1)", f"user(id: {LARGE})", "user(id: null)", "user(id: [true])"),
        *("users(ids: [null, 1.5])", "users(ids: {a: 1})", f"users(ids: [{LARGE}])"),
        f"_entities(representations: [{LARGE}, {{a: $c}}, [null], 1e999, $b])",
        "_entities(representations: $c)",
        f'users(ids: ["{USERS[0]}", "{USERS[1]}", "{USERS[0]}"])',
        '_entities(representations: [{__typename: "User", id: "x"}]) { ... on User { plan } } user',
    ]
)
DEFINED = {
    "id": "ID!",
    "ids": "[ID!]!",
    "a": "Int",
    "b": "Boolean! = true",
    "c": "[_Any!]! = []",
}


@st.composite
def nearly_valid(draw: st.DrawFn) -> str:
    """Make a document that is valid or nearly valid."""
    roots = draw(st.lists(st.tuples(ROOTS, FIELDS), min_size=1, max_size=3))
    text = "{ " + " ".join(f"r{n}: {root} {{ {of} }}" for n, (root, of) in enumerate(roots)) + " }"
    for name in sorted(set(re.findall(r"\.\.\.([A-Z])", text))):
        if draw(st.integers(0, 9)):
            inner = draw(FIELDS)
            inner = inner.replace("...", "# ") if draw(st.integers(0, 9)) else inner
            text += f" fragment {name} on User {{ {inner}\n}}"
    used = {name: of for name, of in DEFINED.items() if re.search(rf"\${name}\b", text)}
    head = ", ".join(f"${name}: {of}" for name, of in used.items())
    return f"query Q({head}) {text}" if used else f"query Q {text}"


@st.composite
def grammatical(draw: st.DrawFn) -> str:
    """Make a document that follows the grammar, but not always the schema."""
    definitions: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["query", "", "mutation", "subscription", "fragment", "type"]))
        if kind == "fragment":
            definitions.append(f"fragment {draw(FRAGMENTS)} on {draw(WORDS)} {draw(selections())}")
        elif kind == "type":
            definitions.append(f"type {draw(WORDS)} {{ {draw(WORDS)}: {draw(WORDS)} }}")
        else:
            name = draw(st.sampled_from(["", "Q", "R", "S"]))
            declared = draw(st.lists(st.tuples(VARIABLES, TYPES), max_size=3))
            head = ", ".join(f"${one}: {of}" for one, of in declared)
            head = f"({head})" if declared and kind else ""
            definitions.append(
                f"{kind} {name if kind else ''}{head}{draw(DIRECTED) if kind else ''}"
                f" {draw(selections())}"
            )
    return " ".join(definitions)


TOKENS = st.one_of(
    WORDS,
    ATOMS,
    st.sampled_from([*"{}()[]!$@:=|&,.#", "...", '"', '"""', "\\", "\n", "\r", "\ufeff", "query"]),
    st.text(max_size=3),
)
TOKEN_LISTS = st.lists(TOKENS, max_size=60).map(" ".join)


@st.composite
def repetitive(draw: st.DrawFn) -> str:
    """Make a document that repeats one part very often."""
    of, count = (
        draw(st.sampled_from(REPEATED_PARTS)),
        draw(st.sampled_from([3, 40, 51, 250, 3_000, 20_000])),
    )
    before, one, after = of
    return (
        before
        + "".join(one.replace("#", str(number)) for number in range(count))
        + after * (count if "{" in one and "}" not in one else 1)
    )


REPEATED_PARTS: Sequence[tuple[str, str, str]] = [
    ("{ user(id: 1) {", " a#: plan", " } }"),
    ("{ user(id: 1) {", " no#", " } }"),
    ("{ user(id: 1) {", " x: plan x: id", " } }"),
    ("{", " u#: user(id: 1) { id }", " }"),
    ("{ __typename", " @skip(if: false)", " }"),
    ("{ __typename", " @a#", " }"),
    ("{ __typename }", " fragment F# on User { ...F# ...F }", ""),
    ("{ a", " { b", " }"),
    ("query(", "$v#: ID ", ") { __typename }"),
    ("", "query Q# { __typename } ", ""),
    ("{ users(ids: [", '"#" ', "]) { id } }"),
    ("{ user(id: ", "[", ") { id } }"),
    ("{ user(id: ", "{a:", ") { id } }"),
    ("query($a: ", "[", ") { id }"),
    ('{ user(id: "', "\\u00e#", '") { id } }'),
    ('{ user(id: """', "\n\t#", '""") { id } }'),
    ("{ __typename }", "#\n", ""),
    ("{ user(id: ", "9", ") { id } }"),
    ("{ ", "n#", " }"),
    ("", "\ufeff", "{ __typename }"),
]
"""The text before the repeated part, the repeated part, and the text after it."""


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Make a document in which some characters are replaced."""
    text = draw(nearly_valid() | grammatical())
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.text(max_size=3) | TOKENS) + text[at + draw(st.integers(0, 5)) :]
    return text


DOCUMENTS = st.integers(0, 9).flatmap(
    lambda kind: (
        nearly_valid()
        if kind < 5
        else (grammatical(), grammatical(), damaged(), repetitive(), TOKEN_LISTS)[kind - 5]
    )
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, -(2**31) - 1, 10**400, 1.5, 1e308, -0.0])
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
_ODD: list[Any] = [
    *(None, True, False, math.inf, -math.inf, -0.0, 1.5, 1e308, 2**31, -(2**31) - 1, 2**64),
    *(10**400, "", "\x00", "None", "\u202e", [], [None], [[True]], {}, {"a": None}, {"": [{}]}),
    *({"a": {"b": {"c": False}}}, ["x" * 300], {"x" * 300: 1}, [1] * 30),
]
ODD: st.SearchStrategy[Any] = st.sampled_from(_ODD)
"""Values that are invalid or at the edge of the valid range."""

ENTITIES = st.lists(
    st.fixed_dictionaries({"__typename": st.just("User"), "id": st.sampled_from(USERS) | TEXTS})
    | JSON,
    max_size=4,
)
VALID_VARIABLES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"id": st.sampled_from(USERS), "ids": st.lists(st.sampled_from(USERS), min_size=1, max_size=5)},
    optional={"a": st.integers(-1, 3), "b": st.booleans(), "c": ENTITIES},
)


def _with(right: dict[str, Any], name: str, odd: object) -> dict[str, Any]:
    """Replace one valid value by an odd one."""
    return {**right, name: odd}


INVALID_VARIABLES = st.builds(_with, VALID_VARIABLES, st.sampled_from(sorted(DEFINED)), ODD)
ANY_VARIABLES: st.SearchStrategy[Any] = (
    VALID_VARIABLES
    | INVALID_VARIABLES
    | INVALID_VARIABLES
    | st.dictionaries(VARIABLES | st.text(max_size=5), JSON, max_size=5)
    | JSON
)
PERSISTED: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "persistedQuery": st.fixed_dictionaries(
            {"version": st.just(1) | JSON | ODD, "sha256Hash": TEXTS | JSON | ODD}
        )
        | JSON
        | ODD
    }
)
PLAIN = st.fixed_dictionaries({"query": DOCUMENTS, "variables": VALID_VARIABLES})
REQUESTS: st.SearchStrategy[dict[str, Any]] = PLAIN | st.fixed_dictionaries(
    {"query": DOCUMENTS, "variables": ANY_VARIABLES},
    optional={
        "operationName": st.sampled_from(["Q", "R", ""]) | TEXTS | JSON | ODD,
        "onError": st.sampled_from(["NULL", "PROPAGATE", "HALT"]) | JSON | ODD,
        "extensions": PERSISTED | JSON | ODD,
    },
)
"""Requests with these documents and with random other members."""


def as_json(request: object) -> str:
    """Write one or several requests as JSON, infinity as a number too large for Python."""
    return json.dumps(request).replace("Infinity", "1e999")
