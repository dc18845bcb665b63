"""Relay's compiler."""

import json
import subprocess
from pathlib import Path

from app.execution.schema import schema_for
from app.schema.export import client_text
from app.server.graphiql.build import NodePrograms
from app.settings.models import Settings
from tests.clients.conftest import FOLDER

COMPILER = FOLDER / "node_modules/relay-compiler/cli.js"


def compiled(
    node: NodePrograms,
    folder: Path,
    settings: Settings,
    *,
    page: str,
    language: str = "javascript",
    persisted: bool = False,
) -> tuple[Path, str]:
    """Compile a component's queries.

    Args:
        node: The programs of Node.
        folder: An empty folder.
        settings: The settings of the gateway.
        page: The component, with `%(type)s` and `%(one)s` for names of the schema.
        language: The language of the component.
        persisted: Whether the texts of the queries go to `persisted.json`, by their hash.

    Returns:
        The folder of the artifacts, and the messages of the compiler if it fails.
    """
    schema, _ = schema_for(settings)
    names = schema.definition.names
    ending = {"javascript": "js", "typescript": "ts"}[language]
    config: dict[str, object] = {"src": "./src", "schema": "./schema.graphql"}
    if persisted:
        config["persistConfig"] = {"file": "./persisted.json", "algorithm": "SHA256"}
        (folder / "persisted.json").write_text("{}", encoding="utf-8")
    files = {
        "schema.graphql": client_text(schema.core),
        # Node finds imports of CommonJS modules without a file extension.
        "relay.config.json": json.dumps({**config, "language": language, "eagerEsModules": False}),
        "package.json": "{}",
        f"src/Page.{ending}": page % {"type": names.type, "one": names.one},
    }
    (folder / "src").mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run(  # noqa: S603 # the compiler
        (*node.node, COMPILER), cwd=folder, capture_output=True, text=True, check=False
    )
    return folder / "src/__generated__", "" if done.returncode == 0 else done.stdout + done.stderr
