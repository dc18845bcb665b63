"""The application of one process: requests go to the gateway of the settings that count now.

A *generation* is a gateway that was built of one version of the settings. A reload prepares the
next generation beside the one that runs, and then swaps them. Requests that run end on the
generation that began them; with the last of them it closes. What the settings of both have in
common they share (``shared_parts.py``).
"""

import asyncio
import gc
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from threading import Event
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from app.errors import ConfigurationError
from app.resilience.shared_parts import SharedParts
from app.resilience.tasks import Tasks
from app.server.commands import (
    AbandonReload,
    BeginDrain,
    Command,
    CommandHandlers,
    CommitReload,
    HandleCommand,
    PrepareReload,
)
from app.server.health import Readiness
from app.server.lifespan import run_lifespan
from app.settings.models import Settings

READY_WITHIN = 30.0
"""Seconds in which a new generation has to be ready for requests: it has the keys of tokens."""

COMMITTED_WITHIN = 10.0
"""Seconds for which a process that starts waits for its supervisor. Then it serves requests, which
is better than none that does."""

READY_EVERY = 0.05
"""Seconds between two looks whether it is ready."""

KEYS_MISSING = (
    "the keys that verify tokens could not be fetched: expected an identity provider that answers"
    " at GATEWAY_AUTH__ISSUER or GATEWAY_AUTH__JWKS_URL; the log has auth.keys"
)
"""Why a new generation is not ready."""

MakeGateway: TypeAlias = Callable[[Settings, SharedParts], Starlette]
"""Builds the gateway of settings. It may take long, and runs in a thread."""

SwapServer: TypeAlias = Callable[[], Awaitable[None]]
"""Puts to use what was prepared of the server."""

PrepareServer: TypeAlias = Callable[[Settings], SwapServer]
"""Prepares what the server itself has of the settings: its certificate, and the limits of
connections."""

WatchedProcess: TypeAlias = Callable[
    [Callable[[], Readiness], HandleCommand], AbstractAsyncContextManager[None]
]
"""Watches the process within a context. It gets what returns the readiness, and what carries out
the commands of the supervisor."""


