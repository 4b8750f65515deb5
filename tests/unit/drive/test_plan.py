"""Arms become offers with ids of the catalog's own form, and a reward column becomes a reward."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Catalog, Kind, Offer, OfferType, Placement
from offer_optimizer.drive import plan
from offer_optimizer.drive.errors import DriveRefused
from offer_optimizer.drive.table import Row, Table


def table(*rewards: float, arms: tuple[str, ...] = ("Mens E-Mail", "No E-Mail")) -> Table:
    rows = tuple(Row(number, arms[0], reward, {}, {}) for number, reward in enumerate(rewards, start=1))
    return Table(rows, arms, frozenset())


def test_an_arm_becomes_an_offer_that_people_recognise() -> None:
    assert plan.fresh_offer_ids(["Mens E-Mail", "Café – 20 %"]) == {
        "Mens E-Mail": "drive-mens-e-mail",
        "Café – 20 %": "drive-cafe-20",
    }


def test_arms_that_share_a_slug_are_numbered_whatever_the_order_of_rows() -> None:
    ids = plan.fresh_offer_ids(["a b", "A-B", "a_b"])
    assert sorted(ids.values()) == ["drive-a-b", "drive-a-b-2", "drive-a-b-3"]
    assert plan.fresh_offer_ids(["a_b", "a b", "A-B"]) == ids


@given(st.lists(st.text(), unique=True, max_size=30))
def test_every_set_of_arms_gets_distinct_ids_that_a_catalog_takes(arms: list[str]) -> None:
    ids = plan.fresh_offer_ids(arms)
    assert list(ids) == arms
    assert len(set(ids.values())) == len(arms)
    for offer_id in ids.values():
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", offer_id)
        assert len(offer_id) <= limits.NAME_BYTES


def test_a_placement_has_the_columns_range_and_the_default_policy() -> None:
    entry = plan.placement_entry("drive-1234", table(0.0, 3.0, 1.0), "2s")
    assert entry["offers"] == ["drive-mens-e-mail", "drive-no-e-mail"]
    assert entry["baseline"] == ["drive-mens-e-mail"]
    assert entry["window"] == "2s"
    assert entry["reward"] == {"formula": "sum.reward", "min": 0.0, "max": 3.0, "default": 0.0}
    assert "policy" not in entry


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ((-2.0, -1.0), (-2.0, -1.0, -1.0)),
        ((5.0, 9.0), (5.0, 9.0, 5.0)),
        ((-1.0, 1.0), (-1.0, 1.0, 0.0)),
        ((1.0,), (1.0, 2.0, 1.0)),
    ],
)
def test_silence_is_the_reward_nearest_to_zero(
    rewards: tuple[float, ...], expected: tuple[float, float, float]
) -> None:
    reward = plan.placement_entry("p", table(*rewards), "1s")["reward"]
    assert isinstance(reward, dict)
    assert (reward["min"], reward["max"], reward["default"]) == expected


def make_catalog(*offers: str, kinds: tuple[str, ...] = ("reward",)) -> Catalog:
    return Catalog(
        kinds=tuple(Kind(id=kind) for kind in kinds),
        offers=tuple(Offer(id=offer, type=OfferType.CONTENT) for offer in offers),
        placements=(Placement(id="home", offers=offers, window_s=7.0),),
    )


def test_an_existing_placement_is_matched_by_id_by_slug_and_by_the_id_of_a_drive() -> None:
    catalog = make_catalog("mens-e-mail", "drive-no-e-mail", "Exact", "something-else")
    found = plan.existing_plan("home", table(1.0, arms=("Mens E-Mail", "No E-Mail", "Exact")), catalog)
    assert found.offer_by_arm == {
        "Mens E-Mail": "mens-e-mail",
        "No E-Mail": "drive-no-e-mail",
        "Exact": "Exact",
    }
    assert (found.placement_id, found.window_s) == ("home", 7.0)


def test_a_placement_that_does_not_fit_is_refused_plainly() -> None:
    with pytest.raises(DriveRefused, match="no placement 'hero'; it has home"):
        plan.existing_plan("hero", table(1.0), make_catalog("a"))
    with pytest.raises(DriveRefused, match="no offer for 'No E-Mail'; it has mens-e-mail"):
        plan.existing_plan("home", table(1.0), make_catalog("mens-e-mail"))
    with pytest.raises(DriveRefused, match="no feedback kind 'reward'"):
        plan.existing_plan("home", table(1.0), make_catalog("mens-e-mail", "no-e-mail", kinds=()))
    with pytest.raises(DriveRefused, match="'a b' and 'A-B' would both be offer 'a-b'"):
        plan.match_offers(["a b", "A-B"], ["a-b"])


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1.0), ("30m", 1800.0), ("1.5h", 5400.0), ("90d", 7776000.0), ("2000ms", 2.0)]
)
def test_a_window_is_read_in_seconds(text: str, seconds: float) -> None:
    assert plan.parse_window(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "s", "-1s", "1 s", "0.9s", "91d", "nan s", "1w"])
def test_a_window_that_is_none_or_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(DriveRefused, match="--window"):
        plan.parse_window(text)
