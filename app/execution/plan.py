"""The plan of an operation: which sources it asks, about which users, in which order. Plain data.

The planner (``planner.py``) is the only reader of an operation's selection, and the plan is its
result. The resolvers, the compiled renderer and ``explain`` read the plan only.

A plan has two parts. The root fields and their selections do not depend on the variables that only
name users, so they are kept with the document. The keys and the fetches belong to one request.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    get_location,
)
from graphql.language.location import FormattedSourceLocation
from msgspec import Struct

from app.errors import GatewayError
from app.sources.base import FieldSet, UserId


class PlannedField(Struct, frozen=True):
    """One selected field of a user, or of an object inside a user.

    Attributes:
        key: The response key of the field.
        name: The name of the field in the schema.
        nodes: The field's nodes in the document; the first node has its arguments.
        fields: The fields that are selected inside it, if its type is an object.
        sources: The sources or endpoints that the field reads; empty for ``id``, for
            ``__typename``, and inside objects.
        hidden: Whether the caller may not see the field.
        deferred: Whether the field of a user comes after the first payload, if the answer comes in
            several.
    """

    key: str
    name: str
    nodes: Sequence[FieldNode]
    fields: "Sequence[PlannedField]" = ()
    sources: tuple[str, ...] = ()
    hidden: bool = False
    deferred: bool = False

    @property
    def locations(self) -> list[FormattedSourceLocation]:
        """The locations of the field in the document, for errors."""
        return locations_of(self.nodes)


@dataclass(frozen=True, slots=True)
class SourceNeeds:
    """The sources that a selection needs.

    Attributes:
        exists: Whether it is already known that the users exist. Otherwise a user exists only if
            one of the sources knows the user.
        sources: Names of the sources, each once, in the order of the schema. If a source has
            several endpoints, the names of the needed endpoints. Empty only if the users exist.
        existence_only: Whether no selected field reads a source. The one source is then asked only
            whether the user exists.
        for_keys: Other sources, asked only for the keys of these sources or of one another. Their
            results do not decide whether the user exists, and no field reads their records.
        fallbacks: Other sources for keys, only asked about users who have no key in the sources
            before them.
        fields: The record fields that are needed, by source, for the sources that can be asked for
            a part of the record fields.
    """

    sources: tuple[str, ...]
    existence_only: bool
    for_keys: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    fields: Mapping[str, FieldSet] = field(default_factory=dict[str, FieldSet], hash=False)
    exists: bool = False

    @property
    def always(self) -> tuple[str, ...]:
        """The sources that are asked in any case: for fields, for existence or for keys."""
        return self.sources + self.for_keys

    @property
    def needed(self) -> tuple[str, ...]:
        """All sources that may be asked."""
        return self.always + self.fallbacks


class UserSelection(Struct, frozen=True):
    """The selection of a root field, for users of which the caller may see the same fields.

    Attributes:
        fields: The fields in the order of the answer, hidden fields included.
        needs: The sources that the visible fields need.
    """

    fields: Sequence[PlannedField]
    needs: SourceNeeds

    @property
    def first(self) -> frozenset[str]:
        """The sources that the visible fields of the first payload read."""
        visible = [one for one in self.fields if not (one.deferred or one.hidden)]
        return frozenset(source for one in visible for source in one.sources)


class DeferredFragment(Struct, frozen=True):
    """A deferred fragment of users whose fields come together in one payload.

    Attributes:
        node: The fragment in the document.
        label: The label of its ``@defer``, if it has one.
        keys: The response keys of its fields that no earlier payload has.
    """

    node: InlineFragmentNode | FragmentSpreadNode
    label: str | None
    keys: frozenset[str]


class RootSelection(Struct, frozen=True):
    """One root field and its selection, independent of its users.

    Attributes:
        key: The response key of the field.
        name: The name of the field in the schema.
        nodes: The field's nodes in the document; the first node has its arguments.
        is_list: Whether the field returns a list of users, not one user.
        others: The selection for users other than the caller; ``None`` if the field returns no
            users, as ``__typename`` does.
        own: The selection for the caller itself; the same object as ``others`` if it is equal.
        variables: The variable of each argument, by the argument's name; ``None`` if an argument is
            not a variable alone.
        streamed: Whether the items of the list come one after the other, if the answer comes in
            several payloads.
        nullable: Whether the field may be ``null`` by the schema.
        deferred: The deferred fragments of its users. ``None`` if they depend on each other: one is
            inside another, or two have the same field.
    """

    key: str
    name: str
    nodes: Sequence[FieldNode]
    is_list: bool = False
    others: UserSelection | None = None
    own: UserSelection | None = None
    variables: Mapping[str, str] | None = None
    streamed: bool = False
    nullable: bool = True
    deferred: Sequence[DeferredFragment] | None = ()

    @property
    def locations(self) -> list[FormattedSourceLocation]:
        """The locations of the field in the document, for errors."""
        return locations_of(self.nodes)


class UserGroup(Struct):
    """Users of one root field, of which the caller may see the same fields.

    Attributes:
        selection: The selection for these users.
        keys: The users; the same user may be in it twice.
        places: The position of each user in the field's list.
        is_own: Whether they are the caller itself.
    """

    selection: UserSelection
    keys: Sequence[UserId]
    places: Sequence[int]
    is_own: bool = False


class PlannedRoot(Struct, frozen=True):
    """One root field with its users.

    Attributes:
        selection: The field and its selection.
        groups: The users of the field.
        count: How many users the field names, invalid keys included; ``None`` if that is unknown.
        missing: Variables that name users and have no value. Only ``explain`` has such variables.
        wrong: The errors of single invalid keys, by their position in the list.
        error: The error that fails the whole field before any source is asked.
        lookup: The source that has to find the users first. Only ``explain`` has plans without it.
    """

    selection: RootSelection
    groups: Sequence[UserGroup] = ()
    count: int | None = 0
    missing: tuple[str, ...] = ()
    wrong: Mapping[int, GatewayError] = {}
    error: GatewayError | GraphQLError | None = None
    lookup: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the field has users, but nobody knows yet which."""
        return bool(self.missing) or self.lookup is not None


