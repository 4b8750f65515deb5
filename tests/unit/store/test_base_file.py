"""Base snapshots: what goes in comes out, equal content gives equal bytes, and every byte counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.store.base_file import BaseFile, BaseHeader, BaseStore, Table
from offer_optimizer.store.memory_files import MemoryFiles

FOLDER = Path("/data/bases")
HEADER = BaseHeader(7, 8, 5, 4, 3)
values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.binary(max_size=5),
)


def written(kept: list[int], tables: list[Table]) -> tuple[MemoryFiles, BaseFile, bytes]:
    files = MemoryFiles()
    checksum = BaseStore(files, FOLDER).write(HEADER, kept, tables)
    return files, BaseStore(files, FOLDER).open(HEADER.ledger_position), checksum


@given(
    st.sets(st.integers(1, 2**62), max_size=20),
    st.lists(st.lists(st.tuples(values, values), max_size=4), max_size=3),
)
def test_a_base_comes_back_as_it_was(kept: set[int], contents: list[list[tuple[object, object]]]) -> None:
    tables = [Table(f"t{number}", ("a", "b"), rows) for number, rows in enumerate(contents)]
    _, base, checksum = written(sorted(kept), tables)
    assert base.header == HEADER
    assert base.sha256() == checksum
    assert list(base.kept()) == sorted(kept)
    found = [(name, columns, [repr(row) for row in rows]) for name, columns, rows in base.tables()]
    assert found == [(table.name, table.columns, [repr(row) for row in table.rows]) for table in tables]
    assert [name for name, _, _ in base.tables()] == [table.name for table in tables], "rows may be left"
    assert written(sorted(kept), tables)[2] == checksum


def test_frames_and_lists_of_any_number_are_put_together_again() -> None:
    rows = [(number, "x" * 1000) for number in range(1500)]
    _, base, _ = written(list(range(1, 5001, 2)), [Table("big", ("n", "text"), rows)])
    assert list(base.kept()) == list(range(1, 5001, 2))
    assert [list(found) for _, _, found in base.tables()] == [rows]


@pytest.mark.parametrize("at", [0, 5, 12, -40, -1])
def test_a_changed_byte_is_found(at: int) -> None:
    files, base, _ = written([1, 2], [Table("t", ("a",), [(1,), (b"x",)])])
    data = bytearray(files.read(base.path))
    data[at] ^= 1
    files.replace(base.path, bytes(data), "x")
    with pytest.raises(DamagedFile):
        BaseFile(files, base.path).sha256()


@pytest.mark.parametrize("size", [0, 4, 11, 60])
def test_a_file_that_was_cut_is_found(size: int) -> None:
    files, base, _ = written([1, 2], [Table("t", ("a",), [(1,)])])
    files.replace(base.path, files.read(base.path)[:size], "x")
    with pytest.raises(DamagedFile):
        BaseFile(files, base.path).sha256()


def test_the_store_knows_its_bases_by_position() -> None:
    files = MemoryFiles()
    store = BaseStore(files, FOLDER)
    assert store.positions() == []
    for position in (900, 7, 80):
        store.write(BaseHeader(position, 0, 0, 0, 0), [], [])
    assert store.positions() == [7, 80, 900]
    store.remove(80)
    assert store.positions() == [7, 900]
