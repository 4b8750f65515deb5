"""A visitor is forgotten by a running service: nothing of them is in any file or log."""

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
SAID = ("canary-category-41", "canary-tag-52", "canary-feedback-63", "canary-inline-85")
ASKED = "canary-request-74"
"""A request id is kept as its digest alone, so it is nowhere at any time."""
NUMBER = 31337.0717171717
"""A number of the context; its eight bytes are looked for."""
LIMIT_S = 30.0


class Shop:
    """Asks a service as a shop would."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(target)
        self.stub = rpc.OfferServiceStub(self.channel)

    def export(self, visitor_id: str, **fields: object) -> pb.ExportVisitorResponse:
        """Return a page of what is stored."""
        request = pb.ExportVisitorRequest(visitor_id=visitor_id, **fields)  # type: ignore[arg-type]
        found = self.stub.ExportVisitor(request, timeout=10)
        assert isinstance(found, pb.ExportVisitorResponse)
        return found

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
            request_id=f"{ASKED}{number}" if canary and number % 2 else "",
        )
        if canary and number % 3 == 2:
            inline = pb.Features(categories={"kind": SAID[3]})
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
    """What is looked for is there before the erasure, or finding none would say nothing."""
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)
    service = RunningService(tmp_path / "data", catalog, workers=2)
    directory, log = DataDirectory(service.directory), tmp_path / "serve.log"
    try:
        service.start()
        shop = Shop(service.target)
        wait(lambda: "hot_cache_ready" in service.log_tail())
        theirs = busy_day(shop)
        ids = {name: name.encode() for name in (WHO, ALIAS, ASKED)}
        said = {text: text.encode() for text in SAID} | {"number": struct.pack("<d", NUMBER)}
        digests = digests_of(directory, WHO, ALIAS)
        wanted = ids | said | digests
        assert traces(directory.path, ids, [log]) == [], "ids are nowhere, even before"
        assert {found.split(" in ")[0] for found in traces(directory.path, said | digests)} == set(
            said | digests
        )
        refused = service.run_command("erase", WHO, "--target", service.target, "--reason", f"for {WHO}")
        assert refused.returncode == 1
        took_s = erase(service, ALIAS, 1)
        assert traces(directory.path, wanted, [log]) == []

        check_nobody_comes_back(shop, directory, theirs)
        service.check_rebuild()
        assert service.run_command("verify", "--data", str(directory.path)).returncode == 0
        erase(service, WHO, 2)
        erase(service, WHO, 3)
        service.check_rebuild()
        audit = service.run_command("audit", "--data", str(directory.path)).stdout
        assert "EraseVisitor" in audit
        assert "ExportVisitor" in audit
        assert service.stop() == 0, service.log_tail()
        assert traces(directory.path, wanted, [log]) == []
        figure(f"An erasure beside a running service took {took_s:.1f} s, the command's start included.")
    finally:
        service.end()


def busy_day(shop: Shop) -> list[str]:
    """Let two ids of one person, merged at the end, and 20 others come; return the person's decisions."""
    theirs = [shop.visit(WHO, "home", number) for number in range(6)]
    theirs += [shop.visit(ALIAS, "slow", number) for number in range(6, 9)]
    for number in range(60):
        shop.visit(f"other-{number % 20}", ("home", "slow")[number % 3 == 2], number)
    merge = pb.MergeVisitorRequest(from_visitor_id=ALIAS, into_visitor_id=WHO)
    shop.stub.MergeVisitor(merge, timeout=5)
    wait(lambda: set(decisions_of(shop, WHO)) == set(theirs))
    time.sleep(2.5)  # windows close, models learn and are published
    return theirs


