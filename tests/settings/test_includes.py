"""A file that includes other files: which value wins, the origin of each, and mistakes."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.settings.config_files import read_files
from app.settings.field_schema import FieldSchema
from app.settings.loading import read_settings
from app.settings.models import WrittenSettings
from app.settings.nested import Keys, Table, laid_over, value_at
from app.settings.reference import rows
from tests.properties import examples
from tests.settings.loading import NEEDED, SECRET, load, load_own, mistakes, mistakes_own
from tests.settings.models import Basic, Bearer, TestSettings
from tests.settings.toml import toml

MAIN = Path("gateway.toml")


def files(texts: Mapping[str, str]) -> Path:
    """Write files; return the path of the first one."""
    for name, text in texts.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Path(next(iter(texts)))


def origins(path: Path) -> Mapping[str, str]:
    """Read settings, and return the origin of each."""
    reading = read_settings(WrittenSettings, env_file=None, config=path)
    return {row.name: row.origin for row in rows(reading)}


def test_settings_come_from_a_file_and_its_included_files() -> None:
    path = files(
        {
            "conf/gateway.toml": f"include = ['common.toml', 'sources/billing.toml']\n{NEEDED}",
            "conf/common.toml": "port = 81\n[sources.billing]\nmax_keys = 7\n",
            "conf/sources/billing.toml": "include = ['../breaker.toml']\n[sources.billing]\n"
            "timeout = 1\n",
            "conf/breaker.toml": "[sources.billing.breaker]\nprobes = 2",
        }
    )

    read = load(path)
    found = origins(path)

    assert read.port == 81
    assert (read.sources["billing"].timeout, read.sources["billing"].max_keys) == (1, 7)
    assert read.sources["billing"].breaker.probes == 2
    assert found["sources.billing.base_url"] == "conf/gateway.toml:5"
    assert found["sources.billing.max_keys"] == "conf/common.toml:3"
    assert found["sources.billing.timeout"] == "conf/sources/billing.toml:3"
    assert found["sources.billing.breaker.probes"] == "conf/sources/../breaker.toml:2"
    assert found["sources.billing.keepalive"] == "default"


def test_the_path_of_trusted_documents_is_relative_to_the_file_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = files(
        {
            "conf/gateway.toml": f"include = ['trusted/trusted.toml']\n{NEEDED}",
            "conf/trusted/trusted.toml": "[trusted]\npath = 'documents'",
        }
    )

    assert load(path).trusted.path == Path("conf/trusted/documents").absolute()
    monkeypatch.setenv("GATEWAY_TRUSTED__PATH", "documents")
    assert load(path).trusted.path == Path("documents")


def test_a_file_wins_over_its_included_files() -> None:
    path = files(
        {
            "gateway.toml": f"include = ['a.toml']\nport = 1\n{NEEDED}",
            "a.toml": "include = ['b.toml']\nport = 2\nworkers = 2\n",
            "b.toml": "port = 3\nworkers = 3\nmax_ids = 3",
        }
    )

    read = load(path)

    assert (read.port, read.workers, read.max_ids) == (1, 2, 3)
    assert origins(path)["workers"] == "a.toml:3"


def test_an_overridden_value_is_not_checked_but_its_name_is() -> None:
    reported = mistakes(
        files(
            {
                "gateway.toml": f"include = ['a.toml']\nport = 1\n{NEEDED}",
                "a.toml": "port = 'x'\nprot = 1",
            }
        )
    )

    assert reported == ("a.toml:2: prot is not a setting: did you mean port?",)


def test_a_variable_wins_over_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "4")
    monkeypatch.setenv("GATEWAY_CONFIG", "gateway.toml")
    files({"gateway.toml": f"include = ['a.toml']\n{NEEDED}", "a.toml": "port = 2"})

    assert load().port == 4


def test_a_file_included_twice_counts_once_and_may_be_overridden() -> None:
    path = files(
        {
            "gateway.toml": f"include = ['a.toml', 'b.toml', './a.toml']\n{NEEDED}",
            "a.toml": "include = ['common.toml']\nport = 1",
            "b.toml": "include = ['common.toml']\nworkers = 2",
            "common.toml": "port = 3\nworkers = 3\nmax_ids = 3",
        }
    )

    read = load(path)

    assert (read.port, read.workers, read.max_ids) == (1, 2, 3)


def test_a_conflict_of_two_included_files_is_reported_with_both_places() -> None:
    reported = mistakes(
        files(
            {
                "gateway.toml": f"include = ['a.toml', 'b.toml']\nworkers = 2\n{NEEDED}",
                "a.toml": "port = 1\nworkers = 3\n[log]\nlevel = 'info'\nsample = 1",
                "b.toml": "workers = 4\n\nport = 2\n[log]\nlevel = 'info'\nsample = 1.0",
            }
        )
    )

    should = "differ: expected the same value, or one in a file that includes both."
    assert reported == (
        f"a.toml:1: port and b.toml:3: port {should}",
        f"a.toml:5: [log] sample and b.toml:6: [log] sample {should}",
    )


def test_a_table_of_another_kind_replaces_the_table_of_an_included_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    service = "[services.users]\nurl = 'http://users'\n"
    basic = "[services.users.auth]\nkind = 'basic'\nuser = 'me'\npassword.env = 'TOKEN'\n"

    replaced = load_own(
        files(
            {
                "gateway.toml": "include = ['a.toml']\n"
                f"{service}auth = {{ kind = 'bearer', token.env = 'TOKEN' }}",
                "a.toml": basic,
            }
        )
    )
    added = load_own(
        files(
            {
                "gateway.toml": f"include = ['a.toml']\n{service}auth.user = 'you'",
                "a.toml": basic,
            }
        )
    )

    assert isinstance(replaced.auth, Bearer)
    assert isinstance(added.auth, Basic)
    assert added.auth.user == "you"


def test_the_file_of_a_secret_is_relative_to_the_file_that_names_it() -> None:
    path = files(
        {
            "gateway.toml": "include = ['below/a.toml']\n[services.users]\nurl = 'http://users'\n"
            "headers.X-Own = { file = 'own' }",
            "below/a.toml": "[services.users]\nauth = { kind = 'bearer', token.file = 'token' }\n"
            "headers = { X-Own.env = 'NOT_SET', X-Key.file = '../key' }",
            "below/token": "t-1",
            "key": "k-1",
            "own": "o-1",
        }
    )

    users = load_own(path)
    reading = read_settings(TestSettings, env_file=None, config=path)
    found = {row.name: row.origin for row in rows(reading)}

    assert isinstance(users.auth, Bearer)
    assert users.auth.token.get_secret_value() == "t-1"
    headers = {name: getattr(one, "get_secret_value", str)() for name, one in users.headers.items()}
    assert headers == {"X-Own": "o-1", "X-Key": "k-1"}
    assert found["services.users.auth.token"] == "below/a.toml:2, the file token"


def test_mistakes_are_reported_file_by_file_with_their_lines() -> None:
    reported = mistakes_own(
        files(
            {
                "gateway.toml": "include = ['a.toml', 'b.toml']\nport = 'x'\n[services.users]\n",
                "a.toml": "prot = 1\n[services.users]\nlimit = 'all'\nauth.kind = 'bearer'",
                "b.toml": "[services.users.auth]\ntoken = 'secret'\n[services.users.paging]",
            }
        )
    )

    assert [sentence.partition(" is ")[0].partition(" got ")[0] for sentence in reported] == [
        "gateway.toml:2: port",
        "gateway.toml:3: [services.users] url",
        "a.toml:1: prot",
        "a.toml:3: [services.users] limit",
        "b.toml:2: [services.users.auth] token",
        "b.toml:3: [services.users.paging] size",
    ]


@pytest.mark.parametrize(
    ("include", "reported"),
    [
        ("'a.toml'", 'include got a single value: expected a list such as ["common.toml"].'),
        ("{ a = 1 }", '[include] got a table: expected a list such as ["common.toml"].'),
        ("['', 'a.toml']", 'include#1 is not the path of a file: expected a list such as ["c'),
        ("[3]", 'include#1 is not the path of a file: expected a list such as ["common.toml"].'),
        (
            "['nowhere.toml']",
            "include#1: nowhere.toml cannot be read: No such file or directory; expected a TOML",
        ),
        ("['.']", "include#1: . cannot be read: Is a directory; expected a TOML file in UTF-8"),
        ('["a\\u0000b"]', "include#1: a\0b cannot be read: embedded null byte; expected a TOML"),
        (
            "['a.toml', 'gateway.toml']",
            "include#2 makes a cycle: expected none (gateway.toml → gateway.toml).",
        ),
    ],
)
def test_an_include_that_cannot_be_read_is_reported_with_its_line(
    include: str, reported: str
) -> None:
    path = files({"gateway.toml": f"include = {include}\n{NEEDED}", "a.toml": ""})

    [mistake] = mistakes(path)

    assert mistake.startswith(f"gateway.toml:1: {reported}")


def test_a_cycle_of_includes_is_reported_with_its_files() -> None:
    reported = mistakes(
        files(
            {
                "gateway.toml": f"include = ['below/a.toml']\n{NEEDED}",
                "below/a.toml": "include = ['b.toml']",
                "below/b.toml": "include = ['../below/./a.toml', '../gateway.toml']",
            }
        )
    )

    should = "makes a cycle: expected none"
    first = "below/a.toml → below/b.toml → below/a.toml"
    second = "gateway.toml → below/a.toml → below/b.toml → gateway.toml"
    assert reported == (
        f"below/b.toml:1: include#1 {should} ({first}).",
        f"below/b.toml:1: include#2 {should} ({second}).",
    )


def test_an_included_file_that_is_not_toml_is_reported_once_with_other_mistakes() -> None:
    reported = mistakes(
        files(
            {
                "gateway.toml": "include = ['a.toml', 'b.toml', 'c.toml']\nport = 'x'",
                "a.toml": "include = ['c.toml']\nworkers = 'y'",
                "b.toml": "a = = 1",
                "c.toml": "\n[x",
            }
        )
    )

    assert [sentence.partition(" got ")[0].partition(": ")[0] for sentence in reported] == [
        "c.toml:2",
        "b.toml:1:5",
        "gateway.toml:2",
        "a.toml:2",
    ]  # base_url is not reported as missing: one of those files may have it


def test_an_include_counts_only_outside_tables() -> None:
    [mistake] = mistakes(files({"gateway.toml": f"{NEEDED}\n[log]\ninclude = ['a.toml']"}))

    assert mistake.startswith("gateway.toml:8: [log] include is not a setting: ")


LEAVES = st.dictionaries(
    st.sampled_from(
        [
            ("port",),
            ("workers",),
            ("log", "level"),
            ("sources", "billing", "timeout"),
            ("sources", "billing", "breaker", "probes"),
            ("sources", "activity", "headers"),
        ]
    ),
    st.integers(0, 3) | st.lists(st.integers(0, 1), max_size=2),
    max_size=6,
)
SCHEMA = FieldSchema(tables=(WrittenSettings,))


def nested(leaves: Mapping[Keys, object]) -> Table:
    """Write values at their places."""
    table: Table = {}
    for keys, value in leaves.items():
        inner = table
        for key in keys[:-1]:
            inner = inner.setdefault(str(key), {})
        inner[str(keys[-1])] = value
    return table


def write_all(tables: list[Table], includes: Mapping[int, list[int]]) -> None:
    """Write a file for each table, with the numbers of the files that it includes."""
    for number, table in enumerate(tables):
        names = [name_of(other) for other in includes.get(number, ())]
        Path(name_of(number)).write_text(
            f"include = {json.dumps(names)}\n{toml(table)}", encoding="utf-8"
        )


def name_of(number: int) -> str:
    """Name the file of a number; the first file is the one that is read."""
    return f"{number}.toml"


@settings(max_examples=examples(100), deadline=None)
@given(tables_of_leaves=st.lists(LEAVES, min_size=1, max_size=5))
def test_each_file_of_a_chain_wins_over_the_files_after_it(
    tables_of_leaves: list[dict[Keys, object]],
) -> None:
    tables = [nested(leaves) for leaves in tables_of_leaves]
    write_all(tables, {number: [number + 1] for number in range(len(tables) - 1)})

    read = read_files(Path("0.toml"), SCHEMA)

    expected: Table = {}
    for table in reversed(tables):
        expected = laid_over(table, expected)
    assert read.files is not None
    assert (read.files.values, read.mistakes, read.conflicts) == (expected, (), {})
    for number, leaves in reversed([*enumerate(tables_of_leaves)]):
        for keys, value in leaves.items():
            if not any(keys in above for above in tables_of_leaves[:number]):
                assert read.files.line(keys).startswith(f"{number}.toml:")
                assert value_at(read.files.values, keys) == value


@settings(max_examples=examples(100), deadline=None)
@given(tables_of_leaves=st.lists(LEAVES, min_size=2, max_size=5), data=st.data())
def test_the_order_of_included_files_does_not_matter(
    tables_of_leaves: list[dict[Keys, object]], data: st.DataObject
) -> None:
    tables = [nested(leaves) for leaves in tables_of_leaves]
    count = len(tables)
    includes = {
        number: data.draw(st.lists(st.integers(number + 1, count - 1), unique=True))
        for number in range(count - 1)
    }
    write_all(tables, includes)
    first = read_files(Path("0.toml"), SCHEMA)
    write_all(tables, {number: data.draw(st.permutations(few)) for number, few in includes.items()})
    second = read_files(Path("0.toml"), SCHEMA)

    assert first.files is not None
    assert second.files is not None
    assert first.conflicts.keys() == second.conflicts.keys()
    for keys in {keys for leaves in tables_of_leaves for keys in leaves} - first.conflicts.keys():
        assert value_at(first.files.values, keys) == value_at(second.files.values, keys)


def test_the_file_and_variables_win_over_the_defaults_of_an_installation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = files(
        {
            "gateway.toml": f"include = ['a.toml']\nport = 1\n{NEEDED}",
            "a.toml": "workers = 2",
            "image.toml": "include = ['log.toml']\nport = 3\nworkers = 3\nmax_ids = 3",
            "log.toml": "max_ids = 4\nhost = '::1'\n[log]\nformat = 'json'",
        }
    )
    monkeypatch.setenv("GATEWAY_DEFAULTS", "image.toml")
    monkeypatch.setenv("GATEWAY_LOG__FORMAT", "console")

    read = load(path)

    assert (read.port, read.workers, read.max_ids, read.host) == (1, 2, 3, "::1")
    assert read.log.format == "console"
    assert origins(path)["max_ids"] == "image.toml:4"


def test_a_missing_setting_is_not_reported_in_the_defaults_of_an_installation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files({"image.toml": "prot = 1\n[sources.profile]\ntimeout = 'x'"})
    monkeypatch.setenv("GATEWAY_DEFAULTS", "image.toml")
    for name in ("BILLING", "ACTIVITY"):
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name}__BASE_URL", "http://one")

    missing, unknown, wrong = mistakes()

    assert missing.startswith("GATEWAY_SOURCES__PROFILE__BASE_URL is missing")
    assert unknown == "image.toml:1: prot is not a setting: did you mean port?"
    assert wrong.startswith("image.toml:3: [sources.profile] timeout got 'x': ")
