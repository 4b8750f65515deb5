"""Blanking what of a segment is in the ledger: frames keep their places and lengths, and hold zeros.

A living writer appends to its segment for hours, so what was drained lies there beside the ledger. Nobody
reads it again: reading begins at the offset that was committed with the rows. May run beside the writer.
"""

from __future__ import annotations

from typing import Final

from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.store.files import Files, StrPath
from offer_optimizer.store.segment_format import HEADER_HEAD, encode_frame, missing_bytes, split_frames
from offer_optimizer.store.segment_reader import read_head

_AT_ONCE: Final = 1024 * 1024


def blank(files: Files, path: StrPath, up_to: int, since: int = 0) -> int:
    """Overwrite all payloads before an offset, which was committed. Raises NotFound, StorageUnavailable.

    Returns the offset that all is blank before; give it as `since` the next time, and what lies before it is
    not read again. A crash leaves some of it; done again, it is whole. A header that is damaged stays so.
    """
    end = min(up_to, files.size(path))
    if end <= since:
        return since
    try:
        head = read_head(files, path)
    except DamagedFile:
        # Somebody gave it up: where its frames begin can't be told.
        files.overwrite(path, HEADER_HEAD.size, bytes(max(end - HEADER_HEAD.size, 0)), "segment.blank")
        return end
    offset = end if head is None else max(head.length, since)
    while head is not None and offset < end:
        data = files.read(path, offset, min(_AT_ONCE, end - offset))
        payloads, used = split_frames(data, head.seed)
        if not used:
            data = files.read(path, offset, min(max(missing_bytes(data, 0), 0) + len(data), end - offset))
            payloads, used = split_frames(data, head.seed)
        if not used:
            # Cut by a power cut before it was synced, or by an earlier blanking: it is nobody's frame.
            files.overwrite(path, offset, bytes(end - offset), "segment.blank")
            return end
        if any(payload.strip(b"\0") for payload in payloads):
            frames = b"".join(encode_frame(bytes(len(payload)), head.seed) for payload in payloads)
            files.overwrite(path, offset, frames, "segment.blank")
        offset += used
    return end
