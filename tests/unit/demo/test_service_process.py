"""What the child prints is understood: where it serves, and the last words for the message when it dies."""

import io
from pathlib import Path

import pytest

from offer_optimizer.demo.service_process import LOG_LINES, ServiceFailed, ServiceProcess


def follow(text: str) -> tuple[ServiceProcess, str]:
    service = ServiceProcess(Path("unused"), "")
    log = io.StringIO()
    service._follow(io.StringIO(text), log)
    return service, log.getvalue()


def test_the_first_ready_line_names_the_target_and_everything_is_logged() -> None:
    text = "getting ready\nready 127.0.0.1:4711\nready 127.0.0.1:1\n"
    service, log = follow(text)
    assert service._ready.is_set()
    assert service._target == "127.0.0.1:4711"
    assert log == text


def test_talk_of_readiness_is_not_readiness() -> None:
    service, _ = follow("not ready 127.0.0.1:4711\nalready running\n")
    assert not service._ready.is_set()


def test_a_failure_carries_the_last_lines_only() -> None:
    service, _ = follow("".join(f"line {number}\n" for number in range(100)))
    message = service._with_log("the service ended with status 3")
    assert message.splitlines()[0] == "the service ended with status 3; its last lines:"
    assert message.splitlines()[1:] == [f"  line {number}" for number in range(100 - LOG_LINES, 100)]


def test_a_silent_death_is_said_to_be_silent() -> None:
    service, _ = follow("")
    assert service._with_log("the service ended").endswith("it printed nothing")


def test_a_service_that_was_never_started_fails_the_check() -> None:
    service, _ = follow("")
    with pytest.raises(ServiceFailed, match="never started"):
        service.check()
    assert service.stop() is None
