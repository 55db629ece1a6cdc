"""The queue by itself: what is taken together, what is dropped, what is refused."""

from __future__ import annotations

import asyncio
import time

import pytest

from polyfuse.serve.intake import Row, Size
from polyfuse.serve.problems import Problem
from polyfuse.serve.queueing import Queue, Task, Ticket


def ticket(loop, task="predict", ends=60.0, size=Size(), **record):
    return Ticket(Task(task), Row(record, size), time.monotonic() + ends, loop.create_future())


@pytest.fixture
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


def test_rows_of_one_kind_and_length_go_together_the_oldest_first(loop):
    queue = Queue(100, 8)
    long, short = Size(characters=2000), Size(characters=10)
    rows = [ticket(loop, words="x", size=long if n % 3 == 0 else short) for n in range(9)]
    rows += [ticket(loop, photo=b"x"), ticket(loop, "embed", words="x")]
    queue.add(rows)
    assert queue.take() == rows[0:9:3]
    assert queue.take() == [row for n, row in enumerate(rows[:9]) if n % 3]
    assert queue.take() == [rows[9]]
    assert queue.take() == [rows[10]]
    assert queue.take() == []


def test_a_batch_has_so_many_rows_and_costs_so_much(loop):
    queue = Queue(100, 4)
    queue.add([ticket(loop, n=1) for _ in range(10)])
    assert [len(queue.take()) for _ in range(4)] == [4, 4, 2, 0]
    queue.add([ticket(loop, photo=b"", size=Size(pixels=5_000_000)) for _ in range(3)])
    assert [len(queue.take()) for _ in range(3)] == [1, 1, 1]  # six rows' worth each, of eight


def test_what_nobody_waits_for_is_dropped(loop):
    queue = Queue(100, 8)
    gone, late, kept = ticket(loop, a=1), ticket(loop, a=1, ends=-1), ticket(loop, a=1)
    queue.add([gone, late, kept])
    gone.answer.cancel()
    assert queue.take() == [kept]
    assert late.answer.exception().status == 504


def test_there_is_room_for_all_rows_of_a_request_or_none(loop):
    queue = Queue(10, 8)
    queue.add([ticket(loop, a=1) for _ in range(8)])
    with pytest.raises(Problem, match="no room for 3 rows") as refused:
        queue.add([ticket(loop, a=1) for _ in range(3)])
    assert refused.value.status == 429
    assert refused.value.retry_after >= 1
    assert len(queue) == 8
    with pytest.raises(Problem):
        queue.add([ticket(loop, a=1)], held=2)
