"""What holds for the vw policy beyond the conformance suite: its cache, its guards, its bytes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import pytest
import vowpalwabbit
from hypothesis import given

from offer_optimizer.core.errors import InvalidInput, PolicyFault
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.policy import registry, vw, vw_context
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.policy.distribution import share_ties
from offer_optimizer.policy.inverse_gap import inverse_gap
from offer_optimizer.policy.vw_options import VwOptions
from offer_optimizer.policy.vw_text import action_line, context_line, labelled
from tests.policies.worlds import NASTY, OFFERS, any_features, draw_examples, features

SOURCE_ROOT: Final = Path(vw.__file__).parents[2]

# Runs in a process of its own, with its own hash seed: the same request, its maps in another order.
ASK: Final = """
import json, sys
from offer_optimizer.core.features import build_features
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.policy.vw_text import action_line, context_line
names = list({f"näme {i}\\n" for i in range(20)})
made = lambda where: build_features(
    {n: "x|y" for n in names}, {n + "#": 1.5 for n in names}, {n + "t": set(names) for n in names},
    where=where, limit=1000)
names_first = names[0]
context = made("context")
actions = tuple(Action(f"offer {i}", made("offer")) for i in range(4))
policy = registry.create("vw", {}, ())
for i in range(20):
    policy.learn(Example(context, actions, i % 4, 0.25, float(i % 4 == 1)))
print(json.dumps([names_first, context_line(context), list(map(action_line, actions)),
    list(map(float.hex, policy.pmf(context, actions).tolist()))]))
"""


def ask_in_a_process(hash_seed: str) -> list[object]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(SOURCE_ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True
    )
    answer: list[object] = json.loads(done.stdout)
    return answer


def test_two_processes_give_an_equal_request_the_same_text_and_the_same_pmf() -> None:
    one, other = ask_in_a_process("1"), ask_in_a_process("2")
    assert one[0] != other[0], "the maps were in the same order: choose other seeds"
    assert one[1:] == other[1:]


def test_cached_offers_learn_what_plain_text_learns() -> None:
    """Against the workspace's own text interface: weights equal bit for bit, answers but for last bits."""
    options = VwOptions(bits=10, numbers="squashed")
    policy = vw.VwPolicy(options)
    plain = vowpalwabbit.Workspace(arg_list=[*options.arguments(), "--quiet"])
    for example in draw_examples(300, seed=1):
        policy.learn(example)
        lines = [action_line(action) for action in example.actions]
        del lines[example.chosen]
        lines.append(labelled(action_line(example.actions[example.chosen]), -example.reward, 1.0))
        plain.learn([context_line(example.context), *lines])
        asked = plain.predict([context_line(example.context), *map(action_line, OFFERS)])
        expected = share_ties([score / sum(asked) for score in asked])
        np.testing.assert_allclose(policy.pmf(example.context, OFFERS), expected, rtol=1e-5)
    for index in range(2**10):
        assert policy._workspace.get_weight(index, 0) == plain.get_weight(index, 0)


def read_back(example: Any, count: int) -> list[tuple[int, float]]:  # noqa: ANN401
    """Return the indices and values of an example's context, which has at most so many features."""
    found = min(count, example.num_features_in(ord("c")))
    return [(example.feature(ord("c"), at), example.feature_weight(ord("c"), at)) for at in range(found)]


def test_a_context_has_the_features_that_vw_reads_out_of_its_text() -> None:
    """Names to the bit, numbers but for their last bits, whatever the example was filled with before."""
    policy = vw.VwPolicy(VwOptions())
    contexts = policy._contexts
    assert contexts is not None
    made = set()

    @given(any_features())
    def fill(context: Features) -> None:
        # Text has seven digits, and VW drops what is zero by them.
        numbers = tuple((name, it) for name, it in context.numbers if not 0.0 < abs(it) < 6e-8)
        context = Features(context.categories, numbers, context.tags)
        example = contexts.take(context)
        made.add(id(example))
        parsed = policy._parse(policy._workspace, context_line(context))
        found, expected = (read_back(it, context.count()) for it in (example, parsed))
        assert [index for index, _ in found] == [index for index, _ in expected]
        values = [value for _, value in expected]
        np.testing.assert_allclose([value for _, value in found], values, rtol=1e-6, atol=1e-7)
        assert example.get_total_sum_feat_sq() == pytest.approx(parsed.get_total_sum_feat_sq(), rel=1e-5)
        contexts.give_back(example)

    fill()
    assert len(made) == 1


