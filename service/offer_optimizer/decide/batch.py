"""Decisions alone or in a batch, whose items are each made as they would be alone and written together.

Always holds: what was decided is written when the batch ends, however it ends, and what could not be written
is counted no more; no outcome may be answered before `end` was asked about it.
Items of one visitor see each other's counts, which are counted as each item is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import StorageUnavailable
from offer_optimizer.decide.requests import DecideInput, Outcome
from offer_optimizer.decide.runtime import DecisionJournal, Runtime


class BatchJournal(DecisionJournal, Protocol):
    """A journal that takes many decisions with one write."""

    def append_all(self, entries: Sequence[tuple[Decision, bytes]]) -> int:
        """Write (decision, visitor digest) pairs in order; return how many, from the first, are written."""
        ...


class _Collected:
    """Stands in for the journal while a batch is decided: keeps what will be written."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.began_us: int | None = None
        self.entries: dict[bytes, tuple[Decision, bytes]] = {}
        self.made: set[bytes] = set()

    def stamp(self) -> _Collected:
        """See DecisionJournal: the stamp of the whole batch covers those of its items."""
        return self

    def __enter__(self) -> int:
        if self.began_us is None:
            raise StorageUnavailable("the batch has no stamp")
        return max(self.began_us, self._clock())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Do nothing: the batch ends its stamp."""

    def append(self, decision: Decision, visitor_digest: bytes) -> None:
        """See DecisionJournal."""
        self.entries[decision.decision_id] = (decision, visitor_digest)
        self.made.add(decision.decision_id)

    def append_again(self, decision: Decision, visitor_digest: bytes) -> None:
        """See DecisionJournal. One that was made in the batch is there already."""
        self.entries.setdefault(decision.decision_id, (decision, visitor_digest))


class Batch:
    """Decisions under way. Make it with `begin`, and `end` it in a `finally`."""

    def __init__(self, runtime: Runtime, journal: BatchJournal) -> None:
        """Use `begin`."""
        self._journal = journal
        self._collected = _Collected(runtime.clock)
        self._runtime = replace(runtime, journal=self._collected)
        self._stamp: AbstractContextManager[int] | None = None
        self._asked: list[tuple[DecideInput, Outcome]] = []

    @classmethod
    def begin(cls, runtime: Runtime, journal: BatchJournal) -> Batch:
        """Show that records are under way; where that can't be shown, every item is answered unrecorded."""
        found = cls(runtime, journal)
        try:
            stamp = journal.stamp()
            found._collected.began_us = stamp.__enter__()
        except StorageUnavailable:
            return found
        found._stamp = stamp
        return found

    def decide(self, request: DecideInput) -> Outcome:
        """Choose and count. Raises UnknownPlacement, InvalidInput."""
        outcome = self._runtime.decide(request)
        self._asked.append((request, outcome))
        return outcome

    def end(self) -> Mapping[bytes, Outcome]:
        """Write what was decided; return by decision id what to answer where that failed."""
        if self._stamp is None:
            return {}
        entries = list(self._collected.entries.values())
        try:
            written_count = self._journal.append_all(entries) if entries else 0
        finally:
            self._stamp.__exit__(None, None, None)
        lost = {decision.decision_id for decision, _ in entries[written_count:]}
        # Others may have written what was only repeated here.
        undone = [entry for entry in entries[written_count:] if entry[0].decision_id in self._collected.made]
        if undone:
            self._runtime.undo(undone)
        return {
            outcome.decision_id: self._runtime.unrecorded(request)
            for request, outcome in self._asked
            if outcome.decision_id is not None and outcome.decision_id in lost
        }


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decides alone and in batches. Implements ports.DecisionMaker."""

    runtime: Runtime
    journal: BatchJournal

    def decide(self, request: DecideInput) -> Outcome:
        """See DecisionMaker."""
        return self.runtime.decide(request)

    def begin_batch(self) -> Batch:
        """See DecisionMaker."""
        return Batch.begin(self.runtime, self.journal)
