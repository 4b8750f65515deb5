"""The verifier: a child process that loads saved models before any decider does.

A state that crashes the native library takes this child down and nothing else. Frames on its pipes are
u32 length, JSON; states lie in a file in memory that both have open: through a pipe one of 5 MB takes 80
turns of both processes. Run as `python -m offer_optimizer.learn.verifier FILE_DESCRIPTOR`.
"""

from __future__ import annotations

import json
import os
import resource
import select
import struct
import subprocess
import sys
import tempfile
from typing import IO, Any, Final

import numpy as np

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import OfferOptimizerError, PolicyFault
from offer_optimizer.core.features import Features
from offer_optimizer.learn.publish import CANARY_CONTEXT
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.epoch import parse_description
from offer_optimizer.store.codec import Epoch

TIMEOUT_S: Final = 20.0
_MEMORY_LIMIT: Final = 4 * 1024**3


class ChildVerifier:
    """Talks to a verifier child; starts it when needed, again after it died."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._shared = _anonymous_file()

    def canary_pmf(self, epoch: Epoch, state: bytes, actions: tuple[Action, ...]) -> Pmf64:
        """Return the pmf that the loaded state answers in the child. Raises PolicyFault."""
        head = {
            "size": len(state),
            "description": epoch.description,
            "actions": [action_as_plain(action) for action in actions],
        }
        child = self._running()
        try:
            if child.stdin is None or child.stdout is None:
                raise PolicyFault("the verifier has no pipes")
            self._share(state)
            _write_frame(child.stdin, json.dumps(head).encode())
            child.stdin.flush()
            ready, _, _ = select.select([child.stdout], [], [], TIMEOUT_S)
            if not ready:
                raise PolicyFault(f"the verifier did not answer in {TIMEOUT_S:g} s")
            answer = json.loads(_read_frame(child.stdout))
        except (OSError, EOFError, PolicyFault) as error:
            self.close()
            reason = str(error) or "the verifier died"
            raise PolicyFault(f"the saved model could not be verified: {reason}") from error
        if "error" in answer:
            raise PolicyFault(f"the saved model does not load: {answer['error']}")
        return np.array(answer["pmf"], dtype=np.float64)

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _share(self, state: bytes) -> None:
        """Put a state where the child reads it. Raises OSError."""
        self._shared.seek(0)
        self._shared.truncate()
        self._shared.write(state)
        self._shared.flush()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            shared = self._shared.fileno()
            self._child = subprocess.Popen(
                [sys.executable, "-m", "offer_optimizer.learn.verifier", str(shared)],
                pass_fds=[shared],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=-1,
            )
        return self._child


def main() -> None:
    """Answer frames until the parent closes the pipe."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    shared = int(sys.argv[1])
    os.dup2(2, 1)  # whatever a library prints must not mix with the frames
    while True:
        try:
            head = json.loads(_read_frame(sys.stdin.buffer))
            state = _read_state(shared, head["size"])
        except EOFError:
            return
        try:
            answer: dict[str, object] = {"pmf": _ask(head, state).tolist()}
        except (OfferOptimizerError, RuntimeError, ValueError) as error:
            answer = {"error": str(error)}
        _write_frame(answers, json.dumps(answer).encode())
        answers.flush()


def _ask(head: dict[str, object], state: bytes) -> Pmf64:
    name, options, baseline = parse_description(str(head["description"]))
    raw_actions = head["actions"]
    if not isinstance(raw_actions, list):
        raise TypeError("actions is not a list")
    actions = tuple(action_from_plain(*parts) for parts in raw_actions)
    policy = registry.load(name, options, baseline, state)
    try:
        return policy.pmf(CANARY_CONTEXT, actions)
    finally:
        policy.close()


def action_as_plain(action: Action) -> list[Any]:
    """Return an action as plain JSON values: all that its key is made of."""
    features = action.attributes
    return [action.id, action.like, action.expected, features.categories, features.numbers, features.tags]


def action_from_plain(
    id: str,  # noqa: A002  (the field's name)
    like: str,
    expected: float | None,
    *attributes: Any,  # noqa: ANN401  (JSON)
) -> Action:
    """Return the action that `action_as_plain` was given."""
    return Action(id, _features(*attributes), like, expected)


def _features(
    categories: list[list[str]], numbers: list[tuple[str, float]], tags: list[tuple[str, list[str]]]
) -> Features:
    return Features(
        tuple((name, value) for name, value in categories),
        tuple((name, value) for name, value in numbers),
        tuple((name, tuple(values)) for name, values in tags),
    )


def _anonymous_file() -> IO[bytes]:
    """Return a file without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("offer-optimizer-model"), "w+b")
    return tempfile.TemporaryFile()


def _read_state(shared: int, size: int) -> bytes:
    parts: list[bytes] = []
    place = 0
    while place < size:
        part = os.pread(shared, size - place, place)
        if not part:
            raise EOFError("the state is cut short")
        parts.append(part)
        place += len(part)
    return b"".join(parts)


def _write_frame(stream: IO[bytes], data: bytes) -> None:
    stream.write(struct.pack("<I", len(data)) + data)


def _read_frame(stream: IO[bytes]) -> bytes:
    (length,) = struct.unpack("<I", _read_exactly(stream, 4))
    return _read_exactly(stream, length)


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("the pipe was closed")
    return data


if __name__ == "__main__":
    main()
