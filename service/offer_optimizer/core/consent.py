"""What a visitor agreed to. Apart from decisions, so that a client need not load numpy to say it."""

from __future__ import annotations

from enum import IntEnum


class Consent(IntEnum):
    """What a visitor agreed to. Numbers are stored: never change one."""

    UNSPECIFIED = 0
    NONE = 1
    SERVE_ONLY = 2
    FULL = 3
