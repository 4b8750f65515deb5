"""What figures depend on besides the code: machine, versions, and the CPU time of a process (Linux)."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path


def describe() -> dict[str, object]:
    """Return CPU model, cores this process may use, load, and the versions that matter."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    packages = ("grpcio", "protobuf", "numpy", "vowpalwabbit")
    return {
        "cpu": model,
        "core_count": len(os.sched_getaffinity(0)),
        "load_average_1min_at_start": os.getloadavg()[0],
        "system": platform.platform(),
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in packages},
    }


def cpu_seconds(pid: int) -> float:
    """Return user and system time that a process has used, all of its threads."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def usable() -> list[int]:
    """Return the cores that this process may use, ascending."""
    return sorted(os.sched_getaffinity(0))


def pin(pid: int, cores: set[int]) -> None:
    """Keep every thread of a process on these cores; threads it starts later inherit them."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            os.sched_setaffinity(int(task.name), cores)
        except ProcessLookupError:
            continue  # the thread has ended meanwhile


def children(pid: int) -> dict[int, str]:
    """Return the process's children and their command lines."""
    found: dict[int, str] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="utf-8").split():
            line = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found[int(child)] = line
    return found
