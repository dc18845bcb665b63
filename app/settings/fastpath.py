"""Which fast paths are on: replacements of single parts that give the same results for less CPU."""

from pydantic import Field

from app.settings.base import SettingsModel


class FastpathSettings(SettingsModel):
    """The fast paths. With all of them off, every feature works, for more CPU."""

    enabled: bool = Field(
        default=True,
        description="Whether fast paths are used at all; `false` switches all of them off.",
    )
    compiled: bool = Field(
        default=True,
        description="Whether everyday operations are rendered by compiled functions rather than by"
        " Strawberry's executor.",
    )
    rows: bool = Field(
        default=True,
        description="Whether rows of the default contract are read by msgspec, and by pydantic only"
        " where that turns one down.",
    )
    wire: bool = Field(
        default=True,
        description="Whether requests to services are written to their connections by ourselves,"
        " rather than by `httpx.AsyncClient`.",
    )
    responses: bool = Field(
        default=True,
        description="Whether everyday responses are written by one call, rather than by uvicorn.",
    )
    route: bool = Field(
        default=True,
        description="Whether requests for `/graphql` are led past Starlette's routing.",
    )

    def uses(self, name: str) -> bool:
        """Return whether a fast path is on.

        Args:
            name: The name of its setting.

        Returns:
            Whether it is on, and fast paths are enabled.

        Raises:
            AttributeError: There is no such fast path.
        """
        return self.enabled and bool(getattr(self, name))
