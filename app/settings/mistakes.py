"""Mistakes in settings: where pydantic found them, and one sentence for each.

A sentence says where the mistake is, what was found, and what is expected.

The locations of pydantic are translated into places of the settings. They contain more than keys:
the tag of a model that is one of several, the name of a type that was tried, a mark for a wrong
key.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sized
from datetime import date, time
from difflib import get_close_matches
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.errors import MAX_QUOTED
from app.settings.config_files import ConfigFiles
from app.settings.defaults import SettledValues
from app.settings.field_schema import NOWHERE, FieldSchema, Setting, settings_of
from app.settings.nested import Keys, as_table, dotted
from app.settings.origins import Origins
from app.settings.secret_values import without_secrets
from app.settings.variables import NESTING, name_of, nearest, not_a_variable, settings_below

OF_A_KEY = "[key]"
"""Pydantic's mark in a location for a wrong key, rather than a wrong value."""


class Finding(Struct, frozen=True):
    """A mistake that pydantic found in a value.

    Attributes:
        keys: The place of the value.
        setting: The setting at that place.
        around: The schema of the table around it.
        details: The details from pydantic.
        kind: The tag of the table around it, such as ``kind = 'bearer'``; ``None`` without a tag.
        kinds: The schema of that table, with all its kinds.
        union: The place of the value that may be one of several types, if no tag says which;
            ``None`` if there is no such union.
        label: The type of the union that pydantic tried.
        others: The details from pydantic for the other types of the union.
    """

    keys: Keys
    setting: Setting
    around: FieldSchema
    details: ErrorDetails
    kind: str | None = None
    kinds: FieldSchema = NOWHERE
    union: Keys | None = None
    label: str = ""
    others: tuple[ErrorDetails, ...] = ()


def findings(error: ValidationError, model: type[BaseModel]) -> Iterator[Finding]:
    """List the mistakes that pydantic found.

    Args:
        error: The error from pydantic.
        model: The model of the settings that were read.

    Yields:
        Each mistake once. In a union of types, only the mistakes for the type that fits best.
    """
    unions: dict[Keys, dict[str, list[Finding]]] = {}
    found = [
        _finding(details, model)
        for details in error.errors(include_url=False)
        if not _counts_only_right_items(details)
    ]
    for one in found:
        if one.union is not None:
            unions.setdefault(one.union, {}).setdefault(one.label, []).append(one)
    for one in found:
        if one.union is None:
            yield one
        elif (types := unions.pop(one.union, None)) is not None:
            yield from _nearest(types.values())


def _finding(details: ErrorDetails, model: type[BaseModel]) -> Finding:
    """Translate a location of pydantic into a place of the settings."""
    schema = around = FieldSchema(tables=(model,))
    setting, keys = Setting(schema), Keys()
    here: tuple[str | None, FieldSchema] = (None, NOWHERE)  # for the next table
    (kind, kinds), union, label = here, None, ""
    for part in details["loc"]:
        if part == OF_A_KEY:
            continue
        if schema.united:
            if schema.tag is not None:
                here = (f"{schema.tag} = {str(part)!r}", schema)
            elif union is None:
                union, label = keys, str(part)
            schema = schema.named(part)
            continue
        (kind, kinds), here, around = here, (None, NOWHERE), schema
        setting = schema.below(part)
        schema, keys = setting.schema, (*keys, part)
    return Finding(keys, setting, around, details, kind, kinds, union, label)


def _counts_only_right_items(details: ErrorDetails) -> bool:
    """Return whether a list seems too short because wrong items, each a mistake, do not count."""
    if details["type"] != "too_short" or not isinstance(details["input"], Sized):
        return False
    return len(details["input"]) >= int(details.get("ctx", {})["min_length"])


def _may_lack_others(one: Finding) -> bool:
    """Return whether further values could mend a mistake: of a table, or of its kind."""
    of_its_own = one.details["type"] != "value_error" or as_table(one.details["input"]) is None
    return one.details["type"] in {"missing", "union_tag_not_found"} or not of_its_own


def _is_misspelt(keys: Keys, unknown: Iterable[Keys]) -> bool:
    """Return whether a missing setting seems to be there under a name that is reported anyway."""
    beside = [str(one[-1]) for one in unknown if one[:-1] == keys[:-1]]
    return bool(get_close_matches(str(keys[-1]), beside, n=1))


