"""What is logged when the log itself can't be written."""

from __future__ import annotations

import errno
import io

from offer_optimizer.app.logs import DroppingLogger


class FullStream(io.StringIO):
    """Refuses lines while it is full."""

    is_full = False

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "no space left")
        return super().write(text)


def test_a_line_that_the_disk_does_not_take_is_dropped_and_the_next_one_is_written() -> None:
    stream = FullStream()
    logger = DroppingLogger(stream)
    logger.error("one")
    stream.is_full = True
    logger.error("two")
    stream.is_full = False
    logger.info("three")
    assert stream.getvalue() == "one\nthree\n"