class Lookup(Struct, frozen=True):
    """Keys by which a source finds the ids of users, before the users are known.

    Attributes:
        root: The response key of the root field.
        source: The source.
        keys: The keys, in the order in which the field names them.
    """

    root: str
    source: str
    keys: Sequence[UserId]


class Fetch(Struct, frozen=True):
    """One source, and the users that it is asked about.

    Attributes:
        source: The source, or one of its endpoints.
        users: The users that it is asked about in any case, each once.
        fields: The record fields that are needed; ``None`` for all.
        key_from: The sources whose records have the keys of this source, in order: of each user,
            the first key counts. Empty if the users' ids are the keys.
        if_needed: Other users. It is asked about one of them only if the sources before it in the
            ``key_from`` of another gave no key.
    """

    source: str
    users: Sequence[UserId]
    fields: FieldSet | None = None
    key_from: tuple[str, ...] = ()
    if_needed: Sequence[UserId] = ()

    @property
    def is_fallback(self) -> bool:
        """Whether it is asked about no user before other sources have answered."""
        return not self.users

    def __str__(self) -> str:
        """Return one line: ``billing {plan} by the keys of profile: a b``."""
        fields = "" if self.fields is None else f" {{{' '.join(sorted(self.fields))}}}"
        keys = f" by the keys of {', else '.join(self.key_from)}" if self.key_from else ""
        needed = ("if needed", *self.if_needed) if self.if_needed else ()
        return f"{self.source}{fields}{keys}: {' '.join((*self.users, *needed))}"


class Plan(Struct, frozen=True):
    """The root fields, users and fetches of one operation, for one request.

    Attributes:
        roots: The root fields by response key, in the order of the answer.
        fetches: One fetch for each source. A fetch with ``key_from`` starts as soon as all keys
            are known; all others start at once, except fallbacks.
    """

    roots: Mapping[str, PlannedRoot]
    fetches: Sequence[Fetch]

    @property
    def steps(self) -> Sequence[Sequence[Fetch]]:
        """The fetches in order: those of one step run at the same time, after the step before."""
        return steps_of(self.fetches)

    def __str__(self) -> str:
        """Return lines for people: first the root fields, then the steps."""
        return "\n".join(_lines(self))


def steps_of(fetches: Sequence[Fetch]) -> Sequence[Sequence[Fetch]]:
    """Sort fetches into steps.

    Args:
        fetches: Fetches of different sources, without cycles in ``key_from``.

    Returns:
        The steps. The fetches of one step run at the same time, after those of the step before.
    """
    steps: list[list[Fetch]] = []
    left = list(fetches)
    while left:
        waiting = {one.source for one in left}
        step = [one for one in left if waiting.isdisjoint(_before(one, fetches))]
        if not step:  # of two fallbacks, each is before the other for some source
            step = [one for one in left if waiting.isdisjoint(one.key_from)]
        steps.append(step)
        left = [one for one in left if one not in step]
    return steps


def _before(fetch: Fetch, fetches: Sequence[Fetch]) -> Iterator[str]:
    """Yield the sources that are asked before a fetch starts."""
    yield from fetch.key_from
    for child in fetches if fetch.is_fallback else ():
        if fetch.source in child.key_from:
            yield from child.key_from[: child.key_from.index(fetch.source)]
            yield from _before(child, fetches) if child.is_fallback else ()


def locations_of(nodes: Sequence[FieldNode]) -> list[FormattedSourceLocation]:
    """Return the locations of a field in its document.

    Args:
        nodes: The field's nodes.

    Returns:
        Line and column of each node, counted from 1.
    """
    return [get_location(node.loc.source, node.loc.start).formatted for node in nodes if node.loc]


def _lines(plan: Plan) -> Iterator[str]:
    """Write a plan, line by line."""
    for key, root in plan.roots.items():
        name = root.selection.name
        yield name if key == name else f"{key}: {name}"
        if root.error is not None:
            yield f"  fails: {root.error}"
        for place, error in root.wrong.items():
            yield f"  {place} fails: {error}"
        for group in root.groups:
            label = "own user" if group.is_own else "users"
            yield f"  {label} {' '.join(group.keys)}"
            for one in group.selection.fields:
                reads = "is hidden" if one.hidden else f"reads {' '.join(one.sources) or 'nothing'}"
                yield f"    {one.key} {reads}{', after the first payload' if one.deferred else ''}"
    for number, step in enumerate(plan.steps, start=1):
        yield f"step {number}"
        for fetch in step:
            yield f"  {fetch}"
