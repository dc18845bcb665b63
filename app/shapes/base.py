"""What all shapes have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0.001, le=3600, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class Shape(BaseModel):
    """Base of all shapes: they never change, and nothing unknown is passed over."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
