"""Ledger records as text for people."""

from __future__ import annotations

from offer_optimizer.core.control import (
    ClockAccepted,
    Erasure,
    Learning,
    Quarantine,
    Retention,
    Rollback,
    ShadowPolicy,
    Steering,
    Thinning,
)
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.evaluate.story import catalog_of, offer_at
from offer_optimizer.evaluate.story_text import describe_time
from offer_optimizer.store.codec import Epoch, Merge, Salt, StoredCatalog, Tick
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger, LedgerRecord


def describe_record(record: LedgerRecord, ledger: Ledger, tables: FoldTables) -> str:
    """Return one line about a record."""
    head = f"{record.position:>9}  {record.kind.name:<8}"
    match record.body():
        case Decision() as decision:
            return f"{head}  {describe_time(decision.decide_time_us)}  {_decision_line(decision, ledger)}"
        case Feedback() as feedback:
            fate = tables.fate_of(record.position)
            name = (
                format_decision_id(feedback.decision_id)
                if feedback.decision_id
                else f"visitor at {feedback.placement_id}"
            )
            verdict = fate.name if fate else "not folded yet"
            what = f"{feedback.kind} {feedback.value:g} for {name}: {verdict}"
            return f"{head}  {describe_time(feedback.receive_time_us)}  {what}"
        case rare:
            return f"{head}  {_rare_line(rare)}"


def _rare_line(body: Tick | StoredCatalog | Epoch | Salt | Merge | Steering) -> str:
    match body:
        case Tick() as tick:
            return describe_time(tick.time_us)
        case StoredCatalog() as stored:
            return f"{describe_time(stored.apply_time_us)}  revision {stored.revision}"
        case Epoch() as epoch:
            return f"{epoch.placement_id} {epoch.policy_epoch.hex()}"
        case Salt() as salt:
            return f"salt {salt.salt_id} for {salt.purpose}"
        case Merge():
            return "one visitor stands for another"
        case _:
            return _steering_line(body)


def _steering_line(body: Steering) -> str:
    where = getattr(body, "placement_id", "") or "all placements"
    match body:
        case Thinning():
            return f"{where}: silence is learned with probability {body.probability:g}"
        case Retention():
            return f"records up to {body.position} were moved out"
        case ShadowPolicy():
            epochs = f"{body.policy_epoch.hex()} beside {body.incumbent_epoch.hex()}"
            return f"{where}: shadow {body.name}, {epochs}, on {body.share:g} of what closes"
        case Learning():
            what = "learning is frozen" if body.frozen else "learning goes on"
        case Rollback():
            what = f"back to {body.policy_epoch.hex()}:{body.model_position}"
        case Quarantine():
            what = f"quarantined {describe_time(body.start_us)} to {describe_time(body.end_us)}"
        case ClockAccepted():
            where, what = "all placements", "the jump of the clock is accepted"
        case Erasure():
            where, what = "all placements", f"a visitor was erased ({body.decision_count} decisions)"
        case _:
            what = f"epoch {body.policy_epoch.hex()} starts from history"
    by = f" by {body.audit.actor}" if body.audit.actor else ""
    why = f": {body.audit.reason}" if body.audit.reason else ""
    return f"{describe_time(body.audit.time_us)}  {where}: {what}{by}{why}"


def _decision_line(decision: Decision, ledger: Ledger) -> str:
    where = f"{format_decision_id(decision.decision_id)} at {decision.placement_id}"
    if not decision.slots:
        return f"{where}: {decision.reason.name}"
    slot = decision.slots[0]
    catalog = catalog_of(ledger, decision.catalog_revision)
    offer_id, _ = offer_at(decision, catalog, decision.eligible()[slot.chosen])
    return f"{where}: {offer_id} with p = {slot.propensity:.4f} ({decision.reason.name})"
