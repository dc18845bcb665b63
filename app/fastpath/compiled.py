"""Compiled operations: a generated function makes the response directly from the records.

Replaces: Strawberry's executor with its resolvers (``execution/executor.py``,
    ``execution/schema.py``).
Switch: ``GATEWAY_FASTPATH__COMPILED``.
Gains: docs/performance.md has the figures.
Proof: tests/fastpath/test_compiled.py checks that both give the same responses.

It covers all operations except those that ``docs/performance.md`` lists. The executor renders
these, and its resolvers define what is right.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLFormattedError,
    GraphQLNonNull,
    GraphQLObjectType,
    located_error,
)
from graphql.execution.values import VariableValues, get_argument_values
from graphql.language.location import FormattedSourceLocation

from app.auth.policies import refusal
from app.errors import BadUserInputError, Code, GatewayError, SourceError, SourceFailure, bare
from app.execution.outcome import GroupResults, outcome_of, results_of
from app.execution.plan import (
    PlannedField,
    PlannedRoot,
    RootSelection,
    UserGroup,
    UserSelection,
)
from app.execution.render import (
    ExecutorReason,
    NotCompiled,
    NotCoveredError,
    PageFetch,
    PageResults,
    Rendered,
    RenderRequest,
)
from app.execution.response_errors import in_answer_order, public_error
from app.execution.schema import GatewaySchema
from app.execution.selection import variables_in
from app.fastpath.code import FunctionWriter, function_bytes
from app.fastpath.lists import LIST_BYTES, CompiledList, lists_of
from app.schema.connection import ResolvedPage
from app.sources.base import FieldSet, PageRequest, PageSpec
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
        missing: The failure if there is no value; ``None`` if the field may be ``null``.
        nullable: Whether the field may be ``null`` by the schema.
        locations: The locations of the field in the document.
    """

    key: str
    sources: tuple[str, ...]
    reads: FieldSet
    wrong: GatewayError | None
    missing: SourceFailure | None
    nullable: bool
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
        never_null: The response keys of the fields that need a value.
        lists: The lists that are read page by page. The functions get their pages after the
            records.
    """

    fields: Sequence[FieldFailure]
    write_user: Callable[..., UserData | None]
    write_known: Callable[..., UserData]
    always_wrong: bool
    never_null: Sequence[str] = ()
    lists: Sequence[CompiledList] = ()


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
        self._lists = {one.name for one in schema.definition.fields if one.pages is not None}
        # The fields whose arguments become part of what is compiled.
        of_users = [one.name for one in schema.definition.fields if one.assumed_size is not None]
        inner = [one for kind in schema.definition.objects for one in kind.fields]
        self._compiled_in = {
            *of_users,
            *(one.name for one in inner if one.assumed_size is not None),
        }
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

    def deciding_variables(
        self, document: DocumentNode, user_roots: Collection[str]
    ) -> tuple[str, ...]:
        """List the variables that decide what an operation selects and how it is compiled.

        Args:
            document: The document.
            user_roots: The root fields whose arguments name users.

        Returns:
            Names of the variables that are used anywhere except in arguments that name users, and
            in those of lists that are read page by page.
        """
        return variables_in(document.definitions, {*user_roots, *self._lists} - self._compiled_in)

    def _root(self, root: RootSelection, variables: VariableValues) -> CompiledRoot:
        """Compile a root field."""
        if root.others is None or root.own is None:
            if root.name != "__typename":
                why = NotCompiled(ExecutorReason.INTROSPECTION, f"the field {root.name}")
                raise NotCoveredError(why)
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
        lists: list[CompiledList] = []
        for field in selection.fields:
            if not field.hidden and (one := self._list(field)) is not None:
                wrong, value = None, self._connection(field, writer, f"page{len(lists)}")
                lists.append(one)
            else:
                wrong, value = self._field(field, variables, writer, by_source)
            failure = self._failure(field, wrong)
            fields.append(failure)
            unknown = [f"{by_source[source]} is None" for source in failure.sources]
            missing = " or ".join([f"{field.key!r} in failed", *unknown])
            item = f"{field.key!r}: {value}"
            whole.append(item)
            partial.append(f"{field.key!r}: None if {missing} else {value}" if unknown else item)
        values = [*records, *(f"page{number}" for number in range(len(lists)))]
        write_known = writer.function(["failed", "key", *values], f"{{{', '.join(partial)}}}")
        everywhere = " and ".join(f"{record} is not None" for record in records)
        nowhere = " and ".join(f"{record} is None" for record in records)
        rest = f"None if {nowhere} else {writer.bind(write_known)}((), key, {', '.join(values)})"
        text = f"{{{', '.join(whole)}}} if {everywhere} else {rest}"
        return UserWriter(
            fields=fields,
            write_user=writer.function(["key", *values], text),
            write_known=write_known,
            always_wrong=any(field.wrong is not None for field in fields),
            never_null=[field.key for field in fields if field.missing is not None],
            lists=lists,
        )

    def _list(self, field: PlannedField) -> CompiledList | None:
        """Compile a list that is read page by page; ``None`` if the field is something else."""
        definition = self._definition.by_name.get(field.name)
        if definition is None or definition.pages is None:
            return None
        in_schema, node = self._user.fields[field.name], field.nodes[0]

        def coerce(variables: VariableValues) -> Mapping[str, Any]:
            return get_argument_values(in_schema, node, variables)

        return CompiledList(field.key, definition.pages, field.sources, coerce)

    def _connection(self, field: PlannedField, writer: FunctionWriter, page: str) -> str:
        """Compile a page of a list: the text of its value."""
        return writer.value(self._definition.by_name[field.name].shown, field.fields, page)

    def _failure(self, field: PlannedField, wrong: GatewayError | None) -> FieldFailure:
        """Collect the errors that a field of a user can have."""
        definition = self._definition.by_name.get(field.name)
        kind: object = self._user.fields[field.name].type if definition is not None else None
        is_list = definition is not None and definition.pages is not None
        return FieldFailure(
            key=field.key,
            # A list finds its own failures, because those of its arguments come first.
            sources=() if field.hidden or is_list else field.sources,
            reads=frozenset() if definition is None else definition.reads,
            wrong=wrong,
            missing=None if definition is None else definition.missing,
            nullable=not isinstance(kind, GraphQLNonNull),
            locations=field.locations,
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
        if definition is None:
            why = NotCompiled(ExecutorReason.INTROSPECTION, f"the field {field.name}")
            raise NotCoveredError(why)
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
        self._has_lists = any(writer.lists for writer in self._writers)

    @property
    def _writers(self) -> Collection[UserWriter]:
        """All writers, each once."""
        every = [writer for root in self.roots.values() for writer in (root.others, root.own)]
        return {id(writer): writer for writer in every if writer is not None}.values()

    @property
    def bytes(self) -> int:
        """Estimated size in memory, in bytes."""
        return ROOT_BYTES * len(self.roots) + sum(
            WRITER_BYTES
            + FIELD_BYTES * len(writer.fields)
            + LIST_BYTES * len(writer.lists)
            + function_bytes([writer.write_user, writer.write_known])
            for writer in self._writers
        )

    @property
    def has_lists(self) -> bool:
        """Whether it has lists that are read page by page."""
        return self._has_lists

    def pages(self, request: RenderRequest) -> Sequence[PageFetch]:
        """List the pages that the response needs.

        Args:
            request: What the response is rendered of.

        Returns:
            The pages, by list. There are none if ``HALT`` ends the operation before.
        """
        if request.on_error == "HALT" and self.render(request, {}).errors:
            return []
        rendering = _Rendering(request, {})
        wanted: dict[PageSpec[Any], dict[PageRequest, None]] = {}
        for key, root in request.plan.roots.items():
            for spec, one in rendering.wanted_pages(root, self.roots[key]):
                wanted.setdefault(spec, {})[one] = None
        return [PageFetch(spec, [*requests]) for spec, requests in wanted.items()]

    def render(self, request: RenderRequest, pages: PageResults) -> Rendered:
        """Render the response.

        Args:
            request: What the response is rendered of. The root fields of its plan are the compiled
                ones.
            pages: The results of all pages that ``pages`` lists.

        Returns:
            The data and the errors of the response.

        Raises:
            Exception: A bug of ours. The executor finds the same bug, and the field of it.
        """
        plan, on_error = request.plan, request.on_error
        rendering = _Rendering(request, pages)
        data: dict[str, Any] | None = {
            key: rendering.root(root, self.roots[key]) for key, root in plan.roots.items()
        }
        errors: Sequence[GraphQLFormattedError] = rendering.errors
        apart = any(len(root.groups) > 1 or root.wrong for root in plan.roots.values())
        if errors and (apart or on_error == "PROPAGATE"):
            # Some users of a field were rendered apart from the others, or are null now.
            errors = in_answer_order(errors, data)
        if on_error == "PROPAGATE" and rendering.ended is not None:
            data, errors = None, [rendering.ended]
        elif on_error == "HALT" and errors:
            data, errors = None, errors[:1]
        return Rendered(data, errors, rendering.bugs)


class _Rendering:
    """One run of a compiled operation. Collects the errors while it makes the users.

    Attributes:
        errors: The errors so far, as clients see them.
        bugs: Errors that may be bugs of ours.
        ended: The first error of a field that may not be ``null``.
    """

    def __init__(self, request: RenderRequest, pages: PageResults) -> None:
        self.errors: list[GraphQLFormattedError] = []
        self.bugs: list[GraphQLError] = []
        self.ended: GraphQLFormattedError | None = None
        self._request = request
        self._pages = pages

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
        found = [results_of(group, self._request.results) for group in root.groups]
        failed = root.error or next((one.bug for one in found if one.bug is not None), None)
        if failed is not None:
            self._fail(root.selection, failed, [root.selection.key])
            if not root.selection.nullable:
                self.ended = self.ended or self.errors[-1]
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
        users: list[UserData | None]
        if found.whole and not (writer.always_wrong or writer.lists):
            users = list(map(writer.write_user, group.keys, *found.columns))
            if not any(_lacks(user, writer.never_null) for user in users if writer.never_null):
                return users
        users, needs = [], group.selection.needs
        lists = lists_of(writer.lists, self._request.variables)
        for place, key, *row in zip(group.places, group.keys, *found.columns, strict=True):
            path: list[str | int] = [root.key, place] if root.is_list else [root.key]
            results = dict(zip(needs.sources, row, strict=True))
            outcome = outcome_of(results, needs, self._request.required)
            if outcome.failure is not None:
                self._add_source_error(outcome.failure, compiled.locations, path)
            if not outcome.known:
                users.append(None)
                continue
            failures: dict[str, SourceFailure | GatewayError] = {
                field.key: failure
                for field in writer.fields
                if (failure := outcome.failure_of(field.sources, field.reads)) is not None
            }
            shown: list[ResolvedPage | None] = []
            for one, arguments in lists:
                pages = self._pages.get(one.spec, {})
                try:
                    shown.append(one.page(key, results, arguments, pages))
                except GatewayError as error:
                    failures[one.key] = bare(error)
                    shown.append(None)
            user = writer.write_known(failures, key, *map(record_in, row), *shown)
            complete = self._add_field_errors(writer, user, failures, path)
            users.append(user if complete else None)
        return users

    def wanted_pages(
        self, root: PlannedRoot, compiled: CompiledRoot
    ) -> Iterator[tuple[PageSpec[Any], PageRequest]]:
        """Yield the pages that a root field needs, with their lists.

        Args:
            root: The planned root field.
            compiled: The same root field, compiled.

        Yields:
            The pages. A page that cannot be requested is left out: it is an error in the response.
        """
        for group in root.groups:
            writer = compiled.own if group.is_own else compiled.others
            lists = lists_of(writer.lists if writer else (), self._request.variables)
            found = results_of(group, self._request.results) if lists else None
            if found is None or found.bug is not None:
                continue
            needs = group.selection.needs
            for key, *row in zip(group.keys, *found.columns, strict=True):
                results = dict(zip(needs.sources, row, strict=True))
                if not outcome_of(results, needs, self._request.required).known:
                    continue
                for one, arguments in lists:
                    with suppress(GatewayError):
                        if (request := one.request(key, results, arguments)) is not None:
                            yield one.spec, request

    def _add_field_errors(
        self,
        writer: UserWriter,
        user: UserData,
        failures: Mapping[str, SourceFailure | GatewayError],
        path: list[str | int],
    ) -> bool:
        """Add the errors of the fields of one user; return whether none propagates to the user."""
        for field in writer.fields:
            place = [*path, field.key]
            failure = failures.get(field.key)
            if failure is None and field.wrong is None and user[field.key] is None:
                failure = field.missing
            error = field.wrong or failure
            if isinstance(error, SourceError):
                error = error.failure
            if error is None:
                continue
            if isinstance(error, SourceFailure):
                self._add_source_error(error, field.locations, place)
            else:
                self._add_error(error.message, field.locations, place, error.code)
            if self._request.on_error == "PROPAGATE" and not field.nullable:
                return False
        return True

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
            public_error(
                located, otherwise=Code.BAD_USER_INPUT, request_id=self._request.request_id
            )
        )


def _lacks(user: UserData | None, keys: Sequence[str]) -> bool:
    """Return whether a user lacks one of some values."""
    return user is not None and any(user[key] is None for key in keys)