def _nearest(types: Iterable[list[Finding]]) -> Iterable[Finding]:
    """Choose the mistakes to report of a value that fits no type of a union."""
    groups = sorted(types, key=lambda found: (found[0].keys == found[0].union, len(found)))
    best = groups[0]
    if best[0].keys != best[0].union:
        return best
    others = tuple(one.details for group in groups[1:] for one in group)
    return [replace(best[0], others=others)]


_PRINTS_ALL = "`user-gateway config schema` prints all settings."
_NAME = re.compile("[A-Za-z0-9_]+")
_FEW = 10
_FIRST = (-1, 0)
"""The order of mistakes that are in no file."""

_OF_A_TABLE = {"model_type", "model_attributes_type", "dict_type", "mapping_type"}
_OF_A_LIST = {"list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"}
_OF_NO_TEXT = {"int_type", "float_type", "bool_type"}
_KINDS: Mapping[type, str] = {dict: "a table", list: "a list", date: "a date", time: "a time"}
_KINDS_IN_JSON: Mapping[type, str] = {dict: "a JSON object", list: "a JSON list"}

_WORDS: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "a length of at least {min_length}",
    "too_long": "a length of at most {max_length}",
    "string_too_short": "a length of at least {min_length}",
    "string_too_long": "a length of at most {max_length}",
}
"""What is expected, by pydantic's type of the error. Its own messages speak of what parsers do."""

_OF_PYDANTIC = re.compile("^input should be ")


