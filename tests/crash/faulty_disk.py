"""Faults of the disk under running processes: a shim that every child loads, told what to do by a file.

Only `store.disk` is shimmed. A full disk is better made by `limit_files`, which SQLite and LMDB meet as well.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterable
from pathlib import Path

from tests.conftest import REPOSITORY

STALL_S = 0.3
PERIOD_S = 1.0
"""The clock of the shim is the machine's monotonic one: stalled is the beginning of each of its seconds."""

SHIM = f'''
"""Loaded by every Python process whose PYTHONPATH begins with this folder."""
import errno, json, os, time
from offer_optimizer.store.disk import OsDisk

def fault_of(path, call):
    try:
        with open(os.environ["DISK_FAULTS"]) as file:
            for match, calls, fault in json.load(file):
                if match in path and call in calls:
                    return fault
    except (OSError, ValueError):
        return None

def path_of(target):
    return target if isinstance(target, str) else os.readlink(f"/proc/self/fd/{{target}}")

def shimmed(call, real):
    def do(*arguments, **options):
        first = arguments[-1] if call in ("open", "sync_dir") else arguments[0]
        path = path_of(arguments[1] if call in ("open", "sync_dir") else first)
        fault = fault_of(path, call)
        if fault == "stall":
            now = time.monotonic() % {PERIOD_S}
            if now < {STALL_S}:
                time.sleep({STALL_S} - now)
        elif fault == "KILL":
            try:
                os.rename(os.environ["DISK_FAULTS"], os.environ["DISK_FAULTS"] + ".fired")
            except OSError:
                return real(*arguments, **options)  # another process was first
            os.kill(os.getpid(), 9)
        elif fault is not None:
            raise OSError(getattr(errno, fault), os.strerror(getattr(errno, fault)), path)
        return real(*arguments, **options)
    return do

for call in ("write", "fdatasync", "rename", "unlink", "truncate"):
    setattr(OsDisk, call, staticmethod(shimmed(call, getattr(OsDisk, call))))
for call in ("open", "sync_dir"):
    setattr(OsDisk, call, shimmed(call, getattr(OsDisk, call)))
'''
CHANGES = ("write", "fdatasync", "rename", "unlink", "truncate", "open", "sync_dir")


class FaultyDisk:
    """Lets processes that are started with its `environment` meet faults."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(SHIM)
        self._told = folder / "faults.json"
        path = os.pathsep.join([str(folder), str(REPOSITORY / "service"), str(REPOSITORY)])
        self.environment = {"PYTHONPATH": path, "DISK_FAULTS": str(self._told)}
        self.heal()

    def fail(self, match: str, fault: str, calls: Iterable[str] = CHANGES) -> None:
        """Let calls on paths that contain `match` fail with an errno's name, or stall."""
        self._tell([(match, list(calls), fault)])

    def kill_once(self, match: str, call: str) -> None:
        """Let the first process die that comes to a call on a path that contains `match`."""
        self._told.with_suffix(".json.fired").unlink(missing_ok=True)
        self._tell([(match, [call], "KILL")])

    @property
    def has_killed(self) -> bool:
        """Whether the process of `kill_once` has died."""
        return self._told.with_suffix(".json.fired").exists()

    def heal(self) -> None:
        """Let all work again."""
        self._tell([])

    def _tell(self, faults: list[tuple[str, list[str], str]]) -> None:
        aside = self._told.with_suffix(".aside")
        aside.write_text(json.dumps(faults))
        aside.rename(self._told)


def limit_files(pids: Iterable[int], *, full: bool) -> None:
    """Let every write of processes to a file fail, as on a full disk, or let all be as before."""
    for pid in pids:
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0 if full else most, most))
