"""The commands that call the sources to check them."""

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from uvicorn.loops.auto import auto_loop_factory

from app.cli.base import EXIT_WRONG, UNUSABLE, config_option, header_pairs, refuse, refuse_settings
from app.cli.import_openapi import import_openapi
from app.errors import ConfigurationError
from app.expressions.ids import form_of
from app.main import load_settings
from app.probe.probe import ProbeResult, probe
from app.probe.report import checks_text, table, trial_text
from app.probe.strangers import stranger_beside
from app.probe.verdict import Redaction, SourceCheck, check_of
from app.schema.configured import configured
from app.settings.credentials import AUTHORIZATION
from app.settings.models import Settings
from app.settings.source import OWN_ADDRESS, SourceSettings

LINES = 60
"""Most lines of an answer that are shown without ``--full``."""

header_option = click.option(
    "--header",
    "-H",
    "headers",
    multiple=True,
    metavar="NAME:VALUE",
    help="Header of a client, which sources get if they forward it. May be repeated.",
)


@click.group()
def sources() -> None:
    """Call the sources as the gateway does, and show their answers; import new ones.

    The output may contain personal data. It is written to the terminal, and to no log.
    """


sources.add_command(import_openapi)


@sources.command("list")
@config_option
def sources_list(config: Path | None) -> None:
    """List the sources, with the form of their requests."""
    rows = [
        (name, _form(one), _address(one), one.contract)
        for name, one in _settings(config).sources.items()
    ]
    click.echo("\n".join(table([("source", "form", "address", "contract"), *rows])))


@sources.command("check")
@click.option("--ids", help="Ids of existing users, separated by commas: a,b.")
@click.option("--source", "names", multiple=True, help="Call only this source. May be repeated.")
@header_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@config_option
def sources_check(
    ids: str | None,
    names: Sequence[str],
    headers: Sequence[str],
    config: Path | None,
    *,
    as_json: bool,
) -> None:
    """Call each source, and report whether it works.

    With --ids, the report has all fields of these users, with values and types, or with the reason
    why a value cannot be used. A source that knows none of these users is reported as wrong, too.
    Lists, such as invoices, are requested for the first user that their source knows: a first page,
    and pages of one item. These show whether the settings say how pages continue.
    A user who does not exist is requested, too. An answer that is the same for two users is
    reported, because the service then ignores the user in the request.
    Without --ids, the command requests a user who does not exist. That shows whether a source is
    reachable, accepts the credentials, and understands the request.

    Exits with 0 if all sources work, with 1 if one does not, and with 2 if the settings or the
    options are wrong.
    """
    settings = _settings(config)
    for name in names:
        _check_source(name, settings)
    users = _nobody(settings) if ids is None else _ids(ids.split(","), settings)
    found = _probe(settings, users, names or None, headers)
    strangers: Sequence[ProbeResult] = ()
    if ids is not None and (nobody := _strangers(settings, users)):
        strangers = _probe(settings, nobody, names or None, headers)
    checks = _checks(found, settings, headers, expected=ids is not None, strangers=strangers)
    if as_json:
        report = [one.model_dump(mode="json") | {"well": one.well} for one in checks]
        click.echo(json.dumps({"sources": report}, indent=2, ensure_ascii=False))
    else:
        click.echo(checks_text(checks, width=_width()))
    sys.exit(0 if all(one.well for one in checks) else EXIT_WRONG)


@sources.command("try")
@click.argument("source")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@header_option
@click.option("--full", is_flag=True, help=f"Show whole answers, not only {LINES} lines.")
@config_option
def sources_try(
    source: str, ids: tuple[str, ...], headers: Sequence[str], config: Path | None, *, full: bool
) -> None:
    """Request users from SOURCE, and show each step. This helps to write a mapping.

    The command shows each request without its secrets, each answer, and for each row the value of
    each expression, or the reason why it cannot be used. If SOURCE gets its keys from another
    source or from a lookup, the command calls that first, and shows it with the keys, too. The
    first page of each list of SOURCE follows, for the first of these users that it knows.

    The exit codes are those of check.
    """
    settings = _settings(config)
    _check_source(source, settings)
    found = _probe(settings, _ids(ids, settings), [source], headers)
    checks = _checks(found, settings, headers, expected=True)
    hiding = _hiding(settings, headers, found)
    lines = sys.maxsize if full else LINES
    texts = [
        trial_text(one, check, hiding, width=_width(), lines=lines)
        for one, check in zip(found, checks, strict=True)
    ]
    click.echo("\n\n".join(texts))
    sys.exit(0 if all(check.well for check in checks) else EXIT_WRONG)