class Mistakes:
    """Collects all mistakes, each as one sentence.

    Args:
        model: The model of the settings.
        origins: The origin of each value.
    """

    def __init__(self, model: type[BaseModel], origins: Origins) -> None:
        self._model = model
        self._origins = origins
        self._sentences: list[tuple[tuple[int, int], str]] = []
        self._reported: set[Keys] = set()

    def sentences(self) -> tuple[str, ...]:
        """Return the sentences.

        Returns:
            Mistakes in variables first, in the order in which they were added; then those in
            files, by line. A mistake in a default of all sources is there once.
        """
        in_order = sorted(self._sentences, key=lambda one: one[0])
        return tuple(dict.fromkeys(sentence for _, sentence in in_order))

    def add(self, *sentences: str) -> None:
        """Add complete sentences about variables or about a file as a whole.

        Args:
            sentences: The sentences.
        """
        self._sentences += [(_FIRST, sentence) for sentence in sentences]

    def add_of_file(self, keys: Keys, what: str) -> None:
        """Add a mistake in the file. What pydantic finds at the same place is not reported.

        Args:
            keys: The place.
            what: The text after the place: what is wrong, and what is expected.
        """
        self._reported.add(keys)
        self._add_at_line(keys, what)

    def add_found(self, keys: Keys, what: str) -> None:
        """Add a mistake in a value from a variable or from the file.

        Args:
            keys: The place.
            what: The text after the place: what is wrong or missing, and what is expected.
        """
        self._add_at(self._origins.written(keys), what)

    def add_missing(self, keys: Keys) -> None:
        """Add a setting that is missing although the model does not require it.

        Args:
            keys: The place.
        """
        setting = Setting(FieldSchema(tables=(self._model,)))
        for key in keys:
            setting = setting.schema.below(key)
        self._add_missing(keys, setting)

    def add_types(self, error: ValidationError, of_file: SettledValues) -> None:
        """Add values of the file that have a wrong type, such as ``port = "80"``.

        Args:
            error: The error for the file alone, checked strictly: no text counts as a number.
            of_file: The values of the file that were checked.
        """
        for one in self._findings(error, of_file):
            wrong_type = one.details["type"].endswith("_type") and one.union in {None, one.keys}
            if wrong_type and self._origins.variable(one.keys) is None:
                self.add_of_file(one.keys, self._wrong(one))

    def add_values(self, error: ValidationError, *, whole: bool) -> None:
        """Add the mistakes in the values of variables and file together.

        Args:
            error: The error from pydantic.
            whole: Whether these are all values. Else what seems to be missing may be in a file that
                cannot be read, and is not reported.
        """
        found = [*self._findings(error, self._origins.settled)]
        unknown = [one.keys for one in found if one.details["type"] == "extra_forbidden"]
        for one in found:
            if not whole and _may_lack_others(one):
                continue
            if one.details["type"] == "missing" and _is_misspelt(one.keys, unknown):
                continue
            around = (one.keys[:depth] for depth in range(len(one.keys) + 1))
            if self._origins.variable(one.keys) is not None or not self._reported.intersection(
                around
            ):
                self._add_value(one)

    def _findings(self, error: ValidationError, values: SettledValues) -> Iterator[Finding]:
        """List the mistakes that pydantic found, at the places where the values are written."""
        for one in findings(error, self._model):
            union = None if one.union is None else values.written(one.union)
            yield replace(one, keys=values.written(one.keys), union=union)

    def _add_value(self, one: Finding) -> None:
        """Add a mistake that pydantic found, at its place."""
        tag = str(one.setting.schema.tag)
        kinds = list(one.setting.schema.kinds())
        match one.details["type"]:
            case "missing":
                self._add_missing(one.keys, one.setting)
            case "union_tag_not_found":
                setting = one.setting.schema.below(tag)
                meaning = f"expected one of {', '.join(map(repr, kinds))}."
                self._add_missing((*one.keys, tag), replace(setting, meaning=meaning))
            case "union_tag_invalid":
                word = str(one.details.get("ctx", {}).get("tag"))
                hint = nearest(word, kinds) or f"expected one of {', '.join(map(repr, kinds))}."
                self._add_at((*one.keys, tag), f"got {_quoted(word)}: {hint}")
            case "extra_forbidden":
                self._add_unknown(one)
            case _:
                self._add_at(one.keys, self._wrong(one))

    def _add_missing(self, keys: Keys, setting: Setting) -> None:
        """Add a missing setting; for a missing table, each of its required settings."""
        inner = [place for place in settings_below(setting, keys) if place[1].required]
        for place, one in inner or [(keys, setting)]:
            file, variable = self._file(place), name_of(place)
            examples = one.examples[:1]
            what = f" is missing:{_meaning(one)}"
            if (around := self._variable(place)) is not None or file is None:
                what += "".join(f" For instance {variable}={example}" for example in examples)
                self._sentences.append((_FIRST, (around or variable) + what))
            else:
                what += "".join(f" For instance {place[-1]} = {json.dumps(e)}." for e in examples)
                what += f" {variable} sets it too." if _is_name(place) else ""
                self._sentences.append(
                    (file.order_of_missing(place), file.place_of_missing(place) + what)
                )

    def _add_unknown(self, one: Finding) -> None:
        """Add an unknown name."""
        name, key = dotted(one.keys), str(one.keys[-1])
        own = one.around.names()
        if key in one.kinds.names():
            where = [word for word, of in one.kinds.kinds().items() if key in settings_of(of)]
            right = f"it is one where {one.kinds.tag} is {' or '.join(map(repr, where))}."
            self._add_at(one.keys, f"is not a setting where {one.kind}: {right}")
        elif self._origins.variable(one.keys) is not None and _is_name(one.keys):
            self._sentences.append((_FIRST, not_a_variable(name_of(one.keys), self._model)))
        else:
            every = self._every_name()
            elsewhere = [other for other in every if other.endswith(f".{key}")]
            near = (
                nearest(name, elsewhere, least=0)
                or nearest(key, own)
                or nearest(name, every if len(one.keys) == 1 else ())
            )
            names = f"expected one of {', '.join(own)}." if 0 < len(own) <= _FEW else _PRINTS_ALL
            self._add_at(one.keys, f"is not a setting: {near or names}")

    def _every_name(self) -> Collection[str]:
        """List the names of all settings and tables, as they are in a file."""
        root = Setting(FieldSchema(tables=(self._model,)))
        return {
            dotted(keys[:depth]): None
            for keys, _ in settings_below(root)
            for depth in range(1, len(keys) + 1)
        }

    def _add_at(self, keys: Keys, what: str) -> None:
        """Add a mistake, with its place as the name of a variable or a line of the file."""
        variable = self._variable(keys)
        if variable is None and self._file(keys) is not None:
            self._add_at_line(keys, what)
        else:
            self._sentences.append(
                (_FIRST, f"{variable or (name_of(keys) if keys else 'All of it')} {what}")
            )

    def _add_at_line(self, keys: Keys, what: str) -> None:
        """Add a mistake in the file, with its line."""
        if (file := self._origins.file) is not None:
            self._sentences.append((file.order(keys), f"{file.place(keys)} {what}"))

    def _file(self, keys: Keys) -> ConfigFiles | None:
        """Return the files if a mistake at a place is one in them; else it is in a variable."""
        file = self._origins.file
        if file is None or not file.concerns(keys) or self._origins.only_in_variables(keys):
            return None
        return file

    def _variable(self, keys: Keys) -> str | None:
        """Return the variable of a value, with the place in its JSON; ``None`` without one."""
        found = self._origins.variable(keys)
        if found is None or _is_name(keys):
            return None if found is None else name_of(keys)
        within = keys[found.count(NESTING) + 1 :]
        return f"{found} ({dotted(within)})" if within else found

    def _wrong(self, one: Finding) -> str:
        """Write what is wrong with a value, and what is expected."""
        in_file = self._origins.variable(one.keys) is None and self._file(one.keys) is not None
        every = (_expected(details, in_file=in_file) for details in (one.details, *one.others))
        first, *others = dict.fromkeys(every)
        expected = " or ".join((first, *(other.removeprefix("expected ") for other in others)))
        value = one.details["input"]
        if in_file and isinstance(value, str) and one.details["type"] in _OF_NO_TEXT:
            expected += ", without quotes"
        if one.details["type"] in _OF_A_LIST:
            expected += "".join(f" such as {json.dumps(e)}" for e in one.setting.examples[:1])
        if one.details["loc"][-1:] == (OF_A_KEY,):
            return f"is not a valid name here: {expected}.{_meaning(one.setting)}"
        if as_table(value) is not None and "error" in one.details.get("ctx", {}):
            return f"is wrong: {expected}."  # a table's description does not explain this
        return f"got {self._got(one, in_file=in_file)}: {expected}.{_meaning(one.setting)}"

    def _got(self, one: Finding, *, in_file: bool) -> str:
        """Quote a value, without parts that may be secret."""
        value: object = one.details["input"]
        if one.setting.schema.secret:
            reference = self._origins.reference(one.keys)
            return "a secret value" if reference is None else f"a secret value from {reference}"
        if not one.setting.schema.plain or not isinstance(value, str | int | float):
            return _kind_of(value, in_file=in_file)
        if in_file and not isinstance(value, str):
            return str(value).lower()  # as TOML writes it
        return _quoted(without_secrets(str(value)))


