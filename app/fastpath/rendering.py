"""One run of a compiled operation: from the source results to data and errors.

Part of ``compiled.py``, which says what it replaces.
"""

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import NoneType
from typing import Any, TypeAlias, cast

from graphql import GraphQLError, GraphQLFormattedError, located_error
from graphql.language.location import FormattedSourceLocation
from msgspec import Raw, Struct

from app.errors import Code, GatewayError, SourceError, SourceFailure, bare
from app.execution.outcome import DAMAGES, GroupResults, Outcome, outcome_of, results_of
from app.execution.plan import PlannedRoot, RootSelection, SourceNeeds, UserGroup
from app.execution.render import PageResults, PagesOfList, RenderRequest
from app.execution.repeated_errors import RepeatedErrors
from app.execution.response_errors import public_error
from app.fastpath.kept_users import KeptUsers
from app.fastpath.lists import CompiledList, ListArguments, lists_of
from app.fastpath.user_writer import CompiledRoot, UserData, UserWriter
from app.schema.connection import ResolvedPage
from app.sources.base import DamagedRecord, PageRequest, PageSpec, UserId
from app.sources.results import Result, record_in

RenderedUser: TypeAlias = UserData | Raw | None
"""A user in the response, or the user as JSON; ``None`` if it is unknown or has failed."""


