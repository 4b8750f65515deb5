"""What the archive holds of a visitor, in a process of its own, since Parquet takes memory and a second.

Run as `python -m offer_optimizer.evaluate.archived_visitor` by evaluate.visitor_history.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from offer_optimizer.core.outcome import FatedFeedback, LoggedDecision
from offer_optimizer.evaluate.child_answer import answer_one
from offer_optimizer.formats.history_file import LOG_SUFFIX
from offer_optimizer.formats.parquet_visitors import rows_of

MEMORY_BYTES: Final = 4 * 1024**3


def find(question: dict[str, Any]) -> dict[str, Any]:
    """Return {"rows": the first `limit` decisions behind the ledger position `after`, in its order}."""
    paths = sorted(Path(question["archive"]).glob(f"*/*{LOG_SUFFIX}"))
    keys = frozenset(question["keys"])
    found = [
        (logged.position, _described(logged, chosen))
        for path in paths
        for logged, chosen in rows_of(path, keys)
        if logged.position > question["after"]
    ]
    return {"rows": [row for _, row in sorted(found, key=lambda one: one[0])[: question["limit"]]]}


def _described(logged: LoggedDecision, chosen: str) -> dict[str, Any]:
    decision, outcome = logged.decision, logged.outcome
    return {
        "position": logged.position,
        "decision_id": decision.decision_id.hex(),
        "placement": decision.placement_id,
        "time_us": decision.decide_time_us,
        "reason": int(decision.reason),
        "consent": int(decision.consent),
        "categories": dict(decision.context.categories),
        "numbers": dict(decision.context.numbers),
        "tags": {name: list(values) for name, values in decision.context.tags},
        "chosen": chosen,
        "propensity": decision.slots[0].propensity if decision.slots else 0.0,
        "fate": outcome.status.lower(),
        "reward_final": outcome.reward_final,
        "feedback": [_heard(fated) for fated in outcome.feedback],
    }


def _heard(fated: FatedFeedback) -> dict[str, Any]:
    item = fated.item
    return {
        "feedback_id": item.feedback_id,
        "kind": item.kind,
        "value": item.value,
        "time_us": item.receive_time_us,
        "fate": fated.fate.name.lower(),
    }


if __name__ == "__main__":
    answer_one(find, MEMORY_BYTES)
