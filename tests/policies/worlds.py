"""Small worlds with a known truth, and hostile ones, for the conformance suite."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

from offer_optimizer.core import limits
from offer_optimizer.core.features import Features, build_features
from offer_optimizer.policy.contract import Action, Example

NASTY: Final = (
    "\n",
    "\r\n",
    "\t",
    " ",
    "|",
    ":",
    "=",
    "%",
    "%0A",
    "\0",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\ud800",
    "é",
    "🦆",
    "123",
    "-1",
    "1e400",
    "nan",
    "inf",
    "_",
    "'tag",
    "a\n0:-1:1 |o i=b",
    "x |o i=b",
    "x\nshared |c a",
    "x:1e39",
    "0:-1:0.5 |",
    '{"_label_cost":-1,"_multi":[]}',
)
"""Each one has a meaning to VW's parsers or to ours; see the facts on poisoning."""


def features(**categories: str) -> Features:
    """Return features of categories only."""
    return build_features(categories, {}, {}, where="context", limit=limits.CONTEXT_FEATURES)


OFFERS: Final = tuple(
    Action(name, features(kind=kind))
    for name, kind in [("msg", "message"), ("save5", "coupon"), ("save15", "coupon"), ("nothing", "nothing")]
)
BASELINE: Final = ("save5", "msg")


@functools.cache
def draw_examples(count: int, seed: int) -> tuple[Example, ...]:
    """Return examples logged by uniform; mobile visitors like msg (0.6), others save15 (0.6; else 0.1)."""
    chance = random.Random(seed)
    examples = []
    for _ in range(count):
        device = chance.choice(["mobile", "desktop"])
        best = 0 if device == "mobile" else 2
        chosen = chance.randrange(len(OFFERS))
        reward = float(chance.random() < (0.6 if chosen == best else 0.1))
        context = build_features(
            {"device": device, "channel": chance.choice(["ads", "email"])},
            {"visits": chance.randrange(20)},
            {"seen": ["a"] * chance.randrange(2)},
            where="context",
            limit=limits.CONTEXT_FEATURES,
        )
        examples.append(Example(context, OFFERS, chosen, 1 / len(OFFERS), reward))
    return tuple(examples)


def with_reward(examples: Sequence[Example], best: int) -> list[Example]:
    """Return the examples as they'd be if exactly one offer paid, always."""
    return [Example(e.context, e.actions, e.chosen, e.propensity, float(e.chosen == best)) for e in examples]


texts = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=20),
    st.lists(st.sampled_from(NASTY), max_size=4).map("".join),
).filter(lambda text: len(text.encode("utf-8", "surrogatepass")) <= limits.NAME_BYTES)
numbers = st.one_of(
    st.floats(-limits.NUMBER_MAGNITUDE, limits.NUMBER_MAGNITUDE),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-40, 1e9, -1e9]),
)


@st.composite
def any_features(draw: st.DrawFn) -> Features:
    """Draw features as they could come out of any caller; names may be empty and values have surrogates."""
    return Features(
        categories=tuple(sorted(draw(st.dictionaries(texts, texts, max_size=5)).items())),
        numbers=tuple(sorted(draw(st.dictionaries(texts, numbers, max_size=5)).items())),
        tags=tuple(
            (name, tuple(sorted(values)))
            for name, values in sorted(
                draw(st.dictionaries(texts, st.sets(texts, max_size=3), max_size=3)).items()
            )
        ),
    )


@st.composite
def any_actions(draw: st.DrawFn) -> tuple[Action, ...]:
    """Draw 1 to 6 offers with different ids."""
    ids = draw(st.lists(texts, min_size=1, max_size=6, unique=True))
    return tuple(Action(offer_id, draw(any_features())) for offer_id in ids)
