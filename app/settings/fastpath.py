"""Settings of the fast paths. Each gives the same results as the reference path for less CPU."""

from pydantic import Field

from app.settings.base import SettingsModel


class FastpathSettings(SettingsModel):
    """The fast paths. With all of them off, every feature still works, but needs more CPU."""

    enabled: bool = Field(
        default=True,
        description="Whether fast paths are used at all; `false` switches all of them off.",
    )
    compiled: bool = Field(
        default=True,
        description="Whether compiled functions render operations that they support, instead of"
        " Strawberry's executor.",
    )
    kept_users: bool = Field(
        default=True,
        description="Whether the JSON of users is kept as long as the cache has the same records of"
        " all their sources. Only compiled functions do this.",
    )
    rows: bool = Field(
        default=True,
        description="Whether msgspec decodes the responses of services; Python's `json` and"
        " pydantic decode only what msgspec rejects.",
    )
    expressions: bool = Field(
        default=True,
        description="Whether the expressions of a source are compiled to one Python function;"
        " JMESPath's interpreter evaluates only what that function does not cover.",
    )
    wire: bool = Field(
        default=True,
        description="Whether the gateway writes requests to services itself, instead of"
        " `httpx.AsyncClient`.",
    )
    store: bool = Field(
        default=True,
        description="Whether the gateway itself reads the replies of the shared store, instead of"
        " redis-py.",
    )
    responses: bool = Field(
        default=True,
        description="Whether the gateway writes most responses itself, with one call, instead of"
        " uvicorn.",
    )
    route: bool = Field(
        default=True,
        description="Whether requests for `/graphql` skip Starlette's routing.",
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
