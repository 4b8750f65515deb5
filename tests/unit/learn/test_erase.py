"""Erasure by a learner: what is recorded before it goes, whoever drains it when; what comes after is new."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from offer_optimizer.core.control import Audit, Erasure
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.core.features import Features
from offer_optimizer.core.feedback import Fate
from offer_optimizer.core.redaction import Redaction
from offer_optimizer.learn import erase
from offer_optimizer.learn.erase import RETRY_US, VisitorEraser
from offer_optimizer.learn.loop import Learner
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import EraseChange, RecordKind, Tick, encode_control
from offer_optimizer.store.erasing import keys_of
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import LedgerRecord
from offer_optimizer.store.writer_cells import oldest_unwritten, read_cells
from tests.unit.learn.service_in_memory import RUN, SEGMENTS, ServiceInMemory, Writer
from tests.unit.learn.worlds import catalog, decision_of, feedback_of, placement, stored

AUDIT = Audit("ann", "by mail", 1)
CANARY = Features(categories=(("who", "canary-visitor"),))


class NoArchivist:
    """There is no archive."""

    def start(self, redaction: Redaction) -> None:
        """See Archivist."""
        raise AssertionError(f"nothing to redact with {redaction}")

    def poll(self) -> int | None:
        """See Archivist."""
        return None

    def decisions(self) -> dict[bytes, int]:
        """See Archivist."""
        return {}


class CountingCache:
    """A hot cache that is emptied and filled at once."""

    emptied = 0

    def doubt(self) -> None:
        """See EmptiedCache."""
        self.emptied += 1

    def stage(self) -> str:
        """See EmptiedCache."""
        return "ready"


class Erasing(ServiceInMemory):
    """A service whose learner erases."""

    eraser: VisitorEraser | None = None

    def start(self) -> Learner:
        """Start a learner with an eraser; the one before is dead, and its locks are free."""
        if self.eraser is not None:
            self.eraser.close()
        learner = super().start()
        self.cache = CountingCache()
        self.eraser = learner.eraser = VisitorEraser(
            self.files,
            DataDirectory(Path("/data")),
            self.ledger,
            lambda: self.clock_us,
            lambda: oldest_unwritten(read_cells(self.files, RUN)),
            NoArchivist(),
            self.cache,
        )
        self.eraser.begin(learner.fold)
        return learner

    def ask(self, writer: Writer, visitor: str) -> None:
        """Ask for an erasure, as the API does."""
        change = EraseChange(visitor.encode(), replace(AUDIT, time_us=self.clock_us))
        writer.control.append_durable(encode_control(change))

    def rounds(self, count: int) -> None:
        """Let some rounds go by within a moment."""
        for _ in range(count):
            self.clock_us += 1000
            self.learner.step()

    def decisions(self) -> list[tuple[int | None, Decision]]:
        """Return all decisions with their visitors' keys."""
        found = [record for record in self.ledger.records() if record.kind is RecordKind.DECISION]
        bodies = [(record.visitor_key, record.body()) for record in found]
        return [(key, body) for key, body in bodies if isinstance(body, Decision)]

    def erasures(self) -> list[Erasure]:
        """Return what the ledger says of erasures."""
        bodies = [record.body() for record in self.ledger.rare_records(self.ledger.last_position())]
        return [body for body in bodies if isinstance(body, Erasure)]


@pytest.fixture
def service() -> Erasing:
    return Erasing()


@pytest.fixture
def writers(service: Erasing) -> Iterator[tuple[Writer, Writer]]:
    """Return two deciders; the first has put a catalog in force."""
    found = service.writer(1), service.writer(2)
    content = catalog(placement())
    service.apply(found[0], stored(1, content))
    service.epoch = epoch_of(content.placements[0]).id  # type: ignore[attr-defined]
    yield found
    for writer in found:
        writer.die()


def decide(service: Erasing, writer: Writer, number: int, visitor: str = "v") -> None:
    """Record a decision of now."""
    decision = decision_of(number, service.clock_us, epoch=service.epoch)  # type: ignore[attr-defined]
    writer.decide(replace(decision, context=CANARY), visitor)


def decide_and_ask(service: Erasing, decider: Writer, asked: Writer) -> None:
    """One decider records a second decision; then another is asked to erase the visitor."""
    decide(service, decider, 2)
    service.ask(asked, "v")


