"""The command line. Thin: each command reads its options and hands over."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click
import uvicorn
from graphql import GraphQLSyntaxError
from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp
from uvicorn.loops.auto import auto_loop_factory

from app import __version__
from app.configuration.overview import overview
from app.configuration.schema import file_schema
from app.configuration.variables import CONFIG
from app.demo.faults import Fault, Latency
from app.demo.options import DemoOptions, fail_option, latency_option
from app.demo.run import DemoAddresses, SourceUrls, run_demo
from app.environment import load_settings, read, variables
from app.errors import ConfigurationError
from app.graphql.documents import Documents
from app.graphql.drift import Drift, compare
from app.graphql.explain import Explainer
from app.graphql.explain_text import error_line, explanation_text
from app.graphql.request import GraphQLRequest
from app.graphql.schema import build_schema
from app.main import create_app
from app.observability.logs import form_of, make_log, uvicorn_log_config
from app.settings import LogSettings, Settings, SourceSettings, SourcesSettings

_OF_A_SOURCE = re.compile("SOURCES__[A-Z]+__")

UNSERVED = "http://127.0.0.1:9"
"""An address where nothing answers: the discard port."""

UNUSABLE = "The settings cannot be used:"

EXIT_DRIFT = 1
EXIT_WRONG = 1
EXIT_MISUSE = 2

Port = click.IntRange(0, 65_535)

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help=f"Configuration file, in TOML.  [{CONFIG.name}]",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="user-gateway")
def main() -> None:
    """One GraphQL endpoint over three REST sources of user data.

    To see it run: user-gateway demo. To run it over your own services: set the variables that
    `user-gateway settings` lists, or write them to a file, then user-gateway serve.
    """


@main.command()
@click.option("--host", help="Address to listen on.  [GATEWAY_HOST, 127.0.0.1]")
@click.option("--port", type=Port, help="Port to listen on; 0 for any.  [GATEWAY_PORT, 8000]")
@click.option(
    "--workers", type=click.IntRange(1, 64), help="Processes to run.  [GATEWAY_WORKERS, 1]"
)
@config_option
def serve(host: str | None, port: int | None, workers: int | None, config: Path | None) -> None:
    """Run the gateway over the services that the settings name.

    Settings come from the environment; for what that lacks, from a file .env in the working
    directory; for what both lack, from the configuration file that GATEWAY_CONFIG or --config names
    (`user-gateway config schema` has all that it may hold). An option here wins over all of them.
    """
    try:
        settings = load_settings(config=config)
    except ConfigurationError as error:
        _refuse(UNUSABLE, error.mistakes)
    if config is not None:
        os.environ[CONFIG.name] = str(config)  # what each server process reads its settings by
    uvicorn.run(
        "app.main:app_from_environment",
        factory=True,
        host=host or settings.host,
        port=settings.port if port is None else port,
        workers=workers or settings.workers,
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        log_config=uvicorn_log_config(settings.log, form_of(settings.log, sys.stderr)),
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=Port,
    default=8000,
    show_default=True,
    help="Port of the gateway, or the next free one; 0 for any.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to keep the services' data in; a temporary one when absent.",
)
@latency_option
@fail_option
@click.option("--sources-only", is_flag=True, help="Run the three services without the gateway.")
def demo(
    host: str,
    port: int,
    data: Path | None,
    latency: tuple[Latency, ...],
    faults: tuple[Fault, ...],
    *,
    sources_only: bool,
) -> None:
    """Run three services with 1,000 users, and the gateway over them.

    Everything listens on this machine alone and ends with Ctrl-C. For instance, to see partial
    answers: user-gateway demo --fail billing=503 --latency activity=300ms
    """
    options = DemoOptions(
        host=host, port=port, data=data, latency=latency, faults=faults, sources_only=sources_only
    )
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(run_demo(options, _demo_gateway, _announce))


@main.group()
def schema() -> None:
    """Print the public schema, or compare it with its exported text."""


@schema.command("print")
def schema_print() -> None:
    """Print the schema as GraphQL's schema definition language."""
    click.echo(build_schema().as_str())


