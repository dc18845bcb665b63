"""The gateway's application as tests make it: its default schema is built once for all of them."""

import random
from functools import cache
from importlib.metadata import version

from starlette.applications import Starlette
from structlog.typing import FilteringBoundLogger

from app.auth.authentication import Authenticate
from app.execution.schema import GatewaySchema, build_schema
from app.main import create_app
from app.resilience.clock import Clock
from app.resilience.retry import Chance
from app.settings.models import Settings
from app.settings.public_schema import SchemaSettings
from app.transport.transport import TransportFactory


def make_app(
    settings: Settings,
    log: FilteringBoundLogger,
    *,
    clock: Clock | None = None,
    chance: Chance = random.random,
    transports: TransportFactory | None = None,
    authenticate: Authenticate | None = None,
) -> Starlette:
    """Make the application by ``create_app``.

    Most of the time that this takes is for the schema. So the default schema is built once for all
    tests of a process: nothing writes into it.

    Args:
        settings: All settings.
        log: The log.
        clock: The clock; the system's by default.
        chance: Returns random numbers between 0 and 1.
        transports: Makes the transport to each service.
        authenticate: Returns the caller of a request.

    Returns:
        The application.
    """
    is_default = settings.public_schema == SchemaSettings() and not settings.user
    return create_app(
        settings,
        log,
        clock=clock,
        chance=chance,
        transports=transports,
        schema=_built(security_directives=settings.has_security_directives) if is_default else None,
        authenticate=authenticate,
        version_of=_installed,
    )


@cache
def _built(*, security_directives: bool) -> GatewaySchema:
    """Build the default schema."""
    return build_schema(security_directives=security_directives)


@cache
def _installed(package: str) -> str:
    """Return the version of a package, which stays what it is."""
    return version(package)
