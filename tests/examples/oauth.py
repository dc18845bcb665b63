"""An authorization server that gives tokens for client credentials (RFC 6749, section 4.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


@dataclass
class TokenServer:
    """Issues tokens that are valid for an hour, and recognizes them.

    Attributes:
        path: The path of its endpoint.
        secret: The client's secret.
        wanted: Further parameters that a request must have.
        issued: The tokens that it has issued.
    """

    path: str
    secret: str
    wanted: Mapping[str, str]
    issued: list[str] = field(default_factory=list[str])

    @property
    def route(self) -> Route:
        """The route of its endpoint."""
        return Route(self.path, self._issue, methods=["POST"])

    def accepts(self, request: Request) -> bool:
        """Return whether a request has an issued token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and token in self.issued

    async def _issue(self, request: Request) -> JSONResponse:
        """Respond to a request for a token."""
        received = dict(parse_qsl((await request.body()).decode()))
        wanted = {"grant_type": "client_credentials", "client_secret": self.secret, **self.wanted}
        if {name: received.get(name) for name in wanted} != wanted or "client_id" not in received:
            return JSONResponse({"error": "access_denied"}, 401)
        self.issued.append(f"token-{len(self.issued)}")
        answer = {"access_token": self.issued[-1], "token_type": "Bearer", "expires_in": 3600}
        return JSONResponse(answer)
