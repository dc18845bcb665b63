"""Whether files for container engines fit the schemas of these, by packages that carry them."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs] # it has types, and does not say so


def compose_mistakes(path: Path) -> str:
    """Check a file by the schema of the Compose specification.

    Args:
        path: The file.

    Returns:
        What is wrong; empty if nothing is.
    """
    check = ("-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path))
    done = subprocess.run(  # noqa: S603 # our own command
        (sys.executable, *check), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""


def kubernetes_mistakes(manifest: Mapping[str, object], version: str) -> Sequence[str]:
    """Check an object by its schema of a version of Kubernetes, which allows no other names.

    Args:
        manifest: The object.
        version: The version.

    Returns:
        What is wrong; nothing if all is well.
    """
    try:
        kubernetes_validate.validate(dict(manifest), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        place = ".".join(map(str, error.absolute_path))
        return [f"{manifest['kind']} {place}, Kubernetes {version}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [error.message]
    return []
