"""Commands with a module."""

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from tests.extend.modules import ModuleFolder
from tests.extend.test_lists import SHOP
from tests.extend.test_mistakes import NEEDED
from tests.extend.test_own_sources import LEDGER, ONE


@pytest.fixture
def file(folder: ModuleFolder) -> str:
    """Write a file whose module has a source with one user."""
    row = f"{{{ONE!r}: {{'points': 3, 'level': 'high'}}}}"
    name = folder.write(LEDGER.replace("self.rows = {}", f"self.rows = {row}")).rpartition("/")[2]
    path = folder.path / "gateway.toml"
    path.write_text(f'[schema]\nmodule = "{name}"\n{NEEDED}', encoding="utf-8")
    return str(path)


@pytest.fixture
def shop_file(folder: ModuleFolder) -> str:
    """Write a file whose module has a source with one user and three orders."""
    orders = [{"id": f"o{number}", "total": number} for number in range(3)]
    text = SHOP.replace("self.customers = {}", f"self.customers = {{{ONE!r}: {{}}}}").replace(
        "self.orders = {}", f"self.orders = {{{ONE!r}: {orders}}}"
    )
    name = folder.write(text).rpartition("/")[2]
    path = folder.path / "gateway.toml"
    path.write_text(f'[schema]\nmodule = "{name}"\n{NEEDED}', encoding="utf-8")
    return str(path)


def run(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, arguments)


def test_sources_check_calls_the_source_of_a_module(file: str) -> None:
    result = run("sources", "check", "--source", "ledger", "--ids", ONE, "--config", file)

    row = result.output.splitlines()[1].split("  ")
    assert [one.strip() for one in row if one.strip()][:5] == [
        "ledger",
        "yes",
        "-",
        "yes",
        "1 of 1",
    ]
    assert result.exit_code == 0


def test_sources_check_reports_that_no_user_is_known(file: str) -> None:
    other = "00000000-0000-4000-8000-000000000009"
    result = run("sources", "check", "--source", "ledger", "--ids", other, "--config", file)

    assert result.exit_code == 1
    assert "by which keys the module gives rows" in result.output


def test_sources_check_reports_a_missing_method_of_a_source_of_a_module(
    folder: ModuleFolder,
) -> None:
    path = folder.path / "gateway.toml"
    name = folder.write(SHOP.replace("def fetch_page", "def fetch_orders")).rpartition("/")[2]
    path.write_text(f'[schema]\nmodule = "{name}"\n{NEEDED}', encoding="utf-8")

    result = run("sources", "check", "--source", "shop", "--ids", ONE, "--config", str(path))

    assert result.exit_code == 2
    assert f"module {name}: what the source shop opens is Shop, which has no" in result.output


def test_sources_list_has_the_source_of_a_module(file: str) -> None:
    result = run("sources", "list", "--config", file)

    assert result.output.splitlines()[-1].split() == ["ledger", "module", "-", "optional"]


def test_explain_shows_the_calls_of_a_computed_field(file: str) -> None:
    query = f'{{ user(id: "{ONE}") {{ rank }} }}'
    result = run("explain", query, "--config", file)

    assert result.exit_code == 0
    assert "  ledger  by the module  1 user in 1 call" in result.output
    assert "profile" not in result.output


def test_the_output_of_a_module_goes_to_standard_error(folder: ModuleFolder) -> None:
    path = folder.path / "gateway.toml"
    name = folder.write("print('hello')\n" + LEDGER).rpartition("/")[2]
    path.write_text(f'[schema]\nmodule = "{name}"\n{NEEDED}', encoding="utf-8")

    result = run("schema", "print", "--config", str(path))

    assert "hello" in result.stderr
    assert "hello" not in result.stdout


def test_the_schema_of_a_module_is_printed_without_addresses(file: str) -> None:
    result = run("schema", "print", "--config", file)

    assert "  points: Int\n" in result.output
    assert "  rank: String\n" in result.output


def test_sources_check_reads_the_lists_of_a_module_page_by_page(shop_file: str) -> None:
    result = run("sources", "check", "--source", "shop", "--ids", ONE, "--config", shop_file)

    rows = [line.split() for line in result.output.splitlines()]
    assert [row[0] for row in rows if row and row[0].startswith("shop")] == ["shop", "shop.orders"]
    assert "3 items" in result.output
    assert result.exit_code == 0


def test_a_list_of_a_module_is_printed_as_a_connection(shop_file: str) -> None:
    result = run("schema", "print", "--config", shop_file)

    assert "    first: Int = 20\n" in result.output
    assert (
        '  ): OrderConnection @cost(weight: 5) @listSize(slicingArguments: ["first"],'
        in result.output
    )
    assert "node: Order!" in result.output


def test_explain_shows_the_pages_that_are_requested_from_a_module(shop_file: str) -> None:
    query = f'{{ user(id: "{ONE}") {{ orders(first: 2) {{ edges {{ cursor }} }} }} }}'
    result = run("explain", query, "--config", shop_file)

    assert result.exit_code == 0
    assert "  shop  by the module " in result.output
    assert "orders by the module  after that, at most 1 call, 1 for each user" in result.output
