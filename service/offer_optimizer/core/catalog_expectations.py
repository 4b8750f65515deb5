"""What a placement's section says its offers are expected to earn, before there are examples of them.

Always holds: who is named is an offer of the placement, and what it is to earn is a reward that it can have
there. Which policies heed it is not known here.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from offer_optimizer.core.catalog import Reward
from offer_optimizer.core.catalog_section import Section
from offer_optimizer.core.yaml_tree import describe, quote


def read_expected_reward(section: Section, offers: Sequence[str], reward: Reward) -> dict[str, float]:
    """Return the expected rewards by offer id, in the reward's unit; what is wrong is noted and left out."""
    inner = section.mapping("expected_reward")
    if inner is None:
        return {}
    found: dict[str, float] = {}
    for offer_id, node in inner.entries():
        if offer_id not in offers:
            near = difflib.get_close_matches(offer_id, offers, n=1)
            hint = f"; did you mean {quote(near[0])}?" if near else ""
            inner.problem(offer_id, f"{quote(offer_id)} is not among the placement's offers{hint}")
            continue
        value = inner.number_of(node, offer_id)
        if value is None:
            continue
        # A reward without a range is noted as such, and limits nothing.
        if reward.min < reward.max and not reward.min <= value <= reward.max:
            bounds = f"the reward's min {reward.min:g} to its max {reward.max:g}"
            inner.problem(offer_id, f"must be from {bounds} (is {describe(node)})")
            continue
        found[offer_id] = value
    return found
