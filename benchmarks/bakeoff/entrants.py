"""Who races: registered policies, and peers behind the same contract.

An entrant is a name and a way to make a new policy. Peers that we did not write join here, so that they are
asked, served and taught by the same code as ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Policy

Create = Callable[[], Policy]


def _registered(name: str, **options: Any) -> Create:  # noqa: ANN401  (options are what the registry checks)
    return lambda: registry.create(name, options, ())


ENTRANTS: Final[Mapping[str, Create]] = {
    "linear": _registered("linear"),
    "linear, model: kernel": _registered("linear", model="kernel"),
    "linear, model: linear": _registered("linear", model="linear"),
    "linear, model: bias": _registered("linear", model="bias"),
    "thompson": _registered("thompson"),
    "vw": _registered("vw"),
    "vw, exploration: epsilon": _registered("vw", exploration="epsilon"),
    "vw, numbers: standardised, learning_rate: 2, gamma_scale: 1000": _registered(
        "vw", numbers="standardised", learning_rate=2.0, gamma_scale=1000.0
    ),
    "uniform": _registered("uniform"),
}
"""In the order of the table. A name alone stands for the policy's defaults."""
