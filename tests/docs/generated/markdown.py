"""Functions that write the Markdown of the generated pages."""

import inspect
import re
from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table.

    Args:
        heads: The names of the columns.
        rows: The cells, row by row.

    Returns:
        Its lines.
    """
    lines = (heads, ["---"] * len(heads), *rows)
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """Write a cell: in one line, with bars escaped."""
    return re.sub(r"\s+", " ", text.strip()).replace("|", "&#124;")


def code(text: str) -> str:
    """Mark a text as code.

    Args:
        text: The text.

    Returns:
        The text in backticks; empty for an empty one.
    """
    return f"`{text}`" if text else ""


def paragraphs(text: str) -> str:
    """Join the lines of each paragraph.

    Args:
        text: Paragraphs, separated by blank lines, with line breaks within.

    Returns:
        One line for each paragraph. The code marks of docstrings become those of Markdown.
    """
    parts = re.split(r"\n\s*\n", inspect.cleandoc(text))
    joined = "\n\n".join(re.sub(r"\s*\n\s*", " ", part) for part in parts)
    return joined.replace("``", "`")


def page(*parts: str) -> str:
    """Join the parts of a page.

    Args:
        parts: Its headings, paragraphs and tables; empty ones are left out.

    Returns:
        The whole text.
    """
    return "\n\n".join(part for part in parts if part) + "\n"
