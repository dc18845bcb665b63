"""Settings from a file and from variables: which value wins, and that both give the same."""

import json
from collections.abc import Mapping
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.settings.models import Settings
from app.settings.nested import Table
from app.settings.reference import file_schema
from app.settings.variables import Variable, variables_of
from tests.properties import examples
from tests.settings.conftest import Write
from tests.settings.loading import NEEDED, SECRET, load, load_own
from tests.settings.models import Bearer, Paging, Rule
from tests.settings.schemas import single_value_schema
from tests.settings.toml import toml, toml_value


def test_a_file_has_settings_in_tables_with_their_names(write: Write) -> None:
    settings = load(
        write(
            'port = 81\nuser_id_pattern = "u-\\\\d+"\n'
            '[log]\nlevel = "debug"\n'
            '[sources.profile]\nbase_url = "http://p/"\nretry = { max_retries = 0 }\n'
            '[sources.billing]\nbase_url = "http://b"\n'
            '[sources.activity]\nbase_url = "http://a"\ncache.ttl = 5\n'
        )
    )

    assert type(settings) is Settings
    assert settings.port == 81
    assert settings.user_id_pattern.fullmatch("u-1")
    assert settings.log.level == "debug"
    assert settings.sources["profile"].base_url == "http://p"
    assert settings.sources["profile"].retry.max_retries == 0
    assert settings.sources["activity"].cache.ttl == 5.0
    assert settings.sources["activity"].cache.max_entries == 10_000


def test_the_argument_wins_over_the_variable_that_names_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path("other.toml")
    other.write_text(f"port = 82{NEEDED}", encoding="utf-8")
    monkeypatch.setenv("gateway_config", str(write(f"port = 81{NEEDED}")))

    assert load().port == 81
    assert load(other).port == 82


def test_dot_env_may_name_the_file_too(write: Write) -> None:
    Path(".env").write_text(f"GATEWAY_CONFIG={write(f'port = 81{NEEDED}')}\n", encoding="utf-8")

    assert load().port == 81


def test_a_variable_wins_over_dot_env_and_dot_env_over_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(
        f"{NEEDED}profile.timeout = 1\nprofile.connect_timeout = 1\nprofile.page_timeout = 1\n"
    )
    Path(".env").write_text(
        "GATEWAY_SOURCES__PROFILE__TIMEOUT=2\nGATEWAY_SOURCES__PROFILE__PAGE_TIMEOUT=2\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("GATEWAY_SOURCES__PROFILE__TIMEOUT", "3")

    profile = load(path).sources["profile"]

    assert (profile.timeout, profile.page_timeout, profile.connect_timeout) == (3, 2, 1)
    assert profile.base_url == "http://profile"


def test_a_variable_with_json_overrides_only_the_settings_in_it(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SOURCES", '{"profile": {"retry": {"max_retries": 1}}}')

    profile = load(write(f"{NEEDED}profile.retry.max_delay = 2\nprofile.timeout = 3")).sources[
        "profile"
    ]

    assert (profile.retry.max_retries, profile.retry.max_delay, profile.timeout) == (1, 2, 3)


def test_an_empty_variable_does_not_override_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "")

    assert load(write(f"port = 81{NEEDED}")).port == 81


EVERYTHING = """
[services.users]
url = "http://users"
rows = ["data", "of.users"]
limit = 3
[services.users.auth]
kind = "bearer"
token = { env = "TOKEN" }
[services.users.paging]
size = 10
[[services.users.rules]]
status = 404
[[services.users.rules]]
status = 503
means = "retry"
token.env = "TOKEN"
[services.users.fields]
displayName = "name.full"
"odd key" = "x"
[services.users.headers]
X-Plain = "plain"
X-Key = { env = "TOKEN" }
"""


def test_lists_of_tables_tagged_tables_and_free_names_come_from_a_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)

    users = load_own(write(EVERYTHING))

    token = SecretStr(SECRET)
    assert users.auth == Bearer(kind="bearer", token=token)
    assert users.rules == (Rule(status=404), Rule(status=503, means="retry", token=token))
    assert users.fields == {"displayName": "name.full", "odd key": "x"}
    assert users.headers == {"X-Plain": "plain", "X-Key": token}
    assert users.rows == ["data", "of.users"]
    assert users.paging == Paging(size=10)
    assert users.limit == 3


def test_variables_override_nested_settings_of_a_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    for name, value in {
        "AUTH__REALM": "mine",
        "PAGING__CURSOR": "after",
        "FIELDS__DISPLAYNAME": "nick",
        "FIELDS__EMAIL": "mail",
        "FIELDS": '{"createdAt": "since"}',
        "HEADERS__X-KEY": "other",
        "RULES": '[{"status": 410}]',
        "ROWS": '["elsewhere"]',
        "LIMIT": "none",
    }.items():
        monkeypatch.setenv(f"GATEWAY_SERVICES__USERS__{name}", value)

    users = load_own(write(EVERYTHING))

    assert users.auth == Bearer(kind="bearer", token=SecretStr(SECRET), realm="mine")
    assert users.paging == Paging(size=10, cursor="after")
    assert users.fields == {
        "displayName": "nick",
        "odd key": "x",
        "email": "mail",
        "createdAt": "since",
    }
    assert users.headers == {"X-Plain": "plain", "X-Key": "other"}
    assert users.rules == (Rule(status=410),)
    assert users.rows == ["elsewhere"]
    assert users.limit == "none"


