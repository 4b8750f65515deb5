"""Everything that is stored about one visitor, page by page: decisions, feedback, counters, the archive.

Reads beside the writer; a connection lives for one page. The archive is read in a process of its own. Looks
visitors up by the index of blocks, so a page costs a step for each block and day, whatever the ledger holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.evaluate.desks import ask_child, reading
from offer_optimizer.evaluate.story import Story, StoryFeedback, catalog_of, newest_revision, tell
from offer_optimizer.store.codec import RecordKind
from offer_optimizer.store.counter_tables import CounterTables, visitor_name
from offer_optimizer.store.erasing import keys_of
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.visitor_index import VisitorIndex

_ARCHIVE: Final = "a"
_LEDGER: Final = "l"


@dataclass(frozen=True, slots=True)
class CapEvents:
    """What a cap has counted for a visitor: times in microseconds since the epoch."""

    cap_id: str
    times_us: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VisitorPage:
    """A part of what is stored; `next_token` is empty on the last page.

    `archived` are decisions in the archive as `evaluate.archived_visitor` describes them.
    """

    stories: tuple[Story, ...] = ()
    feedback: tuple[StoryFeedback, ...] = ()
    caps: tuple[CapEvents, ...] = ()
    archived: tuple[Mapping[str, Any], ...] = ()
    next_token: str = ""


class LedgerVisitors:
    """Implements VisitorHistory. `digest` makes one of a visitor id, `clock` returns microseconds."""

    def __init__(
        self, path: Path, archive: Path, digest: Callable[[str], bytes], clock: Callable[[], int]
    ) -> None:
        self._path = path
        self._archive = archive
        self._digest = digest
        self._clock = clock

    def page(self, visitor_id: str, token: str, limit: int, timeout_s: float) -> VisitorPage:
        """See VisitorHistory."""
        part, after = _parse(token or f"{_ARCHIVE}0")
        if not self._path.exists():
            return VisitorPage()
        with reading(self._path) as ledger:
            keys = keys_of(ledger, self._digest(visitor_id))
            if not keys:
                return VisitorPage()
            if part == _LEDGER:
                return self._of_ledger(ledger, keys, after, limit)
        if not any(self._archive.glob("*/*.parquet")):
            return self.page(visitor_id, f"{_LEDGER}0", limit, timeout_s)
        question = {"archive": str(self._archive), "keys": sorted(keys), "after": after, "limit": limit}
        rows = tuple(ask_child("archived_visitor", question, timeout_s)["rows"])
        token = f"{_ARCHIVE}{rows[-1]['position']}" if len(rows) == limit else f"{_LEDGER}0"
        return VisitorPage(archived=rows, next_token=token)

    def decision_count(self, visitor_id: str) -> int:
        """See VisitorHistory."""
        if not self._path.exists():
            return 0
        with reading(self._path) as ledger:
            positions = VisitorIndex(ledger.connection).positions(keys_of(ledger, self._digest(visitor_id)))
            return sum(
                ledger.has(position) and ledger.record_at(position).kind is RecordKind.DECISION
                for position in positions
            )

    def _of_ledger(self, ledger: Ledger, keys: frozenset[int], after: int, limit: int) -> VisitorPage:
        tables = FoldTables(ledger.connection)
        positions = VisitorIndex(ledger.connection).positions(keys)
        wanted = [position for position in positions if position > after and ledger.has(position)]
        stories: list[Story] = []
        feedback: list[StoryFeedback] = []
        for position in wanted[:limit]:
            record = ledger.record_at(position)
            if record.kind is RecordKind.DECISION:
                decision = record.body()
                assert isinstance(decision, Decision)
                stories.append(tell(ledger, tables, decision.decision_id))
            elif tables.decision_of(position) is None and isinstance(body := record.body(), Feedback):
                feedback.append(StoryFeedback(body, tables.fate_of(position) or Fate.PARKED))
        if len(wanted) > limit:
            next_token = f"{_LEDGER}{wanted[limit - 1]}"
            return VisitorPage(tuple(stories), tuple(feedback), next_token=next_token)
        return VisitorPage(tuple(stories), tuple(feedback), caps=self._caps(ledger, keys))

    def _caps(self, ledger: Ledger, keys: frozenset[int]) -> tuple[CapEvents, ...]:
        newest = newest_revision(ledger)
        if not newest:
            return ()
        state, found = CounterTables(ledger.connection).state(), []
        for cap in catalog_of(ledger, newest).caps:
            names = {state.merged_into(visitor_name(key)) for key in keys}
            times = [time_us for name in names for time_us in state.event_times(cap.id, name, self._clock())]
            if times:
                found.append(CapEvents(cap.id, tuple(sorted(times))))
        return tuple(found)


def _parse(token: str) -> tuple[str, int]:
    part, number = token[:1], token[1:]
    if part not in (_ARCHIVE, _LEDGER) or not number.isdecimal() or len(number) > 19:
        raise InvalidInput("page_token", "is not one that a page was returned with")
    return part, int(number)
