"""The gateway's application as tests make it: its default schema is built once for all of them."""

import random
from collections import deque
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

from starlette.applications import Starlette
from structlog.typing import FilteringBoundLogger

from app.auth.callers import Authenticate
from app.execution.schema import GatewaySchema, build_schema, schema_for
from app.main import create_app
from app.observability.telemetry import Telemetry
from app.resilience.clock import Clock
from app.resilience.retry import Chance
from app.server.control import ControlAddress
from app.settings.models import Settings
from app.settings.public_schema import SchemaSettings
from app.settings.source import SourceSettings
from app.transport.transport import TransportFactory

MOST = 8
"""How many schemas of files are kept."""


def make_app(
    settings: Settings,
    log: FilteringBoundLogger,
    *,
    clock: Clock | None = None,
    chance: Chance = random.random,
    transports: TransportFactory | None = None,
    authenticate: Authenticate | None = None,
    telemetry: Telemetry | None = None,
    control: ControlAddress | None = None,
) -> Starlette:
    """Make the application by ``create_app``.

    Most of the time that this takes is for the schema. So a schema is built once for all tests of a
    process that have the same settings of it: nothing writes into it.

    Args:
        settings: All settings.
        log: The log.
        clock: The clock; the system's by default.
        chance: Returns random numbers between 0 and 1.
        transports: Makes the transport to each service.
        authenticate: Returns the caller of a request.
        telemetry: What the gateway measures with.
        control: Where its supervisor listens.

    Returns:
        The application.
    """
    if settings.public_schema == SchemaSettings() and not settings.user:
        schema, used = _default(security_directives=settings.has_security_directives), settings
    else:
        schema, used = _built().of(settings)
    return create_app(
        used,
        log,
        clock=clock,
        chance=chance,
        transports=transports,
        schema=schema,
        authenticate=authenticate,
        telemetry=telemetry,
        control=control,
        version_of=_installed,
    )


class _BuiltSchemas:
    """The schemas that were built last, by all that ``schema_for`` reads."""

    def __init__(self) -> None:
        self._built: deque[tuple[object, GatewaySchema, Mapping[str, SourceSettings]]] = deque(
            maxlen=MOST
        )

    def of(self, settings: Settings) -> tuple[GatewaySchema, Settings]:
        """Return the schema, and the settings with the expressions of its fields."""
        tables = (settings.public_schema, settings.user, settings.types, settings.enums)
        # Real servers are somewhere else in each test, and the schema does not depend on it.
        anywhere = _with_addresses(settings.sources, {})
        key = (tables, anywhere, settings.has_security_directives)
        for known, schema, sources in self._built:
            if known == key:
                there = _with_addresses(sources, settings.sources)
                return schema, settings.model_copy(update={"sources": there})
        schema, used = schema_for(settings)
        if settings.public_schema.module is None:  # a test may write its module anew
            self._built.appendleft((key, schema, used.sources))
        return schema, used


def _with_addresses(
    sources: Mapping[str, SourceSettings], addresses: Mapping[str, SourceSettings]
) -> Mapping[str, SourceSettings]:
    """Give sources the addresses that others of their names have, and the rest none."""
    there = {name: one.base_url for name, one in addresses.items()}
    return {
        name: one.model_copy(update={"base_url": there.get(name)}) for name, one in sources.items()
    }


@cache
def _built() -> _BuiltSchemas:
    """Return those of this process."""
    return _BuiltSchemas()


@cache
def _default(*, security_directives: bool) -> GatewaySchema:
    """Build the default schema."""
    return build_schema(security_directives=security_directives)


@cache
def _installed(package: str) -> str:
    """Return the version of a package, which stays what it is."""
    return version(package)
