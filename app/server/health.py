"""The health endpoints: liveness and readiness.

The public port tells nothing of sources; the admin port does (``admin.py``).

Neither endpoint calls a source. If it did, one failing source would take the gateway out of
service, although the gateway can still answer from the other sources. The same holds for an
identity provider once its keys have been fetched. Until then no request can be answered, so the
process is not ready: a rollout must not replace a working process with it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response

from app.resilience.breaker import BreakerState
from app.resilience.pace import PaceState
from app.sources.client import LastContact


class WatchedService(Protocol):
    """What the health endpoints read of a source."""

    @property
    def name(self) -> str:
        """Name of the source."""
        ...

    @property
    def contact(self) -> LastContact | None:
        """The last response; ``None`` before the first."""
        ...

    @property
    def circuit(self) -> BreakerState:
        """State of the circuit breaker."""
        ...

    @property
    def pace_state(self) -> PaceState:
        """State of the rate pacing."""
        ...


class SourceHealth(BaseModel):
    """The state of one source, as this process has last seen it."""

    model_config = ConfigDict(
        defer_build=True, frozen=True, alias_generator=to_camel, validate_by_name=True
    )

    last_reached_at: datetime | None = Field(
        description="When its last response of any status arrived; null before the first one."
    )
    last_status: int | None = Field(
        description="HTTP status of that response; null for a source of a module."
    )
    circuit: str = Field(description="State of its circuit breaker: closed, open or half-open.")
    pace: str = Field(
        description="State of its rate pacing, by the source's own rate limits: free, slowed or"
        " paused; with several callers, the slowest state."
    )

    @property
    def badness(self) -> tuple[int, int, float]:
        """How bad the state is: a greater value is worse; of two equal ones, the later contact."""
        contact = 0.0 if self.last_reached_at is None else self.last_reached_at.timestamp()
        return _CIRCUITS.index(self.circuit), _PACES.index(self.pace), contact


_CIRCUITS = (BreakerState.CLOSED.value, BreakerState.HALF_OPEN.value, BreakerState.OPEN.value)
_PACES = (PaceState.FREE.value, PaceState.SLOWED.value, PaceState.PAUSED.value)


class Readiness(BaseModel):
    """Whether the gateway can answer requests."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    status: str = Field(
        description="`ready`; `starting` until the clients of all sources are open and the keys to"
        " verify tokens are there; or `draining` if the gateway is about to end."
    )
    sources: dict[str, SourceHealth] = Field(description="The state of each source, by its name.")

    @classmethod
    def of(
        cls, *, is_ready: bool, sources: dict[str, SourceHealth], is_draining: bool = False
    ) -> Self:
        """Make the readiness.

        Args:
            is_ready: Whether requests can be answered.
            sources: The state of each source.
            is_draining: Whether the gateway is about to end.

        Returns:
            The readiness.
        """
        status = DRAINING if is_draining else READY if is_ready else "starting"
        return cls(status=status, sources=sources)

    @property
    def is_ready(self) -> bool:
        """Whether requests can be answered."""
        return self.status == READY


READY = "ready"
DRAINING = "draining"


class Health:
    """The health endpoints."""

    def __init__(
        self,
        services: Callable[[], Sequence[WatchedService] | None],
        can_authenticate: Callable[[], bool],
        is_draining: Callable[[], bool],
    ) -> None:
        """Set up the endpoints.

        Args:
            services: Returns the clients of the sources; ``None`` while they are not open.
            can_authenticate: Returns whether callers can be authenticated.
            is_draining: Returns whether the gateway is about to end.
        """
        self._services = services
        self._can_authenticate = can_authenticate
        self._is_draining = is_draining

    async def alive(self, _: Request) -> Response:
        """Answer the liveness probe.

        Returns:
            A response with status 200.
        """
        return Response('{"status":"ok"}', media_type="application/json")

    async def ready(self, _: Request) -> Response:
        """Answer the readiness probe.

        Returns:
            Its status as JSON, with status 200 if the gateway is ready, else 503. It tells nothing
            of the sources.
        """
        return readiness_response(self.readiness(), with_sources=False)

    def readiness(self) -> Readiness:
        """Return whether the gateway can answer requests, and the states of its sources.

        Returns:
            The readiness of this process.
        """
        services = self._services()
        return Readiness.of(
            is_ready=services is not None and self._can_authenticate(),
            is_draining=self._is_draining(),
            sources={
                service.name: SourceHealth(
                    last_reached_at=service.contact.at if service.contact else None,
                    last_status=service.contact.status if service.contact else None,
                    circuit=service.circuit.value,
                    pace=service.pace_state.value,
                )
                for service in services or ()
            },
        )


def readiness_response(readiness: Readiness, *, with_sources: bool) -> Response:
    """Make the response of a readiness probe.

    Args:
        readiness: The readiness.
        with_sources: Whether the response has the states of sources.

    Returns:
        JSON, with status 200 if the gateway is ready, else 503.
    """
    body = readiness.model_dump_json(by_alias=True, include=None if with_sources else {"status"})
    return Response(body, 200 if readiness.is_ready else 503, media_type="application/json")
