"""The command that writes the settings of a source from an OpenAPI document."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from app.cli.base import refuse
from app.cli.new_file import write_new_file
from app.schema.default import DEFAULT_SCHEMA


@click.command("import")
@click.argument("document", type=click.Path(path_type=Path), metavar="DOCUMENT")
@click.option("--source", required=True, help="The source that the service is going to be.")
@click.option(
    "--path",
    required=True,
    help="Path of the operation, as the document writes it, such as /customers/{id}.",
)
@click.option(
    "--method",
    type=click.Choice(["get", "post"], case_sensitive=False),
    help="Method of the operation, if its path has both. By default GET.",
)
@click.option(
    "--response",
    metavar="STATUS",
    help="Status of the response with the rows, if not 200, such as 201 or default.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="New file to write. An existing one is not changed.",
)
def import_openapi(
    document: Path,
    source: str,
    path: str,
    *,
    method: Literal["get", "post"] | None,
    response: str | None,
    output: Path | None,
) -> None:
    """Write the settings of a source, guessed from an OpenAPI document.

    DOCUMENT is a local file of OpenAPI 3.0 or 3.1, in JSON or YAML. The command calls no service.
    It writes the tables of the source in TOML, for the configuration file. They have the request,
    the place of the rows and the key in the answer, and the words of a status. It also writes an
    expression for each field of the record that a property fits by name and type. Comments list
    the other properties.

    This is a guess. The command also writes to standard error what is missing or uncertain. Check
    the result, and try it with: user-gateway sources try SOURCE ID

    Exits with 0 if the settings are written, even if fields are missing, and with 2 if the document
    or the options are wrong.
    """
    known = DEFAULT_SCHEMA.sources
    if source not in known:
        raise click.BadParameter(f"expected one of {', '.join(known)}", param_hint="--source")

    # These libraries are for this command alone: the others start faster without them.
    from app.importing.document import OpenApiError, read_document  # noqa: PLC0415 # for this command alone
    from app.importing.importer import guess_source  # noqa: PLC0415 # for this command alone
    from app.importing.toml_text import source_toml  # noqa: PLC0415 # for this command alone

    try:
        guess = guess_source(
            read_document(document), known[source], path, method=method, status=response
        )
    except OpenApiError as error:
        refuse("The document cannot be imported:", [str(error)])
    _write(source_toml(guess, DEFAULT_SCHEMA.lists.get(source, {})), output)
    _warn(source, guess.warnings)


def _write(text: str, output: Path | None) -> None:
    """Write the text to a new file, or to standard output."""
    if output is None:
        click.echo(text, nl=False)
        return
    write_new_file(text, output)


def _warn(source: str, warnings: Sequence[str]) -> None:
    """Write what is missing or has to be checked to standard error."""
    if warnings:
        click.echo("To complete or check:", err=True)
    for warning in warnings:
        click.echo(f"  - sources.{source}.{warning}", err=True)
