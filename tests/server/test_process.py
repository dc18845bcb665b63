"""Setup of a server process: garbage collector, log of stray messages, standard streams."""

import os
import subprocess
import sys
from pathlib import Path

import orjson

from app.server.collector import THRESHOLDS

TUNED = """
import gc
from app.server.collector import tune_collector

tune_collector()
print(gc.get_threshold(), gc.get_freeze_count() > 1_000, gc.isenabled())
"""


def test_the_collector_is_frozen_and_tuned_at_the_start() -> None:
    # In another process, because it changes the garbage collector of all tests.
    done = subprocess.run(  # noqa: S603 # our own text
        [sys.executable, "-c", TUNED], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == f"{THRESHOLDS} True True"


STRAY_MESSAGES = """
import gc, logging.config, threading, warnings
from app.observability.logs import uvicorn_log_config
from app.server.process import log_uncaught
from app.settings.models import LogSettings

logging.config.dictConfig(uvicorn_log_config(LogSettings(), "json"))
log_uncaught()

class Odd:
    def __del__(self):
        raise ValueError("in a finalizer")

Odd()
warnings.warn("an odd call")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
"""


def test_messages_that_python_prints_itself_are_logged() -> None:
    done = subprocess.run(  # noqa: S603 # our own text
        [sys.executable, "-W", "always", "-c", STRAY_MESSAGES], capture_output=True, check=True
    )

    found = [orjson.loads(line) for line in done.stderr.splitlines()]
    assert [(one["event"], one["level"]) for one in found] == [
        ("server.message", "error"),
        ("server.message", "warning"),
        ("server.message", "error"),
    ]
    assert "ValueError: in a finalizer" in found[0]["exception"]
    assert "UserWarning: an odd call" in found[1]["message"]
    assert "ZeroDivisionError" in found[2]["exception"]
    assert done.stdout == b""


CLOSED = """
import os, sys
from app.server.process import open_standard_streams

open_standard_streams()
print("to no stream", file=sys.stderr)
print("to no stream", flush=True)
os.write(3, b" ".join(os.readlink(f"/proc/self/fd/{n}").encode() for n in (0, 1, 2)))
os.write(3, str(all(os.get_inheritable(n) for n in (0, 1, 2))).encode())
"""


def test_missing_standard_streams_are_opened_as_the_null_device(tmp_path: Path) -> None:
    file = tmp_path / "links"
    command = 'exec "$@" <&- >&- 2>&- 3>"$0"'

    subprocess.run(  # noqa: S603 # our own text
        ["/bin/sh", "-c", command, str(file), sys.executable, "-c", CLOSED], check=True
    )

    assert file.read_text() == f"{os.devnull} {os.devnull} {os.devnull}True"
