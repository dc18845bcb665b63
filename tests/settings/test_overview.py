"""The overview of the settings in effect and their origins."""

from pathlib import Path

import pytest

from app.settings.loading import read_settings
from app.settings.models import Settings
from app.settings.reference import overview, rows
from app.settings.variables import variables_of
from tests.settings.conftest import Write
from tests.settings.loading import NEEDED, SECRET, SERVICE
from tests.settings.models import TestSettings


def shown(path: Path, *, everything: bool = False) -> list[str]:
    """Show our settings, with one space between columns."""
    reading = read_settings(Settings, env_file=Path(".env"), config=path)
    table = overview(reading, everything=everything)
    return [" ".join(line.split()) for line in table.splitlines()]


def test_each_setting_that_is_set_is_shown_with_its_origin(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text("gateway_workers=2\n", encoding="utf-8")
    Path("token").write_text(f"{SECRET}\n", encoding="utf-8")
    monkeypatch.setenv("TOKEN", SECRET)
    monkeypatch.setenv("GATEWAY_PORT", "8000")
    monkeypatch.setenv("GATEWAY_SOURCES__ACTIVITY__AUTH__KIND", "bearer")
    monkeypatch.setenv("GATEWAY_SOURCES__ACTIVITY__AUTH__TOKEN", SECRET)
    monkeypatch.setenv("GATEWAY_LOG", '{"level": "debug"}')

    lines = shown(
        write(
            f'{NEEDED}profile.auth = {{ kind = "bearer", token = {{ env = "TOKEN" }} }}\n'
            'billing.auth.kind = "api_key"\nbilling.auth.parameter = "key"\n'
            'billing.auth.key = { file = "token" }\nprofile.timeout = 1\n'
        )
    )

    assert lines[:-1] == [
        "Setting Value From",
        'sources.profile.base_url "http://profile" gateway.toml:3',
        'sources.profile.auth.kind "bearer" gateway.toml:6',
        "sources.profile.auth.token (secret) gateway.toml:6, the variable TOKEN",
        "sources.profile.timeout 1.0 gateway.toml:10",
        'sources.billing.base_url "http://billing" gateway.toml:4',
        'sources.billing.auth.kind "api_key" gateway.toml:7',
        "sources.billing.auth.key (secret) gateway.toml:9, the file token",
        'sources.billing.auth.parameter "key" gateway.toml:8',
        'sources.activity.base_url "http://activity" gateway.toml:5',
        'sources.activity.auth.kind "bearer" GATEWAY_SOURCES__ACTIVITY__AUTH__KIND',
        "sources.activity.auth.token (secret) GATEWAY_SOURCES__ACTIVITY__AUTH__TOKEN",
        "port 8000 GATEWAY_PORT",
        "workers 2 GATEWAY_WORKERS in .env",
        'log.level "debug" GATEWAY_LOG',
        "",
    ]
    assert lines[-1].endswith(" more have their defaults; --all shows them, too.")


def test_all_settings_are_shown_on_demand(write: Write) -> None:
    lines = shown(write(NEEDED), everything=True)

    always = [one for one in variables_of(Settings) if not one.dependent]
    assert len(lines) > len(always)
    assert 'host "127.0.0.1" default' in lines
    assert 'sources.billing.auth.kind "none" default' in lines
    assert "sources.billing.proxy default" in lines
    assert "sources.billing.timeout 2.0 default" in lines
    assert r'user_id_pattern "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}" default' in lines
    assert not any("--all" in line for line in lines)


def test_columns_are_aligned(write: Write) -> None:
    reading = read_settings(Settings, env_file=None, config=write(NEEDED))

    head, *lines = overview(reading, everything=False).splitlines()[:4]

    column = head.index("From")
    assert all(line[column:].startswith("gateway.toml:") for line in lines)


def test_lists_of_tables_and_free_names_have_a_row_for_each_value(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    monkeypatch.setenv("GATEWAY_SERVICES__USERS__FIELDS__NAME", "full\u2028name\x1b[31m")
    path = write(
        f"{SERVICE}auth = {{ kind = 'bearer', token.env = 'TOKEN' }}\n"
        "[[services.users.rules]]\nstatus = 404\n"
        "[[services.users.rules]]\nstatus = 503\ntoken.env = 'TOKEN'\n"
        "[services.users.fields]\n'odd key' = 'x'\nname = 'y'\n"
        "[services.users.headers]\nX-Key.env = 'TOKEN'\n"
    )
    reading = read_settings(TestSettings, env_file=None, config=path)

    table = {row.name: (row.value, row.origin) for row in rows(reading)}

    assert table["services.users.auth.token"] == ("(secret)", "gateway.toml:4, the variable TOKEN")
    assert table["services.users.auth.realm"] == ('""', "default")
    assert table["services.users.rules#1.status"] == ("404", "gateway.toml:6")
    assert table["services.users.rules#2.token"][1] == "gateway.toml:9, the variable TOKEN"
    assert table['services.users.fields."odd key"'] == ('"x"', "gateway.toml:11")
    assert table["services.users.fields.name"][1] == "GATEWAY_SERVICES__USERS__FIELDS__NAME"
    assert "\x1b" not in table["services.users.fields.name"][0]
    assert table["services.users.headers.X-Key"][0] == "(secret)"
    assert table["services.users.rows"] == ('["items"]', "default")
    assert table["extra"] == ("{}", "default")
    assert SECRET not in str(table)
