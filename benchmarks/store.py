"""Results as files: dataclasses to JSON and back."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from benchmarks.client import Json
from benchmarks.errors import BenchmarkError

T = TypeVar("T")


def save(path: Path, value: object) -> None:
    """Write a dataclass into a file.

    Args:
        path: The file.
        value: An instance of a dataclass of numbers, texts, and tuples and dataclasses of them.
    """
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"{value!r} is no instance of a dataclass")
    fields: Mapping[str, Json] = dataclasses.asdict(value)
    lines = ",\n".join(f"{json.dumps(name)}: {_text(one)}" for name, one in fields.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def load(path: Path, kind: type[T]) -> T:
    """Read a dataclass from a file.

    Raises:
        BenchmarkError: It is not there, or it is something else.
    """
    try:
        value: Json = json.loads(path.read_text("utf-8"))
        made: T = _made(kind, value)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}") from error
    return made


def _text(value: Json) -> str:
    """Write a value, a list with one item a line, so that two results can be compared."""
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return "[\n" + ",\n".join(json.dumps(_rounded(one)) for one in value) + "\n]"
    return json.dumps(_rounded(value))


def _rounded(value: Json) -> Json:
    """Drop the digits that mean nothing."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(one) for one in value]
    return value


def _made(kind: Any, value: Json) -> Any:  # noqa: ANN401 # a type is told by a value here
    """Make a value of a type from what JSON has of it."""
    if get_origin(kind) is UnionType:
        if value is None and NoneType in get_args(kind):
            return None
        [inner] = [one for one in get_args(kind) if one is not NoneType]
        return _made(inner, value)
    if get_origin(kind) is tuple:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise TypeError(f"{value!r} is no list")
        return tuple(_made(get_args(kind)[0], one) for one in value)
    if dataclasses.is_dataclass(kind):
        return _made_dataclass(kind, value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _made_dataclass(kind: Any, value: Json) -> Any:  # noqa: ANN401 # the same
    """Make a dataclass from an object."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    hints = get_type_hints(kind)
    return kind(**{name: _made(hint, value[name]) for name, hint in hints.items()})
