"""A neighbour that stands still under load: nothing piles up for it, and it catches up at once. HERD_STOPPED_S=60 for the long run:

    HERD_STOPPED_S=60 HERD_BIN=build/release/bin pytest-3 -s test/e2e/test_stopped.py
"""

import os
import selectors
import signal
import socket
import threading
import time

import pytest

from herdlib import SLOW, Client, established, wait_until

SECONDS = float(os.environ.get("HERD_STOPPED_S", "8" if SLOW == 1 else "4"))
CLIENTS = 1000
UPDATES_PER_S = 10_000 / SLOW
TICK_S = 0.01
GROWTH_MAX_KIB = 2048

# Of a neighbour of ours: the 256 KiB that may be on their way, wherever that is; of a plain one: what waits for its socket. Behind
# that, and what the kernel has of a plain one's, the newest record of each client.
UNREAD_MAX_KIB = {"herd": 256, "plain": 64}
# The buffer of the server's socket and the plain one's own, both of which count more than what they hold; and the segment that a
# buffer takes whole while it has room for a part.
KERNEL_MAX_KIB = 256 + 64 + 128
LINE_MAX_BYTES = 4096  # one that begins where there is room goes whole
ROUNDS = 40


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


def is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


class Unread:
    """A neighbour that is greeted, then reads nothing until it is told to."""

    def __init__(self, kind, port):
        self.kind = kind
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if kind == "plain":
            self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)  # the kernel doubles it
        self.listening.bind(("127.0.0.1", port))
        self.listening.listen()
        self.listening.settimeout(60 * SLOW)
        self.newest, self.flood_bytes, self.newest_bytes, self.socket = {}, 0, 0, None

    def greet(self):
        self.socket, _ = self.listening.accept()
        self.socket.settimeout(60 * SLOW)
        self.file = self.socket.makefile("rb")
        hello = self.file.readline()
        assert hello.startswith(b"HELLO Hill "), hello
        self.say(b"RESUME %s 0\n" % hello.split()[3] if self.kind == "herd" else b"? HELLO Hill\n")

    def say(self, line):
        self.socket.sendall(line)

    def in_kernel(self):
        """Bytes that the kernel has of what was written for it, at both ends, once nothing is between them."""
        seen, last = self.queued(), None
        while seen != last:
            time.sleep(0.1)  # longer than an acknowledgement is held back
            seen, last = self.queued(), seen
        return seen

    def queued(self):
        """The same now; what is to be acknowledged counts twice."""
        port = self.listening.getsockname()[1]
        return sum(end.unacknowledged + end.unread for end in established() if port in (end.port, end.peer_port))

    def read_until(self, clients, newest):
        """All that comes, until each client's newest record has."""
        missing = clients
        while missing > 0:
            line = self.file.readline()
            words = line.split()
            if words[0] == b"PING":
                self.say(b"PONG\n")
            if words[0] == b"FLOOD":
                self.flood_bytes += len(line)
                if float(words[4]) == newest:
                    self.newest_bytes += len(line)
                    missing -= 1
                assert self.newest.get(words[2], 0) < float(words[4]), line
                self.newest[words[2]] = float(words[4])

    def close(self):
        self.listening.close()
        if self.socket is not None:
            self.file.close()
            self.socket.close()


@pytest.mark.parametrize("kind", ["herd", "plain"])
def test_a_neighbour_that_reads_nothing_is_sent_no_more_than_a_window(make_herd, kind):
    """The kernel's buffers at both ends hold megabytes: what is in them is as old as what would wait in the server."""
    herd = make_herd({"Hill": ["Smith"], "Smith": ["Hill"]})
    smith = Unread(kind, herd.ports["Smith"])
    try:
        hill = herd.start(["Hill"], links=False)["Hill"]
        smith.greet()
        state = "up" if kind == "herd" else "plain"
        wait_until(lambda: hill.status()["links"][0]["state"] == state, f"the link is {state}", 60 * SLOW)
        with Client(hill.port) as client:
            for number in range(1, ROUNDS + 1):
                client.send(b"".join(b"IAMAT still%d +34.068930-118.445127 %d\n" % (i, 1_700_000_000 + number) for i in range(CLIENTS)))
                for _ in range(CLIENTS):
                    assert client.line().startswith(b"AT Hill ")
                if kind == "herd":
                    smith.say(b"PING\n")  # it lives
        hill.process.send_signal(signal.SIGSTOP)  # it writes no more
        wait_until(lambda: is_stopped(hill.process.pid), "Hill stands still")
        held = smith.in_kernel() if kind == "plain" else 0
        hill.process.send_signal(signal.SIGCONT)
        smith.read_until(CLIENTS, 1_700_000_000 + ROUNDS)
        said = smith.flood_bytes - held
        print(f"{kind}: {said / 1024:.0f} KiB of FLOOD for {ROUNDS * CLIENTS} updates of {CLIENTS} clients, and {held / 1024:.0f} KiB that "
              "the kernel had")
        assert len(smith.newest) == CLIENTS
        assert said <= UNREAD_MAX_KIB[kind] * 1024 + smith.newest_bytes + LINE_MAX_BYTES
        assert held <= KERNEL_MAX_KIB * 1024
    finally:
        smith.close()
