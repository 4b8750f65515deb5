"""What is known of the learner beside the rollups, as plain values: the other half of what health needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlacementFacts:
    """One placement of the catalog in force, and the model that is published for it.

    Times are microseconds since the epoch. `published_us` is None where nothing was published yet;
    `unlearned_count` examples have closed behind the published model, the oldest at `oldest_unlearned_us`;
    `learn_probability` is 1 unless silence is thinned out; `nothing_offers` show nothing;
    `remarks` are what the published model says about how it answers.
    """

    placement_id: str
    policy: str
    learns: bool
    window_us: int
    open_count: int = 0
    learned_count: int = 0
    published_us: int | None = None
    unlearned_count: int = 0
    oldest_unlearned_us: int | None = None
    frozen_since_us: int | None = None
    learn_probability: float = 1.0
    nothing_offers: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoopFacts:
    """The loop as a whole. Times are microseconds since the epoch.

    `oldest_waiting_us` is when the oldest record that is not drained was made, `oldest_due_us` when the
    oldest window that is still open ends; None where there is none. `damage` has a sentence for each file
    that the loop stops at; `refusals` one for each thing that a disk refused in the last minute;
    `free_bytes` are those of the data directory's file system, None where nobody looked.
    """

    now_us: int
    ledger_time_us: int
    oldest_waiting_us: int | None
    oldest_due_us: int | None
    placements: tuple[PlacementFacts, ...]
    damage: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    free_bytes: int | None = None

    @property
    def lag_s(self) -> float:
        """How long the oldest record has waited for the learner, in seconds; 0 when none waits."""
        return 0.0 if self.oldest_waiting_us is None else max(self.now_us - self.oldest_waiting_us, 0) / 1e6

    @property
    def hour(self) -> int:
        """The running hour, counted from the epoch."""
        return self.now_us // 3_600_000_000
