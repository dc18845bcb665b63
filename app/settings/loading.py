"""Reads settings from variables and from files, and reports all mistakes of all at once.

If a variable replaces a value of the file, the file's value is not checked: a secret whose file is
missing on this machine is no mistake if a variable has the secret. So it is with a file whose value
replaces that of a file that it includes, and with a source whose value replaces a default of all
sources. All other values are checked together, before the gateway starts.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel, SecretStr, ValidationError

from app.errors import ConfigurationError
from app.settings.defaults import with_defaults
from app.settings.field_schema import FieldSchema
from app.settings.mistakes import Mistakes
from app.settings.nested import Keys, Table, laid_over, replaced
from app.settings.origins import Origins, without_other_kinds
from app.settings.secret_values import (
    Reference,
    ReferenceMistakeError,
    RelativePath,
    UnusableReference,
    resolved,
    with_references,
)
from app.settings.source import requests_of_own
from app.settings.variables import SetVariables, from_variables, read_environment
from app.settings.written import read_written_files

AnySettings = TypeVar("AnySettings", bound=BaseModel)

SettingsCheck: TypeAlias = Callable[[object], Iterable[tuple[Keys, str | None]]]
"""Finds mistakes that the model cannot know. It gets all values, valid or not, and returns the
place of each mistake, with a text that says what is wrong and what is expected; ``None`` if a
setting is missing there, whose description then says what is expected."""

SettingsCompletion: TypeAlias = Callable[[object], object]
"""Adds values that no operator writes. It gets all values, valid or not, and returns all."""

PLACEHOLDER = "x"
"""Replaces a secret that could not be read, or is not needed to check the rest."""


class LoadedSettings(Struct, Generic[AnySettings], frozen=True):
    """Settings with their origins.

    Attributes:
        settings: The settings.
        origins: Where each value is from.
        environment: The variables that they were read with.
    """

    settings: AnySettings
    origins: Origins
    environment: SetVariables


def _no_check(_: object) -> Iterable[tuple[Keys, str | None]]:
    """Find no mistakes."""
    return ()


def as_they_are(values: object) -> object:
    """Add no values. A ``SettingsCompletion``.

    Args:
        values: All values.

    Returns:
        The same values.
    """
    return values


def read_settings(
    model: type[AnySettings],
    *,
    env_file: Path | None,
    written: type[AnySettings] | None = None,
    config: Path | None = None,
    check: SettingsCheck = _no_check,
    complete: SettingsCompletion = as_they_are,
) -> LoadedSettings[AnySettings]:
    """Read settings from the environment and from files, and check them.

    Args:
        model: The model of the settings; its fields have no aliases.
        env_file: A file of ``NAME=value`` lines, used for names that the environment lacks.
        written: The model of the settings as operators write them, if these may have defaults of
            all sources.
        config: The configuration file; by default the file that ``GATEWAY_CONFIG`` names.
        check: Finds mistakes that the model cannot know.
        complete: Adds values before they are checked.

    Returns:
        The settings and their origins.

    Raises:
        ConfigurationError: The settings are wrong; it has one sentence for each mistake.
    """
    environment = read_environment(env_file)
    schema = FieldSchema(tables=(written or model,))
    read = read_written_files(environment, config, schema)
    file = read.files
    in_files, unnamed = with_references({} if file is None else file.values, schema)
    variables = from_variables(environment, written or model, standing=in_files)
    in_file = without_other_kinds(in_files, variables.values, schema)
    settled = with_defaults(laid_over(variables.values, in_file), schema)
    origins = Origins(
        variables, None if file is None else replace(file, values=in_files), in_file, settled
    )
    mistakes = Mistakes(written or model, origins)
    mistakes.add(*read.mistakes, *environment.mistakes, *variables.mistakes)
    for keys, what in (*read.conflicts.items(), *unnamed.items()):
        mistakes.add_of_file(keys, what)
    for keys, what in settled.unused.items():
        mistakes.add_found(keys, what)
    of_file = with_defaults(in_file, schema)
    try:
        model.model_validate_json(_as_json(of_file.values), strict=True)
    except ValidationError as error:
        mistakes.add_types(error, of_file)
    values = complete(_with_read_values(origins, environment, mistakes))
    # What seems to be missing, or not to fit, may be right by a file that cannot be read.
    whole = not (read.mistakes or environment.mistakes)
    misfits = [*requests_of_own(values, settled), *check(values)]
    for keys, found in misfits if whole else ():
        if found is not None:
            mistakes.add_found(keys, found)
        else:
            mistakes.add_missing(keys)
    settings: AnySettings | None = None
    try:
        settings = model.model_validate(values)
    except ValidationError as error:
        mistakes.add_values(error, whole=whole)
    sentences = mistakes.sentences()
    if settings is None or sentences:
        raise ConfigurationError(
            sentences, unreadable=not whole, settings=settings if whole else None
        )
    return LoadedSettings(settings, origins, environment)


def _as_json(in_file: Table) -> str:
    """Write the values of a file as JSON, to check their types.

    Pydantic accepts ``"80"`` as a number and ``1`` as a boolean, as variables require. For JSON it
    can be strict, and still accepts a list for a tuple.
    """

    def written(_: Keys, value: object) -> object:
        if isinstance(value, Reference | UnusableReference):
            return PLACEHOLDER
        return value if isinstance(value, str | int | float) else str(value)

    return json.dumps(replaced(in_file, written))


def _with_read_values(origins: Origins, environment: SetVariables, mistakes: Mistakes) -> object:
    """Read each secret from the place that the file names, and return all values.

    Other paths of the file get its folder.
    """
    file = origins.file

    def folder_of(keys: Keys) -> Path:
        return Path() if file is None else file.folder(origins.written(keys))

    def read_value(keys: Keys, value: object) -> object:
        if isinstance(value, RelativePath):
            absolute = Path(value).is_absolute()
            return str(value) if absolute else f"{folder_of(keys).absolute().as_posix()}/{value}"
        if isinstance(value, Reference):
            try:
                return resolved(value, environment.variables, folder_of(keys))
            except ReferenceMistakeError as mistake:
                mistakes.add_of_file(origins.written(keys), str(mistake))
        return SecretStr(PLACEHOLDER) if isinstance(value, Reference | UnusableReference) else value

    return replaced(origins.settled.values, read_value)
