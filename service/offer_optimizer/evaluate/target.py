"""What a target policy is: a rule that says of each row of a log what it would have done there.

A target is asked about batches in the order of the log, each row once. What it would do is given as offers
with their probabilities; nothing is ever replaced by something else because the log has it not. Knows neither
estimators nor the texts that people write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.log import Flags, Floats, Ints, Log, LogRows

SUM_TOLERANCE: Final = 1e-6
"""By how much the probabilities of a row may miss 1."""


@dataclass(frozen=True, eq=False)
class TargetRows:
    """What a target would do in n rows.

    `offers` and `mass`, shape (n, m), are offer numbers of the log's vocabulary and their probabilities; -1
    with probability 0 is no offer. `chosen` (n,) is the probability of the logged choice; `unsupported` (n,)
    is the probability put on offers that the log could not have chosen in that row.
    """

    offers: NDArray[np.int32]
    mass: Floats
    chosen: Floats
    unsupported: Floats

    def __len__(self) -> int:
        return len(self.chosen)


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What a first reading of a log found: how many rows, and the range of their rewards."""

    row_count: int
    reward_min: float
    reward_max: float


class Verdict(StrEnum):
    """What a figure about a policy speaks of.

    ONE_STEP: one decision changed, everything else as logged. STATE_AS_LOGGED: the same for a whole system,
    its rules, caps and budgets applied to the counters that the log read. TRAJECTORY: all decisions of a
    visitor changed together, so that caps fill as they would have.
    """

    ONE_STEP = "one step"
    STATE_AS_LOGGED = "state as logged"
    TRAJECTORY = "trajectory"


class TargetRun(Protocol):
    """A target on its way through one log."""

    @property
    def verdict(self) -> Verdict:
        """What figures made of it speak of."""
        ...

    def follow(self, rows: LogRows) -> TargetRows:
        """Return what the target would do in the next rows of the log."""
        ...

    def refusal(self) -> str:
        """Return why the log can't judge this target, as far as was seen, or nothing."""
        ...

    def notes(self) -> Sequence[str]:
        """Return what must be said beside the figures, as sentences."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class TargetPolicy(Protocol):
    """A policy to be judged."""

    @property
    def text(self) -> str:
        """What it is called in results: the text as it was given."""
        ...

    @property
    def is_progressive(self) -> bool:
        """Whether it learns on the log while it is judged there, each row judged before it is learned."""
        ...

    @property
    def needs_facts(self) -> bool:
        """Whether `start` needs a first reading of the log."""
        ...

    def start(self, log: Log, facts: LogFacts | None) -> TargetRun:
        """Begin at the log's first row. Raises InvalidInput where the log lacks what the policy reads."""
        ...


class StillRun:
    """A run of one step without anything to say or to hold: the start of most others."""

    @property
    def verdict(self) -> Verdict:
        """See TargetRun."""
        return Verdict.ONE_STEP

    def refusal(self) -> str:
        """See TargetRun."""
        return ""

    def notes(self) -> Sequence[str]:
        """See TargetRun."""
        return ()

    def close(self) -> None:
        """See TargetRun."""


def certain(rows: LogRows, offer: int | Ints) -> TargetRows:
    """Return rows in which one offer is certain: the same in all, or each row's own, shape (n,).

    -1 is an offer that the log doesn't know: it has no support.
    """
    count = len(rows)
    chosen = (rows.chosen == offer).astype(np.float64)
    wanted = np.broadcast_to(np.asarray(offer, dtype=np.int32), count)[:, None]
    return TargetRows(wanted, _ones(count), chosen, 1.0 - _is_supported(rows, wanted))


