"""Rules: what they read, what they refuse, what they say, and that what they read is never understated."""

from __future__ import annotations

import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core import limits
from offer_optimizer.core.cel import Reference
from offer_optimizer.core.errors import InvalidInput, OfferOptimizerError
from offer_optimizer.core.features import Features
from offer_optimizer.core.rules import KNOWN_ANSWERS, OFFER_MAPS, Rule, RuleFacts, RuleFault, RuleSet

CONTEXT = Features(
    categories=(("country", "DE"), ("device", "phone")),
    numbers=(("cart", 60.0),),
    tags=(("segments", ("member", "returning")),),
)
OFFER = Features(categories=(("tone", "warm"),), numbers=(("cost", 2.5),), tags=(("x", ("y",)),))
FACTS = RuleFacts.build(CONTEXT, {"weekly": 1.0, "two-a-day": 0.0}, OFFER)


@pytest.mark.parametrize(
    ("text", "expected", "reads"),
    [
        ('category.device == "phone"', True, {"category"}),
        ('category["country"] in ["AT", "CH"]', False, {"category"}),
        ("number.cart > 50.0 && number.cart < 100.0", True, {"number"}),
        ('"member" in tag.segments', True, {"tag"}),
        ('tag.segments.exists(tag, tag == "vip")', False, {"tag"}),
        ("size(tag.segments) > 1", True, {"tag"}),
        ('visitor["two-a-day"] < 1.0 && visitor.weekly < 1.0', False, {"visitor"}),
        ("offer.cost < number.cart / 10.0", True, {"offer", "number"}),
        ('offer_category.tone == "warm"', True, {"offer_category"}),
        ("!has(category.language)", True, {"category"}),
        ('"language" in category || true // number.cart', True, {"category"}),
        ('"offer.cost" != "number" && r"\\d tag.x" != """visitor "x" """', True, set()),
        ("true", True, set()),
    ],
)
def test_a_rule_says_true_or_false_and_knows_what_it_reads(
    text: str, expected: bool, reads: set[str]
) -> None:
    rule = Rule(text)
    assert rule.evaluate(FACTS) is rule.ask(FACTS) is expected
    assert rule.reads == reads


def test_a_spelling_that_is_not_known_reads_everything_rather_than_too_little() -> None:
    rule = Rule('.category.device == "phone"')
    assert rule.reads == {"category", "number", "tag", "visitor", "offer", "offer_category"}
    assert rule.evaluate(FACTS)


@given(
    st.lists(
        st.sampled_from(
            [
                "category.a",
                '"',
                "'",
                "r'",
                '"""',
                "offer.cost",
                "//",
                "\n",
                "\\",
                " == ",
                "'x'",
                "+",
                "(",
                ")",
            ]
        ),
        max_size=9,
    )
)
def test_what_compiles_evaluates_the_same_without_the_maps_that_it_does_not_read(parts: list[str]) -> None:
    """Were a map missing from `reads`, a result would be kept for offers that it doesn't hold for."""
    try:
        rule = Rule("".join(parts))
    except InvalidInput:
        return
    facts = {"category": {"a": "x"}, "offer": {"cost": 1.0}}
    whole = RuleSet([rule]).evaluate(RuleFacts(**facts))  # type: ignore[arg-type]
    only = {name: values for name, values in facts.items() if name in rule.reads}
    assert RuleSet([rule]).evaluate(RuleFacts(**only)) == whole  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("number.cart > 50", "write `number.cart > 50.0`"),
        ('category.device = "phone"', 'write `category.device == "phone"`'),
        ('category.a == "and = 5" and number.b <> 3', 'write `category.a == "and = 5" && number.b != 3.0`'),
        ("not has(category.a) or true", "write `! has(category.a) || true`"),
        ("category.device == phone", "undeclared reference to 'phone'; text is written in quotes"),
        ("number.cart", "must make true or false, not double: compare it, as in `number.cart > 0.0`"),
        (
            "category.device",
            'must make true or false, not string: compare it, as in `category.device == "..."`',
        ),
        ("tag.segments", "must make true or false, not list<string>"),
        ("dyn(true)", "must make true or false, not dyn"),
        ('tag.segments == "member"', "`==` can't take (list(string), string)"),
        ("now() > 1.0", "undeclared reference to 'now'"),
        ("", "at character 1"),
        ("\ud800", "not valid text"),
    ],
)
def test_a_rule_that_cannot_be_served_is_refused_with_position_and_mend(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Rule(text)
    assert caught.value.field == "eligible"
    assert said in caught.value.problem


def test_a_rule_of_the_longest_length_compiles_and_one_byte_more_does_not() -> None:
    longest = "true" + " " * (limits.RULE_BYTES - 4)
    assert Rule(longest).evaluate(FACTS)
    with pytest.raises(InvalidInput, match=f"{limits.RULE_BYTES + 1} bytes, at most {limits.RULE_BYTES}"):
        Rule(longest + " ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('category.language == "de"', "there is no 'language' to read"),
        ('"x" in tag.nothing', "there is no 'nothing' to read"),
        ('visitor["monthly"] < 1.0', "there is no 'monthly' to read"),
        ("category.device.matches('(')", "regular expression"),
    ],
)
def test_a_name_that_is_not_there_is_a_fault_and_never_false(text: str, said: str) -> None:
    with pytest.raises(RuleFault) as caught:
        Rule(text).evaluate(FACTS)
    assert Rule(text).ask(FACTS) is None
    assert said in str(caught.value)
    assert isinstance(caught.value, OfferOptimizerError)


