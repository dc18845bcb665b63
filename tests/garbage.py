"""Finds what only the garbage collector would free."""

import gc
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def collecting() -> Generator[Counter[str]]:
    """Count what only the garbage collector would free of what is made within, by its type."""
    found: Counter[str] = Counter()
    gc.collect()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(type(each).__name__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@contextmanager
def rare_collector() -> Generator[None]:
    """Have the garbage collector run when it is told to, and look at what is new alone.

    What is old stays out of its sight also afterwards, as all that was there before the first test:
    `gc.unfreeze` would bring back all of that, and make each later collection take long.
    """
    for _ in range(2):  # a class is free only once its instances are gone
        gc.collect()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.enable()