def test_a_list_in_a_variable_is_read_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SERVICES__USERS__URL", "http://users")
    monkeypatch.setenv("GATEWAY_SERVICES__USERS__RULES", '[{"status": 410, "token": "x"}]')

    assert load_own().rules == (Rule(status=410, token=SecretStr("x")),)


SCHEMA = file_schema(Settings)
BASE_URL = "https?://[a-z]{1,9}(:[1-9][0-9]{0,3})?(/[!$-.0-9a-z]+)*"
SPECIAL: Mapping[str, st.SearchStrategy[str]] = {
    "base_url": st.from_regex(BASE_URL, fullmatch=True),
    "header": st.from_regex("[A-Za-z0-9-]{1,64}", fullmatch=True),
    "user_id_pattern": st.sampled_from(["a+", r"\d{3}", "[é\"']", r"(a|b)\\\\"]),
    "type": st.sampled_from(["User", "Employee", "x_1"]),
    "extends": st.just("default"),
    "existence": st.sampled_from(["profile", "billing"]),
    "module": st.nothing(),  # relative to the file's folder, or to the working folder
    "description": st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
    "plural": st.sampled_from(["people", "_all"]),
    "url": st.sampled_from(["redis://store", "valkeys+cluster://a:1,b", "redis+sentinel://a/b/2"]),
    "username": st.from_regex(r"[A-Za-z0-9]{1,9}", fullmatch=True),
    "prefix": st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    "path": st.text(st.characters(exclude_characters="\0", codec="utf-8")).map("/{}".format),
    "host": st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
}


def valid_values(variable: Variable, schema: Table) -> st.SearchStrategy[str | int | float | bool]:
    """Make valid values of one of our settings."""
    if variable.path[-1] in SPECIAL:
        return SPECIAL[variable.path[-1]]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "boolean":
        return st.booleans()
    least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if schema["type"] == "integer":
        return st.integers(least, most)
    return st.floats(least, most, exclude_min="exclusiveMinimum" in schema)


SINGLE = {
    one: valid_values(one, schema)
    for one in variables_of(Settings)
    if (schema := single_value_schema(SCHEMA, one)) is not None
}
SOME = st.fixed_dictionaries(
    {one: values for one, values in SINGLE.items() if one.required},
    optional={one: values for one, values in SINGLE.items() if not one.required},
)
TOKENS = st.dictionaries(
    st.sampled_from(["profile", "billing", "activity"]),
    st.from_regex(r"[A-Za-z0-9\-._~+/]+=*", fullmatch=True),
)


@hypothesis.settings(deadline=None, max_examples=examples(50))  # two whole readings each
@given(values=SOME, tokens=TOKENS)
def test_settings_are_the_same_in_a_file_and_in_variables(
    values: Mapping[Variable, str | int | float | bool], tokens: Mapping[str, str]
) -> None:
    table: Table = {}
    in_variables: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for variable, value in values.items():
        inner = table
        for key in variable.path[:-1]:
            inner = inner.setdefault(key, {})
        in_variables[variable.name] = str(value).lower() if isinstance(value, bool) else str(value)
        inner[variable.path[-1]] = value
    for source, token in tokens.items():
        secrets[f"OF_{source}"] = token
        table["sources"][source]["auth"] = {"kind": "bearer", "token": {"env": f"OF_{source}"}}
        group = f"GATEWAY_SOURCES__{source.upper()}__AUTH"
        in_variables |= {f"{group}__KIND": "bearer", f"{group}__TOKEN": token}
    path = Path("any.toml")
    path.write_text(toml(table), encoding="utf-8", newline="")

    with pytest.MonkeyPatch.context() as patch:
        for name, text in in_variables.items():
            patch.setenv(name, text)
        by_variables = load()
    with pytest.MonkeyPatch.context() as patch:
        for name, text in secrets.items():
            patch.setenv(name, text)
        by_file = load(path)

    assert by_file == by_variables
    assert by_file.model_dump_json() == by_variables.model_dump_json()


KINDS: list[Table] = [
    {"kind": "none", "forward_headers": ["X-Tenant"]},
    {"kind": "bearer", "token": "abc"},
    {"kind": "basic", "username": "me", "password": "p w"},
    {"kind": "api_key", "key": "abc", "header": "X-Key", "prefix": "Token: "},
    {"kind": "api_key", "key": "a&b", "parameter": "key"},
    {
        "kind": "client_credentials",
        "token_url": "https://login/token?a=b",
        "client_id": "gateway",
        "client_secret": "s&c",
        "client_auth": "post",
        "scope": "a b",
        "audience": "https://users",
        "token_timeout": 0.5,
    },
    {"kind": "forward", "forward_headers": ["X-A", "X-B"]},
]


@pytest.mark.parametrize("auth", KINDS, ids=lambda auth: auth["kind"])
def test_each_kind_of_auth_is_the_same_in_a_file_and_in_variables(
    auth: Table, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file: Table = {**auth}
    for name in {"token", "password", "key", "client_secret"} & auth.keys():
        monkeypatch.setenv("OF_THE_FILE", auth[name])
        in_file[name] = {"env": "OF_THE_FILE"}
    by_file = load(write(f"{NEEDED}billing.auth = {toml_value(in_file)}")).sources["billing"].auth

    for name, value in auth.items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(f"GATEWAY_SOURCES__BILLING__AUTH__{name.upper()}", text)
    by_variables = load(write(NEEDED)).sources["billing"].auth

    assert by_file == by_variables
    assert by_file.kind == auth["kind"]
