"""What the machine is, and what it was busy with meanwhile."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.tools import Tools

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine is.

    Attributes:
        cpus: How many it has.
        cpu: What they call themselves.
        memory_gb: How much memory it has.
        kernel: Which kernel it runs.
        python: The version of Python that the gateway and the Python peers run on.
        node: The version of Node.js that the Node peers run on, if any.
    """

    cpus: int
    cpu: str
    memory_gb: int
    kernel: str
    python: str
    node: str | None


@dataclass(frozen=True, slots=True)
class MachineWork:
    """What the machine has done since it started, in seconds of one CPU.

    Attributes:
        busy: All work.
        stolen: What others took who share the hardware.
    """

    busy: float
    stolen: float


def look_at_machine(tools: Tools) -> Machine:
    """Tell what the machine is."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        if line.startswith("model name")
    ]
    return Machine(
        cpus=os.cpu_count() or 1,
        cpu=models[0] if models else platform.machine(),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        kernel=platform.release(),
        python=platform.python_version(),
        node=tools.node.version if tools.node else None,
    )


def work_so_far() -> MachineWork:
    """Tell what the machine has done so far."""
    first = Path("/proc/stat").read_text("ascii").partition("\n")[0]
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, first.split()[1:9])
    return MachineWork(
        busy=(user + nice + system + irq + softirq) / _TICKS,
        stolen=steal / _TICKS,
    )
