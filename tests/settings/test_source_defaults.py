"""The defaults of all sources."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.settings.credentials import BasicAuth, BearerAuth, NoAuth
from app.settings.environment import read
from app.settings.models import WrittenSettings
from app.settings.nested import Keys, Table
from app.settings.reference import file_schema, rows
from app.settings.request import EachRequest, ListRequest, RepeatRequest
from tests.conftest import OpenGateway
from tests.fakes import FakeServices, settings_for_fakes, user_id
from tests.properties import examples
from tests.settings.conftest import Write
from tests.settings.loading import NEEDED, SECRET, load, mistakes
from tests.settings.toml import toml

SOURCES = ("profile", "billing", "activity")


def origins(path: Path) -> Mapping[str, str]:
    """Read settings, and return the origin of each."""
    return {row.name: row.origin for row in rows(read(None, check=lambda _: (), config=path))}


def test_a_source_s_own_setting_wins_over_the_defaults(write: Write) -> None:
    path = write(
        f"{NEEDED}billing.timeout = 3\nbilling.retry.max_retries = 5\nbilling.hedge = false\n"
        "[source_defaults]\ntimeout = 1\nhedge = true\nretry = { max_retries = 1, base_delay = 2 }"
    )

    sources = load(path).sources

    assert [source.timeout for source in sources.values()] == [1, 3, 1]
    assert [source.hedge for source in sources.values()] == [True, False, True]
    assert [source.retry.max_retries for source in sources.values()] == [1, 5, 1]
    assert [source.retry.base_delay for source in sources.values()] == [2, 2, 2]
    assert [source.retry.max_delay for source in sources.values()] == [1, 1, 1]


def test_a_base_url_may_be_a_default_of_all_sources(write: Write) -> None:
    sources = load(
        write(
            "[source_defaults]\nbase_url = 'http://all'\n"
            "[sources.billing]\nbase_url = 'http://billing'"
        )
    ).sources

    assert [one.base_url for _, one in sources.items()] == [
        "http://all",
        "http://billing",
        "http://all",
    ]


def test_a_source_s_own_setting_in_the_file_wins_over_defaults_of_variables(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SOURCE_DEFAULTS__TIMEOUT", "4")
    monkeypatch.setenv("GATEWAY_SOURCE_DEFAULTS", '{"max_keys": 8, "cache": {"ttl": 7}}')
    monkeypatch.setenv("GATEWAY_SOURCES__ACTIVITY__TIMEOUT", "5")
    path = write(
        f"{NEEDED}billing.timeout = 3\n"
        "[source_defaults]\ntimeout = 1\nmax_keys = 9\ncache.enabled = true"
    )

    sources = load(path).sources
    found = origins(path)

    assert [source.timeout for source in sources.values()] == [4, 3, 5]
    assert [source.max_keys for source in sources.values()] == [8, 8, 8]
    assert {(source.cache.enabled, source.cache.ttl) for source in sources.values()} == {(True, 7)}
    assert found["sources.profile.timeout"] == "GATEWAY_SOURCE_DEFAULTS__TIMEOUT"
    assert found["sources.billing.timeout"] == "gateway.toml:6"
    assert found["sources.activity.timeout"] == "GATEWAY_SOURCES__ACTIVITY__TIMEOUT"
    assert found["sources.profile.max_keys"] == "GATEWAY_SOURCE_DEFAULTS"
    assert found["sources.profile.cache.enabled"] == "gateway.toml:10 [source_defaults]"


def test_a_source_may_exclude_some_defaults(write: Write) -> None:
    sources = load(
        write(
            "[source_defaults]\nproxy = { url = 'http://proxy' }\ntimeout = 1\n"
            f"{NEEDED}billing.without_source_defaults = ['proxy', 'timeout']\n"
        )
    ).sources

    assert sources["profile"].proxy is not None
    assert sources["billing"].proxy is None
    assert [source.timeout for source in sources.values()] == [1, 2, 1]


def test_auth_of_another_kind_is_replaced_and_of_the_same_kind_is_merged(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    sources = load(
        write(
            f"{NEEDED}profile.auth = {{ kind = 'bearer', token.env = 'TOKEN' }}\n"
            "billing.auth.username = 'billing'\nactivity.auth = { kind = 'none' }\n"
            "[source_defaults.auth]\n"
            "kind = 'basic'\nusername = 'me'\npassword.env = 'TOKEN'"
        )
    ).sources

    assert isinstance(sources["profile"].auth, BearerAuth)
    assert isinstance(sources["billing"].auth, BasicAuth)
    assert sources["billing"].auth.username == "billing"
    assert sources["billing"].auth.password.get_secret_value() == SECRET
    assert sources["activity"].auth == NoAuth(kind="none")


def test_a_default_without_a_form_applies_to_forms_with_the_setting(
    write: Write,
) -> None:
    sources = load(
        write(
            f"{NEEDED}"
            "profile.request = { form = 'repeat', path = '/u', parameter = 'id' }\n"
            "billing.request = { form = 'each', path = '/b/{key}', headers.X-B = 'b' }\n"
            "[source_defaults.request]\nmax_concurrent_calls = 3\nheaders.X-A = 'a'"
        )
    ).sources

    profile, billing = sources["profile"].request, sources["billing"].request
    assert isinstance(profile, RepeatRequest)
    assert profile.headers == {"X-A": "a"}
    assert isinstance(billing, EachRequest)
    assert billing.headers == {"X-A": "a", "X-B": "b"}
    assert billing.max_concurrent_calls == 3
    assert sources["activity"].request is None


ENDPOINTS = """
[sources.billing.endpoints.first]
request = { form = "repeat", path = "/first", parameter = "id" }
fields = { plan = "plan" }
[sources.billing.endpoints.second]
request = { form = "list", path = "/second", parameter = "id", headers.X-A = "own" }
fields = { status = "status" }
answer = { rows = ["items"], key = ["owner"] }
"""


def test_defaults_of_requests_and_answers_apply_to_each_endpoint(
    write: Write,
) -> None:
    path = write(
        f"{NEEDED}{ENDPOINTS}[source_defaults]\nrequest.headers = {{ X-A = 'a', X-B = 'b' }}\n"
        "answer = { rows = ['data'], fold_case = true }"
    )

    sources = load(path).sources
    found = origins(path)

    assert (sources["billing"].request, sources["billing"].answer) == (None, None)
    first, second = sources["billing"].endpoints.values()
    assert first.request.headers == {"X-A": "a", "X-B": "b"}
    assert isinstance(second.request, ListRequest)
    assert second.request.headers == {"X-A": "own", "X-B": "b"}
    assert first.answer is not None
    assert second.answer is not None
    assert (first.answer.rows, second.answer.rows) == (("data",), ("items",))
    assert (first.answer.fold_case, second.answer.fold_case) == (True, True)
    assert second.answer.key == ("owner",)
    assert sources["profile"].answer == first.answer
    assert found["sources.billing.endpoints.first.answer.rows"] == (
        "gateway.toml:16 [source_defaults]"
    )


@pytest.mark.parametrize(
    ("written", "reported"),
    [
        ("timout = 1", "[source_defaults] timout is not a setting: did you mean "),
        ("timeout = '1'", "[source_defaults] timeout got '1': expected a number, without quotes"),
        ("timeout = 0", "[source_defaults] timeout got 0: expected at least 0.001"),
        ("retry = 3", "[source_defaults] retry got a single value: expected a table."),
        ("retry = { max_retires = 1 }", "[source_defaults.retry] max_retires is not a setting: di"),
        ("proxy = {}", "[source_defaults.proxy] url is missing: "),
        ("auth = { kind = 'bearrer' }", "[source_defaults.auth] kind got 'bearrer': did you mean"),
        ("auth = { kind = 'bearer' }", "[source_defaults.auth] token is missing: "),
        (
            "auth = { kind = 'bearer', token = 'x' }",
            "[source_defaults.auth] token got a secret itself: expected { env =",
        ),
        (
            "auth = { kind = 'bearer', token.env = 'NOT_SET' }",
            "[source_defaults.auth] token names the variable NOT_SET, which is not set",
        ),
        ("auth = { username = 'x' }", "[source_defaults.auth] kind is missing: expected one of 'n"),
        (
            "fields = { plan = 'a' }",
            "[source_defaults.fields] belongs to one source: expected it in [sources.<name>].",
        ),
        (
            "endpoints = {}",
            "[source_defaults.endpoints] belongs to one source: expected it in [sources.<name>].",
        ),
        (
            "without_source_defaults = ['tls']",
            "[source_defaults] without_source_defaults belongs to one source: expected it ",
        ),
        (
            "answer = { rows = 'data' }",
            "[source_defaults.answer] rows got a single value: expected a list such as ",
        ),
    ],
)
def test_a_mistake_in_a_default_is_reported_once_with_its_line(
    write: Write, written: str, reported: str
) -> None:
    [mistake] = mistakes(write(f"{NEEDED}[source_defaults]\n{written}"))

    assert mistake.startswith(f"gateway.toml:7: {reported}")


def test_defaults_that_are_not_a_table_are_reported(write: Write) -> None:
    assert mistakes(write(f"source_defaults = 3{NEEDED}")) == (
        "gateway.toml:1: source_defaults is no table: expected a table.",
    )


def test_a_default_that_every_source_replaces_is_not_checked(write: Write) -> None:
    text = NEEDED + "".join(f"{name}.proxy = {{ url = 'http://proxy' }}\n" for name in SOURCES)

    sources = load(write(f"{text}[source_defaults.proxy]\nurl = 'no address'")).sources

    assert [one.proxy and one.proxy.url for _, one in sources.items()] == ["http://proxy"] * 3


def test_a_mistake_in_a_variable_of_a_default_names_the_variable(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SOURCE_DEFAULTS__TIMEOUT", "soon")
    monkeypatch.setenv("GATEWAY_SOURCE_DEFAULTS__TIMOUT", "1")
    monkeypatch.setenv("GATEWAY_SOURCE_DEFAULTS__RETRY", '{"max_retries": 99}')

    reported = mistakes(write(NEEDED))

    assert [sentence.partition(" got ")[0].partition(" is ")[0] for sentence in reported] == [
        "GATEWAY_SOURCE_DEFAULTS__TIMOUT",
        "GATEWAY_SOURCE_DEFAULTS__TIMEOUT",
        "GATEWAY_SOURCE_DEFAULTS__RETRY__MAX_RETRIES",
    ]


def test_a_conflict_of_a_default_and_a_source_is_reported_at_the_source(write: Write) -> None:
    [mistake] = mistakes(
        write(
            f"{NEEDED}billing.request = {{ form = 'each', path = '/b', parameter = 'key' }}\n"
            "[source_defaults.request]\nheaders = { X-A = 'a' }\nparameters = { key = 'x' }"
        )
    )

    assert mistake == (
        "gateway.toml:6: [sources.billing.request] is wrong: expected each query parameter once."
    )


@pytest.mark.parametrize("name", ["headers", "fields", "qqq"])
def test_only_names_of_defaults_can_be_excluded(write: Write, name: str) -> None:
    [mistake] = mistakes(write(f"{NEEDED}billing.without_source_defaults = ['{name}']"))

    assert mistake.startswith(
        "gateway.toml:6: [sources.billing] without_source_defaults got a list: exp"
    )
    assert f"not '{name}'" in mistake


@pytest.mark.parametrize(
    ("written", "allowed"),
    [
        ("[source_defaults]\nbase_url = 'http://x'\ntimeout = 1", True),
        ("[source_defaults.request.headers]\nX-A = 'a'", True),
        ("[source_defaults.auth]\nusername = 'me'", True),
        ("[sources.billing.auth]\nusername = 'me'", True),
        ("[sources.billing.endpoints.one]\nfields = { plan = 'plan' }", True),
        ("[source_defaults]\nfields = { plan = 'plan' }", False),
        ("[source_defaults]\ntimeout = 0", False),
        ("[source_defaults.auth]\nkind = 'none'\nusername = 'me'", False),
        ("include = ['common.toml']", True),
        ("include = ['']", False),
        ("include = 'common.toml'", False),
    ],
)
def test_the_schema_of_the_file_accepts_defaults_and_included_files(
    written: str, *, allowed: bool
) -> None:
    validator = Draft202012Validator(file_schema(WrittenSettings))

    assert validator.is_valid(tomllib.loads(written)) == allowed  # pyright: ignore[reportUnknownMemberType] # its stubs leave one open


async def test_a_header_of_all_sources_is_sent_with_each_call(
    open_gateway: OpenGateway, services: FakeServices, write: Write
) -> None:
    requests = "".join(
        f"[sources.{name}.request]\nform = 'repeat'\npath = '/{path}'\nparameter = '{key}'\n"
        for name, path, key in (
            ("profile", "users", "id"),
            ("billing", "accounts", "userId"),
            ("activity", "summaries", "userId"),
        )
    )
    loaded = load(
        write(f"{NEEDED}[source_defaults.request.headers]\nX-From = 'gateway'\n{requests}")
    )
    services.know(1)

    async with open_gateway(settings_for_fakes(sources=loaded.sources)) as gateway:
        reply = await gateway.query(
            f'{{ user(id: "{user_id(1)}") {{ username plan loginCount }} }}'
        )

    assert not reply.errors
    sent = {
        name: [call.headers["X-From"] for call in service.requests]
        for name, service in services.by_name.items()
    }
    assert sent == {name: ["gateway"] for name in SOURCES}


LEAVES: Mapping[Keys, st.SearchStrategy[Any]] = {
    ("timeout",): st.integers(1, 3),
    ("hedge",): st.booleans(),
    ("retry", "max_retries"): st.integers(0, 2),
    ("retry", "base_delay"): st.integers(1, 2),
    ("cache", "ttl"): st.integers(1, 3),
    ("proxy",): st.sampled_from([{"url": "http://a"}, {"url": "http://b"}]),
    ("answer", "rows"): st.sampled_from([[], ["a"], ["a", "b"]]),
    ("answer", "more", "max_pages"): st.integers(1, 3),
    ("answer", "status", "404"): st.sampled_from(["absent", "retry"]),
    ("answer", "status", "410"): st.sampled_from(["absent", "retry"]),
}
SETTINGS = st.fixed_dictionaries({}, optional=dict(LEAVES))
KINDS = st.sampled_from(["none", "forward"])
AUTH = st.none() | st.fixed_dictionaries(
    {"kind": KINDS},
    optional={"forward_headers": st.sampled_from([["X-A"], ["X-B"]])},
)


def table_of(leaves: Mapping[Keys, object], auth: Mapping[str, object] | None) -> Table:
    """Write settings of a source as a table."""
    table: Table = {} if auth is None else {"auth": dict(auth)}
    for keys, value in leaves.items():
        inner = table
        for key in keys[:-1]:
            inner = inner.setdefault(str(key), {})
        inner[str(keys[-1])] = value
    return table


@settings(max_examples=examples(60), deadline=None)
@given(
    common=SETTINGS,
    common_auth=AUTH,
    own=st.tuples(*[st.tuples(SETTINGS, AUTH)] * len(SOURCES)),
)
def test_defaults_are_the_same_as_settings_repeated_in_each_source(
    common: Mapping[Keys, Any],
    common_auth: Mapping[str, Any] | None,
    own: tuple[tuple[Mapping[Keys, Any], Mapping[str, Any] | None], ...],
) -> None:
    shared: Table = {"source_defaults": table_of(common, common_auth), "sources": {}}
    whole: Table = {"sources": {}}
    for name, (leaves, auth) in zip(SOURCES, own, strict=True):
        all_auth = auth or common_auth
        if auth is not None and common_auth is not None and auth["kind"] == common_auth["kind"]:
            all_auth = {**common_auth, **auth}
        address = {"base_url": f"http://{name}"}
        shared["sources"][name] = {**address, **table_of(leaves, auth)}
        whole["sources"][name] = {**address, **table_of({**common, **leaves}, all_auth)}

    Path("shared.toml").write_text(toml(shared), encoding="utf-8")
    Path("whole.toml").write_text(toml(whole), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATEWAY_SOURCE_DEFAULTS", json.dumps(shared["source_defaults"]))
        Path("own.toml").write_text(toml({"sources": shared["sources"]}), encoding="utf-8")
        by_variables = load(Path("own.toml"))

    assert load(Path("shared.toml")) == load(Path("whole.toml")) == by_variables
