"""The auto policy: what a placement runs that names none. Begins as `linear`, goes over to `vw` past its sizes.

What decides is how many offers and attributes there are, how wide the context is, and so how much memory
`linear` would need: past its bounds it keeps variances only, or lets columns share, and from then on `vw`
learns beside it and takes over once it has learned PREPARED examples. Always holds: the choice follows from
the options and the examples alone, so whoever learns the same ledger again makes it at the same example; it is
part of the state; it is never taken back, since sizes never shrink. With a half-life `linear` stays: `vw`
has none.
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
from offer_optimizer.policy.linear import LinearPolicy
from offer_optimizer.policy.linear_options import LinearOptions
from offer_optimizer.policy.options import Options
from offer_optimizer.policy.state import pack_parts, unpack_parts
from offer_optimizer.policy.vw import VwPolicy
from offer_optimizer.policy.vw_options import VwOptions

LEARNING_VERSION: Final = "1"
"""Changes whenever the same options and examples would give another model; part of the policy epoch."""
PREPARED: Final = 2000
"""Examples that `vw` learns beside `linear` before it answers."""
_VW: Final = VwOptions(numbers="standardised", learning_rate=0.5, gamma_scale=1000.0)


class AutoOptions(Options):
    """Options of the auto policy.

    `half_life` is after how many examples what was learned counts half; None never forgets.
    """

    half_life: Annotated[float, Field(ge=10.0, le=1e9)] | None = None


class AutoPolicy:
    """One of `linear` and `vw`, picked by size."""

    def __init__(self, options: AutoOptions, state: bytes | None = None) -> None:
        """Start a new model, or continue one. Raises PolicyFault when `state` is not of these options."""
        content = json.dumps(options.canonical(), sort_keys=True, separators=(",", ":"))
        self._title = f"offer-optimizer auto {LEARNING_VERSION} {content}"
        self._options = LinearOptions(half_life=options.half_life)
        self._linear: LinearPolicy | None = None
        self._vw: VwPolicy | None = None
        self._count = 0
        # From which example on vw learns, and why.
        self._since = 0
        self._why = ""
        if state is None:
            self._linear = LinearPolicy(self._options)
        else:
            self._restore(state)

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
        """See contract. Safe to call from several threads."""
        return self._serving().pmf(context, actions)

    def learn(self, example: Example) -> None:
        """See contract."""
        self._serving().learn(example)  # first, since it refuses what is out of range
        self._count += 1
        if self._linear is None:
            return
        if self._vw is not None:
            self._vw.learn(example)
            if self._count >= self._since + PREPARED:
                self._linear.close()
                self._linear = None
        elif self._options.half_life is None and self._linear.outgrown():
            self._vw, self._since, self._why = VwPolicy(_VW), self._count, self._linear.outgrown()

    def save(self) -> bytes:
        """See contract."""
        parts = [self._serving().save()]
        if self._linear is not None and self._vw is not None:
            parts.append(self._vw.save())
        names = [name for name, policy in (("linear", self._linear), ("vw", self._vw)) if policy is not None]
        values = {"count": self._count, "since": self._since, "why": self._why}
        return pack_parts(self._title, values, dict(zip(names, parts, strict=True)))

    def close(self) -> None:
        """See contract."""
        for policy in (self._linear, self._vw):
            if policy is not None:
                policy.close()

    def remarks(self) -> tuple[str, ...]:
        """See contract.Remarking."""
        if self._linear is None:
            return (f"auto: vw answers since example {self._since + PREPARED}: {self._why}",)
        if self._vw is None:
            picked = "auto: linear answers"
        else:
            picked = f"auto: linear answers until vw takes over at example {self._since + PREPARED}: {self._why}"
        return (picked, *self._linear.remarks())

    def _serving(self) -> LinearPolicy | VwPolicy:
        serving = self._linear or self._vw
        if serving is None:
            raise PolicyFault("the policy is closed")
        return serving

    def _restore(self, state: bytes) -> None:
        values, parts = unpack_parts(self._title, state)
        try:
            self._take(values, parts)
        except (KeyError, TypeError, ValueError) as error:
            raise PolicyFault(f"load: the state is damaged: {type(error).__name__}") from error

    def _take(self, values: dict[str, Any], parts: dict[str, bytes]) -> None:
        self._count, self._since, self._why = int(values["count"]), int(values["since"]), str(values["why"])
        if not parts or not parts.keys() <= {"linear", "vw"}:
            raise PolicyFault(f"load: the state is of {', '.join(parts) or 'nothing'}")
        if "linear" in parts:
            self._linear = LinearPolicy(self._options, parts["linear"])
        if "vw" in parts:
            self._vw = VwPolicy(_VW, parts["vw"])
