"""The problems by name: simulated shops always, real data where the reference data sets are."""

from __future__ import annotations

from functools import lru_cache

from benchmarks.bakeoff import tables, world
from benchmarks.bakeoff.fingerprint import fingerprint
from benchmarks.bakeoff.rounds import Rounds
from benchmarks.bakeoff.shops import SHOPS

SHOP_NAMES = tuple(shop.name for shop in SHOPS)


def names() -> tuple[str, ...]:
    """Return the problems that can be raced here: tables, the randomised test, shops."""
    real = (*tables.TABLES, tables.REPLAYED) if tables.shared_data() is not None else ()
    return (*real, *SHOP_NAMES)


@lru_cache(maxsize=2)
def problem(name: str, seed: int) -> Rounds:
    """Return a problem; the seed makes the world of a shop. Raises KeyError for an unknown name."""
    if name not in SHOP_NAMES:
        folder = tables.shared_data()
        if folder is None or name not in names():
            raise KeyError(name)
        return tables.hillstrom(folder) if name == tables.REPLAYED else tables.table(folder, name)
    return world.build({shop.name: shop for shop in SHOPS}[name], seed)


def source(name: str) -> str:
    """Return what a problem is made of: its settings, and a hash of the code that reads or makes it."""
    if name in SHOP_NAMES:
        made_by = fingerprint(("benchmarks.bakeoff.world",), without=("benchmarks.bakeoff.shops",))
        return f"{SHOPS[SHOP_NAMES.index(name)]} {made_by}"
    return fingerprint(("benchmarks.bakeoff.tables",))
