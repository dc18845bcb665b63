"""Reads ``deploy/compose.yaml``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import yaml
from pydantic import BaseModel, Field

from tests.deploy.files import DEPLOY
from tests.deploy.local import Container

FILE = DEPLOY / "compose.yaml"
CMD = "CMD"


class Healthcheck(BaseModel):
    """How an engine asks a service whether it lives."""

    test: Sequence[str] = Field(description="`CMD`, and a command line.")


class ComposeService(BaseModel):
    """What we read of a service."""

    image: str = Field(description="Its image.")
    command: Sequence[str] = Field(description="Its command line after the entry point.")
    environment: dict[str, str | None] = Field(
        default_factory=dict[str, str | None], description="Variables."
    )
    volumes: Sequence[str] = Field(default=(), description="Mounts, as `source:target:mode`.")
    tmpfs: Sequence[str] = Field(default=(), description="Folders that it may write to.")
    expose: Sequence[int] = Field(description="Ports that it listens on.")
    read_only: bool = Field(default=False, description="Whether it can write no other files.")
    cap_drop: Sequence[str] = Field(default=(), description="Capabilities that it lacks.")
    healthcheck: Healthcheck | None = Field(default=None, description="Replaces the image's.")

    def container(self) -> Container:
        """Say what an engine would run."""
        pairs = [volume.split(":")[:2] for volume in self.volumes]
        bound = [(DEPLOY / one if one.startswith("./") else None, target) for one, target in pairs]
        made = Container(
            image=self.image.partition(":")[0],
            command=self.command,
            ports=self.expose,
            environment={name: value or "" for name, value in self.environment.items()},
            mounts=[*bound, *((None, target) for target in self.tmpfs)],
        )
        if self.healthcheck is None:
            return made
        command, *test = self.healthcheck.test
        assert command == CMD
        return replace(made, health=test)


class ComposeFile(BaseModel):
    """What we read of the file."""

    services: dict[str, ComposeService] = Field(description="The services by name.")

    def containers(self) -> Mapping[str, Container]:
        """Say what an engine would run, by name."""
        return {name: service.container() for name, service in self.services.items()}


_OPTIONAL = re.compile(r"\$\{(\w+):-([^}]*)\}")


def compose_file(variables: Mapping[str, str] = MappingProxyType({})) -> ComposeFile:
    """Read the file.

    Args:
        variables: The variables with which the engine is called.
    """
    text = _OPTIONAL.sub(lambda one: variables.get(one[1], one[2]), FILE.read_text("utf-8"))
    return ComposeFile.model_validate(yaml.safe_load(text))
