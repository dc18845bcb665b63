"""Settings of how clients reach the gateway: host names, TLS, connections, requests.

The limits of connections are on by default: a client that opens connections and sends nothing, or
one byte at a time, takes memory from other clients.
"""

import re
import ssl
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.settings.base import FromFolder, PlainHeaderName, SettingsModel
from app.settings.transport import PemFile

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")

EVERY_HOST = "*"

_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")


def _check_host(host: str) -> str:
    """Check a name as in ``Host``, or all names below one; return its normal form."""
    name = host.lower()
    try:
        address = ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        # Some letters outside ASCII have ASCII small letters, such as the Kelvin sign.
        if not host.isascii() or (name != EVERY_HOST and not _NAME.fullmatch(name)):
            raise ValueError(
                "expected a name without scheme and port, such as api.example.com,"
                " *.example.com for all below it, or * for every name"
            ) from None
        return name
    return str(address)


HostName = Annotated[str, AfterValidator(_check_host)]


def is_loopback(host: str) -> bool:
    """Return whether a listener on a host can be reached only from this machine.

    Args:
        host: A name or an address.

    Returns:
        Whether it is a loopback name or address.
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


class ServerTlsSettings(SettingsModel):
    """The certificate of `serve`. All files are PEM, and are read when the gateway starts."""

    certificate: PemFile = Field(
        description="Certificate of the gateway, with its chain.",
        examples=["/etc/ssl/gateway.pem"],
    )
    key: PemFile | None = Field(
        default=None,
        description="Private key of that certificate. When absent, it is in the same file.",
        examples=["/etc/ssl/gateway.key"],
    )
    key_password: SecretStr | None = Field(
        default=None, description="Password of that key, if it is encrypted."
    )
    client_ca: PemFile | None = Field(
        default=None,
        description="Certificates of the authorities that sign clients' certificates. Clients then"
        " need a certificate of these; when absent, they need none.",
        examples=["/etc/ssl/internal-ca.pem"],
    )
    hsts: int = Field(
        default=86_400,
        ge=0,
        le=63_072_000,
        description="Whole seconds for which browsers use only https for this host, on any port"
        " (`Strict-Transport-Security`); 0 to send no such header.",
    )

    def context(self) -> ssl.SSLContext:
        """Read the certificates.

        Returns:
            The context for accepting connections: TLS 1.2 and newer.

        Raises:
            ValueError: A file does not contain what it should.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        secret = self.key_password
        # Without a password OpenSSL would ask for one on the terminal.
        password = "" if secret is None else secret.get_secret_value()
        try:
            context.load_cert_chain(self.certificate, self.key, password=lambda: password)
        except (ssl.SSLError, ValueError) as error:
            raise ValueError(
                "expected in certificate a certificate in PEM, and in key the key to it, with its"
                " password in key_password if it is encrypted"
            ) from error
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except ssl.SSLError as error:
                raise ValueError("expected certificates in PEM in client_ca") from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        """Check that the certificates can be used.

        Raises:
            ValueError: They cannot be used.
        """
        self.context()
        return self


Patience = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
"""A time limit in seconds; 0 for no limit."""


class ConnectionSettings(SettingsModel):
    """The connections of clients, in each process that `serve` runs."""

    head_timeout: Patience = Field(
        default=10.0,
        description="Seconds in which the whole head of a request has to arrive, counted from its"
        " first byte, or from the opening of the connection. Here and in the settings below, except"
        " `idle_timeout`, 0 means no limit.",
    )
    body_timeout: Patience = Field(
        default=30.0, description="Seconds in which the whole body of a request has to arrive."
    )
    write_timeout: Patience = Field(
        default=30.0, description="Seconds for which a client may read nothing of its response."
    )
    idle_timeout: int = Field(
        default=75,
        ge=1,
        le=3600,
        description="Whole seconds that an idle connection stays open for the next request. A"
        " proxy in front should close idle connections earlier, or it may use a closed one.",
    )
    max_connections: int = Field(
        default=10_000,
        ge=0,
        le=1_000_000,
        description="Maximum number of connections that are open at the same time. More get status"
        " 503 and `Retry-After`.",
    )
    max_url_bytes: int = Field(
        default=16_384,
        ge=0,
        le=1_048_576,
        description="Maximum number of bytes of the path and query of a request.",
    )
    max_headers: int = Field(
        default=100, ge=0, le=10_000, description="Maximum number of headers of a request."
    )
    max_head_bytes: int = Field(
        default=32_768,
        ge=0,
        le=1_048_576,
        description="Maximum number of bytes of a request's headers, all names and values"
        " together.",
    )


