"""The stock of entropy."""

from __future__ import annotations

import itertools
import threading

from offer_optimizer.app.clocks import EntropyStock


class Counted:
    """A source whose bytes count on, so that a piece given twice is seen."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self._numbers = itertools.count()

    def __call__(self, count: int) -> bytes:
        self.asked.append(count)
        return b"".join(next(self._numbers).to_bytes(10, "big") for _ in range(count // 10))


def test_no_piece_is_given_twice_whoever_asks() -> None:
    source = Counted()
    stock = EntropyStock(source, 10)
    taken: list[bytes] = []

    def take() -> None:
        taken.extend(stock.take(10) for _ in range(2000))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == len(taken) == 8000
    assert {len(piece) for piece in taken} == {10}
    assert len(source.asked) < 200


def test_another_size_comes_from_the_source() -> None:
    source = Counted()
    assert len(EntropyStock(source, 16).take(20)) == 20
    assert source.asked == [20]
