"""The line of each key of a TOML text."""

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings.config_file import TomlLines
from app.settings.nested import Keys, as_list, as_table, value_at

BARE = st.sampled_from(["a", "b", "c-d", "1"])
QUOTED = st.sampled_from(['"q k"', '"x.y"', "'#'", '"\\""', '"[\\u00fc]"', "''", "'='", '"a"'])
KEY = st.lists(BARE | QUOTED, min_size=1, max_size=3).map(" . ".join)
SINGLE = st.sampled_from(
    [
        '"@"',
        "'@'",
        '"@ \\" # [a]\\n"',
        "'@ \" = \\'",
        '"""@"""',
        '"""@\n\n[a]\nb = 1 \\""" \\\n  ""\nx\\\\"""',
        '"""@""""',
        "'''@\n''\n# ' [[b]] = {\n'''",
        "'''@'''''",
    ]
)
ENDING = st.sampled_from(["\n", "\r\n"])
GAP = st.sampled_from(["", " ", "\n", " # ] , '''\n", "\n\n\t"])


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """Write a list."""
    items = draw(st.lists(inner, max_size=3))
    last = draw(st.sampled_from(["", ","])) if items else ""
    return "[" + "".join(f"{draw(GAP)}{one}{draw(GAP)}," for one in items)[:-1] + last + "\n]"


@st.composite
def inline_tables(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """Write a table in braces."""
    pairs = draw(st.lists(st.tuples(KEY, inner), max_size=3))
    return "{ " + ", ".join(f"{key} ={value}" for key, value in pairs) + " }"


VALUE = st.recursive(SINGLE, lambda inner: arrays(inner) | inline_tables(inner), max_leaves=4)
STATEMENT = (
    st.builds("[{}]".format, KEY)
    | st.builds("[[ {} ]] # [x]".format, KEY)
    | st.builds("{} = {}".format, KEY, VALUE)
    | st.builds("\t{}={} # '".format, KEY, VALUE)
    | st.sampled_from(["", "# a = '''", "  "])
)


def is_toml(text: str) -> bool:
    """Return whether a text is TOML."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Write a text of statements that are valid together; each single value has its number."""
    text = ""
    for statement in draw(st.lists(STATEMENT, max_size=12)):
        longer = text + statement + draw(ENDING)
        text = longer if is_toml(longer) else text
    first, *rest = text.split("@")
    return first + "".join(f"<{number}>{part}" for number, part in enumerate(rest))


def places(value: object, keys: Keys = ()) -> Iterator[Keys]:
    """List the keys of all values."""
    if keys:
        yield keys
    for key, inner in (as_table(value) or {}).items():
        yield from places(inner, (*keys, key))
    for number, inner in enumerate(as_list(value) or []):
        yield from places(inner, (*keys, number))


@given(text=texts())
def test_each_value_has_the_line_where_it_is_written(text: str) -> None:
    values = tomllib.loads(text)
    lines = TomlLines(text)

    written = text.replace("\r\n", "\n").split("\n")
    for keys in places(values):
        line = lines.of(keys)
        assert line is not None, keys
        value = value_at(values, keys)
        if isinstance(value, str):
            assert value[: value.index(">") + 1] in written[line - 1]


TEXT = """\
# a comment
port = 80
[sources.billing]          # line 3
base_url = "x"
retry.max_retries = 1
cache = { enabled = true, "of.us" = 1 }
names = [
  "one",  # [not] = a table

  "two", { deep = 1 },
]
note = '''
[fake]
'''
[log]
level = "info"
[sources]                  # line 17
"quoted \\u006bey" = 1
[sources.profile]
[[rules]]
name = "one"
[[rules]]
name = "two"
[rules.inner]
x = 1
[[rules.list]]
y = 1
"""


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("port",), 2),
        (("sources",), 17),
        (("sources", "billing"), 3),
        (("sources", "billing", "base_url"), 4),
        (("sources", "billing", "retry"), 5),
        (("sources", "billing", "retry", "max_retries"), 5),
        (("sources", "billing", "cache", "enabled"), 6),
        (("sources", "billing", "cache", "of.us"), 6),
        (("sources", "billing", "names"), 7),
        (("sources", "billing", "names", 0), 8),
        (("sources", "billing", "names", 1), 10),
        (("sources", "billing", "names", 2, "deep"), 10),
        (("sources", "billing", "note"), 12),
        (("fake",), None),
        (("log", "level"), 16),
        (("sources", "quoted key"), 18),
        (("sources", "profile"), 19),
        (("rules",), 20),
        (("rules", 0), 20),
        (("rules", 0, "name"), 21),
        (("rules", 0, "inner"), None),
        (("rules", 1), 22),
        (("rules", 1, "name"), 23),
        (("rules", 1, "inner", "x"), 25),
        (("rules", 1, "list", 0, "y"), 27),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_place_has_a_line(keys: Keys, line: int | None, ending: str) -> None:
    assert TomlLines(TEXT.replace("\n", ending)).of(keys) == line


def test_a_missing_value_has_the_line_of_its_table() -> None:
    lines = TomlLines(TEXT)

    assert lines.near(("sources", "billing", "missing", "deep")) == 3
    assert lines.near(("rules", 1, "missing")) == 22
    assert lines.near(("nowhere", "at", "all")) is None
    assert lines.near(("port",)) == 2


def test_an_inline_table_over_several_lines_has_lines_as_in_toml_1_1() -> None:
    lines = TomlLines('a = {\n  b = 1, # one\n  c = "\\e",\n}\nd = 1\n')

    assert [lines.of(keys) for keys in [("a", "b"), ("a", "c"), ("d",)]] == [2, 3, 5]
