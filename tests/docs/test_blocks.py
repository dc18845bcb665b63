"""Each block of code of the documentation is run, or a comment before it gives the reason.

`python -m tests.docs` counts them.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from click.testing import CliRunner

from app.cli import main
from app.execution.schema import schema_for
from app.main import load_settings
from app.settings.models import DEFAULT_SOURCES
from tests.docs.blocks import BLOCKS, Block, blocks_of, is_read, run_here
from tests.docs.commands import RUN, ShellCommand, commands_in, parsed
from tests.docs.pages import ROOT
from tests.server.graphiql.browsing import running_demo

REQUEST = '{"form": "list", "path": "/requesters", "parameter": "ids"}'
"""The request of a source that a block names without its table."""

BASE_URLS = {
    f"GATEWAY_SOURCES__{name.upper()}__BASE_URL": "http://127.0.0.1:9" for name in DEFAULT_SOURCES
}

IN_A_SHELL = frozenset(("jq", "python"))
"""Programs that a shell runs, in a folder with a ``gateway.log``."""

DEMO_ADDRESS = "http://127.0.0.1:8000"
"""Commands with this address are run by a shell, at a demo that the tests start."""

CALLS_OF_THE_DEMO = [one for one in run_here("sh") if DEMO_ADDRESS in one.text]
OTHER_SCRIPTS = [one for one in run_here("sh") if DEMO_ADDRESS not in one.text]

EVENT = '{"event": "source.fetch", "outcome": "failed", "source": "billing", "detail": "503"}\n'


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of the machine."""
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY"):
            monkeypatch.delenv(name)


def make_workspace(page: Path, folder: Path) -> Path:
    """Make a folder for the commands of a page: the repository, and the files of the page."""
    for entry in ROOT.iterdir():
        if entry.name not in {".env", "build"}:
            (folder / entry.name).symlink_to(entry)
    if (own := page.with_name("gateway.toml")).exists():
        (folder / own.name).symlink_to(own)
    for block in blocks_of(page):
        if block.title:
            (folder / block.title).write_text(block.text, encoding="utf-8")
    (folder / "gateway.log").write_text(EVENT, encoding="utf-8")
    return folder


def ids(blocks: Sequence[Block]) -> Sequence[str]:
    """Name blocks."""
    return [one.name for one in blocks]


def test_each_block_is_run_or_has_a_comment() -> None:
    known = {"graphql", "json", "sh", "text", "toml", "yaml"}
    comment = re.compile(r"not run: \S.{8,}|run by [\w/.]+(?:, .*)?|")
    unknown = run_here(*{one.language for one in BLOCKS} - known)

    assert [f"{one.name} {one.language}" for one in unknown] == []
    assert [f"{one.name} {one.test}" for one in BLOCKS if one.test and not is_read(one)] == []
    assert [one.name for one in BLOCKS if not comment.fullmatch(one.comment)] == []


