"""Features as Vowpal Wabbit text: the one featurizer of deciding, learning and replay.

Always holds: equal features give equal text in every process; two different features never give the same
text; no name or value can end a token, a namespace, a line or a label, because all that VW or this format
reads as syntax is percent-encoded; no offer line is ever empty, since every offer carries its identity.
Knows the text format only: nothing here imports VW.

    shared |c cchannel=email nvisits:1.8184465 ttag=a      one context line
    |o i=coupon-10 |a ckind=coupon ndiscount:2.9982229     one line per offer
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import starmap
from math import asinh
from typing import Final
from urllib.parse import quote

from offer_optimizer.core.features import Features
from offer_optimizer.policy.contract import Action

FEATURIZER_VERSION: Final = 1
"""Changes whenever equal features would give another text; part of the policy epoch."""

CONTEXT: Final = "c"
IDENTITY: Final = "o"
ATTRIBUTES: Final = "a"
"""Namespaces, one letter each: in crosses VW tells namespaces apart by their first byte only."""

TOKENS_KEPT: Final = 8192
"""Tokens of each type that are remembered; one has 800 bytes at most."""

# Stricter than VW needs: it breaks on whitespace, controls, 0x1c-0x1e, 0x85, "|", ":" and "%"; "=" is ours.
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.~-]")


def context_line(context: Features) -> str:
    """Return the line that all offers of a decision share, without a newline."""
    # The bar stays when there are no features: without it VW reads another example.
    return f"shared |{CONTEXT}{_tokens(context)}"


def action_line(action: Action) -> str:
    """Return the line of one offer: its identity, then its attributes, without label or newline."""
    # The letter in front keeps digits from being read as a weight index.
    identity = f"|{IDENTITY} i={encode(action.id)}"
    attributes = _tokens(action.attributes)
    return f"{identity} |{ATTRIBUTES}{attributes}" if attributes else identity


def labelled(line: str, cost: float, probability: float) -> str:
    """Return the line of the chosen offer, labelled with its cost and probability (both finite)."""
    return f"0:{label_number(cost)}:{label_number(probability)} {line}"


def label_number(number: float) -> str:
    """Return a cost or a probability as labels have it, in plain digits.

    VW's parser makes NaN of a legal cost such as 1e-113, which poisons the model for ever.
    """
    return f"{number:.9f}"


def _tokens(features: Features) -> str:
    """Return every feature as ` token`, in the canonical order; one letter by type comes first."""
    tokens = [*starmap(_category, features.categories)]
    # Loops, because each comprehension is a call of its own.
    for name, number in features.numbers:
        tokens += (_number_name(name), f"{asinh(number):.7f}")  # as `feature_number`, which would be a call
    for name, values in features.tags:
        for value in values:
            tokens.append(_tag(name, value))
    return "".join(tokens)


def feature_number(number: float) -> str:
    """Return a number squashed by asinh: linear near zero, logarithmic far out, 21.4 at the largest legal.

    Raw, the square of a cross of two legal numbers (1e36) overflows VW's float32 sums within some hundred
    examples.
    """
    # Seven digits are what float32 keeps; the parser of VW is given plain digits only.
    return f"{asinh(number):.7f}"


def category_token(name: str, value: str) -> str:
    """Return the token of a category."""
    return f"c{encode(name)}={encode(value)}"


def number_token(name: str) -> str:
    """Return the token of a number, without the number."""
    return f"n{encode(name)}"


def tag_token(name: str, value: str) -> str:
    """Return the token of one value of a tag."""
    return f"t{encode(name)}={encode(value)}"


@lru_cache(maxsize=TOKENS_KEPT)
def _category(name: str, value: str) -> str:
    return f" {category_token(name, value)}"


@lru_cache(maxsize=TOKENS_KEPT)
def _number_name(name: str) -> str:
    return f" {number_token(name)}:"


@lru_cache(maxsize=TOKENS_KEPT)
def _tag(name: str, value: str) -> str:
    return f" {tag_token(name, value)}"


def encode(text: str) -> str:
    """Return a name or value with every byte but ASCII letters, digits and `_.~-` percent-encoded."""
    if _UNSAFE.search(text) is None:
        return text
    # An unpaired surrogate can't come out of protobuf, but must not raise if it comes from elsewhere.
    return quote(text.encode("utf-8", "surrogatepass"), safe="")
