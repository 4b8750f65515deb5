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


def refuse_rest(context: grpc.ServicerContext, begun_count: int, item_count: int) -> None:
    """Do as refuse_late before an item of a batch, whose first `begun_count` were begun."""
    try:
        refuse_late(context)
    except TooLate:
        if not begun_count:
            raise
        raise TooLate(
            f"the deadline had passed or the caller had gone after {begun_count} of {item_count} items. "
            f"The first {begun_count} were begun: what was decided is recorded and counted like any other, "
            "unless the disk refused it; the rest was not begun. Who sends an item again with its request_id "
            "gets its decision, within 30 minutes"
        ) from None
