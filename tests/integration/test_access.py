"""TLS, client certificates and keys over a real connection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from offer_optimizer.api.access import Gate
from offer_optimizer.api.credentials import TlsFiles, server_credentials
from offer_optimizer.api.server import ServerOptions, bind, build_server
from offer_optimizer.client import Access, Client
from offer_optimizer.core.access import KeyRing, Role, make_key
from offer_optimizer.core.errors import CannotStart
from offer_optimizer.store.audit import AuditTrail
from offer_optimizer.store.files import Files
from tests.unit.api.fakes import FakePorts

TEXT, KEY = make_key(lambda count: bytes(range(count)), "shop", [Role.DECIDE], [])


@contextmanager
def serving(tls: TlsFiles | None, tmp_path: Path, *, has_keys: bool = True) -> Iterator[str]:
    ring = KeyRing([KEY])
    audit = AuditTrail(Files(), tmp_path / "audit", "w", lambda: 1)
    gate = Gate((lambda: ring) if has_keys else None, audit, time.monotonic)
    ports = replace(FakePorts().ports(), guard=gate.guard)
    edge = build_server(ports, ServerOptions(reflection=False))
    credentials = server_credentials(tls, pytest.fail) if tls else None
    port = bind(edge.server, "127.0.0.1:0", credentials)
    edge.server.start()
    edge.readiness.set(True)
    try:
        yield f"localhost:{port}"
    finally:
        edge.server.stop(0).wait()


def write(authority: trustme.CA, folder: Path, *, client_ca: trustme.CA | None = None) -> TlsFiles:
    own = authority.issue_cert("localhost")
    files = TlsFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem" if client_ca else None)
    own.private_key_pem.write_to_path(files.key)
    files.certificate.write_bytes(b"".join(part.bytes() for part in own.cert_chain_pems))
    if files.client_ca and client_ca:
        client_ca.cert_pem.write_to_path(files.client_ca)
    return files


def ask(target: str, access: Access) -> str:
    with Client(target, access=access, connections=1, timeout_s=10.0) as client:
        return client.decide("home").reason


def test_a_key_over_tls_is_served_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    authority = trustme.CA()
    with serving(write(authority, tmp_path), tmp_path) as target:
        ca = authority.cert_pem.bytes()
        assert ask(target, Access(key=TEXT, tls_ca=ca)) == "MODEL"
        with Client(target, access=Access(key="oo1_x_y", tls_ca=ca), timeout_s=10.0) as client:
            refused = client.decide("home")
        assert not refused.decision_id


def test_a_client_that_does_not_trust_us_gets_no_further(tmp_path: Path) -> None:
    with serving(write(trustme.CA(), tmp_path), tmp_path) as target:
        other = Access(key=TEXT, tls_ca=trustme.CA().cert_pem.bytes())
        with Client(target, access=other, timeout_s=2.0) as client:
            assert not client.decide("home").decision_id


def test_a_changed_certificate_is_taken_without_a_restart(tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    files = write(old, tmp_path)
    with serving(files, tmp_path) as target:
        assert ask(target, Access(key=TEXT, tls_ca=old.cert_pem.bytes())) == "MODEL"
        write(new, tmp_path)
        assert ask(target, Access(key=TEXT, tls_ca=new.cert_pem.bytes())) == "MODEL"


def test_files_that_are_no_certificate_are_named(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nonsense")
    (tmp_path / "key.pem").write_text("nonsense")
    with pytest.raises(CannotStart, match=r"cert\.pem"):
        TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem").read()
    with pytest.raises(CannotStart, match=r"absent\.pem"):
        TlsFiles(tmp_path / "absent.pem", tmp_path / "key.pem").read()
