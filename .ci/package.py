"""Builds the wheel and the sdist, installs the wheel in clean environments, and runs the command.

A clean environment has the locked packages of the gateway and nothing else, for each Python from
3.11 to 3.14 that the machine has. The command runs in an empty folder, so that nothing of this one
is found by accident. It takes about ten seconds for each Python, once uv has the packages.

``--tests PATH…`` also installs the packages of tests there, and runs these tests of this folder by
each Python but the running one, which `make test` uses.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
UV = str(BIN / "uv")
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
"""The Pythons that the metadata names."""

PATIENCE = 300
"""Seconds that one step may take."""

WAIT = 30.0
"""Seconds after which a demo that does not answer counts as broken."""

USER = "00000000-0000-4000-8000-000000000001"
QUERY = f'{{"query": "{{ user(id: \\"{USER}\\") {{ plan }} }}"}}'
COMMANDS: Sequence[tuple[Sequence[str], str]] = (
    (("--version",), "user-gateway, version "),
    (("explain", f'{{ user(id: "{USER}") {{ plan }} }}'), "GET /accounts?userId="),
    (("schema", "print", "--client"), "type User"),
    (("settings",), "GATEWAY_CONFIG"),
    (("config", "schema"), "$schema"),
)
"""Commands that need no settings, and words that each of them prints."""


def main() -> int:
    """Build, install and run.

    Returns:
        The exit code: 1 if something is not as it should be.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--tests", nargs="+", default=(), help="Tests to run by each Python.")
    tests: Sequence[str] = parser.parse_args().tests
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        wheel = build(folder)
        pythons = [*found_pythons()]
        for version, python in pythons:
            begun = time.monotonic()
            command = install(wheel, python, folder / version)
            try_out(command, folder / f"empty-{version}")
            print(f"Python {version}: installed and run in {time.monotonic() - begun:.0f} s")
            if tests and not sys.version.startswith(f"{version}."):
                print(f"Python {version}: {test(command.parent / 'python', tests)}")
    missing = [one for one in VERSIONS if one not in {version for version, _ in pythons}]
    if missing:
        print(f"not tried, because the machine does not have it: Python {', '.join(missing)}")
    return 0 if pythons else 1


def build(folder: Path) -> Path:
    """Build both, and compare what they contain.

    Args:
        folder: Where they go.

    Returns:
        The wheel.
    """
    run(sys.executable, "-m", "hatchling", "build", "-d", str(folder), folder=ROOT)
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inner = {name.partition("/")[2] for name in archive.getnames()}
    options = ("--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir")
    again = folder / "again"
    run(sys.executable, "-m", "pip", "wheel", "--quiet", *options, str(again), str(sdist))
    names = contents(wheel)
    [of_sdist] = again.glob("*.whl")
    check(contents(of_sdist) == names, "the wheel of the sdist has other files than the wheel")
    check("app/server/graphiql/dist/manifest.json" in names, "the wheel has no GraphiQL")
    check(not any(name.startswith("tests/") for name in names), "the wheel has tests")
    for name in ("CHANGELOG.md", "LICENSE", "README.md", "deploy/compose.yaml", "pyproject.toml"):
        check(name in inner, f"the sdist has no {name}")
    print(f"built {wheel.name} ({wheel.stat().st_size // 1024} KB) and {sdist.name}")
    return wheel


def contents(wheel: Path) -> set[str]:
    """List the files of a wheel, without those that describe it.

    Args:
        wheel: The wheel.

    Returns:
        Their names.
    """
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def found_pythons() -> Iterator[tuple[str, str]]:
    """Find the Pythons of this machine: on the PATH, and those of pyenv, whose names are no proof.

    Yields:
        The version and the program of each; one for each version.
    """
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in VERSIONS:
        folders = os.environ.get("PATH", "").split(os.pathsep)
        places = (shutil.which(f"python{version}", path=folder) for folder in folders)
        of_pyenv = sorted(str(one / "bin" / "python") for one in home.glob(f"{version}.*"))
        running = [sys.executable] if sys.version.startswith(f"{version}.") else []
        for python in (*running, *filter(None, places), *of_pyenv):
            if version_of(python) == version:
                yield version, python
                break


