"""The address of a bound socket, for people."""

import socket


def base_url_of(listener: socket.socket, *, is_https: bool = False) -> str:
    """Write where a server can be reached.

    Args:
        listener: The bound socket of the server.
        is_https: Whether it takes TLS.

    Returns:
        The address, without a slash at the end.
    """
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if is_https else 'http'}://{shown}:{port}"
