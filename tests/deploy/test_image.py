"""The image: its defaults are settings below all others, and its build names what exists."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from app import __version__
from app.cli import MODULES, main
from app.settings.environment import read
from app.settings.reference import rows
from app.settings.variables import INSTALLED_DEFAULTS
from tests.deploy.files import DEPLOY, ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
DEFAULTS = DEPLOY / "image" / "defaults.toml"


def test_a_mounted_file_wins_over_the_defaults_of_the_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(INSTALLED_DEFAULTS.name, str(DEFAULTS))
    file = tmp_path / "gateway.toml"
    file.write_text("port = 9000", "utf-8")

    reading = read(None, check=lambda _: (), config=file)

    found = {row.name: (row.value, Path(row.origin.split(":")[0]).name) for row in rows(reading)}
    assert found["host"] == ('"0.0.0.0"', "defaults.toml")
    assert found["port"] == ("9000", "gateway.toml")
    assert found["log.format"] == ('"json"', "defaults.toml")


def test_no_variable_of_the_image_is_a_setting_because_it_would_win_over_a_file() -> None:
    last_stage = DOCKERFILE.rpartition("FROM ")[2]

    assert re.findall(r"(GATEWAY_\w+)=", last_stage) == [INSTALLED_DEFAULTS.name]


def test_all_files_that_are_copied_exist_and_are_let_into_the_build() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    for names in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for name in str(names).split():
            assert (ROOT / name).exists(), name
            assert any(name.rstrip("/").startswith(one) for one in allowed), name


def test_its_commands_are_those_of_the_command_line() -> None:
    commands = re.findall(r"^ *(?:HEALTHCHECK .*)?CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)

    health, serve = (yaml.safe_load(one) for one in commands)

    assert health == ["user-gateway", "health"]
    assert serve == ["serve"]
    for name in (health[1], serve[0]):
        assert name in MODULES
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_an_image_is_built_for_each_python_that_the_metadata_names() -> None:
    metadata = (ROOT / "pyproject.toml").read_text("utf-8")
    bake = (DEPLOY / "image" / "bake.hcl").read_text("utf-8")
    [matrix] = re.findall(r"python = (\[.+\])", bake)

    assert yaml.safe_load(matrix) == re.findall(r"Python :: (3\.\d+)", metadata)


def test_the_version_is_the_same_in_all_files_for_operators() -> None:
    texts = {
        path.relative_to(ROOT): path.read_text("utf-8")
        for path in (ROOT / "Dockerfile", *DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.hcl"))
    }
    named = {
        (str(path), found)
        for path, text in texts.items()
        for found in re.findall(
            r'(?:user-gateway:|newTag: |VERSION=|"VERSION" \{\s+default = ")(\d+\.\d+\.\d+)', text
        )
    }

    assert {found for _, found in named} == {__version__}
    assert len({path for path, _ in named}) == 5
