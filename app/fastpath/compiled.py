"""Compiled operations: a generated function makes the response directly from the records.

Replaces: Strawberry's executor with its resolvers (``execution/executor.py``,
    ``execution/schema.py``).
Switch: ``GATEWAY_FASTPATH__COMPILED``.
Gains: docs/performance.md has the figures.
Proof: tests/fastpath/test_compiled.py checks that both give the same responses.

It covers root fields that return users, with fields that only need a record. The executor renders
all other operations, and its resolvers define what is right.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    GraphQLError,
    GraphQLFormattedError,
    GraphQLObjectType,
    NonNullTypeNode,
    located_error,
)
from graphql.execution.values import VariableValues, get_argument_values
from graphql.language.location import FormattedSourceLocation

from app.auth.policies import refusal
from app.errors import BadUserInputError, Code, GatewayError, SourceFailure, bare
from app.execution.outcome import GroupResults, Outcome, Results, outcome_of, results_of
from app.execution.plan import (
    Plan,
    PlannedField,
    PlannedRoot,
    RootSelection,
    UserGroup,
    UserSelection,
)
from app.execution.render import NotCoveredError, Rendered
from app.execution.response_errors import in_answer_order, public_error
from app.execution.schema import GatewaySchema
from app.fastpath.code import FunctionWriter, function_bytes
from app.sources.base import FieldSet
from app.sources.results import record_in

ROOT_BYTES = 500
"""Estimated bytes of a compiled root field, without its writers. A test checks all estimates."""

WRITER_BYTES = 700
"""Estimated bytes of a ``UserWriter``, without its fields and functions."""

FIELD_BYTES = 330
"""Estimated bytes of a field of users, with its locations in the document."""

UserData = dict[str, Any]
"""A user in the response."""


@dataclass(frozen=True, slots=True)
class FieldFailure:
    """The errors that one field of the users of a selection can have.

    Attributes:
        key: The response key.
        sources: The sources that the field reads.
        reads: The record fields that it reads.
        wrong: The error that the field always has, if any: the caller may not see it, or an
            argument is not valid.
        locations: The locations of the field in the document.
    """

    key: str
    sources: tuple[str, ...]
    reads: FieldSet
    wrong: GatewayError | None
    locations: Sequence[FormattedSourceLocation]


@dataclass(frozen=True, slots=True)
class UserWriter:
    """Makes the users of one selection in the response.

    Attributes:
        fields: The selected fields.
        write_user: Makes a user from its id and the record of each needed source. Returns ``None``
            if no source knows the user.
        write_known: Like ``write_user``, for a user that exists although all records may be
            ``None``, because a source has failed. Its first argument has the response keys of the
            fields that have failed.
        always_wrong: Whether a field always has an error.
    """

    fields: Sequence[FieldFailure]
    write_user: Callable[..., UserData | None]
    write_known: Callable[..., UserData]
    always_wrong: bool


@dataclass(frozen=True, slots=True)
class CompiledRoot:
    """One root field, compiled.

    Attributes:
        locations: The locations of the field in the document.
        others: Makes other users than the caller; ``None`` if the field does not return users.
        own: Makes the caller's own user. It is ``others`` if the caller may see the same of both.
    """

    locations: Sequence[FormattedSourceLocation]
    others: UserWriter | None = None
    own: UserWriter | None = None


class Compiler:
    """Compiles operations of the schema. An ``OperationCompiler``."""

    def __init__(self, schema: GatewaySchema) -> None:
        """Read the fields and policies of the schema.

        Args:
            schema: The schema.
        """
        self._user = schema.user
        self._types = schema.core.type_map
        self._definition = schema.definition
        self._policies = schema.definition.policies
        # The fields of a user that read no source, and the text of their values.
        self._own_fields = {"id": "key", "__typename": repr(schema.definition.names.type)}

    def compile(
        self, roots: Sequence[RootSelection], variables: VariableValues
    ) -> "CompiledSelection":
        """Compile the selection of an operation.

        Args:
            roots: The root fields of the operation.
            variables: The coerced values of its variables.

        Returns:
            The compiled selection, which renders responses.

        Raises:
            NotCoveredError: Only the executor can render the operation.
        """
        return CompiledSelection({root.key: self._root(root, variables) for root in roots})

    def _root(self, root: RootSelection, variables: VariableValues) -> CompiledRoot:
        """Compile a root field."""
        if root.others is None or root.own is None:
            if root.name != "__typename":
                raise NotCoveredError(f"the field {root.name}")
            return CompiledRoot(root.locations)
        others = self._writer(root.others, variables)
        own = others if root.own is root.others else self._writer(root.own, variables)
        return CompiledRoot(root.locations, others, own)

    def _writer(self, selection: UserSelection, variables: VariableValues) -> UserWriter:
        """Compile a selection of users."""
        sources = selection.needs.sources
        records = [f"record{number}" for number in range(len(sources))]
        by_source = dict(zip(sources, records, strict=True))

        def arguments_of(kind: str, field: PlannedField) -> Mapping[str, Any]:
            in_schema = cast("GraphQLObjectType", self._types[kind]).fields[field.name]
            return get_argument_values(in_schema, field.nodes[0], variables)

        writer = FunctionWriter(self._definition, arguments_of)
        fields: list[FieldFailure] = []
        whole: list[str] = []
        partial: list[str] = []
        for field in selection.fields:
            wrong, value = self._field(field, variables, writer, by_source)
            sources_of_field = () if field.hidden else field.sources
            definition = self._definition.by_name.get(field.name)
            reads = frozenset[str]() if definition is None else definition.reads
            fields.append(FieldFailure(field.key, sources_of_field, reads, wrong, field.locations))
            unknown = [f"{by_source[source]} is None" for source in sources_of_field]
            missing = " or ".join([f"{field.key!r} in failed", *unknown])
            item = f"{field.key!r}: {value}"
            whole.append(item)
            partial.append(f"{field.key!r}: None if {missing} else {value}" if unknown else item)
        write_known = writer.function(["failed", "key", *records], f"{{{', '.join(partial)}}}")
        everywhere = " and ".join(f"{record} is not None" for record in records)
        nowhere = " and ".join(f"{record} is None" for record in records)
        rest = f"None if {nowhere} else {writer.bind(write_known)}((), key, {', '.join(records)})"
        text = f"{{{', '.join(whole)}}} if {everywhere} else {rest}"
        return UserWriter(
            fields=fields,
            write_user=writer.function(["key", *records], text),
            write_known=write_known,
            always_wrong=any(field.wrong is not None for field in fields),
        )

    def _field(
        self,
        field: PlannedField,
        variables: VariableValues,
        writer: FunctionWriter,
        records: Mapping[str, str],
    ) -> tuple[GatewayError | None, str]:
        """Compile a field of a user: the error that it always has, or the text of its value."""
        if field.hidden:
            return refusal(field.name, self._policies[field.name]), "None"
        if field.name in self._own_fields:
            return None, self._own_fields[field.name]
        definition = self._definition.by_name.get(field.name)
        if definition is None or definition.pages is not None:
            raise NotCoveredError(f"the field {field.name}, which asks on its own")
        if isinstance(definition.kind, NonNullTypeNode):
            raise NotCoveredError(f"the field {field.name}, without which there is no user")
        record = writer.joined([records[source] for source in field.sources])
        value = f"{record}.{definition.attribute}"
        if definition.assumed_size is not None or definition.computation is not None:
            in_schema = self._user.fields[field.name]
            arguments = get_argument_values(in_schema, field.nodes[0], variables)
            try:
                value = f"{writer.bind(definition.reader(arguments))}({record})"
            except BadUserInputError as error:
                return bare(error), "None"
        return None, writer.value(definition.kind, field.fields, value)


class CompiledSelection:
    """The compiled selection of an operation. A ``CompiledOperation``.

    Attributes:
        roots: The compiled root fields, by response key.
    """

    def __init__(self, roots: Mapping[str, CompiledRoot]) -> None:
        self.roots = roots

    @property
    def bytes(self) -> int:
        """Estimated size in memory, in bytes."""
        writers = [writer for root in self.roots.values() for writer in (root.others, root.own)]
        distinct = {id(writer): writer for writer in writers if writer is not None}.values()
        return ROOT_BYTES * len(self.roots) + sum(
            WRITER_BYTES
            + FIELD_BYTES * len(writer.fields)
            + function_bytes([writer.write_user, writer.write_known])
            for writer in distinct
        )

    def render(
        self, plan: Plan, results: Results, *, required: Collection[str], request_id: str
    ) -> Rendered:
        """Render the response.

        Args:
            plan: The plan of the request. Its root fields are the compiled ones.
            results: The source results.
            required: Names of the sources without whose record a user does not exist.
            request_id: The request id, which is shown with masked errors.

        Returns:
            The data and the errors of the response.

        Raises:
            Exception: A bug of ours. The executor finds the same bug, and the field of it.
        """
        rendering = _Rendering(results, required, request_id)
        data = {key: rendering.root(root, self.roots[key]) for key, root in plan.roots.items()}
        errors: Sequence[GraphQLFormattedError] = rendering.errors
        if errors and any(len(root.groups) > 1 or root.wrong for root in plan.roots.values()):
            # Some users of a field were rendered apart from the others.
            errors = in_answer_order(errors, data)
        return Rendered(data, errors, rendering.bugs)


class _Rendering:
    """One run of a compiled operation. Collects the errors while it makes the users."""

    def __init__(self, results: Results, required: Collection[str], request_id: str) -> None:
        self.errors: list[GraphQLFormattedError] = []
        self.bugs: list[GraphQLError] = []
        self._results = results
        self._required = required
        self._request_id = request_id

    def root(self, root: PlannedRoot, compiled: CompiledRoot) -> object:
        """Return the value of a root field.

        Args:
            root: The planned root field.
            compiled: The same root field, compiled.

        Returns:
            The value in the response: the users, one user, or a type name.
        """
        if compiled.others is None or compiled.own is None:
            return "Query"  # the field is __typename
        found = [results_of(group, self._results) for group in root.groups]
        failed = root.error or next((one.bug for one in found if one.bug is not None), None)
        if failed is not None:
            self._fail(root.selection, failed, [root.selection.key])
            return None
        users: list[UserData | None]
        if len(root.groups) == 1 and len(root.groups[0].keys) == root.count:  # the common case
            [group] = root.groups
            writer = compiled.own if group.is_own else compiled.others
            users = self._users(root.selection, compiled, writer, group, found[0])
        else:
            users = [None] * (root.count or 0)
            for place, error in root.wrong.items():
                path: list[str | int] = [root.selection.key]
                self._fail(
                    root.selection, error, [*path, place] if root.selection.is_list else path
                )
            for group, of_group in zip(root.groups, found, strict=True):
                writer = compiled.own if group.is_own else compiled.others
                members = self._users(root.selection, compiled, writer, group, of_group)
                for place, user in zip(group.places, members, strict=True):
                    users[place] = user
        return users if root.selection.is_list else users[0]

    def _users(
        self,
        root: RootSelection,
        compiled: CompiledRoot,
        writer: UserWriter,
        group: UserGroup,
        found: GroupResults,
    ) -> list[UserData | None]:
        """Make the users of a group. The caller may see the same fields of all of them."""
        if found.whole and not writer.always_wrong:
            return list(map(writer.write_user, group.keys, *found.columns))
        users: list[UserData | None] = []
        for place, key, *row in zip(group.places, group.keys, *found.columns, strict=True):
            path: list[str | int] = [root.key, place] if root.is_list else [root.key]
            needs = group.selection.needs
            outcome = outcome_of(dict(zip(needs.sources, row, strict=True)), needs, self._required)
            if outcome.failure is not None:
                self._add_source_error(outcome.failure, compiled.locations, path)
            if not outcome.known:
                users.append(None)
                continue
            failed = self._add_field_errors(writer, outcome, path)
            users.append(writer.write_known(failed, key, *map(record_in, row)))
        return users

    def _add_field_errors(
        self, writer: UserWriter, outcome: Outcome, path: list[str | int]
    ) -> Collection[str]:
        """Add the errors of the fields of one user, and return their response keys."""
        failed: set[str] = set()
        for field in writer.fields:
            if field.wrong is not None:
                place = [*path, field.key]
                self._add_error(field.wrong.message, field.locations, place, field.wrong.code)
            elif (failure := outcome.failure_of(field.sources, field.reads)) is not None:
                self._add_source_error(failure, field.locations, [*path, field.key])
                failed.add(field.key)
        return failed

    def _add_source_error(
        self,
        failure: SourceFailure,
        locations: Sequence[FormattedSourceLocation],
        path: list[str | int],
    ) -> None:
        """Add the error of a failed source at a path."""
        self._add_error(failure.message, locations, path, failure.code, failure.public_source)

    def _add_error(
        self,
        message: str,
        locations: Sequence[FormattedSourceLocation],
        path: list[str | int],
        code: Code,
        source: str | None = None,
    ) -> None:
        """Add an error at a path."""
        extensions = {"code": code.value} | ({"source": source} if source is not None else {})
        self.errors.append(
            {
                "message": message,
                "locations": list(locations),
                "path": path,
                "extensions": extensions,
            }
        )

    def _fail(self, root: RootSelection, error: Exception, path: list[str | int]) -> None:
        """Add the error of a root field, or of one key in its arguments."""
        located = located_error(error, root.nodes, path)
        self.bugs.append(located)
        self.errors.append(
            public_error(located, otherwise=Code.BAD_USER_INPUT, request_id=self._request_id)
        )
