"""The offers of a catalog as actions: one rule for whoever decides, learns, verifies or rebuilds.

Always holds: an action follows from the catalog revision and the placement alone; a placement that expects
nothing of its offers has the very actions of the catalog.
"""

from __future__ import annotations

from offer_optimizer.core.catalog import Catalog, Placement
from offer_optimizer.policy.contract import Action


def catalog_actions(catalog: Catalog) -> tuple[Action, ...]:
    """Return the offers by catalog index, without what placements expect of them."""
    return tuple(Action(offer.id, offer.attributes, offer.like) for offer in catalog.offers)


def placement_actions(
    actions: tuple[Action, ...], catalog: Catalog, placement: Placement
) -> tuple[Action, ...]:
    """Return the actions of a catalog as a placement has them: what it expects is scaled like its rewards."""
    if not placement.expected_reward:
        return actions
    reward = placement.reward
    found = list(actions)
    for offer_id, expected in placement.expected_reward.items():
        index = catalog.offer_index[offer_id]
        action = found[index]
        scaled = (expected - reward.min) / (reward.max - reward.min)
        found[index] = Action(action.id, action.attributes, action.like, scaled)
    return tuple(found)
