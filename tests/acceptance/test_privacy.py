"""A visitor is forgotten by a running service: nothing of them is in any file or log, and figures still run."""

from __future__ import annotations

import json
import sqlite3
import struct
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from offer_optimizer.core.feedback import Fate
from offer_optimizer.store.codec import RecordKind
from offer_optimizer.store.files import Files
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.v1 import offer_service_pb2 as pb
from offer_optimizer.v1 import offer_service_pb2_grpc as rpc
from tests.running_service import RunningService
from tests.traces import traces

CATALOG = """
version: 1
holdout: 0.1
offers:
  - {id: coupon, type: COUPON, attributes: {cost: 5.0}}
  - {id: news, type: MESSAGE}
  - {id: nothing, type: NOTHING}
caps:
  - {id: coupons, offers: [coupon], limit: 50, within: 7d}
  - {id: cool-down, offers: [news], limit: 9, count_on: dismiss, within: 7d}
budgets:
  - {id: money, offers: [coupon], limit: 20000, unit: money}
placements:
  - id: home
    offers: [coupon, news, nothing]
    baseline: [news, nothing]
    policy: vw
    window: 1s
    reward: {formula: "count.click > 0.0 ? 1.0 : 0.0", min: 0, max: 1}
  - id: slow
    offers: [coupon, news, nothing]
    baseline: [nothing]
    policy: vw
    window: 2h
    sticky_for: 10m
    reward: {formula: "count.click > 0.0 ? 1.0 : 0.0", min: 0, max: 1}
"""
WHO, ALIAS = "canary-visitor-7f3a", "canary-alias-90bc"
SAID = ("canary-category-41", "canary-tag-52", "canary-feedback-63", "canary-request-74", "canary-inline-85")
NUMBER = 31337.0717171717
"""A number of the context; its eight bytes are looked for."""
LIMIT_S = 30.0


class Shop:
    """Asks a service as a shop would."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(target)
        self.stub = rpc.OfferServiceStub(self.channel)
        self.decided: list[str] = []

    def visit(self, visitor_id: str, placement: str = "home", number: int = 0) -> str:
        """Decide, and click; return the decision's id."""
        canary = visitor_id in (WHO, ALIAS)
        context = pb.Features(
            categories={"device": SAID[0] if canary else "phone"},
            numbers={"cart": NUMBER if canary else 10.0},
            tags={"seen": pb.Tags(values=[SAID[1] if canary else "a"])},
        )
        request = pb.DecideRequest(
            placement=placement,
            visitor=pb.Visitor(visitor_id=visitor_id, consent=pb.CONSENT_FULL),
            context=context,
            request_id=f"{SAID[3]}{number}" if canary and number % 2 else "",
        )
        if canary and number % 3 == 2:
            inline = pb.Features(categories={"kind": SAID[4]})
            request.candidates.append(pb.Candidate(offer_id="coupon", attributes=inline))
            request.candidates.append(pb.Candidate(offer_id="nothing"))
        decision_id = str(self.stub.Decide(request, timeout=5).decision_id)
        by_visitor = pb.VisitorPlacement(visitor_id=visitor_id, placement=placement)
        stem = SAID[2] if canary else "f"
        items = [
            pb.Feedback(feedback_id=f"{stem}-{number}", kind="click", decision_id=decision_id),
            pb.Feedback(feedback_id=f"{stem}-v{number}", kind="dismiss", visitor_placement=by_visitor),
        ]
        self.stub.RecordFeedback(pb.RecordFeedbackRequest(items=items), timeout=5)
        return decision_id


