"""How far the learner came with what a drive handed it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from offer_optimizer.client import ClientStats, ModelInfo
from offer_optimizer.drive.plan import Plan
from offer_optimizer.drive.replay import Outcome

SETTLE_S: Final = 6.0
"""After a window closes: ledger time runs a second behind, then learning, snapshot and reload."""
LONGEST_WAIT_S: Final = 120.0
"""A placement of the caller's own may have a window of days: nobody waits for that."""
LOOK_EVERY_S: Final = 0.25


class ModelDesk(Protocol):
    """What is asked of the client."""

    def get_model(self, placement: str) -> ModelInfo:
        """Return which model a placement serves."""
        ...


def wait_for_learner(
    desk: ModelDesk,
    plan: Plan,
    wanted_count: int,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
) -> ModelInfo:
    """Wait until the served model has learned `wanted_count` examples, or long enough; return the model."""
    deadline = clock() + min(plan.window_s + SETTLE_S, LONGEST_WAIT_S)
    while True:
        model = desk.get_model(plan.placement_id)
        left_s = deadline - clock()
        if model.learned_count >= wanted_count or left_s <= 0.0:
            return model
        sleep(min(LOOK_EVERY_S, left_s))


def describe_learning(outcome: Outcome, stats: ClientStats, before: ModelInfo, after: ModelInfo) -> list[str]:
    """Return lines for people: what was handed to the learner, and what it has learned of it."""
    matched = len(outcome.matched)
    handed = f"Handed to the learner: {matched} matched rows, one `shown` and one `reward` each"
    lines = [f"{handed}; of {2 * matched} items the service accepted {stats.accepted}."]
    lost = stats.invalid + stats.dropped + stats.waiting
    if lost:
        lines.append(
            f"Feedback that did not arrive: {stats.invalid} refused, {stats.dropped} dropped,"
            f" {stats.waiting} still waiting. Those rows are not learned, or with the reward of silence."
        )
    if not after.model_version:
        lines.append("No usable model is loaded, so nothing can be said of what was learned.")
        return lines
    learned = after.learned_count - before.learned_count
    lines.append(
        f"The learner learned {learned} examples; the {after.policy} model that decides now"
        f" has learned {after.learned_count} in all (version {after.model_version})."
    )
    if learned < matched:
        lines.append(f"{matched - learned} matched rows were not learned in the time waited.")
    return lines
