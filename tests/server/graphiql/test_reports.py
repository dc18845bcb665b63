"""The pure JavaScript of the page, with the test runner of Node."""

import os
import subprocess
from pathlib import Path

import pytest

from app.server.graphiql.build import BuildError, find_node

TESTS = Path(__file__).with_name("reports.test.mjs")


def test_the_trace_panel_shows_the_extensions() -> None:
    try:
        node = find_node(os.environ.get("PATH", ""))
    except BuildError as error:
        pytest.skip(str(error))

    done = subprocess.run(  # noqa: S603  (Node, and a file of ours)
        (*node.node, "--test", str(TESTS)), capture_output=True, text=True, check=False, timeout=50
    )

    assert done.returncode == 0, done.stdout + done.stderr
