"""Names, options and what is hashed into an epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib import metadata
from importlib.metadata import version
from typing import Any

import pytest

from offer_optimizer.core.errors import InvalidInput, PolicyFault
from offer_optimizer.policy import registry
from offer_optimizer.policy.vw_options import VwOptions


@pytest.mark.parametrize("call", [registry.learns, registry.library_versions])
def test_an_unknown_name_is_refused_with_the_names_there_are(call: Callable[[str], object]) -> None:
    with pytest.raises(
        InvalidInput, match=r"policy\.name.*'nope'.*auto, baseline, linear, thompson, uniform, vw"
    ):
        call("nope")
    with pytest.raises(InvalidInput, match=r"policy\.name"):
        registry.describe("nope", {})


@pytest.mark.parametrize(
    ("options", "field", "text"),
    [
        ({"bits": 23}, "policy.options.bits", "22"),
        ({"bits": 9}, "policy.options.bits", "10"),
        ({"bits": 18.0}, "policy.options.bits", "integer"),
        ({"learning_rate": math.nan}, "policy.options.learning_rate", "finite"),
        ({"learning_rate": True}, "policy.options.learning_rate", "number"),
        ({"exploration": "bag"}, "policy.options.exploration", "'squarecb', 'epsilon' or 'softmax'"),
        ({"epsilon": 0.1}, "policy.options", "exploration: epsilon"),
        ({"gamma_scale": 1.0, "exploration": "softmax"}, "policy.options", "exploration: squarecb"),
        ({"graph_feedback": True}, "policy.options.graph_feedback", "allowed: exploration"),
        ({"daemon\n": True}, "policy.options.daemon\\n", "allowed"),
    ],
)
def test_a_bad_option_is_refused_by_name_with_what_is_allowed(
    options: dict[str, Any], field: str, text: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        registry.describe("vw", options)
    assert raised.value.field == field
    assert text in raised.value.problem


@pytest.mark.parametrize("name", ["baseline", "uniform"])
def test_policies_without_options_take_none(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"policy\.options\.bits.*no options"):
        registry.describe(name, {"bits": 18})
    assert registry.describe(name, {}) == {}


@pytest.mark.parametrize("name", ["baseline", "uniform"])
def test_policies_without_state_refuse_one(name: str) -> None:
    with pytest.raises(PolicyFault, match="3 bytes"):
        registry.load(name, {}, (), b"abc")


def test_a_description_fills_in_defaults_and_means_the_same_as_options() -> None:
    described = registry.describe("vw", {"learning_rate": 2})
    assert described == registry.describe("vw", {"learning_rate": 2.0, "bits": 18})
    assert described == registry.describe("vw", described)
    assert json.loads(json.dumps(described)) == described
    assert described["exploration"] == "squarecb"


@pytest.mark.parametrize("exploration", ["squarecb", "epsilon", "softmax"])
def test_a_description_leaves_out_what_has_no_effect(exploration: str) -> None:
    owners = {
        "gamma_scale": "squarecb",
        "gamma_exponent": "squarecb",
        "epsilon": "epsilon",
        "sharpness": "softmax",
    }
    described = registry.describe("vw", {"exploration": exploration})
    assert {option for option in owners if option in described} == {
        option for option, owner in owners.items() if owner == exploration
    }


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [
        ("linear", {"model": "forest"}, "policy.options.model"),
        ("linear", {"half_life": 1.0}, "policy.options.half_life"),
        ("linear", {"gamma_scale": 0.0}, "policy.options.gamma_scale"),
        ("linear", {"optimism": -1.0}, "policy.options.optimism"),
        ("thompson", {"half_life": math.inf}, "policy.options.half_life"),
        ("thompson", {"model": "bias"}, "policy.options.model"),
    ],
)
def test_numpy_policies_refuse_options_they_do_not_have(
    name: str, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        registry.describe(name, options)
    assert raised.value.field == field


def test_only_squarecb_learns_fast_unless_told_otherwise() -> None:
    """The others weigh an example by its propensity, so a fast one would follow a single rare choice."""
    assert registry.describe("vw", {})["learning_rate"] == 1.0
    assert registry.describe("vw", {"exploration": "softmax"})["learning_rate"] == 0.05
    assert registry.describe("vw", {"exploration": "softmax", "learning_rate": 0.3})["learning_rate"] == 0.3


def test_versions_cover_the_library_and_our_own_learning() -> None:
    assert registry.library_versions("vw")["vowpalwabbit"] == version("vowpalwabbit")
    assert "offer_optimizer.policy.vw" in registry.library_versions("vw")
    assert registry.library_versions("uniform") == {}


def test_the_version_of_a_library_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes milliseconds, and every round of a learner asks for epochs."""
    first = registry.library_versions("linear")
    monkeypatch.setattr(metadata, "version", lambda library: pytest.fail(f"{library} is read again"))
    assert registry.library_versions("linear") == first


@pytest.mark.parametrize(
    "change",
    [
        {"gamma_scale": 1.0},
        {"gamma_exponent": 0.1},
        {"exploration": "epsilon"},
        {"exploration": "epsilon", "epsilon": 0.2},
        {"exploration": "softmax"},
        {"exploration": "softmax", "sharpness": 1.0},
        {"learning_rate": 2.0},
        {"power_t": 0.1},
        {"bits": 12},
        {"interactions": False},
    ],
)
def test_every_option_changes_the_arguments(change: dict[str, Any]) -> None:
    without = {key: value for key, value in change.items() if key == "exploration" and len(change) > 1}
    assert VwOptions(**change).arguments() != VwOptions(**without).arguments()
