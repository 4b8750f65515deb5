"""Which caps and budgets of a catalog count what those of the log's catalog counted, and how they differ.

A cap or budget is the same where everything but its limit is, its offers among those of both catalogs too:
then the count that the log read is the count.
"""

from __future__ import annotations

from dataclasses import dataclass

from offer_optimizer.core.catalog import Budget, Cap, Catalog, OfferType


@dataclass(frozen=True, slots=True)
class SameLimits:
    """Index in the log's catalog by index in the target's; `differing` tells what is not as it was logged."""

    caps: dict[int, int]
    budgets: dict[int, int]
    changed_caps: tuple[str, ...]
    changed_budgets: tuple[str, ...]
    unknown_budgets: tuple[str, ...]

    @classmethod
    def of(cls, target: Catalog, logged: Catalog) -> SameLimits:
        """Compare two catalogs."""
        shared = {offer.id for offer in target.offers} & {offer.id for offer in logged.offers}
        old_caps = {cap.id: index for index, cap in enumerate(logged.caps)}
        old_budgets = {budget.id: index for index, budget in enumerate(logged.budgets)}
        caps = {
            index: old_caps[cap.id]
            for index, cap in enumerate(target.caps)
            if cap.id in old_caps
            and _counts_alike(target, cap, logged, logged.caps[old_caps[cap.id]], shared)
        }
        budgets = {
            index: old_budgets[budget.id]
            for index, budget in enumerate(target.budgets)
            if budget.id in old_budgets
            and _counts_alike(target, budget, logged, logged.budgets[old_budgets[budget.id]], shared)
        }
        changed_caps = [
            _told("cap", cap.id, logged.caps[caps[index]].limit if index in caps else None, cap.limit)
            for index, cap in enumerate(target.caps)
            if index not in caps or logged.caps[caps[index]].limit != cap.limit
        ]
        changed_budgets = [
            _told("budget", budget.id, logged.budgets[budgets[index]].limit, budget.limit)
            for index, budget in enumerate(target.budgets)
            if index in budgets and logged.budgets[budgets[index]].limit != budget.limit
        ]
        gone_caps = [
            f"cap {cap.id} is gone" for cap in logged.caps if cap.id not in {c.id for c in target.caps}
        ]
        gone = {budget.id for budget in target.budgets}
        gone_budgets = [f"budget {budget.id} is gone" for budget in logged.budgets if budget.id not in gone]
        return cls(
            caps,
            budgets,
            (*changed_caps, *gone_caps),
            (*changed_budgets, *gone_budgets),
            tuple(budget.id for index, budget in enumerate(target.budgets) if index not in budgets),
        )


def _told(word: str, name: str, old: float | None, new: float) -> str:
    return (
        f"{word} {name} is new or counts otherwise"
        if old is None
        else f"{word} {name}: {old:g} became {new:g}"
    )


def _counts_alike(
    target: Catalog, new: Cap | Budget, logged: Catalog, old: Cap | Budget, shared: set[str]
) -> bool:
    own = {"limit", "offers", "groups", "interruptions"}
    if new.model_dump(exclude=own | {"pacing"}) != old.model_dump(exclude=own | {"pacing"}):
        return False
    if isinstance(new, Cap) != isinstance(old, Cap):
        return False
    return (_limited(target, new) & shared) == (_limited(logged, old) & shared)


def _limited(catalog: Catalog, limit: Cap | Budget) -> set[str]:
    """Return the ids of the offers that a cap or budget limits."""
    every = isinstance(limit, Cap) and limit.interruptions
    return {
        offer.id
        for offer in catalog.offers
        if offer.type is not OfferType.NOTHING
        and (every or offer.id in limit.offers or (bool(offer.group) and offer.group in limit.groups))
    }
