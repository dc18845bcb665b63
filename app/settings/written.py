"""The values that operators have written, in variables and in files, before anything is checked."""

from pathlib import Path

from pydantic import BaseModel

from app.settings.config_files import ReadFiles, read_files
from app.settings.field_schema import FieldSchema
from app.settings.nested import Table, laid_over
from app.settings.variables import (
    CONFIG,
    INSTALLED_DEFAULTS,
    SetVariables,
    Variable,
    from_variables,
    read_environment,
)


def read_written_files(
    environment: SetVariables, config: Path | None, schema: FieldSchema
) -> ReadFiles:
    """Read the configuration file and the defaults of the installation, where there are any.

    Args:
        environment: The variables that are set.
        config: The configuration file; by default the file that ``GATEWAY_CONFIG`` names.
        schema: The settings that are allowed in the files.

    Returns:
        The values of the files, and what is wrong with them.
    """

    def named_by(variable: Variable) -> Path | None:
        named = environment.ours().get(variable.name)
        return None if named is None else Path(named)

    path = named_by(CONFIG) if config is None else config
    return read_files(path, schema, defaults=named_by(INSTALLED_DEFAULTS))


def written_values(
    model: type[BaseModel], *, env_file: Path | None, config: Path | None = None
) -> Table:
    """Return the values that operators have written, without checking any of them.

    A program that looks after a running gateway needs a few of them, even while others are wrong.
    It has a model of those alone, because the model of all settings takes long to import.

    Args:
        model: The model of the settings that are needed. Others are left out where variables set
            them, and kept where files do.
        env_file: A file of ``NAME=value`` lines, used for names that the environment lacks.
        config: The configuration file; by default the file that ``GATEWAY_CONFIG`` names.

    Returns:
        The values, nested as in the file. Those of variables are texts, except in JSON. Values of
        files that cannot be read are missing.
    """
    environment = read_environment(env_file)
    file = read_written_files(environment, config, FieldSchema(tables=(model,))).files
    in_files = Table() if file is None else file.values
    return laid_over(from_variables(environment, model, standing=in_files).values, in_files)
