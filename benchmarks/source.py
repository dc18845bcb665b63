"""Which code it is that is measured."""

import io
import subprocess
import tarfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.errors import BenchmarkError
from benchmarks.places import ROOT


def commit() -> str:
    """Tell which commit the checkout has; with ``+`` where its files differ from that."""
    try:
        return _git("rev-parse", "--short", "HEAD").decode().strip() + ("" if is_clean() else "+")
    except BenchmarkError:
        return "unknown"


def is_clean() -> bool:
    """Tell whether the code of the gateway is that of the commit.

    Raises:
        BenchmarkError: git cannot tell.
    """
    return not _git("status", "--porcelain", "--", "app")


@contextmanager
def tree_of(revision: str) -> Generator[Path]:
    """Lay the gateway of a commit out in a temporary folder.

    An archive rather than a work tree: nothing is left in the repository, however this ends.

    Raises:
        BenchmarkError: There is no such commit.
    """
    archive = _git("archive", "--format=tar", revision, "app")
    with TemporaryDirectory(prefix="user-gateway-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        yield Path(folder)


def _git(*arguments: str) -> bytes:
    """Ask git."""
    try:
        return subprocess.run(
            ["git", *arguments],  # noqa: S607 # whichever git the user has
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(f"git {arguments[0]}: {error}") from error
