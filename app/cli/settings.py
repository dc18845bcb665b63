"""The commands about settings: the list of all settings, those in effect, and the file."""

import json
import re
from pathlib import Path

import click

from app.cli.base import config_option, refuse_settings
from app.errors import ConfigurationError
from app.execution.source_fit import completed, misfits_in
from app.settings.defaults import DEFAULTS
from app.settings.environment import read, variables
from app.settings.models import WrittenSettings
from app.settings.reference import file_schema, overview
from app.settings.variables import Variable, name_of

_OF_A_SOURCE = re.compile("SOURCES__[A-Z]+__")


@click.command()
def settings() -> None:
    """List all settings, as in docs/reference/settings.md. <SOURCE> is the name of a source."""
    click.echo(settings_tables())


def settings_tables() -> str:
    """Write all settings, in a section for each table of the file.

    Returns:
        Sections in Markdown, each with a table: variable, default, meaning. The first one has the
        settings that are in no table. Settings that all sources have appear once.
    """
    sections: dict[str, dict[str, None]] = {"The gateway itself": {}}
    for one in variables():
        sections.setdefault(_section(one), {})[_row(one)] = None
    head = "| Variable | Default | Meaning |\n| --- | --- | --- |"
    return "\n\n".join(
        f"## {name}\n\n{head}\n" + "\n".join(rows) for name, rows in sections.items()
    )


def _section(variable: Variable) -> str:
    """Name the section of a setting: by its table, and of a source by each table in it."""
    match variable.path:
        case (_,):
            return "The gateway itself"
        case ("sources", _, table, _, *_):
            return f"`sources.NAME.{table}`"
        case ("sources" | "source_defaults", *_):
            return "`sources.NAME`"
        case (table, *_):
            return f"`{table}`"
        case _:
            raise AssertionError("a setting has a name")


def _row(variable: Variable) -> str:
    """Write a row of the table; one row for all defaults of sources, which sources have, too."""
    name, default, meaning = variable.name, _code(variable.default), variable.description
    if variable.path[0] == DEFAULTS:
        name, default = f"{name_of((DEFAULTS,))}__<SETTING>", _code("")
        meaning = WrittenSettings.model_fields[DEFAULTS].description or ""
    name = _OF_A_SOURCE.sub("SOURCES__<SOURCE>__", name)
    return f"| `{name}` | {default} | {meaning.replace('|', '&#124;')} |"


def _code(default: str | None) -> str:
    """Write a default for the table."""
    if default is None:
        return "**needed**"
    return f"`{default}`" if default else "not set"


@click.group()
def config() -> None:
    """Show the settings in effect, or the schema of the file."""


@config.command("show")
@click.option("--all", "everything", is_flag=True, help="Show settings with their default, too.")
@config_option
def config_show(config: Path | None, *, everything: bool) -> None:
    """Print the settings in effect, and the origin of each. Secrets are hidden.

    The origin is a line of the configuration file, a variable, or the default. Exits with 2 if the
    settings are wrong, and prints the mistakes, as serve does.
    """
    try:
        click.echo(
            overview(
                read(check=misfits_in, complete=completed, config=config), everything=everything
            )
        )
    except ConfigurationError as error:
        refuse_settings(error, config)


@config.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration file.

    Editors with support for TOML (Taplo, Even Better TOML) use it to complete and check the file,
    if the file begins with: #:schema gateway.schema.json
    """
    click.echo(json.dumps(file_schema(WrittenSettings), indent=2, ensure_ascii=False))
