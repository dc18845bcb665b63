"""Which fast paths are on: replacements of single parts that give the same results for less CPU."""

from pydantic import Field

from app.shapes.base import Shape


class FastpathSettings(Shape):
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

    @property
    def sends_by_wire(self) -> bool:
        """Whether requests to services are written by ourselves."""
        return self.enabled and self.wire

    @property
    def decodes_rows(self) -> bool:
        """Whether rows are read by msgspec first."""
        return self.enabled and self.rows

    @property
    def compiles(self) -> bool:
        """Whether everyday operations are rendered by compiled functions."""
        return self.enabled and self.compiled
