"""What is asked by itself: a source, or one of several endpoints that give one record."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from app.shapes.source import SourceSettings
from app.sources.base import FieldSet, Record, SourceSpec

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[R]):
    """What is asked by itself.

    Attributes:
        spec: Its name, and the record of the fields that it gives.
        settings: How it is asked and read; all else is its service's.
    """

    spec: SourceSpec[R]
    settings: SourceSettings

    @property
    def selects(self) -> bool:
        """Whether it can be asked for fewer fields than it gives."""
        request = self.settings.request
        return request is not None and request.select is not None

    @property
    def gives(self) -> FieldSet:
        """The fields of the record that it gives, but for the key, which all have."""
        return frozenset(self.spec.record.model_fields) - {self.spec.key}
