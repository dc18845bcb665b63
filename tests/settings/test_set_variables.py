"""The values of variables in the environment."""

from pathlib import Path

import pytest

from app.settings.models import Settings
from app.settings.variables import from_variables, read_environment
from tests.settings.models import Frozen, TestSettings


def test_dot_env_adds_missing_variables_in_any_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("gateway_port", "81")
    monkeypatch.setenv("TOKEN", "one")
    Path(".env").write_text(
        "GATEWAY_PORT=82\nGATEWAY_HOST=\ngateway_workers=2\nTOKEN=two\ntoken=three\nALONE\n",
        encoding="utf-8",
    )

    environment = read_environment(Path(".env"))

    assert environment.ours() == {"GATEWAY_PORT": "81", "GATEWAY_WORKERS": "2"}
    assert environment.variables["TOKEN"] == "one"
    assert environment.variables["token"] == "three"
    assert "ALONE" not in environment.variables
    assert environment.origin("GATEWAY_PORT") == "GATEWAY_PORT"
    assert environment.origin("GATEWAY_WORKERS") == "GATEWAY_WORKERS in .env"


def test_each_value_has_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SOURCES", '{"BILLING": {"timeout": 1, "cache": {"ttl": 2}}}')
    monkeypatch.setenv("GATEWAY_SOURCES__BILLING__CACHE__TTL", "3")

    found = from_variables(read_environment(None), Settings, standing={})

    assert found.values == {"sources": {"billing": {"timeout": 1, "cache": {"ttl": "3"}}}}
    assert found.names == {
        ("sources", "billing", "timeout"): "GATEWAY_SOURCES",
        ("sources", "billing", "cache", "ttl"): "GATEWAY_SOURCES__BILLING__CACHE__TTL",
    }
    assert not found.mistakes


class Either(Frozen):
    """Settings with a value that is a text or a list."""

    either: str | list[str] = ""


@pytest.mark.parametrize(
    ("text", "value"), [("x", "x"), ("[x", "[x"), ('{"x": 1}', '{"x": 1}'), ('["x"]', ["x"])]
)
def test_a_text_or_list_is_a_text_unless_it_is_a_json_list(
    monkeypatch: pytest.MonkeyPatch, text: str, value: object
) -> None:
    monkeypatch.setenv("GATEWAY_EITHER", text)

    found = from_variables(read_environment(None), Either, standing={})

    assert (found.values, found.mistakes) == ({"either": value}, [])


@pytest.mark.parametrize(
    ("written", "items"),
    [
        ("api.example.com", ["api.example.com"]),
        (" a , b.example.com,", ["a", "b.example.com"]),
        ('"a"', ["a"]),
        ('["a", "b"]', ["a", "b"]),
        ("8", ["8"]),
    ],
)
def test_a_list_of_texts_is_json_or_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, written: str, items: list[str]
) -> None:
    monkeypatch.setenv("GATEWAY_HOSTS", written)

    found = from_variables(read_environment(None), Settings, standing={})

    assert (found.values, found.mistakes) == ({"hosts": items}, [])


def test_a_path_is_json_or_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_SOURCES__A__ANSWER__ROWS", "data, 0,users")
    monkeypatch.setenv("GATEWAY_SOURCES__A__ANSWER__KEY", '["0"]')

    found = from_variables(read_environment(None), Settings, standing={})

    answer = {"rows": ["data", 0, "users"], "key": ["0"]}
    assert (found.values, found.mistakes) == ({"sources": {"a": {"answer": answer}}}, [])


@pytest.mark.parametrize(
    ("written", "read"),
    [("a", "a"), ("a, b", ["a", "b"]), ('["a,b"]', ["a,b"]), ("8", "8")],
)
def test_one_or_several_texts_may_be_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, written: str, read: object
) -> None:
    monkeypatch.setenv("GATEWAY_AUTH__AUDIENCE", written)

    found = from_variables(read_environment(None), Settings, standing={})

    assert (found.values, found.mistakes) == ({"auth": {"audience": read}}, [])


@pytest.mark.parametrize(
    ("name", "written", "reported"),
    [
        (
            "HOSTS",
            "['a']",
            'list: expected one such as ["api.example.com"], or its items with commas between them',
        ),
        (
            "HOSTS",
            ",",
            'list: expected one such as ["api.example.com"], or its items with commas between them',
        ),
        (
            "CACHE_CONTROL__FIELDS",
            "60",
            'object: expected one such as {"displayName": 300, "plan": 60}',
        ),
        (
            "TLS",
            "on",
            'object: expected one such as {"certificate": "/etc/ssl/gateway.pem"}, or a ',
        ),
        (
            "SOURCES",
            "x",
            'object: expected one such as {"profile": {"base_url": "https://service.internal/api"}}',
        ),
        (
            "SOURCES__A__AUTH",
            "x",
            'object: expected one such as {"kind": "none"}, or a variable for each',
        ),
    ],
)
def test_a_value_that_is_not_json_is_reported_with_an_example(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, reported: str
) -> None:
    monkeypatch.setenv(f"GATEWAY_{name}", written)

    [mistake] = from_variables(read_environment(None), Settings, standing={}).mistakes

    assert mistake.startswith(f"GATEWAY_{name} is not a JSON {reported}")


def test_free_names_match_those_of_the_file_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_EXTRA__MYUSERS__URL", "http://users")
    monkeypatch.setenv("GATEWAY_EXTRA__OTHERS__URL", "http://others")

    found = from_variables(
        read_environment(None), TestSettings, standing={"extra": {"myUsers": {}}}
    )

    assert found.values == {
        "extra": {"myUsers": {"url": "http://users"}, "others": {"url": "http://others"}}
    }