def test_contexts_without_numbers_are_answered_as_their_text_to_the_bit() -> None:
    policy = vw.VwPolicy(VwOptions())
    as_text = vw.VwPolicy(VwOptions(), manner=replace(vw.OURS))
    assert as_text._contexts is None
    examples = [replace(it, context=replace(it.context, numbers=())) for it in draw_examples(300, seed=11)]
    for example in examples:
        policy.learn(example)
        as_text.learn(example)
    for context in (EMPTY, *(example.context for example in examples)):
        np.testing.assert_array_equal(policy.pmf(context, OFFERS), as_text.pmf(context, OFFERS))


def test_a_context_is_asked_about_in_the_example_of_the_one_before() -> None:
    policy = vw.VwPolicy(VwOptions())
    for example in draw_examples(10, seed=13):
        policy.pmf(example.context, OFFERS)
    assert policy._contexts is not None
    assert len(policy._contexts._spare) == 1


def test_tokens_that_are_forgotten_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """More names and values than are kept, over two models of one size."""
    contexts = [
        Features(((f"c{n}", f"v{n % 3}"), ("d", str(n))), ((f"n{n}", 1.5),), ((f"t{n}", ("a", "b")),))
        for n in range(30)
    ]
    policy, other = vw.VwPolicy(VwOptions(bits=17)), vw.VwPolicy(VwOptions(bits=17))
    for number, context in enumerate(contexts):
        policy.learn(Example(context, OFFERS, number % 4, 0.25, float(number % 3 == 0)))
        other.learn(Example(context, OFFERS, number % 4, 0.25, float(number % 3 == 0)))
    expected = [policy.pmf(context, OFFERS).tolist() for context in contexts]
    assert len({tuple(pmf) for pmf in expected}) == 30
    assert other._contexts is not None
    known = other._contexts._indices
    monkeypatch.setattr(vw_context, "TOKENS_KEPT", 5)
    for found in (known.categories, known.numbers, known.tags):
        found.clear()
    for _ in range(2):
        assert [other.pmf(context, OFFERS).tolist() for context in contexts] == expected
    assert max(map(len, (known.categories, known.numbers, known.tags))) <= 5


def test_what_is_expected_of_offers_is_what_the_pmf_was_made_of() -> None:
    """Inverse gaps of what is expected of each, squarecb's formula, give the probabilities that VW gave."""
    policy = vw.VwPolicy(VwOptions())
    for example in draw_examples(400, seed=10):
        policy.learn(example)
    state = policy.save()
    context = features(device="mobile")
    expected = [policy.expected(Example(context, OFFERS, at, 0.5, 0.0)) for at in range(len(OFFERS))]
    gamma = 100.0 * math.sqrt(400.0)
    assert policy.pmf(context, OFFERS) == pytest.approx(inverse_gap(expected, gamma), rel=1e-3)
    assert expected[0] == pytest.approx(0.6, abs=0.2)
    assert policy.save() == state


def test_evicted_offers_answer_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = draw_examples(200, seed=2)
    roomy, tight = vw.VwPolicy(VwOptions()), vw.VwPolicy(VwOptions())
    for policy, size in ((roomy, 1000), (tight, 6)):
        monkeypatch.setattr(vw, "CACHED_OFFERS", size)
        for index, example in enumerate(examples):
            policy.learn(example)
            policy.pmf(example.context, [Action(f"passing-{index}-{n}", EMPTY) for n in range(5)])
        assert len(policy._recent) + len(policy._older) <= size
    assert tight.save() == roomy.save()


