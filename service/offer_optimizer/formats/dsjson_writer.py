"""Decisions as lines of dsjson, bytes and keys in the order that existing readers expect.

Readers that look at the beginning of a line before they parse it want the four label keys first, `a`, `c` and
`p` in this order, and no spaces. What is in the namespaces is the caller's choice. Knows no policy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

Values = Mapping[str, str | float | bool]
Namespaces = Mapping[str, Values | str]


@dataclass(frozen=True, slots=True)
class Label:
    """What was chosen (an index of the offers), at which probability, what it cost, and without scaling."""

    chosen: int
    probability: float
    cost: float
    original_cost: float


def write_event(
    label: Label,
    shared: Namespaces,
    offers: Sequence[Namespaces],
    pmf: Sequence[float] | None,
    *,
    offer_ids: Sequence[str] = (),
    event_id: str = "",
    time_us: int = 0,
    weight: float = 1.0,
) -> bytes:
    """Return one line.

    `a` ranks the chosen offer first and the others as they stand; without a pmf there is no `p`, which Vowpal
    Wabbit does not miss. `offer_ids` become tags, which readers call offers by and nobody learns from: places
    say nothing where offers come and go.
    """
    if offer_ids:
        offers = [{"_tag": name, **own} for name, own in zip(offer_ids, offers, strict=True)]
    order = [label.chosen, *(at for at in range(len(offers)) if at != label.chosen)]
    event: dict[str, object] = {
        "_label_cost": label.cost,
        "_label_probability": label.probability,
        "_label_Action": label.chosen + 1,
        "_labelIndex": label.chosen,
    }
    if time_us:
        event["Timestamp"] = _timestamp(time_us)
    event["Version"] = "1"
    if event_id:
        event["EventId"] = event_id
    event["a"] = [at + 1 for at in order]
    event["c"] = {**{name: values for name, values in shared.items() if values}, "_multi": list(offers)}
    if pmf is not None:
        event["p"] = [pmf[at] for at in order]
    if weight > 1.0:
        event["pdrop"] = 1.0 - 1.0 / weight
    event["VWState"] = {"m": "N/A"}
    event["_original_label_cost"] = label.original_cost
    return json.dumps(event, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _timestamp(time_us: int) -> str:
    """Return a time as these logs write it: UTC, seven digits behind the second."""
    seconds, fraction = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:06d}0Z"