@schema.command("check")
@click.argument("file", type=click.Path(path_type=Path), default=Path("schema.graphql"))
def schema_check(file: Path) -> None:
    """Compare FILE (schema.graphql by default) with the schema of the code.

    Exits with 1 when they differ, and says which of the changes would break clients.
    """
    try:
        exported = file.read_text(encoding="utf-8").rstrip("\n")
        drift = compare(exported, build_schema().as_str().rstrip("\n"), name=str(file))
    except (OSError, UnicodeDecodeError) as error:
        _refuse(f"{file} cannot be read:", [str(error)])
    except (GraphQLSyntaxError, TypeError) as error:  # TypeError: of a type that is not there
        _refuse(f"{file} is not a schema:", [str(error)])
    if not drift.diff:
        click.echo(f"{file} is the schema of the code.")
        return
    _explain(drift, file)
    sys.exit(EXIT_DRIFT)


@main.command()
@click.argument("document")
@click.option("--variables", "values", help="Values of its variables, as a JSON object.")
@click.option("--operation", help="Name of its operation, where it has several.")
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
    """Show what a GraphQL DOCUMENT would ask of the sources. Nothing is called for it.

    DOCUMENT is the text of a query; @FILE reads it from a file, and - from standard input. Ids may
    be left to run time: user-gateway explain 'query($id: ID!) { user(id: $id) { plan } }'

    Exits with 1 when the document, its variables or its ids are wrong, and says how.
    """
    request = GraphQLRequest(
        query=_text_of(document), operation_name=operation, variables=_values_of(values)
    )
    schema = build_schema()
    explainer = Explainer(
        schema=schema,
        documents=Documents(schema.core, size=0),
        settings=_settings_or_defaults(config),
    )
    explained = explainer.explain(request, request_id="none")
    if as_json:
        told: dict[str, object] = {"errors": explained.errors} if explained.errors else {}
        if explained.explanation is not None:
            told["explain"] = explained.explanation.model_dump(mode="json")
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        sys.exit(EXIT_WRONG if explained.errors else 0)
    if explained.explanation is not None:
        click.echo(explanation_text(explained.explanation))
    if explained.errors:
        headline = "This is wrong with it:"
        headline = headline if explained.explanation is None else f"\n{headline}"
        mistakes = [error_line(error) for error in explained.errors]
        _refuse(headline, mistakes, exit_code=EXIT_WRONG)


@main.group()
def config() -> None:
    """Show the settings in effect, or what a configuration file may hold."""


@config.command("show")
@click.option("--all", "everything", is_flag=True, help="Show what has its default, too.")
@config_option
def config_show(config: Path | None, *, everything: bool) -> None:
    """Print the settings in effect and where each is from; secrets are hidden.

    That is a line of the configuration file, a variable, or the default. Exits with 2 when the
    settings cannot be used, and says why, as serve does.
    """
    try:
        click.echo(overview(read(config=config), everything=everything))
    except ConfigurationError as error:
        _refuse(UNUSABLE, error.mistakes)


@config.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration file.

    An editor that knows TOML (Taplo, Even Better TOML) completes and checks the file by it, where
    the file begins with: #:schema gateway.schema.json
    """
    click.echo(json.dumps(file_schema(Settings), indent=2, ensure_ascii=False))


@main.command()
def settings() -> None:
    """List every setting, as the table of the README. <SOURCE> is PROFILE, BILLING or ACTIVITY."""
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


def _explain(drift: Drift, file: Path) -> None:
    """Say how the code's schema differs from the exported one, and what that does to clients."""
    click.echo(drift.diff)
    if drift.breaking:
        click.echo("Would break clients:")
        click.echo("\n".join(f"  - {change}" for change in drift.breaking))
    else:
        click.echo("No change would break a client.")
    if drift.dangerous:
        click.echo("May surprise clients:")
        click.echo("\n".join(f"  - {change}" for change in drift.dangerous))
    click.echo(f"If that is what you want: user-gateway schema print > {file}")


