"""What has broken services like ours: texts, numbers and times, from docs/vw-facts.md and beyond.

Only values that protobuf can carry; bytes that it can't are `mutations`'.
"""

from __future__ import annotations

import math
import sys
from typing import Final

from offer_optimizer.core import limits

INJECTIONS: Final = (
    # New lines of an example: an extra offer, or a label that is learned.
    "x\n0:-1:1 |a", "\n", "\n\n", "a\r\nb", "shared |", "\nshared | x:1", "0:-1000000:0.000001 |",
    "x\x0by", "x\x0cy",
    # Namespaces, weights, tags and importance in Vowpal Wabbit's text format.
    "|", "||", "a|b", "a:b", "a:1e38", ":", "::", "a b", " ", "\t", "'tag", "1:0:0.5 |b", "|U user:inf",
    "^a", "a^b",
    "%", "%0A", "%7C%3A", "%%", "\\n", "\\x7c", "_", "__",
    # Its JSON formats: labels inside of a context.
    "_label", "_label_Action", "_multi", "_multi: []", "_text", "_tag", '"', '{"_label_cost":-1}', "}",
    "[", "_a", "_p",
    # Read as an index, as a number, or as nothing.
    "0", "1", "-1", "123", "00123", "4294967296", "18446744073709551616", "1e309", "nan", "inf", "-inf",
    "NaN", "None",
    "null", "true", "0x10", "1_000", "٣", "½",
    # Control characters and what `str.splitlines` or `isspace` take for line ends and spaces.
    "\0", "a\0b", "\x1c", "\x1d", "\x1e", "\x7f", "\x85", "a\u0085b", "\u2028", "\u2029", "\u00a0",
    "\u3000", "\ufeff",
    "\u200b", "\u202e", "\ufffd", "\ufffe", "\U0010ffff", "e\u0301", "é", "ß", "ﬀ", "İ", "💥", "👩‍👩‍👧",
    # Rules, documents, shells, logs, paths, databases, templates.
    "category.device", "__class__", "__proto__", "constructor", "number.x > 1.0", '"] == "',
    "!!python/object:os.system",
    "&a [*a]", "{{7*7}}", "${jndi:ldap://x}", "$(id)", "`id`", "; rm -rf /", "../../etc/passwd", "/",
    "\\", "'; DROP--",
    "<script>", "%s%s%n", "{0}", "{error_id}", "\x1b[31m", "[bold]x[/bold]",
    # Ours: reserved words of rules and results.
    "nothing", "shown", "canary", "visitor", "offer", "count.click", "sum", "const", "*",
)  # fmt: skip

SIZES: Final = (
    "",
    "a" * limits.NAME_BYTES,
    "a" * (limits.NAME_BYTES + 1),
    "é" * (limits.NAME_BYTES // 2),
    "é" * (limits.NAME_BYTES // 2) + "a",
    "💥" * (limits.NAME_BYTES // 4),
    "💥" * (limits.NAME_BYTES // 4) + "a",
    "\n" * limits.NAME_BYTES,
    "|" * (limits.NAME_BYTES + 1),
    "%" * 5000,
)

TEXTS: Final = (*INJECTIONS, *SIZES)

POISON: Final = (
    math.nan, -math.nan, math.inf, -math.inf, 1e38, -1e38, 3.5e38, 1e39, sys.float_info.max,
    -sys.float_info.max, 1e100,
    math.nextafter(limits.NUMBER_MAGNITUDE, math.inf), -math.nextafter(limits.NUMBER_MAGNITUDE, math.inf),
)  # fmt: skip
"""Numbers that no field takes."""

EXTREME: Final = (
    limits.NUMBER_MAGNITUDE, -limits.NUMBER_MAGNITUDE, 0.0, -0.0, 5e-324, -5e-324,
    sys.float_info.min, 1e-45, 1e-40,
    -1.07e-113, 1e-300, 1e-9, 123456789.123456789, 2.0**24 + 1, 2.0**29, -1.0, 1.0, 0.1, 1 / 3, 1e8,
    999_999_999.999,
)  # fmt: skip
"""Numbers that are legal, and have been read as NaN, as infinity or as another number somewhere."""

NUMBERS: Final = (*POISON, *EXTREME)

SECONDS: Final = (
    0, 1, -1, 1_790_000_000, 1_790_000_001, 253_402_300_799, 253_402_300_800, -62_135_596_800,
    -62_135_596_801,
    2**31, 2**33, 2**53, 2**63 - 1, -(2**63),
)  # fmt: skip
NANOS: Final = (0, 1, 999, 999_999_999, 1_000_000_000, -1, 2**31 - 1, -(2**31))

INTEGERS: Final = (0, 1, 2, 3, 7, 127, 128, 255, 256, 2**31 - 1, -1, -(2**31))

DOCUMENTS: Final = (
    "", "\0", "1", "true", '"x"', "[]", "{}", "---\n---", "offers: [", "&a [*a]", "a: &a [*a, *a]",
    "!!python/object:os.system ls",
    "offers: [{id: a, type: MESSAGE}]\nplacements: [{id: p, offers: [a, a]}]",
    "offers: [{id: a, type: MESSAGE, eligible: 'true'}]\nplacements: [{id: p, offers: [b]}]",
    "offers: [{id: a, type: MESSAGE, eligible: 'number.x'}]\nplacements: [{id: p, offers: [a]}]",
    "offers: [{id: a, type: MESSAGE, eligible: '" + "(" * 900 + "true" + ")" * 900 + "'}]\nplacements: []",
    "offers: [{id: a, type: MESSAGE, attributes: {cost: .inf}}]\nplacements: [{id: p, offers: [a]}]",
    "placements: [{id: p, offers: [], window: 1e400s, reward: {formula: '1.0/0.0', min: .nan, max: 1}}]",
    "placements: [{id: p, offers: [], policy: {name: vw, options: {bits: 40}}}]",
    "placements: [{id: p, offers: [], policy: {name: vw, options: {arguments: '--daemon -f /tmp/x'}}}]",
    "x: " + "[" * 2000, "x: " + "{a: " * 500, "a: b\n" * 3000, "caps: [{id: c, limit: -1}]",
    "holdout: 2", "holdout: .nan",
    "version: 99999999999999999999", "? [a]\n: b", "\t- x", "%YAML 9.9\n---\n", "<<: *x",
    "\ufeffversion: 1", "a" * 70_000,
)  # fmt: skip
"""Catalog documents that must be refused, and that have hurt parsers."""
