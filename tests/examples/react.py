"""Builds the React example, and serves its files beside a gateway whose sources can fail."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

import app
from app.demo.faults import FaultMiddleware
from app.server.graphiql.build import NodePrograms
from tests.examples.serving import clean_environment, serve_over_demo, serving

ROOT = Path(app.__file__).parents[1]
FOLDER = ROOT / "examples/react"
OUTSIDE = ("schema.graphql", "docs/clients/error-codes.ts")
"""Files outside of its folder that the example reads."""

INSTALL = 180.0
"""Seconds for npm if `make test` has not installed the example's packages."""

PATIENT = {
    "GATEWAY_DEADLINE__BUDGET": "60",
    **{
        f"GATEWAY_SOURCES__{name}__{setting}": value
        for name in ("PROFILE", "BILLING", "ACTIVITY")
        for setting, value in (("TIMEOUT", "60"), ("RETRY__MAX_RETRIES", "0"))
    },
}
"""Settings with which the gateway waits for a held source, and calls a failing one once."""

OPEN = {"GATEWAY_AUTH__MODE": "none", "GATEWAY_CORS__ORIGINS": '["http://127.0.0.1:*"]'}
"""Settings that allow all callers, and the page, which is served on another port."""


@dataclass(frozen=True)
class Built:
    """The example after `npm run build`.

    Attributes:
        folder: A copy of the example.
        complaint: The output of a failed build.
    """

    folder: Path
    complaint: str

    @property
    def site(self) -> Path:
        """The files for a web server."""
        return self.folder / "dist"

    @property
    def manifest(self) -> Path:
        """The documents by their hash."""
        return self.folder / "src/gql/persisted-documents.json"


def build(
    node: NodePrograms, folder: Path, variables: Mapping[str, str], *, schema: str | None = None
) -> Built:
    """Build a copy of the example, because tests must not share files.

    Args:
        node: How to call Node.
        folder: A new folder for the copy.
        variables: Settings of the build.
        schema: Another schema than the one of the repository.

    Returns:
        The copy.
    """
    copy = folder / FOLDER.relative_to(ROOT)
    ignored = shutil.ignore_patterns("node_modules", "dist", "gql")
    shutil.copytree(FOLDER, copy, ignore=ignored)
    (copy / "node_modules").symlink_to(FOLDER / "node_modules", target_is_directory=True)
    for name in OUTSIDE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    if schema is not None:
        (folder / "schema.graphql").write_text(schema, encoding="utf-8")
    # The scripts call `node` by its name.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    done = subprocess.run(  # noqa: S603 # npm
        (*node.npm, "run", "build"),
        cwd=copy,
        env={**clean_environment(variables), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return Built(copy, done.stdout + done.stderr if done.returncode else "")


@dataclass
class Switch:
    """A switch for a service: it holds the responses, or sends failures instead.

    Attributes:
        status: The status of failures; `None` if the service responds.
        free: Set while responses are not held.
    """

    status: int | None = None
    free: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.free.set()

    def wrap(self, service: ASGIApp) -> ASGIApp:
        """Wrap a service with the switch.

        Args:
            service: The service.

        Returns:
            The application to serve instead.
        """

        async def switched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await self.free.wait()
            chosen = service if self.status is None else FaultMiddleware(service, self.status)
            await chosen(scope, receive, send)

        return switched


@dataclass(frozen=True)
class Switches:
    """The switches of the demo's services under a gateway.

    Attributes:
        profile: The switch of profile.
        billing: The switch of billing.
        activity: The switch of activity.
    """

    profile: Switch = field(default_factory=Switch)
    billing: Switch = field(default_factory=Switch)
    activity: Switch = field(default_factory=Switch)


@asynccontextmanager
async def gateway_at(
    port: int, variables: Mapping[str, str] | None = None
) -> AsyncGenerator[Switches]:
    """Serve the gateway over the demo's services.

    Args:
        port: The port that the page calls.
        variables: Further settings.

    Yields:
        The switches of the services.
    """
    switches = Switches()
    around = {
        "PROFILE": switches.profile.wrap,
        "BILLING": switches.billing.wrap,
        "ACTIVITY": switches.activity.wrap,
    }
    settings = {**OPEN, **PATIENT, **(variables or {})}
    async with serve_over_demo(settings, port=port, around=around):
        yield switches


@asynccontextmanager
async def served_site(built: Built) -> AsyncGenerator[str]:
    """Serve the files of a build.

    Args:
        built: The example.

    Yields:
        The address of the page.
    """
    files = StaticFiles(directory=built.site, html=True)
    async with serving("the page", Starlette(routes=[Mount("/", files)])) as address:
        yield f"{address}/"
