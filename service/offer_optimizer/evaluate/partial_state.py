"""Parts of estimates to plain values and back, to the bit: what a sum that goes on for months is kept as.

Knows no estimator: what is true of all parts of one (its traits) comes from a part that it just made.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from offer_optimizer.evaluate.clusters import ClusterSums
from offer_optimizer.evaluate.partial import Partial
from offer_optimizer.evaluate.row_moments import Range, RowMoments
from offer_optimizer.evaluate.support import Support

_RANGES = ("rewards", "numerators", "denominators", "weights")


def partial_to_plain(partial: Partial) -> dict[str, Any]:
    """Return a part as values that JSON holds (infinities included)."""
    clusters = partial.clusters
    return {
        "keys": None if clusters.keys is None else _text(clusters.keys.astype("<i8")),
        "columns": clusters.sums.shape[1],
        "sums": _text(clusters.sums.astype("<f8")),
        "sketch": _text(clusters.sketch.astype("<u8")),
        "support": asdict(partial.support),
        "moments": asdict(partial.moments),
    }


def partial_from_plain(values: dict[str, Any], like: Partial) -> Partial:
    """Return the part that `partial_to_plain` was given; `like` is any part of the same estimator."""
    keys = values["keys"]
    sums = np.frombuffer(b64decode(values["sums"]), "<f8").reshape(-1, values["columns"])
    clusters = ClusterSums(
        None if keys is None else np.frombuffer(b64decode(keys), "<i8"),
        sums,
        np.frombuffer(b64decode(values["sketch"]), "<u8"),
    )
    moments = values["moments"] | {name: Range(**values["moments"][name]) for name in _RANGES}
    return replace(
        like, clusters=clusters, support=Support(**values["support"]), moments=RowMoments(**moments)
    )


def _text(array: Any) -> str:  # noqa: ANN401  (arrays of several types)
    return b64encode(np.ascontiguousarray(array).tobytes()).decode()
