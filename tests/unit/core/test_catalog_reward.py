"""Changing the reward of a placement in a document that people own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.catalog import Reward
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.catalog_edit import set_reward
from offer_optimizer.core.errors import NotFound

HEAD = "# ours\noffers: [{id: a, type: NOTHING}]\nplacements:  # two\n"
TAIL = "  - {id: q, offers: [a]}  # the end\n"
SHAPES = {
    "block": "  - id: p\n    offers: [a]\n    reward:  # why\n      formula: count.click  #\n      max: 3\n",
    "text": "  - id: p\n    offers: [a]\n    reward:\n      min: -1\n      formula: |\n"
    "        count.click\n          * 2.0\n",
    "flow": "  - id: p\n    offers: [a]\n    reward: {formula: 'count.click', default: 0.5}  # why\n",
    "empty": "  - id: p\n    reward: {}\n    offers: [a]\n",
    "absent": "  - id: p  # p\n    offers: [a]\n",
    "absent in a flow": "  - {id: p, offers: [a]}\n",
    "byte order mark": "  - {id: p, offers: [a], reward: {formula: count.click}}\n",
}
REWARDS = st.builds(
    Reward,
    formula=st.sampled_from(
        [
            "count.click",
            'count["click"] - 0.5',
            "count.click\n * 2.0",
            "count.dismiss > 0.0 ? -1.0 : 0.0 // no",
        ]
    ),
    min=st.sampled_from([0.0, -1.0, -2.5]),
    max=st.sampled_from([1.0, 3.0]),
    default=st.sampled_from([0.0, 0.25, 1.0]),
)


@pytest.mark.parametrize("shape", SHAPES)
@given(reward=REWARDS)
def test_the_reward_of_one_placement_changes_and_nothing_else_does(shape: str, reward: Reward) -> None:
    mark = "\ufeff" if shape == "byte order mark" else ""
    document = mark + HEAD + SHAPES[shape] + TAIL
    before = parse_catalog(document)
    edited = set_reward(document, "p", reward)
    changed = before.placements[0].model_copy(update={"reward": reward})
    assert parse_catalog(edited) == before.model_copy(update={"placements": (changed, before.placements[1])})
    assert edited.startswith(mark + HEAD)
    assert edited.endswith(TAIL)
    assert ("# why" in edited) == ("# why" in document)
    assert set_reward(edited, "p", reward) == edited


def test_only_what_differs_is_written_anew() -> None:
    document = HEAD + SHAPES["block"] + TAIL
    edited = set_reward(document, "p", Reward(formula="sum.click", max=3.0))
    assert edited == document.replace("count.click  #", '"sum.click"  #')


def test_a_json_document_stays_json() -> None:
    placement = {"id": "p", "offers": ["a"], "reward": {"formula": "count.click"}}
    document = json.dumps({"offers": [{"id": "a", "type": "NOTHING"}], "placements": [placement]})
    edited = json.loads(set_reward(document, "p", Reward(formula="sum.click", max=2.0)))
    assert edited["placements"][0]["reward"] == {"formula": "sum.click", "max": 2.0}


def test_an_unknown_placement_is_refused() -> None:
    with pytest.raises(NotFound, match="placement 'x' is not in the catalog"):
        set_reward(HEAD + TAIL, "x", Reward())
