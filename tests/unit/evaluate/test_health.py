"""Every alarm sounds where it should, is silent just short of it, and is in the handbook."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from offer_optimizer.evaluate.alarms import ADVICE
from offer_optimizer.evaluate.health import PlacementHealth, loop_health
from offer_optimizer.store.rollup_tables import HOUR_US, MILLION, Key, Measure, Rollup
from tests.unit.evaluate.health_worlds import (
    FACTS,
    HEALTHY,
    HOME,
    HOURS,
    LOOP,
    NOW_HOUR,
    SECOND_US,
    health,
    names,
    rollups,
)
from tests.unit.test_project import read

FEEDBACK: Final = Measure.FEEDBACK
LATER: Final[Mapping[Key, int]] = {
    (Measure.ARRIVAL, "6"): 5,
    (Measure.ARRIVAL, "8"): 10,
    (Measure.ARRIVAL, "10"): 50,
    (Measure.ARRIVAL, "12"): 60,
    (Measure.ARRIVAL, "14"): 15,
}
# name: (counts of the last six hours where it sounds, counts where it must not)
BY_COUNTS: Final[Mapping[str, tuple[Mapping[Key, int], Mapping[Key, int]]]] = {
    "model_unavailable": (
        {(Measure.DECISION, "MODEL_UNAVAILABLE"): 30},
        {(Measure.DECISION, "MODEL_UNAVAILABLE"): 8},
    ),
    "counters_unready": ({(Measure.UNREADY, ""): 30}, {(Measure.UNREADY, ""): 8}),
    "late_feedback": ({(FEEDBACK, "LATE click"): 150}, {(FEEDBACK, "LATE click"): 90}),
    "unattributed_feedback": (
        {(FEEDBACK, "UNATTRIBUTED click"): 1200, (FEEDBACK, "LATE click"): 0},
        {(FEEDBACK, "UNATTRIBUTED click"): 60},
    ),
    "conflicting_feedback": ({(FEEDBACK, "CONFLICTING click"): 30}, {(FEEDBACK, "CONFLICTING click"): 7}),
    "duplicate_feedback": ({(FEEDBACK, "DUPLICATE click"): 300}, {(FEEDBACK, "DUPLICATE click"): 200}),
    "invalid_feedback": ({(FEEDBACK, "INVALID (other)"): 30}, {(FEEDBACK, "INVALID (other)"): 7}),
    "reward_clipped": ({(Measure.CLIPPED, ""): 25}, {(Measure.CLIPPED, ""): 6}),
    "reward_failed": ({(Measure.CLOSED, "REWARD_FAILED"): 30}, {(Measure.CLOSED, "REWARD_FAILED"): 9}),
    "offer_not_activated": ({(Measure.SHOWN, "save5"): 0}, {(Measure.SHOWN, "save5"): 200}),
    "exploration_collapsed": (
        {(Measure.EXPLORE_MASS, ""): 4 * MILLION, (Measure.EXPLORED, ""): 4},
        {(Measure.EXPLORE_MASS, ""): 10 * MILLION, (Measure.EXPLORED, ""): 10},
    ),
    "exploration_uniform": (
        {(Measure.ENTROPY, ""): 1098 * MILLION},
        {(Measure.ENTROPY, ""): 1000 * MILLION},
    ),
    "draws_off": ({(Measure.EXPLORED, ""): 300}, {(Measure.EXPLORED, ""): 205}),
    "rewards_missing": (
        {
            (Measure.ARRIVAL, label): count // 2
            for (name, label), count in HEALTHY.items()
            if name == "arrival"
        },
        {(Measure.ARRIVAL, "8"): 40},
    ),
    "rewards_late": (LATER, {(Measure.ARRIVAL, "8"): 45, (Measure.ARRIVAL, "10"): 55}),
    "join_rate_fell": (
        {(FEEDBACK, "LATE click"): 300},
        {(FEEDBACK, "LATE click"): 60},
    ),
}
# What a sign that is that strong is also a sign of.
_BESIDE: Final = {
    "unattributed_feedback": ("join_rate_fell",),
    "join_rate_fell": ("late_feedback",),
    "late_feedback": ("join_rate_fell",),
}
MINUTE_US: Final = 60 * SECOND_US
NOW: Final = LOOP.now_us
# name: (facts of the loop, facts of the placement) where it sounds, and where it must not
BY_FACTS: Final[Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]] = {
    "learner_lag": ({"oldest_waiting_us": NOW - 2 * MINUTE_US}, {"oldest_waiting_us": NOW - MINUTE_US // 2}),
    "ledger_time_stopped": ({"oldest_due_us": NOW - 2 * MINUTE_US}, {"oldest_due_us": NOW - MINUTE_US // 2}),
    "model_stale": (
        {"oldest_unlearned_us": NOW - 20 * MINUTE_US, "unlearned_count": 500},
        {"oldest_unlearned_us": NOW - 5 * MINUTE_US, "unlearned_count": 500},
    ),
    "learning_frozen": ({"frozen_since_us": NOW - 25 * HOUR_US}, {"frozen_since_us": NOW - 2 * HOUR_US}),
    "thinning_active": ({"learn_probability": 0.5}, {"learn_probability": 1.0}),
}


def with_facts(changes: Mapping[str, Any]) -> list[str]:
    of_loop = {name: value for name, value in changes.items() if hasattr(LOOP, name)}
    of_placement = {name: value for name, value in changes.items() if hasattr(FACTS, name)}
    return names(health(rollups(), replace(LOOP, **of_loop), **of_placement))


def test_a_healthy_loop_has_no_alarm() -> None:
    assert names(health(rollups())) == []
    assert names(health([])) == []


@pytest.mark.parametrize("name", BY_COUNTS)
def test_an_alarm_sounds_for_its_counts_and_no_other_does(name: str) -> None:
    sounding, silent = BY_COUNTS[name]
    found = names(health(rollups(sounding)))
    assert name in found
    assert {*found} == {name, *_BESIDE.get(name, ())}
    assert names(health(rollups(silent))) == []


@pytest.mark.parametrize("name", BY_FACTS)
def test_an_alarm_sounds_for_its_facts_and_no_other_does(name: str) -> None:
    sounding, silent = BY_FACTS[name]
    assert with_facts(sounding) == [name]
    assert with_facts(silent) == []


def test_a_rare_offer_is_not_judged_by_a_handful() -> None:
    """At half of the others' 0.87, none of 20 happens once in 100,000 times; none of 30 in 30 million."""
    for count, expected in ((20, []), (30, ["offer_not_activated"])):
        rare: dict[Key, int] = {(Measure.OFFER, "rare"): count}
        assert names(health(rollups(rare, last=1))) == expected


