"""Python client of the service: a deadline on every call, a baseline on failure, feedback in the background.

`Client` is what a backend engineer needs; the rest are the values that it takes and returns.
"""

from offer_optimizer.client.access import Access
from offer_optimizer.client.client import Client
from offer_optimizer.client.errors import (
    ForkedClient,
    RequestRejected,
    RevisionConflict,
    ServiceUnavailable,
)
from offer_optimizer.client.values import (
    AppliedCatalog,
    Candidate,
    CatalogDocument,
    ClientStats,
    Decision,
    Explanation,
    FeedbackItem,
    FeedbackResult,
    ModelInfo,
    Problem,
    Question,
)
from offer_optimizer.core.consent import Consent

__all__ = [
    "Access",
    "AppliedCatalog",
    "Candidate",
    "CatalogDocument",
    "Client",
    "ClientStats",
    "Consent",
    "Decision",
    "Explanation",
    "FeedbackItem",
    "FeedbackResult",
    "ForkedClient",
    "ModelInfo",
    "Problem",
    "Question",
    "RequestRejected",
    "RevisionConflict",
    "ServiceUnavailable",
]
