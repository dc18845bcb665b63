"""What one would write first: Strawberry, a resolver per field, aiodataloader, httpx."""

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
        """Fetch the rows of many users in one call."""
        answer = await self._client.get(
            self._path, params=[(self._parameter, user) for user in keys]
        )
        answer.raise_for_status()
        rows = {row[self._parameter]: row for row in answer.json()}
        return [rows.get(user, {}) for user in keys]


@dataclass
class Loaders:
    """The loaders of one request."""

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
class User:
    """A user."""

    id: strawberry.ID

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


@strawberry.type
class Query:
    """What can be asked."""

    @strawberry.field
    def user(self, id: strawberry.ID) -> User | None:  # noqa: A002 # the public name
        """Find one user."""
        return User(id=id)

    @strawberry.field
    def users(self, ids: list[strawberry.ID]) -> list[User | None]:
        """Find many users."""
        return [User(id=user) for user in ids]


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
    routes=[Route("/graphql", Gateway(strawberry.Schema(Query)))],
    lifespan=lifespan,
)
