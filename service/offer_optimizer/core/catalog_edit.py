"""Changes a catalog document that people own, and leaves every other character as it is.

Lines are inserted behind the last line that a list has content in, so comments keep their neighbours. Entries
are written with JSON scalars, which are YAML. Expects a document that `parse_catalog` takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from offer_optimizer.core.catalog import OfferStatus, Reward
from offer_optimizer.core.errors import InvalidInput, NotFound
from offer_optimizer.core.features import show
from offer_optimizer.core.yaml_tree import BYTE_ORDER_MARK, Entries, Items, Scalar, read_tree

Part = Mapping[str, object]


def insert_parts(document: str, parts: Mapping[str, Sequence[Part]]) -> str:
    """Return the document with `parts[key]` added to the list at `key`, which is made where it is missing.

    Raises InvalidInput for a value that JSON can't hold.
    """
    for key, entries in parts.items():
        if entries:
            document = _insert(document, key, entries)
    return document


def set_offer_status(document: str, offer_id: str, status: str) -> str:
    """Return the document with the status of one offer changed, or written where it was left out.

    Raises NotFound for an offer that the document doesn't have, InvalidInput for a status that isn't one.
    """
    if status not in [*OfferStatus]:
        raise InvalidInput("status", f"must be one of {', '.join(OfferStatus)} (is {show(status)})")
    offer = _find(document, "offers", offer_id)
    written = offer.nodes["status"][1] if "status" in offer.nodes else None
    if isinstance(written, Scalar):
        return document if written.text == status else _replace(document, written, status)
    if offer.flow:
        # In a JSON document, JSON.
        is_json = document[offer.offset + 1 + document.startswith(BYTE_ORDER_MARK) :].lstrip().startswith('"')
        entry = f'"status": "{status}", ' if is_json else f"status: {status}, "
        return _insert_inside(document, offer.offset, entry)
    name = offer.nodes["id"][1]
    assert isinstance(name, Scalar)
    return _insert_lines(document, name.end, [f"{' ' * offer.column}status: {status}"])


def set_reward(document: str, placement_id: str, reward: Reward) -> str:
    """Return the document with the reward of one placement changed; what already says so stays as written.

    Raises NotFound for a placement that the document doesn't have.
    """
    placement = _find(document, "placements", placement_id)
    written = placement.nodes["reward"][1] if "reward" in placement.nodes else None
    wanted = reward.model_dump()
    if not isinstance(written, Entries):
        short = {key: value for key, value in wanted.items() if value != getattr(Reward(), key)}
        return _add_entry(document, placement, "reward", short)
    for key, value in wanted.items():
        # Each change moves what stands behind it.
        found = _find(document, "placements", placement_id).nodes["reward"][1]
        assert isinstance(found, Entries)
        scalar = found.nodes[key][1] if key in found.nodes else None
        if isinstance(scalar, Scalar) and scalar.resolve() != value:
            document = _rewrite(document, scalar, _json(value))
        elif scalar is None and value != getattr(Reward(), key):
            document = _add_entry(document, found, key, value)
    return document


def _add_entry(document: str, entries: Entries, key: str, value: object) -> str:
    """Insert an entry into a mapping: in front of all where it is in brackets, else behind the first."""
    if entries.flow:
        is_json = (
            document[entries.offset + 1 + document.startswith(BYTE_ORDER_MARK) :].lstrip().startswith('"')
        )
        name = _json(key) if is_json else key
        return _insert_inside(document, entries.offset, f"{name}: {_json(value)}, ")
    _, first = next(iter(entries.nodes.values()))
    return _insert_lines(document, first.end, [f"{' ' * entries.column}{key}: {_json(value)}"])


def _find(document: str, key: str, part_id: str) -> Entries:
    """Return the offer or placement of an id. Raises NotFound."""
    root = read_tree(document).root
    assert isinstance(root, Entries)
    parts = root.nodes[key][1] if key in root.nodes else None
    for part in parts.nodes if isinstance(parts, Items) else ():
        name = part.nodes["id"][1] if isinstance(part, Entries) and "id" in part.nodes else None
        if isinstance(part, Entries) and isinstance(name, Scalar) and name.text == part_id:
            return part
    raise NotFound(f"{key.removesuffix('s')} {show(part_id)} is not in the catalog")


def _rewrite(document: str, value: Scalar, text: str) -> str:
    """Write a value anew, as YAML that is also JSON."""
    skipped = int(document.startswith(BYTE_ORDER_MARK))
    start, end = value.offset + skipped, value.offset_end + skipped
    written = document[start:end]
    return document[:start] + text + written[len(written.rstrip()) :] + document[end:]


def _replace(document: str, value: Scalar, text: str) -> str:
    skipped = int(document.startswith(BYTE_ORDER_MARK))
    start, end = value.offset + skipped, value.offset_end + skipped
    # A block text (`|`) takes the end of its last line along.
    written = document[start:end]
    quotes = written[0] if written[0] in "\"'" else ""
    return document[:start] + quotes + text + quotes + written[len(written.rstrip()) :] + document[end:]


def _insert(document: str, key: str, entries: Sequence[Part]) -> str:
    root = read_tree(document).root
    assert isinstance(root, Entries)
    found = root.nodes[key][1] if key in root.nodes else None
    if isinstance(found, Items) and not found.flow:
        return _insert_lines(document, found.end, _block(entries, found.column))
    if isinstance(found, Items):
        inside = ", ".join(_json(entry) for entry in entries)
        return _insert_inside(document, found.offset, inside + (", " if found.nodes else ""))
    if root.flow:
        return _insert_inside(document, root.offset, f"{_json(key)}: {_json(list(entries))}, ")
    lines = [" " * root.column + f"{key}:", *_block(entries, root.column + 2)]
    return _insert_lines(document, root.end, lines)


def _insert_inside(document: str, offset: int, text: str) -> str:
    """Insert behind the bracket at `offset`, which counts from behind a byte order mark."""
    at = offset + 1 + document.startswith(BYTE_ORDER_MARK)
    return document[:at] + text + document[at:]


def _insert_lines(document: str, after: int, lines: Sequence[str]) -> str:
    """Insert lines behind the first `after` lines, with the document's own line ends."""
    line_end = "\r\n" if "\r\n" in document else "\n"
    kept = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", document)
    head = "".join(kept[:after])
    if head and not head.endswith(("\n", "\r")):
        head += line_end
    return head + "".join(line + line_end for line in lines) + "".join(kept[after:])


def _block(entries: Sequence[Part], column: int) -> list[str]:
    lines = []
    for entry in entries:
        for position, (key, value) in enumerate(entry.items()):
            lead = "- " if position == 0 else "  "
            lines.append(f"{' ' * column}{lead}{key}: {_json(value)}")
    return lines


def _json(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput("catalog", f"can't be written: {error}") from None
    # What JSON leaves as it is and YAML wants escaped.
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text)
