"""Offers, kinds and placements out of their sections of a document, each on its own.

What a part says about another (an offer that a placement names) is checked in catalog_document.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Kind, Offer, OfferStatus, OfferType, Placement, PolicyChoice, Reward
from offer_optimizer.core.catalog_expectations import read_expected_reward
from offer_optimizer.core.catalog_section import Section
from offer_optimizer.core.catalog_shadows import read_shadows
from offer_optimizer.core.catalog_time import format_time
from offer_optimizer.core.counting import DECIDE
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import EMPTY, Features, build_features, check_name
from offer_optimizer.core.feedback import BUILT_IN_KINDS
from offer_optimizer.core.yaml_tree import Items, Node, Plain, Scalar, describe, plain, quote

CheckPolicy = Callable[[str, dict[str, Any]], object]
"""Raises InvalidInput unless a policy of this name takes these options; what it returns is not used."""

NUMERIC_ATTRIBUTES: Final = ("cost", "margin")
"""Attributes that every reader takes for numbers, so text in them is a slip."""

_TEXT_BYTES: Final = limits.PAYLOAD_BYTES
_CONSENTS: Final = ("FULL", "SERVE_ONLY", "NONE")
_OFFER_KEYS: Final = (
    *("id", "type", "status", "payload", "description", "group", "eligible", "start_time", "end_time"),
    "attributes",
    "like",
)
_PLACEMENT_KEYS: Final = (
    *("id", "description", "offers", "baseline", "policy", "ramp", "floor", "window", "reward"),
    *("consent_default", "eligible", "holdout", "sticky_for", "trust_occur_time", "grace", "close_on"),
    *("shadows", "expected_reward"),
)
_PLACEMENT_RESERVED: Final = ("slots", "attribution")
_LIMITS: Final = {
    "caps": "caps stand at the top of the document: caps: [{id: ..., offers: [...], limit: 3, within: 7d}]",
    "budgets": "budgets stand at the top of the document: budgets: [{id: ..., offers: [...], limit: 500}]",
    "cool_down": "write a cap: caps: [{id: ..., offers: [...], count_on: dismiss, limit: 1, within: 7d}]",
    "suppress_after": "write a cap: caps: [{id: ..., offers: [...], count_on: conversion, limit: 1}]",
}
_OFFER_HINTS: Final = {
    **{
        name: f'write it under "attributes": attributes: {{{name}: ...}}'
        for name in (*NUMERIC_ATTRIBUTES, "price", "tags")
    },
    **_LIMITS,
}
_PLACEMENT_HINTS: Final = {
    **_LIMITS,
    "start_time": "offers have times, placements have none",
    "end_time": "offers have times, placements have none",
}


@dataclass(frozen=True, slots=True)
class OfferDraft:
    """An offer with its section, for the checks across parts."""

    offer: Offer
    section: Section


@dataclass(frozen=True, slots=True)
class PlacementDraft:
    """A placement with the lines of what it refers to, for the checks across parts."""

    placement: Placement
    section: Section
    offer_lines: tuple[tuple[int, str], ...]
    baseline_lines: tuple[tuple[int, str], ...]
    formula_line: int
    close_on_lines: tuple[tuple[int, str], ...] = ()


def read_kind(section: Section) -> Kind | None:
    """Return a custom kind, or None with its problems noted."""
    section.check_keys(("id", "unit", "description"))
    unit = section.text("unit")
    description = section.text("description", _TEXT_BYTES)
    kind_id = section.identifier("id")
    if kind_id in BUILT_IN_KINDS:
        section.problem("id", f"{quote(kind_id)} is built in; declare custom kinds only")
        return None
    if kind_id == DECIDE:
        section.problem("id", f"{quote(kind_id)} is what caps and budgets call the decision; take another")
        return None
    return None if kind_id is None else Kind(id=kind_id, unit=unit, description=description)


def read_offer(section: Section) -> OfferDraft | None:
    """Return an offer, or None with its problems noted."""
    section.check_keys(_OFFER_KEYS, (), _OFFER_HINTS)
    offer_id = section.identifier("id")
    offer_type = section.choice("type", [*OfferType], None)
    status = section.choice("status", [*OfferStatus], OfferStatus.LIVE)
    payload = _payload(section)
    description = section.text("description", _TEXT_BYTES)
    group = section.identifier("group") or "" if section.has("group") else ""
    eligible = section.filled_text("eligible", limits.RULE_BYTES)
    start_time_us, end_time_us = section.time_us("start_time"), section.time_us("end_time")
    if start_time_us is not None and end_time_us is not None and start_time_us >= end_time_us:
        times = f"start_time is {format_time(start_time_us)}, end_time {format_time(end_time_us)}"
        section.problem("end_time", f"must be later than start_time ({times})")
    attributes = _attributes(section)
    like = section.identifier("like") or "" if section.has("like") else ""
    if offer_id is None or offer_type is None or status is None:
        return None
    offer = Offer(
        id=offer_id,
        type=OfferType(offer_type),
        status=OfferStatus(status),
        payload=payload,
        description=description,
        group=group,
        eligible=eligible,
        start_time_us=start_time_us,
        end_time_us=end_time_us,
        attributes=attributes,
        like=like,
    )
    return OfferDraft(offer, section)


def read_placement(section: Section, check_policy: CheckPolicy | None) -> PlacementDraft | None:
    """Return a placement whose references are unchecked, or None with its problems noted."""
    section.check_keys(_PLACEMENT_KEYS, _PLACEMENT_RESERVED, _PLACEMENT_HINTS)
    placement_id = section.identifier("id")
    offers = _offer_ids(section)
    baseline = section.identifiers("baseline", limits.CANDIDATES)
    standard = Placement.model_fields
    reward, formula_line = _reward(section)
    description = section.text("description", _TEXT_BYTES)
    policy = _policy(section, check_policy)
    consent = section.choice("consent_default", _CONSENTS, "FULL")
    ramp = section.number("ramp", standard["ramp"].default, 0.0, 1.0)
    floor = section.number("floor", standard["floor"].default, 0.0, 1.0)
    if 0.0 < floor < limits.FLOOR_LEAST:
        section.problem("floor", f"must be 0, or at least {limits.FLOOR_LEAST:g} (is {floor:g})")
    window_s = section.duration_s(
        "window", standard["window_s"].default, limits.WINDOW_MIN_S, limits.WINDOW_MAX_S
    )
    eligible = section.filled_text("eligible", limits.RULE_BYTES)
    holdout = section.share("holdout", 0.0) if section.has("holdout") else None
    sticky_for_s = section.duration_s("sticky_for", 0.0, 0.0, limits.REPEAT_S)
    trust_occur_time, grace_s = _trust(section)
    close_on = section.identifiers("close_on", limits.KINDS)
    shadows = read_shadows(section, lambda inner: _policy(inner, check_policy))
    expected_reward = read_expected_reward(section, [offer for _, offer in offers], reward)
    if placement_id is None:
        return None
    placement = Placement(
        id=placement_id,
        description=description,
        offers=tuple(offer for _, offer in offers),
        baseline=tuple(offer for _, offer in baseline),
        policy=policy,
        ramp=ramp,
        floor=floor,
        window_s=window_s,
        reward=reward,
        consent_default=cast('Literal["FULL", "SERVE_ONLY", "NONE"]', consent),
        eligible=eligible,
        holdout=holdout,
        sticky_for_s=sticky_for_s,
        trust_occur_time=trust_occur_time,
        grace_s=grace_s,
        close_on=tuple(kind for _, kind in close_on),
        shadows=shadows,
        expected_reward=expected_reward,
    )
    return PlacementDraft(placement, section, tuple(offers), tuple(baseline), formula_line, tuple(close_on))


def _trust(section: Section) -> tuple[bool, float]:
    """Return whether `occur_time` decides the window, and the grace."""
    trusted = section.flag("trust_occur_time")
    grace_s = section.duration_s("grace", 0.0, 0.0, limits.GRACE_MAX_S)
    if section.has("grace") and not trusted:
        section.problem("grace", "needs trust_occur_time: true; without it the time of arrival decides")
    return trusted, grace_s


def _offer_ids(section: Section) -> list[tuple[int, str]]:
    if not section.require("offers"):
        return []
    node = section.node("offers")
    if isinstance(node, Items) and not node.nodes:
        section.problem("offers", "must list at least one offer")
    return section.identifiers("offers", limits.CANDIDATES)


def _payload(section: Section) -> str:
    node = section.node("payload")
    if node is None:
        return ""
    if isinstance(node, Scalar):
        return section.text_of(node, "payload", limits.PAYLOAD_BYTES) or ""
    value = plain(node)
    if not _is_json(value):
        section.problem("payload", "has a number that JSON can't hold exactly; write it in quotes")
        return ""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    size = len(text.encode())
    if size > limits.PAYLOAD_BYTES:
        section.problem("payload", f"is {size} bytes as JSON, at most {limits.PAYLOAD_BYTES}")
        return ""
    return text


def _is_json(value: Plain) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, bool | str) or value is None:
        return True
    # Above 2^53 readers that know doubles only (browsers) see another integer.
    return math.isfinite(value) and (isinstance(value, float) or abs(value) <= 2**53)


def _attributes(section: Section) -> Features:
    inner = section.mapping("attributes")
    if inner is None:
        return EMPTY
    categories: dict[str, str] = {}
    numbers: dict[str, float] = {}
    tags: dict[str, list[str]] = {}
    for name, node in inner.entries():
        try:
            check_name(name, name)
        except InvalidInput as error:
            inner.problem(name, error.problem)
            continue
        value = node.resolve() if isinstance(node, Scalar) else None
        if isinstance(node, Items):
            tags[name] = _tags(inner, name, node)
        elif isinstance(value, bool):
            # A number, so that formulas can read it.
            numbers[name] = 1.0 if value else 0.0
        elif isinstance(value, int | float) or name in NUMERIC_ATTRIBUTES:
            numbers[name] = inner.number_of(node, name) or 0.0
        elif isinstance(value, str):
            categories[name] = inner.text_of(node, name) or ""
        else:
            rule = "must be text, a number, true, false or a list of texts"
            inner.problem(name, f"{rule} (is {describe(node)})")
    try:
        return build_features(categories, numbers, tags, where="attributes", limit=limits.OFFER_FEATURES)
    except InvalidInput as error:
        section.problem("attributes", error.problem)
        return EMPTY


def _tags(section: Section, name: str, node: Items) -> list[str]:
    if not node.nodes:
        section.problem(name, "an empty list says nothing: remove it")
    if name in NUMERIC_ATTRIBUTES:
        section.number_of(node, name)
        return []
    return [value for item in node.nodes if (value := section.text_of(item, name)) is not None]


def _policy(section: Section, check_policy: CheckPolicy | None) -> PolicyChoice:
    standard = PolicyChoice()
    node = section.node("policy")
    if node is None:
        return standard
    options: Plain = {}
    if isinstance(node, Scalar):
        name = section.identifier_of(node, "policy")
    else:
        inner = section.mapping("policy")
        if inner is None:
            return standard
        inner.check_keys(("name", "options"))
        name = inner.identifier("name")
        options = _options(inner)
    if name is None:
        return standard
    choice = PolicyChoice(name=name, options=cast("dict[str, Any]", options))
    if check_policy is not None:
        try:
            check_policy(choice.name, choice.options)
        except InvalidInput as error:
            section.problem("policy", str(error))
    return choice


def _options(section: Section) -> Plain:
    inner = section.mapping("options")
    if inner is None:
        return {}
    options = {name: plain(node) for name, node in inner.entries()}
    if not _is_json(cast("Plain", options)):
        section.problem("options", "has a number that JSON can't hold exactly")
        return {}
    return cast("Plain", options)


def _reward(section: Section) -> tuple[Reward, int]:
    standard = Reward()
    inner = section.mapping("reward")
    if inner is None:
        return standard, section.line_of("reward")
    inner.check_keys(("formula", "min", "max", "default"))
    magnitude = limits.NUMBER_MAGNITUDE
    reward = Reward(
        formula=inner.filled_text("formula", limits.FORMULA_BYTES) or standard.formula,
        min=inner.number("min", standard.min, -magnitude, magnitude),
        max=inner.number("max", standard.max, -magnitude, magnitude),
        default=inner.number("default", standard.default, -magnitude, magnitude),
    )
    if reward.min >= reward.max:
        inner.problem("min", f"must be below max (is {reward.min:g}, max is {reward.max:g})")
    elif not reward.min <= reward.default <= reward.max:
        bounds = f"min {reward.min:g} to max {reward.max:g}"
        inner.problem("default", f"must be from {bounds} (is {reward.default:g})")
    return reward, inner.line_of("formula")


def node_name(node: Node, word: str, position: int) -> str:
    """Return how messages name an entry of a list: `offer "x"`, or `offer 3` where it has no id."""
    entry = plain(node) if not isinstance(node, Scalar) else None
    name = entry.get("id") if isinstance(entry, dict) else None
    return f"{word} {quote(name)}" if isinstance(name, str) and name else f"{word} {position}"
