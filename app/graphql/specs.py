"""The sources that ``User`` reads, as data: found without making the whole schema."""

from collections.abc import Mapping
from typing import Any

from strawberry.types.base import get_object_definition

from app.graphql.fields import readings
from app.graphql.user import User
from app.sources.base import SourceSpec


def specs() -> Mapping[str, SourceSpec[Any]]:
    """List the sources that ``User`` reads.

    Returns:
        Each by its name, in the order of the fields.
    """
    read = readings(get_object_definition(User, strict=True), lambda field: field.python_name)
    return {one.spec.name: one.spec for one in read.values()}
