"""What stops the demo, in words for the person who started it."""

import click


class DemoError(click.ClickException):
    """The demo cannot start or go on: a port, a data folder or a server is not as it should be.

    It is click's own exception, so that a command that lets it pass prints `Error: …` without a
    traceback and exits with 1.
    """
