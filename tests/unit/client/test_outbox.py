"""The outbox batches, repeats, bounds and counts; here with a sender and a clock of our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.client.backoff import Backoff
from offer_optimizer.client.errors import CallFailed
from offer_optimizer.client.outbox import Outbox, OutboxLimits
from offer_optimizer.client.values import FeedbackItem, FeedbackResult, Problem

AT_ONCE = Backoff(first_s=0.0, most_s=0.0)


class ScriptedSender:
    """Answers each attempt with the next step of a script: a failure's code, or None for success."""

    def __init__(self, *script: str | None, invalid: frozenset[str] = frozenset()) -> None:
        self.script = list(script)
        self.invalid = invalid
        self.batches: list[list[str]] = []

    def __call__(self, items: Sequence[FeedbackItem]) -> list[FeedbackResult]:
        self.batches.append([item.feedback_id for item in items])
        code = self.script.pop(0) if self.script else None
        if code is not None:
            raise CallFailed(code, "", "scripted")
        return [
            FeedbackResult(accepted=False, message="no")
            if item.feedback_id in self.invalid
            else FeedbackResult(True, "")
            for item in items
        ]


class StillOutbox(Outbox):
    """An outbox whose thread never starts: the test takes the batches."""

    def _start(self) -> None:
        pass


def make_outbox(
    send: Callable[[Sequence[FeedbackItem]], Sequence[FeedbackResult]],
    *,
    kind: type[Outbox] = StillOutbox,
    now: Callable[[], float] = lambda: 0.0,
    limits: OutboxLimits | None = None,
    backoff: Backoff = AT_ONCE,
) -> tuple[Outbox, list[Problem]]:
    problems: list[Problem] = []
    outbox = kind(
        send,
        clock=now,
        chance=lambda: 0.5,
        report=problems.append,
        limits=limits or OutboxLimits(capacity=10, batch_items=3, linger_s=0.05),
        backoff=backoff,
    )
    return outbox, problems


def item(name: str) -> FeedbackItem:
    return FeedbackItem(kind="click", feedback_id=name, decision_id="d")


def test_a_full_batch_does_not_wait_for_more() -> None:
    outbox, _ = make_outbox(ScriptedSender())
    for name in "abcd":
        outbox.put(item(name))
    assert [one.feedback_id for one in outbox._next_batch()] == ["a", "b", "c"]


def test_a_lone_item_waits_for_company_only_until_its_linger_ends() -> None:
    time_s = [100.0]
    outbox, _ = make_outbox(ScriptedSender(), now=lambda: time_s[0])
    assert outbox._linger_left_s() is None
    outbox.put(item("a"))
    assert (
        outbox._linger_left_s() == 0.05 + 100.0 - 100.0 or abs((outbox._linger_left_s() or 0) - 0.05) < 1e-9
    )
    time_s[0] = 100.06
    assert [one.feedback_id for one in outbox._next_batch()] == ["a"]


def test_passing_failures_are_repeated_with_the_same_ids_until_the_service_has_them() -> None:
    sender = ScriptedSender("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED")
    outbox, problems = make_outbox(sender)
    outbox.deliver([item("a"), item("b")])
    assert sender.batches == [["a", "b"]] * 5
    stats = outbox.stats()
    assert (stats.sent, stats.retried, stats.accepted, stats.dropped) == (10, 8, 2, 0)
    assert problems == []


def test_a_failure_that_will_not_pass_drops_the_batch_and_says_so_for_every_item() -> None:
    sender = ScriptedSender("INTERNAL")
    outbox, problems = make_outbox(sender)
    outbox.deliver([item("a"), item("b")])
    assert sender.batches == [["a", "b"]]
    assert outbox.stats().dropped == 2
    assert [(problem.code, problem.item) for problem in problems] == [
        ("INTERNAL", item("a")),
        ("INTERNAL", item("b")),
    ]


def test_back_off_asks_for_a_longer_delay_at_every_attempt() -> None:
    asked: list[int] = []

    class Recording(Backoff):
        def delay_s(self, attempt: int, u: float) -> float:
            asked.append(attempt)
            return 0.0

    outbox, _ = make_outbox(ScriptedSender("UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"), backoff=Recording())
    outbox.deliver([item("a")])
    assert asked == [0, 1, 2]


def test_an_invalid_item_is_reported_and_the_others_are_accepted() -> None:
    outbox, problems = make_outbox(ScriptedSender(invalid=frozenset({"b"})))
    outbox.deliver([item("a"), item("b"), item("c")])
    assert (outbox.stats().accepted, outbox.stats().invalid) == (2, 1)
    assert [(problem.code, problem.message, problem.item) for problem in problems] == [
        ("INVALID", "no", item("b"))
    ]