def test_an_offer_that_stands_twice_in_a_question_is_answered_twice() -> None:
    policy = vw.VwPolicy(VwOptions())
    for example in draw_examples(100, seed=3):
        policy.learn(example)
    pmf = policy.pmf(features(device="mobile"), (OFFERS[1], OFFERS[0], OFFERS[1]))
    distinct = policy.pmf(
        features(device="mobile"), (OFFERS[1], OFFERS[0], Action("save5", features(kind="coupon")))
    )
    np.testing.assert_array_equal(pmf, distinct)


def test_asking_and_learning_do_not_grow_memory() -> None:
    """A leaked example is 350 KB: 400 of them would be 140 MB."""
    policy = vw.VwPolicy(VwOptions())
    examples = draw_examples(400, seed=4)
    for example in examples:
        policy.learn(example)
    before = psutil.Process().memory_info().rss
    for example in examples:
        policy.pmf(example.context, OFFERS)
        policy.learn(example)
    assert psutil.Process().memory_info().rss - before < 20e6


def test_a_closed_policy_refuses() -> None:
    policy = vw.VwPolicy(VwOptions())
    example = draw_examples(1, seed=5)[0]
    policy.pmf(example.context, OFFERS)
    policy.close()
    assert (policy._contexts, policy._workspace) == (None, None)
    with pytest.raises(PolicyFault, match="closed"):
        policy.pmf(example.context, OFFERS)
    with pytest.raises(PolicyFault, match="closed"):
        policy.learn(example)
    with pytest.raises(PolicyFault, match="closed"):
        policy.save()


@pytest.mark.parametrize("poison", [math.inf, -math.inf])
@pytest.mark.parametrize("learned", [0, 50])
def test_weights_that_are_not_finite_are_not_saved(poison: float, learned: int) -> None:
    policy = vw.VwPolicy(VwOptions())
    for example in draw_examples(learned, seed=7):
        policy.learn(example)
    lines = [context_line(EMPTY), f"0:{poison}:0.5 {action_line(OFFERS[0])}", action_line(OFFERS[1])]
    policy._workspace.learn(lines)
    with pytest.raises(PolicyFault, match="not finite"):
        policy.save()


@pytest.mark.parametrize("bits", [10, 18, 22])
def test_the_sentinel_weight_is_the_constant(bits: int) -> None:
    """It is zero before the first reward and moves with every one."""
    policy = vw.VwPolicy(VwOptions(bits=bits))
    index = vw._CONSTANT_INDEX % 2**bits
    assert policy._workspace.get_weight(index, 0) == 0.0
    policy.learn(Example(EMPTY, OFFERS[:1], 0, 1.0, 1.0))
    assert policy._workspace.get_weight(index, 0) != 0.0


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("reward", {"reward": 1.0000001}),
        ("reward", {"reward": -0.1}),
        ("reward", {"reward": math.nan}),
        ("propensity", {"propensity": 0.0}),
        ("propensity", {"propensity": 1.1}),
        ("propensity", {"propensity": math.nan}),
        ("weight", {"weight": 0.5}),
        ("weight", {"weight": math.inf}),
        ("weight", {"weight": math.nan}),
        ("chosen", {"chosen": 2}),
        ("chosen", {"chosen": -1}),
    ],
)
def test_numbers_out_of_range_are_not_learned(field: str, change: dict[str, float]) -> None:
    policy = vw.VwPolicy(VwOptions())
    untouched = policy.save()
    legal = {"chosen": 0, "propensity": 0.5, "reward": 1.0, "weight": 1.0}
    with pytest.raises(InvalidInput, match=f"example.{field}"):
        policy.learn(Example(EMPTY, OFFERS[:2], **{**legal, **change}))  # type: ignore[arg-type]
    assert policy.save() == untouched


