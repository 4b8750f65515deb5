"""TLS of the server: a certificate and key from files, read again when they change, with or without mTLS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from offer_optimizer.core.errors import CannotStart


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our certificate chain and private key, and who may sign clients' certificates (or None)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def stamp(self) -> tuple[float, ...]:
        """Return when each file was changed last. Raises OSError."""
        return tuple(path.stat().st_mtime for path in (self.certificate, self.key, self.client_ca) if path)

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Read the files. Raises CannotStart naming the one that can't be read."""
        contents = []
        for path in (self.key, self.certificate, self.client_ca):
            try:
                contents.append(path.read_bytes() if path else None)
            except OSError as error:
                raise CannotStart(f"{path}: can't be read: {error.strerror}") from None
        key, certificate, client_ca = contents
        if (
            key is None
            or certificate is None
            or b"PRIVATE KEY" not in key
            or b"CERTIFICATE" not in certificate
        ):
            raise CannotStart(f"{self.certificate}, {self.key}: not PEM files of a certificate and its key")
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=client_ca)


def server_credentials(tls: TlsFiles, complain: Callable[[str], None]) -> grpc.ServerCredentials:
    """Return credentials that follow the files: each handshake sees the newest that could be read.

    `complain` hears why a changed file is not used. Raises CannotStart when the first reading fails.
    """
    known = [tls.stamp() if _is_there(tls) else ()]
    first = tls.read()

    def newest() -> grpc.ServerCertificateConfiguration | None:
        try:
            stamp = tls.stamp()
            if stamp == known[0]:
                return None
            found = tls.read()
        except (CannotStart, OSError) as error:
            complain(str(error))
            return None
        known[0] = stamp
        return found

    return grpc.dynamic_ssl_server_credentials(
        first,
        newest,  # type: ignore[arg-type]  # None means unchanged, says grpc's documentation
        require_client_authentication=tls.client_ca is not None,
    )


def _is_there(tls: TlsFiles) -> bool:
    try:
        tls.stamp()
    except OSError:
        return False
    return True