class BatchSettings(SettingsModel):
    """Several operations in one HTTP request."""

    enabled: bool = Field(
        default=False, description="Whether a JSON array of operations is executed."
    )
    max_operations: int = Field(
        default=10, ge=1, le=1_000, description="Maximum number of operations in one array."
    )


class PersistedSettings(SettingsModel):
    """Documents that clients send once and then name by their hash."""

    enabled: bool = Field(
        default=False,
        description="Whether the gateway keeps documents that clients send with their hash"
        " (automatic persisted queries).",
    )
    max_documents: int = Field(
        default=1_000,
        ge=1,
        le=1_000_000,
        description="Maximum number of documents that are kept this way.",
    )


class TrustedSettings(SettingsModel):
    """Documents that the operator provides."""

    path: Annotated[Path, FromFolder()] | None = Field(
        default=None,
        description="Documents that clients may name by their hash: a manifest (Apollo's or Relay's"
        " format), a document (`.graphql`), or a folder of such files. In a configuration file, the"
        " path is relative to the folder of that file.",
    )
    mode: Literal["also", "only"] = Field(
        default="also",
        description="Whether the gateway executes other documents, too (`also`), or only these"
        " (`only`). `only` also rejects the queries of GraphiQL.",
    )


CacheSeconds = Annotated[int, Field(ge=0, le=31_536_000)]


class CacheControlSettings(SettingsModel):
    """`Cache-Control` of responses to GET, for documents that clients name by a hash or an id."""

    scope: Literal["never", "private", "public"] = Field(
        default="never",
        description="Which caches may store responses to a GET that names a persisted or trusted"
        " document: none (`never`), those of clients (`private`), or also shared ones (`public`)"
        " for what callers without a token may see. Never stored are responses with an error,"
        " with the caller's own user, or with data of a source that gets headers of the caller.",
    )
    max_age: CacheSeconds = Field(
        default=0,
        description="Whole seconds for which data may be stored of which neither the source (by its"
        " own `Cache-Control` or `Expires`) nor `fields` says it; 0 for not at all.",
    )
    fields: Mapping[str, CacheSeconds] = Field(
        default={},
        description="Whole seconds for which fields of a user may be stored, by their names in the"
        " schema. A source can shorten them by its own `Cache-Control`.",
        examples=[{"displayName": 300, "plan": 60}],
    )


ANY_PORT = ":*"
"""The end of an origin that stands for all ports of this machine."""


def _check_origin(origin: str) -> str:
    """Check the origin of a site (RFC 6454, section 6.2); ``*`` and ``null`` are rejected."""
    host = origin.removesuffix(ANY_PORT)
    if not re.fullmatch(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", host):
        raise ValueError("expected an origin such as https://app.example.com, in lower case")
    if host != origin and not is_loopback(host.partition("://")[2]):
        raise ValueError(
            f"expected a port: {ANY_PORT} is for pages of this machine, such as http://localhost:*"
        )
    return origin


Origin = Annotated[str, AfterValidator(_check_origin)]


class CorsSettings(SettingsModel):
    """Which pages of other sites may read responses (Fetch Standard, "CORS protocol")."""

    origins: tuple[Origin, ...] = Field(
        default=(),
        description="Origins whose pages may send requests and read the responses. For development,"
        " `http://localhost:*` stands for all ports of this machine.",
        examples=[["https://app.example.com"]],
    )
    credentials: bool = Field(
        default=False, description="Whether requests of these pages may have cookies."
    )
    headers: tuple[PlainHeaderName, ...] = Field(
        default=(),
        description="Headers that requests of these pages may have, in addition to those that the"
        " gateway reads.",
        examples=[["X-Tenant"]],
    )
    max_age: int = Field(
        default=600,
        ge=0,
        le=86_400,
        description="Whole seconds for which browsers may cache these permissions.",
    )
