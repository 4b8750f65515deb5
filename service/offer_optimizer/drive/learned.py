"""What can be said from outside about how far the learner came: the version of the model that decides.

A model version is `epoch:position`, where the position is how far in the ledger the model's learning reached.
It grows with every batch that the learner folds; the service has no call for the count of examples itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from offer_optimizer.client import ClientStats
from offer_optimizer.drive.plan import Plan
from offer_optimizer.drive.replay import DECIDE_TIMEOUT_S, Outcome, Service

SETTLE_S: Final = 3.0
"""After a window closes: ledger time runs a second behind, then learning, snapshot and reload."""
LONGEST_WAIT_S: Final = 120.0
"""A placement of the caller's own may have a window of days: nobody waits for that."""
LOOK_EVERY_S: Final = 0.5


def wait_for_learner(
    service: Service, plan: Plan, *, clock: Callable[[], float], sleep: Callable[[float], object]
) -> str:
    """Wait until the last windows are closed and learned; return the model version that decides then."""
    deadline = clock() + min(plan.window_s + SETTLE_S, LONGEST_WAIT_S)
    version = ""
    while True:
        decision = service.decide(plan.placement_id, deferred=True, timeout_s=DECIDE_TIMEOUT_S)
        version = decision.model_version or version
        left_s = deadline - clock()
        if left_s <= 0.0:
            return version
        sleep(min(LOOK_EVERY_S, left_s))


def position_of(model_version: str) -> int | None:
    """Return the ledger position of a model version, or None where there is none."""
    _, _, position = model_version.rpartition(":")
    return int(position) if position.isdigit() else None


def describe_learning(outcome: Outcome, stats: ClientStats, before: str, after: str) -> list[str]:
    """Return lines for people: what was handed to the learner, and how far its model came."""
    matched = len(outcome.matched)
    handed = f"Handed to the learner: {matched} matched rows, one `shown` and one `reward` each"
    lines = [f"{handed}; of {2 * matched} items the service accepted {stats.accepted}."]
    lost = stats.invalid + stats.dropped + stats.waiting
    if lost:
        lines.append(
            f"Feedback that did not arrive: {stats.invalid} refused, {stats.dropped} dropped,"
            f" {stats.waiting} still waiting. Those rows are not learned, or with the reward of silence."
        )
    first, last = position_of(before), position_of(after)
    if last is None:
        lines.append("No model answered at the end, so nothing can be said of what was learned.")
    elif first is None or last > first:
        came_from = "none" if first is None else str(first)
        lines.append(
            f"The deciding model has learned up to ledger position {last} (before the drive: {came_from})."
        )
    else:
        lines.append(
            f"The deciding model did not move: it stands at ledger position {last} as before the drive."
        )
    return lines
