"""Running programs, and what they use, as the kernel tells it in ``/proc``."""

import os
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from benchmarks.peer import Command

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_MB_OF_KB: Final = 1 / 1024
_PATIENCE: Final = 5.0
"""Seconds that a program has to end before it is killed."""

_QUIET: Final = 0.15
"""Seconds without work after which a program counts as idle."""


class Process:
    """A program that runs, with all processes that it has started."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self.log = log

    @property
    def pid(self) -> int:
        """The id of its first process."""
        return self._popen.pid

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._popen.poll() is not None

    def cpu_seconds(self) -> float:
        """Tell how long it has worked: user and system time, also of children that have ended."""
        return sum(sum(map(int, _stat(pid)[11:15])) for pid in self._members()) / _TICKS

    def memory_mb(self) -> float:
        """Tell how much memory it has."""
        return sum(_status(pid, "VmRSS") for pid in self._members()) * _MB_OF_KB

    def peak_mb(self) -> float:
        """Tell how much memory it had at most since that was last forgotten."""
        return sum(_status(pid, "VmHWM") for pid in self._members()) * _MB_OF_KB

    def forget_peak(self) -> None:
        """Forget how much memory it had at most."""
        for pid in self._members():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")

    def settle(self, longest: float = 10.0) -> None:
        """Wait until it has done what it had to do.

        Args:
            longest: Seconds after which it is left to its work.
        """
        end = time.monotonic() + longest
        before = self.cpu_seconds()
        while time.monotonic() < end:
            time.sleep(_QUIET)
            after = self.cpu_seconds()
            if after - before <= 1 / _TICKS:
                return
            before = after

    def forget_log(self) -> None:
        """Empty its log, which can grow by gigabytes."""
        os.truncate(self.log, 0)

    def stop(self) -> None:
        """End it and all that it started."""
        for one in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):  # a group of its own: nothing else is in it
                os.killpg(self._popen.pid, one)
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(_PATIENCE)

    def _members(self) -> list[int]:
        """Find it and all its descendants."""
        children: dict[int, list[int]] = {}
        for entry in os.listdir("/proc"):  # noqa: PTH208 # a Path for each of hundreds is slow
            if entry.isdecimal() and (fields := _stat(int(entry))):
                children.setdefault(int(fields[1]), []).append(int(entry))
        found, new = list[int](), [self._popen.pid]
        while new:
            pid = new.pop()
            found.append(pid)
            new += children.get(pid, [])
        return found


@contextmanager
def running(name: str, command: Command, logs: Path, cpu: int | None = None) -> Generator[Process]:
    """Run a program that ends with the context.

    Args:
        name: What its log is called.
        command: How it is started.
        logs: The folder of the logs. All that the program says goes there.
        cpu: The one CPU that it may use; all, when absent.
    """
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")}
    pinned = () if cpu is None else ("taskset", "-c", str(cpu))
    log.unlink(missing_ok=True)
    with log.open("ab") as output:  # appending, so that it can be emptied meanwhile
        popen = subprocess.Popen(
            [*pinned, *command.arguments],
            cwd=command.folder,
            env={**inherited, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    process = Process(popen, log)
    try:
        yield process
    finally:
        process.stop()


def _stat(pid: int) -> list[str]:
    """Read the fields of ``/proc/PID/stat`` after the name; none where the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 # read often
            text = file.read()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def _status(pid: int, name: str) -> int:
    """Read a size from ``/proc/PID/status``, in KB; 0 where the process is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0
