"""Makes randomised_test.csv: a small randomised test of three offers, seeded, with a truth that is known.

Phones get the coupon with probability 1/2, desks with 1/4, and the rest is shared evenly: a test that was
never meant to be uniform. The guide pays on desks, the coupon on phones, and the newsletter nowhere.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

OFFERS = ("coupon", "size-guide", "newsletter")
CLICKS = {"phone": (0.24, 0.12, 0.06), "desk": (0.10, 0.22, 0.06)}
CHANCES = {"phone": (0.5, 0.25, 0.25), "desk": (0.25, 0.375, 0.375)}
VISITORS = 900


def main() -> None:
    """Write the file beside this script."""
    chance = np.random.default_rng(20)
    visits = [(visitor, device) for visitor in range(VISITORS) for device in _devices(chance)]
    order = chance.permutation(len(visits))
    path = Path(__file__).with_name("randomised_test.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["visitor", "device", "cart_value", "offer", "propensity", "click"])
        for index in order.tolist():
            visitor, device = visits[index]
            offer = int(chance.choice(3, p=CHANCES[device]))
            click = int(chance.random() < CLICKS[device][offer])
            cart = round(float(chance.gamma(2.0, 20.0)), 2)
            lines.writerow([f"v{visitor:03}", device, cart, OFFERS[offer], CHANCES[device][offer], click])


def _devices(chance: np.random.Generator) -> list[str]:
    """Return the device of each visit of one visitor: mostly one and the same."""
    own = "phone" if chance.random() < 0.6 else "desk"
    count = 1 + int(chance.poisson(1.6))
    return [own if chance.random() < 0.9 else "desk" for _ in range(count)]


if __name__ == "__main__":
    main()
