"""Errors, one class for each thing a caller can do about them. Transport codes live in `api.status`."""

from __future__ import annotations


class OfferOptimizerError(Exception):
    """Any error that this package raises on purpose; its text is meant for people."""


class InvalidInput(OfferOptimizerError):
    """The caller sent something that can't be taken: change it and call again."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class UnknownPlacement(InvalidInput):
    """The placement is not in the catalog in force."""


class NotServedYet(OfferOptimizerError):
    """The field or call is part of the API but this release doesn't serve it: leave it empty."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field}: not served by this release; leave it empty")
        self.field = field


class InvalidCatalog(OfferOptimizerError):
    """The catalog document can't be put in force; `problems` has a line for each defect."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RevisionConflict(OfferOptimizerError):
    """Somebody else changed the catalog first: read it again and repeat."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"expected_revision: {expected}, but revision {found} is in force")
        self.expected = expected
        self.found = found


class NotFound(OfferOptimizerError):
    """What was named does not exist."""


class Busy(OfferOptimizerError):
    """The service has too much to do right now: retry later, with back-off."""


class Unauthenticated(OfferOptimizerError):
    """The call came without a key, or with one that is not known."""

    def __init__(self) -> None:
        super().__init__("no valid key: send `authorization: Bearer KEY`, or a known client certificate")


class Forbidden(OfferOptimizerError):
    """The key is known and not good for this."""


class KeyLimit(Busy):
    """The key calls more often than it may: slow down."""


class CacheUnready(OfferOptimizerError):
    """The counters of visitors and budgets are being derived again: leave out what they limit."""


class CacheBusy(OfferOptimizerError):
    """The lock of the counters could not be had in time: leave out what they limit, or retry."""


class StorageUnavailable(OfferOptimizerError):
    """A disk did not take what had to be kept: retry."""


class DamagedFile(OfferOptimizerError):
    """A file of ours is not what we wrote: an operator has to look at it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class CannotStart(OfferOptimizerError):
    """The service refuses to start; the text says why and what to change."""


class PolicyFault(OfferOptimizerError):
    """A policy returned something that is not a distribution, or its state is not finite."""


class RuleFault(OfferOptimizerError):
    """A sound rule could not say true or false of these facts: a name is missing, or a loop is too long."""
