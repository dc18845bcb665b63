"""The data of the demo, which takes most of a second to write: once for all tests of a process."""

import atexit
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from app.demo.database import data_folder


@cache
def demo_data() -> Path:
    """Write the data, and keep it until this process ends. The services only read it."""
    kept = ExitStack()
    atexit.register(kept.close)
    return kept.enter_context(data_folder(None))
