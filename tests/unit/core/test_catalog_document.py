"""Catalog documents: what they become, and what each defect is answered with."""

from __future__ import annotations

import json

import pytest
import yaml

from offer_optimizer.core import yaml_tree
from offer_optimizer.core.catalog import Catalog, OfferStatus, OfferType, Placement
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.errors import InvalidCatalog
from offer_optimizer.core.features import Features
from tests.unit.core.small_catalog import SMALL, only_problem, problems, replaced


def test_what_is_left_out_has_the_standard_values() -> None:
    catalog = parse_catalog(SMALL)
    assert catalog.placements == (Placement(id="p", offers=("a", "b"), baseline=("b",)),)
    assert [kind.id for kind in catalog.kinds] == ["rating"]
    assert catalog.offers[0].status is OfferStatus.LIVE
    assert catalog.offers[1].type is OfferType.NOTHING


def test_everything_that_can_be_said_arrives() -> None:
    catalog = parse_catalog("""
kinds: [{id: rating, unit: stars, description: d}]
offers:
  - id: a
    type: COUPON
    status: PAUSED
    payload: {b: [1, 2.5, null, true], a: "ü"}
    description: words
    group: g
    attributes: {cost: 2, tone: warm, yes: no, new: true, tags: [y, x, y], code: "7"}
    like: b
  - {id: b, type: COUPON}
placements:
  - id: p
    description: words
    offers: [a]
    policy: {name: vw, options: {bits: 18, deep: {x: [1]}}}
    ramp: 0.5
    floor: 0
    window: 1.5h
    reward: {formula: 1.0 * count.rating, min: -1, max: 5, default: 1}
    consent_default: NONE
""")
    offer, placement = catalog.offers[0], catalog.placements[0]
    assert offer.payload == '{"a":"ü","b":[1,2.5,null,true]}'
    assert (offer.status, offer.description, offer.group) == (OfferStatus.PAUSED, "words", "g")
    assert (offer.like, catalog.offers[1].like) == ("b", "")
    assert offer.attributes == Features(
        categories=(("code", "7"), ("tone", "warm"), ("yes", "no")),
        numbers=(("cost", 2.0), ("new", 1.0)),
        tags=(("tags", ("x", "y")),),
    )
    assert (placement.policy.name, placement.policy.options) == ("vw", {"bits": 18, "deep": {"x": [1]}})
    assert (placement.ramp, placement.floor, placement.window_s) == (0.5, 0.0, 5400.0)
    assert (placement.reward.min, placement.reward.max, placement.reward.default) == (-1.0, 5.0, 1.0)
    assert placement.consent_default == "NONE"
    assert Catalog.model_validate_json(catalog.model_dump_json()) == catalog


def test_rules_times_holdout_and_stickiness_arrive() -> None:
    catalog = parse_catalog("""
holdout: 5%
offers:
  - {id: a, type: COUPON, eligible: number.cart > 50.0, start_time: "2026-03-01T00:00:00Z",
     end_time: "2026-03-01 02:00 Europe/Berlin"}
placements:
  - {id: p, offers: [a], eligible: has(category.device), holdout: 0.25, sticky_for: 30m}
  - {id: q, offers: [a]}
""")
    offer, placement = catalog.offers[0], catalog.placements[0]
    assert offer.eligible == "number.cart > 50.0"
    assert offer.start_time_us == 1_772_323_200_000_000
    assert offer.end_time_us == offer.start_time_us + 3_600_000_000
    assert (placement.eligible, placement.holdout) == ("has(category.device)", 0.25)
    assert placement.sticky_for_s == 1800.0
    assert (catalog.holdout, catalog.placements[1].holdout) == (0.05, None)
    assert Catalog.model_validate_json(catalog.model_dump_json()) == catalog


def test_a_json_document_is_a_catalog_too() -> None:
    document = {"offers": [{"id": "a", "type": "CONTENT"}], "placements": [{"id": "p", "offers": ["a"]}]}
    assert parse_catalog(json.dumps(document)).placements[0].offers == ("a",)


@pytest.mark.parametrize(
    ("text", "seconds"), [("3s", 3.0), ("30m", 1800.0), ("1.5h", 5400.0), ("1d", 86400.0), ("90d", 7776000.0)]
)
def test_windows_are_durations(text: str, seconds: float) -> None:
    assert parse_catalog(SMALL + f"    window: {text}\n").placements[0].window_s == seconds


