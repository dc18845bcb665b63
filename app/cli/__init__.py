"""The command line. Each command reads its options and calls the module that does the work."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

import click

from app import __version__

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
        return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="user-gateway")
def main() -> None:
    """One GraphQL endpoint over three REST sources of user data.

    To try it: user-gateway demo. To run it over your own services: user-gateway init writes a
    configuration file. Or set the variables that `user-gateway settings` lists. Then check the
    services with user-gateway sources check, and start the gateway with user-gateway serve.
    """
