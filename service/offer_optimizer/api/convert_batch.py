"""BatchDecide's messages to core values and back: what items share is looked at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from offer_optimizer.api.convert import check_item_size, decide_input, decide_response
from offer_optimizer.core.features import Features
from offer_optimizer.decide.requests import DecideInput, Outcome
from offer_optimizer.v1 import offer_service_pb2 as pb


class BatchItems:
    """Validates the items of one batch, in order. A context like the one before is not read again."""

    def __init__(self) -> None:
        self._message: pb.Features | None = None
        self._context: Features | None = None

    def decide_input(self, request: pb.DecideRequest, index: int) -> DecideInput:
        """Validate one item, which may not be larger than a question asked alone. Raises InvalidInput."""
        check_item_size(request, index)
        message = request.context
        known = self._context if message == self._message else None
        found = decide_input(request, f"requests[{index}].", known)
        self._message, self._context = message, found.context
        return found


def batch_response(
    decided: Sequence[Outcome | pb.ItemError], instead: Mapping[bytes, Outcome]
) -> pb.BatchDecideResponse:
    """Build the reply; `instead` has, by decision id, the outcomes of what could not be recorded."""
    response = pb.BatchDecideResponse()
    for one in decided:
        if isinstance(one, pb.ItemError):
            response.results.add(error=one)
        else:
            final = instead.get(one.decision_id, one) if instead and one.decision_id else one
            response.results.add(response=decide_response(final))
    return response
