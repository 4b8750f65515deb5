"""One line of dsjson (the log format of Vowpal Wabbit and Azure Personalizer), read by our own reader.

    {"_label_cost": -1, "_label_probability": 0.8, "_label_Action": 2, "_labelIndex": 1, "a": [2, 1],
     "p": [0.8, 0.2], "c": {"user": {...}, "_multi": [{...}, {...}]}, "EventId": "...", "Timestamp": "...",
     "o": [...], "pdrop": 0.5, "_skipLearn": false, "DeferredAction": false}

Reward and propensity are the label's. An offer is called by its `_tag`, else by its `i.id`, else by its
position, counted from 1. Never hand a client's line to Vowpal Wabbit's own parser: docs/vw-facts.md says why.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NoReturn

from offer_optimizer.core import limits
from offer_optimizer.core.features import Features, show
from offer_optimizer.formats.dsjson_features import flatten
from offer_optimizer.formats.lines import LineProblem

_PMF_TOLERANCE: Final = 1e-3


class LeftOut(StrEnum):
    """Why a sound line is not a row."""

    SLOTS = "events with several slots (CCB or slates): not evaluated yet"
    SKIP_LEARN = "events marked _skipLearn: they were never shown"
    NOT_ACTIVATED = "deferred events without an activation: they were never shown"
    UNLABELLED = "events without a label: nobody knows what was chosen or earned"
    OBSERVATION = "lines that are no decisions (observations without their event, and the like)"


@dataclass(frozen=True, slots=True)
class DsjsonEvent:
    """One decision. `offers` are ids in the logged order, `pmf` in that order or None, `chosen` an index."""

    event_id: str
    time_us: int
    cost: float
    probability: float
    chosen: int
    offers: tuple[str, ...]
    attributes: tuple[Features, ...]
    context: Features
    pmf: tuple[float, ...] | None
    weight: float
    visitor_id: str


def read_event(line: bytes, visitor: str, leave_out: Collection[str]) -> DsjsonEvent | LeftOut:
    """Read a line; `visitor` names the context field that says whose it is, which is no feature.

    Raises LineProblem.
    """
    event = _parse(line)
    context = event.get("c")
    if "_outcomes" in event or (isinstance(context, dict) and "_slots" in context):
        return LeftOut.SLOTS
    if not isinstance(context, dict):
        if "_label_cost" in event or "_labelIndex" in event:
            raise LineProblem("c: there is no context")
        return LeftOut.OBSERVATION
    if event.get("_skipLearn"):
        return LeftOut.SKIP_LEARN
    if event.get("DeferredAction") and not _is_activated(event.get("o")):
        return LeftOut.NOT_ACTIVATED
    if "_label_cost" not in event or "_labelIndex" not in event:
        return LeftOut.UNLABELLED
    offers, attributes = _offers(context.get("_multi"), leave_out)
    chosen = _chosen(event, len(offers))
    probability = _number(event, "_label_probability")
    if not 0.0 < probability <= 1.0:
        raise LineProblem(f"_label_probability: {probability:g} is outside (0, 1]")
    features = flatten(context, "c", leave_out)
    visitor_id, features = _without_visitor(features, visitor)
    return DsjsonEvent(
        event_id=str(event.get("EventId") or ""),
        time_us=_time_us(event.get("Timestamp")),
        cost=_number(event, "_label_cost"),
        probability=probability,
        chosen=chosen,
        offers=offers,
        attributes=attributes,
        context=features,
        pmf=_pmf(event, len(offers)),
        weight=_weight(event),
        visitor_id=visitor_id,
    )


def _parse(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line, parse_constant=_refuse_constant, object_pairs_hook=_object)
        if b"\\ud" in line.lower():
            json.dumps(event, ensure_ascii=False).encode()
    except RecursionError:
        raise LineProblem("is too deep") from None
    except json.JSONDecodeError as error:
        raise LineProblem(f"column {error.colno}: {error.msg}") from None
    except ValueError as error:
        raise LineProblem(str(error)[:200]) from None
    if not isinstance(event, dict):
        raise LineProblem("is not a JSON object")
    return event


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise LineProblem(f"{show(next(key for key in keys if keys.count(key) > 1))} is twice in one object")
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise LineProblem(f"{text} is not a number")


def _offers(multi: object, leave_out: Collection[str]) -> tuple[tuple[str, ...], tuple[Features, ...]]:
    if not isinstance(multi, list) or not multi:
        raise LineProblem("c._multi: there are no offers")
    if len(multi) > limits.CANDIDATES:
        raise LineProblem(f"c._multi: {len(multi)} offers, at most {limits.CANDIDATES}")
    ids, attributes = [], []
    for position, offer in enumerate(multi):
        if not isinstance(offer, dict):
            raise LineProblem(f"c._multi[{position}]: is not an object")
        ids.append(_offer_id(offer, position))
        attributes.append(flatten(offer, f"c._multi[{position}]", leave_out))
    if len(set(ids)) < len(ids):
        raise LineProblem(f"c._multi: {show(max(ids, key=ids.count))} is there twice")
    return tuple(ids), tuple(attributes)


def _offer_id(offer: dict[str, Any], position: int) -> str:
    identity = offer.get("i")
    if isinstance(identity, list) and identity:
        identity = identity[0]
    inner = identity.get("id") if isinstance(identity, dict) else None
    for found in (offer.get("_tag"), inner):
        if isinstance(found, str) and found:
            return found
    return str(position + 1)


def _chosen(event: dict[str, Any], count: int) -> int:
    index = event["_labelIndex"]
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count:
        raise LineProblem(f"_labelIndex: {str(index)[:40]} is not one of {count} offers, counted from 0")
    return index


def _number(event: dict[str, Any], name: str) -> float:
    raw = event.get(name)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise LineProblem(f"{name}: is not a number")
    # An integer may be too long for a float; comparing it does not convert it.
    if not -limits.NUMBER_MAGNITUDE <= raw <= limits.NUMBER_MAGNITUDE:
        raise LineProblem(f"{name}: is not a number up to {limits.NUMBER_MAGNITUDE:g} in magnitude")
    return float(raw)


def _weight(event: dict[str, Any]) -> float:
    """Return for how many events this one stands: `pdrop` is the share of its like that was dropped."""
    if event.get("pdrop") is None:
        return 1.0
    dropped = _number(event, "pdrop")
    if not 0.0 <= dropped < 1.0:
        raise LineProblem(f"pdrop: {dropped:g} is outside [0, 1)")
    return 1.0 / (1.0 - dropped)


def _pmf(event: dict[str, Any], count: int) -> tuple[float, ...] | None:
    """Return the pmf in the order of the offers; None where `a` and `p` don't say one."""
    ranking, chances = event.get("a"), event.get("p")
    if not isinstance(ranking, list) or not isinstance(chances, list) or len(chances) != count:
        return None
    if not all(isinstance(place, int) for place in ranking) or sorted(ranking) != list(range(1, count + 1)):
        return None
    if not all(isinstance(chance, int | float) and 0.0 <= chance <= 1.0 for chance in chances):
        return None
    if abs(sum(chances) - 1.0) > _PMF_TOLERANCE:
        return None
    pmf = [0.0] * count
    for place, chance in zip(ranking, chances, strict=True):
        pmf[place - 1] = float(chance)
    return tuple(pmf)


def _is_activated(observations: object) -> bool:
    """Return whether an observation says that a deferred event was shown after all."""
    return isinstance(observations, list) and any(
        isinstance(one, dict) and one.get("ActionTaken") is True for one in observations
    )


def _time_us(text: object) -> int:
    """Return a timestamp in microseconds; 0 where there is none. A time without a zone is UTC."""
    if text is None:
        return 0
    try:
        time = datetime.fromisoformat(str(text))
        seconds = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise LineProblem(f"Timestamp: {str(text)[:40]!r} is not a time") from None
    return max(math.floor(seconds * 1e6 + 0.5), 0)


def _without_visitor(context: Features, visitor: str) -> tuple[str, Features]:
    if not visitor:
        return "", context
    categories, numbers = dict(context.categories), dict(context.numbers)
    text, number = categories.pop(visitor, ""), numbers.pop(visitor, None)
    if number is not None:
        text = f"{number:.17g}"
    return text, Features(tuple(categories.items()), tuple(numbers.items()), context.tags)
