"""The page that a browser gets at the URL of the GraphQL endpoint."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from app.schema.examples import ExampleQuery
from app.server.graphiql.assets import Assets

_HERE = Path(__file__).parent
_DIST = _HERE / "dist"

_ICON = quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
    '<path fill="#d60590" d="M8 0l7 4v8l-7 4-7-4V4z"/><circle cx="8" cy="8" r="3" fill="#fff"/>'
    "</svg>"
)

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; "
    "font-src 'self'; "
    # The style sheets contain some small images as data URLs, and the icon is a data URL.
    "img-src 'self' data:; "
    # The editor, Monaco, adds style elements and style attributes at run time.
    "style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    # The page names hashed files, and other clients get JSON at the same URL.
    "Cache-Control": "no-cache",
    "Vary": "Accept",
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
}


class BundleManifest(BaseModel):
    """The manifest that `bundle.mjs` writes: the files that the page loads first."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    script: str = Field(pattern=r"^[\w.-]+\.js$", description="File name of the page's script.")
    style: str = Field(pattern=r"^[\w.-]+\.css$", description="File name of its style sheet.")


class GraphiQL:
    """The GraphiQL page and the files that it loads.

    Args:
        dist: The folder of the bundle. It is read at each request of the page, so a bundle that is
            built later needs no restart.
        examples: The queries that the page opens with; the demo's if there are none.
        trace: Whether clients get the report of a request, which the panel "Trace" shows.
        explain: Whether clients get the plan of an operation, which it shows as well. With neither
            there is no panel.
    """

    def __init__(
        self,
        dist: Path = _DIST,
        *,
        examples: Sequence[ExampleQuery] = (),
        trace: bool = False,
        explain: bool = False,
    ) -> None:
        tabs = [
            {"query": one.query, "variables": json.dumps(dict(one.variables), indent=2)}
            for one in examples
        ]
        self._examples = escape(json.dumps(tabs))
        self._allowed = escape(json.dumps({"trace": trace, "explain": explain}))
        self._manifest = dist / "manifest.json"
        self._assets = Assets(dist / "assets")
        self._page = Template((_HERE / "page.html").read_text(encoding="utf-8"))
        self._missing = Template((_HERE / "missing.html").read_text(encoding="utf-8"))

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes of the page's files, under `/graphiql/assets/`."""
        return [Route("/graphiql/assets/{name}", self._assets.serve)]

    def page(self, request: Request) -> Response:
        """Return the GraphiQL page; if it is not built, a page that explains how to build it.

        Args:
            request: The browser's request. The files are linked relative to its path, because a
                proxy may serve the gateway under a prefix that the gateway doesn't know.

        Returns:
            An HTML page with status 200. Its headers forbid it to load anything from other hosts.

        Raises:
            pydantic.ValidationError: The manifest of the bundle is invalid.
        """
        try:
            manifest = BundleManifest.model_validate_json(self._manifest.read_bytes())
        except FileNotFoundError:
            html = self._missing.substitute(icon=_ICON)
        else:
            html = self._page.substitute(
                icon=_ICON,
                assets=_root_reference(request) + "graphiql/assets",
                script=manifest.script,
                style=manifest.style,
                examples=self._examples,
                allowed=self._allowed,
            )
        return HTMLResponse(html, headers=_HEADERS)


def _root_reference(request: Request) -> str:
    """Return the relative reference from the request's path to the application's root."""
    path: str = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return "../" * (path.count("/") - 1)
