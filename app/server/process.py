"""Settings of the whole process. Only the code that starts a server may call these functions."""

import logging
import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import NoReturn


def end_on_sigterm() -> None:
    """Let SIGTERM end the process while it starts, also as process 1 of a container.

    The kernel drops signals to process 1 that have no handler, and servers set theirs only when
    they run. A container that is stopped just after its start would run on until it is killed.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, _: FrameType | None) -> NoReturn:
    """End the process with the exit code of a signal."""
    sys.exit(128 + number)


def open_standard_streams() -> None:
    """Open the missing standard streams of the process on the null device.

    Otherwise the first files and connections of the process get their numbers, and a write to
    "standard error" goes into them.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            os.set_inheritable(descriptor, True)  # noqa: FBT003 # workers need it, too
        if getattr(sys, name) is None:
            stream = open(descriptor, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 # it lives as long as the process
            setattr(sys, name, stream)


def log_uncaught() -> None:
    """Write warnings and uncaught exceptions, of finalizers and threads, to the log.

    Python would print them to standard error, and that can block.
    """
    log = logging.getLogger("python")
    logging.captureWarnings(capture=True)

    def unraisable(uncaught: "sys.UnraisableHookArgs") -> None:
        error = uncaught.exc_value
        log.error("%s", uncaught.err_msg or "Exception ignored", exc_info=error)

    def in_thread(uncaught: threading.ExceptHookArgs) -> None:
        error, traceback = uncaught.exc_value, uncaught.exc_traceback
        log.error("Exception in a thread", exc_info=_exc_info(error, traceback))

    sys.unraisablehook = unraisable
    threading.excepthook = in_thread


def _exc_info(
    error: BaseException | None, traceback: TracebackType | None
) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    """Return an exception in the form that ``logging`` takes."""
    return None if error is None else (type(error), error, traceback)
