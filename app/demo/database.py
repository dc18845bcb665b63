"""The demo's data on disk: three SQLite files and a manifest that says what they are.

A row is kept as the JSON document that its service answers, so that reading fifty is one query
and no work: SQLite's own functions still reach inside (`SELECT body ->> 'email' FROM users`).
"""

import sqlite3
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.demo.errors import DemoError
from app.demo.people import Person, people

DATA_VERSION = 1
"""Goes up by one whenever the data or its tables change."""

PROFILE_FILE = "profile.sqlite3"
BILLING_FILE = "billing.sqlite3"
ACTIVITY_FILE = "activity.sqlite3"

_MANIFEST = "user-gateway-demo.json"
_FILES = (PROFILE_FILE, BILLING_FILE, ACTIVITY_FILE, _MANIFEST)


class DataManifest(BaseModel):
    """What a data folder says of itself."""

    model_config = ConfigDict(frozen=True)

    version: int = Field(description="The version of the data in the folder.")


@contextmanager
def data_folder(wanted: Path | None) -> Generator[Path]:
    """The folder with the data, built when it isn't there yet.

    Args:
        wanted: A folder to keep; None for a temporary one, which is removed at the end.

    Raises:
        DemoError: The folder holds something else, or older data, or cannot be written.
    """
    with ExitStack() as stack:
        try:
            if wanted is None:
                scratch = TemporaryDirectory(prefix="user-gateway-demo-")
                folder = Path(stack.enter_context(scratch))
                build(folder)
            else:
                folder = wanted
                if _is_free(folder):
                    _build_whole(folder)
        except (OSError, sqlite3.Error) as error:
            where = wanted or "a temporary folder"
            raise DemoError(f"cannot keep the demo's data in {where}: {error}") from error
        yield folder


def build(folder: Path) -> None:
    """Write the data into an existing, empty folder: the same bytes each time."""
    everyone = tuple(people())
    _write_profile(folder / PROFILE_FILE, everyone)
    _write_billing(folder / BILLING_FILE, everyone)
    _write_activity(folder / ACTIVITY_FILE, everyone)
    (folder / _MANIFEST).write_text(DataManifest(version=DATA_VERSION).model_dump_json())


@contextmanager
def reading(file: Path) -> Generator[sqlite3.Connection]:
    """A connection that only reads and gives text as bytes; it belongs to the calling thread.

    Raises:
        DemoError: The file isn't there.
    """
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.OperationalError as error:
        raise DemoError(f"cannot open {file}: {error}") from error
    with closing(connection):
        connection.text_factory = bytes
        yield connection


def _is_free(folder: Path) -> bool:
    """Whether the data is still to be built; False when it is there, complete and current.

    Raises:
        DemoError: Something else is there.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return True
    try:
        manifest = DataManifest.model_validate_json((folder / _MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise DemoError(
            f"{folder} is not empty and not the demo's data: name a new or an empty folder"
        ) from error
    if manifest.version != DATA_VERSION:
        raise DemoError(
            f"{folder} holds demo data of version {manifest.version}, and this demo needs version "
            f"{DATA_VERSION}: remove the folder or name another"
        )
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise DemoError(f"{folder} lacks {', '.join(missing)}: remove the folder or name another")
    return False


def _build_whole(folder: Path) -> None:
    """Build beside the folder and rename, so that it is either complete or not there."""
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        finished = Path(scratch, "data")
        finished.mkdir()
        build(finished)
        if folder.exists():
            folder.rmdir()  # it is empty; not every system renames onto an empty folder
        finished.rename(folder)


def _write_profile(file: Path, everyone: tuple[Person, ...]) -> None:
    """The profile service's file."""
    with _writing(file) as database:
        database.execute("CREATE TABLE users (id TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID")
        database.executemany(
            "INSERT INTO users VALUES (?, ?)",
            ((person.user.id, person.user.model_dump_json(by_alias=True)) for person in everyone),
        )


def _write_billing(file: Path, everyone: tuple[Person, ...]) -> None:
    """The billing service's file: absent values are left out of its documents."""
    with _writing(file) as database:
        database.execute("CREATE TABLE accounts (id TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID")
        database.executemany(
            "INSERT INTO accounts VALUES (?, ?)",
            (
                (account.user_id, account.model_dump_json(by_alias=True, exclude_none=True))
                for person in everyone
                if (account := person.account)
            ),
        )
        database.execute(
            "CREATE TABLE invoices (user_id TEXT, sequence INTEGER, body TEXT, "
            "PRIMARY KEY (user_id, sequence)) WITHOUT ROWID"
        )
        database.executemany(
            "INSERT INTO invoices VALUES (?, ?, ?)",
            (
                (person.user.id, sequence, invoice.model_dump_json(by_alias=True))
                for person in everyone
                for sequence, invoice in enumerate(person.invoices, start=1)
            ),
        )


def _write_activity(file: Path, everyone: tuple[Person, ...]) -> None:
    """The activity service's file."""
    with _writing(file) as database:
        database.execute("CREATE TABLE summaries (id TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID")
        database.executemany(
            "INSERT INTO summaries VALUES (?, ?)",
            (
                (summary.user_id, summary.model_dump_json(by_alias=True))
                for person in everyone
                if (summary := person.summary)
            ),
        )


@contextmanager
def _writing(file: Path) -> Generator[sqlite3.Connection]:
    """A new file, written in one transaction."""
    with closing(sqlite3.connect(file)) as connection:
        # A build that is interrupted is thrown away whole, so nothing need reach the disk early.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF")
        with connection:
            yield connection
