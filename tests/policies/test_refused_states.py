"""A state that is refused is not quoted: refusals are logged, and states hold words of contexts."""

from __future__ import annotations

import random
from typing import Any, Final

import pytest

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.core.features import Features
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.policy.state import title_of

CANARY: Final = "jane@example.org"
SECRETS: Final = Features(
    categories=((CANARY, CANARY),), numbers=((f"{CANARY} n", 1.5),), tags=((f"{CANARY} t", (CANARY,)),)
)
OTHER_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "auto": {"half_life": 100.0},
    "linear": {"half_life": 100.0},
    "thompson": {"half_life": 100.0},
    "vw": {"bits": 12},
}
every_learner = pytest.mark.parametrize("name", OTHER_OPTIONS)


def saved(name: str) -> bytes:
    """Return what a policy saves that has seen the canary wherever a request can put it."""
    policy = registry.create(name, {}, ())
    policy.learn(Example(SECRETS, (Action(CANARY, SECRETS), Action("b", SECRETS)), 0, 0.5, 1.0))
    return policy.save()


def refusal(name: str, options: dict[str, Any], state: bytes) -> str:
    """Return what a policy says of a state that it does not take; nothing where it does."""
    for load in (registry.load_asked, registry.load):
        try:
            load(name, options, (), state)
        except PolicyFault as error:
            return str(error)
    return ""


@every_learner
def test_a_state_of_another_policy_or_of_other_options_is_named_by_its_title_alone(name: str) -> None:
    state = saved(name)
    for other, options in [(other, {}) for other in OTHER_OPTIONS if other != name] + [
        (name, OTHER_OPTIONS[name])
    ]:
        said = refusal(other, options, state)
        assert title_of(state).decode()[:20] in said
        assert "jane" not in said


@every_learner
def test_what_has_no_title_is_not_quoted_at_all(name: str) -> None:
    for state in (CANARY.encode(), CANARY.encode() * 100, CANARY.encode() * 100 + b"\n"):
        said = refusal(name, {}, state)
        assert said
        assert "jane" not in said


@pytest.mark.parametrize("name", ["linear", "thompson"])
def test_damage_behind_the_title_is_refused_without_a_word_of_it(name: str) -> None:
    state, chance = saved(name), random.Random(name)
    start = len(title_of(state)) + 1
    header = min(len(state), start + 2000)
    refused_count = 0
    for _ in range(300):
        damaged = bytearray(state)
        place = chance.randrange(start, header)
        if chance.random() < 0.5:
            damaged[place] = chance.choice(b'x"[]{}:,0-\x00\xff')
        else:
            del damaged[place : place + chance.choice((1, 4, len(damaged)))]
        said = refusal(name, {}, bytes(damaged))
        refused_count += bool(said)
        assert "jane" not in said
    assert refused_count > 100
