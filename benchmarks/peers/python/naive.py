"""What one would write first: Strawberry, a resolver per field, aiodataloader, httpx.

It is a subgraph too, as Strawberry's documentation shows it.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import strawberry
from aiodataloader import DataLoader
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL

Row = dict[str, Any]
UPSTREAM = os.environ["UPSTREAM"]


class Loader(DataLoader[str, Row]):
    """The rows of one source, by user."""

    def __init__(self, client: httpx.AsyncClient, path: str, parameter: str) -> None:
        super().__init__()
        self._client = client
        self._path = path
        self._parameter = parameter

    async def batch_load_fn(self, keys: list[str]) -> list[Row]:
        """Fetch the rows of many users in one call; empty ones for unknown users."""
        answer = await self._client.get(
            self._path, params=[(self._parameter, user) for user in keys]
        )
        answer.raise_for_status()
        rows = {row[self._parameter]: row for row in answer.json()}
        return [rows.get(user, {}) for user in keys]


@dataclass
class Loaders:
    """The loaders of one request."""

    client: httpx.AsyncClient
    profile: Loader
    billing: Loader
    activity: Loader


Info = strawberry.Info[Loaders, None]


@strawberry.type
class Balance:
    """What a user owes or has paid ahead."""

    amount: float | None
    currency: str | None


@strawberry.type
class Event:
    """A thing that a user did."""

    id: strawberry.ID | None
    type: str | None
    occurred_at: str | None


@strawberry.type
class Invoice:
    """What a user was billed."""

    id: strawberry.ID
    number: str
    status: str
    issued_at: str
    total: Balance


@strawberry.type
class InvoiceEdge:
    """A place in a list of invoices."""

    node: Invoice


@strawberry.type
class PageInfo:
    """Whether a list goes on."""

    has_next_page: bool


@strawberry.type
class InvoiceConnection:
    """A page of invoices."""

    edges: list[InvoiceEdge]
    page_info: PageInfo


@strawberry.federation.type(keys=["id"])
class User:
    """A user."""

    id: strawberry.ID

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID) -> "User | None":  # noqa: A002 # the key
        """Find the user that a router names."""
        return await find(info, id)

    @strawberry.field
    async def username(self, info: Info) -> str | None:
        """From profile."""
        return (await info.context.profile.load(self.id)).get("username")

    @strawberry.field
    async def display_name(self, info: Info) -> str | None:
        """From profile."""
        return (await info.context.profile.load(self.id)).get("displayName")

    @strawberry.field
    async def email(self, info: Info) -> str | None:
        """From profile."""
        return (await info.context.profile.load(self.id)).get("email")

    @strawberry.field
    async def avatar_url(self, info: Info) -> str | None:
        """From profile."""
        return (await info.context.profile.load(self.id)).get("avatarUrl")

    @strawberry.field
    async def locale(self, info: Info) -> str | None:
        """From profile."""
        return (await info.context.profile.load(self.id)).get("locale")

    @strawberry.field
    async def created_at(self, info: Info) -> str | None:
        """From profile."""
        return (await info.context.profile.load(self.id)).get("createdAt")

    @strawberry.field
    async def plan(self, info: Info) -> str | None:
        """From billing."""
        return (await info.context.billing.load(self.id)).get("plan")

    @strawberry.field
    async def billing_status(self, info: Info) -> str | None:
        """From billing."""
        return (await info.context.billing.load(self.id)).get("status")

    @strawberry.field
    async def balance(self, info: Info) -> Balance | None:
        """From billing."""
        balance = (await info.context.billing.load(self.id)).get("balance")
        return Balance(**balance) if balance else None

    @strawberry.field
    async def renews_at(self, info: Info) -> str | None:
        """From billing."""
        return (await info.context.billing.load(self.id)).get("renewsAt")

    @strawberry.field
    async def last_seen_at(self, info: Info) -> str | None:
        """From activity."""
        return (await info.context.activity.load(self.id)).get("lastSeenAt")

    @strawberry.field
    async def login_count(self, info: Info) -> int | None:
        """From activity."""
        return (await info.context.activity.load(self.id)).get("loginCount")

    @strawberry.field
    async def events(self, info: Info) -> list[Event] | None:
        """From activity."""
        events = (await info.context.activity.load(self.id)).get("events")
        if events is None:
            return None
        return [Event(id=e["id"], type=e["type"], occurred_at=e["occurredAt"]) for e in events]

    @strawberry.field
    async def invoices(self, info: Info, first: int = 20) -> InvoiceConnection | None:
        """From billing, with a call for each user."""
        answer = await info.context.client.get(
            "/billing/invoices", params={"userId": self.id, "limit": first}
        )
        answer.raise_for_status()
        page = answer.json()
        edges = [
            InvoiceEdge(
                node=Invoice(
                    id=one["id"],
                    number=one["number"],
                    status=one["status"],
                    issued_at=one["issuedAt"],
                    total=Balance(**one["total"]),
                )
            )
            for one in page["items"]
        ]
        return InvoiceConnection(
            edges=edges, page_info=PageInfo(has_next_page="nextCursor" in page)
        )


async def find(info: Info, user: strawberry.ID) -> User | None:
    """Find a user that profile knows."""
    row = await info.context.profile.load(user)
    return User(id=user) if row else None


@strawberry.type
class Query:
    """What can be asked."""

    @strawberry.field
    async def user(self, info: Info, id: strawberry.ID) -> User | None:  # noqa: A002 # the public name
        """Find one user."""
        return await find(info, id)

    @strawberry.field
    async def users(self, info: Info, ids: list[strawberry.ID]) -> list[User | None]:
        """Find many users."""
        return await asyncio.gather(*(find(info, user) for user in ids))


class Gateway(GraphQL[Loaders, None]):
    """Strawberry's own ASGI application, with new loaders for each request."""

    async def get_context(
        self,
        request: Request | WebSocket,
        response: Response | WebSocket,  # noqa: ARG002 # the library's signature
    ) -> Loaders:
        """Make the loaders of one request."""
        client: httpx.AsyncClient = request.state.client
        return Loaders(
            client=client,
            profile=Loader(client, "/profile/users", "id"),
            billing=Loader(client, "/billing/accounts", "userId"),
            activity=Loader(client, "/activity/summaries", "userId"),
        )


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[dict[str, httpx.AsyncClient]]:
    """Open the client."""
    async with httpx.AsyncClient(base_url=UPSTREAM, timeout=10) as client:
        yield {"client": client}


app = Starlette(
    routes=[Route("/graphql", Gateway(strawberry.federation.Schema(Query)))],
    lifespan=lifespan,
)
