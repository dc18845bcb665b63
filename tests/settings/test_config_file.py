"""The configuration file: its values and their lines."""

from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.settings.config_file import read_file


def refused(content: bytes) -> str:
    """Read a file that is not valid, and return the mistake."""
    path = Path("gateway.toml")
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read_file(path)
    [mistake] = caught.value.mistakes
    return mistake


def test_a_file_may_have_any_line_breaks_and_a_byte_order_mark() -> None:
    path = Path("gateway.toml")
    path.write_bytes("\ufeffa = 1\r\n[b]\r\nc = 'é'\r\n".encode())

    file = read_file(path)

    assert file.values == {"a": 1, "b": {"c": "é"}}
    assert file.place(("a",)) == "gateway.toml:1: a"
    assert file.place(("b", "c")) == "gateway.toml:3: [b] c"
    assert file.place(("b",)) == "gateway.toml:2: [b]"
    assert file.place(()) == "gateway.toml: all of it"
    assert file.place_of_missing(("b", "d")) == "gateway.toml:2: [b] d"
    assert file.place_of_missing(("e", "f")) == "gateway.toml: [e] f"
    assert file.line(("b", "c")) == "gateway.toml:3"


@pytest.mark.parametrize(
    ("content", "reported"),
    [
        (b"a = 1\nb = = 2\n", "gateway.toml:2:5: not TOML: invalid value; expected [tables] and"),
        (b"a = 1\na = 2\n", "gateway.toml:2:6: not TOML: cannot overwrite a value; expected"),
        (b"[a\n", "gateway.toml:1:3: not TOML: "),
        (b"a = 1\nb = '''\n", "gateway.toml:3: not TOML: "),
        (b"port: 8000\n", "gateway.toml:1:5: not TOML: expected '=' after a key in a key/value"),
        (b"a = " + b"[" * 50_000, "gateway.toml: not TOML: maximum recursion depth exceeded"),
        (b"a = " + b"9" * 50_000, "gateway.toml: not TOML: exceeds the limit"),
        (b"a = 1\nb = '\xff'\n", "gateway.toml:2: not UTF-8; expected a TOML file in UTF-8"),
        (b"a\x00 = 1\n", "gateway.toml:1:2: not TOML: "),
    ],
)
def test_a_file_that_is_not_toml_is_reported_with_line_and_column(
    content: bytes, reported: str
) -> None:
    assert refused(content).startswith(reported)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("nowhere.toml", "No such file or directory"),
        (".", "Is a directory"),
        ("no\0where", "embedded null byte"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported(path: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_file(Path(path))

    assert caught.value.mistakes == (
        f"{path} cannot be read: {why}; expected a TOML file in UTF-8",
    )
