"""What the fold knows of catalog revisions: windows, kinds, reward formulas, epochs, actions.

Built from ledger records alone, so that a rebuild sees what live learning saw.
"""

from __future__ import annotations

from dataclasses import dataclass

from offer_optimizer.core.catalog import Catalog, Reward
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import BUILT_IN_KINDS
from offer_optimizer.core.formula import RewardFormula
from offer_optimizer.policy.actions import catalog_actions, placement_actions
from offer_optimizer.policy.contract import Action
from offer_optimizer.store.codec import Epoch


@dataclass(frozen=True, slots=True)
class PlacementRules:
    """What joining feedback to a decision of one placement under one revision, and closing it, needs.

    `grace_us` is None where the time of arrival decides; feedback of a kind in `close_on` ends the window.
    """

    window_us: int
    reward: Reward
    formula: RewardFormula
    kinds: tuple[str, ...]
    grace_us: int | None = None
    close_on: tuple[str, ...] = ()


class Revisions:
    """Catalog revisions by number, with what is derived from them kept once."""

    def __init__(self) -> None:
        self._catalogs: dict[int, Catalog] = {}
        self._rules: dict[tuple[int, str], PlacementRules] = {}
        self._actions: dict[tuple[int, str], tuple[Action, ...]] = {}
        self._epochs: dict[bytes, Epoch] = {}
        self.newest = 0
        self.kinds = {*BUILT_IN_KINDS}
        """Kinds of feedback that a revision so far has."""
        self.ends_early = False
        """Whether a revision so far has a placement where feedback can end a window."""

    def add(self, revision: int, catalog: Catalog) -> None:
        """Note a catalog revision."""
        self._catalogs[revision] = catalog
        self.newest = max(self.newest, revision)
        self.kinds.update(kind.id for kind in catalog.kinds)
        self.ends_early |= any(placement.close_on for placement in catalog.placements)

    def add_epoch(self, epoch: Epoch) -> None:
        """Note what a policy epoch stands for."""
        self._epochs[epoch.policy_epoch] = epoch

    def has(self, revision: int) -> bool:
        """Return whether a revision is known."""
        return revision in self._catalogs

    def catalog(self, revision: int) -> Catalog:
        """Return a revision. Raises KeyError."""
        return self._catalogs[revision]

    def epoch(self, policy_epoch: bytes) -> Epoch | None:
        """Return what an epoch stands for, or None."""
        return self._epochs.get(policy_epoch)

    def epochs(self) -> list[Epoch]:
        """Return all epochs, in the order in which they were met."""
        return list(self._epochs.values())

    def epochs_of(self, placement_id: str) -> list[bytes]:
        """Return all policy epochs that a placement has had."""
        return [key for key, epoch in self._epochs.items() if epoch.placement_id == placement_id]

    def rules(self, revision: int, placement_id: str) -> PlacementRules | None:
        """Return how to close decisions of a placement under a revision; None when either is unknown."""
        key = (revision, placement_id)
        found = self._rules.get(key)
        if found is None:
            catalog = self._catalogs.get(revision)
            placement = catalog.placement_by_id.get(placement_id) if catalog else None
            if catalog is None or placement is None:
                return None
            kinds = (*BUILT_IN_KINDS, *(kind.id for kind in catalog.kinds))
            formula = RewardFormula(placement.reward.formula)
            grace_us = round(placement.grace_s * 1e6) if placement.trust_occur_time else None
            found = self._rules[key] = PlacementRules(
                round(placement.window_s * 1e6),
                placement.reward,
                formula,
                kinds,
                grace_us,
                placement.close_on,
            )
        return found

    def actions(self, revision: int, placement_id: str = "") -> tuple[Action, ...]:
        """Return the offers of a revision as actions of a placement, by catalog index. Raises KeyError.

        Without a placement that the revision has, nothing is expected of any.
        """
        key = (revision, placement_id)
        found = self._actions.get(key)
        if found is None:
            catalog = self._catalogs[revision]
            placement = catalog.placement_by_id.get(placement_id)
            if placement is not None:
                found = placement_actions(self.actions(revision), catalog, placement)
            else:
                found = catalog_actions(catalog)
            self._actions[key] = found
        return found

    def eligible_actions(self, decision: Decision, *, expecting: bool = True) -> tuple[Action, ...]:
        """Return the eligible of a decision as actions, in order; unless `expecting`, without what their
        placement expects of them. Raises KeyError for an unknown revision.
        """
        actions = self.actions(decision.catalog_revision, decision.placement_id if expecting else "")
        if decision.inline:
            actions += tuple(Action(inline.offer_id, inline.attributes) for inline in decision.inline)
        return tuple(actions[index] for index in decision.eligible())
