"""Snapshots: whole or refused, found by epoch, kept by the rule."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.errors import DamagedFile, StorageUnavailable
from offer_optimizer.store.files import Moment
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.snapshots import (
    Snapshot,
    SnapshotStore,
    decode_snapshot,
    encode_snapshot,
    keep_rule,
    order_of,
    written_us,
)

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
E1, E2 = bytes(range(16)), bytes(range(16, 32))
SNAPSHOT = Snapshot("home", E1, "vw", 12, 1_000, 7, 3, b"the model's own bytes")


def store(files: MemoryFiles | None = None) -> SnapshotStore:
    return SnapshotStore(files or MemoryFiles(directories=("/data",)), Path("/data"))


@given(
    st.builds(
        Snapshot,
        st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
        st.binary(min_size=16, max_size=16),
        st.sampled_from(["vw", "uniform"]),
        *[st.integers(0, 2**62)] * 4,
        st.binary(max_size=100),
    )
)
def test_a_snapshot_comes_back_as_it_was(snapshot: Snapshot) -> None:
    assert decode_snapshot(encode_snapshot(snapshot), "x") == snapshot


def test_every_truncation_and_every_flipped_bit_is_refused() -> None:
    data = encode_snapshot(SNAPSHOT)
    for length in range(len(data)):
        with pytest.raises(DamagedFile, match=r"^somewhere: "):
            decode_snapshot(data[:length], "somewhere")
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedFile):
            decode_snapshot(bytes(damaged), "somewhere")
    with pytest.raises(DamagedFile):
        decode_snapshot(data + b"\0", "somewhere")


def test_each_epoch_has_its_own_current_snapshot() -> None:
    snapshots = store()
    snapshots.publish(SNAPSHOT, 1)
    snapshots.publish(replace(SNAPSHOT, policy_epoch=E2, learned_count=9), 2)
    for epoch, count in ((E1, 3), (E2, 9)):
        name = snapshots.current_name("home", epoch)
        assert name is not None
        assert snapshots.load("home", name).learned_count == count
    assert snapshots.current_name("home", bytes(16)) is None
    assert snapshots.current_name("elsewhere", E1) is None
    assert (snapshots.placements(), snapshots.epochs("home")) == (["home"], [E1, E2])


def test_a_damaged_snapshot_is_passed_over_for_the_one_before() -> None:
    files = MemoryFiles(directories=("/data",))
    snapshots = store(files)
    snapshots.publish(SNAPSHOT, 1)
    newer = snapshots.publish(replace(SNAPSHOT, learned_count=4), 2)
    files.replace(newer, files.read(newer)[:-5], "test")
    assert [found.learned_count for _, found in snapshots.readable("home", E1)] == [3]


def test_at_one_ledger_position_the_current_one_is_the_newest_though_it_has_learned_less() -> None:
    """Trained anew behind a quarantine, a model takes over while the ledger stands still."""
    snapshots = store()
    snapshots.publish(replace(SNAPSHOT, learned_count=10), 1)
    snapshots.publish(replace(SNAPSHOT, learned_count=4), 2)
    assert [found.learned_count for _, found in snapshots.readable("home", E1)] == [4, 10]


@pytest.mark.parametrize(
    "step", ["snapshot.write.write", "snapshot.write.sync", "snapshot.write.rename", "snapshot.point.rename"]
)
def test_a_publication_that_fails_anywhere_leaves_the_one_before_current(step: str) -> None:
    failing: set[str] = set()

    def on_step(name: str, moment: Moment) -> None:
        if name in failing and moment == "before":
            raise OSError(errno.EIO, "made to fail")

    files = MemoryFiles(on_step, directories=("/data",))
    snapshots = store(files)
    before = snapshots.publish(SNAPSHOT, 1).name
    failing.add(step)
    with pytest.raises(StorageUnavailable):
        snapshots.publish(replace(SNAPSHOT, learned_count=4), 2)
    assert snapshots.current_name("home", E1) == before
    assert snapshots.load("home", before) == SNAPSHOT


def test_a_power_cut_right_after_publishing_loses_nothing() -> None:
    files = MemoryFiles(directories=("/data",))
    snapshots = store(files)
    snapshots.publish(SNAPSHOT, 1)
    name = snapshots.publish(replace(SNAPSHOT, learned_count=4), 2).name
    files.disk.power_cut()
    assert snapshots.current_name("home", E1) == name
    assert snapshots.load("home", name).learned_count == 4


def name_of(position: int, time_us: int) -> str:
    return f"{E1.hex()}-{position:016d}-{position:016d}-{time_us:016d}.snap"


def test_over_forty_days_the_last_two_an_hourly_day_and_a_daily_month_are_kept() -> None:
    """One snapshot every seven minutes, pruned after each."""
    kept: list[str] = []
    now_us, position = 400 * DAY_US, 0
    ends_of_days: dict[int, int] = {}
    while now_us < 440 * DAY_US:
        now_us += 7 * 60 * 1_000_000
        position += 1
        ends_of_days[now_us // DAY_US] = position
        kept = sorted(keep_rule([*kept, name_of(position, now_us)], now_us), key=order_of)
    positions = [order_of(name)[0] for name in kept]
    assert positions[-2:] == [position - 1, position]
    last_day = [name for name in kept if now_us - written_us(name) < DAY_US]
    assert 24 <= len(last_day) <= 26
    assert len({written_us(name) // HOUR_US for name in last_day}) >= 24
    older = [name for name in kept if name not in last_day]
    days = [written_us(name) // DAY_US for name in older]
    assert len(days) == len(set(days))
    assert 28 <= len(days) <= 30
    assert all(now_us - written_us(name) < 30 * DAY_US for name in kept)
    assert [order_of(name)[0] for name in older[:-1]] == [ends_of_days[day] for day in days[:-1]]


def test_pruning_never_takes_the_current_snapshot_and_forgets_epochs_left_for_a_month() -> None:
    files = MemoryFiles(directories=("/data",))
    snapshots = store(files)
    snapshots.publish(replace(SNAPSHOT, policy_epoch=E2), 100 * DAY_US)
    for day in range(40):
        snapshots.publish(replace(SNAPSHOT, learned_count=day), (100 + day) * DAY_US)
        snapshots.prune("home", E1, (100 + day) * DAY_US)
        assert (snapshots.current_name("home", E2) is not None) == (day < 30)
        assert snapshots.current_name("home", E1) in snapshots.names("home", E1)
    assert snapshots.names("home", E2) == []
    assert 30 <= len(snapshots.names("home", E1)) <= 31


def test_the_newest_is_the_furthest_and_not_the_latest_by_a_clock_that_went_back() -> None:
    snapshots = store()
    snapshots.publish(SNAPSHOT, 9 * DAY_US)
    snapshots.publish(replace(SNAPSHOT, ledger_position=13), 2 * DAY_US)
    snapshots.publish(replace(SNAPSHOT, ledger_position=13, learned_count=9), 1 * DAY_US)
    found = [
        (snapshot.ledger_position, snapshot.learned_count) for _, snapshot in snapshots.readable("home", E1)
    ]
    assert found == [(13, 9), (13, 3), (12, 3)]
    assert keep_rule(snapshots.names("home"), 3 * DAY_US) >= set(snapshots.names("home")[-2:])


def test_what_was_promoted_is_never_pruned() -> None:
    snapshots = store()
    promoted = snapshots.publish(SNAPSHOT, 100 * DAY_US, is_promoted=True).name
    for day in range(40):
        snapshots.publish(replace(SNAPSHOT, ledger_position=20 + day), (100 + day) * DAY_US)
        snapshots.prune("home", E1, (100 + day) * DAY_US)
    assert snapshots.promoted_names("home") == {promoted}
    assert snapshots.names("home", E1)[0] == promoted
    snapshots.prune("home", E2, 400 * DAY_US)
    assert snapshots.names("home", E1) == [promoted]
    assert snapshots.current_name("home", E1) is None
