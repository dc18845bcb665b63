"""Looks packages up among the known advisories: those that are locked, and the oldest allowed.

Fails where one has an advisory. Where the advisories cannot be reached it says so, in one line, and
does not fail: pip-audit itself says then that nothing was found.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
LOCKS = tuple(f"requirements/{name}.txt" for name in ("runtime", "build", "node", "dev", "docs"))
PIP_AUDIT = "pip-audit==2.10.1"
PATIENCE = 60
"""Seconds that one look may take."""


class NotCheckedError(Exception):
    """What could not be looked up, and why."""


def main() -> int:
    """Look at the lock files, and at the oldest versions that pyproject.toml allows.

    Returns:
        The exit code: 1 where a package has a known advisory.
    """
    with tempfile.TemporaryDirectory() as folder:
        oldest = Path(folder) / "oldest.txt"
        looks: tuple[tuple[str, Callable[[], str]], ...] = (
            ("locked packages", partial(report, LOCKS)),
            ("oldest packages allowed", partial(report_oldest, oldest)),
        )
        code = 0
        for what, look in looks:
            try:
                found, looked_up, all_of_them = judge(look())
            except NotCheckedError as error:
                print(f"not checked: {what}: {error}")
                continue
            told = f"{looked_up} of {all_of_them} looked up"
            print(f"{what}: {told}, {len(found) or 'no'} known advisories")
            for line in found:
                print(f"  {line}")
            code = 1 if found else code
    return code


def report_oldest(file: Path) -> str:
    """Lock the oldest versions that pyproject.toml allows, and have them looked up.

    Args:
        file: Where they are listed meanwhile.

    Returns:
        The report.
    """
    options = ("--quiet", "--resolution", "lowest-direct", "--python-version", "3.11")
    run(str(BIN / "uv"), "pip", "compile", *options, "pyproject.toml", "-o", str(file))
    return report((str(file),), "--no-deps")


def report(files: Sequence[str], *options: str) -> str:
    """Have pip-audit look packages up.

    Args:
        files: What they are listed in.
        options: Further options.

    Returns:
        Its report, in JSON.
    """
    listed = [part for file in files for part in ("-r", file)]
    quiet = ("--disable-pip", "--progress-spinner", "off", "--desc", "off", "--timeout", "10")
    return run(str(BIN / "uvx"), PIP_AUDIT, *quiet, *options, "-f", "json", *listed)


def run(*command: str) -> str:
    """Run a program; what it says on standard output is all that matters.

    Args:
        command: Its command line.

    Returns:
        What it said.

    Raises:
        NotCheckedError: It said nothing, or not in time.
    """
    try:
        done = subprocess.run(  # noqa: S603 # programs of our own choice
            command, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotCheckedError(str(error)) from error
    if done.returncode and not done.stdout.strip():
        raise NotCheckedError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return done.stdout


def judge(text: str) -> tuple[Sequence[str], int, int]:
    """Read a report.

    Args:
        text: The report.

    Returns:
        A line for each advisory; how many packages were looked up, and of how many.

    Raises:
        NotCheckedError: None was, or it is no report.
    """
    try:
        packages: Sequence[Mapping[str, Any]] = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError) as error:
        raise NotCheckedError("pip-audit gave no report") from error
    seen = [one for one in packages if "vulns" in one]
    if not seen:
        reasons = [str(one.get("skip_reason", "")) for one in packages]
        raise NotCheckedError(
            f"the advisories cannot be reached ({(reasons or ['nothing is listed'])[0]})"
        )
    found = [
        f"{one['name']} {one['version']}: {vulnerability['id']},"
        f" fixed in {', '.join(vulnerability['fix_versions']) or 'no version'}"
        for one in seen
        for vulnerability in one["vulns"]
    ]
    return found, len(seen), len(packages)


if __name__ == "__main__":
    sys.exit(main())
