"""What a shadow is judged by: formulas against a plain sum, bytes across restarts, refusals, gates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offer_optimizer.core.catalog import ShadowGate
from offer_optimizer.evaluate.shadow_judge import BLOCK, ShadowJudge
from tests.unit.evaluate.shadow_rows import LOGGED, fed, judged


def test_estimates_are_the_formulas_of_the_papers() -> None:
    count = 3 * BLOCK + 100
    verdict = fed(count).verdict(1)
    rows = [judged(number) for number in range(count)]
    weight = np.array([row.weight for row in rows])
    chosen = [row.decision.slots[0].chosen for row in rows]
    ratio = np.array([row.pmf[at] / float(LOGGED[at]) for row, at in zip(rows, chosen, strict=True)])
    reward = np.array([row.reward for row in rows])
    ips = float((weight * ratio * reward).sum() / weight.sum())
    incumbent = float((weight * reward).sum() / weight.sum())
    assert verdict.ips.value == pytest.approx(ips, rel=1e-5)
    assert verdict.snips.value == pytest.approx(
        (weight * ratio * reward).sum() / (weight * ratio).sum(), rel=1e-5
    )
    assert verdict.incumbent.value == pytest.approx(incumbent, rel=1e-9)
    assert verdict.gain_ips.value == pytest.approx(ips - incumbent, rel=1e-4)
    assert verdict.dr.value is not None
    assert verdict.gain.value == pytest.approx(verdict.dr.value - incumbent, abs=0.03)


@settings(max_examples=12)
@given(st.lists(st.integers(0, 700), max_size=4), st.sampled_from([50, 100_000]))
def test_stopping_and_going_on_anywhere_gives_the_same_bytes(stops: list[int], visitors: int) -> None:
    judge = ShadowJudge()
    for number in range(700):
        if number in stops:
            judge = ShadowJudge(judge.save())
        judge.add(judged(number % 97 if visitors == 50 else number, visitors=visitors))
    assert judge.save() == _uninterrupted(visitors)


_KNOWN: dict[int, bytes] = {}


def _uninterrupted(visitors: int) -> bytes:
    if visitors not in _KNOWN:
        judge = ShadowJudge()
        for number in range(700):
            judge.add(judged(number % 97 if visitors == 50 else number, visitors=visitors))
        _KNOWN[visitors] = judge.save()
    return _KNOWN[visitors]


def test_few_visitors_and_a_shadow_like_the_incumbent_are_refused_and_pass_no_gate() -> None:
    few = fed(300)
    assert "visitors" in few.verdict(1).gain.refused_reason
    assert not few.passed(ShadowGate(margin=-1.0, visitors=400), 1)
    same = ShadowJudge()
    for number in range(600):
        same.add(replace(judged(number, visitors=100_000), pmf=LOGGED.astype(np.float64)))
    assert "never varied" in same.verdict(1).gain.refused_reason
    assert not same.passed(ShadowGate(margin=-1.0, visitors=400), 1)


def test_a_gate_waits_for_its_visitors_and_its_margin() -> None:
    judge = fed(1500, visitors=100_000)
    gain = judge.verdict(1).gain
    assert gain.low is not None
    assert judge.passed(ShadowGate(margin=gain.low - 0.01, visitors=1000), 1)
    assert not judge.passed(ShadowGate(margin=gain.low, visitors=1000), 1)
    assert not judge.passed(ShadowGate(margin=gain.low - 0.01, visitors=2000), 1)


def test_more_shadows_make_wider_sequences() -> None:
    judge = fed(1500, visitors=100_000)
    one, five = judge.verdict(1).gain.width, judge.verdict(5).gain.width
    assert one is not None
    assert five is not None
    assert five > one


def test_the_shadow_is_judged_as_it_would_have_served_floor_included() -> None:
    """A shadow that is certain of another offer than the chosen one still has the floor's weight there."""
    judge = ShadowJudge()
    for number in range(600):
        row = judged(number, visitors=100_000, floor=0.3)
        chosen = row.decision.slots[0].chosen
        judge.add(replace(row, pmf=np.eye(3)[(chosen + 1) % 3]))
    assert judge.verdict(1).ips.mean_weight > 0.25
