"""The lessons of the tutorial work: all their commands are run in an empty folder.

Programs that do not end (the demo, gateways, nginx) run until the page starts the same one again.
JSON after a command is the output of the command, and text after it is lines of the output. Free
ports replace those of the page.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main
from tests.conftest import APP
from tests.docs.blocks import Block, blocks_of
from tests.docs.commands import commands_in
from tests.docs.pages import DOCS
from tests.examples.serving import clean_environment, free_port, program

LESSONS = sorted((DOCS / "tutorial").glob("*.md"))
PORTS = ("8000", "8001", "8002", "8003", "8010", "8011", "8080", "9464", "9465")
"""The ports of the pages."""

READY = {"demo": "Ctrl-C ends", "serve": "Press CTRL+C"}
"""The text that a program prints when it is ready."""


class Lesson:
    """The run of a lesson: a folder, and the programs that run in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports: Mapping[str, str] = {one: str(free_port()) for one in PORTS}
        self._running: dict[str, ExitStack] = {}

    def follow(self, block: Block) -> str:
        """Write the file of a block, or run its commands.

        Args:
            block: A block of the page.

        Returns:
            The output of its last command; empty for a file, and for programs that do not end.
        """
        text = self._here(block.text)
        if block.title:
            (self._folder / block.title).write_text(text, encoding="utf-8")
            return ""
        if ended := re.search(r"without the gateway at (\d+)", block.comment):
            self._running.pop(f"serve {ended[1]}").close()
        service = re.search(r"user-gateway (demo|serve)(?:.* --port (\d+))?", block.text)
        if service:
            self._start(f"{service[1]} {service[2] or ''}".strip(), service[1], text)
            return ""
        if text.startswith("nginx"):
            self._start("nginx", "nginx", text)
            return ""
        if text.startswith(("user-gateway", "! user-gateway")):
            return self._call(text)
        return self._run(text)

    def close(self) -> None:
        """End all programs."""
        for stack in reversed(self._running.values()):
            stack.close()

    def _here(self, text: str) -> str:
        """Replace the ports of the page by those of the test."""
        return re.sub(r"(?<=[: =])\d{4}\b", lambda port: self._ports.get(port[0], port[0]), text)

    def _start(self, name: str, kind: str, text: str) -> None:
        """Start a program that does not end; one of the same name is ended first."""
        if name in self._running:
            self._running.pop(name).close()
        first, *services = (self._ports[one] for one in PORTS[:4])
        ports = f" --ports {','.join(services)}" if kind == "demo" else ""
        port = "" if "--port " in text or kind == "nginx" else f" --port {first}"
        command = f"exec env {text.strip()}{ports}{port}"
        stack = ExitStack()
        self._running[name] = stack
        if kind == "nginx":
            stack.enter_context(_proxy(command, self._folder, int(self._ports["8080"])))
        else:
            stack.enter_context(
                program(
                    ("bash", "-c", command),
                    ready=READY[kind],
                    folder=self._folder,
                    environment=_environment(),
                )
            )

    def _call(self, text: str) -> str:
        """Run a command of the gateway in this process, because a new one imports for seconds."""
        is_refused = text.startswith("! ")
        [command] = commands_in(text.removeprefix("! "))
        with chdir(self._folder):
            result = CliRunner().invoke(main, command.arguments)
        assert result.exit_code == (1 if is_refused else 0), result.output
        if file := re.search(r" > (\S+)$", text.strip()):
            (self._folder / file[1]).write_text(result.stdout, encoding="utf-8")
        return result.output

    def _run(self, text: str) -> str:
        """Run commands until they end."""
        # The test is faster than a reader: the admin port sends 503 until a process has reported.
        curl = "curl --silent --fail --retry 5 "
        script = re.sub(r"^curl ", curl, text, flags=re.MULTILINE)
        done = subprocess.run(  # noqa: S603 # the commands of the page
            ("bash", "-euo", "pipefail", "-c", script),  # noqa: S607 # the shell of the machine
            cwd=self._folder,
            env=clean_environment(_environment()),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def _environment() -> Mapping[str, str]:
    """Return the variables of a reader who has installed the gateway."""
    path = os.environ.get("PATH", "")
    return {
        "PATH": f"{Path(sys.executable).parent}:{path}:/usr/sbin",
        "PYTHONPATH": str(APP.parent),
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def _proxy(command: str, folder: Path, port: int) -> Generator[None]:
    """Run nginx, which prints nothing when it is ready: the first response shows this."""
    process = subprocess.Popen(  # noqa: S603 # the page's own command
        ("bash", "-c", command),  # noqa: S607 # the shell of the machine
        cwd=folder,
        env=clean_environment(_environment()),
    )
    try:
        subprocess.run(  # noqa: S603 # a program of the machine
            (
                *("curl", "--silent", "--output", "/dev/null", "--retry", "50"),
                *("--retry-connrefused", "--retry-delay", "0", "--retry-max-time", "20"),
                f"http://127.0.0.1:{port}/healthz",
            ),
            check=True,
        )
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.mark.timeout(240)  # each command is a new process, and some start a gateway
@pytest.mark.parametrize("page", LESSONS, ids=lambda page: page.stem)
def test_all_commands_of_a_lesson_work(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [one for one in os.environ if one.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    blocks = [one for one in blocks_of(page) if one.run == "elsewhere"]
    programs = {"curl", *(["nginx"] if any(one.language == "nginx" for one in blocks) else [])}
    for name in programs:
        if shutil.which(name, path=_environment()["PATH"]) is None:
            pytest.skip(f"there is no {name}")
    lesson = Lesson(tmp_path)
    printed = ""
    try:
        for block in blocks:
            if block.language == "json":
                assert json.loads(printed) == json.loads(block.text), block.name
            elif block.language == "text":
                shown = [one for one in block.text.splitlines() if one.strip()]
                assert [one for one in shown if one.strip() not in printed] == [], printed
            else:
                printed = lesson.follow(block)
    finally:
        lesson.close()
