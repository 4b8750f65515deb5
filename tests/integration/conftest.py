"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from offer_optimizer.api.server import ServerOptions
from tests.integration.served_edge import Service


@pytest.fixture
def service() -> Iterator[Service]:
    served = Service(ServerOptions())
    yield served
    served.channel.close()
    served.edge.server.stop(0).wait()
