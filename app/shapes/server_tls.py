"""How the gateway shows clients who it is, by a certificate: as data."""

import ssl
from typing import Self

from pydantic import Field, SecretStr, model_validator

from app.shapes.base import Shape
from app.shapes.tls import PemFile


class ServerTlsSettings(Shape):
    """The certificate of `serve`. All files are PEM, and are read when the gateway starts."""

    certificate: PemFile = Field(
        description="Certificate that the gateway shows, and the chain to it.",
        examples=["/etc/ssl/gateway.pem"],
    )
    key: PemFile | None = Field(
        default=None,
        description="Key to that certificate; it is in the same file when absent.",
        examples=["/etc/ssl/gateway.key"],
    )
    key_password: SecretStr | None = Field(
        default=None, description="Password of that key, if it is encrypted."
    )
    client_ca: PemFile | None = Field(
        default=None,
        description="Certificates of those who vouch for clients. Clients have to show one of"
        " theirs then; they need none when absent.",
        examples=["/etc/ssl/internal-ca.pem"],
    )
    hsts: int = Field(
        default=86_400,
        ge=0,
        le=63_072_000,
        description="Whole seconds for which browsers shall come to this host by https alone"
        " (`Strict-Transport-Security`), whatever the port; 0 for not saying so.",
    )

    def context(self) -> ssl.SSLContext:
        """Read the certificates.

        Returns:
            What connections are accepted with: TLS 1.2 and newer.

        Raises:
            ValueError: A file has not what it should.
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
        """Accept certificates that can be used.

        Raises:
            ValueError: They cannot.
        """
        self.context()
        return self
