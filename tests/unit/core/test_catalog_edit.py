"""Adding a placement to a document that people own, and changing the status of one of its offers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.catalog import OfferStatus
from offer_optimizer.core.catalog_document import add_placement, parse_catalog
from offer_optimizer.core.catalog_edit import set_offer_status
from offer_optimizer.core.errors import InvalidCatalog, InvalidInput, NotFound

BLOCK = """\
# ours
offers:  # all of them
  - id: a
    type: NOTHING
    payload: |
      two
      lines

  # the last one
  - {id: b, type: MESSAGE,
     payload: x}  # end of b

# --- placements
placements:
- id: p
  offers:
    - a  # first

# the end"""
FLOW = json.dumps({"offers": [{"id": "a", "type": "NOTHING"}], "placements": []})
EXAMPLE = (Path(__file__).resolve().parents[3] / "examples" / "catalog.yaml").read_text()
NEW = {
    "id": "drive-1",
    "offers": ["a", "new"],
    "window": "1s",
    "reward": {"formula": "sum.reward", "max": 5.0},
}
OFFERS = [{"id": "new"}, {"id": "a", "type": "COUPON"}]


@pytest.mark.parametrize(
    "document", [BLOCK, FLOW, BLOCK.replace("\n", "\r\n"), "\ufeff" + BLOCK, "\ufeff" + FLOW]
)
def test_the_new_parts_are_there_and_the_old_ones_are_as_they_were(document: str) -> None:
    before, after = (
        parse_catalog(document),
        parse_catalog(add_placement(document, kinds=["reward"], offers=OFFERS, placement=NEW)),
    )
    assert after.placement_by_id["drive-1"].offers == ("a", "new")
    assert after.offers[after.offer_index["new"]].type == "CONTENT"
    assert [kind.id for kind in after.kinds] == ["reward"]
    assert {offer.id: offer for offer in before.offers}.items() <= {
        offer.id: offer for offer in after.offers
    }.items()
    assert before.placement_by_id.items() <= after.placement_by_id.items()


def test_new_lines_stand_behind_their_list_and_comments_keep_their_place() -> None:
    edited = add_placement(BLOCK, offers=[{"id": "new"}], placement={"id": "q", "offers": ["new"]})
    assert edited == BLOCK.replace(
        "# end of b\n", '# end of b\n  - id: "new"\n    type: "CONTENT"\n'
    ).replace("- a  # first\n", '- a  # first\n- id: "q"\n  offers: ["new"]\n')


def test_a_block_text_at_the_end_of_a_list_stays_whole() -> None:
    document = "offers:\n- id: a\n  type: NOTHING\n  payload: |\n    one\n    two\nplacements: []\n"
    edited = add_placement(document, offers=[{"id": "n"}], placement={"id": "q", "offers": ["n"]})
    head = document.removesuffix("placements: []\n")
    assert edited.startswith(head + '- id: "n"\n  type: "CONTENT"\nplacements: [')


def test_a_line_end_is_added_where_the_document_has_none() -> None:
    document = "offers: [{id: a, type: NOTHING}]\nplacements:\n- id: p\n  offers: [a]"
    edited = add_placement(document, offers=[], placement={"id": "q", "offers": ["a"]})
    assert edited == document + '\n- id: "q"\n  offers: ["a"]\n'


def test_kinds_that_are_built_in_or_there_already_are_not_declared_again() -> None:
    document = "kinds: [reward]\n" + BLOCK
    edited = add_placement(
        document, kinds=["reward", "click", "form", "form"], offers=[], placement={"id": "q", "offers": ["a"]}
    )
    assert [kind.id for kind in parse_catalog(edited).kinds] == ["form", "reward"]


@given(
    payload=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    arm=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True),
)
def test_any_text_survives_being_written(payload: str, arm: str) -> None:
    offer = {"id": f"n-{arm}", "payload": payload, "attributes": {"cost": 1e-7}}
    catalog = parse_catalog(
        add_placement(
            BLOCK, offers=[offer, {"id": f"x{arm}"}], placement={"id": arm + "-q", "offers": [f"n-{arm}"]}
        )
    )
    assert catalog.offers[catalog.offer_index[f"n-{arm}"]].payload == payload
    assert catalog.offers[catalog.offer_index[f"n-{arm}"]].attributes.numbers == (("cost", 1e-7),)


