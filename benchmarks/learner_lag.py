"""How far does the learner fall behind while two deciders run at full rate?

With the default policy, then with vw. Closed loops keep both deciders busy, and come back where they are
refused because too many wait; each second the ledger's time and the close cursors of the snapshots in
service are compared with the clock. Ledger time is a second behind by design. How fast the learner catches up
is asked by `restart`.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from benchmarks import decide_floor, machine, question, setting, under_test, verdict
from benchmarks.under_test import Service, UnderTest
from offer_optimizer.store.files import Files
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.snapshots import SnapshotStore

SAMPLE_S: Final = 1.0
SETTLE_S: Final = 3.0
DRAINED_S: Final = 5.0
SHORT_S: Final = 10.0
LAG_S: Final = 5.0


class Watch(threading.Thread):
    """Notes once a second by how many seconds ledger time and the oldest model in service are behind."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self._data = DataDirectory(service.data)
        self._snapshots = SnapshotStore(Files(), self._data.snapshots)
        self.stopping = threading.Event()
        self.ledger_s: list[float] = []
        self.models_s: list[float] = []

    def run(self) -> None:
        """Watch until told to stop."""
        ledger = Ledger.open_for_reading(self._data.ledger_path)
        tables = FoldTables(ledger.connection)
        while not self.stopping.wait(SAMPLE_S):
            now_us = time.time_ns() // 1000
            self.ledger_s.append((now_us - tables.state("time_us")) / 1e6)
            if times := self._cursors():
                self.models_s.append((now_us - min(times)) / 1e6)
        ledger.connection.close()

    def _cursors(self) -> list[int]:
        found = []
        for placement in self._snapshots.placements():
            for epoch in self._snapshots.epochs(placement):
                name = self._snapshots.current_name(placement, epoch)
                time_us = self._snapshots.load(placement, name).close_time_us if name is not None else 0
                if time_us:  # else it has met no example yet
                    found.append(time_us)
        return found


def figures_of(policy: str, seconds: float) -> tuple[list[question.Figure], dict[str, float]]:
    """Load and watch with one policy; return the figures and what they were measured at."""
    requests = setting.many_requests(5000, 4)
    with under_test.service(setting.catalog_text(policy), workers=2) as service:
        server = UnderTest("two", service.target, service.deciders[0], service.deciders[1:])
        watch = Watch(service)
        learner_s = machine.cpu_seconds(service.learner)
        print(f"{policy}: full rate for {seconds:g} s", flush=True)
        watch.start()
        load = decide_floor.drive(server, seconds, 2, 8, requests=requests)
        watch.stopping.set()
        watch.join()
        time.sleep(DRAINED_S)
        learner_s = machine.cpu_seconds(service.learner) - learner_s
    if load.cpu_us_per_call is None:
        raise SystemExit("the deciders are ours")
    if load.failure_count:
        raise SystemExit(f"{policy}: {load.failure_count} decisions failed")
    settled = watch.ledger_s[int(SETTLE_S / SAMPLE_S) :]
    learner_us = learner_s / (load.calls_per_s * seconds) * 1e6
    print(
        f"{load.calls_per_s:.0f} decisions a second, {load.refused_count} refused in all; CPU us a decision: "
        f"decider {load.cpu_us_per_call:.0f}, learner {learner_us:.0f}"
    )
    worst = f"{policy}: ledger time behind the clock at worst, s"
    oldest = f"{policy}: oldest model behind the clock at worst, s"
    figures = [
        question.Figure(worst, max(settled), LAG_S, at_least=False),
        question.Figure(oldest, max(watch.models_s, default=0.0), at_least=False),
        question.Figure(f"{policy}: CPU of a decision at the learner, us", learner_us, at_least=False),
    ]
    details = {"calls_per_s": load.calls_per_s, "refused_count": float(load.refused_count)}
    return figures, details | {"seconds": seconds, "learner_us": learner_us}


def main() -> None:
    """Load, watch, answer."""
    parser = question.parser("learner_lag", __doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each policy")
    verdict.add_policies(parser)
    asked = question.ask(parser)
    seconds = SHORT_S if asked.is_short else asked.options.minutes * 60.0
    figures: list[question.Figure] = []
    details: dict[str, object] = {}
    for policy in asked.options.policies:
        own, details[policy] = figures_of(policy, seconds)
        figures += own
    text = (__doc__ or "").splitlines()[0]
    verdict.conclude(asked, question.Answer("learner_lag", text, figures, details))


if __name__ == "__main__":
    main()
