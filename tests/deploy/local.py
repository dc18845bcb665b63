"""Runs containers as processes of this machine, without an engine.

Each gets the command, the variables and the mounted files that its container would have. Three
things differ: a container's folder is one of this machine, a container's address is 127.0.0.1, and
each port is a free one.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, ROOT
from tests.examples.serving import clean_environment, free_port, program
from tests.stores import programs

STORE = "valkey-server"
DEFAULTS = "/etc/user-gateway/defaults.toml"
PROGRAMS: Mapping[str, tuple[Sequence[str], str]] = {
    "user-gateway": ((sys.executable, "-m", "app"), ""),
    "nginx": ((), "nginx"),
    "valkey/valkey": ((), "redis-server"),
    "prom/prometheus": (("prometheus",), "prometheus"),
}
"""What the entry point of each image is on this machine, and Debian's package that has it."""

READY: Mapping[str, str] = {
    "serve": '"gateway.started"',
    "demo": "The three services run",
    "nginx": "start worker process",
    "valkey-server": "Ready to accept connections",
    "--config.file=/etc/user-gateway/prometheus.yml": "Server is ready",
}
"""What a container says when it answers, by the first word of its command."""

Mounts = Sequence[tuple["Path | str | None", str]]
"""What is mounted where: a path of the repository, the text of a file, or ``None`` for a folder
that is empty at first."""


@dataclass(frozen=True, slots=True)
class Container:
    """What an engine would run.

    Attributes:
        image: The name of its image, without the tag.
        command: Its command line after the entry point.
        ports: The ports that it listens on.
        environment: Its variables.
        mounts: Its mounts.
        health: The command of its health check.
    """

    image: str
    command: Sequence[str]
    ports: Sequence[int]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    mounts: Mounts = ()
    health: Sequence[str] = ("user-gateway", "health")


@dataclass(frozen=True, slots=True)
class LocalProcess:
    """A container as this machine runs it.

    Attributes:
        command: Its whole command line.
        environment: Its variables.
        folder: The folder that has all its files.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path


def _write(content: Path | str | None, target: Path, adapted: Callable[[str], str]) -> None:
    """Write what is mounted, with its texts adapted."""
    if content is None:
        target.mkdir(parents=True, exist_ok=True)
    elif isinstance(content, str):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(adapted(content), "utf-8")
    else:
        for file in content.rglob("*") if content.is_dir() else (content,):
            _write(file.read_text("utf-8"), target / file.relative_to(content), adapted)


class LocalContainers:
    """Containers that know each other by name, with their ports on this machine.

    Args:
        containers: The containers by name.
        folder: Where their files go.
    """

    def __init__(self, containers: Mapping[str, Container], folder: Path) -> None:
        self._containers = containers
        self._folder = folder
        self._ports = {
            (name, port): free_port() for name, one in containers.items() for port in one.ports
        }

    def port(self, name: str, port: int) -> int:
        """Return the port of this machine that stands for one of a container."""
        return self._ports[name, port]

    def local(self, name: str) -> LocalProcess:
        """Write the files of a container, and say how it runs here.

        Args:
            name: Its name.

        Returns:
            The process.
        """
        container, home = self._containers[name], self._folder / name
        mounts = [*container.mounts]
        environment = {"PYTHONPATH": str(ROOT), **container.environment}
        if container.image == "user-gateway":  # what the image itself has
            mounts.append((DEPLOY / "image" / "defaults.toml", DEFAULTS))
            environment["GATEWAY_DEFAULTS"] = DEFAULTS
        targets = "|".join(re.escape(target) for _, target in mounts)

        def adapted(text: str) -> str:
            moved = re.sub(rf"(?<![\w./])({targets})(?![\w.])", rf"{home}\1", text)
            return self._with_ports(moved, name)

        for content, target in mounts:
            _write(content, Path(f"{home}{target}"), adapted)
        start, package = PROGRAMS[container.image]
        command = [*start, *(adapted(part) for part in container.command)]
        if command[0] == STORE:  # of a wheel or of the system; options are the same
            command[0] = next(iter([*programs().values(), STORE]))
        if shutil.which(command[0]) is None:
            pytest.skip(f"there is no {command[0]} on the PATH: it is in Debian's {package}")
        variables = {key: adapted(value) for key, value in environment.items()}
        return LocalProcess(command, variables, home)

    def health(self, name: str) -> str:
        """Run the health check of a container.

        Args:
            name: Its name. It runs.

        Returns:
            The exit code, and what the check says.
        """
        local, check = self.local(name), self._containers[name].health
        places = {"python": (sys.executable,), "user-gateway": PROGRAMS["user-gateway"][0]}
        done = subprocess.run(  # noqa: S603 # our own commands
            (*places[check[0]], *(self._with_ports(part, name) for part in check[1:])),
            cwd=local.folder,
            env=clean_environment(local.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
        return f"{done.returncode} {done.stdout}{done.stderr}".strip()

    def _with_ports(self, text: str, own: str) -> str:
        """Replace the ports of other containers, by their names, and then those of its own."""
        for (name, port), local in self._ports.items():
            text = text.replace(f"{name}:{port}", f"127.0.0.1:{local}")
        text = text.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 # it is replaced
        for (name, port), local in self._ports.items():
            if name == own:
                text = re.sub(rf"(?<!\d){port}(?!\d)", str(local), text)
        return text

    @contextmanager
    def running(self, *names: str) -> Generator[Mapping[str, Sequence[str]]]:
        """Run containers. They start at the same time, as an engine starts them.

        Args:
            names: Their names.

        Yields:
            The lines that each has said so far. All are ready, and end with the context.
        """
        with ExitStack() as stack:

            def start(name: str) -> Sequence[str]:
                local = self.local(name)
                ready = READY[self._containers[name].command[0]]
                return stack.enter_context(
                    program(
                        local.command,
                        ready=ready,
                        folder=local.folder,
                        environment=local.environment,
                    )
                )

            with ThreadPoolExecutor() as pool:
                said = dict(zip(names, pool.map(start, names), strict=True))
            yield said
