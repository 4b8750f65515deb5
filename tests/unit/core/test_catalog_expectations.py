"""What placements say they expect their offers to earn: as it arrives, as it differs, and what is refused."""

from __future__ import annotations

import pytest

from offer_optimizer.core.catalog import Catalog, Placement
from offer_optimizer.core.catalog_diff import diff_catalogs
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.policy.epoch import epoch_of
from tests.unit.core.small_catalog import SMALL, only_problem, replaced

REWARD = "reward: {formula: sum.conversion, min: -1, max: 20}"


def written(lines: str) -> str:
    return replaced("- id: p", "- id: p\n    " + lines.replace("; ", "\n    "))


def placement(lines: str) -> Placement:
    return parse_catalog(written(lines)).placements[0]


def test_what_is_expected_arrives_in_the_unit_of_the_reward() -> None:
    found = placement(f"{REWARD}; expected_reward: {{a: 20, b: -1}}")
    assert found.expected_reward == {"a": 20.0, "b": -1.0}
    assert all(isinstance(value, float) for value in found.expected_reward.values())
    catalog = parse_catalog(written("expected_reward: {a: 0.25}"))
    assert Catalog.model_validate_json(catalog.model_dump_json()) == catalog


def test_a_catalog_that_expects_nothing_is_stored_as_it_was_before_it_could() -> None:
    """And one whose mapping is empty expects nothing."""
    for document in (SMALL, written("expected_reward: {}")):
        catalog = parse_catalog(document)
        assert catalog.placements[0].expected_reward == {}
        assert "expected_reward" not in catalog.model_dump_json()


def test_what_is_expected_is_no_part_of_the_policy_epoch() -> None:
    """A model that learns goes on where people change their minds about an offer that it has not met."""
    assert epoch_of(placement("expected_reward: {a: 0.5}")) == epoch_of(parse_catalog(SMALL).placements[0])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("expected_reward: 0.5", 'line 12, placement "p", field "expected_reward": must be a mapping'),
        ("expected_reward:", 'field "expected_reward": is empty: give it a value or remove it'),
        (
            "expected_reward: {c: 0.5}",
            'line 12, placement "p", field "expected_reward.c": "c" is not among the placement\'s offers',
        ),
        ("expected_reward: {aa: 0.5}", '"aa" is not among the placement\'s offers; did you mean "a"?'),
        (
            "expected_reward: {a: 1.5}",
            'field "expected_reward.a": must be from the reward\'s min 0 to its max 1 (is 1.5)',
        ),
        (
            f"{REWARD}; expected_reward: {{b: -1.5}}",
            "must be from the reward's min -1 to its max 20 (is -1.5)",
        ),
        ("expected_reward: {a: .nan}", 'field "expected_reward.a": must be a finite number'),
        ("expected_reward: {a: much}", 'field "expected_reward.a": must be a finite number'),
        ("expected_reward: {a: true}", 'field "expected_reward.a": must be a finite number'),
        (
            "expected_rewards: {a: 1}",
            '"expected_rewards": is not a known key; did you mean "expected_reward"?',
        ),
        # The reward's own defect is the only one that is named.
        ("reward: {min: 2}; expected_reward: {a: 0.5}", 'field "reward.min": must be below max'),
    ],
)
def test_a_defect_is_named_with_its_place_and_limit(lines: str, said: str) -> None:
    assert said in only_problem(written(lines))


def test_each_change_is_a_line() -> None:
    old, new = (
        parse_catalog(written(f"expected_reward: {text}")) for text in ("{a: 0.5}", "{a: 0.25, b: 0}")
    )
    assert diff_catalogs(old, new) == (
        "placement p: expected_reward a 0.5 -> 0.25",
        "placement p: expected_reward b added: 0",
    )
    assert diff_catalogs(new, parse_catalog(SMALL)) == (
        "placement p: expected_reward a removed",
        "placement p: expected_reward b removed",
    )
