"""The HTTP proxy between gateway and service, as data."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from app.shapes.address import check_address
from app.shapes.base import Shape
from app.shapes.credentials import Secret, UserName


def _check_proxy(url: str) -> str:
    """Accept the address of a proxy.

    Args:
        url: The address.

    Returns:
        The same.

    Raises:
        ValueError: It is none.
    """
    if not check_address(url).startswith("http://") or "?" in url:
        raise ValueError("expected an address such as http://proxy.internal:3128")
    return url


class ProxySettings(Shape):
    """A proxy. What is encrypted goes through it in a tunnel (``CONNECT``, RFC 9110, 9.3.6)."""

    url: Annotated[str, AfterValidator(_check_proxy)] = Field(
        description="Address of the proxy.", examples=["http://proxy.internal:3128"]
    )
    username: UserName | None = Field(default=None, description="The user, for the proxy alone.")
    password: Secret | None = Field(default=None, description="The password, for the proxy alone.")

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        """Accept a user with a password.

        Raises:
            ValueError: One is there without the other.
        """
        if (self.username is None) != (self.password is None):
            raise ValueError("expected username and password both, or neither")
        return self
