"""The members of the linear policy: what each reads of a context, and how well it has predicted so far.

`bias` reads nothing, so it knows what each offer earns on the whole; `linear` reads the columns of the
context; `recent` reads them too and forgets, so it follows a world that moves; `kernel` reads them and random
waves of them, which bend (random Fourier features of a Gaussian kernel: Rahimi and Recht 2007, NIPS 20).
Always holds: each member's memory is bounded: past DENSE_NUMBERS `linear` and `recent` keep variances instead
of covariances, and `kernel` is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from offer_optimizer.policy.encoding import Vector
from offer_optimizer.policy.newcomers import KNOWN_LEAST, Starts, learn_prior
from offer_optimizer.policy.offer_blocks import KIN_SHARE, Known, Origin
from offer_optimizer.policy.ridge import Matrix, RidgeBlocks

DENSE_NUMBERS: Final = 2**20
"""Most numbers that the covariances of one member have: 8 MiB."""
PRIOR_BIAS: Final = 1.0
PRIOR_CONTEXT: Final = 0.25
"""Variance of a weight before examples, against the noise. Measured; see benchmarks/bakeoff."""
WAVES: Final = 128
PANEL: Final = 8
"""Rows of the latest examples, in which known offers are compared."""
COLUMNS_EXACT: Final = 256
COLUMNS_HASHED: Final = 64
"""Columns of a context with one name each, and those that are shared by the rest."""
RECENT_HALF_LIFE: Final = 2000.0
"""After how many examples what `recent` learned counts half. Measured; see benchmarks/bakeoff."""
HANDICAP: Final = {"bias": 8.0, "recent": 8.0}
"""Loss that a member begins with: that the context tells nothing, or that the world moves, has to be learned
(odds 1 to e squared).
"""
_NORM_MEMORY: Final = 1000.0
_SEED: Final = 7


class Rows:
    """Makes what members read out of a context's row. Keeps the mean squared length of rows, which sets how
    fast the waves bend.
    """

    def __init__(self) -> None:
        self._waves, self._phases = _drawn_waves()
        self.norm = 1.0
        self.recent: Matrix = np.zeros((PANEL, 1))

    def learn(self, row: Vector, count: float) -> None:
        """Move the mean squared length by one row; `count` is the number of examples, this one included."""
        if self.recent.shape[1] != len(row):
            self.recent = np.pad(self.recent, ((0, 0), (0, len(row) - self.recent.shape[1])))
        self.recent[int(count) % PANEL] = row
        self.norm += (float(row @ row) - self.norm) / min(count, _NORM_MEMORY)

    def waves(self, row: Vector) -> Vector:
        """Return the waves of a row, then the row: as long as the row on average, so one prior fits both."""
        angles = (row @ self._waves[: len(row)]) * (1.0 / math.sqrt(self.norm)) + self._phases
        return np.concatenate((np.cos(angles) * math.sqrt(2.0 * self.norm / WAVES), row))


@cache
def _drawn_waves() -> tuple[Matrix, Vector]:
    """Return the waves and phases of all models: drawn once, since that is a good part of loading one."""
    chance = np.random.Generator(np.random.Philox(_SEED))
    waves: Matrix = chance.standard_normal((COLUMNS_EXACT + COLUMNS_HASHED, WAVES))
    phases: Vector = chance.random(WAVES) * (2.0 * math.pi)
    waves.flags.writeable = phases.flags.writeable = False
    return waves, phases


class Member:
    """One regression. `loss` is its discounted squared error, in units of the noise, and its handicap."""

    def __init__(self, name: str, kept: float, block_count: int, width: int) -> None:
        self.name = name
        self.extra = WAVES if name == "kernel" else 0
        prior = PRIOR_BIAS if name == "bias" else PRIOR_CONTEXT
        if name == "recent":
            kept = 0.5 ** (1.0 / RECENT_HALF_LIFE)
        self.blocks = RidgeBlocks(prior, kept, block_count, self.width(width))
        self.loss = HANDICAP.get(name, 0.0)
        self.is_left_out = False
        self.starts = Starts(block_count, self.width(width))

    def width(self, width: int) -> int:
        """Return how many numbers it reads of a context of so many columns."""
        return 1 if self.name == "bias" else width + self.extra

    def read(self, row: Vector, waves: Vector | None) -> Vector:
        """Return what it reads."""
        if self.name == "bias":
            return row[:1]
        if self.name in ("linear", "recent") or waves is None:
            return row
        return waves

    def fit(self, block_count: int, width: int) -> None:
        """Make room, or fall back to what is cheaper."""
        if self.is_left_out:
            return
        width = self.width(width)
        if not self.blocks.is_diagonal and block_count * width * width > DENSE_NUMBERS:
            if self.name == "kernel":
                self.is_left_out = True
                self.blocks = RidgeBlocks(self.blocks.prior, 1.0, 1, 1)
                self.starts = Starts(1, 1)
                return
            self.blocks.forget_correlations()
        self.blocks.fit(block_count, width)
        self.starts.fit(block_count, width)

    def learn_starts(self, known: Known, rows: Rows, noise: float, now: float) -> None:
        """Learn from the known offers what newcomers start from; `noise` is the variance of a reward."""
        if self.is_left_out or len(known.counts) < KNOWN_LEAST:
            return
        reads = [self.read(row, rows.waves(row) if self.extra else None) for row in rows.recent]
        variances = np.array([self.blocks.variances(read, None, now) for read in reads])
        spread = np.square(known.made) @ variances.mean(axis=0) * noise
        panel = np.array(reads)
        self.starts.learn(known, learn_prior(known, known.made @ self.blocks.current(now), panel, spread))

    def begin(
        self,
        blocks: Sequence[int],
        coefficients: Sequence[float],
        start: float | Origin | None,
        now: float,
        fresh: range = range(0),
    ) -> None:
        """Let a newcomer's own block, the last one, make of its whole what known offers tell of it.

        Where it is like one of them, its `start`, that one alone tells. What the newcomer may differ by is
        then shared out over its own block and the `fresh` ones, which nobody had before it: with what the
        prior says of those it would be far less sure behind its first example than before. Where the reward
        that is expected of it is given, that alone tells, in any context, and it is as unsure as if nothing
        were told.
        """
        own = coefficients[-1]
        if isinstance(start, Origin):
            self.blocks.refresh([*start.blocks, *blocks[:-1]], now)
            told = np.array(start.coefficients) @ self.blocks.weights[start.blocks]
            made = np.array(coefficients[:-1]) @ self.blocks.weights[list(blocks[:-1])]
            kin = KIN_SHARE
            for block, coefficient in zip(blocks[:-1], coefficients[:-1], strict=True):
                if block in fresh:
                    self.blocks.begin(block, np.zeros_like(self.blocks.weights[block]), KIN_SHARE, now)
                    kin -= KIN_SHARE * coefficient**2
            share, doubt = (start.coefficients[-1] / own) ** 2, kin / own**2
            self.blocks.begin_like(blocks[-1], start.blocks[-1], (told - made) / own, (share, doubt), now)
        elif start is not None:
            self.blocks.refresh(blocks[:-1], now)
            told = np.zeros(self.blocks.weights.shape[1])
            # The column that is 1 in every context.
            told[self.extra] = start
            made = np.array(coefficients[:-1]) @ self.blocks.weights[list(blocks[:-1])]
            self.blocks.begin(blocks[-1], (told - made) / own, 1.0, now)
        elif self.starts.are_told:
            told = self.starts.of(blocks[:-1], coefficients[:-1])
            made = np.array(coefficients[:-1]) @ self.blocks.weights[list(blocks[:-1])]
            self.blocks.begin(blocks[-1], (told - made) / own, self.starts.unsure, now)

    def describe(self) -> dict[str, Any]:
        """Return the state but for the arrays, as plain JSON values."""
        return {
            "loss": self.loss,
            "is_diagonal": self.blocks.is_diagonal,
            "is_left_out": self.is_left_out,
            "starts": self.starts.describe(),
        }

    def arrays(self) -> dict[str, Matrix]:
        """Return the arrays of the state."""
        return {**self.blocks.arrays(), **self.starts.arrays()}

    def restore(
        self, values: dict[str, Any], arrays: dict[str, Matrix], block_count: int, width: int
    ) -> None:
        """Take over a state. Raises PolicyFault where the arrays have another shape."""
        self.loss = float(values["loss"])
        self.is_left_out = bool(values["is_left_out"])
        if values["is_diagonal"]:
            self.blocks.forget_correlations()
        shape = (1, 1) if self.is_left_out else (block_count, self.width(width))
        self.blocks.restore(arrays, *shape)
        self.starts.restore(values["starts"], arrays, *shape)
