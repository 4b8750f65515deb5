"""Logged decisions to rows of the Parquet log, and back: equal in every field and to the last bit.

Offers, caps and budgets are written by name, for people, beside the indices that the ledger keeps. Reading
back needs the indices alone. It may not know files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.decision import (
    Consent,
    Decision,
    ExclusionReason,
    InlineCandidate,
    ModelVersion,
    Reason,
    SlotChoice,
)
from offer_optimizer.core.features import Features
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.core.outcome import FatedFeedback, LoggedDecision, Outcome
from offer_optimizer.formats.parquet_schema import ADDED, COUNTED, SCHEMA

Row = dict[str, Any]


def offer_ids(decision: Decision, catalog: Catalog) -> list[str]:
    """Return the ids of the candidates; indices past the catalog's offers are inline ones."""
    offers, inline = catalog.offers, decision.inline
    own = len(offers)
    return [
        offers[index].id if index < own else inline[index - own].offer_id for index in decision.candidates
    ]


def to_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table of the schema."""
    columns = []
    for field in SCHEMA:
        values = [row[field.name] for row in rows]
        if isinstance(field.type, pa.UuidType):
            columns.append(pa.ExtensionArray.from_storage(field.type, pa.array(values, pa.binary(16))))
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def to_row(logged: LoggedDecision, catalog: Catalog) -> Row:
    """Return a logged decision as a row; `catalog` is its revision's."""
    decision, outcome = logged.decision, logged.outcome
    ids = offer_ids(decision, catalog)
    dropped = set(decision.excluded)
    eligible = [offer_id for position, offer_id in enumerate(ids) if position not in dropped]
    return {
        **_identity(logged),
        **_drawn(decision, eligible),
        **_funnel(decision, ids, catalog),
        "close_status": outcome.status,
        "close_time": outcome.close_time_us,
        "reward_learned": outcome.reward_learned,
        "reward_final": outcome.reward_final,
        "clipped": outcome.is_clipped,
        "weight": outcome.weight,
        "feedback": [_feedback_row(fated) for fated in outcome.feedback],
    }


def _identity(logged: LoggedDecision) -> Row:
    decision = logged.decision
    return {
        "position": logged.position,
        "decision_id": decision.decision_id,
        "decide_time": decision.decide_time_us,
        "placement": decision.placement_id,
        "visitor": logged.visitor_key,
        "catalog_revision": decision.catalog_revision,
        "reason": decision.reason.name,
        "consent": decision.consent.name,
        "imported": decision.imported,
        "erased": decision.erased,
        "context_categories": decision.context.categories,
        "context_numbers": decision.context.numbers,
        "context_tags": decision.context.tags,
    }


def _drawn(decision: Decision, eligible: list[str]) -> Row:
    slot = decision.slots[0] if decision.slots else None
    version = decision.model_version
    return {
        "eligible": eligible,
        "pmf": slot.pmf if slot else None,
        "chosen": eligible[slot.chosen] if slot else None,
        "chosen_position": slot.chosen if slot else None,
        "propensity": slot.propensity if slot else None,
        "model_pmf": decision.model_pmf,
        "ramp": decision.ramp,
        "floor": decision.floor,
        "baseline": None if decision.baseline is None else eligible[decision.baseline],
        "baseline_position": decision.baseline,
        "deferred": decision.deferred,
        "holdout": decision.holdout,
        "holdout_u": decision.holdout_u,
        "draw_salt_id": decision.draw_salt_id,
        "policy_epoch": version.epoch.hex() if version else None,
        "model_position": version.position if version else None,
        "more_slots": [
            {"pmf": more.pmf, "chosen_position": more.chosen, "propensity": more.propensity}
            for more in decision.slots[1:]
        ]
        or None,
    }


def _funnel(decision: Decision, ids: list[str], catalog: Catalog) -> Row:
    return {
        "candidates": decision.candidates,
        "excluded": [
            {"position": position, "offer": ids[position], "reason": ExclusionReason(reason).name}
            for position, reason in zip(decision.excluded, decision.exclusion_reasons, strict=True)
        ],
        "excluded_by_caller": decision.excluded_by_caller,
        "cap_counts": [
            {"index": index, "cap": catalog.caps[index].id, "count": count}
            for index, count in decision.cap_counts
        ],
        "budget_spent": [
            {"index": index, "budget": catalog.budgets[index].id, "spent": spent}
            for index, spent in decision.budget_spent
        ],
        "inline": [
            {
                "offer": inline.offer_id,
                "categories": inline.attributes.categories,
                "numbers": inline.attributes.numbers,
                "tags": inline.attributes.tags,
            }
            for inline in decision.inline
        ],
        "request_digest": decision.request_digest or None,
        "body_digest": decision.body_digest or None,
    }


