"""The data folder: built completely or not at all, and never over other files."""

import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import pytest

from app.demo.database import (
    BILLING_FILE,
    PROFILE_FILE,
    build,
    data_folder,
    reading,
)
from app.demo.errors import DemoError


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@contextmanager
def files_no_larger_than(size: int) -> Generator[None]:
    """Make larger writes fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_two_builds_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    build(tmp_path)
    assert contents(tmp_path) == contents(folder)


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_or_empty_folder_is_filled_and_kept(
    folder: Path, tmp_path: Path, *, exists: bool
) -> None:
    wanted = tmp_path / "deep" / "data"
    if exists:
        wanted.mkdir(parents=True)
    with data_folder(wanted) as made:
        assert made == wanted
    assert contents(wanted) == contents(folder)
    assert list(wanted.parent.iterdir()) == [wanted]


def test_a_complete_folder_is_used_without_changes(folder: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    with data_folder(folder) as used:
        assert used == folder
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_a_folder_with_other_content_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with (
        pytest.raises(DemoError, match=r"is not empty and not the demo's data"),
        data_folder(tmp_path),
    ):
        pass
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_a_file_in_the_place_of_the_folder_is_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("mine")
    with pytest.raises(DemoError, match="name a new or an empty folder"), data_folder(file):
        pass
    assert file.read_text() == "mine"


def test_data_of_another_version_is_reported_and_not_changed(tmp_path: Path) -> None:
    (tmp_path / "user-gateway-demo.json").write_text('{"version":0}')
    with (
        pytest.raises(DemoError, match=r"version 0, and this demo needs version \d+: remove"),
        data_folder(tmp_path),
    ):
        pass
    assert set(contents(tmp_path)) == {"user-gateway-demo.json"}


def test_a_folder_without_a_file_is_reported_with_the_file(folder: Path, tmp_path: Path) -> None:
    copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / BILLING_FILE).unlink()
    with pytest.raises(DemoError, match=rf"lacks {BILLING_FILE}: remove"), data_folder(tmp_path):
        pass


def test_a_failed_build_leaves_no_files(tmp_path: Path) -> None:
    with (
        files_no_larger_than(500_000),
        pytest.raises(DemoError, match="cannot keep the demo's data in"),
        data_folder(tmp_path / "data"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_a_file_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DemoError, match="cannot keep the demo's data"), data_folder(file / "data"):
        pass


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="cannot open"), reading(tmp_path / PROFILE_FILE):
        pass


def test_a_connection_cannot_write(folder: Path) -> None:
    with (
        reading(folder / PROFILE_FILE) as connection,
        pytest.raises(Exception, match="readonly database"),
    ):
        connection.execute("DELETE FROM users")