def version_of(python: str) -> str | None:
    """Ask a Python for its version.

    Args:
        python: The program.

    Returns:
        Such as ``3.12``; ``None`` if it does not run.
    """
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run(  # noqa: S603 # a program of the machine
        (python, "-c", code), capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    return done.stdout.strip() if done.returncode == 0 else None


def install(wheel: Path, python: str, folder: Path) -> Path:
    """Install the wheel and the locked packages.

    Args:
        wheel: The wheel.
        python: The Python of the environment.
        folder: Where the environment goes.

    Returns:
        The command.
    """
    run(UV, "venv", "--quiet", "--no-python-downloads", "--python", python, str(folder))
    into = (UV, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"))
    locked = str(ROOT / "requirements" / "runtime.txt")
    run(*into, "--require-hashes", "--only-binary", ":all:", "-r", locked)
    run(*into, "--no-deps", "--no-index", str(wheel))
    run(UV, "pip", "check", "--quiet", "--python", str(folder / "bin" / "python"))
    return folder / "bin" / "user-gateway"


def test(python: Path, tests: Sequence[str]) -> str:
    """Run tests of this folder by another Python.

    Args:
        python: The Python of an environment with the gateway's packages.
        tests: What to run.

    Returns:
        The last line of pytest.
    """
    into = (UV, "pip", "install", "--quiet", "--python", str(python))
    run(*into, "--require-hashes", "-r", str(ROOT / "requirements" / "dev.txt"))
    options = ("-q", "-p", "no:cacheprovider", "--numprocesses", "auto")
    said = run(str(python), "-m", "pytest", *options, *tests, folder=ROOT)
    return said.strip().splitlines()[-1]


def try_out(command: Path, folder: Path) -> None:
    """Run commands in an empty folder, and then the demo.

    Args:
        command: The installed command.
        folder: The folder, which is made.
    """
    folder.mkdir()
    for arguments, words in COMMANDS:
        said = run(str(command), *arguments, folder=folder)
        check(words in said, f"`user-gateway {' '.join(arguments)}` does not print {words!r}")
    options = ("--port", "0", "--ports", "0,0,0")
    with subprocess.Popen(  # noqa: S603 # the command under test
        (str(command), "demo", *options),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as demo:
        try:
            ask_demo(demo)
        finally:
            demo.terminate()
    check(demo.returncode == 0, f"the demo ended with {demo.returncode}")
    check(not [*folder.iterdir()], "a command has left files")


def ask_demo(demo: "subprocess.Popen[str]") -> None:
    """Ask a demo for a user, and for GraphiQL.

    Args:
        demo: Its process.
    """
    lines = iter(demo.stdout or ())
    found = (re.match(r"GraphiQL +(http://\S+)", line) for line in lines)
    address = next((one[1] for one in found if one), None)
    check(address is not None, "the demo has ended before it was ready")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(  # noqa: S310 # an address that the demo has printed
        str(address), QUERY.encode(), {"Content-Type": "application/json"}
    )
    with opener.open(asked, timeout=WAIT) as answer:
        text = answer.read().decode()
    check('"plan":"' in text, f"the demo answers {text}")
    page = urllib.request.Request(str(address), headers={"Accept": "text/html"})  # noqa: S310 # the same
    with opener.open(page, timeout=WAIT) as answer:
        check(b"graphiql/assets/page-" in answer.read(), "the demo has no GraphiQL")


def environment(folder: Path) -> Mapping[str, str]:
    """Make the environment of a command: no settings, and an empty home.

    Args:
        folder: The home.

    Returns:
        The variables.
    """
    return {"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


def run(*command: str, folder: Path | None = None) -> str:
    """Run a program to its end.

    Args:
        command: Its command line.
        folder: Where it runs; an empty one also is its home.

    Returns:
        What it printed on standard output.

    Raises:
        SystemExit: It failed.
    """
    clean = folder is not None and folder != ROOT
    done = subprocess.run(  # noqa: S603 # programs of our own choice
        command,
        cwd=folder,
        env=environment(folder) if clean and folder is not None else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    check(done.returncode == 0, f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def check(is_right: bool, what: str) -> None:  # noqa: FBT001 # as of an assertion
    """Stop where something is wrong.

    Args:
        is_right: Whether all is well.
        what: What is wrong otherwise.

    Raises:
        SystemExit: It is wrong.
    """
    if not is_right:
        sys.exit(what)


if __name__ == "__main__":
    sys.exit(main())
