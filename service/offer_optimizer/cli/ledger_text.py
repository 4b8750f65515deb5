"""Ledger records as text for people."""

from __future__ import annotations

from datetime import UTC, datetime

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.decision import Decision, ExclusionReason
from offer_optimizer.core.features import Features
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.store.codec import Epoch, Salt, StoredCatalog, Tick
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger, LedgerRecord


def describe_record(record: LedgerRecord, ledger: Ledger, tables: FoldTables) -> str:
    """Return one line about a record."""
    head = f"{record.position:>9}  {record.kind.name:<8}"
    match record.body():
        case Decision() as decision:
            return f"{head}  {_time(decision.decide_time_us)}  {_decision_line(decision, ledger)}"
        case Feedback() as feedback:
            fate = tables.fate_of(record.position)
            name = (
                format_decision_id(feedback.decision_id)
                if feedback.decision_id
                else f"visitor at {feedback.placement_id}"
            )
            verdict = fate.name if fate else "not folded yet"
            what = f"{feedback.kind} {feedback.value:g} for {name}: {verdict}"
            return f"{head}  {_time(feedback.receive_time_us)}  {what}"
        case Tick() as tick:
            return f"{head}  {_time(tick.time_us)}"
        case StoredCatalog() as stored:
            return f"{head}  {_time(stored.apply_time_us)}  revision {stored.revision}"
        case Epoch() as epoch:
            return f"{head}  {epoch.placement_id} {epoch.policy_epoch.hex()}"
        case Salt() as salt:
            return f"{head}  salt {salt.salt_id} for {salt.purpose}"


def describe_decision(position: int, ledger: Ledger, tables: FoldTables) -> str:
    """Return the story of one decision."""
    record = ledger.record_at(position)
    decision = record.body()
    if not isinstance(decision, Decision):
        raise TypeError(f"record {position} is not a decision")
    catalog = _catalog(ledger, decision.catalog_revision)
    lines = [
        f"decision   {format_decision_id(decision.decision_id)} (ledger position {position})",
        f"made       {_time(decision.decide_time_us)} at {decision.placement_id}",
        f"catalog    revision {decision.catalog_revision}",
        f"visitor    {'none' if record.visitor_key is None else 'known by a random key'}",
        f"reason     {decision.reason.name}{', deferred' if decision.deferred else ''}",
        f"model      {decision.model_version or 'none'}",
        f"mix        ramp {decision.ramp:g}, floor {decision.floor:g}, draw salt {decision.draw_salt_id}",
        f"context    {_features(decision.context)}",
        "candidates",
        *_funnel(decision, catalog),
    ]
    feedback = tables.feedback_of(position)
    lines.append("feedback" if feedback else "feedback   none")
    for feedback_position, fate in feedback:
        item = ledger.record_at(feedback_position).body()
        if isinstance(item, Feedback):
            delay_s = (item.receive_time_us - decision.decide_time_us) / 1e6
            lines.append(f"  {item.kind} {item.value:g} after {delay_s:.3f} s: {fate.name}")
    closed = tables.closed_at(position)
    if closed is None:
        lines.append("reward     window still open")
    else:
        lines.append(
            f"reward     {closed.reward:g} ({closed.status.name}), closed {_time(closed.close_time_us)}"
        )
    return "\n".join(lines)


def _funnel(decision: Decision, catalog: Catalog) -> list[str]:
    reasons = dict(zip(decision.excluded, decision.exclusion_reasons, strict=True))
    lines, eligible = [], 0
    slot = decision.slots[0] if decision.slots else None
    for position, index in enumerate(decision.candidates):
        offer_id = catalog.offers[index].id
        if position in reasons:
            lines.append(f"  {offer_id:<32} excluded: {ExclusionReason(reasons[position]).name}")
            continue
        probability = f"p = {float(slot.pmf[eligible]):.6f}" if slot else ""
        chosen = f"  <- chosen, propensity {slot.propensity:.6f}" if slot and slot.chosen == eligible else ""
        lines.append(f"  {offer_id:<32} {probability}{chosen}")
        eligible += 1
    return lines


def _decision_line(decision: Decision, ledger: Ledger) -> str:
    where = f"{format_decision_id(decision.decision_id)} at {decision.placement_id}"
    if not decision.slots:
        return f"{where}: {decision.reason.name}"
    slot = decision.slots[0]
    offer = _catalog(ledger, decision.catalog_revision).offers[decision.eligible()[slot.chosen]].id
    return f"{where}: {offer} with p = {slot.propensity:.4f} ({decision.reason.name})"


def _catalog(ledger: Ledger, revision: int) -> Catalog:
    for record in ledger.rare_records(ledger.last_position()):
        body = record.body()
        if isinstance(body, StoredCatalog) and body.revision == revision:
            return Catalog.model_validate_json(body.canonical)
    raise KeyError(revision)


def _features(features: Features) -> str:
    parts = [f"{name}={value}" for name, value in features.categories]
    parts += [f"{name}={number:g}" for name, number in features.numbers]
    parts += [f"{name}={{{', '.join(values)}}}" for name, values in features.tags]
    return ", ".join(parts) if parts else "none"


def _time(time_us: int) -> str:
    return (
        datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
