"""How a process of its own answers one question: nice to deciders, bounded in memory, without a core dump.

The question comes as JSON on standard input, the answer goes as JSON to standard output.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from offer_optimizer.core.errors import OfferOptimizerError, UnknownPlacement
from offer_optimizer.evaluate.errors import system_cause

_NICENESS: Final = 10
Values = dict[str, Any]


def answer_one(find: Callable[[Values], Mapping[str, Any]], memory_bytes: int) -> None:
    """Answer one question by `find`, in at most so much memory."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICENESS)
    json.dump(answer(find, json.load(sys.stdin)), sys.stdout)


def answer(find: Callable[[Values], Mapping[str, Any]], question: Values) -> Values:
    """Return {"report": ...}, {"unknown_placement": why} or {"error": why}."""
    try:
        return {"report": find(question)}
    except UnknownPlacement as error:
        return {"unknown_placement": error.problem}
    except (OfferOptimizerError, sqlite3.Error) as error:
        cause = system_cause(error)
        return {"error": f"{error} ({cause})" if cause else str(error)}
