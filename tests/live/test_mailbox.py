"""The mailbox: the newest item wins, and a waiting reader wakes."""

import threading
import time

from hybridanim.live.mailbox import Mailbox


def test_mailbox_keeps_the_newest_and_counts_the_rest():
    box = Mailbox()
    for item in range(10):
        box.put(item)
    assert box.take(0) == 9
    assert box.take(0) is None
    assert (box.count, box.dropped) == (10, 9)


def test_mailbox_with_room_drops_the_oldest():
    box = Mailbox(capacity=3)
    for item in range(5):
        box.put(item)
    assert [box.take(0) for _ in range(4)] == [2, 3, 4, None]


def test_a_waiting_taker_wakes_for_an_item_and_for_the_end():
    box: Mailbox[int] = Mailbox()
    taken = []

    def work():
        while not box.is_over:
            item = box.take(5)
            if item is not None:
                taken.append(item)

    thread = threading.Thread(target=work)
    thread.start()
    start_s = time.monotonic()
    box.put(1)
    while not taken:
        time.sleep(0.001)
    box.put(2)
    box.close()
    thread.join(5)
    assert taken == [1, 2]
    assert time.monotonic() - start_s < 2  # never waited its five seconds
    box.put(3)
    assert box.count == 2
