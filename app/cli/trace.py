"""The command that runs an operation at a gateway and shows what became of it at each source."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import click
import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.cli.base import EXIT_WRONG, document_text, header_pairs, refuse, variable_values
from app.cli.waterfall import waterfall_text
from app.execution.source_report import RequestReport, SourceReport
from app.settings.server import is_loopback

_ACCEPT = ("Accept", "application/graphql-response+json, application/json;q=0.9")
_NOT_ASKED = "The gateway could not be asked:"
_REFUSED = "The gateway refused the request:"
_NO_REPORT = "The answer has no report of its sources:"


class _Member(BaseModel):
    """Base of the parts of an answer. What the command does not show is left out."""

    model_config = ConfigDict(frozen=True)


class _ErrorExtensions(_Member):
    """What an error says for programs."""

    code: str | None = Field(default=None, description="Its code.")
    source: str | None = Field(default=None, description="The source that failed.")


class _AnswerError(_Member):
    """An error of an answer."""

    message: str = Field(description="Its text.")
    path: tuple[str | int, ...] = Field(default=(), description="The field that it is about.")
    extensions: _ErrorExtensions = Field(default_factory=_ErrorExtensions)


class _AnswerExtensions(_Member):
    """What an answer says besides its data."""

    request: RequestReport | None = Field(default=None, description="The times of the operation.")
    sources: Mapping[str, SourceReport] = Field(default={}, description="Reports, by source.")


class _TracedAnswer(_Member):
    """The answer of a gateway."""

    data: object = Field(default=None, description="Its data, which the command does not show.")
    errors: tuple[_AnswerError, ...] = Field(default=(), description="Its errors.")
    extensions: _AnswerExtensions = Field(default_factory=_AnswerExtensions)


@click.command()
@click.argument("document")
@click.option(
    "--url",
    default="http://127.0.0.1:8000/graphql",
    show_default=True,
    help="Address of the gateway's GraphQL endpoint.",
)
@click.option("--variables", "values", help="Values of its variables, as a JSON object.")
@click.option("--operation", help="Name of the operation to run, if there are several.")
@click.option(
    "--header",
    "headers",
    metavar="NAME:VALUE",
    multiple=True,
    help="A header of the request, such as Authorization; can be given several times.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 3600, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds that the gateway may take to connect, and for each part of its answer.",
)
def trace(  # noqa: PLR0917  (click calls it, by name)
    document: str,
    url: str,
    values: str | None,
    operation: str | None,
    headers: Sequence[str],
    timeout: float,
) -> None:
    """Run a GraphQL DOCUMENT, and show where its time went.

    DOCUMENT is the text of a query; @FILE reads it from a file, and - from standard input. Shown
    is a waterfall of each source's waits, attempts and failures. The gateway has to allow it:
    GATEWAY_TRACE=asked. The demo does.

    Exits with 1 if the answer has errors, and prints them; with 2 if the gateway could not be
    asked or does not report.
    """
    body = {
        "query": document_text(document),
        "variables": variable_values(values),
        "operationName": operation,
    }
    response = _ask(url, body, header_pairs(headers), timeout)
    answer = _read(response)
    errors = [_line(error) for error in answer.errors]
    if response.status_code not in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST):
        refuse(_REFUSED, [f"HTTP status {response.status_code} from {url}", *errors])
    request = answer.extensions.request
    if request is not None:
        width = shutil.get_terminal_size().columns
        _print(waterfall_text(request, answer.extensions.sources, width=width))
    if errors:
        _print(f"\nErrors: {len(errors):,}" if request is not None else f"Errors: {len(errors):,}")
        for error in errors:
            _print(f"  - {error}")
    if request is None:
        refuse(
            _NO_REPORT,
            ["set GATEWAY_TRACE=asked at the gateway, which allows the report to its clients"],
        )
    if errors:
        sys.exit(EXIT_WRONG)


def _ask(
    url: str, body: Mapping[str, object], headers: Sequence[tuple[str, str]], timeout: float
) -> httpx.Response:
    """Send the operation to the gateway."""
    try:
        address = httpx.URL(url)
        # The variables of a proxy are for other machines, not for a gateway on this one.
        with httpx.Client(timeout=timeout, trust_env=not is_loopback(address.host)) as client:
            return client.post(
                address, json=body, headers=[*headers, ("X-Gateway-Trace", "1"), _ACCEPT]
            )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        refuse(_NOT_ASKED, [f"--url {url} is not an HTTP address: {error}"])
    except httpx.TimeoutException:
        refuse(_NOT_ASKED, [f"{url} did not answer within {timeout:g} s (--timeout)"])
    except httpx.HTTPError as error:
        refuse(_NOT_ASKED, [f"{url} is not reachable: {error}"])


def _read(response: httpx.Response) -> _TracedAnswer:
    """Read the answer of a gateway."""
    try:
        answer = _TracedAnswer.model_validate_json(response.content)
    except ValidationError:
        answer = _TracedAnswer()
    if not answer.model_fields_set & {"data", "errors"}:
        what = f"HTTP status {response.status_code} from {response.url}"
        refuse(_NOT_ASKED, [f"{what} without a GraphQL answer: is this a gateway's /graphql?"])
    return answer


def _line(error: _AnswerError) -> str:
    """Write an error of an answer."""
    path = ".".join(map(str, error.path))
    source = "" if error.extensions.source is None else f" ({error.extensions.source})"
    where = f"{path}: " if path else ""
    return f"{where}{error.extensions.code or 'no code'}{source}: {error.message}"


def _print(text: str) -> None:
    """Print lines. Characters that could steer the terminal are replaced."""
    for line in text.split("\n"):
        click.echo(
            "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line)
        )
