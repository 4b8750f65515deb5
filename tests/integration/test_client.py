"""The client against a real gRPC server on loopback: what a page meets in good times and in bad."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from offer_optimizer.client import (
    Candidate,
    Client,
    Consent,
    Decision,
    FeedbackItem,
    Problem,
    Question,
    RequestRejected,
    RevisionConflict,
    ServiceUnavailable,
)
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.integration.fake_service import FakeService, Refusal, serving

NOBODY = "127.0.0.1:1"
"""A target where nothing listens: port 1 is privileged and unassigned."""


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def target(service: FakeService) -> Iterator[str]:
    with serving(service) as address:
        yield address


def fail_with(service: FakeService, code: str, reason: str = "", message: str = "refused") -> None:
    def choose(request: pb.DecideRequest) -> str:
        raise Refusal(code, reason, message)

    service.choose = choose


def test_a_decision_comes_back_with_all_that_a_page_needs(service: FakeService, target: str) -> None:
    with Client(target, timeout_s=5.0) as client:
        decision = client.decide("home", visitor_id="v", categories={"device": "phone"}, consent=Consent.FULL)
    assert (decision.offer_id, decision.payload, decision.propensity) == ("only", "hello", 0.5)
    assert (decision.decision_id, decision.reason, decision.served_by) == ("d1", "MODEL", "service")
    assert decision.model_version == "00ff:1"
    assert 0.0 < decision.latency_s < 5.0
    assert service.questions[0].visitor.visitor_id == "v"


@pytest.mark.parametrize(
    "code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN", "PERMISSION_DENIED"]
)
def test_a_failure_of_the_service_shows_the_callers_baseline(
    service: FakeService, target: str, code: str
) -> None:
    fail_with(service, code)
    problems: list[Problem] = []
    with Client(target, timeout_s=5.0, baselines={"home": ["b1", "b2"]}, on_error=problems.append) as client:
        decision = client.decide("home")
        without = client.decide("elsewhere")
        assert client.stats().baseline == 2
    assert (decision.offer_id, decision.served_by, decision.decision_id) == ("b1", "client_baseline", None)
    assert (decision.reason, decision.propensity) == (code, None)
    assert without.offer_id is None
    assert [(problem.operation, problem.code) for problem in problems] == [("decide", code)] * 2


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED"])
def test_a_bug_of_the_caller_raises_with_code_reason_and_message(
    service: FakeService, target: str, code: str
) -> None:
    fail_with(service, code, "SOME_REASON", "context.numbers: 201 features, at most 200")
    with (
        Client(target, timeout_s=5.0, baselines={"home": ["b1"]}) as client,
        pytest.raises(RequestRejected) as caught,
    ):
        client.decide("home")
    assert (caught.value.code, caught.value.reason) == (code, "SOME_REASON")
    assert caught.value.message == "context.numbers: 201 features, at most 200"


def test_nobody_there_shows_the_baseline() -> None:
    with Client(NOBODY, timeout_s=2.0, baselines={"home": ["b1"]}) as client:
        decision = client.decide("home")
    assert (decision.offer_id, decision.served_by) == ("b1", "client_baseline")


def test_a_stalled_service_costs_the_page_no_more_than_the_deadline(
    service: FakeService, target: str
) -> None:
    release = threading.Event()

    def stall(request: pb.DecideRequest) -> str:
        release.wait(30.0)
        return "late"

    service.choose = stall
    with Client(target, timeout_s=0.1, baselines={"home": ["b1"]}) as client:
        start = time.monotonic()
        decision = client.decide("home")
        waited_s = time.monotonic() - start
        release.set()
    assert (decision.offer_id, decision.reason) == ("b1", "DEADLINE_EXCEEDED")
    assert 0.09 <= waited_s < 5.0  # the bound is wide because test machines stall, 30 s is the alternative


def test_a_client_reconnects_soon_after_the_service_came_back(service: FakeService) -> None:
    with serving(service) as target:
        client = Client(target, timeout_s=1.0, baselines={"home": ["b1"]})
        assert client.decide("home").served_by == "service"
    assert client.decide("home").served_by == "client_baseline"
    with serving(service, target):
        deadline = time.monotonic() + 20.0
        while client.decide("home").served_by != "service":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        client.close()


def test_a_batch_fails_item_by_item(service: FakeService, target: str) -> None:
    def choose(request: pb.DecideRequest) -> str:
        if request.placement == "typo":
            raise Refusal("NOT_FOUND", "UNKNOWN_PLACEMENT")
        if request.placement == "busy":
            raise Refusal("RESOURCE_EXHAUSTED")
        return "only"

    service.choose = choose
    with Client(target, timeout_s=5.0, baselines={"busy": ["b1"]}) as client:
        good, typo, busy = client.decide_batch([Question("home"), Question("typo"), Question("busy")])
    assert isinstance(good, Decision)
    assert (good.offer_id, good.served_by) == ("only", "service")
    assert isinstance(typo, RequestRejected)
    assert typo.reason == "UNKNOWN_PLACEMENT"
    assert isinstance(busy, Decision)
    assert (busy.offer_id, busy.served_by) == ("b1", "client_baseline")


def test_a_whole_batch_gets_baselines_when_nobody_answers() -> None:
    with Client(NOBODY, timeout_s=2.0, baselines={"home": ["b1"]}) as client:
        answers = client.decide_batch([Question("home"), Question("other")])
    assert [answer.offer_id for answer in answers if isinstance(answer, Decision)] == ["b1", None]


def test_feedback_goes_out_in_batches_in_order_and_is_counted(service: FakeService, target: str) -> None:
    with Client(target) as client:
        for number in range(450):
            assert client.feedback("click", decision_id="d", feedback_id=str(number), value=float(number))
        assert client.flush(20.0)
        stats = client.stats()
    assert [item.feedback_id for item in service.feedback] == [str(number) for number in range(450)]
    assert max(service.batch_sizes) <= 200
    assert len(service.batch_sizes) < 100
    assert (stats.accepted, stats.waiting, stats.dropped, stats.invalid) == (450, 0, 0, 0)


def test_feedback_outlives_an_outage_and_repeats_keep_their_ids(service: FakeService, target: str) -> None:
    attempts: list[list[str]] = []

    def judge(request: pb.RecordFeedbackRequest) -> None:
        attempts.append([item.feedback_id for item in request.items])
        if len(attempts) < 4:
            raise Refusal("UNAVAILABLE")

    service.judge = judge
    with Client(target) as client:
        client.feedback("click", decision_id="d")
        assert client.flush(20.0)
        assert client.stats().retried == 3
    assert len(attempts) == 4
    assert len({tuple(attempt) for attempt in attempts}) == 1
    assert len(service.feedback) == 1


def test_an_unknown_kind_is_reported_and_its_neighbours_are_taken(service: FakeService, target: str) -> None:
    service.invalid_kinds = {"typo"}
    problems: list[Problem] = []
    with Client(target, on_error=problems.append) as client:
        client.feedback("click", decision_id="d")
        client.feedback("typo", decision_id="d")
        assert client.flush(20.0)
        assert (client.stats().accepted, client.stats().invalid) == (1, 1)
    assert [(problem.code, problem.message) for problem in problems] == [("INVALID", "kind: typo is unknown")]


def test_feedback_about_a_client_baseline_is_counted_and_not_sent(service: FakeService, target: str) -> None:
    with Client(target) as client:
        assert not client.feedback("click", decision_id=None)
        assert client.stats().unaddressed == 1
        assert client.feedback("click", visitor_id="v", placement="home")
        assert client.flush(20.0)
    assert [item.visitor_placement.visitor_id for item in service.feedback] == ["v"]


def test_a_hook_that_raises_breaks_neither_page_nor_sending(service: FakeService, target: str) -> None:
    def hook(problem: Problem) -> None:
        raise RuntimeError("a bug in the hook")

    fail_with(service, "UNAVAILABLE")
    service.invalid_kinds = {"typo"}
    with Client(target, timeout_s=5.0, baselines={"home": ["b1"]}, on_error=hook) as client:
        assert client.decide("home").offer_id == "b1"
        client.feedback("typo", decision_id="d")
        client.feedback("click", decision_id="d")
        assert client.flush(20.0)
        assert client.stats().accepted == 1


def test_synchronous_feedback_returns_verdicts_or_says_that_nobody_is_there(
    service: FakeService, target: str
) -> None:
    service.invalid_kinds = {"typo"}
    items = [FeedbackItem("click", "f1", decision_id="d"), FeedbackItem("typo", "f2", decision_id="d")]
    with Client(target) as client:
        assert [result.accepted for result in client.feedback_now(items, timeout_s=5.0)] == [True, False]
    with Client(NOBODY) as client, pytest.raises(ServiceUnavailable, match=NOBODY):
        client.feedback_now(items)


def test_the_catalog_can_be_read_applied_and_lost_to_somebody_else(service: FakeService, target: str) -> None:
    service.document = "version: 1"
    with Client(target) as client:
        revision, document = client.get_catalog()
        assert (revision, document) == (1, "version: 1")
        applied = client.apply_catalog("version: 1 # new", revision)
        assert (applied.revision, applied.changes) == (2, ("something changed",))
        with pytest.raises(RevisionConflict, match="revision 2 is in force"):
            client.apply_catalog("version: 1", revision)
        with pytest.raises(RequestRejected, match="unknown key") as caught:
            client.apply_catalog("broken", 2)
        assert caught.value.reason == "INVALID_CATALOG"


def test_closing_sends_what_waits(service: FakeService, target: str) -> None:
    client = Client(target)
    client.feedback("click", decision_id="d")
    client.close()
    assert len(service.feedback) == 1
    assert client.decide("home").served_by == "client_baseline"
    client.close()


def test_many_threads_share_a_client(service: FakeService, target: str) -> None:
    with Client(target, timeout_s=10.0) as client:

        def page() -> None:
            for _ in range(25):
                client.feedback("shown", decision_id=client.decide("home").decision_id)

        threads = [threading.Thread(target=page) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(20.0)
        assert (client.stats().accepted, client.stats().baseline) == (200, 0)
    assert len({item.decision_id for item in service.feedback}) == 200


CHILD = """
import os, sys
sys.path.insert(0, sys.argv[2])
from offer_optimizer.client import Client, ForkedClient
early = Client(sys.argv[1], timeout_s=10.0)
unused = Client(sys.argv[1], timeout_s=10.0)
if sys.argv[3] == "before":
    pid = os.fork()
    if pid == 0:
        os._exit(0 if unused.decide("home").served_by == "service" else 3)
