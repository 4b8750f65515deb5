"""What every answer has to be, whatever was asked, and what the service has to be afterwards.

Knows the API and the catalog of `world`; asks nothing of the code that decides.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import grpc

from offer_optimizer.evaluate.verify import verify
from offer_optimizer.learn.base_snapshot import base_in_force
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.store.base_file import BaseStore
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.fuzz.messages import PLACEMENTS
from tests.fuzz.whole_service import Answer, WholeService

REFUSALS: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.ABORTED,
    }
)
"""What a caller may be told when the service is well: never UNKNOWN or INTERNAL, and nothing to retry."""
ITEM_CODES: Final = frozenset(code.value[0] for code in REFUSALS)
MESSAGE_BYTES: Final = 1500


def judge(method: str, data: bytes, answer: Answer) -> None:
    """Raise AssertionError unless an answer is one that the API promises."""
    told = f"{method} {data.hex()}: {answer}"
    if not answer.is_ok:
        assert answer.code in REFUSALS, told
        assert answer.reason, told
        assert 0 < len(answer.message.encode()) <= MESSAGE_BYTES, told
        # A text that a terminal or a log would obey was quoted without being escaped.
        assert all(line.isprintable() for line in answer.message.split("\n")), told
    elif method == "OfferService/Decide":
        judge_decision(pb.DecideRequest.FromString(data), pb.DecideResponse.FromString(answer.data), told)
    elif method == "OfferService/BatchDecide":
        asked = pb.BatchDecideRequest.FromString(data).requests
        for request, result in zip(
            asked, pb.BatchDecideResponse.FromString(answer.data).results, strict=True
        ):
            if result.HasField("error"):
                assert result.error.code in ITEM_CODES, told
                assert result.error.reason, told
            else:
                judge_decision(request, result.response, told)
    elif method == "OfferService/RecordFeedback":
        results = pb.RecordFeedbackResponse.FromString(answer.data).results
        assert len(results) == len(pb.RecordFeedbackRequest.FromString(data).items), told
        for item in results:
            is_told = item.status == pb.FEEDBACK_STATUS_INVALID and bool(item.message)
            assert is_told or item.status == pb.FEEDBACK_STATUS_ACCEPTED, told


def judge_decision(request: pb.DecideRequest, response: pb.DecideResponse, told: str) -> None:
    """Raise AssertionError unless a reply offers what was asked for, with a propensity."""
    assert request.placement in PLACEMENTS, told
    assert len(response.decision_id) == 36, told
    assert response.reason in {1, 3, 4, 6}, told  # a model is loaded and the disk is well
    assert len(response.slots) == (response.reason != pb.DECISION_REASON_NO_ELIGIBLE_OFFER) or (
        not response.slots and response.reason == pb.DECISION_REASON_NO_CONSENT
    ), told
    for slot in response.slots:
        assert 0.0 < slot.propensity <= 1.0, told
        offered = {candidate.offer_id for candidate in request.candidates}
        assert not offered or slot.offer_id in offered or request.request_id, told
        assert slot.offer_id not in request.exclude_offer_ids or request.request_id, told


def judge_whole(service: WholeService) -> Counter[str]:
    """Raise AssertionError unless nothing was logged, verify is clean and a rebuild gives the same models.

    Returns what each model has learned.
    """
    assert service.log.events == [], service.log.events[:3]
    ledger = Ledger.open_for_reading(service.directory.ledger_path)
    try:
        findings = verify(ledger).findings
        assert not findings, findings[:5]
        base = base_in_force(ledger, BaseStore(service.files, service.directory.bases))
        rebuilt = Rebuilt(ledger, service.learner.fold.position, lambda _done, _all: None, base)
        learned: Counter[str] = Counter()
        for placement_id in service.snapshots.placements():
            for epoch in service.snapshots.epochs(placement_id):
                name = service.snapshots.current_name(placement_id, epoch)
                snapshot = service.snapshots.load(placement_id, name) if name is not None else None
                if snapshot is not None and not rebuilt.is_before_base(snapshot):
                    same = rebuilt.compare(snapshot)
                    assert same.is_equal, same
                    learned[placement_id] += same.learned_count
        assert rebuilt.differing_rows(service.learner.tables) == []
        rebuilt.close()
    finally:
        ledger.connection.close()
    return learned
