"""Makes the plan of an operation: the one place that reads a selection. Pure.

``Planner.select`` reads the selection. It depends on the document, on the deciding variables and on
what the caller may see. ``Planner.plan`` adds the users of one request.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    NameNode,
    OperationDefinitionNode,
    VariableNode,
    get_named_type,
)
from graphql.execution.values import VariableValues, get_argument_values
from msgspec.structs import replace

from app.auth.policies import Rights, refusal
from app.errors import BadUserInputError, Code, GatewayError, SourceError, SourceFailure, bare
from app.execution.keys import InputLimits, Key, key_readers
from app.execution.plan import (
    DeferredFragment,
    Fetch,
    Lookup,
    Plan,
    PlannedField,
    PlannedRoot,
    RootSelection,
    SourceNeeds,
    UserGroup,
    UserSelection,
)
from app.execution.selection import (
    deferred_fragments,
    delayed_nodes,
    grouped_fields,
    is_delayed,
    label_of,
    variables_in,
)
from app.execution.source_reads import LookupRoot, SourceReads
from app.settings.public_schema import NODE_TYPE
from app.sources.base import FieldSet, UserId
from app.sources.results import Result, failure_among, record_in

Found: TypeAlias = Mapping[str, Sequence[Result]]
"""What lookups found, by the response key of the root field: the source result of each key."""


class Planner:
    """Makes plans of operations against the schema. Shared by all requests.

    Attributes:
        user_roots: The names of the root fields whose arguments name users.
    """

    def __init__(self, core: GraphQLSchema, reads: SourceReads, limits: InputLimits) -> None:
        """Make a planner.

        Args:
            core: The schema.
            reads: Which sources the fields of ``User`` read.
            limits: Checks the users that root fields name.
        """
        self._core = core
        self._reads = reads
        self._limits = limits
        self._readers = key_readers(limits.names)
        self.user_roots: Collection[str] = self._readers.keys() | reads.lookups.keys()
        self._user_type = limits.names.type
        # The type conditions that match a user: its type, its interface, and the union of
        # ``_entities``.
        self._user_types = frozenset({self._user_type, NODE_TYPE, "_Entity"})

    def lookups(
        self, roots: Sequence[RootSelection], variables: VariableValues, rights: Rights
    ) -> Sequence[Lookup]:
        """List what has to be looked up before the plan can be made.

        Args:
            roots: The root fields that ``select`` returned.
            variables: The coerced values of the operation's variables.
            rights: The caller and what it may see.

        Returns:
            The lookups. One that is refused is left out: ``plan`` reports why.
        """
        found: list[Lookup] = []
        for root in roots if self._reads.lookups else ():
            lookup = self._reads.lookups.get(root.name)
            if lookup is not None:
                try:
                    keys = self._looked_up(root, lookup, variables, rights)
                except (GatewayError, GraphQLError) as error:
                    bare(error)
                    continue
                found.append(Lookup(root.key, lookup.source, keys))
        return found

    def _looked_up(
        self, root: RootSelection, lookup: LookupRoot, variables: VariableValues, rights: Rights
    ) -> Sequence[UserId]:
        """Read the keys of a lookup, or raise why it is refused."""
        if not lookup.may.allows(rights.scopes, own=False):
            raise refusal(root.name, lookup.may)
        value = self._arguments(root, variables)[lookup.argument]
        return self._limits.looked_up(value if lookup.is_list else [value], root.name)

    def select(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: VariableValues,
        rights: Rights,
    ) -> Sequence[RootSelection]:
        """Read the selection of an operation.

        Args:
            document: The document of the operation, valid.
            operation: The operation.
            variables: The coerced values of its variables.
            rights: What the caller may see; the caller's own id is not used.

        Returns:
            The root fields, in the order of the answer.
        """
        reader = _SelectionReader(self._user, self._reads, document, variables)
        root = FieldNode(name=NameNode(value=""), selection_set=operation.selection_set)
        query = frozenset({"Query"})
        first = reader.below([root], query, deferred=False)
        return [
            self._root(key, nodes, first.get(key, ()), reader, rights)
            for key, nodes in reader.below([root], query).items()
        ]

    def plan(
        self,
        roots: Sequence[RootSelection],
        variables: VariableValues,
        rights: Rights,
        missing: Collection[str] = (),
        found: Found | None = None,
    ) -> Plan:
        """Add the users of one request.

        Args:
            roots: The root fields that ``select`` returned.
            variables: The coerced values of the operation's variables.
            rights: The caller and what it may see.
            missing: Variables that need a value and have none; they only name users.
            found: What the lookups found; ``None`` if nothing was looked up.

        Returns:
            The plan.
        """
        planned = {
            root.key: self._planned(root, variables, rights, missing, found or {}) for root in roots
        }
        return Plan(planned, self.fetches([*planned.values()]))

    def sources_of(self, fields: Iterable[str]) -> Collection[str]:
        """List the sources that fields of users read.

        Args:
            fields: Public names of the fields.

        Returns:
            The sources, or endpoints of sources.
        """
        return {source for one in fields for source in self._reads.reads.get(one, ())}

    def fetches(self, roots: Sequence[PlannedRoot]) -> Sequence[Fetch]:
        """List the fetches of some root fields.

        Args:
            roots: The root fields with their users.

        Returns:
            One fetch for each source. Its users are in the order in which the fields name them.
        """
        key_from = self._reads.key_from
        groups = [group for root in roots for group in root.groups]
        if len(groups) == 1:  # the common case
            [group] = groups
            needs, users = group.selection.needs, tuple(dict.fromkeys(group.keys))
            return [
                Fetch(name, at_once, needs.fields.get(name), key_from.get(name, ()), later)
                for names, at_once, later in (
                    (needs.always, users, ()),
                    (needs.fallbacks, (), users),
                )
                for name in names
            ]
        always: dict[str, dict[UserId, None]] = {}
        fallbacks: dict[str, dict[UserId, None]] = {}
        fields: dict[str, FieldSet] = {}
        for root in roots:
            for key, needs in _in_order(root.groups):
                for source in needs.always:
                    always.setdefault(source, {})[key] = None
                for source in needs.fallbacks:
                    fallbacks.setdefault(source, {})[key] = None
            for group in root.groups:
                for source, needed in group.selection.needs.fields.items():
                    fields[source] = needed | fields.get(source, frozenset())
        return [
            Fetch(
                name,
                tuple(asked := always.get(name, {})),
                fields.get(name),
                key_from.get(name, ()),
                tuple(user for user in fallbacks.get(name, ()) if user not in asked),
            )
            for name in dict.fromkeys((*always, *fallbacks))
        ]

    def _root(
        self,
        key: str,
        nodes: Sequence[FieldNode],
        first: Sequence[FieldNode],
        reader: "_SelectionReader",
        rights: Rights,
    ) -> RootSelection:
        """Read one root field; ``first`` are its nodes outside deferred fragments."""
        name = nodes[0].name.value
        if name not in self.user_roots:
            return RootSelection(key, name, nodes)
        kind: object = self._query.fields[name].type
        nullable = not isinstance(kind, GraphQLNonNull)
        if isinstance(kind, GraphQLNonNull):
            kind = cast("GraphQLList[Any]", kind).of_type
        at_once = reader.below(first, self._user_types, deferred=False)
        deferred = reader.deferred(first, self._user_types, at_once)
        fields = [
            one if one.key in at_once else replace(one, deferred=True)
            for one in reader.fields(nodes, self._user_types, self._user)
        ]
        others, own = (self._selection(fields, rights, own=own) for own in (False, True))
        is_list = isinstance(kind, GraphQLList)
        own = others if own == others else own
        variables = _variables_only(nodes[0])
        streamed = is_list and reader.streams(nodes[0])
        return RootSelection(
            key, name, nodes, is_list, others, own, variables, streamed, nullable, deferred
        )

    def _selection(
        self, fields: Sequence[PlannedField], rights: Rights, *, own: bool
    ) -> UserSelection:
        """Hide the fields that the caller may not see, and find what the others need."""
        visible = rights.visible({one.name for one in fields}, own=own)
        selected = [one if one.name in visible else _hidden(one) for one in fields]
        return UserSelection(selected, self._reads.needs(visible))

    def _planned(
        self,
        root: RootSelection,
        variables: VariableValues,
        rights: Rights,
        missing: Collection[str],
        found: Found,
    ) -> PlannedRoot:
        """Find the users of one root field."""
        if root.others is None or root.own is None:
            return PlannedRoot(root, count=None)
        if missing and (unknown := [one for one in _variables_of(root) if one in missing]):
            lookup = self._reads.lookups.get(root.name)
            source = None if lookup is None else lookup.source
            return PlannedRoot(root, count=None, missing=tuple(unknown), lookup=source)
        try:
            keys = self._keys(root, variables, rights, found)
        except (GatewayError, GraphQLError) as error:
            return PlannedRoot(root, count=None, error=bare(error))
        if keys is None:
            source = self._reads.lookups[root.name].source
            return PlannedRoot(root, count=None, lookup=source)
        users, places = cast("Sequence[UserId]", keys), range(len(keys))
        if {*map(type, keys)} <= {str}:  # the common case
            groups = self._groups(root.others, root.own, users, places, rights)
            return PlannedRoot(root, groups, len(keys))
        wrong = {place: one for place, one in enumerate(keys) if isinstance(one, GatewayError)}
        right = [place for place in places if isinstance(keys[place], str)]
        users = [users[place] for place in right]
        groups = self._groups(root.others, root.own, users, right, rights)
        return PlannedRoot(root, groups, len(keys), wrong=wrong)

    def _keys(
        self, root: RootSelection, variables: VariableValues, rights: Rights, found: Found
    ) -> Sequence[Key | None] | None:
        """Read the users of a root field; ``None`` if they are to be looked up first."""
        lookup = self._reads.lookups.get(root.name)
        if lookup is None:
            arguments = self._arguments(root, variables)
            return self._readers[root.name](self._limits, arguments, rights)
        self._looked_up(root, lookup, variables, rights)
        results = found.get(root.key)
        return None if results is None else [self._found(one, lookup) for one in results]

    def _found(self, result: Result, lookup: LookupRoot) -> Key | None:
        """Return the user that a lookup found."""
        failure = failure_among((lookup.source,), {lookup.source: result}, (lookup.attribute,))
        if failure is not None:
            return SourceError(failure)
        record = record_in(result)
        user: str | None = None if record is None else getattr(record, lookup.attribute)
        if user is None:
            return None
        try:
            return self._limits.user_id(user)
        except BadUserInputError:
            detail = "the id of the user does not match the pattern of ids"
            return SourceError(SourceFailure(lookup.source, Code.SOURCE_MALFORMED, detail))

    @staticmethod
    def _groups(
        others: UserSelection,
        own: UserSelection,
        users: Sequence[UserId],
        places: Sequence[int],
        rights: Rights,
    ) -> Sequence[UserGroup]:
        """Group users by selection: the caller itself and others, if the selections differ."""
        if not users:
            return []
        if own is others or rights.subject is None:
            return [UserGroup(others, users, places)]
        owned = [rights.is_own(user) for user in users]
        return [
            UserGroup(
                own if is_own else others,
                [user for user, one in zip(users, owned, strict=True) if one is is_own],
                [place for place, one in zip(places, owned, strict=True) if one is is_own],
                is_own,
            )
            for is_own in dict.fromkeys(owned)
        ]

    def _arguments(self, root: RootSelection, variables: VariableValues) -> Mapping[str, Any]:
        """Coerce the arguments of a root field.

        Variables are already coerced to the type of their argument. Only ``null`` needs
        graphql-core, since the argument may refuse it.
        """
        if root.variables is not None:
            coerced = variables.coerced
            arguments = {name: coerced.get(one) for name, one in root.variables.items()}
            if None not in arguments.values():
                return arguments
        # By validation, the other nodes have the same arguments.
        return get_argument_values(self._query.fields[root.name], root.nodes[0], variables)

    @property
    def _query(self) -> GraphQLObjectType:
        """The root type."""
        query = self._core.query_type
        assert query is not None  # noqa: S101 # for the type checkers: ours has one
        return query

    @property
    def _user(self) -> GraphQLObjectType:
        """The type ``User``."""
        user = self._core.type_map[self._user_type]
        assert isinstance(user, GraphQLObjectType)  # noqa: S101 # for the type checkers
        return user


class _SelectionReader:
    """Reads the selections of one operation."""

    def __init__(
        self,
        user: GraphQLObjectType,
        reads: SourceReads,
        document: DocumentNode,
        variables: VariableValues,
    ) -> None:
        self._user = user
        self._reads = reads
        self._variables = variables
        self._fragments = {
            one.name.value: one
            for one in document.definitions
            if isinstance(one, FragmentDefinitionNode)
        }

    def below(
        self, nodes: Sequence[FieldNode], types: frozenset[str], *, deferred: bool = True
    ) -> Mapping[str, Sequence[FieldNode]]:
        """Collect the fields inside a field, by response key."""
        return grouped_fields(
            nodes,
            types=types,
            fragments=self._fragments,
            variables=self._variables.coerced,
            deferred=deferred,
        )

    def deferred(
        self,
        nodes: Sequence[FieldNode],
        types: frozenset[str],
        at_once: Mapping[str, Sequence[FieldNode]],
    ) -> Sequence[DeferredFragment] | None:
        """Find the deferred fragments inside a field; ``None`` if they depend on each other.

        ``at_once`` are the fields of the first payload, by response key.
        """
        found: list[DeferredFragment] = []
        taken: set[str] = set()
        variables = self._variables.coerced
        for node in deferred_fragments(
            nodes, types=types, fragments=self._fragments, variables=variables
        ):
            if isinstance(node, FragmentSpreadNode):
                inside = self._fragments[node.name.value].selection_set
            else:
                inside = node.selection_set
            if delayed_nodes(inside, self._fragments, variables):
                return None
            # A field without alias and arguments stands for the users themselves.
            fields = self.below([FieldNode(name=NameNode(value=""), selection_set=inside)], types)
            twice = {key for key in fields if key in at_once or key in taken}
            if any(key in taken or fields[key][0].selection_set is not None for key in twice):
                return None
            keys = frozenset(fields.keys() - twice)
            found.append(DeferredFragment(node, label_of(node), keys))
            taken |= keys
        return found

    def streams(self, node: FieldNode) -> bool:
        """Return whether the list of a field is streamed."""
        return is_delayed(node, self._variables.coerced)

    def fields(
        self, nodes: Sequence[FieldNode], types: frozenset[str], kind: GraphQLObjectType
    ) -> Sequence[PlannedField]:
        """Read the fields inside a field of an object type, at all levels."""
        of_user = kind is self._user
        found: list[PlannedField] = []
        for key, group in self.below(nodes, types).items():
            name = group[0].name.value
            definition = kind.fields.get(name)
            kind_inside: object = None if definition is None else definition.type
            inner: object = get_named_type(cast("GraphQLOutputType | None", kind_inside))
            below = (
                self.fields(group, frozenset({inner.name}), inner)
                if isinstance(inner, GraphQLObjectType)
                else ()
            )
            sources = self._reads.reads.get(name, ()) if of_user else ()
            found.append(PlannedField(key, name, group, below, sources))
        return found


def _hidden(field: PlannedField) -> PlannedField:
    """Return a field as hidden, without sources and inner fields."""
    return PlannedField(field.key, field.name, field.nodes, hidden=True, deferred=field.deferred)


def _in_order(groups: Sequence[UserGroup]) -> Sequence[tuple[UserId, SourceNeeds]]:
    """List the users of a root field with their needs, in the order of the field's keys."""
    if len(groups) == 1:
        return [(key, groups[0].selection.needs) for key in groups[0].keys]
    by_place = {
        place: (key, group.selection.needs)
        for group in groups
        for place, key in zip(group.places, group.keys, strict=True)
    }
    return [by_place[place] for place in sorted(by_place)]


def _variables_only(node: FieldNode) -> Mapping[str, str] | None:
    """Return the variable of each argument; ``None`` if an argument is not a variable alone."""
    names = {
        one.name.value: one.value.name.value
        for one in node.arguments or ()
        if isinstance(one.value, VariableNode)
    }
    return names if len(names) == len(node.arguments or ()) else None


def _variables_of(root: RootSelection) -> Sequence[str]:
    """List the variables in the arguments of a root field."""
    return variables_in(root.nodes[0].arguments or ())
