"""The output of the import, and its use as a configuration file."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.settings.nested import Table
from tests.fakes.http_server import saying, serving
from tests.importing.documents import (
    COUNT,
    NAMES,
    TEXT,
    TIME,
    document,
    imported,
    object_of,
    one_customer,
    operation,
    run,
)
from tests.settings.toml import toml

OPTIONS = ("--source", "billing", "--path", "/customers/{id}")
ROW = object_of({"id": TEXT, "plan": TEXT, "status": TEXT})


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables and files of the machine from the settings."""
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_a_new_file_gets_the_text_of_standard_output(tmp_path: Path) -> None:
    to_output = run(tmp_path, one_customer(ROW), *OPTIONS)
    to_file = run(tmp_path, one_customer(ROW), *OPTIONS, "--output", "billing.toml")

    assert to_file.exit_code == 0
    assert not to_file.stdout
    assert to_file.stderr == to_output.stderr
    assert Path("billing.toml").read_text(encoding="utf-8") == to_output.stdout


def test_an_existing_file_is_not_changed(tmp_path: Path) -> None:
    Path("gateway.toml").write_text("port = 80\n", encoding="utf-8")

    result = run(tmp_path, one_customer(ROW), *OPTIONS, "--output", "gateway.toml")

    assert result.exit_code == 2
    assert result.stderr == (
        "The file cannot be written:\n  - gateway.toml exists: expected the name of a new file\n"
    )
    assert Path("gateway.toml").read_text(encoding="utf-8") == "port = 80\n"


def test_a_file_in_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path, one_customer(ROW), *OPTIONS, "--output", "nowhere/billing.toml")

    assert result.exit_code == 2
    assert "expected the path of a new file" in result.stderr


def test_a_document_that_cannot_be_imported_writes_no_file(tmp_path: Path) -> None:
    result = run(tmp_path, one_customer(TEXT), *OPTIONS, "--output", "billing.toml")

    assert result.exit_code == 2
    assert not Path("billing.toml").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--source", "support", "--path", "/a"], "expected one of profile, billing, activity"),
        (["--path", "/a"], "Missing option '--source'"),
        (["--source", "billing"], "Missing option '--path'"),
        ([*OPTIONS, "--method", "put"], "'put' is not one of 'get', 'post'"),
    ],
)
def test_a_missing_or_wrong_option_is_refused(
    tmp_path: Path, options: list[str], complaint: str
) -> None:
    result = run(tmp_path, one_customer(ROW), *options)

    assert result.exit_code == 2
    assert complaint in result.stderr


def test_the_output_is_a_part_of_a_configuration_file(tmp_path: Path) -> None:
    row = object_of({"id": TEXT, "plan": TEXT, "status": TEXT, "balance": COUNT, "taxId": TEXT})

    assert imported(tmp_path, one_customer(row)).text == (
        """\
# Guessed from GET /customers/{id}, response 200
# of Billing 7 (OpenAPI 3.0.3).
# Check each line, and try it with an existing user:
#   user-gateway sources try billing ID --config FILE

[sources.billing]
base_url = "https://billing.example.com/v1"
# Not imported; describe it in lists.invoices instead.
without_lists = ["invoices"]

[sources.billing.request]
form = "each"
path = "/customers/{key}"

[sources.billing.answer]
many = false
key = ["id"]

[sources.billing.fields]
# string
plan = "plan"
# string
status = "status"
# balance = "money_minor(balance, 'EUR')"  # no property fits; expected an amount of money, with it…
# renews_at = "iso_time(renews_at)"  # no property fits; expected a time. When the plan renews, RFC…

# The other properties of a row:
#   balance  integer
#   taxId  string
"""
    )


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nplan = 1", "\x00\x1b[31m", "\u2028\u202e\x85", "é" * 1_000, "# [a]"]
)
def test_text_of_a_document_stays_in_comments_of_one_printable_line(
    tmp_path: Path, text: str
) -> None:
    contents = document(
        {
            "/customers/{id}": {
                "get": operation(
                    object_of(
                        {
                            "id": TEXT,
                            "plan": {"type": "string", "description": text},
                            text: {"type": "string", "format": text, "enum": [text, "b"]},
                        }
                    )
                )
            }
        },
        servers=[text, "https://a.example.com"],
    )

    made = imported(tmp_path, {**contents, "info": {"title": text, "version": text}})

    assert made.table["base_url"] == "https://a.example.com"
    assert made.fields == {"plan": "plan"}
    assert all(line.isprintable() and len(line) <= 100 for line in made.text.splitlines())
    assert all(line.isprintable() for line in made.warnings.splitlines())


def test_the_command_writes_the_example_of_the_documentation(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/sources/README.md").read_text(encoding="utf-8")
    [(contents, text)] = re.findall(
        r"```yaml\n(openapi.*?)```.*?```toml\n(.*?)```", page, flags=re.DOTALL
    )

    made = imported(tmp_path, contents.encode())

    assert made.text == text
    assert "sources.billing.fields.renews_at: no property fits" in made.warnings
    assert made.warnings.endswith('for "paused"\n')


async def test_an_imported_source_works_without_changes(tmp_path: Path) -> None:
    account = {
        "id": "a",
        "plan": {"name": "pro"},
        "status": "active",
        "balance": "12.50",
        "currency": "eur",
        "current_period_end": "2026-06-01T09:30:00Z",
    }
    row = object_of(
        {
            "id": TEXT,
            "plan": object_of({"name": TEXT}),
            "status": TEXT,
            "balance": TEXT,
            "currency": TEXT,
            "current_period_end": TIME,
        }
    )
    async with serving(saying(json.dumps({"account": account}).encode())) as service:
        contents = document(
            {"/accounts/{id}": {"get": operation(object_of({"account": row}))}},
            servers=[service.base_url],
        )
        made = imported(tmp_path, contents, path="/accounts/{id}")
        others: Table = {name: {"base_url": service.base_url} for name in NAMES}
        sources = {**others, **tomllib.loads(made.text)["sources"]}
        file = tmp_path / "gateway.toml"
        await asyncio.to_thread(
            file.write_text, toml({"user_id_pattern": "[a-z]+", "sources": sources})
        )

        result = await asyncio.to_thread(
            invoke, "sources", "try", "billing", "a", "--config", str(file)
        )

    assert result.exit_code == 0, result.output
    assert f"GET {service.base_url}/accounts/a\n" in result.stdout
    assert '{"amount": 1250, "currency": "EUR"}' in result.stdout


def test_other_commands_do_not_load_the_libraries_of_the_import() -> None:
    process = subprocess.run(
        [sys.executable, "-c", "import sys, app.cli; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert {"yaml", "referencing", "tomlkit"}.isdisjoint(process.stdout.split())


def invoke(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner(env={"COLUMNS": "300"}).invoke(main, arguments)
