"""Writes a text to a file that does not exist yet. Nothing is overwritten."""

from pathlib import Path

from app.cli.base import refuse


def write_new_file(text: str, path: Path) -> None:
    """Write a text to a new file; if that is not possible, print why and exit.

    Args:
        text: The text.
        path: The path of the file.

    Raises:
        SystemExit: The file exists, or it cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        refuse("The file cannot be written:", [f"{path} exists: expected the name of a new file"])
    except OSError as error:
        why = f"{path}: {error.strerror}: expected the path of a new file"
        refuse("The file cannot be written:", [why])