def _quoted(value: str) -> str:
    """Quote a value, cut to the length that messages allow."""
    return repr(value if len(value) <= MAX_QUOTED else value[:MAX_QUOTED] + "…")


def _is_name(keys: Keys) -> bool:
    """Return whether a place can be part of a variable's name."""
    return all(isinstance(key, str) and _NAME.fullmatch(key) for key in keys)


def _kind_of(value: object, *, in_file: bool) -> str:
    """Return the kind of a value as words for a message."""
    if isinstance(value, list) and not value:
        return "an empty list"
    every = _KINDS if in_file else _KINDS_IN_JSON
    kinds = (word for kind, word in every.items() if isinstance(value, kind))
    return next(kinds, "a single value")


def _meaning(setting: Setting) -> str:
    """Return the description of a setting, to append to a sentence."""
    return f" {setting.meaning}" if setting.meaning else ""


def _expected(details: ErrorDetails, *, in_file: bool) -> str:
    """Turn a message of pydantic into the part of a sentence that says what is expected."""
    if details["type"] in _OF_A_TABLE:
        return "expected a table" if in_file else "expected a JSON object"
    if details["type"] in _OF_A_LIST:
        return "expected a list" if in_file else "expected a JSON list"
    context: Mapping[str, Any] = details.get("ctx", {})
    if (words := _WORDS.get(details["type"])) is not None:
        return f"expected {words.format_map({name: _plain(one) for name, one in context.items()})}"
    message = str(context.get("error", details["msg"]))
    return _OF_PYDANTIC.sub("expected ", message[:1].lower() + message[1:])


def _plain(bound: object) -> object:
    """Write a whole number without a point."""
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound
