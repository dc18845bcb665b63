"""The command that writes a first configuration file, by what running services answer."""

import asyncio
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct
from msgspec.structs import replace
from uvicorn.loops.auto import auto_loop_factory

from app.cli.base import EXIT_WRONG, UNUSABLE, USUAL_FILE, refuse
from app.cli.new_file import write_new_file
from app.errors import ConfigurationError, quote
from app.main import load_settings
from app.probe.probe import probe
from app.probe.report import checks_text
from app.probe.verdict import Redaction, check_of
from app.settings.credentials import NoAuth
from app.settings.source import is_service_name
from app.settings.variables import ENV_FILE, read_environment

if TYPE_CHECKING:
    from app.starting.found import FoundService
    from app.starting.users import TriedUsers

_NOT_WRITTEN = "No file is written:"
_ID = "An id of an existing user"
_NAME = "Name of a service, such as hr or support"
_NEXT = "Name of the next service; empty if that is all"
_ADDRESS = "Its address, or that of one user there, such as http://localhost:4001/users/{id}"
_LEAVE_OUT = "-"
_CREDENTIALS = "Its credentials, such as bearer:HR_TOKEN with the variable of the secret; or empty"


class GivenService(Struct, frozen=True):
    """What an operator says of a service.

    Attributes:
        name: The name of the source.
        address: Its address, or that of one user there.
        credentials: Its credentials; empty if there are none.
    """

    name: str
    address: str
    credentials: str = ""


@click.command()
@click.option(
    "--source",
    "services",
    multiple=True,
    metavar="NAME=ADDRESS",
    help="Name and address of a service. The address may be that of one user there, with {id} in"
    " the place of the id: http://localhost:4001/users/{id}, or …/accounts?userId={id}. May be"
    " repeated.",
)
@click.option("--id", "ids", multiple=True, help="Id of an existing user. May be repeated.")
@click.option(
    "--auth",
    "credentials",
    multiple=True,
    metavar="NAME=KIND",
    help="Credentials for a service: bearer:VARIABLE, basic:USER:VARIABLE, header:NAME:VARIABLE or"
    " parameter:NAME:VARIABLE. VARIABLE is the environment variable that has the secret.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path(USUAL_FILE),
    show_default=True,
    metavar="FILE",
    help="New file to write. An existing one is not changed.",
)
def init(
    services: Sequence[str], ids: Sequence[str], credentials: Sequence[str], output: Path
) -> None:
    """Write a first configuration file, by what services answer.

    The command asks for what the options do not say: the id of a user, and the names and addresses
    of your services. It calls each service as the gateway does, in the common ways: with a path
    such as /users/{id}, or with a parameter such as ids or userId. It shows the fields that it saw,
    with their types and values, and writes tables for them: one for each source, field and object.
    It writes no values and no secrets.

    Where callers have tokens, only the user itself sees each field (may = "self") until you say
    otherwise. Where they have none (auth.mode = "none", which the file begins with), anyone sees
    everything, so run that on your own machine only.

    Exits with 0 if the file is written and each service gives its fields by it. Exits with 1 if no
    user was found at a service, and with 2 if the options are wrong or the file exists.
    """
    if output.exists():
        refuse(
            _NOT_WRITTEN,
            [f"{output} exists: expected --output with the name of a new file, or remove it first"],
        )
    given = _given(services, credentials)

    # These libraries are for this command alone: the others start faster without them.
    from app.starting.proposal import propose  # noqa: PLC0415 # for this command alone
    from app.starting.texts import fields_text  # noqa: PLC0415 # for this command alone
    from app.starting.toml_file import starting_toml  # noqa: PLC0415 # for this command alone

    users = _users(ids)
    found = _all_found(given, users) if given else _asked(users)
    proposed = propose(found)
    for source in proposed:
        click.echo(f"\n{source.service.source}, {source.service.users[0]}")
        click.echo(fields_text(source, source.service.rows[0]))
    write_new_file(starting_toml(proposed, users.pattern, str(output)), output)
    click.echo(f"\nWritten: {output}")
    well = _check(output, users)
    if well:
        click.echo(_next_steps(found, output))
    sys.exit(0 if well else EXIT_WRONG)


