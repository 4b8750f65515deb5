"""Real data as rounds: supervised tables turned into bandits, and a randomised test for replay.

Reads files of the folder of reference data sets, which is not part of the repository.
"""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.bakeoff.rounds import Rounds
from offer_optimizer.core.features import EMPTY, Features, build_features
from offer_optimizer.policy.contract import Action

TABLES: Final = {"digits": 0.9444, "wine": 0.9607, "vowel": 0.7434, "vehicle": 0.7589, "satellite": 0.8853}
"""Tables with full knowledge, and the reward a round of the best of three learners that see every label."""
REPLAYED: Final = "hillstrom"
_HILLSTROM_CATEGORIES: Final = ("history_segment", "zip_code", "channel")
_HILLSTROM_NUMBERS: Final = ("recency", "history", "mens", "womens", "newbie")
_VOWEL_CATEGORY: Final = "V1"
_FEATURES_MAX: Final = 1000


def shared_data() -> Path | None:
    """Return the folder of reference data sets, None where there is none."""
    named = os.environ.get("OFFER_OPTIMIZER_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    return folder if (folder / "multiclass").is_dir() else None


def table(folder: Path, name: str) -> Rounds:
    """Return a supervised table as rounds: an offer for each label, which earns 1 where it is the row's."""
    rows = _rows(folder / "multiclass" / f"{name}.csv.gz")
    contexts = [_context(row, (_VOWEL_CATEGORY,) if name == "vowel" else ()) for row in rows]
    labels = sorted({row["label"] for row in rows})
    column = {label: index for index, label in enumerate(labels)}
    rewards = np.zeros((len(rows), len(labels)))
    rewards[np.arange(len(rows)), [column[row["label"]] for row in rows]] = 1.0
    return Rounds(name, contexts, tuple(Action(label, EMPTY) for label in labels), rewards)


def hillstrom(folder: Path) -> Rounds:
    """Return the randomised e-mail test: three mailings with even chances, reward 1 for a visit."""
    rows = _rows(folder / "hillstrom" / "hillstrom_dev.csv.gz")
    contexts = [
        build_features(
            {name: row[name] for name in _HILLSTROM_CATEGORIES},
            {name: float(row[name]) for name in _HILLSTROM_NUMBERS},
            {},
            where="context",
            limit=_FEATURES_MAX,
        )
        for row in rows
    ]
    mailings = sorted({row["segment"] for row in rows})
    logged = np.array([mailings.index(row["segment"]) for row in rows])
    rewards = np.array([float(row["visit"]) for row in rows])
    return Rounds(REPLAYED, contexts, tuple(Action(name, EMPTY) for name in mailings), rewards, logged)


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _context(row: dict[str, str], categories: tuple[str, ...]) -> Features:
    known = {name: value for name, value in row.items() if name != "label"}
    return build_features(
        {name: known[name] for name in categories},
        # An empty cell is a missing number, which a context leaves out.
        {name: float(value) for name, value in known.items() if name not in categories and value},
        {},
        where="context",
        limit=_FEATURES_MAX,
    )
