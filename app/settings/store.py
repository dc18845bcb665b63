"""Settings of the shared store: Redis or Valkey, which several gateways use together."""

import re
from typing import Annotated, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, model_validator

from app.settings.base import Seconds, SettingsModel, in_words, refuse
from app.settings.credentials import Secret, UserName
from app.settings.transport import TlsSettings

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26_379

_TLS_SCHEMES = frozenset({"rediss", "valkeys"})
_HOST = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
URL_PATTERN = (
    rf"^(redis|rediss|valkey|valkeys)(\+sentinel|\+cluster)?://{_HOST}(,{_HOST})*"
    r"(/[A-Za-z_][A-Za-z0-9._-]*)?(/[0-9]{1,4})?$"
)
_MAX_PORT = 65_535
_PREFIX = "^[A-Za-z0-9._-]{1,64}$"


def _check_text(url: object) -> object:
    """Check the address of a store; a value that is no text is left to pydantic."""
    return _check_url(url) if isinstance(url, str) else url


def _check_url(url: str) -> str:
    """Check the address of a store."""
    parts = urlsplit(url)
    way = parts.scheme.partition("+")[2]
    hosts, path = parts.netloc.split(","), parts.path.split("/")[1:]
    if "@" in parts.netloc:
        raise ValueError("expected no user and no password in it: they have their own settings")
    if not re.fullmatch(URL_PATTERN, url):
        raise ValueError(
            "expected an address such as redis://host:6379/0, rediss+sentinel://host,host/name or"
            " valkey+cluster://host,host"
        )
    if any(int(port[1]) > _MAX_PORT for host in hosts if (port := re.search(r":(\d+)$", host))):
        raise ValueError("expected ports up to 65535")
    if not way and len(hosts) > 1:
        raise ValueError("expected one host, or +sentinel or +cluster after the scheme")
    if (way == "sentinel") != bool(path and not path[0].isdigit()):
        raise ValueError("expected the name of the server after Sentinels, and only there")
    if way == "cluster" and path:
        raise ValueError("expected no database: a cluster has only one")
    return url


class StoreSettings(SettingsModel):
    """The shared store. Without `url`, each process has its own caches and its own limits."""

    url: Annotated[str, Field(pattern=URL_PATTERN), BeforeValidator(_check_text)] | None = Field(
        default=None,
        description="Address of the store: `redis://host:6379` or `valkey://…`; `rediss://…` or"
        " `valkeys://…` for TLS. A database may follow, such as `/0`. Sentinels and the name of"
        " the server that they know are `redis+sentinel://host,host/name`; some nodes of a"
        " cluster are `redis+cluster://host,host`. When absent, there is no store.",
        examples=["valkey://store.internal:6379"],
    )
    username: UserName | None = Field(
        default=None, description="User name at the store. When absent, it is the default user."
    )
    password: Secret | None = Field(default=None, description="Password at the store.")
    sentinel_password: Secret | None = Field(
        default=None, description="Password at the Sentinels, if they have one."
    )
    tls: TlsSettings | None = Field(
        default=None, description="Certificates for a store with TLS (`rediss`, `valkeys`)."
    )
    prefix: Annotated[
        str,
        in_words(_PREFIX, "expected 1 to 64 letters, digits, ., _ and -, such as user-gateway"),
    ] = Field(
        default="user-gateway",
        pattern=_PREFIX,
        description="Beginning of all keys. Gateways with the same prefix share what is stored.",
    )
    entities: bool = Field(
        default=True,
        description="Whether results of sources with a `cache` are kept in the store, too.",
    )
    rate_limits: bool = Field(
        default=True, description="Whether all gateways count the cost of a caller together."
    )
    documents: bool = Field(
        default=True,
        description="Whether documents that clients send with their hash are kept in the store,"
        " too.",
    )
    local_ttl: Seconds = Field(
        default=2.0,
        description="Seconds for which a process uses a result from its own memory before it looks"
        " it up in the store again. It looks up earlier what has become stale.",
    )
    timeout: float = Field(
        default=0.02,
        ge=0.001,
        le=1,
        allow_inf_nan=False,
        description="Maximum number of seconds that a request waits for one answer of the store."
        " Then it goes on without it.",
    )
    connect_timeout: float = Field(
        default=1.0,
        ge=0.01,
        le=60,
        allow_inf_nan=False,
        description="Maximum number of seconds for opening a connection to the store. No request"
        " waits longer than `timeout` for it.",
    )
    max_connections: int = Field(
        default=32,
        ge=1,
        le=10_000,
        description="Maximum number of connections of each process to the store; in a cluster, to"
        " each node.",
    )

    @property
    def topology(self) -> str:
        """What the hosts are: ``sentinel``, ``cluster``, or one server (empty)."""
        return self._parts.scheme.partition("+")[2]

    @property
    def uses_tls(self) -> bool:
        """Whether connections use TLS."""
        return self._parts.scheme.partition("+")[0] in _TLS_SCHEMES

    @property
    def hosts(self) -> tuple[tuple[str, int], ...]:
        """The hosts of the address, with their ports."""
        usual = DEFAULT_SENTINEL_PORT if self.topology == "sentinel" else DEFAULT_PORT
        found = [urlsplit(f"//{host}") for host in self._parts.netloc.split(",")]
        return tuple((one.hostname or "", one.port or usual) for one in found)

    @property
    def server_name(self) -> str:
        """The name under which Sentinels know the server."""
        return self._parts.path.split("/")[1]

    @property
    def database(self) -> int:
        """The number of the database."""
        last = self._parts.path.rpartition("/")[2]
        return int(last) if last.isdigit() else 0

    @property
    def _parts(self) -> SplitResult:
        """The parts of the address."""
        return urlsplit(self.url or "")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Require settings that fit together.

        Raises:
            ValueError: A setting has no effect.
        """
        mistakes: list[str] = []
        if self.url is not None and self.tls is not None and not self.uses_tls:
            mistakes.append("expected rediss:// or valkeys:// in url, since tls is set")
        if self.sentinel_password is not None and self.topology != "sentinel":
            mistakes.append("expected redis+sentinel:// in url, since sentinel_password is set")
        refuse(mistakes)
        return self
