"""Explaining what each source would be asked for an operation, and which pages after that."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError
from graphql.execution.values import VariableValues, get_argument_values

from app.errors import BadUserInputError
from app.execution.plan import PlannedField, PlannedRoot, UserSelection
from app.graphql.connection import page_request
from app.graphql.explanation import (
    PagesExplanation,
    SourceExplanation,
)
from app.graphql.resolvers import DEFAULT_FIRST
from app.graphql.schema import GatewaySchema
from app.shapes.key_from import KeyFromSettings
from app.sources.base import PageRequest, PageSpec, SourceSpec, UserId
from app.sources.endpoint import Endpoint
from app.sources.endpoints import foreign_of
from app.sources.form import Asks
from app.sources.forms import form_of
from app.sources.selector import Selector


@dataclass(frozen=True, slots=True)
class ExplainedGroup:
    """Users of one root field of whom the caller sees the same, as they are explained.

    Attributes:
        root: The root field.
        selection: What it selects of them; ``None`` where it gives no users.
        keys: The users that are known and right.
        count: How many it names of them, the wrong ones included; ``None`` while that is unknown.
        is_own: Whether they are the caller itself.
    """

    root: PlannedRoot
    selection: UserSelection | None
    keys: Sequence[UserId]
    count: int | None
    is_own: bool = False

    @property
    def fields(self) -> Sequence[PlannedField]:
        """The fields that the caller sees of them."""
        fields = () if self.selection is None else self.selection.fields
        return [one for one in fields if not one.hidden]

    def asks(self, source: str) -> bool:
        """Tell whether a source is asked about them, be it only for keys."""
        named = self.keys or self.root.missing
        return self.selection is not None and source in self.selection.needs.needed and bool(named)


class SourcesExplainer:
    """Explains what sources are asked. Shared by all requests."""

    def __init__(
        self,
        schema: GatewaySchema,
        endpoints: Mapping[str, Sequence[Endpoint[Any]]],
        keys: Mapping[str, KeyFromSettings],
    ) -> None:
        self._user = schema.user
        self._readings = schema.readings
        self._endpoints = endpoints
        self._keys = keys
        self._key_from = {name: one.source for name, one in keys.items()}

    def explain(
        self, groups: Sequence[ExplainedGroup], variables: VariableValues
    ) -> tuple[SourceExplanation, ...]:
        """Explain what the sources are asked; a source is asked once for all fields.

        Args:
            groups: The users of the operation.
            variables: Values of its variables, coerced.

        Returns:
            One for each source that is asked.
        """
        every = [one for several in self._endpoints.values() for one in several]
        asking = [(one, [group for group in groups if group.asks(one.spec.name)]) for one in every]
        return tuple(self._source(one, those, variables) for one, those in asking if those)

    def _source(
        self, endpoint: Endpoint[Any], groups: Sequence[ExplainedGroup], variables: VariableValues
    ) -> SourceExplanation:
        """Explain what one source is asked about some users."""
        selects: tuple[str, ...] | None = None
        name = endpoint.spec.name
        if endpoint.selects:
            selector = Selector(endpoint, foreign_of(name, self._keys))
            selections = [group.selection for group in groups if group.selection is not None]
            wanted = frozenset[str]().union(*(one.needs.fields[name] for one in selections))
            selects, endpoint = selector.names(wanted), selector.narrowed(wanted)
        spec, settings = endpoint.spec, endpoint.settings
        form = form_of(spec, settings)
        users = tuple(dict.fromkeys(key for group in groups for key in group.keys))
        key_from = self._key_from.get(name)
        # What the keys are is told at run time, where they are another source's.
        asks = form.asks(users) if key_from is None else Asks((), ())
        unknown = [one.root.selection.name for one in groups if one.root.missing]
        count = 1 if unknown == ["user"] and not users else len(users)  # one user, whoever it is
        batches: tuple[int, ...] | None = None
        if not unknown or (unknown == ["user"] and not users):
            batches = (
                tuple(len(ask.keys) for ask in asks.sent)
                if users and key_from is None
                else _split(count, form.max_keys)
            )
        return SourceExplanation(
            name=spec.name,
            form=form.request.form,
            method=form.method,
            path=form.request.path,
            parameter=form.parameter,
            key_from=key_from,
            selects=selects,
            keys=tuple(key for ask in asks.sent for key in ask.keys),
            not_written=tuple(asks.refused),
            more_at_run_time=bool(unknown),
            batches=batches,
            calls=None if batches is None else len(batches),
            pages=tuple(
                PagesExplanation(
                    path=pages.path,
                    parameter=pages.parameter,
                    calls=None if requests is None else len(requests),
                    at_a_time=settings.max_concurrent_pages,
                )
                for pages, requests in self._pages(spec, groups, variables).items()
            ),
            at_a_time=form.at_a_time,
            max_keys=form.max_keys,
            max_url_bytes=settings.max_url_bytes,
            max_body_bytes=form.max_body_bytes,
            cached=settings.cache.enabled,
        )

    def _pages(
        self, spec: SourceSpec[Any], groups: Sequence[ExplainedGroup], variables: VariableValues
    ) -> Mapping[PageSpec[Any], set[PageRequest] | None]:
        """Find the pages that are asked for; ``None`` where that is known at run time."""
        found: dict[PageSpec[Any], set[PageRequest] | None] = {}
        for group in groups:
            for field in group.fields:
                reading = self._readings.get(field.name)
                if reading is None or reading.pages is None or spec.name not in field.sources:
                    continue
                requests = found.setdefault(reading.pages, set())
                if requests is None or group.root.missing:
                    found[reading.pages] = None
                else:
                    requests |= self._page_requests(field, group.keys, variables)
        return found

    def _page_requests(
        self, field: PlannedField, keys: Iterable[UserId], variables: VariableValues
    ) -> set[PageRequest]:
        """Find the pages that a field asks for; none where its arguments are wrong."""
        requests: set[PageRequest] = set()
        for key in keys:
            try:
                definition = self._user.fields[field.name]
                arguments = get_argument_values(definition, field.nodes[0], variables)
                first = arguments.get("first")
                size = DEFAULT_FIRST if first is None else first
                requests.add(page_request(key, size, arguments.get("after")))
            except (BadUserInputError, GraphQLError):
                continue  # a run tells it at that user's field, and asks for no page
        return requests


def _split(number: int, most: int) -> tuple[int, ...]:
    """Split a number into as few as may be, of which none is more than ``most``."""
    whole, rest = divmod(number, most)
    return (most,) * whole + ((rest,) if rest else ())
