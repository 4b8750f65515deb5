"""The options a placement may give the vw policy, and the VW arguments they become.

A whitelist: no text of a catalog ever reaches VW's option parser, which can write files and open sockets.
Only explorations that continue byte for byte after save and load are here; bag, cover and rnd don't.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from offer_optimizer.policy.options import Options
from offer_optimizer.policy.vw_text import ATTRIBUTES, CONTEXT, IDENTITY

# Loading blocks every thread: 10 ms at 18 bits, 111 at 22, 475 at 24.
_BITS_MAX: Final = 22
_RATE: Final = 1.0
_WEIGHTED_RATE: Final = 0.05
# At 1 a single legal example of propensity 1e-6, clipped to 0.1, turned the best offer over for certain.
_ONLY_WITH: Final = {
    "gamma_scale": "squarecb",
    "gamma_exponent": "squarecb",
    "epsilon": "epsilon",
    "sharpness": "softmax",
}


class VwOptions(Options):
    """Options of the vw policy.

    `gamma_scale` and `gamma_exponent` set how soon squarecb stops exploring: its gamma after t examples is
    `gamma_scale * t ** gamma_exponent`. `epsilon` is the share spent evenly, `sharpness` softmax's factor.
    `power_t` is the decay of the learning rate. `interactions` crosses context with identity and attributes;
    without it the context can't change which offer is best. `numbers` says how numbers of the context are
    written: `squashed` by asinh, or first `standardised` by mean and deviation of what was learned before,
    which learns far better where numbers have different scales; attributes are squashed always. The defaults
    were measured (`benchmarks/bakeoff`): `learning_rate` is 1 with squarecb, 0.05 with the others, where one
    example can weigh ten times as much.
    """

    exploration: Literal["squarecb", "epsilon", "softmax"] = "squarecb"
    gamma_scale: Annotated[float, Field(gt=0.0, le=1e6)] = 100.0
    gamma_exponent: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    epsilon: Annotated[float, Field(ge=0.0, le=1.0)] = 0.05
    sharpness: Annotated[float, Field(ge=0.0, le=1000.0)] = 100.0
    learning_rate: Annotated[float, Field(ge=1e-4, le=10.0)] = _RATE
    power_t: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
    bits: Annotated[int, Field(ge=10, le=_BITS_MAX)] = 18
    interactions: bool = True
    numbers: Literal["squashed", "standardised"] = "standardised"

    @model_validator(mode="before")
    @classmethod
    def _fill_in_rate(cls, given: Any) -> Any:  # noqa: ANN401  (checked behind this)
        if isinstance(given, dict) and "learning_rate" not in given:
            is_weighted = given.get("exploration", "squarecb") != "squarecb"
            return {**given, "learning_rate": _WEIGHTED_RATE if is_weighted else _RATE}
        return given

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        for option in sorted(self.model_fields_set & _ONLY_WITH.keys()):
            if self.exploration != _ONLY_WITH[option]:
                raise ValueError(f"{option} is only allowed with exploration: {_ONLY_WITH[option]}")
        return self

    def canonical(self) -> dict[str, object]:
        """See Options; what belongs to another exploration is left out."""
        others = {option for option, exploration in _ONLY_WITH.items() if exploration != self.exploration}
        return self.model_dump(mode="json", exclude=others)

    def arguments(self) -> list[str]:
        """Return VW's argument list for a new model."""
        explore = {
            "squarecb": f"--squarecb --gamma_scale {self.gamma_scale} --gamma_exponent {self.gamma_exponent}",
            "epsilon": f"--epsilon {self.epsilon}",
            "softmax": f"--softmax --lambda {self.sharpness}",
        }[self.exploration]
        crosses = ["-q", CONTEXT + IDENTITY, "-q", CONTEXT + ATTRIBUTES] if self.interactions else []
        return [
            *("--cb_explore_adf", "--cb_type", "mtr"),
            *explore.split(),
            *("--bit_precision", str(self.bits)),
            *("--learning_rate", repr(self.learning_rate), "--power_t", repr(self.power_t)),
            *crosses,
        ]
