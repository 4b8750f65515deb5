"""A report in plain sentences: figures with intervals, refusals with reasons, and what is not counted."""

from __future__ import annotations

from dataclasses import replace

from offer_optimizer.cli.report_text import figure, offer_cells, sentences, shadow_sentences
from offer_optimizer.evaluate.estimators import Estimate
from offer_optimizer.evaluate.report import OfferReport, PlacementReport
from offer_optimizer.evaluate.shadow import ContextDifference, OfferShare, Shadow

FIGURE = Estimate(0.25, 0.2, 0.3, "")
REFUSED = Estimate(None, None, None, "12 visitors, at least 400 are needed")
REPORT = PlacementReport(
    placement_id="home",
    start_us=1_750_000_000_000_000,
    end_us=1_750_003_600_000_000,
    is_cut=False,
    decision_count=12_345,
    open_count=0,
    left_out_count=0,
    counted_count=12_345,
    learnable_count=12_000,
    anonymous_count=0,
    reasons={"HOLDOUT": 345, "MODEL": 12_000},
    reward=FIGURE,
    interruption_count=9000,
    interruptions_per_reward=FIGURE,
    uplift=FIGURE,
    treated=FIGURE,
    holdout=REFUSED,
    offers=(OfferReport("save5", 77, 700, FIGURE, REFUSED, REFUSED),),
    shadow=None,
)


def text(report: PlacementReport) -> str:
    return "\n".join(sentences(report))


def test_a_figure_has_its_interval_and_a_refusal_its_reason() -> None:
    assert figure(FIGURE) == "0.25 [0.2, 0.3]"
    assert figure(REFUSED) == "no figure (12 visitors, at least 400 are needed)"


def test_the_whole_is_said_in_sentences() -> None:
    said = text(REPORT)
    assert "2025-06-15 15:06:40Z to 2025-06-15 16:06:40Z: 12,345 decisions." in said
    assert "HOLDOUT 345, MODEL 12,000" in said
    assert "Reward a decision: 0.25 [0.2, 0.3]." in said
    assert "9,000 of 12,345 decisions" in said
    assert "Above zero, however often one looks." in said
    assert "visitor id" not in said
    assert "Not counted" not in said


def test_what_weakens_the_figures_is_said() -> None:
    said = text(replace(REPORT, is_cut=True, open_count=3, left_out_count=4, anonymous_count=5))
    assert "the newest that one report reads" in said
    assert "3 whose window is still open, 4 never shown" in said
    assert "Without a visitor id: 5;" in said


def test_the_verdict_follows_the_interval() -> None:
    assert "Below zero" in text(replace(REPORT, uplift=Estimate(-0.2, -0.3, -0.1, "")))
    assert "nothing is shown yet" in text(replace(REPORT, uplift=Estimate(0.1, -0.3, 0.5, "")))
    assert "looks" not in text(replace(REPORT, uplift=REFUSED))


def test_an_offer_has_five_cells() -> None:
    cells = offer_cells(REPORT.offers[0])
    assert cells[:3] == ("save5", "77", "0.25 [0.2, 0.3]")
    assert len(cells) == 5


def test_a_shadow_says_how_often_where_and_what() -> None:
    assert not list(shadow_sentences(None))
    shadow = Shadow(
        decision_count=4000,
        differ_share=0.36,
        offers=(OfferShare("msg", 0.36, 0.0),),
        contexts=(ContextDifference("device", "phone", 1600, 0.9),),
        model_value=FIGURE,
        model_value_ips=FIGURE,
        baseline_value=REFUSED,
        gain=REFUSED,
    )
    said = "\n".join(shadow_sentences(shadow))
    assert "4,000 decisions" in said
    assert "36.0%" in said
    assert "msg: model 36.0%, baseline 0.0%" in said
    assert "device is phone: differs in 90.0% of 1,600" in said
    assert "the baseline alone no figure (12 visitors" in said
