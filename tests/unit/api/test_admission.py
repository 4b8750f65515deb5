"""Shares of the pool refuse at once what does not fit, and always leave a thread to decisions."""

from __future__ import annotations

import pytest

from offer_optimizer.api.admission import Share, split_pool
from offer_optimizer.api.refusals import FeedbackBusy
from offer_optimizer.api.server import ServerOptions


@pytest.mark.parametrize("threads", range(5, 65))
def test_whatever_may_wait_leaves_a_thread_to_decisions(threads: int) -> None:
    split = split_pool(threads)
    assert split.blockable < threads
    assert split.feedback >= 1


def test_a_pool_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        split_pool(4)


def test_a_full_share_refuses_at_once_and_is_free_again_afterwards() -> None:
    share = Share("feedback", 2, FeedbackBusy)
    with (
        share.hold(),
        share.hold(),
        pytest.raises(FeedbackBusy, match="all 2 of its concurrent calls"),
        share.hold(),
    ):
        raise AssertionError("a third place was given")
    with share.hold():
        pass


def test_a_failure_gives_the_place_back() -> None:
    share = Share("feedback", 1)
    with pytest.raises(ZeroDivisionError), share.hold():
        raise ZeroDivisionError
    with share.hold():
        pass


def test_streams_of_one_connection_must_outnumber_the_calls_that_may_wait() -> None:
    with pytest.raises(ValueError, match="streams_per_connection: 6, at least 7"):
        ServerOptions(threads=8, streams_per_connection=6)
    ServerOptions(threads=8, streams_per_connection=7)
