"""How a long-lived process lets Python look for cycles of garbage.

What lives since the start is never looked at again, and the rest less often: the code makes hardly any
cycles, and each look at everything holds whatever is under way up (50 to 80 ms of a request, and about 8 of
100 µs a lesson (m)).
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG: Final = 50_000
"""Objects more than at the last look before the young ones are looked at again (Python: 700 to 2,000)."""


def calm_collector() -> None:
    """Call once, when everything that stays has been made; until then nobody need look."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
    gc.enable()
