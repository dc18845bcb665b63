"""What a server's process does for all of it."""

import subprocess
import sys

from app.process import THRESHOLDS

TUNED = """
import gc
from app.process import tune_collector

tune_collector()
print(gc.get_threshold(), gc.get_freeze_count() > 1_000, gc.isenabled())
"""


def test_what_is_there_at_the_start_is_never_looked_at_again_and_the_rest_rarely() -> None:
    # In a process of its own: it would change how the other tests run.
    done = subprocess.run(  # noqa: S603 # our own text
        [sys.executable, "-c", TUNED], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == f"{THRESHOLDS} True True"
