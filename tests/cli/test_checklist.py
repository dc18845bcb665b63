"""Unsafe settings with which `serve` does not start, and the settings that mend them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from app.cli import main
from app.cli.serve import UNSAFE, UnsafeSettingsError, forbidden, settings_to_serve
from app.settings.auth import LEAST_SECRET, JwtCallers
from tests.cli.refusals import start_refusal
from tests.fakes import settings_for_fakes

NAMES = ("PROFILE", "BILLING", "ACTIVITY")
NEEDED = {
    **{f"GATEWAY_SOURCES__{name}__BASE_URL": "http://127.0.0.1:9" for name in NAMES},
    "GATEWAY_AUTH__MODE": "none",
}
PUBLIC = {"GATEWAY_HOST": "0.0.0.0", "GATEWAY_HOSTS": '["api.example.com"]'}  # noqa: S104 # as text

COOKIES = {"GATEWAY_CSRF_PREVENTION": "false", "GATEWAY_CORS__CREDENTIALS": "true"}
DOCUMENTS = {"GATEWAY_LIMITS__TOKENS": "0", "GATEWAY_LIMITS__DOCUMENT_BYTES": "0"}
TOKENS = {
    "GATEWAY_AUTH__MODE": "jwt",
    "GATEWAY_AUTH__ISSUER": "http://login.example.com",
    "GATEWAY_AUTH__AUDIENCE": "gateway",
}
SECRET = {**TOKENS, "GATEWAY_AUTH__SECRET": "x" * 32}
WORK = {"GATEWAY_LIMITS__COST": "0", "GATEWAY_LIMITS__RATE__ENABLED": "false"}


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables and files of the machine from the settings."""
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("variables", "mends"),
    [
        ({"GATEWAY_HOST": "0.0.0.0"}, ["GATEWAY_HOSTS, such as api.example.com"]),  # noqa: S104 # as text
        (COOKIES, ["GATEWAY_CSRF_PREVENTION=true", "GATEWAY_CORS__CREDENTIALS=false"]),
        ({**PUBLIC, "GATEWAY_EXPLAIN": "true"}, ["GATEWAY_EXPLAIN=false"]),
        (
            {**PUBLIC, **DOCUMENTS},
            ["GATEWAY_LIMITS__TOKENS", "GATEWAY_LIMITS__DOCUMENT_BYTES", "TRUSTED__MODE=only"],
        ),
        (
            {**PUBLIC, **WORK},
            ["GATEWAY_LIMITS__COST", "GATEWAY_LIMITS__RATE__ENABLED=true", "TRUSTED__MODE=only"],
        ),
        ({**PUBLIC, **SECRET}, ["GATEWAY_AUTH__ISSUER be an identity provider", "127.0.0.1"]),
        (
            {**PUBLIC, **TOKENS},
            ["expected https in GATEWAY_AUTH__ISSUER or GATEWAY_AUTH__JWKS_URL"],
        ),
    ],
    ids=["names", "cookies", "explain", "documents", "work", "secret", "keys"],
)
def test_serve_reports_unsafe_settings_and_how_to_mend_them(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], mends: list[str]
) -> None:
    for name, value in {**NEEDED, **variables}.items():
        monkeypatch.setenv(name, value)

    result = CliRunner().invoke(main, ["serve"])

    assert result.exit_code == 2
    refusal = start_refusal(result.stderr)
    [mistake] = refusal.mistakes
    assert refusal.reason == UNSAFE.removesuffix(":")
    for mend in mends:
        assert mend in mistake


def test_all_unsafe_settings_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**NEEDED, **COOKIES, **DOCUMENTS, **WORK, "GATEWAY_EXPLAIN": "1"}.items():
        monkeypatch.setenv(name, value)

    result = CliRunner().invoke(main, ["serve", "--host", "::"])

    assert result.exit_code == 2
    assert len(start_refusal(result.stderr).mistakes) == 5


