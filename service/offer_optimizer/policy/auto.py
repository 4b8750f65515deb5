"""The auto policy: the default. `linear` and `vw` learn side by side, and who predicts better answers.

Few examples and a settled world are `linear`'s, whose evidence grows; many offers or a world that moves are
`vw`'s, which never settles. `lead.py` tells which of them is ahead; the choice goes over from one to the
other in steps, in either direction, any number of times. Past the sizes that keep `linear` exact and quick,
`vw` answers alone and for ever. Always holds: who answers follows from the options and the examples alone, so
whoever learns the same ledger again sees it change at the same example; it is part of the state. With a
half-life `linear` answers alone: `vw` has none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.core.features import Features
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.policy.lead import Lead
from offer_optimizer.policy.linear import WEIGHT_CAP, LinearPolicy
from offer_optimizer.policy.linear_options import LinearOptions
from offer_optimizer.policy.options import Options
from offer_optimizer.policy.state import pack_parts, unpack_parts
from offer_optimizer.policy.vw import VwPolicy
from offer_optimizer.policy.vw_options import VwOptions

LEARNING_VERSION: Final = "2"
"""Changes whenever the same options and examples would give another model; part of the policy epoch."""
_VW: Final = VwOptions(numbers="standardised", learning_rate=1.0, gamma_scale=100.0)
# The defaults of `vw`, measured in benchmarks/bakeoff; written out, so that theirs may change without ours.


class AutoOptions(Options):
    """Options of the auto policy.

    `half_life` is after how many examples what was learned counts half; None leaves it to what predicts
    better.
    """

    half_life: Annotated[float, Field(ge=10.0, le=1e9)] | None = None


class AutoPolicy:
    """One of `linear` and `vw`, picked by what each has predicted, and by size."""

    def __init__(self, options: AutoOptions, state: bytes | None = None, *, only_asked: bool = False) -> None:
        """Start a new model, or continue one: as one that is `only_asked`, whoever answers is loaded alone.

        Raises PolicyFault when `state` is not of these options.
        """
        content = json.dumps(options.canonical(), sort_keys=True, separators=(",", ":"))
        self._title = f"offer-optimizer auto {LEARNING_VERSION} {content}"
        self._options = LinearOptions(half_life=options.half_life)
        self._linear: LinearPolicy | None = None
        self._vw: VwPolicy | None = None
        self._lead = Lead()
        self._count = 0
        # At which example it last changed who is to answer, and what linear has outgrown, if anything.
        self._since = 0
        self._outgrown = ""
        self._is_only_asked = only_asked
        if state is None:
            self._linear = LinearPolicy(self._options)
            self._vw = VwPolicy(_VW) if options.half_life is None else None
        else:
            self._restore(state)

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
        """See contract. Safe to call from several threads."""
        share = self._lead.share
        linear, vw = self._linear, self._vw
        if vw is None or (share == 0.0 and linear is not None):
            return self._open(linear).pmf(context, actions)
        if share == 1.0 or linear is None:
            return vw.pmf(context, actions)
        # On the way from one to the other both are asked: a mixture of two pmfs is one.
        mixed: Pmf64 = (1.0 - share) * linear.pmf(context, actions) + share * vw.pmf(context, actions)
        mixed /= mixed.sum()
        return mixed

    def learn(self, example: Example) -> None:
        """See contract."""
        self._check_whole()
        linear, vw = self._linear, self._vw
        if vw is None:
            self._open(linear).learn(example)
        elif linear is None:
            vw.learn(example)
        else:
            expected = vw.expected(example)
            linear.learn(example)
            vw.learn(example)
            self._compare(linear, example, expected)
        self._count += 1

    def save(self) -> bytes:
        """See contract."""
        self._check_whole()
        parts = {name: policy.save() for name, policy in self._learners().items()}
        if not parts:
            raise PolicyFault("the policy is closed")
        values = {
            "count": self._count,
            "since": self._since,
            "outgrown": self._outgrown,
            "lead": self._lead.describe(),
        }
        return pack_parts(self._title, values, parts)

    def close(self) -> None:
        """See contract."""
        for policy in self._learners().values():
            policy.close()
        self._linear = self._vw = None

    def remarks(self) -> tuple[str, ...]:
        """See contract.Remarking."""
        if self._options.half_life is not None:
            return ("auto: linear answers: it has a half-life", *self._linear_remarks())
        name = "vw" if self._lead.is_second else "linear"
        since = f" since example {self._since}" if self._since else ""
        if self._outgrown:
            return (f"auto: vw answers{since}: {self._outgrown}",)
        score = self._lead.score
        ahead = "vw" if score > 0.0 else "linear"
        why = f"{ahead} predicted the last rewards better, by {abs(score):.1f} standard errors"
        picked = f"auto: {name} answers{since}: {why}"
        return (picked, *(() if self._lead.is_second else self._linear_remarks()))

    def _compare(self, linear: LinearPolicy, example: Example, expected: float) -> None:
        """Note who predicted the example better, and who is to answer from now on."""
        was_second = self._lead.is_second
        if self._outgrown:
            self._lead.move()
        else:
            first, second = (example.reward - _within(guess) for guess in (linear.expected, expected))
            self._lead.learn(first, second, min(example.weight, WEIGHT_CAP))
            self._outgrown = linear.outgrown()
            self._lead.is_second = self._lead.is_second or bool(self._outgrown)
        if self._lead.is_second is not was_second:
            self._since = self._count + 1
        if self._outgrown and self._lead.share == 1.0:
            linear.close()
            self._linear = None

    def _learners(self) -> dict[str, LinearPolicy | VwPolicy]:
        """Return those that still learn."""
        both: dict[str, LinearPolicy | VwPolicy | None] = {"linear": self._linear, "vw": self._vw}
        return {name: policy for name, policy in both.items() if policy is not None}

    def _linear_remarks(self) -> tuple[str, ...]:
        return () if self._linear is None else self._linear.remarks()

    def _open(self, linear: LinearPolicy | None) -> LinearPolicy:
        if linear is None:
            raise PolicyFault("the policy is closed")
        return linear

    def _check_whole(self) -> None:
        if self._is_only_asked:
            raise PolicyFault("the model was loaded to be asked only")

    def _restore(self, state: bytes) -> None:
        values, parts = unpack_parts(self._title, state)
        try:
            self._take(values, parts)
        except (KeyError, TypeError, ValueError) as error:
            raise PolicyFault(f"load: the state is damaged: {type(error).__name__}") from error

    def _take(self, values: dict[str, Any], parts: dict[str, memoryview]) -> None:
        self._count, self._since = int(values["count"]), int(values["since"])
        self._outgrown = str(values["outgrown"])
        self._lead.restore(values["lead"])
        expected = {"linear"} if self._options.half_life is not None else {"linear", "vw"}
        if parts.keys() != expected and not (self._outgrown and parts.keys() == {"vw"}):
            raise PolicyFault(f"load: {len(parts)} parts, expected {' and '.join(sorted(expected))}")
        silent = self._silent() if self._is_only_asked and len(parts) > 1 else ""
        if "linear" in parts and silent != "linear":
            self._linear = LinearPolicy(self._options, parts["linear"], only_asked=self._is_only_asked)
        if "vw" in parts and silent != "vw":
            self._vw = VwPolicy(_VW, bytes(parts["vw"]))

    def _silent(self) -> str:
        """Return which of two learners has no share in what is answered, or "" where both have one."""
        return {0.0: "vw", 1.0: "linear"}.get(self._lead.share, "")


def _within(reward: float) -> float:
    """Return a predicted reward within what rewards can be."""
    return min(max(reward, 0.0), 1.0)
