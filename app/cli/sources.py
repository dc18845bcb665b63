"""The commands that try the sources."""

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from uvicorn.loops.auto import auto_loop_factory

from app.cli.base import EXIT_WRONG, UNUSABLE, config_option, refuse
from app.errors import ConfigurationError
from app.main import load_settings
from app.probe.probe import ProbeResult, probe
from app.probe.report import checks_text, table, trial_text
from app.probe.verdict import Redaction, SourceCheck, check_of
from app.schema.user import specs
from app.settings.credentials import AUTHORIZATION
from app.settings.models import Settings
from app.settings.source import SourceSettings

NOBODY = ("00000000-0000-0000-0000-000000000000", "0", "nobody", "nobody@example.com")
"""Ids of users that there are none of; the first that fits the pattern is asked for."""

LINES = 60
"""Most lines of an answer that are shown, unless all are wanted."""

header_option = click.option(
    "--header",
    "-H",
    "headers",
    multiple=True,
    metavar="NAME:VALUE",
    help="Header of a client, for sources that it is passed on to. May be repeated.",
)


@click.group()
def sources() -> None:
    """Try the sources: call them as the gateway would, and see what comes back.

    What is shown may be personal data. It is written to the terminal, and to no log.
    """


@sources.command("list")
@config_option
def sources_list(config: Path | None) -> None:
    """List the sources, where they are, and how they are asked."""
    settings = dict(_settings(config).sources)
    rows = [
        (name, _form(settings[name]), settings[name].base_url, settings[name].contract)
        for name in specs()
    ]
    click.echo("\n".join(table([("source", "form", "address", "contract"), *rows])))


@sources.command("check")
@click.option("--ids", help="Users that there are, with commas between: a,b.")
@header_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@config_option
def sources_check(
    ids: str | None, headers: Sequence[str], config: Path | None, *, as_json: bool
) -> None:
    """Call each source, and say how it is with it.

    With --ids, all fields of these users are shown, with their values and types or what is wrong
    with them; a source that knows none of them is wrong, too. Without, a user is asked for whom
    there is not: that shows whether a source is reachable, lets the gateway in and understands how
    it is asked.

    Exits with 0 when all is well, with 1 when something is wrong, with 2 when the settings or the
    options are.
    """
    settings = _settings(config)
    users = _nobody(settings) if ids is None else _ids(ids.split(","), settings)
    found = _probe(settings, users, None, headers)
    checks = _checks(found, settings, headers, expected=ids is not None)
    if as_json:
        told = [one.model_dump(mode="json") | {"well": one.well} for one in checks]
        click.echo(json.dumps({"sources": told}, indent=2, ensure_ascii=False))
    else:
        click.echo(checks_text(checks, width=_width()))
    sys.exit(0 if all(one.well for one in checks) else EXIT_WRONG)


@sources.command("try")
@click.argument("source")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@header_option
@click.option("--full", is_flag=True, help=f"Show all of an answer, not {LINES} lines of it.")
@config_option
def sources_try(
    source: str, ids: tuple[str, ...], headers: Sequence[str], config: Path | None, *, full: bool
) -> None:
    """Ask SOURCE for users, and show all of it: what one needs while writing a mapping.

    Each request is shown as it goes out, but for its secrets; each answer as it comes back; and of
    each row in it, which expression gave what, and what is wrong with that. Where SOURCE has
    another source's keys, that one is asked first, and shown, too.

    Exits as check does.
    """
    known = [*specs()]
    if source not in known:
        raise click.BadParameter(f"expected one of {', '.join(known)}", param_hint="SOURCE")
    settings = _settings(config)
    found = _probe(settings, _ids(ids, settings), [source], headers)
    [check] = _checks(found, settings, headers, expected=True)
    hiding = _hiding(settings, headers, found)
    lines = sys.maxsize if full else LINES
    click.echo(trial_text(found[0], check, hiding, width=_width(), lines=lines))
    sys.exit(0 if check.well else EXIT_WRONG)


def _settings(config: Path | None) -> Settings:
    """Read the settings, or say why they cannot be used."""
    try:
        return load_settings(config=config)
    except ConfigurationError as error:
        refuse(UNUSABLE, error.mistakes)


def _ids(ids: Sequence[str], settings: Settings) -> Sequence[str]:
    """Accept ids that the gateway would accept."""
    users = [*dict.fromkeys(one.strip() for one in ids)]
    wrong = [one for one in users if not settings.user_id_pattern.fullmatch(one)]
    if wrong:
        pattern = settings.user_id_pattern.pattern
        refuse(
            "These are no user ids:",
            [f"{one!r}: expected a match of {pattern} (GATEWAY_USER_ID_PATTERN)" for one in wrong],
        )
    if len(users) > settings.max_ids:
        refuse("These are too many ids:", [f"expected at most {settings.max_ids}"])
    return users


def _nobody(settings: Settings) -> Sequence[str]:
    """Find an id of nobody."""
    fitting = [one for one in NOBODY if settings.user_id_pattern.fullmatch(one)]
    if not fitting:
        pattern = settings.user_id_pattern.pattern
        refuse(
            "There is nobody to ask for:",
            [f"expected --ids with users that match {pattern} (GATEWAY_USER_ID_PATTERN)"],
        )
    return fitting[:1]


def _probe(
    settings: Settings,
    ids: Sequence[str],
    names: Sequence[str] | None,
    headers: Sequence[str],
) -> Sequence[ProbeResult]:
    """Ask sources."""
    pairs = _pairs(headers)
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        return runner.run(probe(settings, ids, sources=names, headers=pairs))


def _checks(
    found: Sequence[ProbeResult], settings: Settings, headers: Sequence[str], *, expected: bool
) -> Sequence[SourceCheck]:
    """Judge sources."""
    each = dict(settings.sources)
    hiding = _hiding(settings, headers, found)
    return [check_of(one, each[one.service], hiding, expected=expected) for one in found]


def _hiding(settings: Settings, headers: Sequence[str], found: Sequence[ProbeResult]) -> Redaction:
    """Know the secrets: of the settings, in the client's headers, and as sources were sent them."""
    sent = [
        (name, value)
        for one in found
        for exchange in one.exchanges
        for name, value in exchange.headers
        if name.lower() == AUTHORIZATION
    ]
    return Redaction(settings, [value.rpartition(" ")[2] for _, value in (*_pairs(headers), *sent)])


def _pairs(headers: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Read headers."""
    pairs: list[tuple[str, str]] = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip() or not header.isascii() or not header.isprintable():
            raise click.BadParameter("expected NAME:VALUE in ASCII", param_hint="--header")
        pairs.append((name.strip(), value.strip()))
    return pairs


def _form(settings: SourceSettings) -> str:
    """Name the form in which a source is asked."""
    return "repeat" if settings.request is None else settings.request.form


def _width() -> int:
    """Tell how wide the terminal is."""
    return shutil.get_terminal_size().columns
