"""``python -m app``: the same command line as ``user-gateway``."""

from app.cli import main

main(prog_name="python -m app")
