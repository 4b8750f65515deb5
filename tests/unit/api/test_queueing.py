"""The queue before the pool: who comes too late for it is turned away, and nobody else is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from offer_optimizer.api.queueing import (
    BEHIND_S,
    FEEDBACK_PATIENCE_S,
    FEEDBACK_REST_S,
    PATIENCE_S,
    PATIENCES_S,
    WATCHED_S,
    Door,
    QueuedCall,
    WaitingPool,
)
from offer_optimizer.api.server import turned_away
from offer_optimizer.api.status import FailureBook
from tests.unit.api.fakes import Aborted, FakeContext, FakeLog

THREADS = 4


class Stuck:
    """A pool of four threads that are all held, with a clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.free = threading.Event()
        self.pool = WaitingPool(THREADS, lambda: self.now)
        begun = threading.Barrier(THREADS + 1)
        for _ in range(THREADS):
            self.pool.submit(self._hold, begun)
        begun.wait(5.0)

    def _hold(self, begun: threading.Barrier) -> None:
        begun.wait(5.0)
        self.free.wait(5.0)

    def queue(self, count: int) -> None:
        """Let calls wait."""
        for _ in range(count):
            self.pool.submit(self.free.wait, 5.0)

    def fall_behind(self) -> None:
        """Let the queue be too long for long enough."""
        self.queue(THREADS)
        for _ in range(3):
            self.now += PATIENCE_S + BEHIND_S / 2
            self.pool.behind_s()


def runs_here(pool: ThreadPoolExecutor) -> bool:
    """Return whether a pool has run what it was given before it returns, in the thread that gave it."""
    ran: list[int] = []
    pool.submit(lambda: ran.append(threading.get_ident()))
    return ran == [threading.get_ident()]


def ended(pool: WaitingPool) -> None:
    """Wait until a call has ended that is queued behind all others."""
    over = threading.Event()
    pool.submit(int).add_done_callback(lambda _call: over.set())
    assert over.wait(5.0)


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    made = Stuck()
    yield made
    made.free.set()
    made.pool.shutdown()


def test_an_idle_pool_and_one_without_a_queue_are_not_behind(stuck: Stuck) -> None:
    assert WaitingPool(THREADS).behind_s() == 0.0
    stuck.now += 10.0
    assert stuck.pool.behind_s() == 0.0


def test_a_short_queue_is_never_behind_however_long_it_waits(stuck: Stuck) -> None:
    stuck.queue(THREADS // 2)
    for _ in range(10):
        stuck.now += 1.0
        assert stuck.pool.behind_s() == 0.0


def test_a_queue_that_is_held_up_for_a_moment_refuses_nobody(stuck: Stuck) -> None:
    stuck.queue(THREADS)
    stuck.now += BEHIND_S
    assert stuck.pool.behind_s() == 0.0, "seen for the first time"
    stuck.now += BEHIND_S * 0.9
    assert stuck.pool.behind_s() == 0.0


def test_a_queue_that_stays_too_long_is_behind_by_what_its_first_has_waited(stuck: Stuck) -> None:
    stuck.fall_behind()
    assert stuck.pool.behind_s() == pytest.approx(3 * (PATIENCE_S + BEHIND_S / 2))


def test_a_pool_that_has_caught_up_is_watched_for_a_while(stuck: Stuck) -> None:
    """Behind again soon afterwards, it is so at once; later it has time again."""
    stuck.fall_behind()
    stuck.free.set()
    ended(stuck.pool)
    assert stuck.pool.behind_s() == 0.0
    for rest_s, is_watched in ((WATCHED_S / 2, True), (2 * WATCHED_S, False)):
        again = Stuck()
        again.pool._watched_until = again.now + WATCHED_S
        again.now += rest_s
        again.queue(THREADS)
        again.now += 2 * PATIENCE_S
        assert (again.pool.behind_s() > 0.0) is is_watched
        again.free.set()
        again.pool.shutdown()


def test_calls_whose_caller_has_gone_leave_the_queue_too(stuck: Stuck) -> None:
    """A call that the pool takes and that does nothing counts no longer."""
    stuck.queue(3 * THREADS)
    stuck.free.set()
    ended(stuck.pool)
    stuck.now += 100.0
    assert stuck.pool.behind_s() == 0.0


def test_a_pool_serves_in_order_and_a_call_that_fails_holds_up_nobody() -> None:
    pool, began = WaitingPool(1), list[int]()

    def work(number: int) -> None:
        began.append(number)
        raise ValueError(number)

    for number in range(20):
        pool.submit(work, number)
    ended(pool)
    assert began == list(range(20))
    pool.shutdown()


def test_a_pool_has_as_many_threads_as_it_was_given_and_they_end_with_it() -> None:
    pool, seen = WaitingPool(THREADS, name="of-this-test"), threading.Barrier(THREADS + 1)
    for _ in range(THREADS):
        pool.submit(seen.wait, 5.0)
    seen.wait(5.0)
    for _ in range(THREADS):
        ended(pool)
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("of-this-test")]
    assert len(threads) == THREADS
    pool.shutdown()
    for thread in threads:
        thread.join(5.0)
        assert not thread.is_alive()


