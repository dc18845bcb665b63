"""Whether the process lives, and whether it can be sent requests.

Neither endpoint calls a source: a probe that did would take the gateway out of service for the
fault of one source, when it still has the answers of all others. It is the same with an identity
provider, once its keys were had. Until then no request could be answered, and a process that never
gets that far is not to take the place of one that has.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response

from app.sources.client import ServiceClient


class SourceHealth(BaseModel):
    """When a source last answered."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True)

    last_reached_at: datetime | None = Field(
        description="When an answer of it last arrived, whatever it was; null when none has."
    )
    last_status: int | None = Field(description="HTTP status of that answer.")
    circuit: str = Field(description="State of its circuit breaker: closed, open or half-open.")
    pace: str = Field(
        description="How fast it is asked, by its own word: free, slowed or paused; where callers"
        " are told apart, the slowest of them."
    )


class Readiness(BaseModel):
    """Whether the gateway can be sent requests."""

    model_config = ConfigDict(frozen=True)

    status: str = Field(
        description="`ready`, or `starting` until all clients are open, and the keys are there by"
        " which callers are known."
    )
    sources: dict[str, SourceHealth] = Field(description="The sources, by name.")


class Health:
    """The health endpoints."""

    def __init__(
        self,
        services: Callable[[], Sequence[ServiceClient] | None],
        knows_callers: Callable[[], bool],
    ) -> None:
        """Make them.

        Args:
            services: Finds the clients of the sources; ``None`` where they are not open.
            knows_callers: Tells whether callers can be known.
        """
        self._services = services
        self._knows_callers = knows_callers

    async def alive(self, _: Request) -> Response:
        """Say that the process serves requests."""
        return Response('{"status":"ok"}', media_type="application/json")

    async def ready(self, _: Request) -> Response:
        """Say whether requests can be answered, and when each source was last reached."""
        services = self._services()
        is_ready = services is not None and self._knows_callers()
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
