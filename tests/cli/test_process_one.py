"""`serve` as process 1 of a container: the kernel drops signals to it that have no handler."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_end_to_end import NOWHERE, WAIT
from tests.examples.serving import clean_environment

IN_ITS_OWN_NAMESPACE = """
import ctypes, os, sys

NEW_PROCESSES = 0x20000000
if ctypes.CDLL(None).unshare(NEW_PROCESSES) != 0:
    sys.exit(77)
first = os.fork()
if first == 0:
    os.execv(sys.executable, [sys.executable, "-m", "app", *sys.argv[1:]])
print(first, flush=True)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]))
"""
"""Runs a command as the first process of a namespace, prints its pid, and returns its exit code."""


def test_sigterm_ends_a_container_during_its_start(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    os.mkfifo(file)
    with subprocess.Popen(  # noqa: S603 # our own text
        [sys.executable, "-c", IN_ITS_OWN_NAMESPACE, "serve", "--config", str(file)],
        cwd=tmp_path,
        env=clean_environment({**NOWHERE, "PYTHONPATH": str(Path(__file__).parents[2])}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        if not first:
            pytest.skip("namespaces of processes need more rights here")
        with file.open("wb"):  # the process has begun to read its settings, and waits for them
            os.kill(int(first), signal.SIGTERM)
            try:
                errors = running.communicate(timeout=WAIT)[1]
            finally:
                if running.poll() is None:
                    os.kill(int(first), signal.SIGKILL)

    assert (running.returncode, errors) == (128 + signal.SIGTERM, b"")
