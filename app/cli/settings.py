"""The command that lists every setting."""

import re

import click

from app.environment import variables

_OF_A_SOURCE = re.compile("SOURCES__[A-Z]+__")


@click.command()
def settings() -> None:
    """List every setting, as docs/settings.md does. <SOURCE> is PROFILE, BILLING or ACTIVITY."""
    click.echo(settings_table())


def settings_table() -> str:
    """Write all settings as a table.

    Returns:
        A Markdown table: variable, default, meaning. What every source has stands there once.
    """
    rows = dict.fromkeys(
        f"| `{_OF_A_SOURCE.sub('SOURCES__<SOURCE>__', one.name)}`"
        f" | {_code(one.default)} | {one.description.replace('|', '&#124;')} |"
        for one in variables()
    )
    return "\n".join(["| Variable | Default | Meaning |", "| --- | --- | --- |", *rows])


def _code(default: str | None) -> str:
    """Write a default into a table."""
    if default is None:
        return "**needed**"
    return f"`{default}`" if default else "none"
