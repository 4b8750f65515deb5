"""The calls about visitors, stories, reports and single offers, against a real service."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from offer_optimizer.client import Candidate, Client, Explanation, RequestRejected, ServiceUnavailable
from offer_optimizer.v1 import insight_service_pb2, insight_service_pb2_grpc
from tests.running_service import RunningService, serving

WAIT_S = 10.0
CATALOG = """\
version: 1
offers:
  - {id: save5, type: COUPON, attributes: {cost: 5.0}}
  - {id: greeting, type: MESSAGE}
  - {id: nothing, type: NOTHING}
placements:
  - id: home
    offers: [save5, greeting, nothing]
    baseline: [greeting]
    ramp: 0.5
    window: 1h
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with serving(tmp_path_factory.mktemp("service"), CATALOG, workers=2) as service:
        yield service


@pytest.fixture(scope="module")
def client(running: RunningService) -> Iterator[Client]:
    with Client(running.target, timeout_s=5.0) as made:
        yield made


def until(found: Callable[[], Any]) -> Any:  # noqa: ANN401  (whatever is waited for)
    """Return what comes at last."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        try:
            answer = found()
        except RequestRejected as refused:
            assert refused.reason == "NOT_FOUND"  # noqa: PT017  (what has not been drained yet)
            answer = None
        except ServiceUnavailable:
            answer = None  # the ledger is being made: a retry is right
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"nothing within {WAIT_S:g} s")


def logged(text: str) -> list[str]:
    """Return a story's lines without the one that names the model of today: a newer one may come any time."""
    return [line for line in text.splitlines() if not line.startswith("features ")]


def story_with_click(client: Client, decision_id: str) -> Explanation | None:
    story = client.explain(decision_id)
    return story if "click 1 after" in story.text else None


def test_a_story_reads_the_same_from_the_service_and_from_the_ledger(
    running: RunningService, client: Client
) -> None:
    decision = client.decide("home", visitor_id="v", categories={"device": "phone"})
    assert decision.decision_id is not None
    client.feedback("click", decision_id=decision.decision_id)
    assert client.flush(WAIT_S)
    story: Explanation = until(lambda: story_with_click(client, decision.decision_id or ""))
    assert f"{decision.offer_id}: " in story.summary
    assert "click 1 after" in story.text
    assert ": APPLIED" in story.text
    assert "draw salt 1, draw 0." in story.text
    assert "(model alone " in story.text
    assert "device=phone" in story.text
    told = running.run_command("explain", decision.decision_id, "--target", running.target)
    read = running.run_command("explain", decision.decision_id, "--data", str(running.directory))
    shown = running.run_command("ledger", "show", decision.decision_id, "--data", str(running.directory))
    assert (told.returncode, logged(told.stdout)) == (0, logged(story.text))
    assert (read.returncode, logged(read.stdout)) == (0, logged(story.text))
    assert set(logged(shown.stdout)) <= set(logged(story.text))
    absent = running.run_command(
        "explain", "0192f0a1-b2c3-7def-8123-000000000000", "--target", running.target
    )
    assert absent.returncode == 1
    assert absent.stderr.count("\n") == 1
    assert "every 100 ms" in absent.stderr


def test_candidates_of_a_request_are_told_with_what_it_left_out(client: Client) -> None:
    decision = client.decide(
        "home",
        candidates=[Candidate("mine", numbers={"cost": 1.0}), Candidate("greeting")],
        exclude_offer_ids=["greeting", "nobody-knows-it"],
    )
    assert (decision.offer_id, decision.propensity) == ("mine", 1.0)
    story: Explanation = until(lambda: client.explain(decision.decision_id or ""))
    assert story.excluded == {"greeting": "CALLER_EXCLUDED"}
    assert "mine: the only eligible offer, p = 1" in story.summary


def test_a_repeated_request_gets_the_first_answer(client: Client) -> None:
    numbers = itertools.count()

    def is_repeated() -> bool:
        name = f"warm-{next(numbers)}"
        ids = {client.decide("home", visitor_id="w", request_id=name).decision_id for _ in range(2)}
        return len(ids) == 1

    until(is_repeated)  # a service that has just started has its counters to fill first
    first, second = (client.decide("home", visitor_id="w", request_id="once") for _ in range(2))
    assert first.decision_id == second.decision_id
    with pytest.raises(RequestRejected, match="request_id"):
        client.decide("home", visitor_id="another", request_id="once")


def test_visitors_are_merged_and_may_be_merged_again(client: Client) -> None:
    client.merge_visitor("anonymous", "known")
    client.merge_visitor("anonymous", "known")


def test_a_report_is_made_beside_decisions(running: RunningService, client: Client) -> None:
    client.decide("home", visitor_id="v")
    with grpc.insecure_channel(running.target) as channel:
        stub: Any = insight_service_pb2_grpc.InsightServiceStub(channel)
        request = insight_service_pb2.GetPlacementReportRequest(placement="home")
        report = stub.GetPlacementReport(request, timeout=60.0)
        assert report.decision_count >= 1
        assert not report.uplift.HasField("value")
        assert report.uplift.refused_reason
        request.placement = "attic"
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetPlacementReport(request, timeout=60.0)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_an_offer_is_off_within_a_second_and_without_a_restart(
    running: RunningService, client: Client
) -> None:
    def offers() -> set[str | None]:
        return {client.decide("home", visitor_id=f"v{number}").offer_id for number in range(200)}

    assert "save5" in offers()
    before = running.children()
    done = running.run_command("offer", "disable", "save5", "--target", running.target)
    assert done.returncode == 0, done.stderr
    began_s = time.monotonic()
    until(lambda: "save5" not in offers())
    assert time.monotonic() - began_s < 3.0  # 0.1 s on a quiet machine
    assert "save5" not in offers()
    assert running.children() == before
    again = running.run_command("offer", "disable", "save5", "--target", running.target)
    assert again.returncode == 0
    assert client.get_catalog().revision == 2
