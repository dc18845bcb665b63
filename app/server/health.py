"""The health endpoints: liveness and readiness.

Neither endpoint calls a source. If it did, one failing source would take the gateway out of
service, although the gateway can still answer from the other sources. The same holds for an
identity provider once its keys have been fetched. Until then no request can be answered, so the
process is not ready: a rollout must not replace a working process with it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

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

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True)

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


class Readiness(BaseModel):
    """Whether the gateway can answer requests."""

    model_config = ConfigDict(frozen=True)

    status: str = Field(
        description="`ready`; or `starting` until the clients of all sources are open and the keys"
        " to verify tokens are there."
    )
    sources: dict[str, SourceHealth] = Field(description="The state of each source, by its name.")


class Health:
    """The health endpoints."""

    def __init__(
        self,
        services: Callable[[], Sequence[WatchedService] | None],
        can_authenticate: Callable[[], bool],
    ) -> None:
        """Set up the endpoints.

        Args:
            services: Returns the clients of the sources; ``None`` while they are not open.
            can_authenticate: Returns whether callers can be authenticated.
        """
        self._services = services
        self._can_authenticate = can_authenticate

    async def alive(self, _: Request) -> Response:
        """Answer the liveness probe.

        Returns:
            A response with status 200.
        """
        return Response('{"status":"ok"}', media_type="application/json")

    async def ready(self, _: Request) -> Response:
        """Answer the readiness probe.

        Returns:
            The ``Readiness`` as JSON, with status 200 if the gateway is ready, else 503.
        """
        services = self._services()
        is_ready = services is not None and self._can_authenticate()
        readiness = Readiness(
            status="ready" if is_ready else "starting",
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
        return Response(
            readiness.model_dump_json(by_alias=True),
            200 if is_ready else 503,
            media_type="application/json",
        )
