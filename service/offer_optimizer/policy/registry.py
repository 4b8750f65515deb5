"""The registry: every policy that a placement may name, with its options. The only place that knows them all.

Always holds: options are validated here and nowhere later; `describe`, `library_versions` and
FEATURIZER_VERSION together say whether two models may mix, so they are hashed into the policy epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any, Final

from pydantic import ValidationError

from offer_optimizer.core.errors import InvalidInput, PolicyFault
from offer_optimizer.core.features import show
from offer_optimizer.policy import auto, linear, thompson
from offer_optimizer.policy.baseline import BaselinePolicy
from offer_optimizer.policy.contract import Policy
from offer_optimizer.policy.linear_options import LinearOptions
from offer_optimizer.policy.options import NoOptions, Options
from offer_optimizer.policy.uniform import UniformPolicy
from offer_optimizer.policy.vw import LEARNING_VERSION, VwPolicy
from offer_optimizer.policy.vw_options import VwOptions
from offer_optimizer.policy.vw_text import FEATURIZER_VERSION

__all__ = [
    "ENTRIES",
    "FEATURIZER_VERSION",
    "Entry",
    "create",
    "describe",
    "learns",
    "library_versions",
    "load",
    "load_asked",
]

Build = Callable[[Any, tuple[str, ...], bytes | None], Policy]
"""Makes a policy from validated options, the baseline and a saved state, or None for a new model."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered policy.

    `learns` says whether examples move it; `libraries` names the distributions whose versions its models
    depend on, `code` our own code that they depend on, with its version.
    """

    learns: bool
    options: type[Options]
    build: Build
    libraries: tuple[str, ...] = ()
    code: tuple[tuple[str, str], ...] = ()
    asked: Callable[[Any, bytes], Policy] | None = None
    """Makes a policy from options and a state that answers and does not learn, where that is cheaper."""


def _build_uniform(_options: NoOptions, _baseline: tuple[str, ...], state: bytes | None) -> Policy:
    _check_stateless(state)
    return UniformPolicy()


def _build_baseline(_options: NoOptions, baseline: tuple[str, ...], state: bytes | None) -> Policy:
    _check_stateless(state)
    return BaselinePolicy(baseline)


def _build_thompson(
    options: thompson.ThompsonOptions, _baseline: tuple[str, ...], state: bytes | None
) -> Policy:
    return thompson.ThompsonPolicy(options, state)


def _build_auto(options: auto.AutoOptions, _baseline: tuple[str, ...], state: bytes | None) -> Policy:
    return auto.AutoPolicy(options, state)


def _build_linear(options: LinearOptions, _baseline: tuple[str, ...], state: bytes | None) -> Policy:
    return linear.LinearPolicy(options, state)


def _build_vw(options: VwOptions, _baseline: tuple[str, ...], state: bytes | None) -> Policy:
    return VwPolicy(options, state)


def _asked_auto(options: auto.AutoOptions, state: bytes) -> Policy:
    return auto.AutoPolicy(options, state, only_asked=True)


def _asked_linear(options: LinearOptions, state: bytes) -> Policy:
    return linear.LinearPolicy(options, state, only_asked=True)


def _check_stateless(state: bytes | None) -> None:
    """Raise PolicyFault when there is a state where none belongs."""
    if state:
        raise PolicyFault(f"load: {len(state)} bytes of state for a policy that has none")


_LINEAR_CODE: Final = ("offer_optimizer.policy.linear", linear.LEARNING_VERSION)
_VW_CODE: Final = ("offer_optimizer.policy.vw", LEARNING_VERSION)
ENTRIES: Final[Mapping[str, Entry]] = {
    "auto": Entry(
        learns=True,
        options=auto.AutoOptions,
        build=_build_auto,
        libraries=("numpy", "vowpalwabbit"),
        code=(("offer_optimizer.policy.auto", auto.LEARNING_VERSION), _LINEAR_CODE, _VW_CODE),
        asked=_asked_auto,
    ),
    "baseline": Entry(learns=False, options=NoOptions, build=_build_baseline),
    "linear": Entry(
        learns=True,
        options=LinearOptions,
        build=_build_linear,
        libraries=("numpy",),
        code=(_LINEAR_CODE,),
        asked=_asked_linear,
    ),
    "thompson": Entry(
        learns=True,
        options=thompson.ThompsonOptions,
        build=_build_thompson,
        libraries=("numpy",),
        code=(("offer_optimizer.policy.thompson", thompson.LEARNING_VERSION),),
    ),
    "uniform": Entry(learns=False, options=NoOptions, build=_build_uniform),
    "vw": Entry(
        learns=True,
        options=VwOptions,
        build=_build_vw,
        libraries=("vowpalwabbit",),
        code=(_VW_CODE,),
    ),
}


def learns(name: str) -> bool:
    """Return whether examples move the policy. Raises InvalidInput when the name is unknown."""
    return _entry(name).learns


def describe(name: str, options: Mapping[str, Any]) -> dict[str, object]:
    """Return the options that have an effect, defaults filled in, as plain JSON values with no order to keep.

    Equal meaning gives equal descriptions, and a description is itself valid as options.
    Raises InvalidInput naming `policy.name` or `policy.options.X`.
    """
    return _validated(name, options).canonical()


def library_versions(name: str) -> dict[str, str]:
    """Return the version of all code that the policy's models depend on. Raises InvalidInput."""
    entry = _entry(name)
    return {library: _version(library) for library in entry.libraries} | dict(entry.code)


@cache
def _version(library: str) -> str:
    # Reading it parses a text of kilobytes, milliseconds each time, and every epoch asks for it.
    return metadata.version(library)


def create(name: str, options: Mapping[str, Any], baseline: tuple[str, ...]) -> Policy:
    """Return the policy with its initial model. Raises InvalidInput like `describe`."""
    return _entry(name).build(_validated(name, options), baseline, None)


def load(name: str, options: Mapping[str, Any], baseline: tuple[str, ...], state: bytes) -> Policy:
    """Return the policy whose `save` gave `state`. Raises InvalidInput like `describe`.

    Raises PolicyFault when the state belongs to another policy, other options or another library version.
    Damage beyond that isn't found here, and can crash the process: check the envelope first.
    """
    return _entry(name).build(_validated(name, options), baseline, state)


def load_asked(name: str, options: Mapping[str, Any], baseline: tuple[str, ...], state: bytes) -> Policy:
    """Return what `load` does for whoever only asks: `learn` and `save` may raise PolicyFault.

    Loading stalls all that a decider has under way. What it need not load is not looked at either.
    """
    asked, validated = _entry(name).asked, _validated(name, options)
    return _entry(name).build(validated, baseline, state) if asked is None else asked(validated, state)


def _entry(name: str) -> Entry:
    """Return the entry. Raises InvalidInput."""
    entry = ENTRIES.get(name)
    if entry is None:
        raise InvalidInput("policy.name", f"{show(name)} is unknown; allowed: {', '.join(ENTRIES)}")
    return entry


def _validated(name: str, options: Mapping[str, Any]) -> Options:
    """Return the options as the policy's own model. Raises InvalidInput about the first defect."""
    model = _entry(name).options
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        defect = error.errors()[0]
    place = ".".join(["policy.options", *(show(str(part)).strip("'") for part in defect["loc"])])
    if defect["type"] == "extra_forbidden":
        allowed = ", ".join(model.model_fields) or f"none, {name} has no options"
        raise InvalidInput(place, f"is unknown; allowed: {allowed}")
    raise InvalidInput(place, defect["msg"])
