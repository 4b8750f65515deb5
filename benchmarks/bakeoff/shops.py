"""The simulated shops: what each is made of, and why it is there. The truth is made of it in `world`.

Effects are deviations on the scale of log odds, so 1 makes a chance of 10 % one of 4 or 23 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Shop:
    """One shop. `fields` are the numbers of values of its categories, `numbers` counts skewed numbers.

    `offers` come `live` at a time: every `turnover` rounds the oldest leaves and a new one comes.
    `attributes` are the numbers of values of the offers' categories. Effects: `appeal` is an offer's own,
    `trend` its attributes', `taste` what an attribute does to a context, `fit` what the offer itself does to
    one, `mood` what a context does to all offers alike. `season` swings each attribute value, once in
    `period` rounds. At `shifts` (shares of the rounds) everything but mood is drawn anew.
    """

    name: str
    about: str
    rounds: int
    offers: int
    fields: tuple[int, ...]
    base: float = 0.1
    numbers: int = 2
    attributes: tuple[int, ...] = ()
    live: int | None = None
    turnover: int | None = None
    appeal: float = 0.5
    trend: float = 0.0
    taste: float = 0.0
    fit: float = 0.0
    mood: float = 0.5
    season: float = 0.0
    period: int = 6000
    shifts: tuple[float, ...] = ()
    delay: int = 50
    batch: int = 25

    def columns(self) -> int:
        """Return how many features a context has once every category's value is one, and the constant."""
        return 1 + sum(self.fields) + self.numbers


SHOPS: Final = (
    Shop(
        "corner",
        "few offers, a small context, own effects only",
        rounds=8_000,
        offers=5,
        fields=(4, 3),
        appeal=0.3,
        fit=1.2,
    ),
    Shop(
        "fashion",
        "attributes matter to whom they meet; rewards are learned 300 rounds late",
        rounds=12_000,
        offers=20,
        fields=(6, 5, 4, 8, 3, 4),
        attributes=(5, 4, 3),
        trend=0.3,
        taste=1.2,
        fit=0.4,
        delay=300,
        appeal=0.3,
    ),
    Shop(
        "newsroom",
        "30 of 150 offers are live, a new one every 100 rounds; attributes tell what to expect",
        rounds=12_000,
        offers=150,
        live=30,
        turnover=100,
        fields=(6, 4, 3),
        attributes=(6, 4),
        appeal=0.3,
        trend=0.4,
        taste=0.9,
    ),
    Shop(
        "seasons",
        "what is liked swings with the season, nearly three times over",
        rounds=16_000,
        offers=12,
        fields=(5, 4, 3),
        attributes=(4, 3),
        appeal=0.3,
        taste=0.5,
        season=1.2,
    ),
    Shop(
        "upheaval",
        "everything changes of a sudden, twice",
        rounds=12_000,
        offers=8,
        fields=(4, 3, 3),
        appeal=0.4,
        fit=1.0,
        shifts=(1 / 3, 2 / 3),
    ),
    Shop(
        "late",
        "rewards are learned 1,500 rounds late",
        rounds=10_000,
        offers=10,
        fields=(4, 3, 5),
        appeal=0.3,
        fit=1.0,
        delay=1500,
        batch=100,
    ),
    Shop(
        "rare",
        "30 offers and rewards of about 2 %",
        rounds=15_000,
        offers=30,
        fields=(4, 3, 5),
        base=0.02,
        attributes=(5, 3),
        appeal=0.3,
        trend=0.3,
        taste=0.8,
    ),
    Shop(
        "wide",
        "about 460 columns of context, most of which tell little",
        rounds=8_000,
        offers=8,
        fields=(120, 100, 80, 60, 40, 30, 20, 6, 4),
        base=0.15,
        batch=200,
        numbers=3,
        attributes=(4,),
        taste=0.9,
        fit=0.4,
    ),
    Shop(
        "bazaar",
        "200 of 500 offers are live, a new one every 10 rounds; only attributes can be learned in time",
        rounds=3_000,
        offers=500,
        live=200,
        turnover=10,
        fields=(4, 3),
        numbers=1,
        attributes=(8, 6, 5),
        appeal=0.2,
        trend=0.3,
        taste=1.0,
    ),
)
