"""Where the service listens: parsing, the loopback rule, and holding the port for several deciders."""

from __future__ import annotations

import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import Final

from offer_optimizer.core.errors import CannotStart

WAIT_S: Final = 4.0
"""Deciders whose supervisor was killed drain for up to 2 s before they let go of the port."""


@dataclass(frozen=True, slots=True)
class Address:
    """A resolved address."""

    host: str
    port: int
    family: socket.AddressFamily

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.family is socket.AF_INET6 else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Address:
    """Parse and resolve HOST:PORT. Raises CannotStart."""
    host, colon, port_text = text.rpartition(":")
    if not colon or not host or not port_text.isdecimal() or int(port_text) > 65535:
        raise CannotStart(
            f"--listen {text}: must be HOST:PORT with a port of at most 65535, such as 127.0.0.1:50051"
        )
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port_text), type=socket.SOCK_STREAM)
    except OSError as error:
        raise CannotStart(f"--listen {text}: {error.strerror or error}") from None
    family, _, _, _, address = found[0]
    return Address(str(address[0]), int(port_text), family)


def is_loopback(address: Address) -> bool:
    """Return whether only this machine reaches an address."""
    return ipaddress.ip_address(address.host.split("%")[0]).is_loopback


def check_open(address: Address, *, has_tls: bool, has_keys: bool, insecure_listen: bool) -> str:
    """Return a warning for an address that others reach without TLS or keys, or nothing.

    Raises CannotStart unless that was asked for with `insecure_listen`.
    """
    if is_loopback(address) or (has_tls and has_keys):
        return ""
    missing = " and no ".join(name for name, there in (("TLS", has_tls), ("keys", has_keys)) if not there)
    if not insecure_listen:
        raise CannotStart(
            f"--listen {address}: others than this machine reach it, and there is no {missing}: they could"
            " read, decide, teach and change the catalog; add --tls-cert, --tls-key and --keys, listen on"
            " 127.0.0.1, or say --insecure-listen"
        )
    return f"{address} is open to everyone who reaches it: no {missing}"


def hold_port(address: Address) -> tuple[socket.socket, Address]:
    """Reserve a port (0: any free one) that deciders can share. Raises CannotStart when it is taken.

    The socket never listens; it keeps the number while it is open.
    """
    deadline_s = time.monotonic() + WAIT_S
    while not _is_free(address):
        if time.monotonic() > deadline_s:
            raise CannotStart(
                f"--listen {address}: another program listens there; stop it or choose another port"
            )
        time.sleep(0.1)
    held = socket.socket(address.family, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        held.bind((address.host, address.port))
    except OSError as error:
        held.close()
        raise CannotStart(f"--listen {address}: {error.strerror}") from None
    return held, Address(address.host, held.getsockname()[1], address.family)


def _is_free(address: Address) -> bool:
    """Return whether nobody holds the port: SO_REUSEPORT alone would let two servers share it in silence."""
    with socket.socket(address.family, socket.SOCK_STREAM) as probe:
        # Past connections may linger (TIME_WAIT); a listener may not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except PermissionError as error:
            raise CannotStart(f"--listen {address}: {error.strerror}") from None
        except OSError as error:
            if error.errno == 99:  # EADDRNOTAVAIL
                raise CannotStart(f"--listen {address}: this machine has no such address") from None
            return False
    return True
