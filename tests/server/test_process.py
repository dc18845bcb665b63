"""What a server's process does for all of it."""

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


def test_what_is_there_at_the_start_is_never_looked_at_again_and_the_rest_rarely() -> None:
    # In a process of its own: it would change how the other tests run.
    done = subprocess.run(  # noqa: S603 # our own text
        [sys.executable, "-c", TUNED], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == f"{THRESHOLDS} True True"


STRAYS = """
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


def test_what_python_would_print_itself_is_in_the_log() -> None:
    done = subprocess.run(  # noqa: S603 # our own text
        [sys.executable, "-W", "always", "-c", STRAYS], capture_output=True, check=True
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
print("to nobody", file=sys.stderr)
print("to nobody", flush=True)
os.write(3, b" ".join(os.readlink(f"/proc/self/fd/{n}").encode() for n in (0, 1, 2)))
os.write(3, str(all(os.get_inheritable(n) for n in (0, 1, 2))).encode())
"""


def test_streams_that_a_process_was_started_without_lead_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "told"
    command = 'exec "$@" <&- >&- 2>&- 3>"$0"'

    subprocess.run(  # noqa: S603 # our own text
        ["/bin/sh", "-c", command, str(file), sys.executable, "-c", CLOSED], check=True
    )

    assert file.read_text() == f"{os.devnull} {os.devnull} {os.devnull}True"
