"""Settings from the environment: all mistakes in them are reported together."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.main import load_settings
from app.settings.credentials import BearerAuth
from app.settings.environment import variables
from app.settings.models import Settings

NAMES = ("PROFILE", "BILLING", "ACTIVITY")
SECRET = "canary-secret"
BILLING = "GATEWAY_SOURCES__BILLING"
BEARER = {"kind": "bearer", "token": f"{SECRET} x"}

Set = Callable[..., None]


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables and files of the machine from the settings."""
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def set_variables(monkeypatch: pytest.MonkeyPatch) -> Set:
    """Return a function that sets variables, and the required ones."""

    def set_all(**values: str) -> None:
        needed = {f"GATEWAY_SOURCES__{name}__BASE_URL": f"http://{name.lower()}" for name in NAMES}
        for name, value in {**needed, **values}.items():
            monkeypatch.setenv(name, value)

    return set_all


def mistakes() -> tuple[str, ...]:
    """Load settings with mistakes, and return the mistakes."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    return caught.value.mistakes


def test_the_required_variables_are_enough(set_variables: Set) -> None:
    set_variables()

    settings = load_settings()

    assert type(settings) is Settings
    assert settings == Settings(sources=settings.sources)
    assert [one.base_url for one in settings.sources.values()] == [
        "http://profile",
        "http://billing",
        "http://activity",
    ]


def test_all_missing_variables_are_reported_together() -> None:
    reported = mistakes()

    assert len(reported) == 3
    for name, sentence in zip(NAMES, reported, strict=True):
        variable = f"GATEWAY_SOURCES__{name}__BASE_URL"
        assert sentence.startswith(f"{variable} is missing: ")
        assert f"For instance {variable}=https://" in sentence


def test_settings_of_any_depth_come_from_the_environment(set_variables: Set) -> None:
    set_variables(
        GATEWAY_PORT="81",
        GATEWAY_GRAPHIQL="false",
        GATEWAY_USER_ID_PATTERN=r"u-\d+",
        GATEWAY_LOG__LEVEL="debug",
        GATEWAY_SOURCES__BILLING__TIMEOUT="0.25",
        GATEWAY_SOURCES__BILLING__AUTH__KIND="bearer",
        GATEWAY_SOURCES__BILLING__AUTH__TOKEN=SECRET,
    )

    settings = load_settings()

    assert settings.port == 81
    assert settings.graphiql is False
    assert settings.user_id_pattern.fullmatch("u-1")
    assert settings.log.level == "debug"
    assert settings.sources["billing"].timeout == 0.25
    assert settings.sources["profile"].timeout == 2.0
    auth = settings.sources["billing"].auth
    assert isinstance(auth, BearerAuth)
    assert auth.token.get_secret_value() == SECRET
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


def test_a_variable_may_have_any_case_and_is_unset_if_empty(
    set_variables: Set,
) -> None:
    set_variables(gateway_port="81", GATEWAY_HOST="", GATEWAY_SOURCES__BILLING__AUTH__TOKEN="")

    settings = load_settings()

    assert settings.port == 81
    assert settings.host == "127.0.0.1"
    assert settings.sources["billing"].auth.kind == "none"


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("GATEWAY_PORT", "http", "expected a whole number"),
        ("GATEWAY_PORT", "70000", "expected at most 65535"),
        ("GATEWAY_GRAPHIQL", "perhaps", "expected true or false"),
        ("GATEWAY_USER_ID_PATTERN", "(", "a regular expression such as usr_[0-9]+ ("),
        ("GATEWAY_LOG__LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        (f"{BILLING}__TIMEOUT", "soon", "expected a number"),
        (f"{BILLING}__TIMEOUT", "inf", "finite number"),
        (f"{BILLING}__TIMEOUT", "0", "expected at least 0.001"),
        (f"{BILLING}__BASE_URL", "billing:8080", "an address such as https://"),
        (f"{BILLING}__BASE_URL", "http://billing?x=1", "no query and no fragment"),
        (f"{BILLING}__BASE_URL", "http://billing:99999", "expected a port"),
        (f"{BILLING}__BASE_URL", "http://billing..internal", "expected a host whose parts"),
    ],
)
def test_a_wrong_value_is_reported_with_its_variable_and_the_expected_value(
    set_variables: Set, name: str, value: str, right: str
) -> None:
    set_variables(**{name: value})

    [reported] = mistakes()

    # The text after the "?" of an address may be secret.
    quoted = value.partition("?")[0] + "?…" if "?" in value else value
    assert reported.startswith(f"{name} got {quoted!r}: ")
    assert right in reported
    meaning = next(one.description for one in variables() if one.name == name)
    assert reported.endswith(meaning)


def test_mistakes_of_all_kinds_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GATEWAY_SOURCES__PROFILE__BASE_URL": "profile",
        "GATEWAY_SOURCES__BILLING__BASE_URL": "http://billing",
        "GATEWAY_SOURCES__BILLING__AUTH__KIND": "bearer",
        "GATEWAY_SOURCES__BILLING__AUTH__TOKEN": "two words",
        "GATEWAY_SOURCES__BILLING__TIMEOT": "1",
        "GATEWAY_PORT": "http",
        "GATEWAY_PROT": "80",
    }.items():
        monkeypatch.setenv(name, value)

    reported = mistakes()

    assert sorted(sentence.split(" ")[0] for sentence in reported) == [
        "GATEWAY_PORT",
        "GATEWAY_PROT",
        "GATEWAY_SOURCES__ACTIVITY__BASE_URL",
        "GATEWAY_SOURCES__BILLING__AUTH__TOKEN",
        "GATEWAY_SOURCES__BILLING__TIMEOT",
        "GATEWAY_SOURCES__PROFILE__BASE_URL",
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GATEWAY_PROT", "GATEWAY_PORT"),
        ("GATEWAY_MAX_IDS_", "GATEWAY_MAX_IDS"),
        ("GATEWAY_LOG_LEVEL", "GATEWAY_LOG__LEVEL"),
        ("GATEWAY_LOG__LEVLE", "GATEWAY_LOG__LEVEL"),
        ("GATEWAY_BILLING__BASE_URL", "GATEWAY_SOURCES__BILLING__BASE_URL"),
        (f"{BILLING}__TIMEOT", f"{BILLING}__TIMEOUT"),
    ],
)
def test_an_unknown_name_is_reported_with_the_nearest_known_name(
    set_variables: Set, name: str, meant: str
) -> None:
    set_variables(**{name: "1"})

    assert mistakes() == (f"{name} is not a setting: did you mean {meant}?",)


def test_an_unused_source_is_reported_with_the_nearest_known_source(set_variables: Set) -> None:
    set_variables(GATEWAY_SOURCES__BILING__BASE_URL="http://billing")

    assert mistakes() == (
        "GATEWAY_SOURCES__BILING is read by no field of the schema: did you mean billing?",
    )


def test_a_name_unlike_all_settings_is_reported_with_the_command_for_a_list(
    set_variables: Set,
) -> None:
    set_variables(GATEWAY_QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ="1")

    [reported] = mistakes()

    assert reported.endswith(" is not a setting: `user-gateway settings` lists all settings.")


def test_a_name_below_a_setting_of_one_value_is_a_mistake(set_variables: Set) -> None:
    set_variables(GATEWAY_PORT__NUMBER="81")

    [reported] = mistakes()

    assert reported.startswith("GATEWAY_PORT__NUMBER is not a setting")


def test_variables_of_other_programs_are_ignored(set_variables: Set) -> None:
    set_variables(GATEWAYS="1", MY_GATEWAY_PORT="1", PORT="1")

    assert load_settings().port == 8000


def test_a_group_of_settings_may_be_set_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    group = {name.lower(): {"base_url": f"http://{name.lower()}"} for name in NAMES}
    monkeypatch.setenv("GATEWAY_SOURCES", json.dumps(group))
    monkeypatch.setenv("GATEWAY_LOG", '{"level": "debug"}')

    settings = load_settings()

    assert settings.sources["billing"].base_url == "http://billing"
    assert settings.log.level == "debug"


@pytest.mark.parametrize("names", [("", "__TIMEOUT"), ("__TIMEOUT", "")], ids=["before", "behind"])
@pytest.mark.parametrize("group", ["GATEWAY_SOURCES", BILLING])
def test_single_variables_win_over_a_group_of_json_in_any_order(
    set_variables: Set, monkeypatch: pytest.MonkeyPatch, group: str, names: tuple[str, str]
) -> None:
    set_variables()
    monkeypatch.delenv(f"{BILLING}__BASE_URL")
    inner = {"base_url": "http://json", "timeout": 1.5}
    values = {
        "": (group, json.dumps(inner if group == BILLING else {"billing": inner})),
        "__TIMEOUT": (f"{BILLING}__TIMEOUT", "0.25"),
    }
    for name in names:
        monkeypatch.setenv(*values[name])

    billing = load_settings().sources["billing"]

    assert (billing.base_url, billing.timeout) == ("http://json", 0.25)


def test_a_mistake_within_json_is_reported_with_the_variable_of_its_setting(
    set_variables: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables()
    monkeypatch.delenv(f"{BILLING}__BASE_URL")
    group = {"base_url": "http://b", "timeout": "soon", "connect_tiemout": 1}
    monkeypatch.setenv(BILLING, json.dumps({**group, "auth": BEARER}))

    reported = sorted(mistakes())

    assert [sentence.split(" ")[0] for sentence in reported] == [
        f"{BILLING}__AUTH__TOKEN",
        f"{BILLING}__CONNECT_TIEMOUT",
        f"{BILLING}__TIMEOUT",
    ]
    assert "soon" in reported[2]
    assert SECRET not in str(reported)


@pytest.mark.parametrize("name", ["GATEWAY_LOG", "GATEWAY_SOURCES", BILLING])
@pytest.mark.parametrize("value", ["info", '{"level": "info"'])
def test_a_group_that_is_not_json_is_reported_with_all_other_mistakes(
    set_variables: Set, name: str, value: str
) -> None:
    set_variables(**{name: value, "GATEWAY_PORT": "http", "GATEWAY_PROT": "80"})

    reported = mistakes()

    assert any(sentence.startswith(f"{name} ") and "JSON" in sentence for sentence in reported)
    assert any(sentence.startswith("GATEWAY_PORT ") for sentence in reported)
    assert any(sentence.startswith("GATEWAY_PROT ") for sentence in reported)


SECRETS = {
    f"{BILLING}__AUTH__TOKEN": [SECRET, f"{SECRET} x", f"Bearer {SECRET}", f"{SECRET}\n"],
    f"{BILLING}__AUTH__TOKEN__X": [SECRET],
    f"{BILLING}__AUTH__TOKN": [SECRET],
    f"{BILLING}__AUTH": [
        SECRET,
        json.dumps(BEARER),
        json.dumps({"token": SECRET}),
        json.dumps({"kind": "bearer", "token": [SECRET]}),
        json.dumps({"kind": "basic", "username": SECRET, "password": SECRET, "token": SECRET}),
        json.dumps({"kind": "api_key", "key": f"{SECRET}\n", "header": "X-Key"}),
        json.dumps({"kind": "api_key", "key": SECRET}),
        json.dumps({"kind": "client_credentials", "client_secret": SECRET}),
    ],
    f"{BILLING}__BASE_URL": [
        f"http://user:{SECRET}@billing",
        f"http://{SECRET}@billing",
        f"http://user:p@{SECRET}@billing",
        f"http://user:p/{SECRET}@billing",
        f"http://user:{SECRET}/p@billing",
        f"user:{SECRET}@billing",
        f"ftp://user:{SECRET}@billing",
    ],
    BILLING: [
        json.dumps({"auth": BEARER}),
        json.dumps({"auth": [SECRET]}),
        json.dumps([{"auth": BEARER}]),
        json.dumps(SECRET),
        f'{{"auth": "{SECRET}"',
        json.dumps({"base_url": f"http://user:{SECRET}@billing"}),
    ],
    "GATEWAY_SOURCES": [
        json.dumps([{"billing": {"auth": BEARER}}]),
        json.dumps({"billing": f"token {SECRET}"}),
        f'{{"billing": {{"auth": "{SECRET}"}}',
    ],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in SECRETS.items() for value in values]
)
def test_a_mistake_never_shows_a_token_or_a_password(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as caught:
        load_settings()

    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


def test_the_environment_wins_over_dot_env(
    set_variables: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(GATEWAY_PORT="81")
    monkeypatch.delenv(f"{BILLING}__BASE_URL")
    Path(".env").write_text(
        "# ours\n"
        f'export {BILLING}__BASE_URL="http://from-file"  # quoted\n'
        "GATEWAY_PORT=82\n"
        "gateway_max_ids=7\n"
        "GATEWAY_SOURCES__PROFILE__TIMEOUT=3\n"
        "OTHER_PROGRAM=1\n",
        encoding="utf-8",
    )

    settings = load_settings()

    assert settings.port == 81
    assert settings.max_ids == 7
    assert settings.sources["billing"].base_url == "http://from-file"
    assert settings.sources["profile"].base_url == "http://profile"
    assert settings.sources["profile"].timeout == 3.0


def test_dot_env_may_be_elsewhere_or_missing(set_variables: Set, tmp_path: Path) -> None:
    set_variables()
    other = tmp_path / "other.env"
    other.write_text("GATEWAY_PORT=83\n", encoding="utf-8")
    Path(".env").write_text("GATEWAY_PORT=82\n", encoding="utf-8")

    assert load_settings(other).port == 83
    assert load_settings(None).port == 8000
    assert load_settings(tmp_path / "nowhere.env").port == 8000


def test_mistakes_in_dot_env_are_reported_like_those_of_the_environment(set_variables: Set) -> None:
    set_variables()
    Path(".env").write_text(
        f"GATEWAY_PORT=http\nGATEWAY_PROT=1\n{BILLING}__TIMEOT=1\n", encoding="utf-8"
    )

    reported = mistakes()

    assert reported[0] == "GATEWAY_PROT is not a setting: did you mean GATEWAY_PORT?"
    assert reported[1].startswith("GATEWAY_PORT got 'http': ") or reported[2].startswith(
        "GATEWAY_PORT"
    )
    assert len(reported) == 3


def test_a_dot_env_that_is_not_text_is_a_mistake_without_a_traceback(set_variables: Set) -> None:
    set_variables()
    Path(".env").write_bytes(b"GATEWAY_PORT=\xff\xfe\x00\n")

    [reported] = mistakes()

    assert ".env" in reported


def test_the_list_has_every_variable_once_with_a_description() -> None:
    listed = list(variables())
    names = [one.name for one in listed]

    assert len(set(names)) == len(names)
    assert {f"GATEWAY_SOURCES__{name}__BASE_URL" for name in NAMES} == {
        one.name for one in listed if one.required
    }
    secret = ["AUTH__TOKEN", "AUTH__PASSWORD", "AUTH__KEY", "AUTH__CLIENT_SECRET"]
    secret += ["TLS__CLIENT_KEY_PASSWORD", "PROXY__PASSWORD"]
    assert {one.name for one in listed if one.secret} == {
        *(f"GATEWAY_SOURCES__{name}__{setting}" for name in NAMES for setting in secret),
        *(f"GATEWAY_SOURCE_DEFAULTS__{setting}" for setting in secret),
        *("GATEWAY_AUTH__SECRET", "GATEWAY_ROUTER_TOKEN", "GATEWAY_ADMIN__TOKEN"),
        *("GATEWAY_AUTH__TLS__CLIENT_KEY_PASSWORD", "GATEWAY_AUTH__PROXY__PASSWORD"),
        "GATEWAY_TLS__KEY_PASSWORD",
        *("GATEWAY_STORE__PASSWORD", "GATEWAY_STORE__SENTINEL_PASSWORD"),
        "GATEWAY_STORE__TLS__CLIENT_KEY_PASSWORD",
    }
    assert {"GATEWAY_PORT", "GATEWAY_USER_ID_PATTERN", "GATEWAY_LOG__LEVEL"} <= set(names)
    assert "GATEWAY_SOURCES" not in names
    assert "GATEWAY_LOG" not in names
    assert all(one.description for one in listed)


def test_variables_set_to_their_defaults_change_nothing(set_variables: Set) -> None:
    set_variables()
    usual = load_settings()

    defaults = {one.name: one.default for one in variables() if one.default and not one.dependent}
    set_variables(**defaults)

    assert len(defaults) > 20
    assert load_settings().model_dump(exclude={"user_id_pattern"}) == usual.model_dump(
        exclude={"user_id_pattern"}
    )
    assert load_settings().user_id_pattern.pattern == usual.user_id_pattern.pattern


MISFITS = """
[sources.profile]
base_url = "profile"

