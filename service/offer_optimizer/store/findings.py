"""What `doctor` says of one file, or of one group of files."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

BACKUP: Final = "stop the server and restore the file from a backup"


class Verdict(Enum):
    """How a file is. What is only noted mends itself."""

    SOUND = "sound"
    NOTE = "note"
    DAMAGED = "DAMAGED"


@dataclass(frozen=True, slots=True)
class Finding:
    """How a file is, in words, and what to do where something is to be done."""

    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""


def sound(subject: str, text: str) -> Finding:
    """Say that all is well."""
    return Finding(subject, Verdict.SOUND, text)


def note(subject: str, text: str, remedy: str = "") -> Finding:
    """Say what is not as it should be and mends itself."""
    return Finding(subject, Verdict.NOTE, text, remedy)


def damaged(subject: str, text: object, remedy: str = BACKUP) -> Finding:
    """Say what is not as it was written; an error's text without the subject that it begins with."""
    return Finding(subject, Verdict.DAMAGED, str(text).removeprefix(f"{subject}: "), remedy)
