"""What the supervisor can tell its processes to do, and what they answer.

A process carries out each command as a whole, or refuses it with sentences for the operator.
``control.py`` sends commands, and ``process_link.py`` receives them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, cast

from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict, Field

from app.settings.models import Settings
from app.sources.cache.invalidation import Invalidation


class PrepareReload(Struct, frozen=True):
    """Build a gateway of other settings beside the one that runs, and do not use it yet.

    Attributes:
        kind: The name of the command, for logs.
        version: Number of these settings: each reload has the next one.
        settings: All settings, secrets included.
    """

    kind: ClassVar[str] = "prepare_reload"
    version: int
    settings: Settings


class CommitReload(Struct, frozen=True):
    """Use the gateway that was prepared; the one before ends with its last request.

    Attributes:
        kind: The name of the command, for logs.
        version: Number of its settings.
    """

    kind: ClassVar[str] = "commit_reload"
    version: int


class AbandonReload(Struct, frozen=True):
    """Close the gateway that was prepared, if there is one.

    Attributes:
        kind: The name of the command, for logs.
        version: Number of its settings.
    """

    kind: ClassVar[str] = "abandon_reload"
    version: int


class BeginDrain(Struct, frozen=True):
    """Say by ``/readyz`` that the process is about to end, and go on answering requests.

    Attributes:
        kind: The name of the command, for logs.
    """

    kind: ClassVar[str] = "begin_drain"


class InvalidateCache(Struct, frozen=True):
    """Forget entries of the entity cache.

    Attributes:
        kind: The name of the command, for logs.
        invalidation: What must no longer be used.
        publisher: Number of the process that tells the gateways with the same store.
    """

    kind: ClassVar[str] = "invalidate_cache"
    invalidation: Invalidation
    publisher: int = 0


Command: TypeAlias = PrepareReload | CommitReload | AbandonReload | BeginDrain | InvalidateCache
"""One thing to do for every process."""

C = TypeVar("C", PrepareReload, CommitReload, AbandonReload, BeginDrain, InvalidateCache)


class SentCommand(Struct, frozen=True):
    """A command on its way to a process.

    Attributes:
        number: Number of the command, which the answer repeats.
        command: The command.
    """

    number: int
    command: Command


class Acknowledgement(BaseModel):
    """The answer of a process to a command."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    kind: Literal["acknowledgement"] = "acknowledgement"
    number: int = Field(description="Number of the command.")
    pid: int = Field(description="Number of the process.")
    mistakes: tuple[str, ...] = Field(
        default=(),
        description="Why it was refused, a sentence for each reason; empty if it is done.",
    )


HandleCommand: TypeAlias = Callable[[Command], Awaitable[Sequence[str]]]
"""Carries out a command. It returns why it refuses, a sentence for each reason; empty if done."""


class CommandHandlers(Struct, frozen=True):
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
