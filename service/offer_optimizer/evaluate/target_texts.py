"""Target policies as people write them: `always:OFFER`, `uniform`, `cel:EXPRESSION`, and so on.

The only place that knows every kind. What stands behind the first colon belongs to the kind.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import show
from offer_optimizer.evaluate.target import TargetPolicy
from offer_optimizer.evaluate.target_cel import CelPolicy
from offer_optimizer.evaluate.target_fixed import Always, Logged, Uniform
from offer_optimizer.evaluate.target_learned import LearnedPolicy
from offer_optimizer.evaluate.target_table import TablePolicy
from offer_optimizer.policy import registry

RewardRange = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of target: how it is written, what it does, and what makes it of (whole text, argument)."""

    shape: str
    summary: str
    build: Callable[[str, str, RewardRange], TargetPolicy]
    takes_argument: bool = True
    needs_argument: bool = True


def parse_target(text: str, reward_range: RewardRange = None) -> TargetPolicy:
    """Return the target policy that a text names.

    `reward_range` are the rewards that become 0 and 1 for policies that learn; None takes the log's own.
    Raises InvalidInput naming what is wrong and what is allowed.
    """
    name, colon, argument = text.partition(":")
    kind = KINDS.get(name) or _registered(name)
    if kind is None:
        near = difflib.get_close_matches(name, [*KINDS, *registry.ENTRIES], n=1)
        hint = f"; did you mean {show(near[0])}?" if near else ""
        shapes = ", ".join(known.shape for known in KINDS.values())
        raise InvalidInput("policy", f"{show(text)} is unknown; there are {shapes}, NAME:OPTIONS{hint}")
    if colon and not kind.takes_argument:
        raise InvalidInput("policy", f"{show(text)}: {name} takes nothing behind it")
    if kind.needs_argument and not argument:
        raise InvalidInput("policy", f"{show(text)}: write {kind.shape}")
    return kind.build(text, argument, reward_range)


def parse_options(text: str) -> Mapping[str, Any]:
    """Return options written as `name=value,name=value`, or as one JSON object. Raises InvalidInput."""
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise InvalidInput("policy options", f"can't be read as JSON: {error}") from None
        return dict(found)
    options: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, sign, value = part.partition("=")
        if not sign:
            raise InvalidInput("policy options", f"{show(part)} is not NAME=VALUE")
        try:
            options[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InvalidInput("policy options", f"{show(value)} is no value") from None
    return options


def _catalog(text: str, argument: str, reward_range: RewardRange) -> TargetPolicy:
    from offer_optimizer.evaluate.target_catalog import catalog_policy  # noqa: PLC0415  (loads the decision path)

    return catalog_policy(text, argument, reward_range)


def _baseline(text: str, argument: str) -> TargetPolicy:
    offers = tuple(filter(None, map(str.strip, argument.split(","))))
    return LearnedPolicy(text, "baseline", {}, offers)


def _registered(name: str) -> Kind | None:
    """Return the kind of a registered policy, None where there is none of that name."""
    if name not in registry.ENTRIES:
        return None

    def build(text: str, argument: str, reward_range: RewardRange) -> TargetPolicy:
        options = parse_options(argument)
        registry.describe(name, options)
        return LearnedPolicy(text, name, options, reward_range=reward_range)

    summary = "a registered policy, learned progressively" if registry.learns(name) else "a registered policy"
    return Kind(f"{name}:OPTIONS", summary, build, needs_argument=False)


KINDS: Final[Mapping[str, Kind]] = {
    "always": Kind("always:OFFER", "one offer in every row", lambda text, own, _: Always(text, own)),
    "uniform": Kind(
        "uniform",
        "every eligible offer alike",
        lambda text, _, __: Uniform(text),
        takes_argument=False,
        needs_argument=False,
    ),
    "logged": Kind(
        "logged",
        "as the log did",
        lambda text, _, __: Logged(text),
        takes_argument=False,
        needs_argument=False,
    ),
    "cel": Kind("cel:EXPRESSION", "the offer whose id CEL makes", lambda text, own, _: CelPolicy(text, own)),
    "baseline": Kind(
        "baseline:OFFER,OFFER",
        "the first of these that is eligible",
        lambda text, own, _: _baseline(text, own),
    ),
    "pmf": Kind("pmf:FILE", "probabilities from a file", lambda text, own, _: TablePolicy(text, Path(own))),
    "catalog": Kind("catalog:FILE#PLACEMENT", "the whole system under a catalog", _catalog),
}
