"""The served distribution of a decision, its draw and its propensity: docs/design.md, section 12.

What always holds: the pmf is judged first, and what rests on it only if it is a distribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from offer_optimizer.core.decision import Decision, Reason, SlotChoice
from offer_optimizer.evaluate.verify_draw import (
    draw_number,
    is_close,
    is_distribution,
    is_same,
    mixed,
    propensity_of,
    running_sum,
    walk,
)
from offer_optimizer.evaluate.verify_findings import Check, Problem

Mix = tuple[int | None, float, float]
"""Position of the baseline, ramp, floor: as derived from the catalog, not as logged."""
Verdict = tuple[Check, list[Problem]]


def check_pmfs(decision: Decision, size: int, salt: bytes, mix: Mix, *, is_pure: bool) -> Iterator[Verdict]:
    """Yield each check made on the slots of a decision, with its problems; `size` offers were eligible."""
    for number, slot in enumerate(decision.slots):
        pmf: list[float] = slot.pmf.tolist()
        defects = list(_check_shape(pmf, slot.chosen, size))
        yield Check.PMF, defects
        if defects:
            continue
        if is_pure:
            yield Check.PURE, list(_check_pure(slot, pmf, mix[0]))
        elif decision.reason is Reason.MODEL:
            yield from _check_mixed(decision, pmf, mix)
        u = draw_number(salt, decision.placement_id, decision.decision_id, number)
        yield Check.DRAW, list(_check_draw(pmf, slot.chosen, u))
        yield Check.PROPENSITY, list(_check_propensity(slot, pmf))


def _check_shape(pmf: Sequence[float], chosen: int, size: int) -> Iterator[Problem]:
    if len(pmf) != size:
        detail = f"{len(pmf)} probabilities, {size} eligible"
        yield Problem(Check.PMF, "it is not over exactly the eligible offers", detail)
    elif not is_distribution(pmf):
        yield Problem(Check.PMF, "it is not a distribution", f"sum {running_sum(pmf)[-1]:.9g}")
    elif not 0 <= chosen < size:
        yield Problem(Check.PMF, "the choice is not an eligible offer", f"index {chosen} of {size}")


def _check_pure(slot: SlotChoice, pmf: Sequence[float], baseline: int | None) -> Iterator[Problem]:
    if slot.chosen != baseline:
        detail = f"chosen {slot.chosen}, baseline {baseline}"
        yield Problem(Check.PURE, "another offer than the baseline was shown", detail)
    elif pmf[slot.chosen] != 1.0 or slot.propensity != 1.0:
        detail = f"{pmf[slot.chosen]:g}, logged {slot.propensity:g}"
        yield Problem(Check.PURE, "the baseline was not certain", detail)


def _check_mixed(decision: Decision, pmf: Sequence[float], mix: Mix) -> Iterator[Verdict]:
    _, ramp, floor = mix
    if ramp < 1.0:
        problems = list(_check_mix(decision, pmf, mix))
        yield Check.MIX, problems
        if problems:
            return
    least, total = floor / len(pmf), running_sum(pmf)[-1]
    low = [value / total for value in pmf if value / total < least]
    detail = f"{min(low, default=0.0):.9g}, at least {least:.9g}"
    yield Check.FLOOR, [Problem(Check.FLOOR, "a probability is under floor / n", detail)] if low else []


def _check_mix(decision: Decision, pmf: Sequence[float], mix: Mix) -> Iterator[Problem]:
    model: list[float] | None = None if decision.model_pmf is None else decision.model_pmf.tolist()
    if model is None:
        yield Problem(Check.MIX, "the model's own pmf was not logged")
        return
    if len(model) != len(pmf) or not is_distribution(model):
        yield Problem(Check.MIX, "the model's own pmf is not a distribution over the eligible offers")
        return
    baseline, ramp, floor = mix
    derived = mixed(model, baseline, ramp, floor)
    far = [(s, d) for s, d in zip(pmf, derived, strict=True) if not is_close(s, d)]
    if far:
        detail = f"served {far[0][0]:.9g}, derived {far[0][1]:.9g}"
        yield Problem(Check.MIX, "the served pmf is not the mix", detail)


def _check_draw(pmf: Sequence[float], chosen: int, u: float) -> Iterator[Problem]:
    drawn = walk(pmf, u)
    if drawn != chosen:
        yield Problem(
            Check.DRAW, "the draw leads to another offer", f"logged {chosen}, drawn {drawn}, u {u:.9g}"
        )


def _check_propensity(slot: SlotChoice, pmf: Sequence[float]) -> Iterator[Problem]:
    derived = propensity_of(pmf, slot.chosen)
    if not is_same(slot.propensity, derived):
        detail = f"logged {slot.propensity:.9g}, derived {derived:.9g}"
        yield Problem(Check.PROPENSITY, "not the pmf at the choice, renormalised", detail)
