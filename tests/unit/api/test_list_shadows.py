"""ListShadows: what reaches the desk, and that figures and refusals arrive whole, and are printed."""

from __future__ import annotations

from offer_optimizer.api.admission import Share
from offer_optimizer.api.history import ShadowServicer
from offer_optimizer.cli.shadow_text import gate_sentence, report_sentences, status_sentence
from offer_optimizer.core.catalog import ShadowGate
from offer_optimizer.evaluate.shadow_status import ShadowStatus
from offer_optimizer.v1 import insight_service_pb2 as pb
from tests.unit.api.fakes import FakeContext, FakeShadows
from tests.unit.evaluate.shadow_rows import fed


def status(count: int, gate: ShadowGate | None = None, begin_us: int | None = 5_000_000) -> ShadowStatus:
    judge = fed(count, visitors=100_000)
    return ShadowStatus(
        "home", "new", "linear", "ab" * 16, "cd" * 16, begin_us, 0.5, 2 * count, count, 1_500_000, 250.0,
        judge.verdict(2), gate,
    )  # fmt: skip


def ask(desk: FakeShadows, placement: str = "") -> pb.ListShadowsResponse:
    servicer = ShadowServicer(desk, Share("report", 1))
    data = pb.ListShadowsRequest(placement=placement).SerializeToString()
    return pb.ListShadowsResponse.FromString(servicer.list_shadows(data, FakeContext(remaining_s=7.0)))


def test_figures_arrive_as_they_were_found() -> None:
    found = status(1500, ShadowGate(margin=0.25, visitors=700))
    desk = FakeShadows({"shadows": [found.to_dict()]})
    (told,) = ask(desk, "home").shadows
    assert desk.asked == [("home", 7.0)]
    assert (told.name, told.judged_count, told.share, told.lag_s) == ("new", 1500, 0.5, 1.5)
    assert told.begin_time.seconds == 5
    verdict = found.verdict
    for estimate, message in (
        (verdict.gain, told.gain), (verdict.gain_ips, told.gain_ips), (verdict.dr, told.value),
        (verdict.snips, told.value_snips), (verdict.ips, told.value_ips), (verdict.incumbent, told.incumbent),
    ):  # fmt: skip
        assert (message.value, message.low, message.high) == (estimate.value, estimate.low, estimate.high)
        assert message.interval == "anytime"
    assert told.gain.confidence == 0.975
    assert told.gate.margin == 0.25
    assert "promoted once that is surely above 0.25, after 700 visitors" in gate_sentence(told)
    sentences = list(report_sentences(told, 2))
    assert f"{verdict.gain.value:+.4f}" in "".join(sentences)
    assert "all of 2 shadows hold together" in sentences[-1]


def test_refusals_and_shadows_that_nobody_took_up_yet_say_so() -> None:
    (told,) = ask(FakeShadows({"shadows": [status(3, begin_us=None).to_dict()]})).shadows
    assert not told.gain.HasField("value")
    assert "refused: an effective sample size" in gate_sentence(told)
    assert gate_sentence(told).endswith("by command alone")
    assert status_sentence(told) == "not taken up by the learner yet"
