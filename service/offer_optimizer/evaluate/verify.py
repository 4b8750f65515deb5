"""Verify a ledger: derive again, with code of our own, what each decision says of itself.

Written from docs/design.md, section 12. What always holds: the ledger is read once, in order, beside a
running service, up to where it ended at the beginning; nothing is written. It may not import the decision
path: import-linter checks that. Reading records and evaluating rules are the service's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.decision import Decision, Reason
from offer_optimizer.evaluate.verify_catalog import CatalogReader, Rules
from offer_optimizer.evaluate.verify_choices import ALPHA, Choice, Choices
from offer_optimizer.evaluate.verify_decision import Derived, Setting, judge_decision
from offer_optimizer.evaluate.verify_draw import is_distribution, running_sum
from offer_optimizer.evaluate.verify_findings import Check, Finding, Findings, Problem
from offer_optimizer.evaluate.verify_learned import Closes, check_learned
from offer_optimizer.evaluate.verify_limits import LimitsReader
from offer_optimizer.evaluate.verify_recount import Recount
from offer_optimizer.store.codec import Merge, RecordKind, Salt, StoredCatalog, Tick
from offer_optimizer.store.fold_tables import ClosedDecision, CloseStatus
from offer_optimizer.store.ledger import Ledger, LedgerRecord
from offer_optimizer.store.moved import Moved, what_was_moved

_STEP: Final = 1000
"""Records between two reports of progress."""
_HEARD: Final = (RecordKind.MERGE, RecordKind.TICK, RecordKind.ERASURE)

Progress = Callable[[int, int], None]
"""Told how many records of how many are done."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified, up to which ledger position, and what is wrong.

    `judged` says for each check how many decisions it judged: what was not judged was not found right.
    `imported_count` are decisions of another system: only what was learned of them is judged.
    `moved` says what retention took out: then nothing is counted again, and what is left of the days before
    is not tested as one of many. `alpha` is the probability of a false finding for each of the four
    statistical checks.
    """

    ledger_position: int
    decision_count: int
    judged: dict[Check, int]
    findings: tuple[Finding, ...]
    alpha: float = ALPHA
    imported_count: int = 0
    moved: Moved | None = None

    def is_clean(self) -> bool:
        """Return whether nothing was found."""
        return not self.findings


def verify(ledger: Ledger, *, progress: Progress | None = None) -> Verification:
    """Verify every decision of a ledger, as far as it went when this began."""
    last = ledger.last_position()
    run = _Run(ledger, last)
    for record in ledger.records(up_to=last):
        if progress is not None and record.position % _STEP == 0:
            progress(record.position, last)
        if record.kind is RecordKind.DECISION:
            run.judge(record)
        elif record.kind in _HEARD:
            run.hear(record)
    if progress is not None:
        progress(last, last)
    return run.finish()


class _Run:
    """One pass over a ledger."""

    def __init__(self, ledger: Ledger, last: int) -> None:
        self._last = last
        self._count = 0
        self._imported_count = 0
        self._findings = Findings()
        self._choices = Choices()
        self._recount = Recount()
        self._closes = Closes(ledger)
        self._moved = what_was_moved(ledger)
        catalogs: dict[int, CatalogReader] = {}
        salts: dict[int, Salt] = {}
        for record in ledger.rare_records(up_to=last):
            match record.body():
                case StoredCatalog() as stored:
                    catalogs[stored.revision] = CatalogReader(Catalog.model_validate_json(stored.canonical))
                case Salt() as salt:
                    salts[salt.salt_id] = salt
                case _:
                    pass  # epochs say how models were made, which no decision's record depends on
        limits = {number: LimitsReader(reader.catalog) for number, reader in catalogs.items()}
        self._setting = Setting(catalogs, limits, salts, Rules())

    def judge(self, record: LedgerRecord) -> None:
        """Judge one decision, alone and as one of many."""
        self._count += 1
        body = self._read(record)
        if body is None:
            return
        derived = self._derive(body, record.visitor_key)
        closed = self._closes.closed_at(record.position)
        if closed is not None:
            self._findings.judged[Check.LEARNED] += 1
            for problem in check_learned(body, closed, self._closes):
                self._findings.note(problem, (body.decision_id,))
        if derived is None:
            return
        if self._moved is None:
            self._recount_with(body, record.visitor_key, derived)
        elif record.position <= self._moved.position:
            return
        if body.reason is Reason.MODEL:
            self._add_choice(body, derived, closed)

    def hear(self, record: LedgerRecord) -> None:
        """Take account of what changes whose decisions are whose."""
        match record.body():
            case Merge() as merge:
                self._recount.merge(merge.from_key, merge.into_key)
            case Tick() as tick:
                for problem, decision_id in self._recount.tick(tick.time_us):
                    self._findings.note(problem, (decision_id,))
            case _:
                self._recount.erase()

    def _derive(self, decision: Decision, visitor_key: int | None) -> Derived | None:
        """Return what a decision derives from; None where it can't be read or another system made it."""
        if decision.imported:
            self._imported_count += 1
            return None
        return judge_decision(decision, visitor_key, self._setting, self._findings)

    def _read(self, record: LedgerRecord) -> Decision | None:
        try:
            body = record.body()
        except (DecodeError, ValueError) as error:
            self._findings.judged[Check.RECORD] += 1
            detail = f"ledger position {record.position}: {error}"
            self._findings.note(Problem(Check.RECORD, "the record can't be read", detail), ())
            return None
        return body if isinstance(body, Decision) else None

    def _recount_with(self, decision: Decision, visitor_key: int | None, derived: Derived) -> None:
        chosen = decision.slots[0].chosen if decision.slots else len(derived.eligible)
        offer = derived.eligible[chosen] if chosen < len(derived.eligible) else None
        catalog = self._setting.catalogs[decision.catalog_revision].catalog
        self._recount.add(decision, visitor_key, catalog, offer)

    def _add_choice(self, decision: Decision, derived: Derived, closed: ClosedDecision | None) -> None:
        # Inline offers come and go with requests: there is no traffic of theirs to sum over.
        if not decision.slots or decision.inline or decision.model_version is None:
            return
        slot = decision.slots[0]
        pmf = slot.pmf.tolist()
        if len(pmf) != len(derived.eligible) or not is_distribution(pmf) or slot.chosen >= len(pmf):
            return
        total = running_sum(pmf)[-1]
        is_shown = None
        if decision.deferred and closed is not None:
            is_shown = closed.status is not CloseStatus.NOT_ACTIVATED
        self._choices.add(
            Choice(
                decision.decision_id,
                decision.placement_id,
                decision.model_version.epoch,
                tuple(candidate.id for candidate in derived.eligible),
                tuple(value / total for value in pmf),
                slot.chosen,
                is_shown,
            )
        )

    def finish(self) -> Verification:
        """Test what only many decisions can tell, and return everything."""
        for problem, decision_ids, count in self._choices.problems():
            self._findings.note(problem, decision_ids, count)
        for problem, decision_ids, count in self._recount.finish():
            self._findings.note(problem, decision_ids, count)
        judged = self._findings.judged
        judged[Check.RECOUNT] = self._recount.judged_count
        for check in (Check.INVERSE_PROPENSITY, Check.CHOICES, Check.CALIBRATION):
            judged[check] = self._choices.count
        judged[Check.ACTIVATION] = self._choices.shown_count
        by_check = {check: judged[check] for check in Check}
        return Verification(
            self._last,
            self._count,
            by_check,
            self._findings.listed(),
            imported_count=self._imported_count,
            moved=self._moved,
        )
