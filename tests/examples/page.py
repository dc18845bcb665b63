"""The pages of docs/sources/, and the folders of examples/: the files that their tests run."""

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
    """What the index says of a page whose activity is read from rows of events.

    Attributes:
        lines: The lines of activity.
        calls: The calls to all sources for 20 users.
        calls_of_short_pages: The same, where the service gives fewer rows at a time.
    """

    lines: int
    calls: int
    calls_of_short_pages: int


@dataclass(frozen=True)
class ExamplePage:
    """A page with one configuration file in it.

    Attributes:
        name: Its name, without ``.md``.
        folder: Where it is.
    """

    name: str
    folder: Path = FOLDER

    @property
    def text(self) -> str:
        """All of it."""
        return (self.folder / f"{self.name}.md").read_text(encoding="utf-8")

    @property
    def configuration(self) -> str:
        """The whole ``gateway.toml`` that is in it."""
        [found] = re.findall(r"```toml\n(.*?)```", self.text, flags=re.DOTALL)
        configuration: str = found
        return configuration

    @property
    def size(self) -> int:
        """Count the lines that say what its services are like.

        Blank ones and comments do not count, nor do sources that answer by the default contract.
        """
        return sum(len(table) for table in self._tables if not _is_default(table))

    def lines_of(self, source: str) -> int:
        """Count the lines that say what one source is like."""
        heads = (f"[sources.{source}]", f"[sources.{source}.")
        return sum(len(table) for table in self._tables if table[0].startswith(heads))

    @property
    def figures(self) -> GroupFigures:
        """What the index says of it."""
        index = (FOLDER / "README.md").read_text(encoding="utf-8")
        row = rf"\| \[[^\]]+\]\({self.name}\.md\) \| (\d+) \| (\d+) \| (\d+) \|"
        [found] = re.findall(row, index)
        return GroupFigures(*map(int, found))

    @property
    def _tables(self) -> Sequence[Sequence[str]]:
        """The lines of each table, without blank ones and comments."""
        lines = re.sub(r"(?m)^\s*(#.*)?\n", "", self.configuration)
        return [part.splitlines() for part in re.split(r"(?m)^(?=\[)", lines) if part]


@dataclass(frozen=True)
class ExampleFolder:
    """A folder of ``examples/``: a configuration file, and a page that says how it is used.

    Attributes:
        name: Its name.
    """

    name: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return FOLDER.parents[1] / "examples" / self.name

    @property
    def configuration(self) -> str:
        """The whole ``gateway.toml`` in it."""
        return (self.path / "gateway.toml").read_text(encoding="utf-8")

    @property
    def query(self) -> str:
        """The query on its page."""
        return self._block("graphql")

    @property
    def answer(self) -> Any:  # noqa: ANN401 # tests compare it
        """The answer to it, as the page says."""
        return json.loads(self._block("json"))

    def _block(self, language: str) -> str:
        """Find the one block of code in a language on the page."""
        text = (self.path / "README.md").read_text(encoding="utf-8")
        [found] = re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
        block: str = found
        return block


def _is_default(table: Sequence[str]) -> bool:
    """Tell whether a table is a source of which no more than its address is said."""
    return len(table) == 2 and table[1].startswith("base_url =")  # its name, its address


def load(page: ExamplePage | ExampleFolder, folder: Path, variables: Mapping[str, str]) -> Settings:
    """Load a page's configuration as the gateway does, from a file and variables.

    Args:
        page: The page, or the folder.
        folder: Where the file may be written.
        variables: What the environment has: addresses of the services as they are in the test, and
            the secrets that the page names.

    Returns:
        The settings.
    """
    path = folder / "gateway.toml"
    path.write_text(page.configuration, encoding="utf-8")
    # Who may ask is what the pages leave to the reader.
    return settings_from({"GATEWAY_AUTH__MODE": "none", **variables}, path)


def settings_from(variables: Mapping[str, str], config: Path | None = None) -> Settings:
    """Load settings as the gateway does.

    Args:
        variables: What the environment has of the gateway.
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
