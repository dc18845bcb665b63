"""The GraphiQL page. The gateway serves all its files itself, so no other host is needed.

The source of the page is `page.jsx` and the files beside it. `build.py` bundles it into `dist/`,
which is not committed; `hatch_build.py` does so when the project is installed. Without the bundle
the page explains how to build it, and the rest of the gateway works as usual.
"""

from app.server.graphiql.page import GraphiQL

__all__ = ["GraphiQL"]
