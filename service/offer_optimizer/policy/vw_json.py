"""Features as the JSON that makes Vowpal Wabbit see what our text makes it see, for `vw --dsjson`.

Always holds: VW's JSON parser makes the very features of `vw_text` out of it, to the bit. A string value is
hashed as key and value in one, so `"cchannel=": "email"` is our `cchannel=email`; true is a feature of value
1; a number is what VW's text parser reads out of our digits, which differs from them in the last bits of
float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from offer_optimizer.core.features import Features
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.vw_text import (
    ATTRIBUTES,
    CONTEXT,
    IDENTITY,
    encode,
    feature_number,
    label_number,
)

Namespaces = dict[str, Mapping[str, str | float | bool]]

_DIGITS: Final = 36


def _powers() -> list[np.float32]:
    powers = [np.float32(1.0)]
    for _ in range(_DIGITS):
        powers.append(powers[-1] / np.float32(10.0))
    return powers


_POWERS: Final = _powers()
"""10^-n as VW's table has them: each a tenth of the one before, rounded to float32."""


def context_namespaces(context: Features) -> Namespaces:
    """Return the namespaces that all offers of a decision share."""
    return {CONTEXT: _values(context)}


def action_namespaces(action: Action) -> Namespaces:
    """Return the namespaces of one offer: its identity, then its attributes where it has some."""
    attributes = _values(action.attributes)
    identity: Namespaces = {IDENTITY: {"i=": encode(action.id)}}
    return {**identity, ATTRIBUTES: attributes} if attributes else identity


def label_value(number: float) -> float:
    """Return a cost or probability as VW reads it out of our label."""
    return number_as_read(label_number(number))


def number_as_read(digits: str) -> float:
    """Return plain digits as VW's text parser reads them: digit by digit in float32, then by its table."""
    sign = np.float32(-1.0 if digits.startswith("-") else 1.0)
    whole, _, fraction = digits.lstrip("-").partition(".")
    value = np.float32(0.0)
    for digit in whole:
        value = value * np.float32(10.0) + np.float32(ord(digit)) - np.float32(ord("0"))
    for digit in fraction[:_DIGITS]:
        value = value * np.float32(10.0) + np.float32(int(digit))
    return float(sign * (value * _POWERS[len(fraction[:_DIGITS])]))


def _values(features: Features) -> dict[str, str | float | bool]:
    values: dict[str, str | float | bool] = {
        f"c{encode(name)}=": encode(value) for name, value in features.categories
    }
    for name, number in features.numbers:
        values[f"n{encode(name)}"] = number_as_read(feature_number(number))
    for name, tags in features.tags:
        values.update({f"t{encode(name)}={encode(tag)}": True for tag in tags})
    return values
