"""A service that needs tokens, and the authorization server that issues them, on one port."""

import asyncio
from collections.abc import Callable, Sequence

import orjson

from tests.fakes.http_server import Answer, HttpExchange, HttpRequest, HttpServer, saying

TOKEN = "canary-access-token"


class Login(HttpServer):
    """The service and the authorization server.

    Attributes:
        given: The number of issued tokens; the n-th is ``canary-access-token-n``.
        taken: The tokens that the service accepts; ``None`` for all issued tokens.
        expires_in: The value of ``expires_in`` in the response.
        instead: The behaviour of the authorization server, instead of issuing a token.
        may_give: Set when the authorization server may respond.
        delayed: The service waits for it before it responds at ``/late``.
    """

    def __init__(self) -> None:
        super().__init__(self._serve_one)
        self.given = 0
        self.taken: set[str] | None = None
        self.expires_in: object = 3600
        self.instead: Answer | None = None
        self.may_give = asyncio.Event()
        self.may_give.set()
        self.delayed = asyncio.Event()

    @property
    def asked(self) -> Sequence[HttpRequest]:
        """The requests for tokens."""
        return [seen for seen in self.requests if seen.path == "/token"]

    @property
    def tokens(self) -> Sequence[str]:
        """The numbers of the tokens that the service was sent, in their order."""
        return [
            value.rpartition("-")[2]
            for seen in self.requests
            if seen.path != "/token"
            for value in seen.header("authorization")
        ]

    async def _serve_one(self, exchange: HttpExchange) -> None:
        """Answer a request."""
        seen = exchange.request
        if seen.path == "/token":
            await self.may_give.wait()
            await (self.instead or self._give())(exchange)
            return
        if seen.path == "/late":
            await self.delayed.wait()
        [sent] = seen.header("authorization")
        good = self.taken is None or sent.removeprefix("Bearer ") in self.taken
        await exchange.say(b"[1]", "200 OK" if good else "401 Unauthorized")

    def _give(self) -> Answer:
        """Issue a token."""
        self.given += 1
        said = {"access_token": f"{TOKEN}-{self.given}", "token_type": "Bearer"}
        ends = {} if self.expires_in is None else {"expires_in": self.expires_in}
        return saying(orjson.dumps({**said, **ends}))


async def until(true: Callable[[], bool]) -> None:
    """Let the event loop run until a condition is true."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 # sockets set no event
            await asyncio.sleep(0)
