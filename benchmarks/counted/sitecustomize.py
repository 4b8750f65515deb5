"""Counts the calls of a decider, for `benchmarks.overload`: Python loads it where it is on the path."""

from __future__ import annotations

import sys

if "decider" in sys.orig_argv and "offer_optimizer.app.child" in sys.orig_argv:
    from benchmarks import counting

    counting.install()
