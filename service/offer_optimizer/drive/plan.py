"""How a table becomes a placement: offers for its arms, a reward for its column. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Catalog
from offer_optimizer.drive.errors import DriveRefused
from offer_optimizer.drive.table import Table

REWARD_KIND: Final = "reward"
SLUG_CHARS: Final = 80
"""Leaves room for the prefix and a number within the limit of an id."""
SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Plan:
    """Where rows are decided, and which offer stands for which arm."""

    placement_id: str
    offer_by_arm: Mapping[str, str]
    window_s: float


def slug(name: str) -> str:
    """Return what is left of a name as part of an id: lower case, letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG_CHARS].strip("-") or "arm"


def fresh_offer_ids(arms: Sequence[str]) -> dict[str, str]:
    """Return an offer id for each arm: `drive-` and its slug, numbered where two arms would share one.

    Depends on the set of arms only, so another order of rows gives the same ids.
    """
    taken: set[str] = set()
    ids = {}
    for arm in sorted(arms):
        stem = f"drive-{slug(arm)}"
        candidate, number = stem, 1
        while candidate in taken:
            number += 1
            candidate = f"{stem}-{number}"
        taken.add(candidate)
        ids[arm] = candidate
    return {arm: ids[arm] for arm in arms}


def placement_entry(placement_id: str, table: Table, window: str) -> dict[str, object]:
    """Return the catalog's entry of a fresh placement over the table's arms, with the default policy."""
    ids = fresh_offer_ids(table.arms)
    least, most = table.reward_range()
    if least == most:
        most = least + 1.0  # a catalog wants a range; a constant reward teaches nothing anyway
    return {
        "id": placement_id,
        "description": "A randomised test, driven through the service row by row.",
        "offers": [ids[arm] for arm in table.arms],
        "baseline": [ids[table.arms[0]]],
        "window": window,
        # The catalog may hold visitors out; a row that always gets the baseline would not be a replay.
        "holdout": 0,
        "reward": {
            "formula": f"sum.{REWARD_KIND}",
            "min": least,
            "max": most,
            # A matched row always says its reward, so silence means that it was lost on the way. The
            # formula reads silence as a sum of nothing, 0; the default is the nearest reward to that.
            "default": min(max(0.0, least), most),
        },
    }


def offer_entries(table: Table) -> list[dict[str, object]]:
    """Return the catalog's entries of the offers that stand for the arms."""
    ids = fresh_offer_ids(table.arms)
    return [
        {"id": ids[arm], "type": "CONTENT", "description": f"Arm {arm[:100]!r} of a randomised test."}
        for arm in table.arms
    ]


def fresh_plan(placement_id: str, table: Table, window: str) -> Plan:
    """Return the plan of a fresh placement. Raises DriveRefused on a window that is not one."""
    return Plan(placement_id, fresh_offer_ids(table.arms), parse_window(window))


def existing_plan(placement_id: str, table: Table, catalog: Catalog) -> Plan:
    """Return the plan of a placement that the catalog has. Raises DriveRefused where it doesn't fit."""
    placement = catalog.placement_by_id.get(placement_id)
    if placement is None:
        known = ", ".join(sorted(catalog.placement_by_id))
        raise DriveRefused(f"--placement: the catalog has no placement {placement_id!r}; it has {known}")
    if REWARD_KIND not in {kind.id for kind in catalog.kinds}:
        raise DriveRefused(
            f"--placement: the catalog declares no feedback kind {REWARD_KIND!r}; add it to kinds"
        )
    return Plan(placement_id, match_offers(table.arms, placement.offers), placement.window_s)


def match_offers(arms: Sequence[str], offers: Iterable[str]) -> dict[str, str]:
    """Return the offer of each arm: the one of that id, of its slug, or of the id that a drive gives it.

    Raises DriveRefused naming the arms without one, or two arms that meet in one offer.
    """
    listed = tuple(offers)
    fresh = fresh_offer_ids(arms)
    found: dict[str, str] = {}
    for arm in arms:
        offer = next((name for name in (arm, slug(arm), fresh[arm]) if name in listed), None)
        if offer is not None:
            found[arm] = offer
    missing = [arm for arm in arms if arm not in found]
    if missing:
        text = f"the placement has no offer for {', '.join(map(repr, missing))}; it has {', '.join(listed)}"
        raise DriveRefused(f"--placement: {text}")
    for arm, offer in found.items():
        rivals = [other for other in arms if found[other] == offer and other != arm]
        if rivals:
            raise DriveRefused(f"--placement: {arm!r} and {rivals[0]!r} would both be offer {offer!r}")
    return found


def parse_window(text: str) -> float:
    """Return a window such as `1s` or `30m` in seconds. Raises DriveRefused outside the limits, inclusive."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text.strip())
    if found is None:
        raise DriveRefused(f"--window: {text!r} is not a duration such as 1s, 30m or 1d")
    window_s = float(found[1]) * SECONDS[found[2]]
    if not limits.WINDOW_MIN_S <= window_s <= limits.WINDOW_MAX_S:
        range_text = f"{limits.WINDOW_MIN_S} s to {limits.WINDOW_MAX_S} s"
        raise DriveRefused(f"--window: {text} is {window_s:g} s, allowed are {range_text}")
    return window_s