def _check_source(name: str, settings: Settings) -> None:
    """Check the name of a source; if there is none of this name, print the names and exit."""
    definition, _ = configured(settings)
    lookups = {one.source.name: one.name for one in definition.lookups}
    known = [one for one in definition.sources if one not in lookups]
    if name in lookups:
        raise click.BadParameter(
            f"{name} is asked by other keys than ids: run a query with {lookups[name]}, and see"
            " source.fetch in the log",
            param_hint="SOURCE",
        )
    if name not in known:
        raise click.BadParameter(f"expected one of {', '.join(known)}", param_hint="SOURCE")


def _settings(config: Path | None) -> Settings:
    """Read the settings; if they are wrong, print the mistakes and exit."""
    try:
        return load_settings(config=config)
    except ConfigurationError as error:
        refuse_settings(error, config)


def _ids(ids: Sequence[str], settings: Settings) -> Sequence[str]:
    """Check ids as the gateway does; if they are wrong, print the mistakes and exit."""
    users = [*dict.fromkeys(one.strip() for one in ids)]
    wrong = [one for one in users if not settings.user_id_pattern.fullmatch(one)]
    if wrong:
        expected = form_of(settings.user_id_pattern.pattern)
        refuse(
            "These are not user ids:",
            [f"{one!r}: expected {expected} (GATEWAY_USER_ID_PATTERN)" for one in wrong],
        )
    if len(users) > settings.max_ids:
        refuse("There are too many ids:", [f"expected at most {settings.max_ids}"])
    return users


def _nobody(settings: Settings) -> Sequence[str]:
    """Return an id that no user has; if none matches the pattern, print that and exit."""
    fitting = _strangers(settings, ())
    if not fitting:
        pattern = settings.user_id_pattern.pattern
        refuse(
            "No example of an unknown user id matches the pattern:",
            [f"expected --ids with users that match {pattern} (GATEWAY_USER_ID_PATTERN)"],
        )
    return fitting


def _strangers(settings: Settings, users: Sequence[str]) -> Sequence[str]:
    """Return an id that no user has; none if no example matches the pattern of ids."""
    stranger = stranger_beside(users, settings.user_id_pattern)
    return [] if stranger is None else [stranger]


def _probe(
    settings: Settings,
    ids: Sequence[str],
    names: Sequence[str] | None,
    headers: Sequence[str],
) -> Sequence[ProbeResult]:
    """Call the sources. The results of the lists of a source follow its own."""
    pairs = header_pairs(headers)
    try:
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            found = runner.run(probe(settings, ids, sources=names, headers=pairs))
    except ConfigurationError as error:  # what a module opens is known only now
        refuse(UNUSABLE, error.mistakes)
    return [one for result in found for one in (result, *result.lists)]


def _checks(
    found: Sequence[ProbeResult],
    settings: Settings,
    headers: Sequence[str],
    *,
    expected: bool,
    strangers: Sequence[ProbeResult] = (),
) -> Sequence[SourceCheck]:
    """Make the report of each source and list."""
    each = settings.sources
    hiding = _hiding(settings, headers, [*found, *strangers])
    by_source = {one.source: one for one in strangers}
    return [
        check_of(
            one,
            each[one.service],
            hiding,
            expected=expected,
            stranger=by_source.get(one.source),
        )
        for one in found
    ]


def _hiding(settings: Settings, headers: Sequence[str], found: Sequence[ProbeResult]) -> Redaction:
    """Make the redaction of secrets: in settings, in client headers, and in sent requests."""
    sent = [
        (name, value)
        for one in found
        for exchange in one.exchanges
        for name, value in exchange.headers
        if name.lower() == AUTHORIZATION
    ]
    return Redaction(
        settings, [value.rpartition(" ")[2] for _, value in (*header_pairs(headers), *sent)]
    )


def _form(settings: SourceSettings) -> str:
    """Return the form of the requests to a source."""
    if settings.base_url == OWN_ADDRESS:
        return "module"
    forms = [one.request.form for one in settings.endpoints.values()]
    own = "repeat" if settings.request is None else settings.request.form
    return ", ".join(dict.fromkeys(forms)) or own


def _address(settings: SourceSettings) -> str:
    """Return the address of a source; a source that a module brings has none."""
    return "-" if settings.base_url == OWN_ADDRESS else settings.base_url


def _width() -> int:
    """Return the columns of the terminal."""
    return shutil.get_terminal_size().columns
