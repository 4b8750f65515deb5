"""Every limit on input, in one place. Errors name them; tests try each at n and n + 1."""

from __future__ import annotations

from typing import Final

NAME_BYTES: Final = 128
"""Ids, feature names and feature values, in UTF-8 bytes."""
CONTEXT_FEATURES: Final = 200
"""Features of one context; every value of a tag set counts as one."""
OFFER_FEATURES: Final = 50
"""Attributes of one offer, counted as above."""
CANDIDATES: Final = 200
"""Offers of one decision: 5,000 took Vowpal Wabbit 23 ms warm, 200 stay under 1 ms."""
NUMBER_MAGNITUDE: Final = 1e9
"""Numbers and feedback values: above 1e38 Vowpal Wabbit returns NaN."""
MESSAGE_BYTES: Final = 256 * 1024
"""A Decide request."""
BATCH_BYTES: Final = 4 * 1024 * 1024
"""A BatchDecide or RecordFeedback request."""
DOCUMENT_BYTES: Final = 1024 * 1024
"""A catalog document."""
REASON_BYTES: Final = 1000
"""Why an operator changed something, as the ledger keeps it."""
ACTOR_BYTES: Final = 200
"""Who an operator says to be."""
BATCH_DECISIONS: Final = 500
"""Items of a BatchDecide."""
BATCH_FEEDBACK: Final = 1000
"""Items of a RecordFeedback."""
OFFERS: Final = 2000
"""Offers of a catalog."""
PLACEMENTS: Final = 200
"""Placements of a catalog."""
CAPS: Final = 100
"""Caps of a catalog."""
CAP_LIMIT: Final = 100
"""A cap's limit: the hot cache keeps so many times of events a visitor and cap."""
GATE_VISITORS_LEAST: Final = 400
"""Visitors that a gate waits for at least: with fewer an interval covers less than it says."""
SHADOW_SHARE_LEAST: Final = 1.0 / 16.0
"""The least share of closed decisions that a shadow policy is declared for, or thinned to."""
SHADOWS: Final = 20
"""Shadow policies of a placement."""
BUDGETS: Final = 100
"""Budgets of a catalog."""
RULE_BYTES: Final = 2000
"""A rule."""
EXCLUDED_OFFERS: Final = 200
"""`exclude_offer_ids` of a request."""
REPEAT_S: Final = 30 * 60
"""How long a request_id is remembered, and the longest reservation."""
KINDS: Final = 50
"""Custom feedback kinds of a catalog."""
PAYLOAD_BYTES: Final = 16 * 1024
"""An offer's payload."""
FLOOR_LEAST: Final = 1e-4
"""A floor is 0 or at least this: below, float32 could round it away, and no estimate could use it."""
FORMULA_BYTES: Final = 2000
"""A reward formula."""
WINDOW_MIN_S: Final = 1
WINDOW_MAX_S: Final = 90 * 24 * 3600
"""Attribution windows, inclusive."""
GRACE_MAX_S: Final = 7 * 24 * 3600
"""How much longer a placement that trusts `occur_time` may wait for feedback under way."""
PARKED_S: Final = 600
"""How long feedback waits for a decision that the ledger does not know yet."""
PARKED_FEEDBACK: Final = 100_000
"""Items that wait so, in all."""
PARKED_PER_DECISION: Final = 1_000
"""Items that wait for one decision id."""
FEEDBACK_PER_DECISION: Final = 10_000
"""Items that belong to one decision: whenever one comes late, its reward is made of all, at 10 µs each."""
