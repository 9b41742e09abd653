"""What was received before SIGTERM is answered, also what the server had yet to read."""

import signal
import threading
import time

import pytest

from herdlib import wait_until


def lines_of(client_id, count):
    now = time.time()
    return b"".join(b"IAMAT %s%d +34.1-118.2 %.9f\n" % (client_id, i, now) for i in range(count))


def rest_of(client):
    """All that still comes."""
    return client.file.read()


@pytest.mark.parametrize("count", [1, 2400, 20000])
def test_all_that_was_sent_before_the_end_is_answered(count, server):
    with server.client() as client:
        hear = threading.Thread(target=lambda: answers.append(rest_of(client)))
        answers = []
        hear.start()
        client.send(lines_of(b"z", count))
        client.socket.shutdown(1)
        began = time.monotonic()
        assert server.kill(signal.SIGTERM) == 0
        print(f"{count} lines: stopped after {time.monotonic() - began:.3f} s")
        hear.join()
        assert answers[0].count(b"AT Hill ") == count


def test_who_goes_on_does_not_keep_it_up(server):
    ended = threading.Event()

    def go_on(client):
        more = lines_of(b"more", 500)
        try:
            while not ended.is_set():
                client.send(more)
        except OSError:
            ended.set()

    with server.client() as client, server.client() as other:
        speak = threading.Thread(target=go_on, args=(client,))
        hear = threading.Thread(target=lambda: answers.append(rest_of(other)))
        answers = []
        speak.start()
        hear.start()
        other.send(lines_of(b"z", 2400))
        began = time.monotonic()
        assert server.kill(signal.SIGTERM) == 0
        print(f"stopped after {time.monotonic() - began:.3f} s")
        ended.set()
        speak.join()
        hear.join()
        assert answers[0].count(b"AT Hill ") == 2400


def test_what_a_neighbour_sent_is_kept(make_herd):
    """A plain one sends nothing twice."""
    hill = make_herd({"Hill": []}).start()["Hill"]
    with hill.client() as neighbour:
        neighbour.send(b"".join(b"FLOOD Jaquez z%d +1+1 1.5 1.6 Jaquez +0.100000000\n" % i for i in range(2400)))
        assert hill.kill(signal.SIGTERM) == 0
    hill.start()
    wait_until(lambda: hill.status()["clients"] == 2400, "all that was flooded is held after a restart", hill.herd.deadline_s)
