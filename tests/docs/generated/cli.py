"""The page of the commands, from the commands themselves."""

from collections.abc import Iterator

import click

from app.cli import main
from tests.docs.generated.markdown import code, page, paragraphs, table

_HEAD = """\
Each command explains itself: `user-gateway COMMAND --help`. Exit codes: 0 is success, 1 means that
something was found wrong, and 2 that the command line or the settings cannot be used.
In a checkout of the repository, the command is `.venv/bin/user-gateway`."""


def cli_page() -> str:
    """Write the page.

    Returns:
        Its text, in Markdown.
    """
    context = click.Context(main, info_name="user-gateway", **main.context_settings)
    return page("# Commands", _HEAD, *_sections(main, context))


def _sections(group: click.Group, context: click.Context) -> Iterator[str]:
    """Write the sections of a group's commands, and of the groups in it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            raise LookupError(name)
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _sections(command, inner)
        else:
            yield from _section(command, inner)


def _section(command: click.Command, context: click.Context) -> Iterator[str]:
    """Write the section of one command."""
    yield f"## `{context.command_path}`"
    yield paragraphs(command.help or "")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```"
    records = [one.get_help_record(context) for one in command.get_params(context)]
    rows = [(code(one[0]), one[1]) for one in records if one and not one[0].startswith("-h,")]
    if rows:
        yield table(("Option", "Meaning"), rows)
