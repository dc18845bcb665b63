"""Headers that keep an answer from being taken for something else by a browser.

Our own, since they are the same bytes for every answer. Of the libraries, ``secure`` 2.0 is the one
that is well kept and pure ASGI; but its middleware removes headers by indexes that it has shifted,
so that some of the answer's own are lost, and it puts its policies in place of GraphiQL's stricter
one.
"""

Header = tuple[bytes, bytes]

SECURITY_HEADERS: tuple[Header, ...] = (
    # JSON is never run as a script or shown as a page, whatever is in it.
    (b"x-content-type-options", b"nosniff"),
    # No page may put an answer into a frame (GraphiQL's own policy says so, too) ...
    (b"x-frame-options", b"DENY"),
    # ... or load it as an image or a script; what CORS allows is not affected.
    (b"cross-origin-resource-policy", b"same-origin"),
    # An address may have a query in it: no other site is told of it.
    (b"referrer-policy", b"no-referrer"),
)
"""The headers of every answer, as ASGI has them."""


def security_headers(hsts: int) -> tuple[Header, ...]:
    """List the headers of every answer of a gateway.

    Args:
        hsts: Seconds for which browsers shall come by https alone (RFC 6797); 0 for not saying so.
            It holds for the whole host, so a gateway behind a proxy leaves it to that.

    Returns:
        The headers.
    """
    if not hsts:
        return SECURITY_HEADERS
    return (*SECURITY_HEADERS, (b"strict-transport-security", b"max-age=%d" % hsts))
