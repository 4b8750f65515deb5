"""Check what no linter sees in the files themselves, each with the line it is on.

No registry host (where packages come from is the machine's business), no path of somebody's machine, no
module over 400 lines, no name that explains nothing. Looks at what git tracks or would track.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
MODULE_LINES: Final = 400
GENERATED: Final = re.compile(r"_pb2(_grpc)?\.pyi?$")
VAGUE: Final = re.compile(r"(^|/)(utils?|helpers?|common|misc|manager|base)\.py$")
FORBIDDEN_TEXT: Final = (
    (
        "a registry host",
        re.compile(r"pythonhosted\.org|pypi\.org/(?:simple|packages)|registry\.npmjs|deb\.debian\.org"),
    ),
    ("a path of a machine", re.compile(r"(?:^|[^\w.])/(?:home|root|Users|work|opt/wheels)/")),
)


def main() -> int:
    """Print every defect; return 1 if there is one."""
    paths = list_files()
    defects = [defect for path in paths for defect in inspect_file(path, (ROOT / path).read_bytes())]
    for defect in defects:
        print(defect)
    print(f"{len(paths)} files, {len(defects)} defects")
    return 1 if defects else 0


def list_files() -> list[str]:
    """Return the paths below the root that git tracks or would track; without git, all but caches."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, check=False)
    if listing.returncode == 0:
        names = listing.stdout.decode().split("\0")
        return sorted(name for name in names if name and (ROOT / name).is_file())
    hidden = {".git", ".venv", "__pycache__"}
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return sorted(
        str(path)
        for path in found
        if not any(part in hidden or part.endswith("_cache") for part in path.parts)
    )


def inspect_file(path: str, content: bytes) -> Iterator[str]:
    """Yield a line for each defect of one file."""
    if VAGUE.search(path):
        yield f"{path}: a name that explains nothing"
    if b"\0" in content or path.endswith((".png", ".gz")):
        return
    lines = content.decode("utf-8").splitlines()
    if path.endswith(".py") and not GENERATED.search(path) and len(lines) > MODULE_LINES:
        yield f"{path}: {len(lines)} lines, at most {MODULE_LINES}: perhaps two modules"
    for number, line in enumerate(lines, start=1):
        for what, pattern in FORBIDDEN_TEXT:
            if pattern.search(line):
                yield f"{path}:{number}: {what}"


if __name__ == "__main__":
    sys.exit(main())
