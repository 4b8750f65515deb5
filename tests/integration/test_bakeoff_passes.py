"""The bake-off's passes are kept by what made them; its peers are asked and taught as their users would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.bakeoff import passes, race
from benchmarks.bakeoff.fingerprint import fingerprint
from benchmarks.bakeoff.peer_columns import PeerColumns
from benchmarks.bakeoff.peer_mabwiser import MabwiserPolicy
from benchmarks.bakeoff.peer_vw import AZURE, PLAIN, PlainVw
from benchmarks.bakeoff.race import Result
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.policy.contract import Action, Example

ACTIONS = tuple(Action(f"offer-{n}", EMPTY) for n in range(3))


def plan(kept: Path, *names: str) -> passes.Plan:
    return passes.Plan(names, ("corner",), (1,), limit=50, kept=kept)


def test_a_pass_that_was_kept_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = passes.race_all(plan(tmp_path, "uniform"), 1, lambda _: None)
    assert len(list(tmp_path.glob("*.json"))) == 2  # the facts and the pass
    ran: list[object] = []

    def counted(*given: Any) -> Result:  # noqa: ANN401  (what run takes)
        ran.append(given)
        return race.run(*given)

    monkeypatch.setattr(passes, "run", counted)
    both = passes.race_all(plan(tmp_path, "uniform", "thompson"), 1, lambda _: None)
    assert len(ran) == 1
    assert both.passes["uniform"] == first.passes["uniform"]
    assert both.facts == first.facts


def test_a_fingerprint_reaches_what_is_imported_and_nothing_else() -> None:
    linear = fingerprint(("offer_optimizer.policy.linear",))
    assert fingerprint(("offer_optimizer.policy.linear", "offer_optimizer.policy.ridge")) == linear
    assert fingerprint(("offer_optimizer.policy.linear", "offer_optimizer.policy.thompson")) != linear


def test_mabwiser_chooses_what_ridge_regressions_with_upper_bounds_choose() -> None:
    """LinUCB by hand, alpha 1 and lambda 1, over 60 examples of two categories; fitted with each."""
    chance = np.random.default_rng(3)
    contexts = [Features(categories=(("channel", f"v{n}"),)) for n in chance.integers(2, size=60)]
    policy = MabwiserPolicy("LinUCB", PeerColumns(contexts), batch=1, seed=1)
    gram, moments = [np.eye(3) for _ in ACTIONS], [np.zeros(3) for _ in ACTIONS]
    for at, context in enumerate(contexts):
        value = context.categories[0][1]
        row = np.array([1.0, value == "v0", value == "v1"])
        chosen = int(policy.pmf(context, ACTIONS).argmax())
        if at > 0:
            bounds = [
                row @ np.linalg.solve(a, b) + np.sqrt(row @ np.linalg.solve(a, row))
                for a, b in zip(gram, moments, strict=True)
            ]
            assert bounds[chosen] == pytest.approx(max(bounds))
        reward = float(chance.random() < (0.8 if chosen == int(value[1]) else 0.2))
        policy.learn(Example(context, ACTIONS, chosen, 1.0, reward))
        gram[chosen] += np.outer(row, row)
        moments[chosen] += reward * row


@pytest.mark.parametrize(("arguments", "explored"), [(PLAIN, 0.05), (AZURE, 0.2)], ids=["plain", "azure"])
def test_vw_as_a_peer_learns_whom_an_offer_suits(arguments: tuple[str, ...], explored: float) -> None:
    chance = np.random.default_rng(4)
    contexts = [Features(categories=(("channel", f"v{n}"),)) for n in range(2)]
    policy = PlainVw(arguments, seed=1)
    for _ in range(600):
        pick, chosen = int(chance.integers(2)), int(chance.integers(3))
        reward = float(chosen == pick)
        policy.learn(Example(contexts[pick], ACTIONS, chosen, 1 / 3, reward))
    for pick, context in enumerate(contexts):
        assert policy.pmf(context, ACTIONS)[pick] == pytest.approx(1.0 - explored * 2 / 3, abs=1e-5)
    policy.close()
