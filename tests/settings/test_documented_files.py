"""Each file that the documentation shows can be used, given the addresses and secrets it lacks."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.execution.schema import schema_for
from app.main import load_settings
from app.settings.models import DEFAULT_SOURCES
from tests.conftest import APP

ROOT = APP.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

REQUEST = '{"form": "list", "path": "/requesters", "parameter": "ids"}'
"""The request of a source that a block names without its table."""

NOT_WHOLE = {
    ("configuration.md", 0): "names a file with certificates",
    ("configuration.md", 1): "includes other files",
    ("configuration.md", 2): "names files with certificates and secrets",
    ("schema.md", 3): "shows one setting",
    ("schema.md", 5): "names a module, and is run by tests/extend/test_program.py",
    ("schema.md", 6): "names a module, and is run by tests/extend/test_program.py",
}
"""The blocks that cannot be used alone, by page and place, and why."""


def blocks() -> Mapping[str, str]:
    """Return the TOML of the pages that can be used alone, by page and place."""
    found: dict[str, str] = {}
    for page in PAGES:
        texts: list[str] = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        for place, text in enumerate(texts):
            if (page.name, place) not in NOT_WHOLE:
                found[f"{page.parent.name}/{page.name}-{place}"] = text
    return found


@pytest.mark.parametrize("text", blocks().values(), ids=list(blocks()))
def test_a_file_of_the_documentation_can_be_used(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = tomllib.loads(text)
    file = tmp_path / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    sources = {*table.get("sources", {}), *re.findall(r'^source = "(\w+)', text, re.MULTILINE)}
    if table.get("schema", {}).get("extends") != "none":
        sources |= {*DEFAULT_SOURCES}
    for source in sources:
        own = table.get("sources", {}).get(source, {})
        name = f"GATEWAY_SOURCES__{source.upper()}"
        if "base_url" not in own:
            monkeypatch.setenv(f"{name}__BASE_URL", "http://127.0.0.1:9")
        if source not in DEFAULT_SOURCES and not own.keys() & {"request", "endpoints"}:
            monkeypatch.setenv(f"{name}__REQUEST", REQUEST)
    if "auth" not in table:
        monkeypatch.setenv("GATEWAY_AUTH__MODE", "none")
    for name in re.findall(r'"([A-Z0-9]+_(?:TOKEN|KEY|SECRET|PASSWORD))"', text):
        monkeypatch.setenv(name, "x" * 40)

    settings = load_settings(None, config=file, serving=True)

    schema, _ = schema_for(settings)
    assert schema.core.query_type is not None


def test_the_blocks_that_cannot_be_used_alone_are_there() -> None:
    counts = {page.name: len(re.findall(r"```toml\n", page.read_text("utf-8"))) for page in PAGES}

    assert all(place < counts[name] for name, place in NOT_WHOLE)
