"""The GraphiQL page: served by the gateway itself, so that it works without any other host.

The page's own source is `page.jsx` and its neighbours. `build.py` bundles it into `dist/`, which
is not committed; `hatch_build.py` does so when the project is installed. Without the bundle the
page says how to build it, and the rest of the gateway works on.
"""

from app.server.graphiql.page import GraphiQL

__all__ = ["GraphiQL"]