WRONG_TEXT = [
    ("", "line 1: the document is empty"),
    ("# only words\n", "line 1: the document is empty"),
    ("just words", 'line 1: must be a mapping with version, kinds, offers, placements (is "just words")'),
    ("- a\n", "line 1: must be a mapping with version, kinds, offers, placements (is a list)"),
    ("a: &x 1\nb: *x\n", 'line 1: anchors and aliases are not allowed (is "x")'),
    (
        "a: !!python/object:os.system 1\n",
        'line 1: tags are not allowed (is "tag:yaml.org,2002:python/object:os.system")',
    ),
    ("a: 1\n---\nb: 1\n", "line 2: a second document begins; there may be only one"),
    ("a: 1\nb: \x07\n", "line 2: character U+0007 is not allowed; escape it inside double quotes"),
    ("a: \ud800\n", "line 1: character U+D800 is not allowed; escape it inside double quotes"),
    ("a: x\u2028y\n", "line 1: character U+2028 is not allowed; escape it inside double quotes"),
    ("? [a]\n: b\n", "line 1: a key must be plain text"),
    ("a: " + "[" * 12 + "]" * 12, "line 1: nested deeper than 12 levels"),
]


@pytest.mark.parametrize(("document", "said"), WRONG_TEXT)
@pytest.mark.parametrize("loader", ["CLoader", "Loader"])
def test_text_that_is_no_sound_document_is_refused_with_its_line(
    document: str, said: str, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_tree, "_LOADER", getattr(yaml, loader))
    assert only_problem(document) == said


@pytest.mark.parametrize(
    "document", ["a: [1", "a: 'x", "\ta: 1", "a: b: c", "a:\n  - b\n  c: 1", "%YAML 3.0\n---\na: 1"]
)
def test_broken_yaml_is_refused_with_its_line(document: str) -> None:
    assert only_problem(document).startswith("line ")
    assert "not valid YAML" in only_problem(document)


def test_both_parsers_read_the_same_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    with_libyaml = parse_catalog(SMALL)
    monkeypatch.setattr(yaml_tree, "_LOADER", yaml.Loader)
    assert parse_catalog(SMALL) == with_libyaml


def test_depth_is_allowed_up_to_the_limit() -> None:
    inner = yaml_tree.DEPTH - 4  # document, offers, offer, payload
    document = replaced(
        "    type: COUPON\n", "    type: COUPON\n    payload: {x: " + "[" * inner + "]" * inner + "}\n"
    )
    assert parse_catalog(document).offers[0].payload == '{"x":' + "[" * inner + "]" * inner + "}"
    assert "nested deeper" in only_problem(document.replace("[[", "[[[").replace("]]", "]]]"))


def test_the_number_of_values_is_bounded() -> None:
    at_limit = "[" + "a," * (yaml_tree.NODES - 1) + "]"
    assert isinstance(yaml_tree.read_tree(at_limit).root, yaml_tree.Items)
    with pytest.raises(InvalidCatalog, match="has over 200000 values"):
        yaml_tree.read_tree("[a," + at_limit[1:])