@pytest.mark.timeout(300)
def test_nothing_of_an_erased_visitor_is_in_any_file_or_log(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)
    service = RunningService(tmp_path / "data", catalog, workers=2)
    directory, log = DataDirectory(service.directory), tmp_path / "serve.log"
    try:
        service.start()
        shop = Shop(service.target)
        theirs = [shop.visit(WHO, "home", number) for number in range(6)]
        theirs += [shop.visit(ALIAS, "slow", number) for number in range(6, 9)]
        for number in range(60):
            shop.visit(f"other-{number % 20}", ("home", "slow")[number % 3 == 2], number)
        merge = pb.MergeVisitorRequest(from_visitor_id=ALIAS, into_visitor_id=WHO)
        shop.stub.MergeVisitor(merge, timeout=5)
        wait(lambda: len(exported(service, WHO)) >= 9)
        time.sleep(2.5)  # windows close, models learn and are published
        told = exported(service, WHO)
        assert {line["decision_id"] for line in told if line["type"] == "decision"} >= set(theirs)
        assert any(SAID[0] in json.dumps(line) for line in told)

        ids = {name: name.encode() for name in (WHO, ALIAS)}
        assert traces(directory.path, ids, [log]) == [], "ids are nowhere, even before"
        said = {text: text.encode() for text in SAID}
        assert traces(directory.path, said), (
            "what is looked for is there before, or finding none says nothing"
        )

        digests = digests_of(directory, WHO, ALIAS)
        assert traces(directory.path, digests)
        refused = service.run_command("erase", WHO, "--target", service.target, "--reason", f"for {WHO}")
        assert refused.returncode == 1
        done = service.run_command("erase", ALIAS, "--target", service.target, "--reason", "by mail")
        assert done.returncode == 0, done.stderr
        began_s = time.monotonic()
        wait(lambda: is_erased(directory, 1))
        took_s = time.monotonic() - began_s
        time.sleep(0.6)  # deciders let go of the older cache
        wanted = ids | said | digests | {"number": struct.pack("<d", NUMBER)}
        assert traces(directory.path, wanted, [log]) == []

        # What comes later is of somebody new, and brings nobody back.
        again = pb.Feedback(feedback_id="late", kind="click", decision_id=theirs[-1])
        by_visitor = pb.Feedback(feedback_id="late-v", kind="click")
        by_visitor.visitor_placement.CopyFrom(pb.VisitorPlacement(visitor_id=WHO, placement="slow"))
        reply = shop.stub.RecordFeedback(pb.RecordFeedbackRequest(items=[again, by_visitor]), timeout=5)
        assert {result.status for result in reply.results} == {pb.FEEDBACK_STATUS_ACCEPTED}
        wait(lambda: last_fates(directory) == [Fate.APPLIED, Fate.UNATTRIBUTED])
        assert exported(service, WHO) == []
        new = shop.visit(WHO, "home", 100)
        assert new not in theirs
        wait(lambda: [line for line in exported(service, WHO) if line["type"] == "decision"] != [])
        assert {one["decision_id"] for one in exported(service, WHO) if one["type"] == "decision"} == {new}
        old = shop.stub.Explain(pb.ExplainRequest(decision_id=theirs[0]), timeout=5)
        assert not old.context.categories
        assert old.feedback[0].feedback_id.startswith("erased-")

        service.check_rebuild()
        assert service.run_command("verify", "--data", str(directory.path)).returncode == 0
        assert service.run_command("erase", WHO, "--target", service.target).returncode == 0
        wait(lambda: is_erased(directory, 2))
        assert service.run_command("erase", WHO, "--target", service.target).returncode == 0
        wait(lambda: is_erased(directory, 3))
        service.check_rebuild()
        audit = service.run_command("audit", "--data", str(directory.path)).stdout
        assert "EraseVisitor" in audit
        assert "ExportVisitor" in audit
        assert service.stop() == 0, service.log_tail()
        assert traces(directory.path, wanted, [log]) == []
        figure(f"An erasure beside a running service was whole {took_s:.1f} s after it was asked for.")
    finally:
        service.end()


def exported(service: RunningService, visitor_id: str) -> list[dict[str, object]]:
    """Return what the command prints."""
    done = service.run_command("export-visitor", visitor_id, "--target", service.target)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def digests_of(directory: DataDirectory, *visitor_ids: str) -> dict[str, bytes]:
    """Return the digests of visitors, as they lie in files."""
    identity = Identity.load(Files(), directory.secret_path)
    return {f"digest of {name}": identity.digest(name) for name in visitor_ids}


def is_erased(directory: DataDirectory, count: int) -> bool:
    """Return whether so many erasures are whole."""
    ledger = Ledger.open_for_reading(directory.ledger_path)
    with closing(ledger.connection) as connection:
        kinds = [record.kind for record in ledger.rare_records(ledger.last_position())]
        unclean = connection.execute("SELECT value FROM meta WHERE name = 'erasure_unclean'").fetchone()
        waiting = connection.execute("SELECT COUNT(*) FROM erasure_request").fetchone()
    return kinds.count(RecordKind.ERASURE) == count and unclean == (0,) and waiting == (0,)


def last_fates(directory: DataDirectory) -> list[Fate]:
    """Return the fates of the last two items of feedback."""
    connection = sqlite3.connect(f"{directory.ledger_path.as_uri()}?mode=ro", uri=True)
    with closing(connection):
        rows = connection.execute("SELECT position FROM fate ORDER BY position DESC LIMIT 2").fetchall()
        fates = [FoldTables(connection).fate_of(position) for (position,) in rows]
    return sorted((fate for fate in fates if fate is not None), key=lambda fate: fate is not Fate.APPLIED)


def wait(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline_s = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not come to pass"
        time.sleep(0.1)
