"""A service that takes tokens, and the authorization server that gives them out, on one port."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

from tests.fakes.http_server import Answer, HttpExchange, HttpRequest, HttpServer, saying, serving

TOKEN = "canary-access-token"


@dataclass
class Login:
    """Both.

    Attributes:
        server: The server that they are.
        given: How many tokens were given out; the n-th is ``canary-access-token-n``.
        taken: The tokens that the service takes; all that were given out when ``None``.
        expires_in: What is said of how long they are good for.
        instead: What the authorization server does instead of giving one out.
        held: Set when it may answer.
        delayed: What the service waits for before it answers at ``/late``.
    """

    server: HttpServer = field(default_factory=lambda: HttpServer(saying()))
    given: int = 0
    taken: set[str] | None = None
    expires_in: object = 3600
    instead: Answer | None = None
    held: asyncio.Event = field(default_factory=asyncio.Event)
    delayed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def asked(self) -> Sequence[HttpRequest]:
        """The requests for tokens."""
        return [seen for seen in self.server.requests if seen.path == "/token"]

    @property
    def tokens(self) -> Sequence[str]:
        """The numbers of the tokens that the service was sent, in their order."""
        return [
            value.rpartition("-")[2]
            for seen in self.server.requests
            if seen.path != "/token"
            for value in seen.header("authorization")
        ]

    async def answer(self, exchange: HttpExchange) -> None:
        """Answer a request."""
        seen = exchange.request
        if seen.path == "/token":
            await self.held.wait()
            await (self.instead or self._give())(exchange)
            return
        if seen.path == "/late":
            await self.delayed.wait()
        [sent] = seen.header("authorization")
        good = self.taken is None or sent.removeprefix("Bearer ") in self.taken
        await exchange.say(b"[1]", "200 OK" if good else "401 Unauthorized")

    def _give(self) -> Answer:
        """Give a token out."""
        self.given += 1
        said = {"access_token": f"{TOKEN}-{self.given}", "token_type": "Bearer"}
        ends = {} if self.expires_in is None else {"expires_in": self.expires_in}
        return saying(orjson.dumps({**said, **ends}))


@asynccontextmanager
async def logging_in() -> AsyncGenerator[Login]:
    """Run it."""
    login = Login()
    login.held.set()
    async with serving(login.answer) as server:
        login.server = server
        yield login


async def until(true: Callable[[], bool]) -> None:
    """Let everything go on until something is so."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 # sockets set no event
            await asyncio.sleep(0)