def erase(service: RunningService, visitor_id: str, count: int) -> float:
    """Erase somebody as the one in so many erasures; return how many seconds it took."""
    began_s = time.monotonic()
    done = service.run_command("erase", visitor_id, "--target", service.target, "--reason", "by mail")
    assert done.returncode == 0, done.stderr
    assert visitor_id not in done.stdout + done.stderr
    wait(lambda: is_erased(DataDirectory(service.directory), count))
    took_s = time.monotonic() - began_s
    time.sleep(0.6)  # deciders let go of the older cache
    return took_s


def check_nobody_comes_back(shop: Shop, directory: DataDirectory, theirs: list[str]) -> None:
    """See that what comes later is of somebody new, whatever it names."""
    again = pb.Feedback(feedback_id="late", kind="click", decision_id=theirs[-1])
    by_visitor = pb.Feedback(feedback_id="late-v", kind="click")
    by_visitor.visitor_placement.CopyFrom(pb.VisitorPlacement(visitor_id=WHO, placement="slow"))
    reply = shop.stub.RecordFeedback(pb.RecordFeedbackRequest(items=[again, by_visitor]), timeout=5)
    assert {result.status for result in reply.results} == {pb.FEEDBACK_STATUS_ACCEPTED}
    wait(lambda: last_fates(directory) == [Fate.APPLIED, Fate.UNATTRIBUTED])
    assert decisions_of(shop, WHO) == decisions_of(shop, ALIAS) == []
    new = shop.visit(WHO, "home", 100)
    assert new not in theirs
    wait(lambda: decisions_of(shop, WHO) == [new])
    assert decisions_of(shop, ALIAS) == []
    old = shop.stub.Explain(pb.ExplainRequest(decision_id=theirs[0]), timeout=5)
    assert not old.context.categories
    assert old.feedback[0].feedback_id.startswith("erased-")


@pytest.mark.timeout(120)
def test_an_export_is_everything_in_lines(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)
    service = RunningService(tmp_path / "data", catalog, workers=1)
    try:
        service.start()
        shop = Shop(service.target)
        wait(lambda: "hot_cache_ready" in service.log_tail())
        theirs = [shop.visit(WHO, "home", number) for number in range(12)]
        nowhere = pb.Feedback(feedback_id="lost", kind="click")
        nowhere.visitor_placement.CopyFrom(pb.VisitorPlacement(visitor_id=WHO, placement="slow"))
        shop.stub.RecordFeedback(pb.RecordFeedbackRequest(items=[nowhere]), timeout=5)
        wait(lambda: len(shop.export(WHO).decisions) == 12 and len(shop.export(WHO).other_feedback) == 1)
        done = service.run_command("export-visitor", WHO, "--target", service.target)
        told = [json.loads(line) for line in done.stdout.splitlines()]
        decisions = [line for line in told if line["type"] == "decision"]
        assert [line["decision_id"] for line in decisions] == theirs
        assert decisions[0]["context"]["categories"] == {"device": SAID[0]}
        assert {item["kind"] for line in decisions for item in line["feedback"]} == {"click", "dismiss"}
        assert [line["feedback_id"] for line in told if line["type"] == "feedback"] == ["lost"]
        assert {line["cap_id"] for line in told if line["type"] == "cap"} <= {"coupons", "cool-down"}
        assert [line for line in told if line["type"] == "cap"]
        first = shop.export(WHO, page_size=12)
        second = shop.export(WHO, page_size=99, page_token=first.next_page_token)
        assert [one.decision_id for page in (first, second) for one in page.decisions] == theirs
        with pytest.raises(grpc.RpcError):
            shop.export(WHO, page_token="somewhere")
    finally:
        service.end()


def decisions_of(shop: Shop, visitor_id: str) -> list[str]:
    """Return the decisions that an export tells of."""
    return [one.decision_id for one in shop.export(visitor_id).decisions]


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
    """Wait until something is so; a ledger that has only been begun can't be read yet."""
    deadline_s = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline_s:
        try:
            if is_so():
                return
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        time.sleep(0.1)
    raise AssertionError("it did not come to pass")
