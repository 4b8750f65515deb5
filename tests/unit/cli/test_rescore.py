"""`offer-optimizer rebuild --reward`: what is asked for, what is said, and how a promotion goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from offer_optimizer.cli import promotion
from offer_optimizer.cli.rescore import Wanted, promote, sentences
from offer_optimizer.core.catalog import Reward
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.errors import InvalidCatalog, InvalidInput, UnknownPlacement
from offer_optimizer.evaluate.estimators import Estimate
from offer_optimizer.evaluate.reward_change import RewardChange
from offer_optimizer.policy import registry
from offer_optimizer.v1 import catalog_service_pb2 as pb
from offer_optimizer.v1 import insight_service_pb2 as insight_pb

DOCUMENT = """\
version: 1
offers:
  - {id: msg, type: MESSAGE, attributes: {cost: 0.5}}
placements:
  - id: home
    offers: [msg]
    policy: {name: vw}
    reward:
      formula: count.click  # a click is a click
      max: 2.0
"""
EPOCH = "ab" * 16


class Service:
    """Trains what it is asked to, after being asked about it twice."""

    def __init__(self) -> None:
        self.started: list[pb.StartEpochRequest] = []
        self.applied: list[pb.ApplyCatalogRequest] = []
        self.asked_count = 0

    def GetCatalog(self, request: pb.GetCatalogRequest, timeout: float) -> pb.GetCatalogResponse:
        return pb.GetCatalogResponse(revision=4, document=DOCUMENT)

    def StartEpoch(self, request: pb.StartEpochRequest, timeout: float) -> pb.StartEpochResponse:
        self.started.append(request)
        return pb.StartEpochResponse(policy_epoch=EPOCH, promoted_versions=[f"{EPOCH}:5"])

    def ListModels(
        self, request: insight_pb.ListModelsRequest, timeout: float
    ) -> insight_pb.ListModelsResponse:
        assert request.policy_epoch == EPOCH
        assert self.applied == []
        self.asked_count += 1
        reply = insight_pb.ListModelsResponse()
        reply.models.add(model_version=f"{EPOCH}:5", is_promoted=True)
        reply.models.add(model_version=f"{EPOCH}:9", is_promoted=self.asked_count > 2)
        return reply

    def ApplyCatalog(self, request: pb.ApplyCatalogRequest, timeout: float) -> pb.ApplyCatalogResponse:
        self.applied.append(request)
        return pb.ApplyCatalogResponse(revision=5)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    fake = Service()

    @contextmanager
    def stubs(_target: str) -> Iterator[tuple[Any, Any]]:
        yield fake, fake

    monkeypatch.setattr(promotion, "stubs", stubs)
    monkeypatch.setattr(promotion, "POLL_S", 0.0)
    return fake


def test_the_catalog_is_applied_once_the_new_model_is_there_and_not_for_an_old_one(service: Service) -> None:
    promote(Wanted("home", "count.click - offer.cost", uses_final=True), "why not", "t", 1.0)
    (started,), (applied,) = service.started, service.applied
    assert (started.placement, started.uses_final, started.reason) == ("home", True, "why not")
    assert service.asked_count == 3
    assert (applied.document, applied.expected_revision) == (started.document, 4)
    assert applied.document == DOCUMENT.replace(
        "formula: count.click ", 'formula: "count.click - offer.cost" '
    )


def test_the_same_reward_with_final_feedback_changes_no_catalog(service: Service) -> None:
    promote(Wanted("home", "", uses_final=True), "", "t", 1.0)
    assert [request.document for request in service.started] == [DOCUMENT]
    assert service.applied == []


def test_a_file_changes_what_it_names(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    file.write_text("formula: sum.conversion\nmin: -1.0\ndefault: 0.25\n")
    promote(Wanted("home", str(file), uses_final=False), "", "t", 1.0)
    placement = parse_catalog(service.applied[0].document, registry.describe).placement_by_id["home"]
    assert placement.reward == Reward(formula="sum.conversion", min=-1.0, max=2.0, default=0.25)


@pytest.mark.parametrize(
    ("reward", "placement", "error", "text"),
    [
        ("count.click", "cart", UnknownPlacement, "--placement: 'cart' is not in the catalog"),
        ("count.clik", "home", InvalidCatalog, "there is no such kind of feedback; did you mean click"),
        ("nowhere.yaml", "home", InvalidInput, "--reward: nowhere.yaml: can't be read"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked_for(
    service: Service, reward: str, placement: str, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        promote(Wanted(placement, reward, uses_final=False), "", "t", 1.0)
    assert service.started == []


@pytest.mark.parametrize("content", ["- 1", "formula: count.click\nwindow: 1d", "formula: 3", "\t"])
def test_a_file_with_anything_else_is_refused(service: Service, tmp_path: Path, content: str) -> None:
    file = tmp_path / "new.yaml"
    file.write_text(content)
    with pytest.raises(InvalidInput, match=r"^--reward: "):
        promote(Wanted("home", str(file), uses_final=False), "", "t", 1.0)
    assert service.started == []


def change(**parts: object) -> RewardChange:
    figure = Estimate(0.5, 0.25, 0.75, "")
    none = Estimate(None, None, None, "9 visitors, at least 400 are needed")
    everything: dict[str, Any] = {
        "placement_id": "home", "scored_count": 1000, "failed_count": 3, "changed_count": 12,
        "clipped_count": 4, "mean_old": 0.25, "mean_new": 0.125, "judged_count": 500, "differ_share": 0.375,
        "served": figure, "old_policy": figure, "old_policy_ips": figure, "new_policy": none,
        "new_policy_ips": none, "gain": none, "learned_count": 1000, "model_sha256": "ab" * 32,
    }  # fmt: skip
    return RewardChange(**(everything | parts))


def test_every_figure_is_said_with_its_interval_or_why_there_is_none() -> None:
    text = "\n".join(sentences(change()))
    assert "12 of them earn something else" in text
    assert "0.2500 by the old formula, 0.1250 by the new one" in text
    assert "Clipped to the new range: 4. Without a number: 3." in text
    assert "they like another offer best in 37.5% of them" in text
    assert "as it was served        0.5 [0.25, 0.75]" in text
    assert "the difference          no figure (9 visitors, at least 400 are needed)." in text
    assert "Neither scored" not in text
    moved = list(sentences(change(moved="days before noon were moved")))
    assert "Neither scored nor learned anew: days before noon were moved." in moved
    assert list(sentences(change(mean_old=None))) == [
        "home: no closed decision that a policy drew, so there is nothing to score."
    ]
