"""Identity: the digest is HMAC-SHA-256, the secret is made once, damage is refused."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.errors import DamagedFile, NotFound
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.memory_files import MemoryFiles

SECRET = bytes(range(32))
PATH = "/data/secret"


def entropy(count: int) -> bytes:
    return SECRET[:count]


def no_entropy(count: int) -> bytes:
    raise AssertionError


@given(st.binary(min_size=32, max_size=32), st.text(min_size=1))
def test_a_digest_is_hmac_sha_256(secret: bytes, visitor_id: str) -> None:
    assert Identity(secret).digest(visitor_id) == hmac.digest(secret, visitor_id.encode(), "sha256")


def test_a_visitor_without_an_id_has_no_digest() -> None:
    assert Identity(SECRET).digest("") == b""


def test_the_secret_is_made_once_and_read_ever_after() -> None:
    files = MemoryFiles()
    made = Identity.load_or_create(files, PATH, entropy)
    files.disk.power_cut()
    again = Identity.load_or_create(files, PATH, no_entropy)
    assert made.digest("v") == again.digest("v") == Identity.load(files, PATH).digest("v")
    assert made.digest("v") == Identity(SECRET).digest("v")


def test_a_process_that_only_reads_does_not_make_one() -> None:
    with pytest.raises(NotFound):
        Identity.load(MemoryFiles(), PATH)


@pytest.mark.parametrize("at", range(0, 42, 3))
def test_a_damaged_secret_is_refused_and_neither_replaced_nor_shown(at: int) -> None:
    files = MemoryFiles()
    Identity.load_or_create(files, PATH, entropy)
    broken = bytearray(files.read(PATH))
    broken[at] ^= 1
    files.replace(PATH, bytes(broken), "test")
    with pytest.raises(DamagedFile, match="checksum") as raised:
        Identity.load_or_create(files, PATH, no_entropy)
    assert SECRET.hex()[:8] not in str(raised.value)
    assert files.read(PATH) == bytes(broken)


def test_a_secret_cut_short_is_refused() -> None:
    files = MemoryFiles()
    files.replace(PATH, b"OOID", "test")
    with pytest.raises(DamagedFile, match="4 bytes, must be 42"):
        Identity.load_or_create(files, PATH, no_entropy)


def test_the_secret_is_not_in_its_repr() -> None:
    assert repr(SECRET) not in repr(Identity(SECRET))
    assert SECRET.hex() not in repr(Identity(SECRET))
