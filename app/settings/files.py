"""The files that settings name: certificates, keys, trusted documents.

Two settings with equal paths are not equal if a file has changed meanwhile. Kubernetes, for
example, replaces the content behind a path when a secret is rotated.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar, cast

from msgspec import Struct
from pydantic import BaseModel

from app.settings.nested import Keys

S = TypeVar("S", bound=BaseModel)


class WithFiles(Struct, Generic[S], frozen=True):
    """Settings, and what their files had when they were read.

    Attributes:
        settings: The settings.
        digests: A digest of each file, by the place of its path in the settings.
    """

    settings: S
    digests: Mapping[Keys, str]


def with_files(settings: S) -> WithFiles[S]:
    """Read the files of settings. They are small, so reading them takes less than a millisecond.

    Args:
        settings: The settings.

    Returns:
        The settings with digests of the files.
    """
    return WithFiles(settings, {keys: _digest(path) for keys, path in _paths(settings, ())})


def _paths(value: object, keys: Keys) -> Iterator[tuple[Keys, Path]]:
    """List the paths in settings, each with its place."""
    if isinstance(value, Path):
        yield keys, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name), (*keys, name))
    elif isinstance(value, Mapping):
        for name, one in cast("Mapping[str, object]", value).items():
            yield from _paths(one, (*keys, name))


def _digest(path: Path) -> str:
    """Return a digest of a file, or of all files in a folder; one of nothing if it is missing."""
    digest = hashlib.sha256()
    with suppress(OSError):  # the code that uses the file reports what is wrong
        for file in files_in(path) if path.is_dir() else (path,):
            content = file.read_bytes()
            digest.update(b"%d %s %d " % (len(file.name), file.name.encode(), len(content)))
            digest.update(content)
    return digest.hexdigest()


def files_in(folder: Path) -> Sequence[Path]:
    """List the files in a folder and in the folders in it.

    Args:
        folder: The folder.

    Returns:
        The files, in the order of their names. Folders whose name begins with two dots are left
        out: in a volume of Kubernetes, they have the files that links in ``folder`` lead to, and
        for a moment also those of before.
    """
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and not any(part.startswith("..") for part in file.relative_to(folder).parts)
    )