@pytest.mark.parametrize("setting", ["", "http://\N{BLACK SQUARE} no address"])
def test_wrong_variables_documents_and_rules_are_reported_together(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    others = {"OTEL_SDK_DISABLED": "perhaps", "GATEWAY_TRUSTED__PATH": "no-folder"}
    for name, value in {**NEEDED, **COOKIES, **others}.items():
        monkeypatch.setenv(name, value)
    if setting:
        monkeypatch.setenv("GATEWAY_STORE__URL", setting)

    result = CliRunner().invoke(main, ["serve"])

    assert result.exit_code == 2
    mistakes = "\n".join(start_refusal(result.stderr).mistakes)
    assert "OTEL_SDK_DISABLED" in mistakes
    assert ("GATEWAY_STORE__URL" in mistakes) == bool(setting)
    assert "GATEWAY_TRUSTED__PATH cannot be used: no-folder cannot be read" in mistakes
    # Rules are checked for settings that are valid.
    assert ("GATEWAY_CSRF_PREVENTION" in mistakes) == (not setting)


LIMITS = settings_for_fakes().limits
UNLIMITED = LIMITS.model_copy(
    update={
        "tokens": 0,
        "document_bytes": 0,
        "cost": 0,
        "rate": LIMITS.rate.model_copy(update={"enabled": False}),
    }
)
KNOWN = JwtCallers(mode="jwt", issuer="https://login.example.com", audience="gateway")
ONLY = settings_for_fakes().trusted.model_copy(update={"mode": "only"})


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_unsafe_settings_are_allowed_on_loopback(host: str) -> None:
    callers = JwtCallers(
        mode="jwt", issuer="dev", audience="gateway", secret=SecretStr("x" * LEAST_SECRET)
    )
    settings = settings_for_fakes(explain=True, limits=UNLIMITED, auth=callers)

    assert forbidden(settings, host) == ()


@pytest.mark.parametrize("listening", ["127.0.0.1", "10.0.0.1"])
@pytest.mark.parametrize("next_host", ["127.0.0.1", "10.0.0.1"])
def test_a_reload_is_safe_where_the_gateway_listens_and_where_it_will(
    listening: str, next_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**NEEDED, "GATEWAY_EXPLAIN": "true", "GATEWAY_HOSTS": "localhost"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GATEWAY_HOST", next_host)

    if listening == next_host == "127.0.0.1":
        assert settings_to_serve(None, None, listening=listening).explain
    else:
        with pytest.raises(UnsafeSettingsError) as refused:
            settings_to_serve(None, None, listening=listening)
        [mistake] = refused.value.mistakes
        assert "GATEWAY_EXPLAIN=false" in mistake


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"introspection": True, "graphiql": True, "suggestions": True, "trace": "always"},
        {"csrf_prevention": False},
        {"limits": UNLIMITED, "trusted": ONLY},
        {"limits": UNLIMITED.model_copy(update={"tokens": 1, "cost": 1})},
        {"limits": UNLIMITED.model_copy(update={"document_bytes": 1, "rate": LIMITS.rate})},
        {"hosts": ("*",)},
        {"hosts": ("localhost",)},
        {"auth": KNOWN, "explain": True},
        {"auth": KNOWN.model_copy(update={"jwks_url": "http://127.0.0.1:8080/keys"})},
    ],
)
def test_safe_combinations_of_settings_are_allowed(changes: Mapping[str, object]) -> None:
    assert forbidden(settings_for_fakes(**changes), "10.0.0.1") == ()


def test_the_process_ends_before_it_listens_with_unsafe_settings() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "app", "serve", "--host", "0.0.0.0", "--port", "0"],  # noqa: S104 # it does not start
        env={**os.environ, **NEEDED, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert process.returncode == 2
    assert start_refusal(process.stderr).reason == UNSAFE.removesuffix(":")
    assert not process.stdout