def _given(services: Sequence[str], credentials: Sequence[str]) -> Sequence[GivenService]:
    """Read the options; if they are wrong, print the mistakes and exit."""
    by_name: dict[str, GivenService] = {}
    for text in services:
        name, equals, address = text.partition("=")
        if not equals or not is_service_name(name) or not address:
            raise click.BadParameter(
                f"{quote(text)}: expected NAME=ADDRESS, with small letters, digits and _ in NAME,"
                " such as hr=http://localhost:4001",
                param_hint="--source",
            )
        if name in by_name:
            raise click.BadParameter(f"expected {name} once", param_hint="--source")
        by_name[name] = GivenService(name, address)
    for text in credentials:
        name, _, rest = text.partition("=")
        if name not in by_name:
            raise click.BadParameter(
                f"{quote(name)}: expected NAME=KIND, with the name of a --source",
                param_hint="--auth",
            )
        by_name[name] = replace(by_name[name], credentials=rest)
    return [*by_name.values()]


def _users(ids: Sequence[str]) -> "TriedUsers":
    """Return the users to request; ask for one if there is none."""
    from app.starting.users import UserIdError, tried_users  # noqa: PLC0415 # for this command alone

    while True:
        try:
            return tried_users(ids or [click.prompt(_ID)])
        except UserIdError as error:
            if ids:
                raise click.BadParameter(str(error), param_hint="--id") from error
            click.echo(f"  {error}")


def _asked(users: "TriedUsers") -> "Sequence[FoundService]":
    """Ask for services until there are no more."""
    found: dict[str, FoundService] = {}
    while True:
        name = click.prompt(_NEXT, default="", show_default=False) if found else click.prompt(_NAME)
        if not name:
            return [*found.values()]
        if not is_service_name(name) or name in found:
            click.echo("  expected a new name of small letters, digits and _")
            continue
        one = _asked_about(name, users)
        if one is not None:
            found[name] = one


def _asked_about(name: str, users: "TriedUsers") -> "FoundService | None":
    """Ask where a service is until users are found there; ``None`` if it is left out."""
    address, credentials = click.prompt(_ADDRESS), ""
    while address != _LEAVE_OUT:
        tried = _tried(GivenService(name, address, credentials), users)
        if not isinstance(tried, str):
            return tried
        click.echo(tried)
        address = click.prompt(
            f"Its address again; {_LEAVE_OUT} to leave {name} out", default=address
        )
        if address != _LEAVE_OUT:
            credentials = click.prompt(_CREDENTIALS, default=credentials, show_default=False)
    return None


def _all_found(given: Sequence[GivenService], users: "TriedUsers") -> "Sequence[FoundService]":
    """Find users at each service; if there are none at one, print why and exit."""
    tried = [_tried(one, users) for one in given]
    if mistakes := [one for one in tried if isinstance(one, str)]:
        refuse(_NOT_WRITTEN, mistakes, exit_code=EXIT_WRONG)
    return [one for one in tried if not isinstance(one, str)]


def _tried(given: GivenService, users: "TriedUsers") -> "FoundService | str":
    """Find users at a service, or say why there are none."""
    from app.starting.address import AddressError, given_address  # noqa: PLC0415 # for this command alone
    from app.starting.credentials import CredentialsError, given_credentials  # noqa: PLC0415 # for this command alone
    from app.starting.texts import failure_text, found_text  # noqa: PLC0415 # for this command alone
    from app.starting.trial import NotFoundError, ServiceTrial  # noqa: PLC0415 # for this command alone

    own = None
    try:
        own = given_credentials(given.credentials) if given.credentials else None
        auth = NoAuth() if own is None else own.settings(read_environment(ENV_FILE).variables)
        trial = ServiceTrial(given.name, auth, users)
        address = given_address(given.address, users.ids)
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            found = runner.run(trial.run(address))
    except (AddressError, CredentialsError) as error:
        return f"{given.name}: {error}"
    except NotFoundError as error:
        return failure_text(given.name, error.attempts, None if own is None else own.variable)
    click.echo(found_text(found))
    return replace(found, credentials=own)


def _check(file: Path, users: "TriedUsers") -> bool:
    """Call the sources by the new file, as `sources check` does; return whether all is well."""
    try:
        settings = load_settings(config=file, serving=True)
    except ConfigurationError as error:
        refuse(UNUSABLE, error.mistakes)
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        found = runner.run(probe(settings, users.ids))
    hiding = Redaction(settings)
    checks = [check_of(one, settings.sources[one.service], hiding, expected=True) for one in found]
    brief = [one.model_copy(update={"rows": ()}) for one in checks]
    click.echo(checks_text(brief, width=shutil.get_terminal_size().columns))
    return all(one.well for one in checks)


def _next_steps(found: "Sequence[FoundService]", file: Path) -> str:
    """Say what comes next."""
    secrets = [one.credentials.variable for one in found if one.credentials is not None]
    return "\n".join(
        (
            "",
            f"In {file}, say what each field means, and who may see it. Then:",
            *(f"  export {one}=…" for one in secrets),
            f"  user-gateway serve --config {file}",
        )
    )
