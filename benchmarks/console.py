"""Telling the person at the terminal."""

import sys


def say(line: str = "") -> None:
    """Write a line at once, since a person waits for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
