"""The command line. Each command reads its options and calls the module that does the work."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

import click

from app import __version__
from app.server.collector import pause_collector, resume_collector
from app.server.process import end_on_sigterm

MODULES: Final[Mapping[str, str]] = {
    "init": "app.cli.init",
    "serve": "app.cli.serve",
    "cache": "app.cli.cache",
    "demo": "app.cli.demo",
    "explain": "app.cli.explain",
    "health": "app.cli.health",
    "trace": "app.cli.trace",
    "schema": "app.cli.schema",
    "config": "app.cli.settings",
    "settings": "app.cli.settings",
    "errors": "app.cli.errors",
    "sources": "app.cli.sources",
}
"""The module of each command. It has the command under its own name."""

SUMMARIES: Final[Mapping[str, str]] = {
    "init": "Write a first configuration file, by what services answer.",
    "serve": "Run the gateway over the services in the settings.",
    "cache": "Change the entity cache of running gateways.",
    "demo": "Run three services with 1,000 users, and the gateway over them.",
    "explain": "Show which calls to the sources a GraphQL DOCUMENT would make.",
    "health": "Ask the gateway of this machine whether it lives.",
    "trace": "Run a GraphQL DOCUMENT, and show where its time went.",
    "schema": "Print the public schema, or compare it with its exported text.",
    "config": "Show the settings in effect, or the schema of the file.",
    "settings": "List all settings, as in docs/reference/settings.md.",
    "errors": "List the codes of errors, as in docs/reference/errors.md.",
    "sources": "Call the sources as the gateway does, and show their answers; import new ones.",
}
"""The first sentence of the help of each command, so that a list of them imports none."""


class _Commands(click.Group):
    """Imports the module of a command when the command is used: most have much to import."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 # of the base
        """List the names of all commands."""
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 # of the base
        """Import a command; ``None`` if there is none of that name."""
        module = MODULES.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(module), cmd_name)
        resume_collector()  # if `run` has paused it
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 # of the base
        """Write the list of commands. The base would import each of them for its help."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(SUMMARIES.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="user-gateway")
def main() -> None:
    """One GraphQL endpoint over REST services that each know a part of a user.

    To try it: user-gateway demo. To run it over your own services: user-gateway init writes a
    configuration file. Or set the variables that `user-gateway settings` lists. Then check the
    services with user-gateway sources check, and start the gateway with user-gateway serve.
    """


def run(prog_name: str = "user-gateway") -> None:
    """Run the command line as a program of its own.

    Args:
        prog_name: The name of the program in its help.
    """
    end_on_sigterm()
    pause_collector()
    main(prog_name=prog_name)