def at_the_next_look_at_control(service: Erasing, do: Callable[[], None]) -> None:
    """Do something once, in the instant in which the learner begins to look for what was asked."""
    drainer = service.learner.drainer
    look = drainer._look

    def meanwhile(kind: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
        if kind == "control":
            do()
            drainer._look = look  # type: ignore[method-assign]
        return look(kind)

    drainer._look = meanwhile  # type: ignore[method-assign]


def test_what_was_recorded_before_it_goes_even_if_it_is_drained_behind_it(
    service: Erasing, writers: tuple[Writer, Writer]
) -> None:
    """Control is drained first, and the other decider's journal may be looked at before it was written."""
    one, other = writers
    decide(service, one, 1)
    service.rounds(2)
    at_the_next_look_at_control(service, lambda: decide_and_ask(service, other, one))
    service.rounds(6)
    assert [decision.erased for _, decision in service.decisions()] == [True, True]
    assert [erasure.decision_count for erasure in service.erasures()] == [2]


def test_a_record_under_way_is_waited_for(service: Erasing, writers: tuple[Writer, Writer]) -> None:
    one, other = writers
    decide(service, one, 1)
    with other.journal.stamp():
        service.ask(one, "v")
        service.rounds(6)
        assert service.erasures() == []
        decide(service, other, 2)
    service.rounds(6)
    assert [erasure.decision_count for erasure in service.erasures()] == [2]


def test_who_asks_again_meanwhile_has_gone_what_was_recorded_by_then(
    service: Erasing, writers: tuple[Writer, Writer]
) -> None:
    """The second wish comes in the round that would have erased, and behind a look at the journals."""
    one, other = writers
    decide(service, one, 1)
    service.rounds(2)
    service.ask(one, "v")
    service.rounds(1)
    at_the_next_look_at_control(service, lambda: decide_and_ask(service, other, one))
    service.rounds(8)
    assert [decision.erased for _, decision in service.decisions()] == [True, True]


def test_a_later_visit_is_of_somebody_new_and_late_feedback_brings_nobody_back(
    service: Erasing, writers: tuple[Writer, Writer]
) -> None:
    one, _ = writers
    decide(service, one, 1)
    service.rounds(3)
    old = service.decisions()[0][0]
    service.ask(one, "v")
    service.rounds(6)
    one.hear(feedback_of("by-decision", service.clock_us, decision=1))
    one.hear(feedback_of("by-visitor", service.clock_us), "v")
    service.rounds(2)
    decide(service, one, 2)
    service.rounds(3)
    (gone, erased), (new, decision) = service.decisions()
    assert len({old, gone, new}) == 3
    assert (erased.erased, decision.erased, decision.context) == (True, False, CANARY)
    tables = FoldTables(service.connection)
    fates = [
        tables.fate_of(record.position)
        for record in service.ledger.records()
        if record.kind is RecordKind.FEEDBACK
    ]
    assert fates == [Fate.APPLIED, Fate.UNATTRIBUTED]
    assert keys_of(service.ledger, b"v") == {new}


def test_an_open_decision_closes_and_is_not_learned(service: Erasing, writers: tuple[Writer, Writer]) -> None:
    one, _ = writers
    for number in range(4):
        decide(service, one, number, visitor="v" if number % 2 else "other")
    service.rounds(2)
    service.ask(one, "v")
    service.rounds(6)
    service.run_for(30)
    erased_at = service.ledger.find_decision(bytes(15) + b"\1")
    assert FoldTables(service.connection).closed_at(erased_at or 0) is not None
    (pair,) = service.learner._models.pairs.values()
    assert pair.serving.learned_count == 2


def test_segments_hold_nothing_of_anybody_that_was_drained_and_the_cache_is_emptied(
    service: Erasing, writers: tuple[Writer, Writer]
) -> None:
    one, _ = writers
    decide(service, one, 1, visitor="visitor-digest")
    service.rounds(2)
    files = [SEGMENTS / name for name in service.files.list(SEGMENTS)]
    assert any(b"visitor-digest" in service.files.read(path) for path in files)
    service.ask(one, "visitor-digest")
    service.rounds(8)
    for path in files:
        content = service.files.read(path)
        assert b"visitor-digest" not in content
        assert b"canary" not in content
    assert service.cache.emptied >= 1
    decide(service, one, 2, visitor="visitor-digest")
    service.rounds(2)
    assert len(service.decisions()) == 2


def test_several_are_erased_together_and_twice_is_once_more_nothing(
    service: Erasing, writers: tuple[Writer, Writer]
) -> None:
    one, _ = writers
    for number, visitor in enumerate("abca"):
        decide(service, one, number, visitor)
    for visitor in "aab":
        service.ask(one, visitor)
    restart, lives = service.learner.restart, list[int]()

    def counted() -> None:
        lives.append(1)
        restart()

    service.learner.restart = counted  # type: ignore[method-assign]
    service.rounds(12)
    assert sorted(erasure.decision_count for erasure in service.erasures()) == [1, 2]
    assert len(lives) == 1, "each would write all models and start the learner anew"
    service.ask(one, "a")
    service.rounds(8)
    assert [erasure.decision_count for erasure in service.erasures()][-1] == 0
    assert [decision.erased for _, decision in service.decisions()] == [True, True, False, True]


def test_a_learner_that_was_killed_in_between_is_followed_by_one_that_erases(
    service: Erasing, writers: tuple[Writer, Writer]
) -> None:
    """Before it was drained, when it was noted, and behind its transaction, before anything was cleaned."""
    one, _ = writers
    decide(service, one, 1)
    service.rounds(2)
    service.ask(one, "v")
    for rounds in (0, 1, 2):
        service.start()
        service.rounds(rounds)
    service.start()
    service.rounds(6)
    assert [erasure.decision_count for erasure in service.erasures()] == [1]
    files = [SEGMENTS / name for name in service.files.list(SEGMENTS)]
    assert not any(b"canary" in service.files.read(path) for path in files)


def with_one_erased_and_two_known(service: Erasing, writer: Writer) -> None:
    """Erase one, so that a base is in force; leave two who can be erased."""
    for number, visitor in enumerate("abc"):
        decide(service, writer, number, visitor)
    service.rounds(3)
    service.ask(writer, "a")
    service.rounds(6)
    assert [erasure.decision_count for erasure in service.erasures()] == [1]


def lost(*_: object) -> NoReturn:
    raise DamagedFile("bases/0", "is missing")


def test_where_the_base_in_force_is_lost_the_fold_is_where_the_ledger_is_and_learning_goes_on(
    service: Erasing, writers: tuple[Writer, Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = writers
    with_one_erased_and_two_known(service, one)
    with monkeypatch.context() as damaged:
        damaged.setattr(erase, "base_in_force", lost)
        for visitor in "bc":
            service.ask(one, visitor)
        for _ in range(8):
            service.rounds(1)
            assert service.learner.fold.position == service.ledger.last_position()
        decide(service, one, 9, "z")
        service.rounds(2)
        assert len(service.decisions()) == 4
        assert len(service.erasures()) == 1
    service.clock_us += RETRY_US
    service.rounds(8)
    assert [erasure.decision_count for erasure in service.erasures()] == [1, 1, 1]


def test_damage_behind_the_first_record_has_the_fold_read_again(
    service: Erasing, writers: tuple[Writer, Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = writers
    with_one_erased_and_two_known(service, one)
    for visitor in "bc":
        service.ask(one, visitor)
    append, erased = service.ledger.append_body, list[Erasure]()

    def damaged_at_the_second(body: Tick | Erasure) -> LedgerRecord:
        if isinstance(body, Erasure):
            erased.append(body)
            if len(erased) == 2:
                lost()
        return append(body)

    monkeypatch.setattr(service.ledger, "append_body", damaged_at_the_second)
    service.rounds(6)
    assert len(erased) == 2
    assert service.learner.fold.position == service.ledger.last_position()


def test_what_is_read_whole_is_read_as_often_for_many_as_for_one(
    service: Erasing, writers: tuple[Writer, Writer]
) -> None:
    """All merges, and all decisions that are remembered."""
    one, _ = writers
    visitors = [f"v{number}" for number in range(12)]
    for number, visitor in enumerate(visitors):
        decide(service, one, number, visitor)
    service.rounds(3)
    reads, said = list[int](), list[str]()
    merges = f"kind = {int(RecordKind.MERGE)} AND kind > 3"
    service.connection.set_trace_callback(said.append)
    for asked in (visitors[:1], visitors[1:]):
        for visitor in asked:
            service.ask(one, visitor)
        said.clear()
        service.rounds(8)
        reads.append(sum(merges in each or "FROM counter WHERE name >=" in each for each in said))
    assert len(service.erasures()) == 12
    assert reads[0] == reads[1] > 0
