"""What an operator says of the place of a service: its address, or that of one user there. Pure."""

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from app.errors import quote
from app.expressions.places import KEY
from app.importing.names import SECRETS, squashed
from app.settings.base import check_address
from app.settings.secret_values import without_secrets

PLACE = "{id}"
"""Stands for the id in an address that an operator writes."""


class AddressError(Exception):
    """An address cannot be used. The message says what is wrong, and what is expected."""


class GivenAddress(Struct, frozen=True):
    """The address of a service, or of one user there.

    Attributes:
        origin: The scheme, the host and the port.
        path: The path, with ``{key}`` in the place of the id if that is there.
        parameter: The query parameter with the id; ``None`` if there is none.
        value: The value of that parameter, with ``{key}`` in the place of the id.
        fixed: The other query parameters.
    """

    origin: str
    path: str
    parameter: str | None = None
    value: str = KEY
    fixed: Mapping[str, str] = {}


def given_address(text: str, ids: Collection[str]) -> GivenAddress:
    """Read an address.

    Args:
        text: The address. The place of the id is ``{id}``, or one of the ids itself.
        ids: Ids of users.

    Returns:
        Its parts.

    Raises:
        AddressError: It is no address of a service, or has a secret in it.
    """
    text = text.strip().replace(PLACE, KEY)
    if "://" not in text:
        text = f"http://{text}"
    try:
        check_address(text.replace(KEY, "key"))
    except ValueError as error:
        raise AddressError(f"{quote(without_secrets(text))}: {error}") from error
    parts = urlsplit(text)
    segments = [KEY if unquote(one) in ids else one for one in parts.path.split("/") if one]
    if segments.count(KEY) > 1 or any(KEY in one and one != KEY for one in segments):
        raise AddressError(f"{quote(text)}: expected {PLACE} once, as a whole step of the path")
    parameter, value, fixed = None, KEY, dict[str, str]()
    for name, one in parse_qsl(parts.query, keep_blank_values=True):
        if any(word in squashed(name) for word in SECRETS):
            raise AddressError(
                f"the address has a secret in it: expected it in a variable, and"
                f" --auth NAME=parameter:{name}:VARIABLE"
            )
        if parameter is None and KEY not in segments and (KEY in one or one in ids):
            parameter, value = name, KEY if one in ids else one
        else:
            fixed[name] = one
    path = "".join(f"/{one}" for one in segments)
    return GivenAddress(f"{parts.scheme}://{parts.netloc}", path, parameter, value, fixed)