def _text_of(document: str) -> str:
    """Read a document from where the command line says: itself, a file, standard input."""
    try:
        if document == "-":
            return sys.stdin.buffer.read().decode("utf-8")
        if document.startswith("@"):
            return Path(document[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        _refuse("The document cannot be read:", [str(error)])
    return document


def _values_of(text: str | None) -> dict[str, Any] | None:
    """Read the values of variables."""
    try:
        return None if text is None else TypeAdapter(dict[str, Any]).validate_json(text)
    except ValidationError as error:
        raise click.BadParameter(
            """expected a JSON object such as '{"id": "…"}'""", param_hint="--variables"
        ) from error


def _settings_or_defaults(config: Path | None) -> Settings:
    """Read the settings; without any, take the defaults and say so."""
    try:
        return load_settings(config=config)
    except ConfigurationError:
        click.echo(
            "Note: the settings here are missing or wrong (`user-gateway serve` tells which), so"
            " the defaults are used.\n",
            err=True,
        )
        return Settings(sources=_sources_at({}))


def _sources_at(addresses: Mapping[str, str]) -> SourcesSettings:
    """Make the settings of the sources; where one without an address is, nothing answers."""
    return SourcesSettings.model_validate(
        {
            name: SourceSettings(base_url=addresses.get(name, UNSERVED))
            for name in SourcesSettings.model_fields
        }
    )


def _demo_gateway(urls: SourceUrls) -> ASGIApp:
    """Make the gateway over the demo's services."""
    # A source that was added to the gateway and not to the demo is one that cannot be reached.
    settings = Settings(
        sources=_sources_at(asdict(urls)),
        trace="asked",
        explain=True,
        log=LogSettings(format="console"),
    )
    return create_app(settings, make_log(settings.log))


def _announce(addresses: DemoAddresses) -> None:
    """Say where everything is, and what to try."""
    click.echo(announcement(addresses))
    sys.stdout.flush()


def announcement(addresses: DemoAddresses) -> str:
    """Write where the demo is, and what to try.

    Args:
        addresses: Where everything listens.

    Returns:
        Lines for a person.
    """
    sources = addresses.sources
    if addresses.gateway is None:
        return "\n".join(
            [
                "The three services run. To put the gateway over them, in another terminal:",
                "",
                f"  export GATEWAY_SOURCES__PROFILE__BASE_URL={sources.profile}",
                f"  export GATEWAY_SOURCES__BILLING__BASE_URL={sources.billing}",
                f"  export GATEWAY_SOURCES__ACTIVITY__BASE_URL={sources.activity}",
                "  user-gateway serve",
                "",
                "Ctrl-C ends them.",
            ]
        )
    fields = "displayName plan billingStatus lastSeenAt"
    query = f'{{ user(id: \\"{_user_id(1)}\\") {{ {fields} }} }}'
    return "\n".join(
        [
            f"GraphiQL   {addresses.graphiql}",
            f"Services   {sources.profile} {sources.billing} {sources.activity}",
            f"Users      {_user_id(1)} to {_user_id(1000)}",
            "",
            f"  curl {addresses.graphiql} -H 'Content-Type: application/json' \\",
            f"""    -d '{{"query": "{query}"}}'""",
            "",
            "Ctrl-C ends everything.",
        ]
    )


def _user_id(number: int) -> str:
    """Write the id of one of the demo's users."""
    return f"00000000-0000-4000-8000-{number:012d}"


def _refuse(headline: str, mistakes: Sequence[str], *, exit_code: int = EXIT_MISUSE) -> NoReturn:
    """Say why a command cannot run, one line a mistake, and end."""
    click.echo(headline, err=True)
    for mistake in mistakes:
        click.echo(f"  - {mistake}", err=True)
    sys.exit(exit_code)
