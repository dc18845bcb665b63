"""An authorization server that gives tokens for client credentials (RFC 6749, section 4.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


@dataclass
class TokenServer:
    """Gives tokens, each good for an hour, and knows those that it gave.

    Attributes:
        path: Where it is asked.
        secret: The client's secret.
        wanted: What else a request has to say.
        given: The tokens.
    """

    path: str
    secret: str
    wanted: Mapping[str, str]
    given: list[str] = field(default_factory=list[str])

    @property
    def route(self) -> Route:
        """Where it is asked."""
        return Route(self.path, self._give, methods=["POST"])

    def knows(self, request: Request) -> bool:
        """Tell whether a request has a token that was given."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and token in self.given

    async def _give(self, request: Request) -> JSONResponse:
        """Answer a request for a token."""
        asked = dict(parse_qsl((await request.body()).decode()))
        wanted = {"grant_type": "client_credentials", "client_secret": self.secret, **self.wanted}
        if {name: asked.get(name) for name in wanted} != wanted or "client_id" not in asked:
            return JSONResponse({"error": "access_denied"}, 401)
        self.given.append(f"token-{len(self.given)}")
        answer = {"access_token": self.given[-1], "token_type": "Bearer", "expires_in": 3600}
        return JSONResponse(answer)