else:
    assert early.decide("home").served_by == "service"
    pid = os.fork()
    if pid == 0:
        try:
            early.decide("home")
        except ForkedClient:
            os._exit(0)
        os._exit(4)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_fork_before_the_first_use_works_and_one_after_it_is_told_plainly(target: str, when: str) -> None:
    source_root = str(Path(__file__).parents[2] / "service")
    command = [sys.executable, "-c", CHILD, target, source_root, when]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def test_a_script_that_forgets_to_close_still_sends_its_last_click(service: FakeService, target: str) -> None:
    source_root = str(Path(__file__).parents[2] / "service")
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from offer_optimizer.client import Client\n"
        "Client(sys.argv[1]).feedback('click', decision_id='d')\n"
    )
    command = [sys.executable, "-c", script, target, source_root]
    subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert len(service.feedback) == 1


def test_a_question_carries_candidates_exclusions_and_request_id(service: FakeService, target: str) -> None:
    with Client(target, timeout_s=5.0) as client:
        client.decide(
            "home",
            candidates=[Candidate("mine", numbers={"cost": 1.0})],
            exclude_offer_ids=["other"],
            request_id="r",
        )
    (asked,) = service.questions
    assert [candidate.offer_id for candidate in asked.candidates] == ["mine"]
    assert (list(asked.exclude_offer_ids), asked.request_id) == (["other"], "r")


def test_visitors_are_merged_and_a_senseless_merge_is_rejected(service: FakeService, target: str) -> None:
    with Client(target) as client:
        client.merge_visitor("anonymous", "known", timeout_s=5.0)
        with pytest.raises(RequestRejected, match="is the same"):
            client.merge_visitor("known", "known", timeout_s=5.0)
    assert service.merged == [("anonymous", "known")]


def test_a_story_is_explained_and_an_unknown_decision_is_rejected(target: str) -> None:
    with Client(target) as client:
        story = client.explain("d1", timeout_s=5.0)
        with pytest.raises(RequestRejected, match="NOT_FOUND"):
            client.explain("d2", timeout_s=5.0)
    assert (story.decision_id, story.explored, story.text) == ("d1", True, "the whole story")
    assert story.excluded == {"loud": "CAPPED"}


def test_a_merge_that_no_service_heard_is_no_secret() -> None:
    with Client(NOBODY) as client, pytest.raises(ServiceUnavailable):
        client.merge_visitor("anonymous", "known", timeout_s=0.5)
