"""Explains the calls to sources that an operation would make: how many, with which keys and fields.

It is not async, since it waits for nothing: nothing is called.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from graphql import GraphQLError
from graphql.execution.values import VariableValues, get_argument_values
from msgspec import Struct

from app.errors import BadUserInputError
from app.execution.explanation import PagesExplanation, SourceExplanation
from app.execution.plan import Lookup, PlannedField, PlannedRoot, SourceNeeds, UserSelection
from app.execution.schema import GatewaySchema
from app.schema.connection import page_request
from app.schema.definitions import DEFAULT_FIRST, UserField
from app.settings.source import OWN_ADDRESS, KeyFromSettings, SourceSettings
from app.sources.base import PageRequest, PageSpec, SourceSpec, UserId
from app.sources.division import divided
from app.sources.endpoints import foreign_of, sources_of_keys
from app.sources.field_selection import Selector
from app.sources.lists.building import PageBuilder, PageRules
from app.sources.lists.contract import settings_of
from app.sources.lists.requests import ListEncoder
from app.sources.mapping.requests import EncodedRequests, UpstreamRequest, encoder_of
from app.sources.records_in_parts import Endpoint


class ExplainedGroup(Struct, frozen=True):
    """Users of one root field, of which the caller may see the same fields.

    Attributes:
        root: The root field.
        selection: The selection for these users; ``None`` if the field returns no users.
        keys: The known and valid users.
        count: How many users there are, invalid keys included; ``None`` if that is unknown.
        is_own: Whether they are the caller itself.
    """

    root: PlannedRoot
    selection: UserSelection | None
    keys: Sequence[UserId]
    count: int | None
    is_own: bool = False

    @property
    def fields(self) -> Sequence[PlannedField]:
        """The fields that the caller may see."""
        fields = () if self.selection is None else self.selection.fields
        return [one for one in fields if not one.hidden]

    def asks(self, source: str) -> bool:
        """Return whether a source is asked about these users, for fields or only for keys.

        Args:
            source: The name of the source.

        Returns:
            Whether it is asked.
        """
        named = self.keys or self.root.is_open
        return self.selection is not None and source in self.selection.needs.needed and bool(named)


def explained_groups(root: PlannedRoot) -> Sequence[ExplainedGroup]:
    """Group the users of a root field for the explanation.

    Args:
        root: The root field.

    Returns:
        One group for each selection, the caller itself first. Keys that are invalid or not known
        yet are counted with the other users.
    """
    own = [group for group in root.groups if group.is_own]
    groups = [
        ExplainedGroup(root, one.selection, one.keys, len(one.keys), is_own=True) for one in own
    ]
    own_count = sum(len(one.keys) for one in own)
    if own and root.count == own_count:
        return groups
    others = [key for group in root.groups if not group.is_own for key in group.keys]
    count = None if root.count is None else root.count - own_count
    return [*groups, ExplainedGroup(root, root.selection.others, others, count)]


class _CallForm(Struct, frozen=True):
    """How a source is asked: by HTTP requests, or by calls to a module.

    Attributes:
        endpoint: The source.
        form: The form of the requests; ``module`` for calls to a module.
        method: The HTTP method; empty for calls.
        path: The path; empty for calls.
        parameter: The query parameter for keys, if they are there.
        max_keys: The most keys of one request.
        at_a_time: The most requests at the same time.
        max_body_bytes: The most bytes of a body; ``None`` if requests have none.
        encode: Divides keys into requests.
    """

    endpoint: Endpoint[Any]
    form: str
    method: str
    path: str
    parameter: str | None
    max_keys: int
    at_a_time: int
    max_body_bytes: int | None
    encode: Callable[[Sequence[UserId]], EncodedRequests]

    def explanation(
        self,
        requests: EncodedRequests,
        batches: tuple[int, ...] | None,
        *,
        more: bool,
        lookup: bool = False,
        key_from: tuple[str, ...] = (),
        fallback: bool = False,
        selects: tuple[str, ...] | None = None,
        record_fields: tuple[str, ...] = (),
        pages: tuple[PagesExplanation, ...] = (),
    ) -> SourceExplanation:
        """Make the explanation; the arguments are named as its attributes."""
        settings = self.endpoint.settings
        return SourceExplanation(
            name=self.endpoint.spec.name,
            form=self.form,
            method=self.method,
            path=self.path,
            parameter=self.parameter,
            lookup=lookup,
            key_from=key_from,
            fallback=fallback,
            selects=selects,
            record_fields=record_fields,
            keys=tuple(key for request in requests.sent for key in request.keys),
            not_written=tuple(requests.refused),
            more_at_run_time=more,
            batches=batches,
            calls=None if batches is None else len(batches),
            pages=pages,
            at_a_time=self.at_a_time,
            max_keys=self.max_keys,
            max_url_bytes=settings.max_url_bytes,
            max_body_bytes=self.max_body_bytes,
            cached=settings.cache.enabled,
        )


def _is_own(settings: SourceSettings) -> bool:
    """Return whether a module brings the source."""
    return settings.base_url == OWN_ADDRESS


def _form_of(endpoint: Endpoint[Any]) -> _CallForm:
    """Return how a source is asked."""
    settings = endpoint.settings
    most = settings.max_keys
    if _is_own(settings):

        def calls(users: Sequence[UserId]) -> EncodedRequests:
            parts = divided(users, most)
            return EncodedRequests([UpstreamRequest(one, path="", target="") for one in parts], ())

        return _CallForm(endpoint, "module", "", "", None, most, settings.max_calls, None, calls)
    encoder = encoder_of(endpoint.spec, settings)
    return _CallForm(
        endpoint,
        encoder.request.form,
        encoder.method,
        encoder.request.path,
        encoder.parameter,
        encoder.max_keys,
        encoder.at_a_time,
        encoder.max_body_bytes,
        encoder.encode,
    )


class SourcesExplainer:
    """Explains the calls to sources. Shared by all requests.

    Args:
        schema: The schema.
        endpoints: The endpoints of each source, by the name of the source.
        keys: For an endpoint, where its keys come from, in order.
    """

    def __init__(
        self,
        schema: GatewaySchema,
        endpoints: Mapping[str, Sequence[Endpoint[Any]]],
        keys: Mapping[str, Sequence[KeyFromSettings]],
    ) -> None:
        self._user = schema.user
        self._fields = schema.definition.by_name
        self._endpoints = endpoints
        self._keys = keys
        self._key_from = sources_of_keys(keys)

    def explain(
        self, groups: Sequence[ExplainedGroup], variables: VariableValues
    ) -> tuple[SourceExplanation, ...]:
        """Explain the calls of an operation; a source is asked once for all fields.

        Args:
            groups: The users of the operation.
            variables: The coerced values of its variables.

        Returns:
            One explanation for each source that is asked.
        """
        every = [one for several in self._endpoints.values() for one in several]
        by_endpoint = [
            (one, [group for group in groups if group.asks(one.spec.name)]) for one in every
        ]
        return tuple(self._source(one, asking, variables) for one, asking in by_endpoint if asking)

    def explain_lookups(
        self, roots: Sequence[PlannedRoot], lookups: Sequence[Lookup]
    ) -> tuple[SourceExplanation, ...]:
        """Explain the calls that find users by other keys than their ids.

        Args:
            roots: The root fields.
            lookups: The lookups whose keys are known.

        Returns:
            One explanation for each source that finds users.
        """
        sources = dict.fromkeys(root.lookup for root in roots if root.lookup is not None)
        sources |= dict.fromkeys(one.source for one in lookups)
        unknown = {root.lookup for root in roots if root.missing}
        return tuple(
            self._lookup(
                self._endpoints[source][0],
                [key for one in lookups if one.source == source for key in one.keys],
                more=source in unknown,
            )
            for source in sources
        )

    def _lookup(
        self, endpoint: Endpoint[Any], keys: Sequence[UserId], *, more: bool
    ) -> SourceExplanation:
        """Explain the calls of one lookup; ``more`` for keys that are known only at run time."""
        form = _form_of(endpoint)
        requests = form.encode(list(dict.fromkeys(keys)))
        sizes = tuple(len(request.keys) for request in requests.sent)
        return form.explanation(requests, None if more else sizes, lookup=True, more=more)

    def _source(
        self, endpoint: Endpoint[Any], groups: Sequence[ExplainedGroup], variables: VariableValues
    ) -> SourceExplanation:
        """Explain the calls to one source for some users."""
        name = endpoint.spec.name
        needs = [one.selection.needs for one in groups if one.selection is not None]
        selects, endpoint = self._selected(endpoint, needs)
        form, settings = _form_of(endpoint), endpoint.settings
        users = tuple(dict.fromkeys(key for group in groups for key in group.keys))
        key_from = self._key_from.get(name, ())
        starts = self._starts(name, needs)
        # Keys that another source has are known only at run time.
        requests = EncodedRequests((), ()) if key_from else form.encode(users)
        unknown = [one.root.selection for one in groups if one.root.is_open]
        only_one = len(unknown) == 1 and not unknown[0].is_list and not users
        batches: tuple[int, ...] | None = None
        if not unknown or only_one:
            batches = (
                tuple(len(request.keys) for request in requests.sent)
                if users and not key_from and starts == 1
                else _split(1 if only_one else len(users), form.max_keys, starts)
            )
        explain_list = _own_list if _is_own(settings) else _list
        return form.explanation(
            requests,
            batches,
            more=bool(unknown),
            key_from=key_from,
            fallback=any(name in one.fallbacks for one in needs),
            selects=selects,
            record_fields=_record_fields(self._fields, endpoint, groups),
            pages=tuple(
                explain_list(pages, wanted, settings)
                for pages, wanted in self._pages(endpoint.spec, groups, variables).items()
                if pages.list not in settings.without_lists
            ),
        )

    def _selected(
        self, endpoint: Endpoint[Any], needs: Sequence[SourceNeeds]
    ) -> tuple[tuple[str, ...] | None, Endpoint[Any]]:
        """Return the fields that a source is asked for if it selects, and the endpoint for them."""
        name, is_own = endpoint.spec.name, _is_own(endpoint.settings)
        selects = bool(needs) and all(name in one.fields for one in needs)
        if not (selects if is_own else endpoint.selects):
            return None, endpoint
        wanted = frozenset[str]().union(*(one.fields[name] for one in needs))
        if is_own:
            return (endpoint.spec.key, *sorted(wanted)), endpoint
        selector = Selector(endpoint, foreign_of(name, self._keys))
        return selector.names(wanted), selector.narrowed(wanted)

    def _starts(self, source: str, needs: Sequence[SourceNeeds]) -> int:
        """Count how many times a source is asked at most, each time about other users."""
        at_once = not self._may_wait(source)
        together = [one for one in needs if at_once and source in one.always]
        apart = [self._starts_in(source, one) for one in needs if one not in together]
        return min(len(together), 1) + sum(apart)

    def _starts_in(self, source: str, needs: SourceNeeds) -> int:
        """Count how many times a source is asked at most for one selection."""
        if source in needs.always:
            return 1
        children = [one for one in needs.needed if source in self._key_from.get(one, ())]
        return sum(self._starts_in(one, needs) for one in children)

    def _may_wait(self, source: str) -> bool:
        """Tell whether its keys are known at different times, since they are in several places."""
        parents = self._key_from.get(source, ())
        return len(parents) > 1 or any(self._may_wait(one) for one in parents)

    def _pages(
        self, spec: SourceSpec[Any], groups: Sequence[ExplainedGroup], variables: VariableValues
    ) -> Mapping[PageSpec[Any], set[PageRequest] | None]:
        """Find the pages that are asked for; ``None`` if they are known only at run time."""
        found: dict[PageSpec[Any], set[PageRequest] | None] = {}
        for group in groups:
            for field in group.fields:
                definition = self._fields.get(field.name)
                pages = None if definition is None else definition.pages
                if pages is None or spec.name not in field.sources:
                    continue
                requests = found.setdefault(pages, set())
                if requests is None or group.root.is_open:
                    found[pages] = None
                else:
                    requests |= self._page_requests(field, pages, group.keys, variables)
        return found

    def _page_requests(
        self,
        field: PlannedField,
        pages: PageSpec[Any],
        keys: Iterable[UserId],
        variables: VariableValues,
    ) -> set[PageRequest]:
        """Find the pages that a field asks for; none if its arguments are invalid."""
        requests: set[PageRequest] = set()
        for key in keys:
            try:
                definition = self._user.fields[field.name]
                arguments = get_argument_values(definition, field.nodes[0], variables)
                first = arguments.get("first")
                size = DEFAULT_FIRST if first is None else first
                requests.add(page_request(key, pages.list, size, arguments.get("after")))
            except (BadUserInputError, GraphQLError):
                continue  # a run reports an error at that user's field, and asks for no page
        return requests


def _list(
    spec: PageSpec[Any], wanted: Collection[PageRequest] | None, settings: SourceSettings
) -> PagesExplanation:
    """Explain the calls for a list; ``wanted`` is ``None`` if they are known only at run time."""
    own = settings_of(spec, settings)
    rules = PageRules.of(own)
    sizes = {PageBuilder[Any](PageRequest(one.user, one.first), rules).size for one in wanted or ()}
    encoder = ListEncoder(own, settings)
    return PagesExplanation(
        list=spec.list,
        method=encoder.method,
        path=own.path,
        parameter=own.parameter,
        request=encoder.example(sizes.pop() if len(sizes) == 1 else None),
        calls=None if wanted is None else len(wanted),
        at_a_time=settings.max_concurrent_pages,
    )


def _own_list(
    spec: PageSpec[Any], wanted: Collection[PageRequest] | None, settings: SourceSettings
) -> PagesExplanation:
    """Explain the calls for a list of a source that a module brings."""
    return PagesExplanation(
        list=spec.list,
        method="",
        path="",
        parameter=None,
        request="",
        calls=None if wanted is None else len(wanted),
        at_a_time=settings.max_concurrent_pages,
    )


def _split(number: int, most: int, starts: int = 1) -> tuple[int, ...]:
    """Split a number into parts of at most ``most``: the most parts, if they are for some starts.

    With one start, these are the fewest parts. Each other start may be for a single user.
    """
    single = max(0, min(starts, number) - 1)
    whole, rest = divmod(number - single, most)
    return (most,) * whole + ((rest,) if rest else ()) + (1,) * single


def _record_fields(
    definitions: Mapping[str, UserField], endpoint: Endpoint[Any], groups: Sequence[ExplainedGroup]
) -> tuple[str, ...]:
    """List the fields of a record that the selected fields of some users read."""
    name = endpoint.spec.name
    selected = (one for group in groups if group.selection for one in group.selection.fields)
    read = (
        definitions[one.name].reads
        for one in selected
        if not one.hidden and name in one.sources and one.name in definitions
    )
    return tuple(sorted(frozenset[str]().union(*read) & endpoint.gives))
