"""The credentials for a service, as an operator names them: never the secret, but its variable.

    bearer:HR_TOKEN                 Authorization: Bearer …
    basic:gateway:HR_PASSWORD       Authorization: Basic …, for the user gateway
    header:X-Api-Key:HR_KEY         X-Api-Key: …
    parameter:api_key:HR_KEY        ?api_key=…

Pure.
"""

import re
from collections.abc import Mapping

from msgspec import Struct
from pydantic import JsonValue, TypeAdapter, ValidationError

from app.errors import quote, what_is_wrong
from app.settings.credentials import AuthSettings

RIGHT = (
    "expected bearer:VARIABLE, basic:USER:VARIABLE, header:NAME:VARIABLE or"
    " parameter:NAME:VARIABLE, such as bearer:HR_TOKEN, with the variable that has the secret"
)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SECRET_OF: Mapping[str, str] = {"bearer": "token", "basic": "password", "api_key": "key"}
_KINDS: Mapping[str, tuple[str, str]] = {
    "basic": ("basic", "username"),
    "header": ("api_key", "header"),
    "parameter": ("api_key", "parameter"),
}
"""The kind of credentials in the settings, and the setting between the colons."""

_auth_settings: TypeAdapter[AuthSettings] = TypeAdapter(AuthSettings)


class CredentialsError(Exception):
    """Credentials cannot be used. The message says what is wrong, and what is expected."""


class GivenCredentials(Struct, frozen=True):
    """Credentials, with a reference in the place of the secret.

    Attributes:
        kind: Their kind in the settings.
        variable: The variable that has the secret.
        own: Their other settings.
    """

    kind: str
    variable: str
    own: Mapping[str, str]

    @property
    def table(self) -> Mapping[str, JsonValue]:
        """The settings for a file."""
        return {"kind": self.kind, **self.own, _SECRET_OF[self.kind]: {"env": self.variable}}

    def settings(self, variables: Mapping[str, str]) -> AuthSettings:
        """Return the settings with the secret.

        Args:
            variables: The variables that are set.

        Returns:
            The settings.

        Raises:
            CredentialsError: The variable is not set, or its value cannot be used.
        """
        secret = variables.get(self.variable)
        if not secret:
            raise CredentialsError(
                f"the variable {self.variable} is not set: expected the secret in it, such as by"
                f" export {self.variable}=…"
            )
        try:
            return _auth_settings.validate_python(
                {"kind": self.kind, **self.own, _SECRET_OF[self.kind]: secret}
            )
        except ValidationError as error:
            raise CredentialsError(what_is_wrong(error)) from error


def given_credentials(text: str) -> GivenCredentials:
    """Read what an operator says of credentials.

    Args:
        text: The kind, the user or the name where the kind has one, and the variable.

    Returns:
        The credentials.

    Raises:
        CredentialsError: It is another text.
    """
    kind, _, rest = text.strip().partition(":")
    own, colon, variable = rest.rpartition(":")
    if kind == "bearer" and not colon and _VARIABLE.fullmatch(variable):
        return GivenCredentials("bearer", variable, {})
    if kind in _KINDS and own and _VARIABLE.fullmatch(variable):
        name, setting = _KINDS[kind]
        return GivenCredentials(name, variable, {setting: own})
    raise CredentialsError(f"{quote(kind)}: {RIGHT}")
