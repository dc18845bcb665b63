"""Slowness and failures on purpose: their names on the command line, and the middleware."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import click
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.demo.responses import problem


class SourceName(StrEnum):
    """One of the three services."""

    PROFILE = "profile"
    BILLING = "billing"
    ACTIVITY = "activity"


class FaultKind(StrEnum):
    """A failure that is not merely a status."""

    TIMEOUT = "timeout"
    """Requests hang until the caller goes."""

    MALFORMED = "malformed"
    """200 with JSON that is not the contract."""

    REFUSE = "refuse"
    """Nothing listens on the service's port."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How much later a service answers.

    Attributes:
        source: Which service.
        seconds: Added before each answer.
    """

    source: SourceName
    seconds: float


@dataclass(frozen=True, slots=True)
class Fault:
    """How a service fails.

    Attributes:
        source: Which service.
        effect: A status from 400 to 599, or another kind of failure.
    """

    source: SourceName
    effect: int | FaultKind


class SlowMiddleware:
    """Waits before each request is served.

    Args:
        app: The application to wrap.
        seconds: How long.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request late, or the lifespan as it is."""
        if scope["type"] == "http":
            await asyncio.sleep(self._seconds)
        await self._app(scope, receive, send)


class FaultMiddleware:
    """Fails each request; the application is reached by the lifespan only.

    Args:
        app: The application to wrap.
        effect: How to fail. `FaultKind.REFUSE` is not for here: a middleware has already been
            connected to.
    """

    def __init__(self, app: ASGIApp, effect: int | FaultKind) -> None:
        self._app = app
        self._effect = effect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Fail one request, or serve the lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._effect is FaultKind.TIMEOUT:
            while (await receive())["type"] != "http.disconnect":
                pass
        elif isinstance(self._effect, FaultKind):
            malformed = Response(b'{"rows":"on the next page"}', media_type="application/json")
            await malformed(scope, receive, send)
        else:
            failed = problem(self._effect, "the demo was told to fail")
            await failed(scope, receive, send)


_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_MOST_SECONDS = 600.0
_STATUS = re.compile(r"[45][0-9]{2}")

_OfSource = TypeVar("_OfSource", Latency, Fault)


Port = Annotated[int, Field(ge=0, le=65535)]


class DemoOptions(BaseModel):
    """What the person who starts the demo may choose."""

    model_config = ConfigDict(frozen=True)

    host: str = Field(default="127.0.0.1", description="The address that all servers listen on.")
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        description="The gateway's port, or the next free one; 0 takes any for all servers.",
    )
    data: Path | None = Field(
        default=None, description="A folder to keep the data in; none for a temporary one."
    )
    latency: tuple[Latency, ...] = Field(default=(), description="Slow services, one each.")
    faults: tuple[Fault, ...] = Field(default=(), description="Failing services, one each.")
    ports: tuple[Port, Port, Port] | None = Field(
        default=None,
        description="The ports of profile, billing and activity, or the next free ones; 0 takes"
        " any. By default 8001 to 8003, or any if the gateway takes any.",
    )
    sources_only: bool = Field(default=False, description="Run the services, not the gateway.")

    @property
    def service_ports(self) -> Mapping[SourceName, int]:
        """The wanted port of each service."""
        usual = (8001, 8002, 8003) if self.port else (0, 0, 0)
        return dict(zip(SourceName, self.ports or usual, strict=True))


class PortsType(click.ParamType[tuple[int, int, int]]):
    """`9001,9002,9003`: the ports of profile, billing and activity."""

    name = "port,port,port"

    def convert(
        self,
        value: str | tuple[int, int, int],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[int, int, int]:
        """The ports that were written.

        Raises:
            click.BadParameter: They are not three ports.
        """
        if isinstance(value, tuple):
            return value
        try:
            return _PORTS.validate_python(value.split(","))
        except ValidationError:
            expected = "write one for each of profile, billing and activity, as 9001,9002,9003"
            self.fail(f"{value!r} is not three ports from 0 to 65535: {expected}", param, ctx)


_PORTS: TypeAdapter[tuple[int, int, int]] = TypeAdapter(tuple[Port, Port, Port])

ports_option = click.option(
    "--ports",
    type=PortsType(),
    help="Ports of profile, billing and activity, or the next free ones; 0 for any."
    "  [default: 8001,8002,8003]",
)
"""The command line's `--ports`; it gives three ports, or None."""


