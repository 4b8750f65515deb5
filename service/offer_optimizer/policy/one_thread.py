"""Linear algebra on one thread: for matrices this small more threads cost more than they bring, they would
take cores from other processes, and sums split among them could differ from machine to machine.

Holds for the whole process, from the first numpy policy on. Knows nothing of policies.
"""

from __future__ import annotations

from functools import cache

from threadpoolctl import threadpool_limits


@cache
def use_one_thread() -> None:
    """Limit every BLAS that is loaded to one thread, once a process."""
    limit_loaded()


def limit_loaded() -> None:
    """Limit every BLAS that is loaded by now to one thread; one that is loaded later needs another call."""
    threadpool_limits(limits=1, user_api="blas")
