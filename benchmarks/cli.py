"""The command line. Thin: each command reads its options and hands over."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from benchmarks import commands
from benchmarks.errors import BenchmarkError
from benchmarks.places import RESULTS, ROOT, WORK
from benchmarks.stage import PORT_BASE
from benchmarks.users import Ids

EXIT_MISUSE: Final = 2


def main(arguments: Sequence[str]) -> int:
    """Run a command.

    Args:
        arguments: What was written after the program's name.

    Returns:
        0 if all is well, 1 if what was measured is not as it should be, 2 if it cannot be measured.
    """
    signal.signal(signal.SIGTERM, _end)  # so that what was started is ended too
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    WORK.mkdir(exist_ok=True)
    try:
        return command(options)
    except BenchmarkError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_MISUSE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """End in good order."""
    sys.exit(128 + signal.SIGTERM)


def _names(text: str) -> list[str]:
    """Read names between commas."""
    return [name.strip() for name in text.split(",")]


def _above_zero(text: str) -> int:
    """Read a whole number above zero.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above zero")
    return int(text)


Parser = argparse.ArgumentParser


def _parser() -> Parser:
    """Describe the command line."""
    parser = Parser(prog="python -m benchmarks", description=__doc__)
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int]) -> Parser:
        words = run.__doc__ or ""
        one = subcommands.add_parser(name, help=words, description=words)
        one.set_defaults(command=run)
        return one

    _with_peers(command("setup", commands.setup))
    _with_workloads(_with_peers(_staged(command("check", commands.check))))
    _with_workloads(_with_peers(_staged(command("serve", commands.serve))))

    run = _with_workloads(_with_peers(_staged(command("run", commands.run))))
    _loaded(run, seconds=3, rounds=5)
    run.add_argument("--warmup", type=_above_zero, default=1, help="seconds before; %(default)s")
    run.add_argument("--save", type=Path, metavar="FILE.json")

    report = command("report", commands.report)
    report.add_argument("file", type=Path, nargs="?", default=commands.LATEST)

    readme = command("readme", commands.readme)
    readme.add_argument("readme", type=Path, nargs="?", default=ROOT / "README.md")
    readme.add_argument(
        "--page", type=Path, default=ROOT / "docs" / "explanation" / "performance.md"
    )
    readme.add_argument("--file", type=Path, default=commands.LATEST)

    quick = _with_workloads(_staged(command("quick", commands.quick)))
    _loaded(quick, seconds=2, rounds=3)
    quick.add_argument("--commit", help="to compare with; HEAD, or the one before")

    curves = _staged(command("curves", commands.curves))
    curves.add_argument("--seconds", type=_above_zero, default=2, help="each; %(default)s")
    curves.add_argument("--rounds", type=_above_zero, default=3, help="%(default)s")
    curves.add_argument("--save", type=Path, default=RESULTS / "curves.json", metavar="FILE.json")

    startup = _with_peers(_staged(command("startup", commands.startup)))
    startup.add_argument("--times", type=_above_zero, default=5, help="%(default)s")
    startup.add_argument("--save", type=Path, metavar="FILE.json")

    incremental = _staged(command("incremental", commands.incremental))
    incremental.add_argument("--seconds", type=_above_zero, default=20, help="each; %(default)s")
    incremental.add_argument(
        "--save", type=Path, default=RESULTS / "incremental.json", metavar="FILE.json"
    )

    _soaked(_staged(command("soak", commands.soak)))
    return parser


def _staged(one: Parser) -> Parser:
    """Add how things are put up."""
    one.add_argument("--port-base", type=_above_zero, default=PORT_BASE, help="%(default)s")
    one.add_argument("--delay-ms", type=_above_zero, default=20, help="slow sources; %(default)s")
    one.add_argument("--pin", action="store_true", help="peers on CPU 0, all else on CPU 1")
    one.add_argument("--ids", choices=list(Ids), default=Ids.RANDOM, help="%(default)s")
    return one


def _with_peers(one: Parser) -> Parser:
    """Add who takes part."""
    one.add_argument("--peers", type=_names, metavar="A,B", help="the usual ones if absent")
    one.add_argument("--node", metavar="PATH", help="the Node.js to use")
    return one


def _with_workloads(one: Parser) -> Parser:
    """Add what is asked."""
    one.add_argument("--workloads", type=_names, metavar="A,B", help="the usual ones if absent")
    return one


def _loaded(one: Parser, seconds: int, rounds: int) -> Parser:
    """Add how much load there is."""
    one.add_argument("--connections", type=_above_zero, default=32, help="%(default)s")
    one.add_argument("--seconds", type=_above_zero, default=seconds, help="each; %(default)s")
    one.add_argument("--rounds", type=_above_zero, default=rounds, help="%(default)s")
    return one


def _soaked(one: Parser) -> Parser:
    """Add how a soak is done."""
    one.add_argument("--requests", type=_above_zero, default=1_000_000, help="%(default)s")
    one.add_argument("--connections", type=_above_zero, default=32, help="%(default)s")
    one.add_argument("--fresh", type=float, default=0.02, help="new documents; %(default)s")
    one.add_argument(
        "--bound-mb", type=float, default=16.0, help="most growth per million; %(default)s"
    )
    one.add_argument("--hostile", action="store_true", help="no two requests alike, in-process")
    one.add_argument(
        "--most-mb", type=float, default=200.0, help="most memory with --hostile; %(default)s"
    )
    one.add_argument("--save", type=Path, metavar="FILE.json")
    return one
