"""Settings of the connection to a service: TLS, certificates and an HTTP proxy.

Certificates are always verified; no setting switches that off.
"""

import ssl
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.settings.base import SettingsModel, check_address
from app.settings.credentials import Secret, UserName


def _check_file(path: Path) -> Path:
    """Check that a path is absolute and that its file can be read."""
    if not path.is_absolute():
        raise ValueError("expected an absolute path, such as /etc/ssl/ca.pem")
    try:
        path.open("rb").close()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path has a NUL in it"
        raise ValueError(f"expected a file that can be read: {why}") from error
    return path


PemFile = Annotated[Path, AfterValidator(_check_file)]


class TlsSettings(SettingsModel):
    """The certificates for a service. All files are PEM, and are read when the gateway starts."""

    ca_file: PemFile | None = Field(
        default=None,
        description="Certificates of the authorities that sign the service's certificate. They"
        " replace those that the system trusts.",
        examples=["/etc/ssl/internal-ca.pem"],
    )
    client_certificate: PemFile | None = Field(
        default=None,
        description="Certificate of the gateway for the service, with its chain.",
        examples=["/etc/ssl/gateway.pem"],
    )
    client_key: PemFile | None = Field(
        default=None,
        description="Private key of that certificate. When absent, it is in the same file.",
        examples=["/etc/ssl/gateway.key"],
    )
    client_key_password: SecretStr | None = Field(
        default=None, description="Password of that key, if it is encrypted."
    )

    def context(self) -> ssl.SSLContext:
        """Read the certificates.

        Returns:
            The context for opening connections.

        Raises:
            ValueError: A file does not contain what it should.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError as error:
            raise ValueError("expected certificates in PEM in ca_file") from error
        # The name of a server is in the subject alternative name (RFC 9525, section 2). Without
        # this line, Python would also accept the common name if there is none.
        context.hostname_checks_common_name = False
        context.set_alpn_protocols(["http/1.1"])
        if self.client_certificate is not None:
            secret = self.client_key_password
            # Without a password OpenSSL would ask for one on the terminal.
            password = "" if secret is None else secret.get_secret_value()
            try:
                context.load_cert_chain(
                    self.client_certificate, self.client_key, password=lambda: password
                )
            except (ssl.SSLError, ValueError) as error:
                raise ValueError(
                    "expected in client_certificate a certificate in PEM, and in client_key the key"
                    " to it, with its password in client_key_password if it is encrypted"
                ) from error
        return context

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        """Check that the certificates can be used.

        Raises:
            ValueError: They cannot be used, or a setting is missing beside them.
        """
        if self.client_certificate is None and self.client_key is not None:
            raise ValueError("expected client_certificate beside client_key")
        if self.client_certificate is None and self.client_key_password is not None:
            raise ValueError("expected client_certificate beside client_key_password")
        if self.ca_file is not None or self.client_certificate is not None:
            self.context()
        return self


def _check_proxy(url: str) -> str:
    """Check the address of a proxy."""
    if not check_address(url).startswith("http://") or "?" in url:
        raise ValueError("expected an address such as http://proxy.internal:3128")
    return url


class ProxySettings(SettingsModel):
    """A proxy. TLS connections use a tunnel (``CONNECT``, RFC 9110, section 9.3.6)."""

    url: Annotated[str, AfterValidator(_check_proxy)] = Field(
        description="Address of the proxy.", examples=["http://proxy.internal:3128"]
    )
    username: UserName | None = Field(default=None, description="User name for the proxy only.")
    password: Secret | None = Field(default=None, description="Password for the proxy only.")

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        """Require a user name and a password, or neither.

        Raises:
            ValueError: Only one of them is set.
        """
        if (self.username is None) != (self.password is None):
            raise ValueError("expected username and password both, or neither")
        return self