WRONG_FIELDS: list[tuple[str, str, str]] = [
    ("version: 1", "version: 2", 'line 1, field "version": this release reads version 1'),
    (
        "kinds: [rating]",
        "kinds: [click]",
        'line 2, kind "click", field "id": "click" is built in; declare custom kinds only',
    ),
    ("kinds: [rating]", "kinds: [[x]]", "line 2, kind 1: must be a mapping with an id (is a list)"),
    ("kinds: [rating]", "kinds:", 'line 2, field "kinds": is empty: give it a value or remove it'),
    ("kinds: [rating]", "kinds: x", 'line 2, field "kinds": must be a list (is "x")'),
    ("kinds: [rating]", "kind: [x]", 'line 2, field "kind": is not a known key; did you mean "kinds"?'),
    (
        "kinds: [rating]",
        "attribution: x",
        'line 2, field "attribution": "attribution" is reserved and not served by this release',
    ),
    (
        "kinds: [rating]",
        "holdout: 5",
        'field "holdout": must be a share from 0 to 1, or from 0% to 100% (is 5)',
    ),
    ("kinds: [rating]", "holdout: 101%", 'must be a share from 0 to 1, or from 0% to 100% (is "101%")'),
    ("kinds: [rating]", "holdout: true", "must be a share from 0 to 1, or from 0% to 100% (is true)"),
    ("kinds: [rating]", "sticky_for: 1m", 'field "sticky_for": is not a known key; placements have it'),
    (
        "kinds: [rating]",
        "kinds: [decide]",
        '"decide" is what caps and budgets call the decision; take another',
    ),
    ("kinds: [rating]", "version: 1", 'line 2: key "version" is written twice, first in line 1'),
    ("id: b", "id: a", 'line 7, offer "a", field "id": is used twice, first in line 4'),
    ("- id: a", "- id: 5", 'line 4, offer 1, field "id": must be text (is 5); write "5" in quotes'),
    (
        "- id: a",
        "- id: -x",
        'line 4, offer "-x", field "id": must begin with a letter or digit and go on with',
    ),
    ("type: COUPON", "type: coupon", 'line 5, offer "a", field "type": must be one of MESSAGE, COUPON'),
    ("    type: COUPON\n", "", 'line 4, offer "a", field "type": is missing'),
    (
        "type: COUPON",
        "type: COUPON\n    status: OLD",
        'field "status": must be one of DRAFT, LIVE, PAUSED, RETIRED (is "OLD")',
    ),
    (
        "type: COUPON",
        "type: COUPON\n    caps: []",
        'line 6, offer "a", field "caps": is not a known key; caps stand at the top of the document',
    ),
    (
        "type: COUPON",
        "type: COUPON\n    atributes: {}",
        'line 6, offer "a", field "atributes": is not a known key; did you mean "attributes"?',
    ),
    (
        "type: COUPON",
        "type: COUPON\n    cost: 3",
        'line 6, offer "a", field "cost": is not a known key; write it under "attributes"',
    ),
    (
        "type: COUPON",
        "type: COUPON\n    payload: 3",
        'field "payload": must be text (is 3); write "3" in quotes',
    ),
    (
        "type: COUPON",
        "type: COUPON\n    payload: [.nan]",
        'field "payload": has a number that JSON can\'t hold exactly',
    ),
    (
        "type: COUPON",
        "type: COUPON\n    payload: [9007199254740993]",
        'field "payload": has a number that JSON',
    ),
    (
        "{cost: 2}",
        "{cost: cheap}",
        'line 6, offer "a", field "attributes.cost": must be a finite number, at most 1e9 (is "cheap")',
    ),
    ("{cost: 2}", "{cost: [1]}", 'field "attributes.cost": must be a finite number, at most 1e9 (is a list)'),
    ("{cost: 2}", "{cost: .inf}", 'field "attributes.cost": must be a finite number, at most 1e9 (is .inf)'),
    (
        "{cost: 2}",
        "{cost: 1.1e9}",
        'field "attributes.cost": must be a finite number, at most 1e9 (is 1.1e9)',
    ),
    (
        "{cost: 2}",
        "{x: {y: 1}}",
        'field "attributes.x": must be text, a number, true, false or a list of texts (is a mapping)',
    ),
    (
        "{cost: 2}",
        "{x: }",
        'field "attributes.x": must be text, a number, true, false or a list of texts (is empty)',
    ),
    ("{cost: 2}", "{x: [1]}", 'field "attributes.x": must be text (is 1); write "1" in quotes'),
    ("{cost: 2}", "{x: []}", 'field "attributes.x": an empty list says nothing: remove it'),
    ("{cost: 2}", '{"": 1}', 'offer "a": a name is empty'),
    ("{cost: 2}", "[]", 'line 6, offer "a", field "attributes": must be a mapping (is a list)'),
    (
        "- id: p",
        "- id: p\n    ramp: 1.01",
        'line 12, placement "p", field "ramp": must be from 0 to 1 (is 1.01)',
    ),
    ("- id: p", "- id: p\n    floor: -0.1", 'field "floor": must be from 0 to 1 (is -0.1)'),
    ("- id: p", "- id: p\n    floor: true", 'field "floor": must be a finite number, at most 1e9 (is true)'),
    (
        "- id: p",
        "- id: p\n    window: 30",
        'field "window": must be a duration like 3s, 30m, 12h or 7d (is 30)',
    ),
    ("- id: p", "- id: p\n    window: 0.9s", 'field "window": must be from 1s to 90d (is "0.9s")'),
    ("- id: p", "- id: p\n    window: 90.01d", 'field "window": must be from 1s to 90d (is "90.01d")'),
    (
        "- id: p",
        "- id: p\n    consent_default: YES",
        'field "consent_default": must be one of FULL, SERVE_ONLY, NONE (is "YES")',
    ),
    ("- id: p", "- id: p\n    sticky_for: 31m", 'field "sticky_for": must be from 0s to 30m (is "31m")'),
    ("- id: p", "- id: p\n    slots: 2", "is reserved and not served by this release"),
    ("- id: p", "- id: p\n    end_time: x", "offers have times, placements have none"),
    (
        "- id: p",
        "- id: p\n    policy: {nam: vw, name: vw}",
        'field "policy.nam": is not a known key; did you mean "name"?',
    ),
    ("- id: p", "- id: p\n    policy: {options: {}}", 'field "policy.name": is missing'),
    ("- id: p", "- id: p\n    policy: [vw]", 'field "policy": must be a mapping (is a list)'),
    (
        "- id: p",
        "- id: p\n    policy: {name: vw, options: {x: .inf}}",
        'field "policy.options": has a number that JSON',
    ),
    (
        "- id: p",
        "- id: p\n    reward: {min: 1, max: 1, default: 1}",
        'field "reward.min": must be below max (is 1, max is 1)',
    ),
    (
        "- id: p",
        "- id: p\n    reward: {default: 2}",
        'field "reward.default": must be from min 0 to max 1 (is 2)',
    ),
    ("- id: p", "- id: p\n    reward: {formula: '  '}", 'field "reward.formula": is empty'),
    ("- id: p", "- id: p\n    reward: {formula: count.click + 1}", "write `count.click + 1.0`"),
    (
        "- id: p",
        "- id: p\n    reward: {formula: count.ratng}",
        "count.ratng: there is no such kind of feedback; did you mean rating?",
    ),
    (
        "- id: p",
        "- id: p\n    reward: {formula: 'count.click > 9.0 ? sum.zzz : 0.0'}",
        "sum.zzz: there is no such kind of feedback; declare it",
    ),
    (
        "- id: p",
        "- id: p\n    reward: {formula: 1.0 / count.click}",
        'offer "a", on silence: the result is inf',
    ),
    (
        "- id: p",
        "- id: p\n    reward: {formula: 1.0 / (count.rating - 1.0)}",
        'offer "a", on one of each kind: the result is inf',
    ),
    (
        "- id: p",
        "- id: p\n    reward: {formula: 1.0 / (count.click - count.rating + 1.0)}",
        "on one rating: the result is inf",
    ),
    (
        "offers: [a, b]",
        "offers: [a, b, c-x]",
        'line 12, placement "p", field "offers": there is no offer "c-x"',
    ),
    ("offers: [a, b]", "offers: [a, b, a]", 'field "offers": "a" is listed twice, first in line 12'),
    ("type: COUPON", "type: COUPON\n    like: a", 'field "like": is the offer itself; name an offer that'),
    ("type: COUPON", "type: COUPON\n    like: bb", 'field "like": there is no offer "bb"; did you mean "b"?'),
    ("type: COUPON", "type: COUPON\n    like:", 'line 6, offer "a", field "like": is empty'),
    ("offers: [a, b]", "offers: [b]\n    x: 1", 'field "x": is not a known key; known are id, description'),
    (
        "baseline: [b]",
        "baseline: [z]",
        'line 13, placement "p", field "baseline": "z" is not among the placement\'s offers',
    ),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG_FIELDS)
def test_a_defect_is_named_with_line_part_and_field(old: str, new: str, said: str) -> None:
    document = replaced(old, new)
    found = problems(document)
    assert any(said in problem for problem in found), found
    assert all(problem.startswith("line ") for problem in found)


def test_offers_that_are_like_each_other_in_a_circle_are_refused_one_by_one() -> None:
    document = """
offers:
  - {id: a, type: COUPON, like: b}
  - {id: b, type: COUPON, like: c}
  - {id: c, type: COUPON, like: b}
placements: []
"""
    found = problems(document)
    assert len(found) == 2
    assert 'line 4, offer "b", field "like": goes round: b -> c -> b; name an offer' in found[0]
    assert 'line 5, offer "c", field "like": goes round: c -> b -> c; name an offer' in found[1]
