"""``python -m app``: the same command line as ``user-gateway``."""

from app.cli import run

run(prog_name="python -m app")
