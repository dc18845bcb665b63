"""The garbage collector of the whole process. Only code that starts a program may call this.

It imports nothing else, because a program calls it before it imports anything.
"""

import gc

THRESHOLDS = (100_000, 50, 100)
"""New objects before a run of the garbage collector, and runs of each generation before the next
older one is collected.

Records are many and have no cycles. Reference counting frees them, so the collector searches them
in vain. With Python's own thresholds that took two thirds of the time to read a response
(Python 3.11, 50 users with 5 events each). With these thresholds the time is the same as without a
collector.

This is safe because a request leaves no cycles, whatever its outcome: ``tests/test_garbage.py``
counts them. If each request left a cycle of 100 objects, the records of a thousand requests would
stay in memory until the first run.
"""


def pause_collector() -> None:
    """Stop the collector until ``resume_collector``, while a program imports its modules.

    Imports make 180,000 objects that live as long as the process. The collector would search all of
    them a dozen times, which is a seventh of the CPU of a start.
    """
    gc.disable()


def resume_collector() -> None:
    """Start the collector if it is paused, and exempt the objects that exist now.

    The garbage of the imports, some 3,000 objects, is exempt, too. To find it, the collector would
    have to search all objects once, and that takes longer than to make a schema.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def tune_collector() -> None:
    """Run the garbage collector rarely, and exempt the objects that exist now.

    Call it when the application is complete: the collector never searches those objects again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