class LatencyType(click.ParamType[Latency]):
    """`billing=300ms`: a source and a duration in ms or s."""

    name = "source=duration"

    def convert(
        self, value: str | Latency, param: click.Parameter | None, ctx: click.Context | None
    ) -> Latency:
        """The latency that was written.

        Raises:
            click.BadParameter: It names no source or no duration of up to ten minutes.
        """
        if isinstance(value, Latency):
            return value
        source, duration = _split(value, "billing=300ms", param, ctx)
        match = _DURATION.fullmatch(duration)
        if match is None:
            right = f"{duration}ms or {duration}s" if _NUMBER.fullmatch(duration) else "300ms or 2s"
            self.fail(f"{duration!r} is not a duration with its unit: write {right}", param, ctx)
        number, unit = match.groups()
        seconds = float(number) / 1000 if unit == "ms" else float(number)
        if seconds > _MOST_SECONDS:
            self.fail(f"{duration!r} is longer than {_MOST_SECONDS:.0f}s", param, ctx)
        return Latency(source=source, seconds=seconds)


class FaultType(click.ParamType[Fault]):
    """`activity=503`: a source and how it fails."""

    name = "source=fault"

    def convert(
        self, value: str | Fault, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fault:
        """The fault that was written.

        Raises:
            click.BadParameter: It names no source or no fault.
        """
        if isinstance(value, Fault):
            return value
        source, effect = _split(value, "activity=503", param, ctx)
        if _STATUS.fullmatch(effect):
            return Fault(source=source, effect=int(effect))
        try:
            return Fault(source=source, effect=FaultKind(effect))
        except ValueError:
            *kinds, last = FaultKind
            allowed = f"a status from 400 to 599, {', '.join(kinds)} or {last}"
            self.fail(f"{effect!r} is not a fault: use {allowed}", param, ctx)


def one_per_source(
    ctx: click.Context, param: click.Parameter, values: tuple[_OfSource, ...]
) -> tuple[_OfSource, ...]:
    """A click callback for a repeatable option that each source may have once.

    Raises:
        click.BadParameter: A source has two values.
    """
    named = [value.source for value in values]
    for source in SourceName:
        if named.count(source) > 1:
            raise click.BadParameter(f"{source} has more than one value", ctx=ctx, param=param)
    return values


latency_option = click.option(
    "--latency",
    type=LatencyType(),
    multiple=True,
    callback=one_per_source,
    help="Make a source slower, as billing=300ms. Repeatable.",
)
"""The command line's `--latency`; it gives a `tuple[Latency, ...]`."""

fail_option = click.option(
    "--fail",
    "faults",
    type=FaultType(),
    multiple=True,
    callback=one_per_source,
    help="Make a source fail, as activity=503. A status from 400 to 599, "
    "timeout, malformed or refuse. Repeatable.",
)
"""The command line's `--fail`; it gives a `tuple[Fault, ...]` named `faults`."""


def _split(
    value: str, example: str, param: click.Parameter | None, ctx: click.Context | None
) -> tuple[SourceName, str]:
    """The source before the equals sign, and the text after it."""
    source, equals, rest = value.partition("=")
    if not equals:
        raise click.BadParameter(
            f"{value!r} has no '=': write it as {example}", ctx=ctx, param=param
        )
    try:
        return SourceName(source), rest
    except ValueError:
        raise click.BadParameter(
            f"{source!r} is not a source: use one of {', '.join(SourceName)}", ctx=ctx, param=param
        ) from None
