"""The origin of each setting, and the part of the file that variables do not replace."""

from msgspec import Struct

from app.settings.config_files import ConfigFiles
from app.settings.defaults import SettledValues
from app.settings.field_schema import FieldSchema
from app.settings.nested import NOTHING, Keys, Table, as_table, value_at
from app.settings.secret_values import Reference
from app.settings.variables import VariableValues


class Origins(Struct, frozen=True):
    """The origin of each setting. A variable replaces the value of the file, setting by setting.

    Attributes:
        variables: The values of variables.
        file: The file with those that it includes; ``None`` without one.
        in_file: The values of the file, without those of tables of another kind.
        settled: All values, in which sources have the defaults of all sources.
    """

    variables: VariableValues
    file: ConfigFiles | None
    in_file: Table
    settled: SettledValues

    def written(self, keys: Keys) -> Keys:
        """Return where a value is written: as a default of all sources, or at its own place.

        Args:
            keys: The place of the value.

        Returns:
            The place in the file or in the variables.
        """
        return self.settled.written(keys)

    def variable(self, keys: Keys) -> str | None:
        """Return the variable of a value, or of the list or table around it.

        Args:
            keys: The place of the value.

        Returns:
            The name of the variable; ``None`` if the value is not from one.
        """
        keys = self.written(keys)
        around = (self.variables.names.get(keys[:depth]) for depth in range(len(keys), 0, -1))
        return next((name for name in around if name is not None), None)

    def in_the_file(self, keys: Keys) -> ConfigFiles | None:
        """Return the file if a value is from it.

        Args:
            keys: The place of the value.

        Returns:
            The file; ``None`` if the value is from a variable, or has its default.
        """
        if self.variable(keys) is not None or self._in_file(keys) is NOTHING:
            return None
        return self.file

    def only_in_variables(self, keys: Keys) -> bool:
        """Return whether variables set something of a table of which the file has nothing.

        Args:
            keys: The place of the table.

        Returns:
            Whether a mistake in the table as a whole is one of variables.
        """
        keys = self.written(keys)
        below = any(name[: len(keys)] == keys for name in self.variables.names)
        return below and self._in_file(keys) is NOTHING

    def reference(self, keys: Keys) -> Reference | None:
        """Return the reference that the file has for a secret.

        Args:
            keys: The place of the secret.

        Returns:
            The reference; ``None`` if the value is no secret from the file.
        """
        value = self._in_file(keys)
        return value if isinstance(value, Reference) and self.in_the_file(keys) else None

    def _in_file(self, keys: Keys) -> object:
        """Return the value of the file; ``NOTHING`` if it has none."""
        return value_at(self.in_file, self.written(keys))


def without_other_kinds(below: Table, above: Table, schema: FieldSchema) -> Table:
    """Drop the values of a file that belong to another kind of table than a variable sets.

    If variables set ``kind`` of ``auth`` to "basic", the file's settings for kind "bearer" are not
    a mistake: the variables replace them.

    Args:
        below: The values of the file.
        above: The values of variables.
        schema: The settings that are allowed here.

    Returns:
        The values of the file that count.
    """
    kinds = schema.kinds()
    if schema.tag in above and kinds.get(str(above[schema.tag])) not in {
        kinds.get(str(below.get(schema.tag))),
        None,
    }:
        return {}
    kept = dict(below)
    for key, value in below.items():
        lower, upper = as_table(value), as_table(above.get(key))
        if lower is not None and upper is not None:
            kept[key] = without_other_kinds(lower, upper, schema.below(key).schema)
    return kept