def test_unknown_feedback_is_the_loops_own() -> None:
    for count, expected in ((100, ["unknown_feedback", "join_rate_fell"]), (30, [])):
        lost = [Rollup("", NOW_HOUR - 1, 1, {(FEEDBACK, "UNKNOWN click"): count * 6})]
        found = health(rollups() + lost)
        assert names(found) == expected
        assert [alarm.placement_id for alarm in found.alarms] == [""] * len(expected)


def test_what_was_parked_before_it_was_unknown_is_counted_once() -> None:
    lost: dict[Key, int] = {(FEEDBACK, "PARKED click"): 600, (FEEDBACK, "UNKNOWN click"): 600}
    alarm = health([*rollups(), Rollup("", NOW_HOUR - 1, 1, lost)]).alarms[0]
    items = 6 * sum(count for (name, _), count in HEALTHY.items() if name == FEEDBACK) + 600
    assert alarm.message.startswith(f"600 of {items:,} items of feedback")


def test_pages_that_stop_calling_are_missed_after_a_full_hour() -> None:
    gone = dict.fromkeys(HEALTHY, 0)
    assert names(health(rollups(gone, last=2))) == ["no_traffic"]
    assert names(health(rollups(gone, last=1))) == ["no_traffic"]
    assert names(health(rollups(gone, last=20))) == ["no_traffic"]
    assert "no_traffic" not in names(health(rollups(gone, last=2, hours=40)))


