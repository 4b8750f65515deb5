"""Visitors erased in one transaction share one base: the one that each by itself would leave behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from offer_optimizer.core.control import Erasure
from offer_optimizer.core.redaction import Redaction
from offer_optimizer.learn.base_snapshot import base_in_force
from offer_optimizer.learn.erase_base import Gone, write_without
from offer_optimizer.store.base_file import BaseFile, BaseStore
from offer_optimizer.store.erasing import keys_of
from offer_optimizer.store.outcomes import merged_keys
from offer_optimizer.store.sqlite import transaction
from offer_optimizer.store.visitor_index import VisitorIndex
from tests.integration.erasing_days import AUDIT, ErasingDays, digest_of, left_of


@pytest.fixture
def days(tmp_path: Path) -> Iterator[ErasingDays]:
    found = ErasingDays(tmp_path / "days")
    yield found
    found.close()


def test_several_share_one_base_and_a_rebuild_derives_what_isleft_of(days: ErasingDays) -> None:
    days.live(2)
    visitors = ("v3", "v4", "nobody", "v5")
    keys = {visitor: keys_of(days.world.ledger, digest_of(visitor)) for visitor in visitors}
    shas = days.shas()
    for visitor in visitors:
        days.ask(visitor)
    days.erase()
    bodies = [record.body() for record in days.world.ledger.rare_records(days.world.fold.position)]
    erasures = [body for body in bodies if isinstance(body, Erasure)]
    assert [bool(erasure.base_sha256) for erasure in erasures] == [False, False, False, True]
    assert erasures[0].decision_count == 0 < min(erasure.decision_count for erasure in erasures[1:])
    assert [left_of(days, keys[visitor], visitor) for visitor in visitors] == [[]] * 4
    assert days.rebuilt() == []
    days.live(1)
    assert days.rebuilt() == []
    assert days.shas_from_base() == days.shas() != shas


def test_a_base_without_two_is_the_one_without_the_first_and_then_the_second(days: ErasingDays) -> None:
    days.live(3)
    days.prepare()
    days.retire()
    ledger, bases = days.world.ledger, BaseStore(days.files, days.directory.bases)
    gone = []
    for number, visitor in enumerate(("v3", "v4")):
        keys = keys_of(ledger, digest_of(visitor))
        positions = frozenset(VisitorIndex(ledger.connection).positions(keys))
        gone.append(Gone(Redaction(bytes([number]) * 32, keys), positions, AUDIT))
    base = base_in_force(ledger, bases)

    def written(base: BaseFile | None, number: int, gone: list[Gone]) -> BaseFile:
        position, checksum = write_without(bases, base, number, gone, [], lambda _path: 0)
        found = bases.open(position, number)
        assert found.sha256() == checksum
        return found

    together = written(base, 1, gone)
    first = written(base, 2, gone[:1])
    assert together.sha256() == written(first, 3, gone[1:]).sha256() != first.sha256()
    assert len({made.sha256() for made in (together, first, written(base, 4, []))}) == 3


def test_persons_of_several_keys_who_go_together_are_gone_from_all_that_is_shared(days: ErasingDays) -> None:
    """Merges and counters are redacted once for all of them."""
    days.live(1)
    ledger = days.world.ledger
    with transaction(days.world.connection):
        for visitor, into in (("v5", "v3"), ("v6", "v5"), ("v2", "v4"), ("v1", "v0")):
            merge = ledger.merge_visitors(digest_of(visitor), digest_of(into))
            assert merge is not None
            days.world.take(ledger.append_body(merge))
        days.world.fold.save_state()
    days.live(1)
    persons = [keys_of(ledger, digest_of(visitor)) for visitor in ("v3", "v4", "v0")]
    assert [len(keys) for keys in persons] == [3, 2, 2]
    for visitor in ("v6", "v4", "v3", "v5"):
        days.ask(visitor)
    days.erase()
    assert [left_of(days, keys, visitor) for keys, visitor in zip(persons, ("v3", "v4"), strict=False)] == [
        []
    ] * 2
    merged = merged_keys(days.world.ledger)
    assert sorted(Counter(merged.values()).values()) == [1, 1, 2]
    assert not (persons[0] | persons[1]) & {*merged, *merged.values()}
    assert keys_of(days.world.ledger, digest_of("v0")) == persons[2]
    assert days.rebuilt() == []
