"""Server reflection within a share of the pool: each open stream holds a thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from offer_optimizer.api.admission import Share
from offer_optimizer.api.refusals import ShareBusy


class ReflectionServicer(reflection_pb2_grpc.ServerReflectionServicer):
    """Answers as the library's servicer does, and refuses streams over its share."""

    def __init__(self, service_names: tuple[str, ...], share: Share) -> None:
        self._library = reflection.ReflectionServicer(service_names)
        self._share = share

    def ServerReflectionInfo(
        self,
        request_iterator: Iterable[reflection_pb2.ServerReflectionRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[reflection_pb2.ServerReflectionResponse]:
        """Serve ServerReflectionInfo."""
        try:
            self._share.take()
        except ShareBusy as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        try:
            yield from self._library.ServerReflectionInfo(request_iterator, context)
        finally:
            self._share.give_back()
