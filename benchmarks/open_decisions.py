"""What do many open decisions cost the learner: its memory, and closing windows against learning alone?

A ledger with millions of open decisions is made (`--short`: 200,000). A process of its own, with all that a
learner imports, opens it and closes 10,000 windows a turn, at one TICK each, then trains the model; the same
examples are then learned by the same policy alone. Printed are the peak of its resident memory, and the CPU
time of folding and training over that of learning alone. 20 offers, 12 features, one decision in ten clicked.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import question
from offer_optimizer.app.garbage import calm_collector
from offer_optimizer.core.catalog import Catalog, Offer, OfferType, Placement, PolicyChoice, Reward
from offer_optimizer.core.decision import Consent, Decision, ModelVersion, Reason, SlotChoice
from offer_optimizer.core.features import build_features
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.core.ids import make_decision_id
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.trainer import BATCH, Model, Trainer, initial_model
from offer_optimizer.policy.contract import Example
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import Epoch, RecordKind, StoredCatalog, Tick, encode_feedback
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.open_buckets import BUCKET
from offer_optimizer.store.sqlite import transaction

OFFERS: Final = 20
VISITORS: Final = 1_000_000
WINDOW_US: Final = 90 * 86_400_000_000
STEP_US: Final = 1_000
BEGIN_US: Final = 1_780_000_000_000_000
CHUNK: Final = 20_000
CLOSED: Final = 10_000
TURNS: Final = 5
ONE_IN: Final = 10
"""One decision in so many is clicked."""
WORDS: Final = ("north", "south", "east", "west")


def catalog() -> Catalog:
    """Return the catalog: one placement, a window of 90 days, the default policy."""
    offers = tuple(
        Offer(
            id=f"offer-{number:02}",
            type=OfferType.MESSAGE,
            attributes=build_features(
                {"theme": f"t{number % 4}"}, {"cost": float(number)}, {}, where="offers", limit=50
            ),
        )
        for number in range(OFFERS)
    )
    placement = Placement(
        id="home",
        offers=tuple(offer.id for offer in offers),
        policy=PolicyChoice(name="vw"),
        window_s=WINDOW_US / 1e6,
        reward=Reward(formula="sum.click"),
    )
    return Catalog(offers=offers, placements=(placement,))


class Fixture:
    """Makes the ledger: the first decision is folded, all others get rows of its form, in bulk."""

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger.open_for_writing(path, random.Random(1).randbytes)
        self.connection = self.ledger.connection
        self.connection.execute("PRAGMA synchronous=OFF")
        self.tables = FoldTables.create(self.connection)
        self.fold = Fold(self.ledger, self.tables)
        self.chance = random.Random(7)
        content = catalog()
        self.epoch = epoch_of(content.placements[0])
        with transaction(self.connection):
            self.add(StoredCatalog(1, 0, "", content.model_dump_json()))
            self.add(Epoch("home", 1, self.epoch.id, self.epoch.description))
            self.decided(0, self.ledger.append_decision)

    def add(self, body: StoredCatalog | Epoch) -> None:
        """Append and fold a record."""
        self.fold.apply(self.ledger.append_body(body))

    def decided(self, number: int, append: Any) -> None:  # noqa: ANN401  (a bound method)
        """Append and fold a decision."""
        decision, key = self.decision(number)
        self.fold.apply(append(decision.decision_id, encode_decision(decision), key))
        self.fold.save_state()

    def decision(self, number: int) -> tuple[Decision, int]:
        """Return decision `number` and its visitor's key."""
        time_us = BEGIN_US + number * STEP_US
        pmf = np.full(OFFERS, 1 / OFFERS, dtype=np.float32)
        chosen = self.chance.randrange(OFFERS)
        context = build_features(
            {f"c{n}": self.chance.choice(WORDS) for n in range(6)},
            {f"n{n}": self.chance.random() for n in range(6)},
            {},
            where="context",
            limit=100,
        )
        decision = Decision(
            decision_id=make_decision_id(time_us, self.chance.randbytes(10)),
            decide_time_us=time_us,
            catalog_revision=1,
            placement_id="home",
            candidates=tuple(range(OFFERS)),
            excluded=(),
            exclusion_reasons=(),
            slots=(SlotChoice(pmf, chosen, 1 / OFFERS),),
            context=context,
            model_version=ModelVersion(self.epoch.id, 0),
            reason=Reason.MODEL,
            deferred=False,
            holdout=False,
            ramp=1.0,
            floor=0.02,
            baseline=None,
            draw_salt_id=1,
            consent=Consent.FULL,
        )
        return decision, self.chance.randrange(VISITORS)

    def fill(self, count: int) -> None:
        """Open windows up to `count`, and click on some of those that will close."""
        cursor = self.connection.execute("SELECT * FROM open_decision")
        names = [column[0] for column in cursor.description]
        form = dict(zip(names, cursor.fetchone(), strict=True))
        first = self.ledger.last_position() + 1
        buckets = [("home", number, BUCKET) for number in range(1, count // BUCKET + 1)]
        self.connection.executemany("INSERT INTO open_bucket VALUES (?, ?, ?)", buckets)
        for start in range(1, count, CHUNK):
            made = [self.decision(number) for number in range(start, min(start + CHUNK, count))]
            self._insert(first + start - 1, made, form)
        self.fold.position = self.ledger.last_position()
        with transaction(self.connection):
            self._click()
            self.fold.save_state()
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()

    def _insert(self, first: int, made: Sequence[tuple[Decision, int]], form: dict[str, Any]) -> None:
        opened = []
        for position, (decision, key) in enumerate(made, first):
            end_us = decision.decide_time_us + WINDOW_US
            own = {
                "position": position,
                "decision_id": decision.decision_id,
                "visitor_key": key,
                "decide_time_us": decision.decide_time_us,
                "close_time_us": end_us,
                "window_end_us": end_us,
                "bucket": position // BUCKET,
            }
            opened.append(tuple(own.get(name, value) for name, value in form.items()))
        kind = int(RecordKind.DECISION)
        records = [(kind, key, encode_decision(decision)) for decision, key in made]
        ids = [(decision.decision_id, first + index) for index, (decision, _) in enumerate(made)]
        marks = ", ".join("?" * len(form))
        with transaction(self.connection):
            many = self.connection.executemany
            many("INSERT INTO record(kind, visitor_key, body) VALUES (?, ?, ?)", records)
            many("INSERT INTO decision_position VALUES (?, ?)", ids)
            many(f"INSERT INTO open_decision VALUES ({marks})", opened)  # noqa: S608  (question marks)

    def _click(self) -> None:
        rows = self.connection.execute(
            "SELECT decision_id, decide_time_us FROM open_decision ORDER BY position LIMIT ?",
            (TURNS * CLOSED,),
        ).fetchall()
        for number, (decision_id, time_us) in enumerate(rows[::ONE_IN]):
            item = Feedback(f"f{number}", decision_id, "", 0, "click", 1.0, time_us + 1)
            self.fold.apply(self.ledger.append(RecordKind.FEEDBACK, encode_feedback(item)))


class _Collecting:
    """A policy that keeps what it is taught."""

    def __init__(self) -> None:
        self.examples: list[Example] = []

    def learn(self, example: Example) -> None:
        """Keep an example."""
        self.examples.append(example)


def measure(path: Path) -> dict[str, Any]:
    """Close windows and learn, turn by turn; return CPU seconds of each part, and peak memory in MB."""
    import offer_optimizer.app.learner  # noqa: F401, PLC0415  (what a learner has in memory)

    calm_collector()
    ledger = Ledger.open_for_writing(path, random.Random(2).randbytes)
    tables = FoldTables.create(ledger.connection)
    fold = Fold(ledger, tables)
    trainer = Trainer(ledger, tables, fold.revisions)
    (epoch_id,) = ledger.connection.execute("SELECT policy_epoch FROM open_decision LIMIT 1").fetchone()
    epoch = fold.revisions.epoch(epoch_id)
    assert epoch is not None
    model, alone = initial_model(epoch), initial_model(epoch)
    turns, peak = [], 0
    for turn in range(TURNS):
        before = replace(model)
        started = time.process_time()
        with transaction(ledger.connection):
            time_us = BEGIN_US + WINDOW_US + ((turn + 1) * CLOSED - 1) * STEP_US
            fold.apply(ledger.append_body(Tick(time_us)))
            fold.save_state()
        folded = time.process_time()
        _teach(trainer, model)
        taught = time.process_time()
        peak = max(peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        examples = _examples(trainer, before)
        began = time.process_time()
        for example in examples:
            alone.policy.learn(example)
        turns.append(
            {
                "closed": len(examples),
                "fold_s": folded - started,
                "train_s": taught - folded,
                "learn_s": time.process_time() - began,
            }
        )
    assert alone.policy.save() == model.policy.save()
    return {"turns": turns, "peak_mb": peak / 1024}


def _teach(trainer: Trainer, model: Model) -> None:
    while trainer.teach(model) == BATCH:
        pass


def _examples(trainer: Trainer, model: Model) -> list[Example]:
    """Return what a model has yet to learn."""
    collecting = _Collecting()
    model.policy = collecting  # type: ignore[assignment]
    _teach(trainer, model)
    return collecting.examples


def figures(found: dict[str, Any]) -> list[question.Figure]:
    """Print the turns and return what issue and design ask for."""
    ratios = []
    for turn in found["turns"]:
        each = {part: turn[part] / turn["closed"] * 1e6 for part in ("fold_s", "train_s", "learn_s")}
        ratios.append((each["fold_s"] + each["train_s"]) / each["learn_s"])
        print(
            f"closed {turn['closed']:,}: fold {each['fold_s']:.1f}, train {each['train_s']:.1f}, learn alone "
            f"{each['learn_s']:.1f} CPU us a decision, ratio {ratios[-1]:.2f}"
        )
    return [
        question.Figure("peak memory of the learner, MB", found["peak_mb"], 300.0, at_least=False),
        question.Figure(
            "closing and learning / learning alone", statistics.median(ratios), 3.0, at_least=False
        ),
    ]


def main() -> None:
    """Make the ledger, measure it in another process, answer."""
    parser = question.parser("open_decisions", __doc__)
    parser.add_argument("--count", type=int, help="that many open decisions (5 million; short 200,000)")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = question.ask(parser)
    options = asked.options
    if options.measure is not None:
        print(json.dumps(measure(options.measure)))
        return
    count = options.count or (200_000 if asked.is_short else 5_000_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        Fixture(path).fill(count)
        size_mb = path.stat().st_size / 1e6
        run = [sys.executable, "-m", "benchmarks.open_decisions", "--measure", str(path)]
        found = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    print(f"{count:,} open decisions in a ledger of {size_mb:,.0f} MB")
    text = (__doc__ or "").splitlines()[0]
    details = {"count": count, "ledger_mb": size_mb, **found}
    question.finish(asked, question.Answer("open_decisions", text, figures(found), details))


if __name__ == "__main__":
    main()
