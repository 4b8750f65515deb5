"""Eligibility rules: CEL that says of a decision, and of an offer, whether it may be shown.

A rule is compiled and type-checked once; it must make true or false. It sees six maps: `category`, `number`
and `tag` of the context, `visitor` (the count of each cap, by cap id), `offer` and `offer_category` (numeric
and category attributes of the candidate). A name that is not there is a fault and never false: ask first,
`has(category.device)`. Numbers are doubles, in rules too: `number.cart > 50.0`.

Always holds: a rule reads no map that is not in `reads`, because it is compiled in an environment that has no
other; so what was evaluated for one offer holds for all where it reads no offer. Evaluating is safe from
several threads. A compiled expression can't be pickled: pickling a rule takes its text along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cache
from typing import Any, Final

from cel_expr_python import cel

from offer_optimizer.core import limits
from offer_optimizer.core.cel import (
    Reference,
    Spelling,
    advise,
    compile_text,
    guards,
    runtime_complaint,
)
from offer_optimizer.core.checked import checked_dataclass
from offer_optimizer.core.errors import InvalidInput, RuleFault
from offer_optimizer.core.features import Features

__all__ = [
    "CONTEXT_MAPS",
    "OFFER_MAPS",
    "Rule",
    "RuleFacts",
    "RuleFault",
    "RuleSet",
    "context_facts",
    "offer_facts",
]

CONTEXT_MAPS: Final = frozenset({"category", "number", "tag"})
"""The maps of the context."""
VISITOR: Final = "visitor"
"""The map of the counts of caps."""
OFFER_MAPS: Final = frozenset({"offer", "offer_category"})
"""The maps of the candidate."""
_MAPS: Final = ("category", "number", "tag", VISITOR, "offer", "offer_category")
_EVERY: Final = frozenset(_MAPS)
_SPELLING: Final = Spelling(_MAPS)
_FIELD: Final = "eligible"
KNOWN_ANSWERS: Final = 1000
"""Answers remembered for a set of rules; requests that differ more often than they repeat only cost room."""
Answers = tuple[bool | None, ...]
Read = tuple[object, ...]
_TOGETHER_BYTES: Final = 20_000
"""Text of the rules that are evaluated as one: CEL takes 100,000 characters, and compiling is quadratic."""


@checked_dataclass(frozen=True, slots=True)
class RuleFacts:
    """What rules read, as six maps; docs/design.md, section 12, says what is in them.

    Reusing one for several rules is quicker than making another: CEL's view of it is kept.
    """

    category: Mapping[str, str] = field(default_factory=dict)
    number: Mapping[str, float] = field(default_factory=dict)
    tag: Mapping[str, Sequence[str]] = field(default_factory=dict)
    visitor: Mapping[str, float] = field(default_factory=dict)
    offer: Mapping[str, float] = field(default_factory=dict)
    offer_category: Mapping[str, str] = field(default_factory=dict)
    _view: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def build(
        cls, context: Features, visitor: Mapping[str, float] | None = None, offer: Features | None = None
    ) -> RuleFacts:
        """Return the facts of a context, the visitor's counts and a candidate's attributes."""
        about_offer = {} if offer is None else offer_facts(offer)
        return cls(**context_facts(context), visitor=visitor or {}, **about_offer)

    def view_of(self, maps: frozenset[str]) -> Any:  # noqa: ANN401  (the library has no types)
        """Return some of the maps as CEL takes them, for an expression that reads no other."""
        return _environment(maps).Activation({name: getattr(self, name) for name in maps})

    def view(self) -> Any:  # noqa: ANN401  (the library has no types)
        """Return the facts as CEL takes them."""
        if not self._view:
            # Two threads may both come here: they append equal views.
            self._view.append(self.view_of(_EVERY))
        return self._view[0]


def context_facts(context: Features, maps: frozenset[str] = CONTEXT_MAPS) -> dict[str, Any]:
    """Return the maps of a context, by name; only those that are asked for."""
    facts: dict[str, Any] = {}
    if "category" in maps:
        facts["category"] = dict(context.categories)
    if "number" in maps:
        facts["number"] = dict(context.numbers)
    if "tag" in maps:
        # CEL takes a tuple for no list.
        facts["tag"] = {name: list(values) for name, values in context.tags}
    return facts


def offer_facts(attributes: Features) -> dict[str, Any]:
    """Return the maps of a candidate, by name. Its tags are not among them."""
    return {"offer": dict(attributes.numbers), "offer_category": dict(attributes.categories)}


class Rule:
    """A compiled rule. `reads` are the maps that it reads, `names` what it reads in them; never fewer.

    `names` is None where it reads a whole map, or a name that it makes.

    Raises InvalidInput, field `eligible`, when the text is too long, doesn't compile or makes anything but
    true or false; the message shows the mend where there is an obvious one.
    """

    __slots__ = ("_expression", "names", "reads", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.reads, self.names, self._expression = _compile(text)

    def __reduce__(self) -> tuple[type[Rule], tuple[str]]:
        return Rule, (self.text,)

    def __repr__(self) -> str:
        return f"Rule({self.text!r})"

    def evaluate(self, facts: RuleFacts) -> bool:
        """Return what the rule says. Raises RuleFault: a missing name, a wrong type, a loop too long."""
        try:
            value = self._expression.eval(facts.view()).value()
        except (RuntimeError, TypeError, ValueError) as error:
            raise RuleFault(runtime_complaint(str(error))) from None
        if value is True or value is False:
            return value
        raise RuleFault(runtime_complaint(str(value)))

    def ask(self, facts: RuleFacts) -> bool | None:
        """Return what the rule says, None where `evaluate` would raise; quicker, since nobody reads why."""
        try:
            value = self._expression.eval(facts.view()).value()
        except (RuntimeError, TypeError, ValueError):
            return None
        return value if value is True or value is False else None

    def references(self) -> tuple[Reference, ...]:
        """Return the names it reads by a fixed spelling, such as `visitor["weekly"]`, once each."""
        return _SPELLING.references(self.text)

    def guards(self, reference: Reference) -> bool:
        """Return whether it asks if a name is there: `has(offer.cost)` or `"cost" in offer`."""
        return guards(self.text, reference)


class RuleSet:
    """Several rules that are evaluated on the same facts, together: one by one the calls cost most of it.

    `reads` are the maps that one of them reads. Answers are remembered by all that the rules read, so that
    CEL is asked about a device and a country once; where one reads a whole map, every time.
    """

    __slots__ = ("_known", "_names", "_tags", "_together", "reads", "rules")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.reads: frozenset[str] = frozenset().union(*(rule.reads for rule in self.rules))
        self._together = tuple(_join(group) for group in _groups(self.rules))
        self._known: dict[Read, Answers] = {}
        self._names: tuple[tuple[str, tuple[str, ...]], ...] | None = None
        names = [rule.names for rule in self.rules]
        if None not in names:
            read = frozenset().union(*(found for found in names if found is not None))
            self._tags = tuple(it.name for it in read if it.map == "tag")
            plain = {it.map for it in read} - {"tag"}
            self._names = tuple((one, tuple(it.name for it in read if it.map == one)) for one in plain)

    def evaluate(self, facts: RuleFacts) -> Answers:
        """Return what each rule says, in order; None for one that fails. The facts are of one request."""
        return self.ask({maps: getattr(facts, maps) for maps in self.reads})

    def ask(self, maps: Mapping[str, Mapping[str, Any]]) -> Answers:
        """Do what `evaluate` does for the maps that are in `reads`, by name; others may be missing."""
        if self._names is None:
            return self._evaluate(maps)
        values = [value for name, names in self._names for value in map(maps[name].get, names)]
        if self._tags:
            tags = maps["tag"]
            # No list at all and an empty one are not the same to a rule.
            values += [tuple(tags[name]) if name in tags else None for name in self._tags]
        read: Read = tuple(values)
        answers = self._known.get(read)
        if answers is None:
            if len(self._known) >= KNOWN_ANSWERS:
                self._known.clear()
            answers = self._known[read] = self._evaluate(maps)
        return answers

    def _evaluate(self, maps: Mapping[str, Mapping[str, Any]]) -> Answers:
        facts = RuleFacts(**maps)
        answers: list[bool | None] = []
        view = facts.view_of(self.reads)
        for rules, expression in self._together:
            found = _eval_together(expression, view)
            answers += found if len(found) == len(rules) else [rule.ask(facts) for rule in rules]
        return tuple(answers)


def _groups(rules: Sequence[Rule]) -> list[list[Rule]]:
    groups: list[list[Rule]] = []
    size = _TOGETHER_BYTES
    for rule in rules:
        size += len(rule.text)
        if size > _TOGETHER_BYTES:
            groups.append([])
            size = len(rule.text)
        groups[-1].append(rule)
    return groups


def _join(rules: list[Rule]) -> tuple[list[Rule], Any]:
    # A line end behind each: a rule may end in a comment.
    text = "[" + ",".join(f"({rule.text}\n)" for rule in rules) + "]"
    try:
        return rules, _environment(frozenset(_MAPS)).compile(text)
    except RuntimeError:
        # Too deep or too long together. Each of them compiles.
        return rules, None


def _eval_together(expression: Any, view: Any) -> list[bool | None]:  # noqa: ANN401  (the library has no types)
    """Return the answers; none where one of the rules fails, since CEL then has no list."""
    if expression is None:
        return []
    try:
        found = expression.eval(view).plain_value()
    except (RuntimeError, TypeError, ValueError):
        return []
    return found if isinstance(found, list) else []


@cache
def _environment(maps: frozenset[str]) -> Any:  # noqa: ANN401  (the library has no types)
    text, number = cel.Type.STRING, cel.Type.DOUBLE
    values = {"category": text, "offer_category": text, "tag": cel.Type.List(text)}
    types = {name: cel.Type.Map(text, values.get(name, number)) for name in _MAPS}
    return cel.NewEnv(variables={name: types[name] for name in _MAPS if name in maps})


def _compile(text: str) -> tuple[frozenset[str], frozenset[Reference] | None, Any]:
    every = frozenset(_MAPS)
    reads, names = _SPELLING.maps(text), _SPELLING.names(text)
    try:
        expression = compile_text(_environment(reads), text, _FIELD, limits.RULE_BYTES, _mend)
    except InvalidInput:
        # Not sound, or it reads a map by a spelling that we don't know.
        reads, names = every, None
        expression = compile_text(_environment(every), text, _FIELD, limits.RULE_BYTES, _mend)
    kind = expression.return_type()
    if kind != cel.Type.BOOL:
        problem = f"must make true or false, not {kind.name().lower()}{_comparison(text, kind)}"
        raise InvalidInput(_FIELD, problem)
    return reads, names, expression


def _comparison(text: str, kind: Any) -> str:  # noqa: ANN401  (the library has no types)
    if kind == cel.Type.DOUBLE:
        return f": compare it, as in `{text} > 0.0`"
    if kind == cel.Type.STRING:
        return f': compare it, as in `{text} == "..."`'
    return ""


def _mend(text: str) -> str:
    return advise(text, _is_rule)


def _is_rule(text: str) -> bool:
    try:
        return bool(_environment(frozenset(_MAPS)).compile(text).return_type() == cel.Type.BOOL)
    except RuntimeError:
        return False
