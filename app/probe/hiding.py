"""Showing what goes over the wire without the secrets in it. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import cast
from urllib.parse import quote, quote_plus, unquote_plus

from pydantic import BaseModel, SecretStr

from app.configuration.keys import as_table

HIDDEN = "(secret)"

_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"}
)
_TOKEN = re.compile(r'("(?:access_token|refresh_token|id_token|client_secret)"\s*:\s*")[^"]*')
"""What a token endpoint answers (RFC 6749, section 5.1)."""

_LEAST = 4
"""Fewest characters of a secret that is looked for: what is shorter is in every text."""


class Hiding:
    """Hides secrets in texts.

    Args:
        settings: The settings, with the secrets in them.
        others: Secrets that are not in the settings.
    """

    def __init__(self, settings: BaseModel, others: Sequence[str] = ()) -> None:
        secrets = {one for one in (*_secrets(settings), *others) if len(one) >= _LEAST}
        encoded = {written for one in secrets for written in (quote(one, safe=""), quote_plus(one))}
        # The longest first: one may be within another.
        self._secrets = sorted(secrets | encoded, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Hide secrets in any text."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _TOKEN.sub(rf"\1{HIDDEN}", text)

    def header(self, name: str, value: str) -> str:
        """Hide what is secret in a header; all but the scheme where all of it is."""
        if name.lower() not in _SECRET_HEADERS:
            return self.text(value)
        scheme, _, rest = value.partition(" ")
        return f"{scheme} {HIDDEN}" if rest and name.lower().endswith("authorization") else HIDDEN


def _secrets(value: object) -> Iterator[str]:
    """Find the secrets in settings: those that are such, and what is in the query of an address."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str) and "://" in value:
        for parameter in value.partition("?")[2].split("&"):
            told = parameter.partition("=")[2]
            yield from (told, unquote_plus(told))
    elif isinstance(value, BaseModel):
        for _, inner in value:
            yield from _secrets(inner)
    elif (table := as_table(value)) is not None:
        for inner in table.values():
            yield from _secrets(inner)
    elif isinstance(value, tuple | list):
        for inner in cast("Sequence[object]", value):
            yield from _secrets(inner)
