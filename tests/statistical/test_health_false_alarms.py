"""Healthy placements alarm as seldom as is stated: a look at one rate at most 3.4 times in a million.

A look tests some 20 rates, so the 2,520 looks of a kind in the proof would alarm 0.17 times if each were at
its limit; what follows from one bad hour shows in the next looks too, so episodes are counted. More than
one then comes with a probability of 0.013.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from offer_optimizer.evaluate.health import loop_health
from tests.conftest import Size
from tests.statistical.healthy_weeks import DAYS, KINDS, HealthyWeeks


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_healthy_weeks_have_hardly_an_alarm(kind: str, size: Size, figure: Callable[[str], None]) -> None:
    """At most one episode in 30 weeks that are looked at every two hours; none in the short forms."""
    weeks, every = size.pick(test=(1, 12), ci=(6, 6), proof=(30, 2))
    looks, episodes, names = 0, 0, set[str]()
    for seed in range(weeks):
        shop = HealthyWeeks(KINDS[kind], seed)
        before: set[str] = set()
        for now in range((DAYS - 7) * 24, DAYS * 24, every):
            looks += 1
            sounding = {alarm.name for alarm in loop_health(shop.rollups(now), shop.facts(now)).alarms}
            episodes += len(sounding - before)
            names |= sounding
            before = sounding
    figure(f"healthy, {kind}: {episodes} false alarms {sorted(names) or ''} in {looks:,} looks")
    assert episodes <= size.pick(test=0, ci=0, proof=1)
