"""What the commands say of a module."""

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from tests.extend.modules import ModuleFolder
from tests.extend.test_mistakes import NEEDED
from tests.extend.test_own_sources import LEDGER, ONE


@pytest.fixture
def file(folder: ModuleFolder) -> str:
    """Write a file whose module brings a source with one user."""
    row = f"{{{ONE!r}: {{'points': 3, 'level': 'high'}}}}"
    name = folder.write(LEDGER.replace("self.rows = {}", f"self.rows = {row}")).rpartition("/")[2]
    path = folder.path / "gateway.toml"
    path.write_text(f'[schema]\nmodule = "{name}"\n{NEEDED}', encoding="utf-8")
    return str(path)


def said(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, arguments)


def test_sources_check_calls_the_source_of_a_module(file: str) -> None:
    result = said("sources", "check", "--source", "ledger", "--ids", ONE, "--config", file)

    row = result.output.splitlines()[1].split("  ")
    assert [one.strip() for one in row if one.strip()][:5] == [
        "ledger",
        "yes",
        "-",
        "yes",
        "1 of 1",
    ]
    assert result.exit_code == 0


def test_sources_check_says_that_nobody_is_known(file: str) -> None:
    other = "00000000-0000-4000-8000-000000000009"
    result = said("sources", "check", "--source", "ledger", "--ids", other, "--config", file)

    assert result.exit_code == 1


def test_sources_list_has_the_source_of_a_module(file: str) -> None:
    result = said("sources", "list", "--config", file)

    assert result.output.splitlines()[-1].split() == ["ledger", "module", "-", "optional"]


def test_explain_says_what_a_computed_field_calls(file: str) -> None:
    query = f'{{ user(id: "{ONE}") {{ rank }} }}'
    result = said("explain", query, "--config", file)

    assert result.exit_code == 0
    assert "  ledger  by the module  1 user in 1 call" in result.output
    assert "profile" not in result.output


def test_the_schema_of_a_module_is_printed_without_addresses(file: str) -> None:
    result = said("schema", "print", "--config", file)

    assert "  points: Int\n" in result.output
    assert "  rank: String\n" in result.output
