"""The pages of docs/sources/ and the folders of examples/, with their configuration files."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import app
from app.main import load_settings
from app.settings.models import Settings

FOLDER = Path(app.__file__).parents[1] / "docs" / "sources"


@dataclass(frozen=True)
class GroupFigures:
    """The figures in the index for a page whose activity is read from rows of events.

    Attributes:
        lines: The lines of configuration of activity.
        calls: The calls to all sources for 20 users.
        calls_of_short_pages: The same, for a service with shorter pages.
    """

    lines: int
    calls: int
    calls_of_short_pages: int


@dataclass(frozen=True)
class ExamplePage:
    """A page with one configuration file in it.

    Attributes:
        name: Its name, without ``.md``.
        folder: Its folder.
    """

    name: str
    folder: Path = FOLDER

    @property
    def text(self) -> str:
        """The text of the page."""
        return (self.folder / f"{self.name}.md").read_text(encoding="utf-8")

    @property
    def configuration(self) -> str:
        """The complete ``gateway.toml`` in it."""
        [found] = re.findall(r"```toml\n(.*?)```", self.text, flags=re.DOTALL)
        configuration: str = found
        return configuration

    @property
    def size(self) -> int:
        """The number of lines that describe its services.

        Blank lines, comments, and sources with the default contract do not count.
        """
        return sum(len(table) for table in self._tables if not _is_default(table))

    def lines_of(self, source: str) -> int:
        """Count the lines that describe one source."""
        heads = (f"[sources.{source}]", f"[sources.{source}.")
        return sum(len(table) for table in self._tables if table[0].startswith(heads))

    @property
    def figures(self) -> GroupFigures:
        """The figures in the index for this page."""
        index = (FOLDER / "README.md").read_text(encoding="utf-8")
        row = rf"\| \[[^\]]+\]\({self.name}\.md\) \| (\d+) \| (\d+) \| (\d+) \|"
        [found] = re.findall(row, index)
        return GroupFigures(*map(int, found))

    @property
    def _tables(self) -> Sequence[Sequence[str]]:
        """The lines of each table, without blank lines and comments."""
        lines = re.sub(r"(?m)^\s*(#.*)?\n", "", self.configuration)
        return [part.splitlines() for part in re.split(r"(?m)^(?=\[)", lines) if part]


@dataclass(frozen=True)
class ExampleFolder:
    """A folder of ``examples/``: a configuration file, and a page about its use.

    Attributes:
        name: Its name.
    """

    name: str

    @property
    def path(self) -> Path:
        """The path of the folder."""
        return FOLDER.parents[1] / "examples" / self.name

    @property
    def configuration(self) -> str:
        """The complete ``gateway.toml`` in it."""
        return (self.path / "gateway.toml").read_text(encoding="utf-8")

    @property
    def query(self) -> str:
        """The query of its page."""
        return self._block("graphql")

    @property
    def answer(self) -> Any:  # noqa: ANN401 # tests compare it
        """The response to the query on its page."""
        return json.loads(self._block("json"))

    def _block(self, language: str) -> str:
        """Find the one block of code in a language on the page."""
        text = (self.path / "README.md").read_text(encoding="utf-8")
        [found] = re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
        block: str = found
        return block


def _is_default(table: Sequence[str]) -> bool:
    """Return whether a table is a source with only an address."""
    return len(table) == 2 and table[1].startswith("base_url =")  # its head and its address


def load(page: ExamplePage | ExampleFolder, folder: Path, variables: Mapping[str, str]) -> Settings:
    """Load a page's configuration as the gateway does, from a file and variables.

    Args:
        page: The page, or the folder.
        folder: The folder for the file.
        variables: The variables of the gateway: the addresses of the services in the test, and the
            secrets that the page names.

    Returns:
        The settings.
    """
    path = folder / "gateway.toml"
    path.write_text(page.configuration, encoding="utf-8")
    # The pages do not configure callers.
    return settings_from({"GATEWAY_AUTH__MODE": "none", **variables}, path)


def settings_from(variables: Mapping[str, str], config: Path | None = None) -> Settings:
    """Load settings as the gateway does.

    Args:
        variables: The variables of the gateway.
        config: A file.

    Returns:
        The settings.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.upper().startswith("GATEWAY")]:
            environment.delenv(name)
        for name, value in variables.items():
            environment.setenv(name, value)
        return load_settings(None, config=config)
