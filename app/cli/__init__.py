"""The command line. Each command reads its options and calls the module that does the work."""

import click

from app import __version__
from app.cli.demo import demo
from app.cli.errors import errors
from app.cli.explain import explain
from app.cli.init import init
from app.cli.schema import schema
from app.cli.serve import serve
from app.cli.settings import config, settings
from app.cli.sources import sources
from app.cli.trace import trace


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="user-gateway")
def main() -> None:
    """One GraphQL endpoint over three REST sources of user data.

    To try it: user-gateway demo. To run it over your own services: user-gateway init writes a
    configuration file. Or set the variables that `user-gateway settings` lists. Then check the
    services with user-gateway sources check, and start the gateway with user-gateway serve.
    """


for command in (init, serve, demo, explain, trace, schema, config, settings, errors, sources):
    main.add_command(command)
