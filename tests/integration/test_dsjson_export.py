"""What we export, `vw --dsjson` learns to the model that we have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from offer_optimizer.core.catalog import Catalog, Offer, OfferType, Placement, PolicyChoice, Reward
from offer_optimizer.core.control import Thinning
from offer_optimizer.core.features import Features
from offer_optimizer.core.log import Log, LogRows
from offer_optimizer.evaluate.dsjson_export import Lessons, export_dsjson, training_arguments
from offer_optimizer.evaluate.ledger_rows import LedgerRowsLog
from offer_optimizer.evaluate.reading import read_log
from offer_optimizer.formats.dsjson import DsjsonLog
from offer_optimizer.learn.trainer import BATCH, Trainer, initial_model
from offer_optimizer.policy.contract import Action, Policy
from offer_optimizer.policy.vw import VwPolicy
from offer_optimizer.policy.vw_options import VwOptions
from tests.conftest import Size
from tests.unit.evaluate.ledgers import HOME, Shop

REWARD: Final = Reward(formula="sum.click", min=-1.0, max=3.0, default=0.5)
OFFERS: Final = (
    Offer(id="msg", type=OfferType.MESSAGE, attributes=Features((("tone", "so so"),))),
    Offer(
        id="save5", type=OfferType.COUPON, attributes=Features((), (("cost", 5.5),), (("for", ("a", "b")),))
    ),
    Offer(id="nothing", type=OfferType.NOTHING),
)


@dataclass
class Trained:
    """A ledger in memory, the model that its lessons make, and the options of its policy."""

    log: LedgerRowsLog
    policy: Policy
    options: VwOptions


def context(chance: np.random.Generator) -> Features:
    if chance.random() < 0.1:
        return Features()
    return Features(
        categories=(("channel", str(chance.choice(["e:mail", "web", "é"]))), ("empty", "")),
        numbers=(("visits", float(chance.exponential(20.0))), ("zero", 0.0)),
        tags=(("likes", tuple(sorted(chance.choice(["a", "b", "c"], 2, replace=False).tolist()))),),
    )


def train(
    exploration: str,
    count: int,
    reward: Reward,
    *,
    is_thinned: bool = False,
    numbers: str = "standardised",
) -> Trained:
    options: dict[str, Any] = {"exploration": exploration, "bits": 14, "numbers": numbers}
    placement = Placement(
        id=HOME,
        offers=("msg", "save5", "nothing"),
        baseline=("nothing",),
        policy=PolicyChoice(name="vw", options=options),
        window_s=10.0,
        reward=reward,
    )
    shop = Shop(Catalog(offers=OFFERS, placements=(placement,)))
    if is_thinned:
        shop.world.add(Thinning(HOME, 0.25))
    chance = np.random.default_rng(3)
    for at in range(count):
        weights = chance.dirichlet([0.3] * 3) * 0.97 + 0.01
        chosen = int(chance.choice(3, p=weights))
        excluded = (1,) if chosen != 1 and at % 5 == 0 else ()
        if excluded:
            weights = weights[[0, 2]] / weights[[0, 2]].sum()
            chosen = min(chosen, 1)
        pmf = tuple(weights.tolist())
        click = bool(chance.random() < 0.2 + 0.3 * chosen)
        shop.decide(f"v{at % 40}", chosen, pmf=pmf, excluded=excluded, click=click, context=context(chance))
    shop.close()
    epoch = shop.world.fold.revisions.epoch(shop.epoch)
    assert epoch is not None
    model = initial_model(epoch)
    trainer = Trainer(shop.ledger, shop.world.tables, shop.world.fold.revisions)
    while trainer.teach(model) == BATCH:
        pass
    assert (model.learned_count < count) == is_thinned
    return Trained(
        LedgerRowsLog(shop.ledger, HOME, reward="reward_learned"), model.policy, VwOptions(**options)
    )


def largest_difference(trained: Trained, file: Path, *, of_lessons: bool) -> float:
    """Train VW's own command on a file; return how far its probabilities are from ours, relatively."""
    model = file.with_suffix(".model")
    arguments = training_arguments(trained.options, of_lessons=of_lessons)
    command = [sys.executable, "-m", "vowpalwabbit", *arguments, "-d", str(file), "-f", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "warning" not in done.stderr.lower()
    header, _, state = trained.policy.save().partition(b"\n")
    # What is much is not in VW's file: means and deviations are ours.
    scores = state.partition(b"\n")[0] + b"\n" if trained.options.numbers == "standardised" else b""
    theirs = VwPolicy(trained.options, header + b"\n" + scores + model.read_bytes())
    actions = tuple(action for rows in trained.log.batches() for action in actions_of(trained.log, rows, 1))[
        :3
    ]
    chance = np.random.default_rng(9)
    worst = 0.0
    for _ in range(200):
        asked = context(chance)
        ours, found = trained.policy.pmf(asked, actions), theirs.pmf(asked, actions)
        worst = max(worst, float(np.max(np.abs(ours - found) / ours)))
    uniform = np.max(np.abs(trained.policy.pmf(context(chance), actions) - 1 / 3))
    assert uniform > 0.01, "the model has learned nothing: the comparison would be empty"
    return worst


def actions_of(log: LedgerRowsLog, rows: LogRows, row: int) -> Iterator[Action]:
    for offer, attributes in zip(rows.offers[row].tolist(), (rows.attributes or [])[row], strict=False):
        yield Action(log.vocabulary.ids[offer], attributes)


@pytest.mark.parametrize(
    ("exploration", "numbers"),
    [
        ("squarecb", "standardised"),
        ("squarecb", "squashed"),
        ("epsilon", "standardised"),
        ("softmax", "standardised"),
    ],
    ids=["squarecb", "squarecb-squashed", "epsilon", "softmax"],
)
def test_vw_makes_our_very_model_of_our_lessons(
    exploration: str, numbers: str, tmp_path: Path, size: Size, figure: Callable[[str], None]
) -> None:
    """Three quarters of silence were left out of learning, and the others count for them."""
    count = size.pick(test=400, ci=2000, proof=20_000)
    trained = train(exploration, count, REWARD, is_thinned=True, numbers=numbers)
    file = tmp_path / "lessons.json"
    with file.open("wb") as stream:
        count = export_dsjson(trained.log, stream, Lessons(trained.options))
    worst = largest_difference(trained, file, of_lessons=True)
    figure(
        f"vw --dsjson on {count:,} exported lessons ({exploration}, {numbers}): "
        f"probabilities within {worst:.1e} of ours"
    )
    assert worst == 0.0


@pytest.mark.parametrize("exploration", ["squarecb", "softmax"])
def test_vw_makes_our_model_of_the_log_itself_but_for_rounding(
    exploration: str, tmp_path: Path, size: Size, figure: Callable[[str], None]
) -> None:
    """Where rewards lie in [0, 1]: VW's --clip_p clips as we do, on probabilities rounded once less."""
    count = size.pick(test=400, ci=2000, proof=20_000)
    trained = train(exploration, count, Reward(formula="sum.click"), numbers="squashed")
    file = tmp_path / "logged.json"
    with file.open("wb") as stream:
        count = export_dsjson(trained.log, stream)
    worst = largest_difference(trained, file, of_lessons=False)
    figure(f"vw --dsjson on {count:,} logged rows ({exploration}): probabilities within {worst:.1e} of ours")
    assert worst < 1e-4


def test_vw_learns_every_row_of_a_log_that_kept_no_pmf(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("shown,won,p,x\n" + "mug,1,0.3,a\npen,0,0.7,b\n" * 20)
    log = read_log(tmp_path / "test.csv", action="shown", reward="won", propensity="p", context="x")
    with (tmp_path / "log.json").open("wb") as stream:
        assert export_dsjson(log, stream) == 40
    command = [sys.executable, "-m", "vowpalwabbit", "--dsjson", "--cb_explore_adf", "-d"]
    done = subprocess.run([*command, "log.json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "number of examples = 40" in done.stderr


def test_an_export_says_what_was_logged(tmp_path: Path) -> None:
    trained = train("epsilon", 50, REWARD)
    file = tmp_path / "logged.json"
    with file.open("wb") as stream:
        assert export_dsjson(trained.log, stream) == 50
    (theirs,), (ours,) = list(DsjsonLog(file).batches()), list(trained.log.batches())
    np.testing.assert_array_equal(theirs.reward, ours.reward)
    np.testing.assert_array_equal(theirs.propensity, ours.propensity)
    np.testing.assert_array_equal(theirs.time_us, ours.time_us)
    assert list(theirs.decision_ids or []) == list(ours.decision_ids or [])
    assert ours.pmf is not None
    assert theirs.pmf is not None
    for row in range(50):
        k = int((ours.offers[row] >= 0).sum())
        np.testing.assert_array_equal(theirs.pmf[row, :k], ours.pmf[row, :k])
        chosen = ours.offers[row].tolist().index(int(ours.chosen[row]))
        assert theirs.offers[row].tolist().index(int(theirs.chosen[row])) == chosen


@pytest.mark.parametrize(
    "lessons", [None, Lessons(VwOptions(exploration="epsilon", bits=14))], ids=["logged", "lessons"]
)
def test_offers_keep_their_names_in_an_export(tmp_path: Path, lessons: Lessons | None) -> None:
    """Places are no names: an offer that was not eligible moves those behind it, lessons move them too."""
    trained = train("epsilon", 50, REWARD)
    with (tmp_path / "log.json").open("wb") as stream:
        export_dsjson(trained.log, stream, lessons)
    ours, theirs = [names_chosen(log) for log in (trained.log, read_log(tmp_path / "log.json"))]
    assert ours == theirs
    assert set(ours) == {"msg", "save5", "nothing"}


def names_chosen(log: Log) -> list[str]:
    """Return the id of the chosen offer of every row."""
    return [log.vocabulary.ids[offer] for rows in log.batches() for offer in rows.chosen.tolist()]