def aligned(
    rows: LogRows, mass: Floats, outside: Floats | None = None, tolerance: float = SUM_TOLERANCE
) -> TargetRows:
    """Return rows given by probabilities of the eligible, shape (n, k) beside `rows.offers`.

    `outside`, shape (n,), is what the target puts on offers that were not eligible. Raises InvalidInput where
    probabilities are negative or miss a sum of 1 by more than `tolerance`.
    """
    total = np.einsum("ij->i", mass)
    if outside is not None:
        total = total + outside
    check_sums(mass, total, tolerance)
    lacking = rows.offers < 0 if rows.pmf is None else rows.pmf <= 0.0
    unsupported = np.where(lacking, mass, 0.0).sum(axis=1) if lacking.any() else np.zeros(len(rows))
    return TargetRows(
        rows.offers,
        mass,
        mass[np.arange(len(rows)), position_of(rows, rows.chosen)],
        unsupported if outside is None else unsupported + outside,
    )


def position_of(rows: LogRows, offers: NDArray[np.integer[Any]]) -> Ints:
    """Return where one offer of each row, shape (n,), stands among the eligible; 0 where it does not."""
    if len(rows) and rows.offers.strides[0] == 0:
        # The same offers in every row: looked up once for each.
        highest = int(max(rows.offers[0].max(), offers.max(initial=0)))
        places = np.zeros(highest + 2, dtype=np.int64)
        for place, offer in reversed(list(enumerate(rows.offers[0].tolist()))):
            places[offer] = place
        at: Ints = places[offers]
        return at
    position: Ints = (rows.offers == offers.astype(rows.offers.dtype)[:, None]).argmax(axis=1)
    return position


def check_sums(mass: Floats, total: Floats, tolerance: float) -> None:
    """Raise InvalidInput unless each row of probabilities is one. `total` has shape (n,)."""
    if mass.size and not mass.min() >= 0.0:
        raise InvalidInput("policy", f"a probability is {mass.min()}, the least is 0")
    off = np.abs(total - 1.0)
    if len(off) and not off.max() <= tolerance:
        row = int(off.argmax())
        raise InvalidInput("policy", f"probabilities of a row sum to {total[row]:.6g}, not to 1")


def _is_supported(rows: LogRows, wanted: NDArray[np.int32]) -> Floats:
    """Return 1 where the log could have chosen `wanted`, shape (n, 1), else 0; shape (n,)."""
    if rows.pmf is None and len(rows) and rows.offers.strides[0] == 0 and wanted.strides[0] == 0:
        return np.full(len(rows), float(wanted[0, 0] >= 0 and wanted[0, 0] in rows.offers[0]))
    is_there = rows.offers == wanted
    if rows.pmf is not None:
        is_there &= rows.pmf > 0.0
    found: Floats = (is_there.any(axis=1) & (wanted[:, 0] >= 0)).astype(np.float64)
    return found


def _ones(count: int) -> Floats:
    return np.ones((count, 1))


@dataclass(frozen=True, slots=True)
class FunctionPolicy:
    """A policy given as a function from rows to probabilities of the eligible, shape (n, k)."""

    text: str
    function: Callable[[LogRows], Floats]
    is_progressive: bool = False
    needs_facts: bool = False

    def start(self, log: Log, facts: LogFacts | None) -> TargetRun:  # noqa: ARG002  (the protocol's)
        """See TargetPolicy."""
        return _FunctionRun(self.function)


class _FunctionRun(StillRun):
    """Asks the function."""

    def __init__(self, function: Callable[[LogRows], Floats]) -> None:
        self._function = function

    def follow(self, rows: LogRows) -> TargetRows:
        """See TargetRun. Raises InvalidInput when what was returned has another shape."""
        mass = np.asarray(self._function(rows), dtype=np.float64)
        if mass.shape != rows.offers.shape:
            raise InvalidInput("policy", f"returned shape {mass.shape}, expected {rows.offers.shape}")
        return aligned(rows, mass)


def eligible_flags(rows: LogRows) -> Flags:
    """Return which entries of `offers` are offers, shape (n, k)."""
    flags: Flags = rows.offers >= 0
    return flags
