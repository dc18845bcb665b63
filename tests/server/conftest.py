"""Both event loops, for the tests of connections."""

import asyncio
from collections.abc import Callable, Mapping

import pytest


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Offer uvloop, which ``serve`` uses where it is installed, to the tests that ask for it."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    marker = item.get_closest_marker("asyncio")
    if marker is not None and "uvloop" in marker.kwargs.get("loop_factories", ()):
        import uvloop  # noqa: PLC0415 # there is none for Windows

        loops["uvloop"] = uvloop.new_event_loop
    return loops
