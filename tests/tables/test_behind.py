"""What is written behind the caller is all there when the block ends, in order, or its error is raised."""

import threading
import time

import pytest

from stages.tables.behind import MAX_WAITING, behind


def test_items_are_written_in_order_and_all_when_the_block_ends() -> None:
    written: list[int] = []

    def write(item: int) -> None:
        time.sleep(0.001)
        written.append(item)

    with behind(write) as put:
        for item in range(20):
            put(item)
    assert written == [*range(20)]


def test_few_items_wait() -> None:
    written: list[int] = []
    may_write = threading.Event()

    def write(item: int) -> None:
        assert may_write.wait(10)
        written.append(item)

    with behind(write) as put:
        for item in range(MAX_WAITING):
            put(item)
        assert not written
        may_write.set()
        put(MAX_WAITING)
        assert written, "the first must be written before one more may wait"


@pytest.mark.parametrize("count", [1, MAX_WAITING + 2])
def test_an_error_of_a_write_is_raised_and_its_thread_ends(count: int) -> None:
    threads = threading.active_count()

    def write(item: int) -> None:
        raise OSError(f"no space for {item}")

    with pytest.raises(OSError, match="no space for 0"), behind(write) as put:
        for item in range(count):
            put(item)
    assert threading.active_count() == threads


def test_no_thread_outlives_an_error_of_the_caller() -> None:
    threads = threading.active_count()
    with pytest.raises(ValueError, match="bad row"), behind(print) as put:
        put("")
        raise ValueError("bad row")
    assert threading.active_count() == threads
