"""References to secrets in a file: by variable or by file. Secrets are never shown."""

from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.settings.credentials import BearerAuth
from app.settings.models import DEFAULT_SOURCES
from app.settings.source import SourceSettings
from tests.settings.conftest import Write
from tests.settings.loading import NEEDED, SECRET, load, mistakes


def token_of(source: SourceSettings) -> str:
    """Find the token that a source is sent."""
    assert isinstance(source.auth, BearerAuth)
    return source.auth.token.get_secret_value()


def test_secrets_come_from_variables_and_files_named_in_the_configuration(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "billing").write_bytes(b"from-file\r\n")
    (tmp_path / "absolute").write_text("from-absolute", encoding="utf-8")
    monkeypatch.setenv("PROFILE_TOKEN", "from-variable")
    path = write(
        f'{NEEDED}profile.auth = {{ kind = "bearer", token = {{ env = "PROFILE_TOKEN" }} }}\n'
        'billing.auth = { kind = "bearer", token = { file = "secrets/billing" } }\n'
        f"activity.auth = {{ kind = 'bearer', token.file = '{tmp_path / 'absolute'}' }}\n"
    )
    monkeypatch.chdir("/")  # a path is relative to the file's folder, and not to the working folder

    sources = load(tmp_path / path).sources

    tokens = [token_of(one) for one in map(sources.__getitem__, DEFAULT_SOURCES)]
    assert tokens == ["from-variable", "from-file", "from-absolute"]


def test_dot_env_may_have_the_variable_of_a_secret(write: Write) -> None:
    Path(".env").write_text("PROFILE_TOKEN=from-dot-env\n", encoding="utf-8")

    path = write(f'{NEEDED}profile.auth = {{ kind = "bearer", token.env = "PROFILE_TOKEN" }}')

    assert token_of(load(path).sources["profile"]) == "from-dot-env"


def test_a_secret_overridden_by_a_variable_may_be_missing(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SOURCES__PROFILE__AUTH__TOKEN", "here")
    path = write(f'{NEEDED}profile.auth = {{ kind = "bearer", token.file = "/nowhere" }}')

    assert token_of(load(path).sources["profile"]) == "here"


@pytest.mark.parametrize(
    ("written", "reported"),
    [
        (f'"{SECRET}"', "got a secret itself: expected { env = "),
        ("3", "got a secret itself: expected { env = "),
        (f'["{SECRET}"]', "got a secret itself: expected { env = "),
        (f'{{ env = "A", file = "{SECRET}" }}', "got both env and file: expected one of { env"),
        (f'{{ value = "{SECRET}" }}', "got another table: expected { env = "),
        (f'{{ env = "A", value = "{SECRET}" }}', "got another table: expected { env = "),
        ("{ env = 3 }", "got another table: expected { env = "),
        ('{ env = "" }', "got another table: expected { env = "),
        ("{ }", "got another table: expected { env = "),
        ('{ env = "NOT_SET" }', "names the variable NOT_SET, which is not set: expected the sec"),
        ('{ env = "EMPTY" }', "names the variable EMPTY, which is empty: expected the secret"),
        ('{ file = "nowhere" }', "names the file nowhere, which cannot be read: No such file"),
        ('{ file = "." }', "names the file ., which cannot be read: Is a directory: expected"),
        ('{ file = "a\\u0000b" }', "which cannot be there: no path has a NUL in it: expected"),
        ('{ file = "empty" }', "names the file empty, which is empty: expected the secret in it"),
        ('{ file = "binary" }', "names the file binary, which is not UTF-8: expected the secret"),
        ('{ file = "spaced" }', "got a secret value from the file spaced: expected letters, digi"),
        ('{ env = "SPACED" }', "got a secret value from the variable SPACED: expected letters"),
    ],
)
def test_a_wrong_reference_to_a_secret_is_reported_without_the_secret(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str, reported: str
) -> None:
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("SPACED", f"{SECRET} x")
    monkeypatch.setenv("A", SECRET)
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "binary").write_bytes(b"\xff" + SECRET.encode())
    (tmp_path / "spaced").write_bytes(f"{SECRET} x\n".encode())

    [mistake] = mistakes(write(f"{NEEDED}billing.auth = {{ kind = 'bearer', token = {written} }}"))

    assert mistake.startswith("gateway.toml:6: [sources.billing.auth] token ")
    assert reported in mistake
    assert SECRET not in mistake


BEARER = 'auth.kind = "bearer"\nauth.'

CANARIES = [
    f'{BEARER}token = "{SECRET}"',
    f"{BEARER}token = '''\n{SECRET}'''",
    f'{BEARER}token = "{SECRET}',
    f'{BEARER}token = {{ env = "{SECRET}',
    f"{BEARER}token = {SECRET}",
    f'{BEARER}token = ["{SECRET}"]',
    f'{BEARER}token = {{ token = "{SECRET}" }}',
    f'{BEARER}token = {{ env = ["{SECRET}"] }}',
    f'{BEARER}token.value.deep = "{SECRET}"',
    f'{BEARER}tokn = "{SECRET}"',
    f'{BEARER}password = "{SECRET}"',
    f'auth.token = "{SECRET}"',
    f'auth = "{SECRET}"',
    f'bearer_token = "{SECRET}"',
    f'proxy = {{ url = "http://me:{SECRET}@proxy" }}',
    f'proxy = {{ url = "http://proxy", username = "me", password = "{SECRET}" }}',
    f'tls = {{ client_key_password = "{SECRET}" }}',
    f'breaker = "{SECRET}"',
    f'timeout = ["{SECRET}"]',
    f'timeout = {{ token = "{SECRET}" }}',
    f'base_url = "http://me:{SECRET}@billing"',
    f'[sources]\nbilling = "{SECRET}"',
    f'[[sources.billing.auth.token]]\nenv = "{SECRET}"',
    f'[token]\nvalue = "{SECRET}"',
]


@pytest.mark.parametrize("written", CANARIES)
def test_a_misplaced_secret_is_never_shown(write: Write, written: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(write(f"[sources.billing]\n{written}\n"))

    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert "gateway.toml:" in str(caught.value)