def _feedback_row(fated: FatedFeedback) -> Row:
    item = fated.item
    return {
        "feedback_id": item.feedback_id,
        "kind": item.kind,
        "value": item.value,
        "receive_time": item.receive_time_us,
        "occur_time": item.occur_time_us,
        "slot": item.slot,
        "source": item.source,
        "retracts_feedback_id": item.retracts_feedback_id,
        "by_visitor": not item.decision_id,
        "fate": fated.fate.name,
    }


def from_table(table: pa.Table) -> list[LoggedDecision]:
    """Return the rows of a table that has the columns of the schema; columns unknown to it are ignored."""
    columns = {}
    for field in COUNTED:
        if field.name not in table.column_names and field.name in ADDED:
            columns[field.name] = [None] * table.num_rows
            continue
        column = table.column(field.name).combine_chunks()
        if isinstance(field.type, pa.UuidType):
            column = column.storage
        elif column.type != field.type:
            column = column.cast(field.type)
        columns[field.name] = column.to_pylist()
    names = list(columns)
    return [_from_row(dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _from_row(row: Row) -> LoggedDecision:
    decision = Decision(
        decision_id=row["decision_id"],
        decide_time_us=row["decide_time"],
        catalog_revision=row["catalog_revision"],
        placement_id=row["placement"],
        candidates=tuple(row["candidates"]),
        excluded=tuple(entry["position"] for entry in row["excluded"]),
        exclusion_reasons=tuple(int(ExclusionReason[entry["reason"]]) for entry in row["excluded"]),
        slots=_slots(row),
        context=_features(row["context_categories"], row["context_numbers"], row["context_tags"]),
        model_version=None
        if row["policy_epoch"] is None
        else ModelVersion(bytes.fromhex(row["policy_epoch"]), row["model_position"]),
        reason=Reason[row["reason"]],
        deferred=row["deferred"],
        holdout=row["holdout"],
        ramp=row["ramp"],
        floor=row["floor"],
        baseline=row["baseline_position"],
        draw_salt_id=row["draw_salt_id"],
        consent=Consent[row["consent"]],
        model_pmf=None if row["model_pmf"] is None else np.array(row["model_pmf"], dtype=np.float32),
        holdout_u=row["holdout_u"],
        cap_counts=tuple((entry["index"], entry["count"]) for entry in row["cap_counts"]),
        budget_spent=tuple((entry["index"], entry["spent"]) for entry in row["budget_spent"]),
        inline=tuple(
            InlineCandidate(entry["offer"], _features(entry["categories"], entry["numbers"], entry["tags"]))
            for entry in row["inline"]
        ),
        excluded_by_caller=tuple(row["excluded_by_caller"]),
        request_digest=row["request_digest"] or b"",
        body_digest=row["body_digest"] or b"",
        imported=row["imported"],
        erased=bool(row["erased"]),
    )
    outcome = Outcome(
        status=row["close_status"],
        close_time_us=row["close_time"],
        reward_learned=row["reward_learned"],
        reward_final=row["reward_final"],
        is_clipped=row["clipped"],
        weight=row["weight"],
        feedback=tuple(_fated(entry, decision) for entry in row["feedback"]),
    )
    return LoggedDecision(row["position"], row["visitor"], decision, outcome)


def _slots(row: Row) -> tuple[SlotChoice, ...]:
    if row["chosen_position"] is None:
        return ()
    return tuple(
        SlotChoice(np.array(slot["pmf"], dtype=np.float32), slot["chosen_position"], slot["propensity"])
        for slot in (row, *(row["more_slots"] or ()))
    )


def _fated(entry: Row, decision: Decision) -> FatedFeedback:
    by_visitor = entry["by_visitor"]
    item = Feedback(
        feedback_id=entry["feedback_id"],
        decision_id=b"" if by_visitor else decision.decision_id,
        placement_id=decision.placement_id if by_visitor else "",
        slot=entry["slot"],
        kind=entry["kind"],
        value=entry["value"],
        receive_time_us=entry["receive_time"],
        occur_time_us=entry["occur_time"],
        retracts_feedback_id=entry["retracts_feedback_id"],
        source=entry["source"],
    )
    return FatedFeedback(item, Fate[entry["fate"]])


def _features(
    categories: Sequence[tuple[str, str]],
    numbers: Sequence[tuple[str, float]],
    tags: Sequence[tuple[str, list[str]]],
) -> Features:
    return Features(
        categories=tuple(categories),
        numbers=tuple(numbers),
        tags=tuple((name, tuple(values)) for name, values in tags),
    )
