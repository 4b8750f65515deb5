"""What would other policies have earned on a randomised test? Copy this and put your own log in."""

from __future__ import annotations

import sys

from offer_optimizer.evaluate import compare, evaluate, read_log

RULE = "cel:context.device == 'phone' ? 'coupon' : 'size-guide'"
FIXED = "always:coupon"


def main(path: str) -> None:
    """Judge policies on a log, then compare the two that were named beforehand."""
    log = read_log(
        path,
        format="csv",
        action="offer",
        reward="click",
        propensity="propensity",  # a column here; 1/3 or 0.5 where all rows have the same
        context="device,cart_value",  # what was known before deciding, never what came of it
        visitor="visitor",  # whose decisions belong together
    )
    found = evaluate(log, ["logged", FIXED, RULE, "vw:exploration=epsilon,epsilon=0.1"])
    print(found)
    for note in found.notes:
        print(f"- {note}")

    print()
    difference = compare(log, RULE, FIXED, estimators=["dr", "snips"])
    print(difference)
    if difference["dr"].estimate.is_above(0.0):
        print("The rule is better than the coupon for all, with confidence.")

    # found.to_dict() is JSON, found.to_table() rows for a data frame; found.plot("a.png") needs matplotlib.


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "examples/randomised_test.csv")
