"""How numpy policies keep their state: a line, a JSON header, then arrays as they lie in memory.

    offer-optimizer POLICY VERSION | length of the header, 8 bytes | header | arrays, float64, little-endian

Always holds: equal states give equal bytes; a state cut short, too long, of another policy, version or
options, or with a number that is not finite is refused; no refusal quotes more of it than its title, since
what follows has words of contexts in it and refusals are logged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeAlias

import numpy as np

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.policy.ridge import Matrix

State: TypeAlias = bytes | memoryview
Unpacked: TypeAlias = tuple[dict[str, Any], dict[str, Matrix]]

_LENGTH_BYTES: Final = 8
_TITLE_MOST: Final = 1000


def pack(title: str, values: Mapping[str, Any], arrays: Mapping[str, Matrix]) -> bytes:
    """Return a state as bytes. Raises PolicyFault where a number is not finite."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise PolicyFault(f"save: {name} is not finite")
    shapes = [[name, list(array.shape)] for name, array in arrays.items()]
    try:
        header = json.dumps({"values": values, "arrays": shapes}, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise PolicyFault(f"save: a number is not finite: {error}") from error
    start = title.encode() + b"\n" + len(header).to_bytes(_LENGTH_BYTES, "little") + header.encode()
    return b"".join((start, *(np.ascontiguousarray(array, dtype="<f8").data for array in arrays.values())))


def unpack(title: str, state: State, left_out: AbstractSet[str] = frozenset()) -> Unpacked:
    """Return values and arrays of a state that `pack` made under the same title. Raises PolicyFault.

    Arrays in `left_out` are neither looked at nor returned.
    """
    header, data = _header(title, state)
    try:
        values: dict[str, Any] = header["values"]
        shapes = [(str(name), tuple(int(size) for size in shape)) for name, shape in header["arrays"]]
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyFault(f"load: the header is damaged: {type(error).__name__}") from error
    return values, _arrays(shapes, data, left_out)


def pack_parts(title: str, values: Mapping[str, Any], parts: Mapping[str, bytes]) -> bytes:
    """Return values and the states of other policies, by name, as one state."""
    sizes = [[name, len(part)] for name, part in parts.items()]
    header = json.dumps({"values": values, "parts": sizes}, separators=(",", ":"), allow_nan=False)
    start = title.encode() + b"\n" + len(header).to_bytes(_LENGTH_BYTES, "little") + header.encode()
    return b"".join((start, *parts.values()))


def unpack_parts(title: str, state: State) -> tuple[dict[str, Any], dict[str, memoryview]]:
    """Return values and states that `pack_parts` made under the same title. Raises PolicyFault.

    The states are views: one may have megabytes, and a decider loads them while pages wait.
    """
    header, data = _header(title, state)
    try:
        values: dict[str, Any] = header["values"]
        sizes = [(str(name), int(size)) for name, size in header["parts"]]
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyFault(f"load: the header is damaged: {type(error).__name__}") from error
    expected = sum(size for _, size in sizes)
    if expected != len(data) or any(size < 0 for _, size in sizes):
        raise PolicyFault(f"load: {len(data)} bytes of parts, expected {expected}")
    parts: dict[str, memoryview] = {}
    place = 0
    for name, size in sizes:
        parts[name] = data[place : place + size]
        place += size
    return values, parts


def title_of(state: State) -> bytes:
    """Return the first line of a state, the one part of it that may be quoted; empty where it has none."""
    line, newline, _ = bytes(memoryview(state)[:_TITLE_MOST]).partition(b"\n")
    return line if newline else b""


def _header(title: str, state: State) -> tuple[dict[str, Any], memoryview]:
    """Return the header of a state and what follows it. Raises PolicyFault."""
    line = title.encode() + b"\n"
    view = memoryview(state)
    if view[: len(line)] != line:
        raise PolicyFault(f"load: the state is titled {title_of(view)!r}, expected {title!r}")
    rest = view[len(line) :]
    length = int.from_bytes(rest[:_LENGTH_BYTES], "little")
    body = rest[_LENGTH_BYTES:]
    if len(rest) < _LENGTH_BYTES or length > len(body):
        raise PolicyFault(f"load: a header of {length} bytes in a state of {len(state)}")
    try:
        header = json.loads(bytes(body[:length]))
    except ValueError as error:
        raise PolicyFault(f"load: the header is damaged: {type(error).__name__}") from error
    if not isinstance(header, dict):
        raise PolicyFault("load: the header is damaged: not a mapping")
    return header, body[length:]


def _arrays(
    shapes: list[tuple[str, tuple[int, ...]]], data: memoryview, left_out: AbstractSet[str]
) -> dict[str, Matrix]:
    expected = sum(8 * math.prod(shape) for _, shape in shapes)
    if expected != len(data) or any(size < 0 for _, shape in shapes for size in shape):
        raise PolicyFault(f"load: {len(data)} bytes of arrays, expected {expected}")
    arrays: dict[str, Matrix] = {}
    place = 0
    for name, shape in shapes:
        count = math.prod(shape)
        if name not in left_out:
            array = np.frombuffer(data, "<f8", count, place).astype(np.float64).reshape(shape)
            if not np.isfinite(array).all():
                raise PolicyFault(f"load: {name} is not finite")
            arrays[name] = array
        place += 8 * count
    return arrays
