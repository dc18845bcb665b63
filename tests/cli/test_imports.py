"""Commands import only modules that they use: others cost memory, and time at the start."""

import re
from collections.abc import Set as AbstractSet
from pathlib import Path

import click
import pytest

from app.cli import MODULES, SUMMARIES, main
from tests.cli.test_end_to_end import program

EACH_IMPORT = {"PYTHONPROFILEIMPORTTIME": "1"}
"""Makes Python print each import."""

NOT_NEEDED = {
    *("cryptography", "joserfc"),  # without tokens
    *("opentelemetry", "requests", "google"),  # without a collector
    "prometheus_client",  # without an admin port
    *("redis", "hiredis"),  # without a shared store
    "sqlite3",  # only the demo has a database
    *("app.cli.demo", "app.demo", "app.importing", "app.probe", "app.starting"),
    *("app.settings.reference", "app.schema.export"),
    "app.execution.explain",  # clients cannot request explanations by default
}
"""Packages and modules that a gateway with only the required settings does not import."""


async def test_serve_does_not_import_unused_modules(tmp_path: Path) -> None:
    environment = {
        **{
            f"GATEWAY_SOURCES__{name}__BASE_URL": "http://127.0.0.1:9"
            for name in ("PROFILE", "BILLING", "ACTIVITY")
        },
        "GATEWAY_AUTH__MODE": "none",
        "GATEWAY_PORT": "0",
        **EACH_IMPORT,
    }
    async with program("serve", folder=tmp_path, environment=environment) as running:
        await running.wait_for("gateway.started")
        imported = imported_in(running.output)

    assert {"app.main", "strawberry", "aiohttp"} <= imported
    assert not parts_of(NOT_NEEDED, imported)


SERVER = {
    *("app.main", "app.execution", "app.sources", "app.settings.models", "app.observability"),
    *("aiohttp", "graphql", "httpx", "starlette", "strawberry", "structlog", "uvicorn"),
}
"""Packages and modules that only commands import that run or check a gateway."""


@pytest.mark.parametrize(
    ("argument", "not_needed"),
    [
        ("--version", {*SERVER, "pydantic"}),
        ("--help", {*SERVER, "pydantic"}),
        ("health", SERVER),  # containers run it every few seconds
    ],
)
async def test_short_commands_do_not_import_the_server(
    argument: str, not_needed: AbstractSet[str], tmp_path: Path
) -> None:
    environment = {**EACH_IMPORT, "GATEWAY_PORT": "9"}
    async with program(argument, folder=tmp_path, environment=environment) as running:
        await running.ended()

    imported = imported_in(running.output)
    assert {"app.cli", "click"} <= imported
    assert not parts_of(not_needed, imported)


def test_the_list_of_commands_has_the_first_sentence_of_their_help() -> None:
    context = click.Context(main)

    def first_sentence(name: str) -> str:
        command = main.get_command(context, name)
        assert command is not None
        return command.get_short_help_str(limit=1_000)

    assert {name: first_sentence(name) for name in MODULES} == SUMMARIES


def imported_in(output: str) -> set[str]:
    """Read the names of the modules that a program has imported."""
    return set(re.findall(r"^import time:.*\| +(\S+)$", output, re.MULTILINE))


def parts_of(packages: AbstractSet[str], modules: AbstractSet[str]) -> set[str]:
    """Return the modules that are one of the packages, or in one."""
    return {
        module
        for module in modules
        for part in packages
        if module == part or module.startswith(f"{part}.")
    }
