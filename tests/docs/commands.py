"""Reads blocks of shell commands: the variables, programs and arguments of each line."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import click

from app.cli import main

RUN = frozenset(
    (
        "config schema",
        "config show",
        "errors",
        "explain",
        "schema check",
        "schema print",
        "settings",
    )
)
"""The commands of the gateway that are run. The command lines of the others are only parsed."""

_SECRET = re.compile(r"\$\(openssl rand -hex 32\)")
_ASSIGNMENT = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """A command line.

    Attributes:
        text: The line itself, for a shell.
        variables: The variables that are set for it.
        program: The program, without the folder of the environment. Empty for `export`.
        arguments: Its arguments, up to a redirection.
    """

    text: str
    program: str
    arguments: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


def commands_in(text: str) -> Sequence[ShellCommand]:
    """Read the commands of a block.

    Args:
        text: Its lines. A backslash at the end continues a line, `#` begins a comment.

    Returns:
        The commands, in their order.
    """
    return [_command(line) for line in _lines(text) if shlex.split(line, comments=True)]


def _lines(text: str) -> Iterator[str]:
    """Split a block at the ends of commands: not within quotes, and not after a backslash."""
    begun = ""
    for line in text.replace("\\\n", " ").splitlines():
        begun += line
        try:
            shlex.split(begun, comments=True)
        except ValueError:
            begun += "\n"
        else:
            yield begun
            begun = ""
    if begun:
        raise ValueError(f"a quote is not closed: {begun}")


def _command(line: str) -> ShellCommand:
    """Read one line."""
    lexer = shlex.shlex(_SECRET.sub("0" * 64, line), posix=True, punctuation_chars="<>|&;")
    lexer.whitespace_split = True
    words = list(lexer)
    is_export = words[0] == "export"
    variables: dict[str, str] = {}
    rest = words[1:] if is_export else words
    while rest and (found := _ASSIGNMENT.fullmatch(rest[0])):
        variables[found[1]] = found[2]
        rest = rest[1:]
    end = next((place for place, word in enumerate(rest) if word in {">", "|", "&"}), len(rest))
    program, *arguments = rest[:end] or [""]
    return ShellCommand(line, program.removeprefix(".venv/bin/"), arguments, variables)


def is_run(command: ShellCommand) -> bool:
    """Return whether a command of a block is run, and not only parsed.

    Args:
        command: The command.

    Returns:
        Whether it is run. Commands that do not end, or call services, are not.
    """
    if command.program == "user-gateway":
        return parsed(command.arguments) in RUN
    return command.program != "make"


def parsed(arguments: Sequence[str]) -> str:
    """Parse a command line of the gateway without running it.

    Args:
        arguments: The words after `user-gateway`.

    Returns:
        The name of the command, such as `schema print`.

    Raises:
        click.UsageError: There is no such command or option, or a value is wrong.
    """
    names: list[str] = []
    rest = list(arguments)
    command: click.Command = main
    # As in a real call: commands keep their first help option, with its names.
    context = click.Context(main, info_name="user-gateway", **main.context_settings)
    while isinstance(command, click.Group):
        if not rest:
            raise click.UsageError(f"a command is missing after: {' '.join(names)}")
        names.append(rest.pop(0))
        found = command.get_command(context, names[-1])
        if found is None:
            raise click.UsageError(f"there is no command {' '.join(names)}")
        command = found
    command.make_context(" ".join(names), rest, parent=context)
    return " ".join(names)