def test_a_pool_that_was_shut_down_takes_no_call_and_runs_those_it_has() -> None:
    pool, ran = WaitingPool(1), list[int]()
    for number in range(3):
        pool.submit(ran.append, number)
    last = threading.Event()
    pool.submit(last.set)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(ran.append, 3)
    assert last.wait(5.0)
    assert ran == [0, 1, 2]


def test_whoever_asks_to_be_told_when_a_call_ends_is_told_once_however_late() -> None:
    """By any of two threads: the one that ends it, and the one that asks."""
    for is_over in (False, True):
        call, told = QueuedCall(), list[object]()
        if is_over:
            call.end()
        call.add_done_callback(told.append)
        assert told == ([call] if is_over else [])
        if not is_over:
            call.end()
        call.add_done_callback(told.append)
        assert told == [call, call]


def test_asking_while_a_call_ends_is_never_missed() -> None:
    pool, told = WaitingPool(2), list[object]()
    for _ in range(2000):
        pool.submit(int).add_done_callback(told.append)
    ended(pool)
    pool.shutdown()
    give_up_s = time.monotonic() + 5.0
    while len(told) < 2000 and time.monotonic() < give_up_s:
        time.sleep(0.001)
    assert len(told) == len(set(map(id, told))) == 2000


class Behind(grpc.GenericRpcHandler):
    """Serves everything."""

    HANDLER: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
        lambda _data, _context: b"served", None, None
    )

    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        return self.HANDLER


class Unread:
    """A message that nobody may read."""

    def __iter__(self) -> Unread:
        return self

    def __next__(self) -> bytes:
        raise AssertionError("a refusal waits for nothing")


class Details:
    """A call's name."""

    def __init__(self, method: str) -> None:
        self.method = f"/s/{method}"
        self.invocation_metadata = ()


def found(door: Door, method: str) -> Any:  # noqa: ANN401
    handler: Any = door.service(Details(method))  # type: ignore[arg-type]
    return handler.unary_unary or handler.stream_unary


def shut(*pools: WaitingPool) -> Door:
    """Return a door in front of these pools."""
    return Door("s", Behind(), pools, turned_away(FailureBook(FakeLog(), lambda: "id", lambda: 0)))


def test_the_door_turns_away_decisions_and_feedback_in_the_thread_that_receives_them(stuck: Stuck) -> None:
    """With the table's own words, without reading the message; what operators call goes through."""
    door = shut(stuck.pool)
    for method in PATIENCES_S:
        assert found(door, method)(b"", FakeContext()) == b"served"
    stuck.fall_behind()
    for method in PATIENCES_S:
        refuse = found(door, method)
        here = refuse.experimental_thread_pool
        assert isinstance(here, ThreadPoolExecutor), "grpc asks for one"
        assert runs_here(here)
        with pytest.raises(Aborted) as caught:
            refuse(Unread(), FakeContext())
        assert caught.value.status.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "more calls wait" in caught.value.status.details
    assert found(door, "Explain")(b"", FakeContext()) == b"served"


def test_feedback_is_refused_before_decisions(stuck: Stuck) -> None:
    door = shut(stuck.pool)
    stuck.pool._watched_until = stuck.now + WATCHED_S
    stuck.queue(THREADS)
    stuck.now += (FEEDBACK_PATIENCE_S + PATIENCE_S) / 2
    assert found(door, "Decide")(b"", FakeContext()) == b"served"
    with pytest.raises(Aborted):
        found(door, "RecordFeedback")(Unread(), FakeContext())


def test_feedback_is_refused_for_a_while_behind_decisions_that_were(stuck: Stuck) -> None:
    door = shut(stuck.pool)
    stuck.fall_behind()
    stuck.free.set()
    ended(stuck.pool)
    for rest_s, is_open in ((0.9 * FEEDBACK_REST_S, False), (0.2 * FEEDBACK_REST_S, True)):
        stuck.now += rest_s
        assert found(door, "Decide")(b"", FakeContext()) == b"served"
        is_served = door.service(Details("RecordFeedback")) is Behind.HANDLER  # type: ignore[arg-type]
        assert is_served is is_open


def test_decide_waits_for_its_own_pool_alone_and_the_rest_give_way_to_both(stuck: Stuck) -> None:
    stuck.fall_behind()
    idle = WaitingPool(THREADS, lambda: stuck.now)
    assert found(shut(idle, stuck.pool), "Decide")(b"", FakeContext()) == b"served"
    for pools, method in (((idle, stuck.pool), "BatchDecide"), ((stuck.pool, idle), "RecordFeedback")):
        with pytest.raises(Aborted):
            found(shut(*pools), method)(Unread(), FakeContext())


def test_so_many_may_wait_as_a_pool_is_told(stuck: Stuck) -> None:
    pool = WaitingPool(1, lambda: stuck.now, least=3)
    pool._watched_until = stuck.now + 10.0 * WATCHED_S
    for waiting_count in range(6):
        stuck.now += 1.0
        assert (pool.behind_s() > 0.0) is (waiting_count > 3 + 1), "the first of them is running"
        pool.submit(stuck.free.wait, 5.0)
        while waiting_count == 0 and pool._waiting:
            stuck.free.wait(0.001)
    stuck.free.set()
    pool.shutdown()
