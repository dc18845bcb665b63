"""Where the gateway listens, for programs that need no other setting."""

from collections.abc import Mapping

from pydantic import BaseModel, Field

HOST = "127.0.0.1"
"""The default address of the gateway, and of its admin port."""

PORT = 8000
"""The default port of the gateway."""


class ListeningAdmin(BaseModel):
    """Where the admin port is."""

    port: int | None = Field(default=None, description="Its port; `None` if there is none.")
    host: str = Field(default=HOST, description="Its address.")


class ListeningSettings(BaseModel):
    """The settings that say where a gateway listens. All others may be wrong."""

    host: str = Field(default=HOST, description="Its address.")
    port: int = Field(default=PORT, description="Its port.")
    tls: Mapping[str, object] | None = Field(
        default=None, description="Its certificate; `None` if it uses http."
    )
    admin: ListeningAdmin = Field(default=ListeningAdmin(), description="Its admin port.")
