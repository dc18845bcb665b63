"""What the supervisor can tell its processes to do, and what they answer.

A process carries out each command as a whole, or refuses it with sentences for the operator.
``control.py`` sends commands, and ``process_link.py`` receives them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field

from app.settings.models import Settings
from app.sources.cache.invalidation import Invalidation


class PrepareReload(BaseModel):
    """Build a gateway of other settings beside the one that runs, and do not use it yet."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["prepare_reload"] = "prepare_reload"
    version: int = Field(description="Number of these settings: each reload has the next one.")
    settings: Settings = Field(description="All settings, secrets included.")


class CommitReload(BaseModel):
    """Use the gateway that was prepared; the one before ends with its last request."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["commit_reload"] = "commit_reload"
    version: int = Field(description="Number of its settings.")


class AbandonReload(BaseModel):
    """Close the gateway that was prepared, if there is one."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["abandon_reload"] = "abandon_reload"
    version: int = Field(description="Number of its settings.")


class BeginDrain(BaseModel):
    """Say by ``/readyz`` that the process is about to end, and go on answering requests."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["begin_drain"] = "begin_drain"


class InvalidateCache(BaseModel):
    """Forget entries of the entity cache."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["invalidate_cache"] = "invalidate_cache"
    invalidation: Invalidation = Field(description="What must no longer be used.")
    publisher: int = Field(
        default=0, description="Number of the process that tells the gateways with the same store."
    )


Command: TypeAlias = PrepareReload | CommitReload | AbandonReload | BeginDrain | InvalidateCache
"""One thing to do for every process. The field ``kind`` says which."""

C = TypeVar("C", PrepareReload, CommitReload, AbandonReload, BeginDrain, InvalidateCache)


class SentCommand(BaseModel):
    """A command on its way to a process."""

    model_config = ConfigDict(frozen=True)

    number: int = Field(description="Number of the command, which the answer repeats.")
    command: Command = Field(description="The command.", discriminator="kind")


class Acknowledgement(BaseModel):
    """The answer of a process to a command."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["acknowledgement"] = "acknowledgement"
    number: int = Field(description="Number of the command.")
    pid: int = Field(description="Number of the process.")
    mistakes: tuple[str, ...] = Field(
        default=(),
        description="Why it was refused, a sentence for each reason; empty if it is done.",
    )

    @property
    def is_done(self) -> bool:
        """Whether the process has carried out the command."""
        return not self.mistakes


HandleCommand: TypeAlias = Callable[[Command], Awaitable[Sequence[str]]]
"""Carries out a command. It returns why it refuses, a sentence for each reason; empty if done."""


@dataclass(frozen=True, slots=True)
class CommandHandlers:
    """What carries out each kind of command in this process. It is a ``HandleCommand``.

    Attributes:
        handlers: The handlers, by the classes of commands.
        otherwise: Carries out commands of other classes; ``None`` to refuse them.
    """

    handlers: Mapping[type[Command], HandleCommand] = field(
        default_factory=dict[type[Command], HandleCommand]
    )
    otherwise: HandleCommand | None = None

    def having(
        self, kind: type[C], handle: Callable[[C], Awaitable[Sequence[str]]]
    ) -> "CommandHandlers":
        """Add the handler of one kind.

        Args:
            kind: The class of the commands.
            handle: Carries out such a command.

        Returns:
            The handlers with this one.
        """
        added = cast("Callable[[Any], Awaitable[Sequence[str]]]", handle)
        return CommandHandlers({**self.handlers, kind: added}, self.otherwise)

    async def __call__(self, command: Command) -> Sequence[str]:
        """Carry out a command.

        Args:
            command: The command.

        Returns:
            Why it is refused; empty if it is done.
        """
        handle = self.handlers.get(type(command), self.otherwise)
        if handle is None:
            return (f"this gateway does not carry out the command {command.kind}",)
        return await handle(command)
