"""Where things are."""

from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent
PEERS: Final = HERE / "peers"
RESULTS: Final = HERE / "results"

WORK: Final = HERE / ".work"
"""All that is made while benchmarks run, and is not kept: logs, requests, nginx's files."""
