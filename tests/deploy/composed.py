"""Runs the services of ``deploy/compose.yaml`` as processes of this machine, without an engine.

Each service gets its command, its variables and its mounted files as the file says. Three things
differ: a container's folder is one of this machine, a container's address is 127.0.0.1, and each
port is a free one.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, Field

from tests.deploy.files import DEPLOY, ROOT
from tests.examples.serving import clean_environment, free_port, program

FILE = DEPLOY / "compose.yaml"
DEFAULTS = "/etc/user-gateway/defaults.toml"
CMD = "CMD"

PROGRAMS: Mapping[str, tuple[Sequence[str], str]] = {
    "user-gateway": ((sys.executable, "-m", "app"), ""),
    "nginx": ((), "nginx"),
    "prom/prometheus": (("prometheus",), "prometheus"),
}
"""What the entry point of each image is on this machine, and Debian's package that has it."""

READY: Mapping[str, str] = {
    "sources": "The three services run",
    "gateway-1": '"gateway.started"',
    "gateway-2": '"gateway.started"',
    "proxy": "start worker process",
    "prometheus": "Server is ready",
}
"""What each service says when it answers."""


class Healthcheck(BaseModel):
    """How an engine asks a service whether it lives."""

    test: Sequence[str] = Field(description="`CMD`, and a command line.")


class ComposeService(BaseModel):
    """What we read of a service."""

    image: str = Field(description="Its image.")
    command: Sequence[str] = Field(description="Its command line after the entry point.")
    environment: dict[str, str] = Field(default_factory=dict[str, str], description="Variables.")
    volumes: Sequence[str] = Field(default=(), description="Mounts, as `source:target:mode`.")
    tmpfs: Sequence[str] = Field(default=(), description="Folders that it may write to.")
    expose: Sequence[str] = Field(description="Ports that it listens on.")
    read_only: bool = Field(default=False, description="Whether it can write no other files.")
    cap_drop: Sequence[str] = Field(default=(), description="Capabilities that it lacks.")
    healthcheck: Healthcheck | None = Field(default=None, description="Replaces the image's.")

    @property
    def program(self) -> str:
        """The name of its image, without the tag."""
        return self.image.partition(":")[0]

    @property
    def mounts(self) -> Sequence[tuple[Path | None, str]]:
        """What is mounted where: a path of the repository, or ``None`` for an empty folder."""
        pairs = [volume.split(":")[:2] for volume in self.volumes]
        bound = [(DEPLOY / one if one.startswith("./") else None, target) for one, target in pairs]
        return [*bound, *((None, target) for target in self.tmpfs)]


class ComposeFile(BaseModel):
    """What we read of the file."""

    services: dict[str, ComposeService] = Field(description="The services by name.")


def compose_file() -> ComposeFile:
    """Read the file."""
    return ComposeFile.model_validate(yaml.safe_load(FILE.read_text("utf-8")))


@dataclass(frozen=True, slots=True)
class LocalService:
    """A service as this machine runs it.

    Attributes:
        command: Its whole command line.
        environment: Its variables.
        folder: The folder that has all its files.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path


def _copy(source: Path | None, target: Path, adapted: Callable[[str], str]) -> None:
    """Copy a file or a folder of the repository, with its texts adapted; or make a folder."""
    if source is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    for file in source.rglob("*") if source.is_dir() else (source,):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(adapted(file.read_text("utf-8")), "utf-8")


class LocalServices:
    """The services of the file, with their ports on this machine.

    Args:
        folder: Where their files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._services = compose_file().services
        self._ports = {
            (name, port): free_port()
            for name, service in self._services.items()
            for port in service.expose
        }

    def port(self, name: str, port: int) -> int:
        """Return the port of this machine that stands for one of a service."""
        return self._ports[name, str(port)]

    def local(self, name: str) -> LocalService:
        """Write the files of a service, and say how it runs here.

        Args:
            name: Its name.

        Returns:
            The service.
        """
        service, home = self._services[name], self._folder / name
        mounts = [*service.mounts]
        environment = {"PYTHONPATH": str(ROOT), **service.environment}
        if service.program == "user-gateway":  # what the image itself has
            mounts.append((DEPLOY / "image" / "defaults.toml", DEFAULTS))
            environment["GATEWAY_DEFAULTS"] = DEFAULTS
        targets = "|".join(re.escape(target) for _, target in mounts)

        def adapted(text: str) -> str:
            moved = re.sub(rf"(?<![\w./])({targets})(?![\w.])", rf"{home}\1", text)
            return self._with_ports(moved, name)

        for source, target in mounts:
            _copy(source, Path(f"{home}{target}"), adapted)
        start, package = PROGRAMS[service.program]
        command = [*start, *(adapted(part) for part in service.command)]
        if shutil.which(command[0]) is None:
            pytest.skip(f"there is no {command[0]} on the PATH: it is in Debian's {package}")
        variables = {key: adapted(value) for key, value in environment.items()}
        return LocalService(command, variables, home)

    def answers(self, name: str) -> str:
        """Run the health check of a service, and return what it says.

        Args:
            name: Its name. It runs.
        """
        service, local = self._services[name], self.local(name)
        test = service.healthcheck.test if service.healthcheck else (CMD, "user-gateway", "health")
        assert test[0] == CMD
        places = {"python": (sys.executable,), "user-gateway": PROGRAMS["user-gateway"][0]}
        done = subprocess.run(  # noqa: S603 # our own commands
            (*places[test[1]], *(self._with_ports(part, name) for part in test[2:])),
            cwd=local.folder,
            env=clean_environment(local.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
        return f"{done.returncode} {done.stdout}{done.stderr}".strip()

    def _with_ports(self, text: str, own: str) -> str:
        """Replace the ports of other services, by their names, and then those of its own."""
        for (name, port), local in self._ports.items():
            text = text.replace(f"{name}:{port}", f"127.0.0.1:{local}")
        text = text.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 # it is replaced
        for (name, port), local in self._ports.items():
            if name == own:
                text = re.sub(rf"(?<!\d){port}(?!\d)", str(local), text)
        return text

    @contextmanager
    def running(self, *names: str) -> Generator[Mapping[str, Sequence[str]]]:
        """Run services.

        Args:
            names: Their names, in the order in which they start.

        Yields:
            The lines that each has said so far. All are ready, and end with the context.
        """
        with ExitStack() as stack:
            said: dict[str, Sequence[str]] = {}
            for name in names:
                local = self.local(name)
                said[name] = stack.enter_context(
                    program(
                        local.command,
                        ready=READY[name],
                        folder=local.folder,
                        environment=local.environment,
                    )
                )
            yield said
