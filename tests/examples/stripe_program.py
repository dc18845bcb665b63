"""Runs localstripe on 127.0.0.1.

Its own command listens on every address of the machine, and keeps its data in a shared file. This
is a separate program, because the gateway's tests do not import localstripe.
"""

import sys
from importlib import import_module
from typing import Any

from aiohttp import web


def _keep_in_memory(_: object) -> None:
    """Do nothing, instead of writing the file."""


def main(port: int) -> None:
    """Serve until it is stopped.

    Args:
        port: The port.
    """
    store: Any = import_module("localstripe.resources").store
    type(store).dump_to_disk = _keep_in_memory
    web.run_app(import_module("localstripe.server").app, host="127.0.0.1", port=port)


if __name__ == "__main__":
    main(int(sys.argv[1]))
