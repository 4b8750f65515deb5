"""Whether anybody still waits for an answer."""

from __future__ import annotations

import grpc

from offer_optimizer.api.refusals import TooLate


def refuse_late(context: grpc.ServicerContext) -> None:
    """Raise TooLate when nobody waits for the answer any more.

    Without a deadline about 9.2e18 seconds remain, which is as good as for ever.
    """
    if context.time_remaining() <= 0.0 or not context.is_active():
        raise TooLate(
            "the deadline had passed or the caller had gone before the work began; nothing was done"
        )
