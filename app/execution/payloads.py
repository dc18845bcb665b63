"""Makes the payloads of an operation from the results of graphql-core's incremental executor.

That executor decides which payload has which field. Here its results become payloads as clients see
them: with public errors, in the order of the answer. The last payload reports the sources.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TypeAlias

from graphql import GraphQLError, GraphQLFormattedError
from graphql.execution import (
    CompletedResult,
    IncrementalDeferResult,
    IncrementalStreamResult,
    PendingResult,
    SubsequentIncrementalExecutionResult,
)

from app.execution.incremental import (
    Completed,
    DeferredData,
    Payload,
    Pending,
    ResponsePath,
    StreamedItems,
)
from app.execution.operation_run import OperationRun
from app.execution.response_errors import in_answer_order
from app.resilience.clock import Clock

PublicErrors: TypeAlias = Callable[[Sequence[GraphQLError]], Sequence[GraphQLFormattedError]]
"""Logs bugs of ours among errors, and returns the errors as clients see them."""


def pending_of(results: Sequence[PendingResult] | None) -> list[Pending]:
    """Read what is pending from a result of graphql-core.

    Args:
        results: What graphql-core lists, if it lists anything.

    Returns:
        What is pending.
    """
    return [Pending(one.id, one.path, one.label) for one in results or ()]


async def public_payloads(
    results: AsyncIterator[SubsequentIncrementalExecutionResult],
    pending: Sequence[Pending],
    public_errors: PublicErrors,
) -> AsyncGenerator[Payload]:
    """Turn later results of graphql-core into payloads as clients see them.

    Args:
        results: The results, as they come.
        pending: What is pending in the first payload.
        public_errors: Makes errors public.

    Yields:
        The payloads.
    """
    paths = {one.id: one.path for one in pending}
    async for result in results:
        new = pending_of(result.pending)
        paths |= {one.id: one.path for one in new}
        yield Payload(
            pending=new,
            incremental=[
                _incremental(one, paths, public_errors) for one in result.incremental or ()
            ],
            completed=[_completed(one, public_errors) for one in result.completed or ()],
            has_next=result.has_next,
        )


def _incremental(
    result: IncrementalDeferResult | IncrementalStreamResult,
    paths: Mapping[str, ResponsePath],
    public_errors: PublicErrors,
) -> DeferredData | StreamedItems:
    """Turn the data of one fragment or list."""
    errors = public_errors(result.errors or ())
    if isinstance(result, IncrementalStreamResult):
        return StreamedItems(result.id, result.items, errors)  # in the order of the items already
    sub_path = result.sub_path or ()
    above = len(paths[result.id]) + len(sub_path)
    ordered = in_answer_order(errors, result.data, above=above)
    return DeferredData(result.id, sub_path, result.data, ordered)


def _completed(result: CompletedResult, public_errors: PublicErrors) -> Completed:
    """Turn what is completed."""
    return Completed(result.id, public_errors(result.errors or ()))


async def reported_payloads(
    payloads: AsyncGenerator[Payload],
    pending: Sequence[Pending],
    run: OperationRun,
    clock: Clock,
    failed: Callable[[Exception], Sequence[GraphQLFormattedError]],
) -> AsyncGenerator[Payload]:
    """Pass payloads on, and report them.

    Args:
        payloads: The payloads.
        pending: What is pending before them.
        run: The operation, whose report is completed with each payload.
        clock: Measures when payloads are ready.
        failed: Logs a bug of ours that ends the payloads, and returns the error for clients.

    Yields:
        The payloads. After a bug of ours, the last one fails everything that is still pending.
    """
    still_pending = {one.id: None for one in pending}
    has_next = True
    async with aclosing(payloads):
        while has_next:
            try:
                payload = await anext(payloads)
            except Exception as bug:  # noqa: BLE001 # it is logged, and masked for the client
                errors = failed(bug)
                payload = Payload(completed=[Completed(one, errors) for one in still_pending])
            still_pending |= {one.id: None for one in payload.pending}
            for one in payload.completed:
                still_pending.pop(one.id, None)
            run.add(payload, clock.monotonic())
            has_next = payload.has_next
            if not has_next:
                payload.extensions = run.extensions()
            yield payload
