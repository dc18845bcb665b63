"""How long a client may take, and how much it may send before it is understood, as settings.

All are on by default: whoever opens connections and then says nothing, or says it byte by byte,
costs the gateway memory that others need.
"""

from typing import Annotated

from pydantic import Field

from app.shapes.base import Shape

Patience = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]


class ConnectionSettings(Shape):
    """The connections of clients, in each process that `serve` runs."""

    head_timeout: Patience = Field(
        default=10.0,
        description="Seconds in which the head of a request has to be there, from its first byte,"
        " or from when the connection is open; 0 for no limit, as with all of these but"
        " `idle_timeout`.",
    )
    body_timeout: Patience = Field(
        default=30.0, description="Seconds in which its body has to be there, from first to last."
    )
    write_timeout: Patience = Field(
        default=30.0, description="Seconds for which a client may take nothing of its answer."
    )
    idle_timeout: int = Field(
        default=75,
        ge=1,
        le=3600,
        description="Whole seconds that an idle connection is kept for the next request: longer"
        " than a proxy in front keeps it, or that now and then finds it closed.",
    )
    max_connections: int = Field(
        default=10_000,
        ge=0,
        le=1_000_000,
        description="Most connections that are open at the same time; more are told to come back.",
    )
    max_url_bytes: int = Field(
        default=16_384, ge=0, le=1_048_576, description="Longest path and query of a request."
    )
    max_headers: int = Field(default=100, ge=0, le=10_000, description="Most headers of a request.")
    max_head_bytes: int = Field(
        default=32_768,
        ge=0,
        le=1_048_576,
        description="Longest headers of a request, all names and values together.",
    )
