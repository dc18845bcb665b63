"""What is shown while a file is made: the fields that were seen, or why no user was found. Pure."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import cast

from pydantic import JsonValue

from app.probe.report import printable, shortened, table, written
from app.settings.nested import NOTHING, Keys, Table, value_at
from app.starting.found import FoundService
from app.starting.proposal import ProposedSource
from app.starting.trial import TrialOutcome, TrialRequest

_MOST_VALUE = 60
"""The most characters of a value that are shown."""

_MOST_ATTEMPTS = 8
"""The most requests that a failure lists."""

_WITH_PLACE = (
    "If the id has another place in its requests, give the address of one user with {id} in it,"
    " such as http://…/users/{id} or http://…/accounts?userId={id}"
)


def found_text(service: FoundService) -> str:
    """Say how users were found.

    Args:
        service: The service.

    Returns:
        One line, and one more if it does not know all users.
    """
    many = "one call for several users" if service.has_many else "one call for each user"
    lines = [f"{service.source}: {service.shown} finds the user ({many})."]
    if service.missing:
        lines.append(
            f"{service.source}: it knows no user with the id {', '.join(service.missing)}."
        )
    return printable("\n".join(lines))


def fields_text(source: ProposedSource, row: Table) -> str:
    """List the fields of a user that were seen, with their types and values.

    Args:
        source: What is proposed for a service.
        row: The row of the user whose values are shown.

    Returns:
        A table, and what has no type.
    """
    head = ("field", "type", "in the row", "value")
    body = [
        (one.name, one.type, one.shown, shortened(_value(one.place, row), _MOST_VALUE))
        for one in source.fields
    ]
    lines = [f"  {line}" for line in table([head, *body])]
    lines += [f"  without a type: {name}: {why}" for name, why in source.left_out.items()]
    return printable("\n".join(lines))


def _value(place: Keys, row: Table) -> str:
    """Return the value in a row, as JSON."""
    value = value_at(row, place)
    return "" if value is NOTHING else written(cast("JsonValue", value))


def failure_text(source: str, attempts: Sequence[TrialRequest], variable: str | None) -> str:
    """Say why no user was found at a service, and what to do.

    Args:
        source: The name of the source.
        attempts: The requests that were tried.
        variable: The variable with the credentials that were sent; ``None`` if there are none.

    Returns:
        A sentence, and the requests in lines of their own.
    """
    worst = next(one for outcome in _ORDER for one in attempts if one.outcome is outcome)
    lines = _lines(attempts) if worst.outcome not in _ONE_IS_ENOUGH else ()
    return printable("\n".join([f"{source}: {_sentence(source, worst, variable)}.", *lines]))


_ORDER = (
    TrialOutcome.SILENT,
    TrialOutcome.DENIED,
    TrialOutcome.SEVERAL,
    TrialOutcome.HTML,
    TrialOutcome.MOVED,
    TrialOutcome.NOT_JSON,
    TrialOutcome.FAILING,
    TrialOutcome.IGNORED,
    TrialOutcome.EMPTY,
    TrialOutcome.ABSENT,
    TrialOutcome.REFUSED,
)
"""The outcome to report if requests had different ones: the first of these."""

_ONE_IS_ENOUGH = frozenset({TrialOutcome.SILENT, TrialOutcome.DENIED, TrialOutcome.SEVERAL})


def _sentence(source: str, one: TrialRequest, variable: str | None) -> str:  # noqa: PLR0911 # a table
    """Say what became of the request that shows most, and what to do."""
    detail = f" ({one.detail})" if one.detail else ""
    upper = "".join(sign if sign.isalnum() else "_" for sign in source).upper()
    match one.outcome:
        case TrialOutcome.SILENT:
            return f"{one.request}: {one.detail}. Check the address, and that the service runs"
        case TrialOutcome.DENIED if variable is not None:
            return (
                f"status {one.status} for {one.request}: it does not accept the credentials in the"
                f" variable {variable}"
            )
        case TrialOutcome.DENIED:
            return (
                f"status {one.status} for {one.request}: it needs credentials. Put the secret into"
                f" a variable, and name that: --auth {source}=bearer:{upper}_TOKEN (or"
                f" basic:USER:VARIABLE, header:NAME:VARIABLE, parameter:NAME:VARIABLE). The setting"
                f" is sources.{source}.auth; the file gets the name of the variable, never the"
                " secret"
            )
        case TrialOutcome.SEVERAL:
            return (
                f"{one.request} answers several rows of one user. Such rows are described by"
                " answer.group, or as a list page by page: see docs/sources/README.md"
            )
        case TrialOutcome.HTML | TrialOutcome.NOT_JSON:
            return (
                f"the answer to {one.request} {one.outcome}. Expected the address of an API that"
                " answers JSON"
            )
        case TrialOutcome.MOVED:
            return f"{one.request} leads to another address{detail}. Expected that one"
        case TrialOutcome.FAILING:
            return f"status {one.status} for {one.request}. Try again when the service works"
        case TrialOutcome.IGNORED:
            return f"its answers do not depend on the id. {_WITH_PLACE}"
        case _:
            return (
                "it knows no user of this id, by any request that was tried. Check the id. If its"
                " users have other ids, leave it out for now, and see 'A source with its own keys'"
                f" in docs/how-to/configuration.md. {_WITH_PLACE}"
            )


def _lines(attempts: Sequence[TrialRequest]) -> Iterator[str]:
    """List requests, and what became of each."""
    for one in islice(attempts, _MOST_ATTEMPTS):
        status = "no answer" if one.status is None else f"status {one.status}"
        yield f"      {one.request}: {status}, {one.outcome}"
    if len(attempts) > _MOST_ATTEMPTS:
        yield f"      and {len(attempts) - _MOST_ATTEMPTS} more requests"