class Rendering:
    """One run of a compiled operation. Collects the errors while it makes the users.

    Attributes:
        errors: The errors so far, as clients see them.
        repeated: The errors of all users of the only root field, if each has the same; ``None`` if
            ``errors`` has all errors.
        bugs: Errors that may be bugs of ours.
        ended: The first error of a field that may not be ``null``.
    """

    def __init__(
        self, request: RenderRequest, pages: PageResults, kept: KeptUsers | None = None
    ) -> None:
        self.errors: list[GraphQLFormattedError] = []
        self.repeated: RepeatedErrors | None = None
        self.bugs: list[GraphQLError] = []
        self.ended: GraphQLFormattedError | None = None
        self._request = request
        self._pages = pages
        self._kept = kept

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
        users: Sequence[RenderedUser]
        if len(root.groups) == 1 and len(root.groups[0].keys) == root.count:  # the common case
            [group] = root.groups
            writer = compiled.own if group.is_own else compiled.others
            alone = len(self._request.plan.roots) == 1
            users = self._users(root.selection, compiled, writer, group, found[0], alone=alone)
        else:
            every: list[RenderedUser] = [None] * (root.count or 0)
            for place, error in root.wrong.items():
                path: list[str | int] = [root.selection.key]
                self._fail(
                    root.selection, error, [*path, place] if root.selection.is_list else path
                )
            for group, of_group in zip(root.groups, found, strict=True):
                writer = compiled.own if group.is_own else compiled.others
                members = self._users(root.selection, compiled, writer, group, of_group)
                for place, user in zip(group.places, members, strict=True):
                    every[place] = user
            users = every
        return users if root.selection.is_list else users[0]

    def _users(
        self,
        root: RootSelection,
        compiled: CompiledRoot,
        writer: UserWriter,
        group: UserGroup,
        found: GroupResults,
        *,
        alone: bool = False,
    ) -> Sequence[RenderedUser]:
        """Make the users of a group, perhaps all there are. The caller may see the same of all."""
        if found.whole and not (writer.always_wrong or writer.lists):
            if writer.number is not None and self._kept is not None:
                if (kept := self._kept.users(writer, group.keys, found.columns)) is not None:
                    return kept
            else:
                users: list[UserData | None] = [*map(writer.write_user, group.keys, *found.columns)]
                if not (writer.never_null and any(map(writer.lacks, users))):
                    return users
        if root.is_list and _is_same_for_all(found.columns, group.selection.needs):
            equal = self._equal_users(root, writer, group, found, alone=alone)
            if equal is not None:
                return equal
        return self._different_users(root, compiled, writer, group, found)

    def _different_users(
        self,
        root: RootSelection,
        compiled: CompiledRoot,
        writer: UserWriter,
        group: UserGroup,
        found: GroupResults,
    ) -> list[UserData | None]:
        """Make the users of a group, each by its own results."""
        users: list[UserData | None] = []
        needs = group.selection.needs
        lists = [
            (one, arguments, self._pages.get(one.spec, {}))
            for one, arguments in lists_of(writer.lists, self._request.variables)
        ]
        # A source that fails gives all users of a batch the same failure. What it does to a user is
        # found once for all of them.
        known: dict[Hashable, _Consequence] = {}
        for place, key, *row in zip(group.places, group.keys, *found.columns, strict=True):
            path: list[str | int] = [root.key, place] if root.is_list else [root.key]
            # Without failures, only the missing records decide.
            shape = tuple([one is None for one in row]) if found.whole else _shape_of(row)
            consequence = known.get(shape)
            if consequence is None:
                consequence = self._consequence(writer, needs, row)
                if shape is not None:
                    known[shape] = consequence
            outcome, failures = consequence.outcome, consequence.failures
            if outcome.failure is not None:
                self._add_source_error(outcome.failure, compiled.locations, path)
            if not outcome.known:
                users.append(None)
                continue
            shown: list[ResolvedPage | None] = []
            if lists:
                results = dict(zip(needs.sources, row, strict=True))
                shown, wrong = self._pages_of(key, results, lists)
                failures = {**failures, **wrong}
            user = writer.write_known(failures, key, *map(record_in, row), *shown)
            if consequence.errors is not None:
                self.errors += [
                    cast("GraphQLFormattedError", {**error, "path": [*path, name]})
                    for name, error in consequence.errors
                ]
                users.append(user)
            else:
                complete = self._add_field_errors(writer, user, failures, path)
                users.append(user if complete else None)
        return users

    def _equal_users(
        self,
        root: RootSelection,
        writer: UserWriter,
        group: UserGroup,
        found: GroupResults,
        *,
        alone: bool,
    ) -> list[UserData | None] | None:
        """Make users that all lack the same fields; ``None`` if each is another matter."""
        consequence = self._consequence(
            writer, group.selection.needs, [column[0] for column in found.columns]
        )
        if consequence.errors is None or not consequence.outcome.known:
            return None
        records = [
            [None] * len(column) if type(column[0]) is SourceFailure else column
            for column in found.columns
        ]
        repeated = RepeatedErrors(root.key, group.places, consequence.errors)
        if alone:
            self.repeated = repeated
        else:
            self.errors += repeated
        write = partial(writer.write_known, consequence.failures)
        return [*map(write, group.keys, *records)]

    def _consequence(
        self, writer: UserWriter, needs: SourceNeeds, row: Sequence[Result]
    ) -> "_Consequence":
        """Find what the results of a user's sources do to the user."""
        results = dict(zip(needs.sources, row, strict=True))
        outcome = outcome_of(results, needs, self._request.required)
        failures = {
            field.key: failure
            for field in writer.fields
            if (failure := outcome.failure_of(field.sources, field.reads)) is not None
        }
        if writer.lists or writer.never_null or self._request.on_error == "PROPAGATE":
            return _Consequence(outcome, failures, None)
        errors = [
            (field.key, _error_of(error, field.locations, []))
            for field in writer.fields
            if (error := field.wrong or failures.get(field.key)) is not None
        ]
        return _Consequence(outcome, failures, errors)

    def _pages_of(
        self,
        user: UserId,
        results: Mapping[str, Result],
        lists: Sequence[tuple[CompiledList, ListArguments, PagesOfList]],
    ) -> tuple[list[ResolvedPage | None], Mapping[str, GatewayError]]:
        """Return the page of each list of a user, and the errors by response key."""
        shown: list[ResolvedPage | None] = []
        wrong: dict[str, GatewayError] = {}
        for one, arguments, pages in lists:
            try:
                shown.append(one.page(user, results, arguments, pages))
            except GatewayError as error:
                wrong[one.key] = bare(error)
                shown.append(None)
        return shown, wrong

    def wanted_pages(
        self, root: PlannedRoot, compiled: CompiledRoot, null: Collection[int]
    ) -> Iterator[tuple[PageSpec[Any], Sequence[PageRequest]]]:
        """Yield the pages that a root field needs, by their lists. A list may come several times.

        Args:
            root: The planned root field.
            compiled: The same root field, compiled.
            null: The positions of users that are ``null`` without any page.

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
            wanted: list[list[PageRequest]] = [[] for _ in lists]
            for place, key, *row in zip(group.places, group.keys, *found.columns, strict=True):
                if place in null:
                    continue
                results = dict(zip(needs.sources, row, strict=True))
                if not outcome_of(results, needs, self._request.required).known:
                    continue
                for (one, arguments), requests in zip(lists, wanted, strict=True):
                    with suppress(GatewayError):
                        if (request := one.request(key, results, arguments)) is not None:
                            requests.append(request)
            yield from (
                (one.spec, requests) for (one, _), requests in zip(lists, wanted, strict=True)
            )

    def _add_field_errors(
        self,
        writer: UserWriter,
        user: UserData,
        failures: Mapping[str, SourceFailure | GatewayError],
        path: list[str | int],
    ) -> bool:
        """Add the errors of the fields of one user; return whether none propagates to the user."""
        first = len(self.errors)
        for field in writer.fields:
            failure = failures.get(field.key)
            if failure is None and field.wrong is None and user[field.key] is None:
                failure = field.missing
            error = field.wrong or failure
            if error is None:
                continue
            self.errors.append(_error_of(error, field.locations, [*path, field.key]))
            if self._request.on_error == "PROPAGATE" and not field.nullable:
                # Lists wait for calls of their own, so the executor never comes to their errors.
                lists = [[*path, one.key] for one in writer.lists if one.key != field.key]
                earlier = self.errors[first:]
                self.errors[first:] = [one for one in earlier if one.get("path") not in lists]
                return False
        return True

    def _add_source_error(
        self,
        failure: SourceFailure,
        locations: Sequence[FormattedSourceLocation],
        path: list[str | int],
    ) -> None:
        """Add the error of a failed source at a path."""
        self.errors.append(_error_of(failure, locations, path))

    def _fail(self, root: RootSelection, error: Exception, path: list[str | int]) -> None:
        """Add the error of a root field, or of one key in its arguments."""
        located = located_error(error, root.nodes, path)
        self.bugs.append(located)
        self.errors.append(
            public_error(
                located, otherwise=Code.BAD_USER_INPUT, request_id=self._request.request_id
            )
        )


def null_users(root: PlannedRoot, value: object) -> Collection[int]:
    """Find the users of a root field that are ``null``.

    Args:
        root: The planned root field.
        value: Its value in a response.

    Returns:
        Their positions.
    """
    if value is None or not root.selection.is_list:
        return range(root.count or 0) if value is None else ()
    users = cast("Sequence[object]", value)
    return {place for place, user in enumerate(users) if user is None}


def _is_same_for_all(columns: Sequence[Sequence[Result]], needs: SourceNeeds) -> bool:
    """Return whether all users of a group exist, and each source failed for all or for none."""
    known = needs.exists
    for column in columns:
        if not column:
            return False
        if type(column[0]) is SourceFailure:
            if column.count(column[0]) < len(column):
                return False
            known = True
        else:
            kinds = {*map(type, column)}
            if not kinds.isdisjoint(DAMAGES):
                return False
            known = known or NoneType not in kinds
    return known


class _Consequence(Struct, frozen=True):
    """What the results of a user's sources do to the user.

    Attributes:
        outcome: What becomes of the user.
        failures: The failures of fields, by response key.
        errors: The errors of fields by response key, without their paths; ``None`` if they are
            another matter for each user.
    """

    outcome: Outcome
    failures: Mapping[str, SourceFailure | GatewayError]
    errors: Sequence[tuple[str, GraphQLFormattedError]] | None


def _shape_of(row: Sequence[Result]) -> Hashable | None:
    """Return what decides about a user; ``None`` if a record is damaged, which is its own matter.

    Rows with equal values have the same failures, and lack the same records.
    """
    if any(type(one) is DamagedRecord for one in row):
        return None
    return tuple([id(one) if type(one) is SourceFailure else one is None for one in row])


def _error_of(
    error: SourceFailure | GatewayError,
    locations: Sequence[FormattedSourceLocation],
    path: list[str | int],
) -> GraphQLFormattedError:
    """Make the error at a path, as clients see it."""
    failure = error.failure if isinstance(error, SourceError) else error
    source = failure.public_source if isinstance(failure, SourceFailure) else None
    return {
        "message": failure.message,
        "locations": list(locations),
        "path": path,
        "extensions": {"code": failure.code.value}
        | ({"source": source} if source is not None else {}),
    }
