"""What differs between two catalogs, as lines for people: in the order of the new document, removals last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from offer_optimizer.core.catalog import Catalog, Kind, Offer, Placement
from offer_optimizer.core.features import Features
from offer_optimizer.core.yaml_tree import quote

Part = Kind | Offer | Placement
_SHOWN_CHARACTERS = 60


def diff_catalogs(old: Catalog | None, new: Catalog) -> tuple[str, ...]:
    """Return one line per difference; none when both catalogs mean the same. No old one: all is added."""
    before = old or Catalog(offers=(), placements=())
    return (
        *_diff_parts("kind", before.kinds, new.kinds),
        *_diff_parts("offer", before.offers, new.offers),
        *_diff_parts("placement", before.placements, new.placements),
    )


def _diff_parts(word: str, old: Sequence[Part], new: Sequence[Part]) -> Iterator[str]:
    before = {part.id: part for part in old}
    after = {part.id: part for part in new}
    for part in new:
        if part.id not in before:
            yield f"{word} {part.id}: added"
        else:
            yield from (f"{word} {part.id}: {line}" for line in _diff_part(before[part.id], part))
    yield from (f"{word} {part.id}: removed" for part in old if part.id not in after)
    if [part.id for part in old if part.id in after] != [part.id for part in new if part.id in before]:
        yield f"{word}s: order changed"


def _diff_part(old: Part, new: Part) -> Iterator[str]:
    for name in type(new).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if name == "policy":
            if before.name != after.name:
                yield f"policy {before.name} -> {after.name}"
            yield from _diff_named("policy option", before.options, after.options)
        elif before == after:
            continue
        elif name == "attributes":
            yield from _diff_named("attribute", _flat(before), _flat(after))
        elif name == "reward":
            yield from _diff_named("reward", before.model_dump(), after.model_dump())
        elif isinstance(before, tuple):
            yield f"{name} {_list_change(before, after)}"
        elif name == "window_s":
            yield f"window {_duration(before)} -> {_duration(after)}"
        else:
            yield f"{name} {_show(before)} -> {_show(after)}"


def _flat(features: Features) -> dict[str, object]:
    return {**dict(features.categories), **dict(features.numbers), **dict(features.tags)}


def _diff_named(word: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        label = f"{word} {_show(name)}"
        if name not in old:
            yield f"{label} added: {_show(new[name])}"
        elif name not in new:
            yield f"{label} removed"
        # 1 and true are equal to Python, and are not the same option.
        elif old[name] != new[name] or _show(old[name]) != _show(new[name]):
            yield f"{label} {_show(old[name])} -> {_show(new[name])}"


def _list_change(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    added = [f"+{entry}" for entry in new if entry not in old]
    removed = [f"-{entry}" for entry in old if entry not in new]
    return " ".join((*added, *removed)) or f"order {', '.join(old)} -> {', '.join(new)}"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _show(value: object) -> str:
    """Return a value on one line and short: plain words as they are, other text in quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return str(value) if value.isprintable() and 0 < len(value) <= _SHOWN_CHARACTERS else quote(value)
    if isinstance(value, int | float):
        return repr(value).removesuffix(".0")
    if isinstance(value, tuple):
        return "[" + ", ".join(_show(entry) for entry in value) + "]"
    return quote(str(value))
