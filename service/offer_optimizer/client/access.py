"""How a caller proves who it is, and whom it trusts: a key, and TLS with or without a certificate of its own.

A key travels with every call. Without TLS it travels in the clear: send one only over loopback.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

ChannelOption = tuple[str, str | int]


@dataclass(frozen=True, slots=True)
class Access:
    """A key, and PEM contents: `tls_ca` of who signed the service's certificate, and a certificate of ours.

    `tls` alone trusts what the machine trusts. Nothing at all is what a service on loopback asks for.
    """

    key: str = field(default="", repr=False)
    tls: bool = False
    tls_ca: bytes | None = None
    certificate: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Access:
        """Read OFFER_OPTIMIZER_KEY, _TLS (1), _TLS_CA, _CLIENT_CERT and _CLIENT_KEY, the last three paths.

        Raises OSError for a file that can't be read.
        """

        def content(name: str) -> bytes | None:
            path = environment.get(f"OFFER_OPTIMIZER_{name}")
            return Path(path).read_bytes() if path else None

        return cls(
            key=environment.get("OFFER_OPTIMIZER_KEY", ""),
            tls=environment.get("OFFER_OPTIMIZER_TLS", "") in ("1", "true", "yes"),
            tls_ca=content("TLS_CA"),
            certificate=content("CLIENT_CERT"),
            private_key=content("CLIENT_KEY"),
        )


NO_ACCESS = Access()


def open_channel(target: str, options: Sequence[ChannelOption], access: Access) -> grpc.Channel:
    """Return a channel whose calls carry the key. Nothing is connected before the first call."""
    if access.tls or access.tls_ca or access.certificate:
        credentials = grpc.ssl_channel_credentials(access.tls_ca, access.private_key, access.certificate)
        channel = grpc.secure_channel(target, credentials, options=tuple(options))
    else:
        channel = grpc.insecure_channel(target, options=tuple(options))
    return grpc.intercept_channel(channel, _KeyBearer(access.key)) if access.key else channel


class _Details(
    namedtuple("_Details", "method timeout metadata credentials wait_for_ready compression"),  # noqa: PYI024
    grpc.ClientCallDetails,
):
    """What grpc asks of a call's details when an interceptor changes them."""


class _KeyBearer(grpc.UnaryUnaryClientInterceptor):
    """Puts the key on every call."""

    def __init__(self, key: str) -> None:
        self._header = ("authorization", f"Bearer {key}")

    def intercept_unary_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: Any,  # noqa: ANN401  (grpc declares no type)
        request: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Add the header and go on."""
        known = client_call_details
        metadata = [*(known.metadata or ()), self._header]
        details = _Details(
            known.method,
            known.timeout,
            metadata,
            known.credentials,
            known.wait_for_ready,
            known.compression,
        )
        return continuation(details, request)
