"""Whether files for container engines fit the schemas of these, by packages that carry them."""

import subprocess
import sys
from pathlib import Path


def compose_mistakes(path: Path) -> str:
    """Check a file by the schema of the Compose specification.

    Args:
        path: The file.

    Returns:
        What is wrong; empty if nothing is.
    """
    check = ("-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path))
    done = subprocess.run(  # noqa: S603 # our own command
        (sys.executable, *check), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""
