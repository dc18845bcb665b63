"""The names by which the gateway is known, as settings."""

import re
from ipaddress import IPv6Address, ip_address
from typing import Annotated

from pydantic import AfterValidator

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")

EVERY_HOST = "*"

_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")


def _check_host(host: str) -> str:
    """Accept a name as clients have it in ``Host``, or all names below one.

    Args:
        host: The name, or an address.

    Returns:
        The same, in lower case; an IPv6 address in its short form.

    Raises:
        ValueError: It is none.
    """
    name = host.lower()
    try:
        address = ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        # Unicode has letters whose small ones are of ASCII, such as the Kelvin sign.
        if not host.isascii() or (name != EVERY_HOST and not _NAME.fullmatch(name)):
            raise ValueError(
                "expected a name without scheme and port, such as api.example.com,"
                " *.example.com for all below it, or * for every name"
            ) from None
        return name
    return str(address)


HostName = Annotated[str, AfterValidator(_check_host)]


def is_loopback(host: str) -> bool:
    """Tell whether what listens there can be reached from this machine alone.

    Args:
        host: A name or an address.

    Returns:
        Whether it can.
    """
    name = host.lower().removeprefix("[").removesuffix("]")
    if name == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
