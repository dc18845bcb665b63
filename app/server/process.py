"""What concerns a server's whole process. Nothing but what starts one may call it."""

import gc
import logging
import os
import sys
import threading
from types import TracebackType

THRESHOLDS = (100_000, 50, 100)
"""Objects between two runs of the garbage collector, and runs between two of each older age.

Records are many and have no cycles: counting references frees them, and the collector only looks
at them in vain. With Python's own thresholds that took two thirds of the time of reading an
answer (Python 3.11, 50 users with 5 events each); with these it cannot be told from no collector.

That is safe since a request leaves no cycles either, whatever becomes of it: a test counts them
(``tests/test_garbage.py``). A cycle of 100 objects in each request would be a thousand requests
with all of their records before the first run.
"""


def tune_collector() -> None:
    """Let the garbage collector pass over what lives as long as the process, and run rarely.

    To be called when everything is put together: what is there by then is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def open_standard_streams() -> None:
    """Open the standard streams that the process was started without, onto nothing.

    Else the first files and connections that it opens get their numbers, and whoever writes to
    "standard error" writes into them.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != descriptor:
                os.dup2(nothing, descriptor)
                os.close(nothing)
            os.set_inheritable(descriptor, True)  # noqa: FBT003 # so that workers have it, too
        if getattr(sys, name) is None:
            stream = open(descriptor, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 # it lives as long as the process
            setattr(sys, name, stream)


def log_strays() -> None:
    """Have the log say what Python would print to standard error, and might wait for it.

    That is warnings, and exceptions that nobody can catch: in finalizers and in threads.
    """
    log = logging.getLogger("python")
    logging.captureWarnings(capture=True)

    def unraisable(stray: "sys.UnraisableHookArgs") -> None:
        error = stray.exc_value
        log.error("%s", stray.err_msg or "Exception ignored", exc_info=error)

    def in_thread(stray: threading.ExceptHookArgs) -> None:
        error, where = stray.exc_value, stray.exc_traceback
        log.error("Exception in a thread", exc_info=_info(error, where))

    sys.unraisablehook = unraisable
    threading.excepthook = in_thread


def _info(
    error: BaseException | None, where: TracebackType | None
) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    """Put together what logging takes for an exception."""
    return None if error is None else (type(error), error, where)
