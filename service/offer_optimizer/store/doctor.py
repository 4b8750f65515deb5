"""Looks at every file of a data directory, beside a running server or without one, and changes none.

What always holds: each finding says what was looked at, what it is like and what to do; one damaged file
hides no other. What SQLite and protobuf can't see, a bit changed within a value, is found by deriving all
of it again: `rebuild --check`. It may not know what is learned from what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from offer_optimizer.core.errors import DamagedFile, NotFound, StorageUnavailable
from offer_optimizer.store.base_file import BaseFile, BaseStore
from offer_optimizer.store.catalog_file import read_revision_file
from offer_optimizer.store.doctor_ledger import base_named_now, last_position_now, look_at_ledger
from offer_optimizer.store.files import Files
from offer_optimizer.store.findings import BACKUP, Finding, damaged, note, sound
from offer_optimizer.store.hot_lock import look_at_lock
from offer_optimizer.store.hot_trial import survives
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.salts import read_salts
from offer_optimizer.store.salvage import find_damage, given_up
from offer_optimizer.store.segment_reader import SegmentFile, list_segments, read_head, writer_is_dead
from offer_optimizer.store.snapshots import SnapshotStore, order_of


def examine(files: Files, directory: DataDirectory, boot_id: str) -> Iterator[Finding]:
    """Yield what there is to say about a data directory. Raises CannotStart for one that is none of ours."""
    yield _format(files, directory)
    yield from _secrets(files, directory)
    yield from _catalog(files, directory)
    last_position, offsets, ledger_findings = look_at_ledger(directory)
    yield from ledger_findings
    yield from _segments(files, directory, offsets)
    yield from _snapshots(files, directory, last_position)
    yield from _bases(files, directory)
    yield from _hot_cache(directory, boot_id)


def _format(files: Files, directory: DataDirectory) -> Finding:
    directory.check_format(files)
    return sound(str(directory.format_path), "a data directory of this release's format")


def _secrets(files: Files, directory: DataDirectory) -> Iterator[Finding]:
    for path, read in ((directory.secret_path, Identity.load), (directory.salts_path, read_salts)):
        subject = str(path)
        try:
            read(files, path)
        except NotFound:
            if files.exists(directory.ledger_path):
                yield damaged(subject, "is missing")
        except (DamagedFile, StorageUnavailable) as error:
            yield damaged(subject, error)
        else:
            yield sound(subject, "as it was written")


def _catalog(files: Files, directory: DataDirectory) -> Iterator[Finding]:
    names = _listed(files, directory.catalog)
    whole = 0
    for name in names:
        path = directory.catalog / name
        try:
            read_revision_file(files, path)
            whole += 1
        except (DamagedFile, StorageUnavailable) as error:
            is_newest = name == names[-1]
            remedy = (
                "restart the server: it puts the revision back from the ledger"
                if is_newest
                else "none is needed: the ledger has old revisions, and no server reads this file"
            )
            yield (damaged if is_newest else note)(str(path), str(error), remedy)
    numbers = [int(name.partition(".")[0]) for name in names if name.partition(".")[0].isdecimal()]
    missing = sorted(set(range(1, max(numbers, default=0))) - set(numbers))
    text = f"{whole} of {len(names)} revisions are as they were written"
    if missing:
        text += f"; not there: {', '.join(map(str, missing[:5]))}"
    yield (note if missing or not names else sound)(str(directory.catalog), text)


def _segments(files: Files, directory: DataDirectory, offsets: dict[str, int]) -> Iterator[Finding]:
    try:
        segments = list_segments(files, directory.segments)
    except NotFound:
        segments = []
    for segment in segments:
        try:
            yield _segment(files, directory, segment, offsets.get(str(segment.name), 0))
        except NotFound:
            continue  # drained and removed meanwhile
        except StorageUnavailable as error:
            yield damaged(segment.path, error, "look at the disk")
    if not segments:
        yield sound(str(directory.segments), "no segments: all is in the ledger")


def _segment(files: Files, directory: DataDirectory, segment: SegmentFile, offset: int) -> Finding:
    size = files.size(segment.path)
    if offset >= size > 0 and _head_name(files, segment) is not None:
        return sound(segment.path, f"{size:,} bytes, all in the ledger")
    damage, waiting = find_damage(files, segment.path, offset)
    allowed = given_up(files, segment.path)
    new = [found for found in damage if found[0] not in allowed]
    is_dead = writer_is_dead(files, segment.path)
    text = f"{waiting} records wait, from offset {offset}; its writer is {'gone' if is_dead else 'alive'}"
    if new:
        where = ", ".join(f"{start} to {end}" for start, end in new[:5])
        return damaged(
            segment.path,
            f"damaged at {where} of {size:,} bytes; {text}; the learner stops there",
            f"{BACKUP}, or give up what lies in the damage and keep the rest: "
            f"`offer-optimizer salvage --data {directory.path} {segment.name}`",
        )
    if damage:
        return note(segment.path, f"{text}; damage that was given up is passed over")
    return sound(segment.path, text)


def _head_name(files: Files, segment: SegmentFile) -> object:
    try:
        return read_head(files, segment.path)
    except DamagedFile:
        return None


def _snapshots(files: Files, directory: DataDirectory, last_position: int | None) -> Iterator[Finding]:
    store = SnapshotStore(files, directory.snapshots)
    whole = 0
    for placement_id in store.placements():
        current = {store.current_name(placement_id, epoch) for epoch in store.epochs(placement_id)}
        folder = directory.snapshots / placement_id
        names = store.names(placement_id)
        for name in names:
            subject = str(folder / name)
            try:
                snapshot = store.load(placement_id, name)
            except NotFound:
                continue  # pruned meanwhile
            except (DamagedFile, StorageUnavailable) as error:
                yield _bad_snapshot(subject, error, is_current=name in current)
                continue
            own = (snapshot.policy_epoch.hex(), snapshot.placement_id, snapshot.ledger_position)
            if own != (name.partition("-")[0], placement_id, order_of(name)[0]):
                yield _bad_snapshot(
                    subject, "is another snapshot than its name says", is_current=name in current
                )
            elif _is_ahead(directory, snapshot.ledger_position, last_position):
                yield _bad_snapshot(
                    subject, "learned from another ledger than this", is_current=name in current
                )
            else:
                whole += 1
        for gone in _dangling(store, placement_id):
            yield _bad_snapshot(
                str(folder), f"a pointer names {gone[:80]!a}, which is not there", is_current=True
            )
    yield sound(str(directory.snapshots), f"{whole} snapshots are as they were written")


def _is_ahead(directory: DataDirectory, position: int, last_position: int | None) -> bool:
    """Return whether a model learned from records that the ledger has not, even now."""
    if last_position is None or position <= last_position:
        return False
    now = last_position_now(directory)
    return now is not None and position > now


def _dangling(store: SnapshotStore, placement_id: str) -> Iterator[str]:
    """Yield what pointers name that is not there; one that has moved on meanwhile is none of them."""
    for epoch in store.epochs(placement_id):
        name = store.current_name(placement_id, epoch)
        is_gone = name is not None and name not in store.names(placement_id)
        if name is not None and is_gone and store.current_name(placement_id, epoch) == name:
            yield name


def _bad_snapshot(subject: str, text: object, *, is_current: bool) -> Finding:
    if is_current:
        remedy = "restart the server: the learner passes it over and learns again behind the one before"
        return damaged(subject, text, remedy)
    return note(subject, str(text), "none is needed: no decider reads it; a rollback to it would be refused")


def _bases(files: Files, directory: DataDirectory) -> Iterator[Finding]:
    """Look at all there are, those of erasures too, and for the one that the ledger names."""
    checksums: dict[Path, bytes] = {}
    for name in _listed(files, directory.bases):
        path = directory.bases / name
        try:
            checksums[path] = BaseFile(files, path).sha256()
        except NotFound:
            continue  # another stands in its place since
        except (DamagedFile, StorageUnavailable) as error:
            checksums[path] = b""
            yield damaged(str(path), error)
        else:
            yield sound(str(path), "as it was written")
    yield from _base_in_force(files, directory, checksums)


def _base_in_force(
    files: Files, directory: DataDirectory, checksums: Mapping[Path, bytes]
) -> Iterator[Finding]:
    """Look whether the base that the ledger names is there; `checksums` has nothing for a damaged one."""
    named = base_named_now(directory)
    if named is None:
        return
    path = BaseStore(files, directory.bases).path_of(named.position, named.rewritten_at)
    if checksums.get(path) in (b"", named.sha256):
        return
    try:
        is_it = BaseFile(files, path).sha256() == named.sha256  # written since
        text = "" if is_it else "is not the base snapshot that the ledger names"
    except NotFound:
        text = "is missing, and the ledger goes on behind it"
    except (DamagedFile, StorageUnavailable) as error:
        text = str(error)
    if not text:
        yield sound(str(path), "as it was written")
    elif base_named_now(directory) == named:
        yield damaged(str(path), text)


def _hot_cache(directory: DataDirectory, boot_id: str) -> Iterator[Finding]:
    """Look at the cache: whatever is wrong with it is mended without anybody's help."""
    subject = str(directory.hot)
    found = look_at_lock(directory.hot_lock_path, boot_id)
    if found is None:
        yield note(subject, "of another boot, or none: the learner fills it from the ledger")
        return
    path = directory.hot / f"env-{boot_id.replace('-', '')[:8]}-{found.generation}"
    if found.is_doubted or not found.generation or not path.is_dir():
        yield note(subject, "is not whole: the learner fills it from the ledger")
    elif survives(path):
        yield sound(subject, f"generation {found.generation} of this boot can be read")
    else:
        yield note(subject, "can't be read", "restart the server: it is filled from the ledger")


def _listed(files: Files, path: Path) -> list[str]:
    try:
        return files.list(path)
    except NotFound:
        return []
