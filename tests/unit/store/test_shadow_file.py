"""Shadows' files: what is written comes back, and what is damaged is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.shadow_file import ShadowState, ShadowStore, decode_shadow, encode_shadow

STATE = ShadowState(
    "home",
    "new",
    bytes(range(16)),
    bytes(16),
    7,
    11,
    13,
    17,
    19,
    23,
    29,
    31,
    0.5,
    37,
    b'{"sums": 1}',
    b"model\0",
)


def test_a_shadow_comes_back_as_it_was_written_and_is_gone_when_removed() -> None:
    store = ShadowStore(MemoryFiles(directories=("/data",)), Path("/data/shadows"))
    assert store.names() == []
    assert store.read("home", "new") is None
    store.write(STATE)
    assert store.read("home", "new") == STATE
    assert store.names() == [("home", "new")]
    store.remove("home", "new")
    assert store.names() == []


@pytest.mark.parametrize("cut", [0, 10, 100, -1])
def test_a_cut_or_changed_file_is_damage(cut: int) -> None:
    data = encode_shadow(STATE)
    with pytest.raises(DamagedFile):
        decode_shadow(data[:cut], "f")
    changed = bytearray(data)
    changed[cut] ^= 1
    with pytest.raises(DamagedFile):
        decode_shadow(bytes(changed), "f")
