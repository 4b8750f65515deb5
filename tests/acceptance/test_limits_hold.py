"""Rules, caps, budgets, holdout and ramp together, under concurrency: every decision is right.

Four clients, two deciders, a learning model. The checks are derived here from the ledger and the catalog's
text alone: nothing of the code that decides is asked.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from scipy import stats

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.decision import Decision, Reason
from offer_optimizer.store.codec import StoredCatalog
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.v1 import offer_service_pb2 as pb
from offer_optimizer.v1 import offer_service_pb2_grpc as rpc
from tests.conftest import Size
from tests.running_service import RunningService

CATALOG = """
version: 1
holdout: 0.1
offers:
  - {id: coupon, type: COUPON, group: coupons, attributes: {cost: 5.0}}
  - {id: big-coupon, type: COUPON, group: coupons, attributes: {cost: 12.0}, eligible: 'number.cart > 40.0'}
  - {id: guide, type: CONTENT, eligible: 'category.device == "phone"'}
  - {id: express, type: SERVICE}
  - {id: news, type: MESSAGE, eligible: '!("interruptions" in visitor) || visitor["interruptions"] < 5.0'}
  - {id: nothing, type: NOTHING}
caps:
  - {id: coupons, groups: [coupons], limit: 2, within: 7d}
  - {id: interruptions, interruptions: true, limit: 8, within: day}
  - {id: shown-guide, offers: [guide], limit: 3, count_on: shown}
  - {id: cool-down, groups: [coupons], limit: 1, count_on: dismiss, within: 7d}
budgets:
  - {id: big, offers: [big-coupon], limit: 300, unit: uses, hard: true}
  - {id: coupon-money, groups: [coupons], limit: 20000, unit: money}
placements:
  - id: home
    offers: [coupon, big-coupon, guide, express, news, nothing]
    baseline: [news, nothing]
    policy: vw
    ramp: 0.8
    floor: 0.1
    window: 2s
    reward: {formula: "count.click > 0.0 ? 1.0 : 0.0", min: 0, max: 1}
