"""Lists that are read page by page, in compiled operations.

Part of ``compiled.py``, which says what it replaces. The pages are requested after the records: a
user whom the source does not know has no pages.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphql.execution.values import VariableValues
from msgspec import Struct

from app.errors import SourceError, SourceFailure
from app.schema.connection import ResolvedPage, page_request, resolved_page
from app.schema.definitions import DEFAULT_FIRST
from app.sources.base import PageRequest, PageResult, PageSpec, UserId
from app.sources.results import Result, record_in

LIST_BYTES = 400
"""Estimated bytes of a ``CompiledList``, without the field. A test checks all estimates."""


class ListArguments(Struct, frozen=True):
    """The arguments of a list, as one request has them.

    Attributes:
        first: The number of items.
        after: The cursor after which the page starts; ``None`` for the first page.
    """

    first: int
    after: str | None


class CompiledList(Struct, frozen=True):
    """A field of a user that is a list, read page by page.

    Attributes:
        key: The response key.
        spec: The list.
        sources: The sources that say whether there is such a user.
        coerce: Coerces the arguments of the field. They are no part of what is compiled, because
            each page has another cursor.
    """

    key: str
    spec: PageSpec[Any]
    sources: tuple[str, ...]
    coerce: Callable[[VariableValues], Mapping[str, Any]]

    def arguments(self, variables: VariableValues) -> ListArguments:
        """Read the arguments.

        Args:
            variables: The coerced values of the operation's variables.

        Returns:
            The arguments.
        """
        given = self.coerce(variables)
        first = given.get("first")
        return ListArguments(DEFAULT_FIRST if first is None else first, given.get("after"))

    def request(
        self, user: UserId, results: Mapping[str, Result], arguments: ListArguments
    ) -> PageRequest | None:
        """Make the request of a page.

        Args:
            user: The id of the user.
            results: The results of the user's sources.
            arguments: The arguments of the list.

        Returns:
            The request; ``None`` if the source does not know the user.

        Raises:
            BadUserInputError: An argument is wrong, for this user.
            SourceError: The source has failed.
        """
        request = page_request(user, self.spec.list, arguments.first, arguments.after)
        known = True
        for name in self.sources:
            result = results[name]
            if isinstance(result, SourceFailure):
                raise SourceError(result)
            known = known and record_in(result) is not None
        return request if known else None

    def page(
        self,
        user: UserId,
        results: Mapping[str, Result],
        arguments: ListArguments,
        pages: Mapping[PageRequest, PageResult[Any]],
    ) -> ResolvedPage | None:
        """Return the page of a user.

        Args:
            user: The id of the user.
            results: The results of the user's sources.
            arguments: The arguments of the list.
            pages: The results of all pages of this list.

        Returns:
            The page; ``None`` if the source does not know the user.

        Raises:
            BadUserInputError: An argument is wrong, for this user.
            SourceError: The source has failed.
        """
        request = self.request(user, results, arguments)
        if request is None:
            return None
        return resolved_page(self.spec.list, request, pages.get(request))


def lists_of(
    lists: Sequence[CompiledList], variables: VariableValues
) -> Sequence[tuple[CompiledList, ListArguments]]:
    """Read the arguments of lists.

    Args:
        lists: The lists.
        variables: The coerced values of the operation's variables.

    Returns:
        Each list with its arguments.
    """
    return [(one, one.arguments(variables)) for one in lists]