[sources.profile.fields]
displayNam = "name"
username = "foo("
email = "a"
created_at = "b"

[sources.billing]
base_url = "http://billing"
fields = { plan = "a", status = "b", balance = "c", user_id = "d" }
answer.key = ["id"]

[sources.activity]
base_url = "http://activity"
"""


def test_a_misfit_of_a_source_is_reported_by_line_with_other_mistakes() -> None:
    Path("gateway.toml").write_text(MISFITS, encoding="utf-8")

    with pytest.raises(ConfigurationError) as caught:
        load_settings(config=Path("gateway.toml"))

    assert [sentence.split(": ", 1)[0] for sentence in caught.value.mistakes] == [
        f"gateway.toml:{line}" for line in (3, 6, 7, 14)
    ]
    _, unknown, wrong, twice = caught.value.mistakes
    assert "displayNam is no field of profile: did you mean displayName?" in unknown
    assert "username got 'foo(': column 5: expected more, got the end." in wrong
    assert "[sources.billing.answer] key is given twice" in twice


def test_a_misfit_of_a_source_is_reported_by_its_variable(set_variables: Set) -> None:
    set_variables(
        GATEWAY_SOURCES__BILLING__FIELDS='{"plan": "a", "status": "b", "price": "c"}',
        GATEWAY_SOURCES__ACTIVITY__FIELDS__LOGINCOUNT="a",
    )

    reported = [sentence.partition(" is ")[0] for sentence in mistakes()]

    assert reported == [
        f"{BILLING}__FIELDS__PRICE",
        "GATEWAY_SOURCES__ACTIVITY__FIELDS__LOGINCOUNT",
    ]


def test_key_from_is_the_same_in_variables_and_in_a_file(
    set_variables: Set, tmp_path: Path
) -> None:
    expression = "app_metadata.stripe_customer_id"
    set_variables(
        GATEWAY_SOURCES__BILLING__KEY_FROM__SOURCE="profile",
        GATEWAY_SOURCES__BILLING__KEY_FROM__EXPRESSION=expression,
    )
    from_variables = load_settings()
    set_variables(
        GATEWAY_SOURCES__BILLING__KEY_FROM__SOURCE="",
        GATEWAY_SOURCES__BILLING__KEY_FROM__EXPRESSION="",
    )
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'[sources.billing.key_from]\nsource = "profile"\nexpression = "{expression}"\n',
        encoding="utf-8",
    )
    from_file = load_settings(config=file)

    assert from_variables == from_file
    assert [name for name, places in from_file.key_from.items() if places] == ["billing"]
    [place] = from_file.key_from["billing"]
    assert (place.source, place.expression) == ("profile", expression)


def test_an_impossible_key_from_is_reported_at_its_place(
    set_variables: Set, tmp_path: Path
) -> None:
    set_variables(
        GATEWAY_SOURCES__PROFILE__KEY_FROM__SOURCE="activity",
        GATEWAY_SOURCES__PROFILE__KEY_FROM__EXPRESSION="a",
        GATEWAY_PORT="http",
    )
    file = tmp_path / "gateway.toml"
    file.write_text(
        '[sources.billing.key_from]\nsource = "crm"\nexpression = "a"\n'
        '[sources.activity]\nkey_from = { source = "profile", expression = "a" }\n',
        encoding="utf-8",
    )

    with pytest.raises(ConfigurationError) as caught:
        load_settings(config=file)

    ring, port, unknown = caught.value.mistakes
    assert port.startswith("GATEWAY_PORT got 'http'")
    assert ring.startswith(
        "GATEWAY_SOURCES__PROFILE__KEY_FROM__SOURCE got 'activity':"
        " expected no cycle (profile ← activity ← profile)"
    )
    assert unknown.startswith(
        f"{file}:2: [sources.billing.key_from] source got 'crm': expected one of profile, activity."
    )