class Generation:
    """A gateway, and the requests that run on it.

    Args:
        version: The number of its settings.
        app: The gateway.

    Attributes:
        version: The number of its settings.
        app: The gateway.
        running: How many requests run on it.
    """

    def __init__(self, version: int, app: Starlette) -> None:
        self.version = version
        self.app = app
        self.running = 0
        self._retired = asyncio.Event()
        self._idle = asyncio.Event()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Args:
            scope: The ASGI scope.
            receive: The ASGI channel of incoming messages.
            send: The ASGI channel of outgoing messages.
        """
        self.running += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.running -= 1
            if not self.running and self._retired.is_set():
                self._idle.set()

    def retire(self) -> None:
        """Close it with the last request that runs on it. It gets no more."""
        self._retired.set()
        if not self.running:
            self._idle.set()

    def end(self) -> None:
        """Close it now, at the end of the process."""
        self._idle.set()

    def readiness(self) -> Readiness:
        """Return whether it can answer requests.

        Returns:
            The readiness.
        """
        readiness: Readiness = self.app.state.readiness()
        return readiness

    async def run(self, opened: "asyncio.Future[Mapping[str, Any]]") -> None:
        """Open the gateway, and close it when it is retired and idle.

        Args:
            opened: Gets the state of the lifespan when it is open, or why it cannot be opened.
        """
        try:
            async with self.app.router.lifespan_context(self.app) as state:
                opened.set_result(state or {})
                await self._idle.wait()
        except BaseException as error:
            if opened.done():
                raise
            if isinstance(error, asyncio.CancelledError):
                opened.cancel()
                raise
            opened.set_exception(error)


class Generations:
    """The ASGI application of one process.

    Args:
        settings: The settings to begin with.
        version: Their number.
        make: Builds the gateway of settings.
        watched: Watches the process.
        drain: Set when the process is about to end; the gateways read it.
        log: The log.
        is_welcomed: Whether a supervisor commits the settings to each process that has connected.
    """

    def __init__(
        self,
        settings: Settings,
        version: int,
        make: MakeGateway,
        *,
        watched: WatchedProcess,
        drain: Event,
        log: FilteringBoundLogger,
        is_welcomed: bool = False,
    ) -> None:
        self._make = make
        self._watched = watched
        self._drain = drain
        self._log = log
        self._shared = SharedParts()
        self._current = Generation(version, make(settings, self._shared))
        self._prepared: tuple[Generation, SwapServer] | None = None
        # The supervisor gives up a process that takes too long. What it prepares then ends first.
        self._preparing = asyncio.Lock()
        self._prepare_server: PrepareServer = _nothing_of_the_server
        self._drain_server: Callable[[], None] = _drain_nothing
        self._is_committed = asyncio.Event()
        if not is_welcomed:
            self._is_committed.set()
        self._tasks = Tasks()
        self._alive: dict[asyncio.Task[None], Generation] = {}
        self._lifespan_app = Starlette(lifespan=lambda _: self.lifespan())

    def use_server(self, prepare: PrepareServer, drain: Callable[[], None]) -> None:
        """Let a server take part in reloads, and in the drain before the end.

        Args:
            prepare: Prepares the server's part of the settings.
            drain: Lets clients use other connections from now on.
        """
        self._prepare_server = prepare
        self._drain_server = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request by the current generation, or run the lifespan of the process.

        Args:
            scope: The ASGI scope.
            receive: The ASGI channel of incoming messages.
            send: The ASGI channel of outgoing messages.
        """
        if scope["type"] == "lifespan":
            await run_lifespan(self._lifespan_app, scope, receive, send, self._log)
        else:
            await self._current.serve(scope, receive, send)

    def readiness(self) -> Readiness:
        """Return whether the process can answer requests.

        Returns:
            The readiness of the current generation.
        """
        return self._current.readiness()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[Mapping[str, Any]]:
        """Open the first generation, and wait until its settings count; at the end close all.

        Yields:
            The state of the lifespan. Requests can be served meanwhile.
        """
        handlers = (
            CommandHandlers(otherwise=self._in_all)
            .having(PrepareReload, self.prepare)
            .having(CommitReload, self.commit)
            .having(AbandonReload, self.abandon)
            .having(BeginDrain, self.begin_drain)
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._watched(self.readiness, handlers))
            await stack.enter_async_context(self._tasks)
            state = await self._open(self._current)
            await self._wait_until_committed()
            try:
                yield state
            finally:
                self._abandon()
                for generation in self._alive.values():
                    generation.end()
                await asyncio.gather(*self._alive)

    async def prepare(self, command: PrepareReload) -> Sequence[str]:
        """Build the next generation, and open it beside the current one.

        Args:
            command: Has the settings.

        Returns:
            What is wrong; empty if it can be used.
        """
        async with self._preparing:
            return await self._prepare(command)

    async def commit(self, command: CommitReload) -> Sequence[str]:
        """Let the prepared generation serve requests from now on.

        Args:
            command: Has the number of the settings.

        Returns:
            What is wrong; empty if it is done.
        """
        if self._current.version == command.version:
            self._is_committed.set()
            return ()
        if self._prepared is None or self._prepared[0].version != command.version:
            return (f"version {command.version} of the settings is not prepared",)
        before = self._current
        (self._current, swap_server), self._prepared = self._prepared, None
        await swap_server()
        before.retire()
        self._is_committed.set()
        return ()

    async def abandon(self, command: AbandonReload) -> Sequence[str]:
        """Close the prepared generation.

        Args:
            command: Has the number of the settings.

        Returns:
            Nothing is ever wrong.
        """
        async with self._preparing:
            if self._prepared is not None and self._prepared[0].version == command.version:
                self._abandon()
        return ()

    async def _prepare(self, command: PrepareReload) -> Sequence[str]:
        """Build the next generation, and open it; no other is being prepared."""
        if self._current.version == command.version:
            return ()
        self._abandon()
        try:
            swap_server = self._prepare_server(command.settings)
            app = await asyncio.to_thread(self._make, command.settings, self._shared)
            generation = Generation(command.version, app)
            await self._open(generation)
        except ConfigurationError as error:
            return error.mistakes
        except (OSError, ValueError) as error:
            return (f"it cannot be used: {error}",)
        self._prepared = generation, swap_server
        if command.settings.reload.check_sources:
            mistakes: Sequence[str] = await app.state.unreachable()
            if mistakes:
                return mistakes
        return await self._wait_until_ready(generation)

    async def _in_all(self, command: Command) -> Sequence[str]:
        """Carry out a command in every generation that is open: any may have parts of its own."""
        handlers = [one.app.state.commands for one in self._alive.values()]
        found: list[Sequence[str]] = await asyncio.gather(*(one(command) for one in handlers))
        return [*dict.fromkeys(mistake for mistakes in found for mistake in mistakes)]

    async def begin_drain(self, _: BeginDrain) -> Sequence[str]:
        """Be no longer ready: the process is about to end.

        Returns:
            Nothing is ever wrong.
        """
        self.drain()
        return ()

    def drain(self) -> None:
        """Be no longer ready, and answer requests as before."""
        self._drain.set()
        self._drain_server()

    def _abandon(self) -> None:
        """Close a prepared generation, if there is one."""
        if self._prepared is not None:
            self._prepared[0].retire()
            self._prepared = None

    async def _open(self, generation: Generation) -> Mapping[str, Any]:
        """Open a generation; return the state of its lifespan."""
        opened: asyncio.Future[Mapping[str, Any]] = get_running_loop().create_future()
        name = f"generation {generation.version}"
        task = self._tasks.begin(self._run(generation, opened), name)
        self._alive[task] = generation
        task.add_done_callback(self._alive.pop)
        return await opened

    async def _run(
        self, generation: Generation, opened: "asyncio.Future[Mapping[str, Any]]"
    ) -> None:
        """Run a generation to its end, and free its memory."""
        try:
            await generation.run(opened)
        except Exception as error:
            if generation is self._current:
                raise
            self._log.error("gateway.not_closed", exc_info=error)  # one form for all
        if generation is not self._current:
            # Schemas have cycles, and the collector runs rarely (``process.py``). It takes a few
            # milliseconds: what was there at the start of the process is exempt.
            gc.collect()

    async def _wait_until_committed(self) -> None:
        """Wait until the supervisor has said that the settings of this process count.

        Others may have reloaded while it started. If it served requests before it has caught up,
        two versions would answer at the same time.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(COMMITTED_WITHIN):
                await self._is_committed.wait()

    async def _wait_until_ready(self, generation: Generation) -> Sequence[str]:
        """Wait until a generation is ready; return why it is not."""
        if not self._current.readiness().is_ready:
            return ()  # it cannot be worse, or the process is about to end
        try:
            async with asyncio.timeout(READY_WITHIN):
                while not generation.readiness().is_ready:  # noqa: ASYNC110 # no event says it
                    await asyncio.sleep(READY_EVERY)
        except TimeoutError:
            return (KEYS_MISSING,)
        return ()


def _drain_nothing() -> None:
    """Leave all connections as they are."""


async def _swap_nothing() -> None:
    """Put nothing to use."""


def _nothing_of_the_server(_: Settings) -> SwapServer:
    """Prepare nothing: the server takes no part in reloads."""
    return _swap_nothing
