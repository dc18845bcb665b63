"""The command that explains which calls an operation would make."""

import json
import sys
from pathlib import Path

import click

from app.auth.policies import EVERYBODY
from app.cli.base import (
    EXIT_WRONG,
    UNUSABLE,
    config_option,
    document_text,
    refuse,
    variable_values,
)
from app.cli.placeholders import sources_at
from app.errors import ConfigurationError
from app.execution.document_store import InlineDocuments
from app.execution.documents import Documents
from app.execution.explain import Explainer
from app.execution.explanation import error_line, explanation_text
from app.execution.request import GraphQLRequest
from app.execution.schema import schema_for
from app.main import compiler_of, load_settings
from app.settings.models import Settings
from app.settings.variables import ENV_FILE, read_environment


@click.command()
@click.argument("document")
@click.option("--variables", "values", help="Values of its variables, as a JSON object.")
@click.option("--operation", help="Name of the operation to explain, if there are several.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@config_option
def explain(
    document: str,
    values: str | None,
    operation: str | None,
    config: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show which calls to the sources a GraphQL DOCUMENT would make. No source is called.

    DOCUMENT is the text of a query; @FILE reads it from a file, and - from standard input. Ids may
    be variables without values: user-gateway explain 'query($id: ID!) { user(id: $id) { plan } }'

    Exits with 1 if the document, its variables or its ids are wrong, and prints the errors.
    """
    request = GraphQLRequest(
        query=document_text(document), operation_name=operation, variables=variable_values(values)
    )
    schema, settings = schema_for(_settings_or_defaults(config), security_directives=True)
    explainer = Explainer(
        schema=schema,
        documents=Documents.from_settings(schema.core, settings, size=0),
        store=InlineDocuments(),
        settings=settings,
        compiler=compiler_of(settings, schema),
    )
    explained = explainer.explain(request, EVERYBODY, request_id="none")
    if as_json:
        report: dict[str, object] = {"errors": explained.errors} if explained.errors else {}
        if explained.explanation is not None:
            report["explain"] = explained.explanation.model_dump(mode="json")
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
        sys.exit(EXIT_WRONG if explained.errors else 0)
    if explained.explanation is not None:
        click.echo(explanation_text(explained.explanation))
    if explained.errors:
        headline = "Errors:"
        headline = headline if explained.explanation is None else f"\n{headline}"
        mistakes = [error_line(error) for error in explained.errors]
        refuse(headline, mistakes, exit_code=EXIT_WRONG)


def _settings_or_defaults(config: Path | None) -> Settings:
    """Read the settings. Without any, use the defaults; if they are wrong, print a note, too.

    A file that is named, or that cannot be read, may have a schema of its own, so that the defaults
    would not do.
    """
    if config is None and not read_environment(ENV_FILE).has_settings():
        return Settings(sources=sources_at({}))
    try:
        return load_settings(config=config)
    except ConfigurationError as error:
        if config is not None or error.unreadable:
            refuse(UNUSABLE, error.mistakes)
        click.echo(
            "Note: settings are missing or wrong (`user-gateway serve` prints the mistakes), so"
            " the defaults are used.\n",
            err=True,
        )
        return Settings(sources=sources_at({}))
