"""Small OpenAPI documents, and their import by the command."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from click.testing import CliRunner, Result

from app.cli import main
from app.main import load_settings
from app.settings.nested import Table
from app.settings.source import SourceSettings
from tests.settings.toml import toml

Json: TypeAlias = Mapping[str, object]

NAMES = ("profile", "billing", "activity")

TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer"}
TIME: Json = {"type": "string", "format": "date-time"}

ACCOUNT: Json = {
    "id": TEXT,
    "plan": TEXT,
    "status": TEXT,
    "balance": COUNT,
    "currency": TEXT,
    "renewsAt": TIME,
}
"""The properties of a row that has all of billing."""


def array(item: Json) -> Json:
    """Make the schema of a list."""
    return {"type": "array", "items": item}


def object_of(properties: Json, **more: object) -> Json:
    """Make the schema of an object."""
    return {"type": "object", "properties": properties, **more}


def query(name: str, schema: Json = TEXT, **more: object) -> Json:
    """Make a query parameter."""
    return {"in": "query", "name": name, "schema": schema, **more}


def content(schema: Json, media_type: str = "application/json") -> Json:
    """Make a body or a response with JSON."""
    return {"description": "", "content": {media_type: {"schema": schema}}}


def operation(
    answer: Json,
    parameters: Sequence[Json] = (),
    body: Json | None = None,
    **more: object,
) -> Json:
    """Make an operation."""
    made: dict[str, object] = {
        "parameters": [*parameters],
        "responses": {"200": content(answer)},
        **more,
    }
    return made if body is None else {**made, "requestBody": content(body)}


def document(
    paths: Mapping[str, Json],
    schemas: Json | None = None,
    version: str = "3.0.3",
    servers: Sequence[str] = ("https://billing.example.com/v1",),
) -> Json:
    """Make a document."""
    return {
        "openapi": version,
        "info": {"title": "Billing", "version": "7"},
        "servers": [{"url": url} for url in servers],
        "paths": paths,
        "components": {"schemas": schemas or {}},
    }


def one_customer(answer: Json, schemas: Json | None = None, version: str = "3.0.3") -> Json:
    """Make a document with an operation that reads one customer by the path."""
    return document({"/customers/{id}": {"get": operation(answer)}}, schemas, version)


@dataclass(frozen=True)
class Imported:
    """The output of the command.

    Attributes:
        text: The TOML.
        warnings: The text on standard error.
        source: The name of the source.
        table: The tables of the source, as they are in TOML.
    """

    text: str
    warnings: str
    source: str
    table: Table

    @property
    def request(self) -> Table:
        """The request."""
        request: Table = self.table["request"]
        return request

    @property
    def answer(self) -> Table:
        """The answer."""
        answer: Table = self.table.get("answer", {})
        return answer

    @property
    def fields(self) -> Table:
        """The expressions, by field."""
        fields: Table = self.table.get("fields", {})
        return fields

    def comment_on(self, field: str) -> str:
        """Return the comment above the expression of a field."""
        lines = self.text.splitlines()
        [number] = [at for at, line in enumerate(lines) if line.startswith(f"{field} = ")]
        return lines[number - 1].removeprefix("# ")

    def settings(self, folder: Path, **missing: object) -> SourceSettings:
        """Load the tables as a part of a configuration file, with values for missing settings."""
        written = {**missing, **self.table}
        others = {name: {"base_url": f"http://{name}"} for name in NAMES}
        file = folder / "gateway.toml"
        file.write_text(toml({"sources": {**others, self.source: written}}), encoding="utf-8")
        sources: Mapping[str, SourceSettings] = dict(load_settings(None, config=file).sources)
        return sources[self.source]


def run(folder: Path, contents: Json | bytes, *options: str, name: str = "openapi.json") -> Result:
    """Run the command on a document."""
    file = folder / name
    file.write_bytes(contents if isinstance(contents, bytes) else json.dumps(contents).encode())
    return run_on(file, *options)


def run_on(file: Path, *options: str) -> Result:
    """Run the command on a file."""
    result = CliRunner().invoke(main, ["sources", "import", str(file), *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def written_by(result: Result, source: str) -> Imported:
    """Read the output of the command."""
    assert result.exit_code == 0, result.stderr
    table: Table = tomllib.loads(result.stdout)["sources"][source]
    return Imported(result.stdout, result.stderr, source, table)


def imported(
    folder: Path,
    contents: Json | bytes,
    *options: str,
    source: str = "billing",
    path: str = "/customers/{id}",
) -> Imported:
    """Import a document."""
    return written_by(run(folder, contents, "--source", source, "--path", path, *options), source)


def refused(folder: Path, contents: Json | bytes, *options: str, name: str = "openapi.json") -> str:
    """Import a document that cannot be imported; return the reason."""
    chosen = options or ("--path", "/customers/{id}")
    return refusal_of(run(folder, contents, "--source", "billing", *chosen, name=name))


def refusal_of(result: Result) -> str:
    """Return the reason for which a document was refused."""
    assert result.exit_code == 2, result.output
    assert not result.stdout
    headline, *mistakes = result.stderr.splitlines()
    assert headline == "The document cannot be imported:"
    [mistake] = mistakes
    return mistake.removeprefix("  - ")
