from __future__ import annotations

import threading

import pytest

from holdfast.chunks.buffers import Pool


def test_a_slot_given_back_is_the_next_one_taken():
    pool = Pool(10_000, 2)
    slot = pool.take()
    assert len(slot) == 10_000
    slot[:4] = b"mine"
    memory = slot.obj
    pool.give(slot)
    again = pool.take()
    assert again.obj is memory
    assert again[:4] == b"mine", "a slot keeps its bytes: whoever pads must zero"


def test_a_slot_given_back_can_no_longer_be_written_through_the_old_view():
    pool = Pool(100, 1)
    slot = pool.take()
    pool.give(slot)
    with pytest.raises(ValueError, match="released"):
        slot[0] = 1


def test_taking_more_than_the_pool_holds_is_our_fault():
    pool = Pool(100, 2)
    taken = [pool.take(), pool.take()]
    assert pool.available == 0
    with pytest.raises(AssertionError):
        pool.take()
    pool.give(taken[0])
    assert pool.available == 1


def test_a_slot_of_another_pool_or_given_back_twice_is_our_fault():
    ours, theirs = Pool(100, 1), Pool(100, 1)
    slot = theirs.take()
    with pytest.raises(AssertionError):
        ours.give(slot)
    with pytest.raises(AssertionError):
        ours.give(memoryview(bytearray(100)))
    theirs.give(slot)
    with pytest.raises((AssertionError, ValueError)):
        theirs.give(slot)


def test_closing_a_pool_does_not_pull_memory_from_under_a_user():
    pool = Pool(100, 2)
    kept, part = pool.take(), pool.take()
    view = part[:10]
    pool.give(part)
    pool.close()
    kept[:5] = b"alive"
    view[:5] = b"alive"
    assert kept[:5] == view[:5]


def test_slots_are_handed_to_one_thread_at_a_time():
    pool = Pool(64, 4)
    mixed = []

    def work(mark: int) -> None:
        for _ in range(300):
            slot = pool.take()
            slot[:] = bytes([mark]) * 64
            if bytes(slot) != bytes([mark]) * 64:
                mixed.append(mark)
            pool.give(slot)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mixed == []
    assert pool.available == 4
