"""A neighbour that stands still under load: nothing piles up for it, and it catches up at once. HERD_STOPPED_S=60 for the long run:

    HERD_STOPPED_S=60 HERD_BIN=build/release/bin pytest-3 -s test/e2e/test_stopped.py
"""

import os
import selectors
import signal
import socket
import threading
import time

from herdlib import SLOW, wait_until

SECONDS = float(os.environ.get("HERD_STOPPED_S", "8" if SLOW == 1 else "4"))
CLIENTS = 1000
UPDATES_PER_S = 10_000 / SLOW
TICK_S = 0.01
GROWTH_MAX_KIB = 2048


class Crowd(threading.Thread):
    """A thousand connections, each a client that tells one server where it is ten times a second."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.selector = selectors.DefaultSelector()
        self.sockets = []
        for _ in range(CLIENTS):
            client = socket.create_connection(("127.0.0.1", port))
            client.setblocking(False)
            self.selector.register(client, selectors.EVENT_READ)
            self.sockets.append(client)
        self.sent = self.answered = 0
        self.ending = False

    def tell(self):
        number = self.sent % CLIENTS
        line = b"IAMAT crowd%d +34.068930-118.445127 %d.%09d\n" % (number, *divmod(time.time_ns(), 10**9))
        assert self.sockets[number].send(line) == len(line)
        self.sent += 1

    def hear(self, timeout_s):
        for key, _ in self.selector.select(timeout_s):
            self.answered += key.fileobj.recv(65536).count(b"\n")

    def run(self):
        began = time.monotonic()
        while not self.ending or self.answered < self.sent:
            due = min((time.monotonic() - began) * UPDATES_PER_S, self.answered + CLIENTS)
            while not self.ending and self.sent < due:
                self.tell()
            self.hear(TICK_S)

    def end(self):
        """All that was said has been answered."""
        self.ending = True
        self.join(60 * SLOW)
        assert not self.is_alive()
        for client in self.sockets:
            client.close()


def test_a_neighbour_stopped_under_load_costs_no_memory_and_catches_up(make_herd):
    herd = make_herd().start()
    crowd = Crowd(herd.ports["Hill"])
    crowd.start()
    wait_until(lambda: crowd.answered > 3 * UPDATES_PER_S, "the load runs", 60 * SLOW)
    neighbours = [herd[name] for name in herd.graph["Smith"]]
    before = {server.name: server.rss_kib() for server in neighbours}
    most = dict(before)
    herd["Smith"].process.send_signal(signal.SIGSTOP)
    began, sent = time.monotonic(), crowd.sent
    while time.monotonic() - began < SECONDS:
        for server in neighbours:
            most[server.name] = max(most[server.name], server.rss_kib())
        time.sleep(0.05)
    rate = (crowd.sent - sent) / (time.monotonic() - began)
    crowd.end()
    herd["Smith"].process.send_signal(signal.SIGCONT)
    began = time.monotonic()
    herd.wait_agrees()
    took = time.monotonic() - began
    for server in neighbours:
        most[server.name] = max(most[server.name], server.rss_kib())
    growth = {name: most[name] - before[name] for name in before}
    print(f"Smith stopped for {SECONDS:.0f} s at {rate:.0f} updates/s of {CLIENTS} clients: memory of its neighbours "
          f"{', '.join(f'{name} {kib:+d} KiB' for name, kib in growth.items())}; equal {took * 1e3:.0f} ms after it went on")
    assert herd["Smith"].status()["clients"] == CLIENTS
    if SLOW == 1:  # a sanitizer keeps what was freed
        assert max(growth.values()) <= GROWTH_MAX_KIB
