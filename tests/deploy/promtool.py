"""Programs of Prometheus, for tests that are skipped where these are not installed."""

import shutil

import pytest


def prometheus_program(name: str) -> str:
    """Find a program of Prometheus; without it, skip the test.

    Args:
        name: ``prometheus`` or ``promtool``.

    Returns:
        Its path.
    """
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} on the PATH: it is in Debian's package `prometheus`")
    return found
