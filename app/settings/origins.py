"""Where each setting is from, and what of a file counts beside what variables say."""

from dataclasses import dataclass, field

from app.settings.config_file import ConfigFile
from app.settings.field_schema import FieldSchema
from app.settings.nested import NOTHING, Keys, Table, as_table, value_at
from app.settings.secret_values import Reference
from app.settings.variables import VariableValues


@dataclass(frozen=True, slots=True)
class Origins:
    """Where settings are from; a variable wins over the file, setting by setting.

    Attributes:
        variables: What variables say.
        file: The file, where there is one.
        in_file: What of the file counts.
    """

    variables: VariableValues
    file: ConfigFile | None = None
    in_file: Table = field(default_factory=Table)

    def variable(self, keys: Keys) -> str | None:
        """Name the variable that a value, or the list around it, is from."""
        around = (self.variables.names.get(keys[:depth]) for depth in range(len(keys), 0, -1))
        return next((name for name in around if name is not None), None)

    def in_the_file(self, keys: Keys) -> ConfigFile | None:
        """Find the file that a value is from."""
        if self.variable(keys) is not None or value_at(self.in_file, keys) is NOTHING:
            return None
        return self.file

    def reference(self, keys: Keys) -> Reference | None:
        """Find where the file says that a secret is."""
        value = value_at(self.in_file, keys)
        return value if isinstance(value, Reference) and self.in_the_file(keys) else None


def without_other_kinds(below: Table, above: Table, schema: FieldSchema) -> Table:
    """Leave out of a file what belongs to another kind of table than a variable asks for.

    Where variables say that ``auth`` is of ``kind`` "basic", the settings that the file has for
    kind "bearer" are not a mistake: they are what the variables replace.

    Args:
        below: What the file says.
        above: What the variables say.
        schema: What may stand here.

    Returns:
        What of the file counts.
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
