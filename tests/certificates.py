"""Certificates for tests: an authority of their own, and what it vouches for."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """Certificates, as files.

    Attributes:
        authority: Who vouches for all of them.
        folder: Where the files are.
    """

    authority: trustme.CA
    folder: Path

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority."""
        return self._written("ca.pem", self.authority.cert_pem)

    def server(
        self, *hosts: str, common_name: str | None = None, asks: bool = False
    ) -> ssl.SSLContext:
        """Make what a server needs.

        Args:
            hosts: The names of its host; the address of this machine where it has none at all.
            common_name: A name of the kind that certificates had before.
            asks: Whether it asks its clients for a certificate.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        if common_name is None:
            hosts = hosts or ("127.0.0.1",)
        self.authority.issue_cert(*hosts, common_name=common_name).configure_cert(context)  # pyright: ignore[reportUnknownMemberType] # knows pyOpenSSL's contexts too
        if asks:
            self.authority.configure_trust(context)  # pyright: ignore[reportUnknownMemberType] # the same
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, name: str = "gateway") -> tuple[Path, Path]:
        """Write a certificate for a client, and its key."""
        made = self.authority.issue_cert(f"{name}.internal")
        return (
            self._written(f"{name}.pem", *made.cert_chain_pems),
            self._written(f"{name}.key", made.private_key_pem),
        )

    def _written(self, name: str, *blobs: trustme.Blob) -> Path:
        """Write a file."""
        path = self.folder / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return path
