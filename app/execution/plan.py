"""The plan of an operation: which sources it asks, about which users, in which order. Plain data.

The selection of an operation is read in one place (``planner.py``), and this is the result. The
resolvers, the compiled renderer and ``explain`` read the plan, and none of them reads a selection.

A plan has two parts. The root fields with what they select are the same for all values of the
variables that only name users, and are kept with the document. The keys, and the fetches that they
lead to, belong to one request.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from graphql import FieldNode, GraphQLError, get_location
from graphql.language.location import FormattedSourceLocation

from app.errors import GatewayError
from app.sources.base import FieldSet, UserId


@dataclass(frozen=True, slots=True)
class PlannedField:
    """One field that an operation selects, of a user or of an object inside a user.

    Attributes:
        key: Its response key.
        name: Its name in the schema.
        nodes: Where it stands in the document; the first node has its arguments.
        fields: The fields selected inside it, where its type is an object.
        sources: The sources that it reads, or their endpoints; empty for ``id``, for
            ``__typename``, and inside objects.
        hidden: Whether the caller may not see it.
    """

    key: str
    name: str
    nodes: Sequence[FieldNode]
    fields: "Sequence[PlannedField]" = ()
    sources: tuple[str, ...] = ()
    hidden: bool = False

    @property
    def locations(self) -> list[FormattedSourceLocation]:
        """Where the field stands in the document, as errors say it."""
        return locations_of(self.nodes)


@dataclass(frozen=True, slots=True)
class SourceNeeds:
    """The sources that a selection needs.

    Attributes:
        sources: Their names, each once, in the order of the schema; of a source with several
            endpoints the names of the endpoints that are needed. Never empty.
        existence_only: Whether no selected field reads a source. The one source is then asked only
            whether the user exists.
        for_keys: Other sources, asked only because they have the keys of these, or of one another.
            What they say of a user is no answer: neither that there is none, nor a record.
        fields: The record fields that are wanted, by source, of the sources that can be asked for
            some fields alone.
    """

    sources: tuple[str, ...]
    existence_only: bool
    for_keys: tuple[str, ...] = ()
    fields: Mapping[str, FieldSet] = field(default_factory=dict[str, FieldSet], hash=False)

    @property
    def needed(self) -> tuple[str, ...]:
        """All sources that are asked, for whatever reason."""
        return self.sources + self.for_keys


@dataclass(frozen=True, slots=True)
class UserSelection:
    """What a root field selects of users of whom the caller may see the same.

    Attributes:
        fields: The fields in the order of the answer, the hidden ones included.
        needs: The sources that the visible fields need.
    """

    fields: Sequence[PlannedField]
    needs: SourceNeeds


@dataclass(frozen=True, slots=True)
class RootSelection:
    """One root field and what it selects, whoever its users are.

    Attributes:
        key: Its response key.
        name: Its name in the schema.
        nodes: Where it stands in the document; the first node has its arguments.
        is_list: Whether it gives a list of users rather than one.
        others: What it selects of other users than the caller; ``None`` where the field gives no
            users, as ``__typename`` does.
        own: What it selects of the caller itself; the same object where that is the same.
    """

    key: str
    name: str
    nodes: Sequence[FieldNode]
    is_list: bool = False
    others: UserSelection | None = None
    own: UserSelection | None = None

    @property
    def locations(self) -> list[FormattedSourceLocation]:
        """Where the field stands in the document, as errors say it."""
        return locations_of(self.nodes)


@dataclass(frozen=True, slots=True)
class UserGroup:
    """Users of one root field of whom the caller may see the same.

    Attributes:
        selection: What is selected of them.
        keys: The users; the same one may come twice.
        places: Where in the list each of them belongs.
        is_own: Whether they are the caller itself.
    """

    selection: UserSelection
    keys: Sequence[UserId]
    places: Sequence[int]
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class PlannedRoot:
    """One root field with its users.

    Attributes:
        selection: The field and what it selects.
        groups: Its users.
        count: How many users it names, the wrong ones included; ``None`` while that is unknown.
        missing: Variables that name users and have no value yet. Only ``explain`` has such.
        wrong: What is wrong with single keys, by their place in the list.
        error: Why the whole field fails before any source is asked.
    """

    selection: RootSelection
    groups: Sequence[UserGroup] = ()
    count: int | None = 0
    missing: tuple[str, ...] = ()
    wrong: Mapping[int, GatewayError] = field(default_factory=dict[int, GatewayError])
    error: GatewayError | GraphQLError | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """One source, and the users that it is asked about.

    Attributes:
        source: The source, or one of its endpoints.
        users: The users, each once.
        fields: The record fields that are wanted; ``None`` for all.
        key_from: The source whose records have the keys of this one. It is fetched before, for at
            least the same users. ``None`` where the users' ids are the keys.
    """

    source: str
    users: Sequence[UserId]
    fields: FieldSet | None = None
    key_from: str | None = None

    def __str__(self) -> str:
        """Write it in one line: ``billing {plan} by the keys of profile: a b``."""
        fields = "" if self.fields is None else f" {{{' '.join(sorted(self.fields))}}}"
        keys = "" if self.key_from is None else f" by the keys of {self.key_from}"
        return f"{self.source}{fields}{keys}: {' '.join(self.users)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one operation asks of the sources for one request.

    Attributes:
        roots: Its root fields by response key, in the order of the answer.
        fetches: The sources that are asked, each once. A fetch starts as soon as the one that has
            its keys is done; all others start at once.
    """

    roots: Mapping[str, PlannedRoot]
    fetches: Sequence[Fetch]

    @property
    def steps(self) -> Sequence[Sequence[Fetch]]:
        """The fetches in order: those of one step run at the same time, after the step before."""
        return steps_of(self.fetches)

    def __str__(self) -> str:
        """Write it for people: first the root fields, then the steps."""
        return "\n".join(_lines(self))


def steps_of(fetches: Sequence[Fetch]) -> Sequence[Sequence[Fetch]]:
    """Put fetches into the order in which they can run.

    Args:
        fetches: Fetches of different sources, without rings of keys.

    Returns:
        The steps. The fetches of one step run at the same time, after those of the step before.
    """
    steps: list[list[Fetch]] = []
    left, sources = list(fetches), {one.source for one in fetches}
    while left:
        waiting = {one.source for one in left}
        step = [one for one in left if one.key_from not in waiting or one.key_from not in sources]
        steps.append(step)
        left = [one for one in left if one not in step]
    return steps


def locations_of(nodes: Sequence[FieldNode]) -> list[FormattedSourceLocation]:
    """Find where a field stands in its document.

    Args:
        nodes: The field's nodes.

    Returns:
        Line and column of each.
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
            whose = "own user" if group.is_own else "users"
            yield f"  {whose} {' '.join(group.keys)}"
            for one in group.selection.fields:
                reads = "is hidden" if one.hidden else f"reads {' '.join(one.sources) or 'nothing'}"
                yield f"    {one.key} {reads}"
    for number, step in enumerate(plan.steps, start=1):
        yield f"step {number}"
        for fetch in step:
            yield f"  {fetch}"
