"""One of several endpoints that give the fields of one record, as data."""

import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from app.shapes.answer import AnswerSettings, ExpressionText, FieldName
from app.shapes.base import Shape
from app.shapes.request import RequestSettings


def _check_name(name: str) -> str:
    """Accept a name that stands in logs and in names of variables.

    Args:
        name: The name.

    Returns:
        The same.

    Raises:
        ValueError: It has other characters.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ValueError("expected small letters, digits and _, such as latest_invoice")
    return name


EndpointName: TypeAlias = Annotated[str, AfterValidator(_check_name)]


class EndpointSettings(Shape):
    """How one endpoint of a service is asked, and which of the record's fields it gives."""

    request: RequestSettings = Field(description="How it is asked for users.")
    answer: AnswerSettings | None = Field(
        default=None,
        description="How its answers are read; as the default contract has it when absent.",
    )
    fields: Annotated[Mapping[FieldName, ExpressionText], Field(min_length=1)] = Field(
        description="The fields of the record that it gives: an expression (JMESPath) for each.",
        examples=[{"balance": "money_minor(due, currency)"}],
    )


Endpoints: TypeAlias = Mapping[EndpointName, EndpointSettings]
"""The endpoints of a service, by name. The first is asked where a user's existence is all that
matters."""
