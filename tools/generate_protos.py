"""Generate the Python code of every .proto file into service/, or check that what is committed is that code.

The public messages get gRPC stubs, the stored ones none. `--check` generates aside, compares both ways and
names every file that differs, is missing or has no .proto any more.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "service"


def main(arguments: list[str]) -> int:
    """Generate, or with `--check` compare; return the exit status."""
    if arguments == ["--check"]:
        return check()
    if arguments:
        sys.stderr.write("usage: generate_protos.py [--check]\n")
        return 2
    return generate(TARGET)


def generate(target: Path) -> int:
    """Run protoc over proto/ and return its exit status."""
    bundled = Path(grpc_tools.__file__).parent / "_proto"
    sources = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
    public = [source for source in sources if "/ledger/" not in source]
    includes = [f"-I{ROOT / 'proto'}", f"-I{bundled}"]
    outputs = [f"--python_out={target}", f"--pyi_out={target}"]
    status: int = protoc.main(["protoc", *includes, *outputs, *sources])
    return status or int(protoc.main(["protoc", *includes, f"--grpc_python_out={target}", *public]))


def check() -> int:
    """Return 0 when the committed code is what proto/ generates, else 1 after naming the differences."""
    with tempfile.TemporaryDirectory() as directory:
        status = generate(Path(directory))
        if status:
            return status
        fresh, committed = read_generated(Path(directory)), read_generated(TARGET)
    differing = sorted(
        path for path in fresh.keys() | committed.keys() if fresh.get(path) != committed.get(path)
    )
    for path in differing:
        sys.stderr.write(f"service/{path}: not what proto/ generates; run `make proto`\n")
    if not differing:
        sys.stdout.write(f"{len(fresh)} generated files are what proto/ generates\n")
    return 1 if differing else 0


def read_generated(root: Path) -> dict[str, bytes]:
    """Return the content of every generated file below `root`, by relative path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for pattern in ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")
        for path in root.rglob(pattern)
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