def test_the_example_keeps_every_line() -> None:
    edited = add_placement(
        EXAMPLE, kinds=["reward"], offers=[{"id": "new"}], placement={"id": "q", "offers": ["new"]}
    )
    rest = iter(edited.splitlines())
    assert all(line in rest for line in EXAMPLE.splitlines())


def test_an_id_that_is_taken_is_refused() -> None:
    with pytest.raises(InvalidCatalog, match='placement "p", field "id": is used twice'):
        add_placement(BLOCK, offers=[], placement={"id": "p", "offers": ["a"]})


def test_an_invalid_document_is_refused() -> None:
    with pytest.raises(InvalidCatalog):
        add_placement("offers: [", offers=[], placement={"id": "q", "offers": ["a"]})


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_a_value_that_cannot_be_written_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="can't be written"):
        add_placement(BLOCK, offers=[], placement={"id": "q", "offers": ["a"], "ramp": value})


STATUSES = """\
# ünser
offers:
  - id: plain
    type: MESSAGE
    status: LIVE  # since May
    payload: x
  - id: folded
    status: >-
      LIVE

    type: MESSAGE
  - {type: MESSAGE, id: "flow", status: 'LIVE'}
  - {type: MESSAGE, id: bare}
  - type: MESSAGE
    id:
      below  # here
    payload: y
placements: []
"""
OFFER_IDS = ("plain", "folded", "flow", "bare", "below")


@pytest.mark.parametrize("offer_id", OFFER_IDS)
@pytest.mark.parametrize("document", [STATUSES, "\ufeff" + STATUSES.replace("\n", "\r\n")])
def test_the_status_of_one_offer_changes_and_nothing_else_does(document: str, offer_id: str) -> None:
    before, edited = parse_catalog(document), set_offer_status(document, offer_id, "PAUSED")
    after = parse_catalog(edited)
    changed = before.offers[before.offer_index[offer_id]].model_copy(update={"status": OfferStatus.PAUSED})
    expected = [changed if offer.id == offer_id else offer for offer in before.offers]
    assert list(after.offers) == expected
    # Every comment is there, and every other line as it was.
    assert edited.count("#") == document.count("#")
    lines = edited.splitlines(keepends=True)
    assert sum(line not in lines for line in document.splitlines(keepends=True)) <= 2


def test_a_status_is_replaced_where_it_stands_and_else_written_below_the_id() -> None:
    paused = set_offer_status(STATUSES, "plain", "PAUSED")
    assert paused == STATUSES.replace("status: LIVE  # since", "status: PAUSED  # since")
    below = set_offer_status(STATUSES, "below", "RETIRED")
    assert below == STATUSES.replace("below  # here\n", "below  # here\n    status: RETIRED\n")
    assert set_offer_status(STATUSES, "plain", "LIVE") == STATUSES


def test_a_json_document_stays_json() -> None:
    offers = [{"id": "a", "type": "NOTHING"}, {"id": "b", "type": "NOTHING", "status": "LIVE"}]
    document = json.dumps({"offers": offers, "placements": []})
    for offer in ("a", "b"):
        edited = json.loads(set_offer_status(document, offer, "PAUSED"))
        statuses = {found["id"]: found.get("status", "LIVE") for found in edited["offers"]}
        assert statuses == {"a": "LIVE", "b": "LIVE"} | {offer: "PAUSED"}


@given(st.lists(st.tuples(st.sampled_from(range(9)), st.sampled_from([*OfferStatus])), max_size=4))
def test_any_changes_of_the_example_leave_the_rest_as_it_is(changes: list[tuple[int, OfferStatus]]) -> None:
    before, document = parse_catalog(EXAMPLE), EXAMPLE
    expected = list(before.offers)
    for index, status in changes:
        document = set_offer_status(document, expected[index].id, status)
        expected[index] = expected[index].model_copy(update={"status": status})
    assert parse_catalog(document) == before.model_copy(update={"offers": tuple(expected)})


def test_an_unknown_offer_and_an_unknown_status_are_refused() -> None:
    with pytest.raises(NotFound, match="offer 'x' is not in the catalog"):
        set_offer_status(BLOCK, "x", "PAUSED")
    with pytest.raises(InvalidInput, match="must be one of DRAFT, LIVE, PAUSED, RETIRED"):
        set_offer_status(BLOCK, "a", "OFF")