@pytest.mark.parametrize("exploration", ["squarecb", "epsilon", "softmax"])
@pytest.mark.parametrize("chosen", range(len(OFFERS)))
def test_propensity_and_weight_count_up_to_their_limits_and_no_further(exploration: str, chosen: int) -> None:
    """For every place in the list: by itself VW's squarecb hears of importance on the last line only."""

    def state(propensity: float, weight: float) -> bytes:
        policy = registry.create("vw", {"exploration": exploration}, ())
        policy.learn(Example(EMPTY, OFFERS, 0, 0.5, 1.0))
        policy.learn(Example(EMPTY, OFFERS, chosen, propensity, 0.5, weight))
        return policy.save()

    clip = vw.PROPENSITY_CLIP[exploration]
    assert state(1e-9, 1.0) == state(clip, 1.0)
    assert clip == 1.0 or state(clip * 2, 1.0) != state(clip, 1.0)
    assert state(1.0, 1e9) == state(1.0, vw.WEIGHT_CAP)
    assert state(1.0, vw.WEIGHT_CAP / 2) != state(1.0, vw.WEIGHT_CAP)


def test_standardised_numbers_take_scale_and_origin_away() -> None:
    """The same world in other units gives the same answers; squashed it does not."""

    def answers(numbers: str, scale: float, origin: float) -> list[float]:
        policy = registry.create("vw", {"numbers": numbers}, ())
        for example in draw_examples(200, seed=8):
            moved = tuple((name, scale * number + origin) for name, number in example.context.numbers)
            context = Features(example.context.categories, moved, example.context.tags)
            policy.learn(Example(context, OFFERS, example.chosen, example.propensity, example.reward))
        asked = Features(numbers=(("visits", 12.0 * scale + origin),))
        return [float(probability) for probability in policy.pmf(asked, OFFERS)]

    assert answers("standardised", 1.0, 0.0) == pytest.approx(answers("standardised", 1e4, 7e6), abs=1e-4)
    assert answers("squashed", 1.0, 0.0) != pytest.approx(answers("squashed", 1e4, 7e6), abs=1e-4)


def test_damaged_means_are_refused_before_the_model_is_loaded() -> None:
    options = {"numbers": "standardised"}
    policy = registry.create("vw", options, ())
    policy.learn(draw_examples(1, seed=9)[0])
    header, _, rest = policy.save().partition(b"\n")
    line, _, model = rest.partition(b"\n")
    for wrong in (b"", b"{}", b"[]", line[:-1], line.replace(b"1.0", b"NaN"), line.replace(b"1.0", b"0.0")):
        with pytest.raises(PolicyFault, match="load"):
            registry.load("vw", options, (), header + b"\n" + wrong + b"\n" + model)
    with pytest.raises(PolicyFault, match="standardised"):
        registry.load("vw", options, (), registry.create("vw", {"numbers": "squashed"}, ()).save())


def test_a_state_of_other_options_or_another_library_is_refused() -> None:
    state = registry.create("vw", {}, ()).save()
    with pytest.raises(PolicyFault, match="--epsilon"):
        registry.load("vw", {"exploration": "epsilon"}, (), state)
    version = vowpalwabbit.__version__.encode()
    with pytest.raises(PolicyFault, match=r"0\.0\.0"):
        registry.load("vw", {}, (), state.replace(version, b"0.0.0", 1))
    with pytest.raises(PolicyFault):
        registry.load("vw", {}, (), b"")


def test_hostile_offers_stay_as_many_as_they_are() -> None:
    """A name that broke out of its token would add an offer, drop one or label one."""
    policy = vw.VwPolicy(VwOptions())
    for example in draw_examples(200, seed=6):
        policy.learn(example)
    actions = tuple(Action(text, Features(((text, text),), (), ())) for text in NASTY)
    assert len(policy.pmf(EMPTY, actions)) == len(NASTY)
