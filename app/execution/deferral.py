"""Compiled answers in several payloads: the first one, and then one for each deferred fragment.

The selection of an operation is divided: into the fields of the first payload, and into those of
each deferred fragment. Each part is compiled as an operation of its own. This covers fragments on
users that do not depend on each other. All other operations with ``@defer`` or ``@stream`` are left
to graphql-core's incremental executor, which defines what is right.

It is async because each payload waits for its own sources.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLError, GraphQLFormattedError, SelectionNode
from msgspec import Struct
from msgspec.structs import replace

from app.errors import GatewayError, SourceError
from app.execution.fetching import RunningFetches
from app.execution.incremental import Completed, DeferredData, Payload, Pending
from app.execution.load import Loaders
from app.execution.plan import (
    Plan,
    PlannedRoot,
    RootSelection,
    SourceNeeds,
    UserSelection,
)
from app.execution.render import CompiledOperation, PageResults, Rendered, RenderRequest
from app.execution.running_users import outcomes

LogBugs = Callable[[Sequence[GraphQLError]], None]
"""Logs the bugs of ours among errors."""


class DeferredSelection(Struct, frozen=True):
    """The selection of one deferred fragment.

    Attributes:
        label: The label of its ``@defer``, if it has one.
        root: The root field with the fields of the fragment only.
    """

    label: str | None
    root: RootSelection


class DividedSelection(Struct, frozen=True):
    """The selection of an operation, divided into payloads.

    Attributes:
        first: The root fields with the fields of the first payload.
        deferred: The deferred fragments, in the order of the document.
    """

    first: Sequence[RootSelection]
    deferred: Sequence[DeferredSelection]


def divided(
    roots: Sequence[RootSelection], delayed: Sequence[SelectionNode]
) -> DividedSelection | None:
    """Divide the selection of an operation into payloads.

    Args:
        roots: The root fields of the operation.
        delayed: All selections to which ``@defer`` or ``@stream`` applies.

    Returns:
        The parts; ``None`` if something is delayed that is no fragment of users, or if fragments
        depend on each other.
    """
    found = {id(one.node) for root in roots for one in root.deferred or ()}
    if any(root.deferred is None for root in roots) or {*map(id, delayed)} != found:
        return None
    first: list[RootSelection] = []
    later: list[DeferredSelection] = []
    for root in roots:
        fields = () if root.others is None else root.others.fields
        first.append(_only(root, {one.key for one in fields if not one.deferred}))
        later += [
            DeferredSelection(fragment.label, _only(root, fragment.keys))
            for fragment in root.deferred or ()
            if fragment.keys
        ]
    return DividedSelection(first, later)


def _only(root: RootSelection, keys: Collection[str]) -> RootSelection:
    """Return a root field with some of its fields, for users who are known to exist."""
    if root.others is None or root.own is None:
        return root

    def some(selection: UserSelection) -> UserSelection:
        fields = [one for one in selection.fields if one.key in keys]
        read = {source for one in fields if not one.hidden for source in one.sources}
        sources = tuple(one for one in selection.needs.sources if one in read)
        return UserSelection(fields, SourceNeeds(sources, existence_only=False, exists=True))

    others = some(root.others)
    return replace(root, others=others, own=others if root.own is root.others else some(root.own))


class CompiledPart(Struct, frozen=True):
    """One deferred fragment, compiled.

    Attributes:
        selection: The fragment.
        compiled: Renders its fields.
    """

    selection: DeferredSelection
    compiled: CompiledOperation


class CompiledParts(Struct, frozen=True):
    """An operation whose answer comes in several payloads, compiled.

    Attributes:
        roots: The root fields with the fields of the first payload.
        first: Renders the first payload.
        deferred: The deferred fragments, in the order of the document.
    """

    roots: Sequence[RootSelection]
    first: CompiledOperation
    deferred: Sequence[CompiledPart]

    @property
    def compiled(self) -> Sequence[CompiledOperation]:
        """All that is compiled."""
        return [self.first, *(one.compiled for one in self.deferred)]


@dataclass(slots=True)
class _RunningPart:
    """One deferred fragment of one request.

    Attributes:
        part: The fragment, compiled.
        plan: The plan of its fields.
        root: Its root field, with the users who exist.
        ids: For each of these users, the id of what is pending.
        rendered: The task that renders it.
    """

    part: CompiledPart
    plan: Plan
    root: PlannedRoot
    ids: Mapping[int, str]
    rendered: asyncio.Task[Rendered] = field(init=False)


class DeferredAnswer:
    """The payloads of one request.

    Attributes:
        pending: What is pending in the first payload, once that is rendered.
    """

    def __init__(
        self,
        parts: CompiledParts,
        request: RenderRequest,
        running: RunningFetches,
        loaders: Loaders,
        log_bugs: LogBugs,
    ) -> None:
        """Prepare the answer.

        Args:
            parts: The compiled operation.
            request: What the whole answer would be rendered of; its results are those of
                ``running``.
            running: The fetches of the plan, which have begun.
            loaders: Fetch the pages of lists, and own the tasks.
            log_bugs: Logs bugs of ours.
        """
        self.pending: Sequence[Pending] = ()
        self._parts = parts
        self._request = request
        self._running = running
        self._loaders = loaders
        self._log_bugs = log_bugs
        self._waiting: list[_RunningPart] = []

    async def first(self) -> Rendered:
        """Wait until it is known which users exist, and render the first payload.

        Returns:
            The data and errors of the first payload.

        Raises:
            Exception: A bug of ours. The executor finds the same bug, and the field of it.
        """
        existing = {
            key: await self._existing(root) for key, root in self._request.plan.roots.items()
        }
        first = {root.key: _with_selection(existing[root.key], root) for root in self._parts.roots}
        rendered = await self._render(self._parts.first, Plan(first, ()))
        pending: list[Pending] = []
        for part in self._parts.deferred:
            selection = part.selection.root
            root = _with_selection(existing[selection.key], selection)
            if root.groups:
                ids: dict[int, str] = {}
                for place in (place for group in root.groups for place in group.places):
                    ids[place] = str(len(pending))
                    path = (selection.key, place) if selection.is_list else (selection.key,)
                    pending.append(Pending(ids[place], path, part.selection.label))
                self._waiting.append(_RunningPart(part, Plan({selection.key: root}, ()), root, ids))
        self.pending = pending
        return rendered

    def begin(self) -> AsyncGenerator[Payload]:
        """Begin to render the deferred fragments, each as soon as its sources have answered.

        Returns:
            The payloads after the first, as they come. Fragments that are ready at the same time
            come in one payload.
        """
        for one in self._waiting:
            work = self._render_part(one)
            one.rendered = self._loaders.begin_task(work, "payload of a deferred fragment")
        return self._payloads()

    async def _payloads(self) -> AsyncGenerator[Payload]:
        """Yield the payloads after the first."""
        while self._waiting:
            await asyncio.wait(
                [one.rendered for one in self._waiting], return_when=asyncio.FIRST_COMPLETED
            )
            ready = [one for one in self._waiting if one.rendered.done()]
            self._waiting = [one for one in self._waiting if one not in ready]
            payload = Payload(has_next=bool(self._waiting))
            incremental: list[DeferredData] = []
            completed: list[Completed] = []
            for one in ready:
                _add(one, one.rendered.result(), incremental, completed)
            payload.incremental, payload.completed = incremental, completed
            yield payload

    async def _existing(self, root: PlannedRoot) -> PlannedRoot:
        """Wait until it is known which users of a root field exist, and leave out the others."""
        groups = [replace(group, keys=[], places=[]) for group in root.groups]
        members: list[tuple[list[Any], list[int]]] = [([], []) for _ in root.groups]
        wrong: dict[int, GatewayError] = {**root.wrong}
        async for number, place, key, outcome in outcomes(
            root, self._running, self._request.required
        ):
            if outcome.failure is not None:
                wrong[place] = SourceError(outcome.failure)
            elif outcome.known:
                members[number][0].append(key)
                members[number][1].append(place)
        for group, (keys, places) in zip(groups, members, strict=True):
            group.keys, group.places = keys, places
        return replace(root, groups=[one for one in groups if one.keys], wrong=wrong)

    async def _render_part(self, one: _RunningPart) -> Rendered:
        """Wait for the sources of a fragment, and render it."""
        needed = {name for group in one.root.groups for name in group.selection.needs.sources}
        await self._running.wait_for(needed)
        return await self._render(one.part.compiled, one.plan)

    async def _render(self, compiled: CompiledOperation, plan: Plan) -> Rendered:
        """Fetch the pages that a part needs, and render it."""
        request = replace(self._request, plan=plan)
        pages: PageResults = {}
        if compiled.has_lists:
            pages = await self._loaders.fetch_pages(compiled.pages(request))
        rendered = compiled.render(request, pages)
        self._log_bugs(rendered.bugs)
        return rendered


def _with_selection(root: PlannedRoot, selection: RootSelection) -> PlannedRoot:
    """Return a root field with a part of its selection, for the same users."""
    own, others = selection.own, selection.others
    groups = [
        replace(group, selection=chosen)
        for group in root.groups
        if (chosen := own if group.is_own else others) is not None
    ]
    return replace(root, selection=selection, groups=groups)


def _add(
    one: _RunningPart,
    rendered: Rendered,
    incremental: list[DeferredData],
    completed: list[Completed],
) -> None:
    """Add the data of a fragment to a payload: of each user for itself."""
    selection = one.root.selection
    value = None if rendered.data is None else rendered.data[selection.key]
    if value is None:  # a bug of ours
        completed += [Completed(pending, [*rendered.errors]) for pending in one.ids.values()]
        return
    errors: dict[int, list[GraphQLFormattedError]] = {}
    for error in rendered.errors:
        path = error.get("path", [])
        errors.setdefault(int(path[1]) if selection.is_list else 0, []).append(error)
    for place, pending in one.ids.items():
        data = value[place] if selection.is_list else value
        incremental.append(DeferredData(pending, (), data, errors.get(place, ())))
        completed.append(Completed(pending))
