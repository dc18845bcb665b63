"""What all shapes have in common."""

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """Base of all shapes: they never change, and nothing unknown is passed over."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
