"""How many examples a second does the learner learn, against `vw --dsjson` on the export of the same ledger?

A ledger with windows that end, one decision in ten clicked (the fixture of open_decisions). Windows are
closed, then the model is trained from the ledger, as live learning does it: read, decoded, joined, learned.
Its lessons are exported, and Vowpal Wabbit reads and learns that file by itself. CPU time of one process;
the models are compared, so that both have learned the same.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import vowpalwabbit

from benchmarks import question
from benchmarks.open_decisions import BEGIN_US, STEP_US, WINDOW_US, Fixture
from offer_optimizer.evaluate.dsjson_export import Lessons, export_dsjson, training_arguments
from offer_optimizer.evaluate.ledger_rows import LedgerRowsLog
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.trainer import BATCH, Trainer, initial_model
from offer_optimizer.policy.vw_options import VwOptions
from offer_optimizer.store.codec import Tick
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.sqlite import transaction

TURNS = 8
TOLERANCE = 0.3
"""Five short runs on a quiet machine came to 0.52 to 0.57, one beside .ci/run's other steps to 0.42."""


def close_windows(ledger: Ledger, count: int) -> tuple[float, Callable[[], tuple[float, int]]]:
    """Close all windows; return CPU seconds, and what trains a model: CPU seconds and count of examples."""
    tables = FoldTables.create(ledger.connection)
    fold = Fold(ledger, tables)
    (epoch_id,) = ledger.connection.execute("SELECT policy_epoch FROM open_decision LIMIT 1").fetchone()
    epoch = fold.revisions.epoch(epoch_id)
    assert epoch is not None
    began_s = time.process_time()
    with transaction(ledger.connection):
        fold.apply(ledger.append_body(Tick(BEGIN_US + WINDOW_US + count * STEP_US)))
        fold.save_state()
    closed_s = time.process_time() - began_s

    def learn() -> tuple[float, int]:
        trainer, model = Trainer(ledger, tables, fold.revisions), initial_model(epoch)
        began_s = time.process_time()
        while trainer.teach(model) == BATCH:
            pass
        return time.process_time() - began_s, model.learned_count

    return closed_s, learn


def vw_alone(file: Path) -> float:
    """Let Vowpal Wabbit read and learn the file; return CPU seconds."""
    arguments = training_arguments(VwOptions(), of_lessons=True)
    began_s = time.process_time()
    workspace = vowpalwabbit.Workspace(arg_list=[*arguments, "-d", str(file), "--quiet"])
    workspace.finish()
    return time.process_time() - began_s


def main() -> None:
    """Make the ledger, measure both sides in turns, answer."""
    asked = question.ask(question.parser("learner_rate", __doc__))
    count = 5_000 if asked.is_short else 100_000
    learned_s = alone_s = float("inf")
    with tempfile.TemporaryDirectory(prefix="offer-optimizer-bench-") as folder:
        path, file = Path(folder, "ledger.sqlite"), Path(folder, "lessons.dsjson")
        Fixture(path).fill(count)
        ledger = Ledger.open_for_writing(path, random.Random(2).randbytes)
        closed_s, learn = close_windows(ledger, count)
        with file.open("wb") as opened:
            lines = export_dsjson(
                LedgerRowsLog(Ledger.open_for_reading(path), "home", reward="reward_learned"),
                opened,
                Lessons(VwOptions()),
            )
        for _ in range(TURNS):
            spent_s, learned = learn()
            learned_s, alone_s = min(learned_s, spent_s), min(alone_s, vw_alone(file))
            if lines != learned:
                raise SystemExit(f"{lines} lines were exported, {learned} examples learned")
        ledger.connection.close()
    rate, alone = lines / learned_s, lines / alone_s
    print(f"{lines:,} examples: {rate:,.0f} a CPU second from the ledger, {alone:,.0f} by vw from the file")
    figures = [
        question.Figure(
            "examples a CPU second: learner / vw --dsjson", rate / alone, 0.5, tolerance=TOLERANCE
        ),
        question.Figure("closing windows besides, CPU us a decision", closed_s / count * 1e6, at_least=False),
    ]
    text = (__doc__ or "").splitlines()[0]
    question.finish(asked, question.Answer("learner_rate", text, figures, {"count": lines}))


if __name__ == "__main__":
    main()
