"""What concerns a server's whole process. Nothing but what starts one may call it."""

import gc

THRESHOLDS = (100_000, 50, 100)
"""Objects between two runs of the garbage collector, and runs between two of each older age.

Records are many and have no cycles: counting references frees them, and the collector only looks
at them in vain. With Python's own thresholds that took two thirds of the time of reading an
answer (Python 3.11, 50 users with 5 events each); with these it cannot be told from no collector.
"""


def tune_collector() -> None:
    """Let the garbage collector pass over what lives as long as the process, and run rarely.

    To be called when everything is put together: what is there by then is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