@pytest.mark.parametrize("block", run_here("toml"), ids=ids(run_here("toml")))
def test_a_configuration_file_can_be_loaded(
    block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file is loaded as by `serve`, with variables for missing addresses and secrets."""
    table = tomllib.loads(block.text)
    file = tmp_path / "gateway.toml"
    file.write_text(block.text, encoding="utf-8")
    sources = {
        *table.get("sources", {}),
        *re.findall(r'^source = "(\w+)', block.text, re.MULTILINE),
    }
    if table.get("schema", {}).get("extends") != "none":
        sources |= {*DEFAULT_SOURCES}
    for source in sources:
        own = table.get("sources", {}).get(source, {})
        name = f"GATEWAY_SOURCES__{source.upper()}"
        if "base_url" not in own:
            monkeypatch.setenv(f"{name}__BASE_URL", "http://127.0.0.1:9")
        if source not in DEFAULT_SOURCES and not own.keys() & {"request", "endpoints"}:
            monkeypatch.setenv(f"{name}__REQUEST", REQUEST)
    if "auth" not in table:
        monkeypatch.setenv("GATEWAY_AUTH__MODE", "none")
    for name in re.findall(r'"([A-Z0-9]+_(?:TOKEN|KEY|SECRET|PASSWORD))"', block.text):
        monkeypatch.setenv(name, "x" * 40)

    settings = load_settings(None, config=file, serving=True)

    schema, _ = schema_for(settings)
    assert schema.core.query_type is not None


@pytest.mark.parametrize("block", run_here("graphql"), ids=ids(run_here("graphql")))
def test_an_operation_is_valid_for_the_schema_of_its_page(
    block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(make_workspace(block.page, tmp_path))
    config = ["--config", "gateway.toml"] if Path("gateway.toml").exists() else []
    for name in re.findall(r'env = "(\w+)"', Path("gateway.toml").read_text() if config else ""):
        monkeypatch.setenv(name, "x")

    result = CliRunner().invoke(main, ["explain", *config, "-"], input=block.text)

    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("block", run_here("json"), ids=ids(run_here("json")))
def test_a_block_of_json_is_valid(block: Block) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("block", run_here("yaml"), ids=ids(run_here("yaml")))
def test_a_block_of_yaml_is_valid(block: Block) -> None:
    assert all(yaml.safe_load_all(block.text))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo_address() -> AsyncGenerator[str]:
    """Run the demo for all commands that call it; the value is the address of its gateway."""
    async with running_demo("--port", "0", "--ports", "0,0,0") as address:
        yield address.removesuffix("/graphql")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("block", CALLS_OF_THE_DEMO, ids=ids(CALLS_OF_THE_DEMO))
async def test_commands_that_call_the_demo_succeed(block: Block, demo_address: str) -> None:
    for command in commands_in(block.text):
        await in_a_shell(command.text.replace(DEMO_ADDRESS, demo_address), {})


@pytest.mark.parametrize("block", OTHER_SCRIPTS, ids=ids(OTHER_SCRIPTS))
async def test_commands_of_a_page_succeed(
    block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(make_workspace(block.page, tmp_path))
    exported = exported_before(block)
    for command in commands_in(block.text):
        exported |= command.variables
        match command.program:
            case "":
                continue
            case "make":
                check_target(command.arguments)
            case "user-gateway":
                check_gateway(command, exported, monkeypatch)
            case program if program in IN_A_SHELL:
                await in_a_shell(command.text, exported)
            case program:
                pytest.fail(f"no test here runs {program}: expected a comment with the reason")
    if any(name.startswith("GATEWAY_") for name in exported):
        check_settings(exported, monkeypatch)


def exported_before(block: Block) -> dict[str, str]:
    """Collect the exports of earlier blocks of the page, because a reader stays in one terminal."""
    earlier = [one for one in run_here("sh") if one.page == block.page and one.line < block.line]
    commands = (one for other in earlier for one in commands_in(other.text))
    exports = (one.variables for one in commands if one.program == "")
    return dict(pair for variables in exports for pair in variables.items())


def check_target(arguments: Sequence[str]) -> None:
    """Check that the Makefile has a target; parse the arguments of the demo."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for one in arguments:
        name, _, value = one.partition("=")
        if value and name == "ARGS" and "demo" in arguments:
            parsed(("demo", *value.split()))
        elif not value:
            assert re.search(rf"^{re.escape(one)}:", makefile, re.MULTILINE), one


def check_gateway(
    command: ShellCommand, variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a command of the gateway, or only parse it if it does not end or calls services."""
    if parsed(command.arguments) not in RUN:
        return
    with monkeypatch.context() as patch:
        for name, value in {**BASE_URLS, "GATEWAY_AUTH__MODE": "none", **variables}.items():
            patch.setenv(name, value)
        result = CliRunner().invoke(main, command.arguments)
    assert result.exit_code == 0, result.output


def check_settings(exported: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Load settings with the variables of a block."""
    for name, value in {**BASE_URLS, "GATEWAY_AUTH__MODE": "none", **exported}.items():
        monkeypatch.setenv(name, value)
    load_settings(None, serving=True)


async def in_a_shell(text: str, variables: Mapping[str, str]) -> None:
    """Run a line by a shell, with the programs of the environment. `curl` fails at HTTP errors."""
    program = text.split(maxsplit=1)[0]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if not program.startswith(".venv") and shutil.which(program, path=path) is None:
        pytest.skip(f"there is no {program} on the PATH")
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", re.sub("^curl ", "curl --silent --fail ", text)),
        env={
            **os.environ,
            "REQUEST_ID": "a",
            **variables,
            "PATH": path,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert b'"errors"' not in output, output.decode()