"""
FEEDBACK_COUNTS = ("shown-guide", "cool-down", "id: big,", "coupon-money", "budgets:")
CAPS_ALONE = "".join(
    line for line in CATALOG.splitlines(keepends=True) if not any(it in line for it in FEEDBACK_COUNTS)
)
"""The same where caps count decisions alone: what is not deferred goes by the tally table."""
CONTEXTS = [(device, cart) for device in ("phone", "desktop") for cart in (10.0, 80.0)]
CLICK = {"coupon": 0.3, "big-coupon": 0.35, "guide": 0.2, "express": 0.15, "news": 0.1, "nothing": 0.05}
BATCH = 20


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("limits", ["all", "caps alone"])
def test_no_cap_or_hard_budget_is_exceeded_by_one_and_choices_follow_the_logged_pmfs(
    tmp_path: Path, size: Size, figure: Callable[[str], None], limits: str
) -> None:
    """Chi-square at 0.001 in each of four contexts: a false alarm in 250 runs."""
    wanted = size.pick(test=4_000 if limits == "all" else 1_500, ci=6_000, proof=200_000)
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG if limits == "all" else CAPS_ALONE)
    service = RunningService(tmp_path / "data", catalog, workers=2)
    try:
        service.start()
        wait_for_counters(service.target)
        drive(service.target, wanted, visitors=max(wanted // 25, 50))
        assert service.stop() == 0, service.log_tail()
        service.start()  # the learner takes what the journals still hold
        service.check_rebuild()
        verified = service.run_command("verify", "--data", str(service.directory), "--json")
        assert verified.returncode == 0, verified.stdout + verified.stderr
    finally:
        service.end()
    decisions, catalogs = read(service.directory)
    assert len(decisions) >= wanted
    most = check_caps(decisions, catalogs)
    used = check_budgets(decisions, catalogs) if limits == "all" else "none"
    worst = check_choices(decisions, catalogs)
    held_out = sum(decision.holdout for decision, _ in decisions)
    figure(
        f"limits: {limits}; {len(decisions)} decisions by four clients at two deciders, {held_out} held out:"
        f" verify clean, most coupons of one visitor {most} of 2, hard budget {used} of 300,"
        f" least p of chi-square {worst:.3f}"
    )


def wait_for_counters(target: str) -> None:
    """Ask, without a visitor, until each decider offers more than what nothing limits."""
    deadline_s = time.monotonic() + 20.0
    with grpc.insecure_channel(target) as channel:
        known = 0
        while known < 20:
            assert time.monotonic() < deadline_s
            reply = rpc.OfferServiceStub(channel).Decide(pb.DecideRequest(placement="home"), timeout=5)
            known += bool(reply.slots) and reply.slots[0].offer_id != "nothing"
            time.sleep(0.02)


def drive(target: str, wanted: int, visitors: int) -> None:
    """Send decisions in batches from four threads, each with its feedback."""
    failures: list[BaseException] = []

    def run(seed: int) -> None:
        try:
            with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                stub = rpc.OfferServiceStub(channel)
                chance = random.Random(seed)
                for _ in range(wanted // 4 // BATCH + 1):
                    send_batch(stub, chance, visitors)
        except BaseException as error:  # noqa: BLE001  (told by the main thread)
            failures.append(error)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def send_batch(stub: rpc.OfferServiceStub, chance: random.Random, visitors: int) -> None:
    """Decide for some visitors, and say what they did."""
    requests = []
    for _ in range(BATCH):
        device, cart = chance.choice(CONTEXTS)
        visitor = f"v{chance.randrange(visitors)}" if chance.random() < 0.95 else ""
        requests.append(
            pb.DecideRequest(
                placement="home",
                visitor=pb.Visitor(visitor_id=visitor),
                context=pb.Features(categories={"device": device}, numbers={"cart": cart}),
                deferred=chance.random() < 0.2,
                exclude_offer_ids=["express"] if chance.random() < 0.1 else [],
            )
        )
    reply = stub.BatchDecide(pb.BatchDecideRequest(requests=requests), timeout=30)
    items = []
    for number, result in enumerate(reply.results):
        decision = result.response
        assert decision.decision_id, result
        if not decision.slots:
            continue
        offer = decision.slots[0].offer_id
        kinds = ["shown"] if chance.random() < 0.8 else ["not_shown"]
        if kinds == ["shown"] and chance.random() < CLICK[offer]:
            kinds.append("click")
        if chance.random() < 0.1:
            kinds.append("dismiss")
        items += [
            pb.Feedback(feedback_id=f"{number}-{kind}", kind=kind, decision_id=decision.decision_id)
            for kind in kinds
        ]
    answer = record(stub, pb.RecordFeedbackRequest(items=items))
    assert all(result.status == pb.FEEDBACK_STATUS_ACCEPTED for result in answer.results)


def record(stub: rpc.OfferServiceStub, request: pb.RecordFeedbackRequest) -> pb.RecordFeedbackResponse:
    """Send feedback, again where the service has too much to do: both connections may share a decider."""
    while True:
        try:
            reply: pb.RecordFeedbackResponse = stub.RecordFeedback(request, timeout=30)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            time.sleep(0.02)
        else:
            return reply


Logged = list[tuple[Decision, int | None]]


def read(directory: Path) -> tuple[Logged, dict[int, Catalog]]:
    """Return every decision with its visitor, in ledger order, and the catalogs by revision."""
    ledger = Ledger.open_for_reading(DataDirectory(directory).ledger_path)
    decisions: Logged = []
    catalogs = {}
    for record in ledger.records():
        body = record.body()
        if isinstance(body, Decision):
            decisions.append((body, record.visitor_key))
        elif isinstance(body, StoredCatalog):
            catalogs[body.revision] = Catalog.model_validate_json(body.canonical)
    ledger.connection.close()
    return decisions, catalogs


def chosen(decision: Decision, catalogs: dict[int, Catalog]) -> str:
    """Return the id of the chosen offer; empty where there is none."""
    if not decision.slots:
        return ""
    index = decision.eligible()[decision.slots[0].chosen]
    return catalogs[decision.catalog_revision].offers[index].id


def check_caps(decisions: Logged, catalogs: dict[int, Catalog]) -> int:
    """Count immediate uses by visitor; a deferred one may have been released, so it is left out here."""
    coupons: dict[int, int] = defaultdict(int)
    interruptions: dict[int, int] = defaultdict(int)
    for decision, visitor in decisions:
        offer = chosen(decision, catalogs)
        if visitor is None or decision.deferred or not offer:
            continue
        coupons[visitor] += offer in ("coupon", "big-coupon")
        interruptions[visitor] += offer != "nothing"
    most = max(coupons.values())
    assert most <= 2
    assert max(interruptions.values()) <= 8 * 2, "more than two calendar days cannot have passed"
    return most


def check_budgets(decisions: Logged, catalogs: dict[int, Catalog]) -> int:
    """Count immediate uses of the hard budget."""
    immediate = [decision for decision, _ in decisions if not decision.deferred]
    used = sum(chosen(decision, catalogs) == "big-coupon" for decision in immediate)
    assert used <= 300
    return used


def check_choices(decisions: Logged, catalogs: dict[int, Catalog]) -> float:
    """Compare choices with the logged pmfs in each context; return the least p-value."""
    names = [offer.id for offer in catalogs[1].offers]
    sums = {context: np.zeros(len(names)) for context in CONTEXTS}
    spreads = {context: np.zeros((len(names), len(names))) for context in CONTEXTS}
    for decision, _ in decisions:
        if decision.reason is not Reason.MODEL or not decision.context.count():
            continue
        pmf = np.zeros(len(names))
        stored = decision.slots[0].pmf.astype(float)
        pmf[list(decision.eligible())] = stored / stored.sum()
        hit = np.zeros(len(names))
        hit[decision.eligible()[decision.slots[0].chosen]] = 1.0
        context = (dict(decision.context.categories)["device"], dict(decision.context.numbers)["cart"])
        sums[context] += hit - pmf
        spreads[context] += np.diag(pmf) - np.outer(pmf, pmf)
    values = []
    for context in CONTEXTS:
        rank = int(np.linalg.matrix_rank(spreads[context], tol=1e-6))
        statistic = float(sums[context] @ np.linalg.pinv(spreads[context], rcond=1e-9) @ sums[context])
        values.append(float(stats.chi2.sf(statistic, rank)))
    assert min(values) > 0.001, dict(zip(CONTEXTS, values, strict=True))
    return min(values)