def test_nights_without_visitors_are_no_alarm_but_a_morning_without_is() -> None:
    night = range(4)
    found = [rollup for rollup in rollups() if rollup.hour % 24 not in night]
    asked = (NOW_HOUR // 24) * 24
    for hour, expected in ((asked + 3, []), (asked + 4, []), (asked + 6, ["no_traffic"])):
        loop = replace(LOOP, now_us=hour * HOUR_US + MINUTE_US, ledger_time_us=hour * HOUR_US)
        assert names(health([r for r in found if r.hour < asked], loop)) == expected


def test_only_silence_is_told_from_a_rare_reward() -> None:
    silent: dict[Key, int] = {key: 0 for key in HEALTHY if key[0] == Measure.ARRIVAL}
    assert names(health(rollups(silent, last=HOURS, hours=16))) == []
    assert names(health(rollups(silent | {(Measure.CLOSED, "LEARNED"): 3000}, last=HOURS))) == [
        "only_silence"
    ]


def test_ledger_time_ahead_of_the_clock_is_stopped() -> None:
    ahead = replace(LOOP, ledger_time_us=NOW + 2 * MINUTE_US)
    assert names(health(rollups(), ahead)) == ["ledger_time_stopped"]


def test_a_policy_that_does_not_learn_is_not_asked_how_it_explores() -> None:
    flat: dict[Key, int] = {(Measure.ENTROPY, ""): 1099 * MILLION}
    assert names(health(rollups(flat), learns=False, policy="uniform")) == []
    assert names(health(rollups(flat), learned_count=100)) == []


def test_every_alarm_has_a_test_that_makes_it_sound() -> None:
    alone = {"unknown_feedback", "no_traffic", "only_silence"}
    assert {*BY_COUNTS, *BY_FACTS, *alone} == set(ADVICE)


def test_the_handbook_has_every_alarm_word_for_word() -> None:
    chapter = read("docs/operations.md").partition("\n## The health of the loop\n")[2]
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.*) \|$", chapter, flags=re.MULTILINE))
    assert rows == {name: f"{a.sign} | {a.likely_cause} | {a.remedy}" for name, a in ADVICE.items()}


def test_alarms_say_what_was_seen_with_its_numbers() -> None:
    (alarm,) = health(rollups({(Measure.SHOWN, "save5"): 0})).alarms
    assert alarm.message == "save5: 0 of 400 were reported as shown, of the other offers 90.0%."
    (late,) = health(rollups(LATER)).alarms
    assert late.message == (
        "Feedback came 2 times as long after its decision as usual; 280 decisions were answered, usually 280 "
        "at their age."
    )
    assert late.to_dict()["remedy"] == ADVICE["rewards_late"].remedy


def test_figures_are_of_the_last_day() -> None:
    (figures,) = health(rollups()).placements
    assert isinstance(figures, PlacementHealth)
    assert figures.decision_count == 23_000
    assert figures.fates == {"APPLIED": 840 * 23, "DUPLICATE": 230, "LATE": 115}
    assert figures.answered_share == pytest.approx(0.14)
    assert figures.reward_mean == pytest.approx(0.1)
    assert figures.exploration_share == pytest.approx(0.2)
    assert figures.propensity_least == pytest.approx(0.007)
    assert figures.model_age_s == 60.0
    assert figures.delay_s_p50 == pytest.approx(5.66, rel=0.3)


def test_figures_of_nothing_are_absent() -> None:
    (figures,) = health([], published_us=None).placements
    assert figures.reasons == {}
    absent = (figures.reward_mean, figures.answered_share, figures.delay_s_p50, figures.model_age_s)
    assert absent == (None, None, None, None)


def test_a_placement_is_asked_for_alone_with_the_loop() -> None:
    other = replace(FACTS, placement_id="other")
    loop = replace(LOOP, placements=(FACTS, other), oldest_waiting_us=NOW - 2 * MINUTE_US)
    bad = rollups({(FEEDBACK, "INVALID (other)"): 60}, placement_id="other")
    everything = loop_health(rollups() + bad, loop)
    assert [(alarm.name, alarm.placement_id) for alarm in everything.alarms] == [
        ("learner_lag", ""),
        ("invalid_feedback", "other"),
    ]
    one = loop_health(rollups() + bad, loop, HOME)
    assert names(one) == ["learner_lag"]
    assert [item.placement for item in one.placements] == [HOME]
