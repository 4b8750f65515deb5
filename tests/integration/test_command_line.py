"""The command line as a process, and the health probe against a server on loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from offer_optimizer.cli.health import probe


@pytest.fixture
def health_server() -> Iterator[tuple[str, HealthServicer]]:
    servicer = HealthServicer()
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", servicer
    server.stop(0)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "offer_optimizer", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_probe_tells_ready_from_not_ready(health_server: tuple[str, HealthServicer]) -> None:
    target, servicer = health_server
    assert probe(target, "", 5.0) == (True, f"{target}: SERVING")
    servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert probe(target, "", 5.0) == (False, f"{target}: NOT_SERVING")
    assert probe(target, "no.such.Service", 5.0) == (False, f"{target}: knows no service 'no.such.Service'")


@pytest.mark.timeout(15)
def test_the_probe_gives_up_in_time_where_nothing_listens(free_port: Callable[[], int]) -> None:
    target = f"127.0.0.1:{free_port()}"
    assert probe(target, "", 0.2) == (False, f"{target}: no answer within 0.2 s")


def test_the_health_command_is_a_process_with_a_status(
    health_server: tuple[str, HealthServicer], free_port: Callable[[], int]
) -> None:
    target, _ = health_server
    ready = run("health", "--target", target)
    assert (ready.returncode, ready.stdout) == (0, f"{target}: SERVING\n")
    dead = run("health", "--target", f"127.0.0.1:{free_port()}", "--timeout", "0.2")
    assert (dead.returncode, dead.stdout) == (1, "")
    assert "no answer" in dead.stderr


def test_root_help_loads_neither_grpc_nor_a_policy() -> None:
    code = (
        "import sys; sys.argv = ['offer-optimizer', '--help']\n"
        "from offer_optimizer.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as stopped: assert stopped.code == 0\n"
        "heavy = {'grpc', 'matplotlib', 'numpy', 'pydantic', 'vowpalwabbit'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
