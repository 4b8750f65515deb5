"""Salts: made once, read ever after, refused when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.store.codec import Salt
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.salts import load_or_create_salts, newest_salt

PATH = Path("/data/salts")


def test_salts_are_made_once_and_differ() -> None:
    files = MemoryFiles()
    numbers = iter(range(9))
    first = load_or_create_salts(files, PATH, lambda size: bytes([next(numbers)] * size))
    files.disk.power_cut()
    assert load_or_create_salts(files, PATH, lambda size: b"?" * size) == first
    assert [(salt.salt_id, salt.purpose) for salt in first] == [(1, "draw"), (2, "holdout")]
    assert first[0].salt != first[1].salt


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"{}\n", b"[]\n", b'{"salt_id": 1, "purpose": "draw", "salt": "00"}\n', b"no json"],
)
def test_a_damaged_file_is_refused_and_not_made_anew(content: bytes) -> None:
    """New salts would make every earlier draw unrepeatable and change who is in the holdout."""
    files = MemoryFiles()
    files.replace(PATH, content, "test")
    with pytest.raises(DamagedFile, match="restore it from a backup"):
        load_or_create_salts(files, PATH, lambda size: b"?" * size)
    assert files.read(PATH) == content


def test_the_newest_salt_of_a_purpose_is_in_use() -> None:
    salts = (Salt(3, "draw", b"c"), Salt(1, "draw", b"a"), Salt(4, "holdout", b"d"))
    assert newest_salt(salts, "draw").salt == b"c"
