"""The three services: profile, billing and activity, each over one SQLite file."""

import sqlite3
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.demo.answers import http_problem, server_problem
from app.demo.collection import Collection, collection_routes
from app.demo.database import ACTIVITY_FILE, BILLING_FILE, PROFILE_FILE, reading
from app.demo.invoices import invoice_routes
from app.demo.request_id import EchoRequestId

_USERS = Collection(
    path="/users",
    parameter="id",
    select="SELECT body FROM users WHERE id IN (SELECT value FROM json_each(?))",
)
_ACCOUNTS = Collection(
    path="/accounts",
    parameter="userId",
    select="SELECT body FROM accounts WHERE id IN (SELECT value FROM json_each(?))",
)
_SUMMARIES = Collection(
    path="/summaries",
    parameter="userId",
    select="SELECT body FROM summaries WHERE id IN (SELECT value FROM json_each(?))",
)


@dataclass(frozen=True, slots=True)
class DemoServices:
    """The three applications, ready to be asked.

    Attributes:
        profile: Answers `/users`.
        billing: Answers `/accounts` and `/invoices`.
        activity: Answers `/summaries`.
    """

    profile: ASGIApp
    billing: ASGIApp
    activity: ASGIApp


@contextmanager
def demo_services(folder: Path) -> Generator[DemoServices]:
    """The three applications over a folder that `database.build` or `data_folder` has filled.

    Each has its own connection, open until the end of the context and used in the thread that
    entered it. The applications need no lifespan, so a test mounts one as it is:
    `httpx.AsyncClient(transport=httpx.ASGITransport(services.profile), base_url="http://profile")`.

    Raises:
        DemoError: A file isn't there.
    """
    with ExitStack() as stack:
        profile = stack.enter_context(reading(folder / PROFILE_FILE))
        billing = stack.enter_context(reading(folder / BILLING_FILE))
        activity = stack.enter_context(reading(folder / ACTIVITY_FILE))
        yield DemoServices(
            profile=profile_service(profile),
            billing=billing_service(billing),
            activity=activity_service(activity),
        )


def profile_service(connection: sqlite3.Connection) -> Starlette:
    """Who users are, over an open connection."""
    return _service(collection_routes(connection, _USERS))


def billing_service(connection: sqlite3.Connection) -> Starlette:
    """What users pay, over an open connection."""
    return _service(collection_routes(connection, _ACCOUNTS) + invoice_routes(connection))


def activity_service(connection: sqlite3.Connection) -> Starlette:
    """What users do, over an open connection."""
    return _service(collection_routes(connection, _SUMMARIES))


def _service(routes: list[Route]) -> Starlette:
    """What every service has beside its routes."""
    return Starlette(
        routes=[Route("/healthz", _healthz), *routes],
        middleware=[Middleware(EchoRequestId)],
        exception_handlers={HTTPException: http_problem, Exception: server_problem},
    )


async def _healthz(_request: Request) -> Response:
    """The process lives and serves."""
    return Response(b'{"status":"ok"}', media_type="application/json")
