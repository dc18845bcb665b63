"""Tasks end with their owner."""

import asyncio
import gc
from contextvars import ContextVar, copy_context
from weakref import ref

from app.resilience.tasks import Tasks


async def test_the_owner_cancels_its_tasks_and_waits_for_their_cleanup() -> None:
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    async with Tasks() as tasks:
        task = tasks.begin(work(), "work")
        await asyncio.sleep(0)

    assert tasks.closed
    assert task.cancelled()
    assert cleaned


async def test_a_task_that_has_ended_is_not_kept() -> None:
    async with Tasks() as tasks:
        task = tasks.begin(asyncio.sleep(0), "work")
        await task
        kept = ref(task)
        del task
        await asyncio.sleep(0)
        gc.collect()

        assert kept() is None


async def test_the_owner_does_not_interrupt_a_running_cleanup() -> None:
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    async with Tasks() as tasks:
        task = tasks.begin(work(), "work")
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)  # the task is cancelled, and its cleanup runs

    assert cleaned


async def test_a_failed_task_does_not_end_other_tasks() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    async with Tasks() as tasks:
        failing, working = tasks.begin(fail(), "fail"), tasks.begin(work(), "work")
        await asyncio.wait([failing, working])

    assert isinstance(failing.exception(), ZeroDivisionError)
    assert working.result() == "done"


async def test_a_task_runs_in_the_context_that_it_is_given() -> None:
    name: ContextVar[str] = ContextVar("name", default="nobody's")
    context = copy_context()
    name.set("mine")

    async def look() -> str:
        return name.get()

    async with Tasks() as tasks:
        own, given = tasks.begin(look(), "own"), tasks.begin(look(), "given", context)
        await asyncio.wait([own, given])

    assert (own.result(), given.result()) == ("mine", "nobody's")