def test_a_value_of_a_wrong_type_never_makes_a_rule_true() -> None:
    facts = RuleFacts(category={"device": 5})  # type: ignore[dict-item]
    assert not Rule('category.device == "5"').ask(facts)


def test_a_rule_that_loops_without_end_is_a_fault_and_not_a_stall() -> None:
    text, many = "true", "[" + ",".join(["1.0"] * 50) + "]"
    for depth in range(5):
        text = f"{many}.all(x{depth}, {text})"
    with pytest.raises(RuleFault, match="budget"):
        Rule(text).evaluate(FACTS)


def test_references_are_names_by_either_spelling_without_texts_and_comments() -> None:
    rule = Rule('visitor["two-a-day"] < offer.cost && "number.x" != offer_category["tone"] // visitor.y')
    assert rule.references() == (
        Reference("visitor", "two-a-day"),
        Reference("offer", "cost"),
        Reference("offer_category", "tone"),
    )


@pytest.mark.parametrize(("text", "guarded"), [
    ("has(offer.cost) && offer.cost > 1.0", True),
    ('"cost" in offer && offer.cost > 1.0', True),
    ("has(offer_category.cost) && offer.cost > 1.0", False),
    ("offer.cost > 1.0", False),
])  # fmt: skip
def test_a_rule_that_asks_first_is_known_to(text: str, guarded: bool) -> None:
    assert Rule(text).guards(Reference("offer", "cost")) is guarded


def test_rules_together_say_what_each_says_alone_and_a_faulty_one_harms_no_other() -> None:
    texts = ["true // why", 'category.device == "phone"', "number.cart > 99.0", "number.none > 1.0", "true"]
    assert RuleSet([Rule(text) for text in texts]).evaluate(FACTS) == (True, True, False, None, True)
    assert RuleSet([Rule(texts[2])]).evaluate(FACTS) == (False,)
    assert all(expression is not None for _, expression in RuleSet([*map(Rule, texts)])._together)
    assert RuleSet([]).evaluate(FACTS) == ()


@pytest.mark.parametrize(("text", "names"), [
    ("number.a < 1.0 && category['b'] == 'number.c'", {("number", "a"), ("category", "b")}),
    ("has(category.b) // category.c", {("category", "b")}),
    ('"x" in tag.segments', {("tag", "segments")}),
    ("true", set()),
    ('"b" in category', None),
    ("category[category.b] == 'x'", None),
    ("size(tag) > 0", None),
    ("(category).b == 'x'", None),
    (".category.b == 'x'", None),
    (".category.b == 'x' && category.c == 'x'", None),
    ("tag.segments.exists(category, category == 'x')", None),
    ("category.exists(name, name == 'x')", None),
])  # fmt: skip
def test_what_a_rule_reads_is_known_by_name_unless_it_reads_a_whole_map(
    text: str, names: set[tuple[str, str]] | None
) -> None:
    found = Rule(text).names
    assert (found if found is None else {(it.map, it.name) for it in found}) == names


numbers = st.sampled_from([None, 0.0, 1.0, 2.0])


@given(st.lists(st.tuples(numbers, numbers, st.sampled_from([None, (), ("a",)]))))
def test_remembered_answers_are_those_that_each_rule_gives(
    asked: list[tuple[float | None, float | None, tuple[str, ...] | None]],
) -> None:
    texts = ["number.a < 2.0", "has(number.b) || number.a > 0.0", "visitor.b == 1.0", "'a' in tag.c"]
    rules = [Rule(text) for text in texts]
    together = RuleSet(rules)
    for a, b, tags in asked:
        number = {} if a is None else {"a": a}
        tag = {} if tags is None else {"c": list(tags)}
        facts = RuleFacts(number=number, visitor={} if b is None else {"b": b}, tag=tag)
        assert together.evaluate(facts) == tuple(rule.ask(facts) for rule in rules)


def test_no_more_answers_are_remembered_than_said() -> None:
    rules = RuleSet([Rule("number.a < 5.0")])
    for number in range(3 * KNOWN_ANSWERS):
        assert rules.evaluate(RuleFacts(number={"a": float(number)})) == (number < 5,)
    assert len(rules._known) <= KNOWN_ANSWERS


def test_rules_that_are_long_together_are_evaluated_all_the_same() -> None:
    texts = [f'category.device != "{"x" * 1900}{number}"' for number in range(100)]
    assert RuleSet([Rule(text) for text in texts]).evaluate(FACTS) == (True,) * 100


def test_facts_that_are_left_out_are_empty_and_an_offers_tags_are_not_among_them() -> None:
    assert RuleFacts.build(CONTEXT) == RuleFacts(
        category={"country": "DE", "device": "phone"},
        number={"cart": 60.0},
        tag={"segments": ["member", "returning"]},
    )
    assert (FACTS.offer, FACTS.offer_category) == ({"cost": 2.5}, {"tone": "warm"})


def test_a_pickled_rule_works_again() -> None:
    rule = pickle.loads(pickle.dumps(Rule("offer.cost > 1.0")))  # noqa: S301  (our own)
    assert (rule.text, rule.reads <= OFFER_MAPS, rule.evaluate(FACTS)) == ("offer.cost > 1.0", True, True)


def test_threads_may_share_a_rule_and_facts() -> None:
    rule, wrong = Rule("number.cart > 5.0"), []

    def work(cart: float) -> None:
        for _ in range(300):
            own = rule.evaluate(RuleFacts(number={"cart": cart}))
            if own is not (cart > 5.0) or rule.evaluate(FACTS) is not True:
                wrong.append(cart)

    threads = [threading.Thread(target=work, args=(cart,)) for cart in (1.0, 9.0, 3.0, 8.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