def test_a_reply_that_is_too_short_promises_nothing_for_the_rest() -> None:
    outbox, problems = make_outbox(lambda items: [FeedbackResult(True, "")])
    outbox.deliver([item("a"), item("b")])
    assert (outbox.stats().accepted, outbox.stats().dropped) == (1, 1)
    assert [problem.item for problem in problems] == [item("b")]


def test_a_full_queue_drops_the_newest_and_never_blocks() -> None:
    outbox, problems = make_outbox(
        ScriptedSender(), limits=OutboxLimits(capacity=2, batch_items=3, linger_s=9.0)
    )
    assert [outbox.put(item(name)) for name in "abc"] == [True, True, False]
    assert outbox.stats().dropped == 1
    assert [(problem.code, problem.item) for problem in problems] == [("QUEUE_FULL", item("c"))]


def test_items_under_way_count_towards_the_bound() -> None:
    limits = OutboxLimits(capacity=2, batch_items=2, linger_s=9.0)
    outbox, _ = make_outbox(ScriptedSender(), limits=limits)
    assert outbox.put(item("a"))
    assert outbox.put(item("b"))
    assert len(outbox._next_batch()) == 2
    assert not outbox.put(item("c"))


def test_closing_sends_what_waits_and_refuses_what_comes_after() -> None:
    sender = ScriptedSender()
    outbox, problems = make_outbox(
        sender, kind=Outbox, limits=OutboxLimits(capacity=9, batch_items=5, linger_s=60.0)
    )
    outbox.put(item("a"))
    assert outbox.close(timeout_s=10.0)
    outbox.join(10.0)
    assert sender.batches == [["a"]]
    assert not outbox.put(item("b"))
    assert [(problem.code, problem.item) for problem in problems] == [("CLOSED", item("b"))]


def test_closing_ends_a_long_back_off_and_drops_what_never_got_through() -> None:
    outbox, problems = make_outbox(
        ScriptedSender(*["UNAVAILABLE"] * 100), kind=Outbox, backoff=Backoff(first_s=1000.0, most_s=1000.0)
    )
    outbox.put(item("a"))
    assert not outbox.close(timeout_s=0.0)
    outbox.join(10.0)
    assert outbox.stats().dropped == 1
    assert outbox.stats().waiting == 0
    assert len(problems) == 1


def test_flushing_does_not_wait_for_the_linger() -> None:
    sender = ScriptedSender()
    outbox, _ = make_outbox(
        sender, kind=Outbox, limits=OutboxLimits(capacity=9, batch_items=5, linger_s=3600.0)
    )
    outbox.put(item("a"))
    assert outbox.flush(10.0)
    assert sender.batches == [["a"]]
    outbox.close(1.0)


def test_a_broken_sender_loses_one_batch_and_not_the_thread() -> None:
    calls: list[int] = []

    def send(items: Sequence[FeedbackItem]) -> list[FeedbackResult]:
        calls.append(len(items))
        if len(calls) == 1:
            raise RuntimeError("a bug")
        return [FeedbackResult(True, "") for _ in items]

    outbox, problems = make_outbox(send, kind=Outbox)
    outbox.put(item("a"))
    assert outbox.flush(10.0)
    outbox.put(item("b"))
    assert outbox.flush(10.0)
    assert (outbox.stats().dropped, outbox.stats().accepted) == (1, 1)
    assert problems[0].message == "RuntimeError: a bug"
    outbox.close(1.0)


@given(
    count=st.integers(0, 40),
    script=st.lists(st.sampled_from([None, "UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED"]), max_size=12),
    invalid=st.sets(st.integers(0, 40)),
)
def test_every_item_ends_in_exactly_one_count_and_order_is_kept(
    count: int, script: list[str | None], invalid: set[int]
) -> None:
    sender = ScriptedSender(*script, invalid=frozenset(map(str, invalid)))
    limits = OutboxLimits(capacity=20, batch_items=3, linger_s=0.0)
    outbox, problems = make_outbox(sender, limits=limits)
    for number in range(count):
        outbox.put(item(str(number)))
    while outbox.stats().waiting:
        outbox.deliver(outbox._next_batch())
        outbox._under_way = 0
    stats = outbox.stats()
    assert stats.accepted + stats.invalid + stats.dropped == count
    assert len(problems) == stats.invalid + stats.dropped
    first_sent = list(dict.fromkeys(name for batch in sender.batches for name in batch))
    assert first_sent == sorted(first_sent, key=int)
