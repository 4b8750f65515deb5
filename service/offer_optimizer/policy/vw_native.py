"""Features of a dsjson log as Vowpal Wabbit's own JSON parser would have made them: what `NATIVE` is for.

A name is a path (formats.dsjson_features): its last key is the feature, the one before it the namespace, as
in VW; numbers stay as they are, strings are hashed with their keys in front. So a policy in this manner
learns from somebody's log what `vw --dsjson` learned, and its figures can be compared. Crosses that name
namespaces by letters have no place here. No placement uses it: raw numbers can make a model overflow.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from offer_optimizer.core.features import Features
from offer_optimizer.formats.dsjson_features import split_name
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.vw import Manner
from offer_optimizer.policy.vw_text import encode

_SEPARATORS: Final = re.compile(r"[ \t|:]")
_POSITION: Final = re.compile(r"\[(\d+)\]")


def context_line(context: Features) -> str:
    """Return the line that all offers share."""
    return f"shared {_namespaces(context)}"


def action_line(action: Action) -> str:
    """Return the line of one offer: its features, not its id."""
    return _namespaces(action.attributes)


def feature_count(context: Features, actions: tuple[Action, ...]) -> int:
    """Return how many features VW counts in an event: of every offer, what it shares and its constant too."""
    shared = _count(context)
    return sum(shared + _count(action.attributes) + 1 for action in actions)


NATIVE: Final = Manner(context_line, action_line, {"squarecb": 0.0, "epsilon": 0.0, "softmax": 0.0})
"""As `vw --dsjson` learns: no crosses of ours, no identity, raw numbers, nothing clipped."""


def _count(features: Features) -> int:
    zeros = sum(number == 0.0 for _, number in features.numbers)
    return features.count() - zeros


def _namespaces(features: Features) -> str:
    tokens: dict[str, list[str]] = {}
    for name, value in features.categories:
        namespace, feature = _place(name)
        tokens.setdefault(namespace, []).append(feature + _name(value))
    for name, number in features.numbers:
        namespace, feature = _place(name)
        digits = np.format_float_positional(np.float32(number), trim="-")
        tokens.setdefault(namespace, []).append(f"{feature}:{digits}")
    for name, values in features.tags:
        namespace = _name(split_name(name)[-1])
        tokens.setdefault(namespace, []).extend(map(_name, values))
    lines = [f"|{namespace} {' '.join(found)}" for namespace, found in tokens.items()]
    # The bar stays where there are no features: an empty line would end the example.
    return " ".join(lines) or "|"


def _name(text: str) -> str:
    """Return a name as VW's JSON parser writes it; what else VW's text would break on is percent-encoded."""
    return encode(_SEPARATORS.sub("_", text))


def _place(name: str) -> tuple[str, str]:
    """Return the namespace and the feature of a name; of a number in a list, the list and the position."""
    keys = split_name(name)
    if found := _POSITION.search(keys[-1]):
        return _name(keys[-1][: found.start()]), found[1]
    return _name(keys[-2]) if len(keys) > 1 else "", _name(keys[-1])
