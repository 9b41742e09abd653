"""Crowds that say all kinds of things, all at once, and then nothing more."""

import contextlib
import selectors
import socket
import time

from rig import READY_MAX_S, Failure

CLIENT, PLACE, BEGAN = b"bench-device%08d", b"+34.068930-118.445127", 1700000000


def iamat(i):
    return b"IAMAT %s %s %d\n" % (CLIENT % i, PLACE, BEGAN + 1)


def whatsat(i, more=b""):
    return b"WHATSAT %s 10 5%s\n" % (CLIENT % i, more)


def after(i):
    return whatsat(i, b" AFTER %d WAIT 5000" % BEGAN)


def after_in_vain(i):
    return whatsat(i, b" AFTER %d WAIT 1500" % (BEGAN + 10**6))


def wrong(_):
    return b"what is this\n"


def pipelined(i):
    return whatsat(i) + iamat(i) + 6 * whatsat(i) + wrong(i) + 7 * iamat(i)


def long_line(i):
    return iamat(i)[:-1] + b" " * 3900 + b"\n"


class Crowd:
    """Connections of this process."""

    def __init__(self, port, count):
        self.members = []
        for _ in range(count):
            self.members.append(socket.create_connection(("127.0.0.1", port), timeout=READY_MAX_S))

    def say(self, line_of, parts=1):
        """Each says its lines, all of them one part before any the next; until all have all of their answers."""
        for part in range(parts):
            for i, member in enumerate(self.members):
                line = line_of(i)
                member.sendall(line[len(line) * part // parts:len(line) * (part + 1) // parts])
        self.hear({member: line_of(i).count(b"\n") for i, member in enumerate(self.members)})

    def hear(self, left):
        """So many answers of each: every one begins with an AT line, or with a question mark."""
        with selectors.DefaultSelector() as selector:
            for member in left:
                selector.register(member, selectors.EVENT_READ, b"\n")
            end = time.monotonic() + READY_MAX_S
            while left and time.monotonic() < end:
                for key, _ in selector.select(1):
                    more = key.fileobj.recv(1 << 18)
                    if not more:
                        raise Failure("the server closed a connection that waits for answers")
                    text = key.data + more
                    left[key.fileobj] -= text.count(b"\nAT ") + text.count(b"\n? ")
                    selector.modify(key.fileobj, selectors.EVENT_READ, text[-3:])  # the next may have begun
                    if left[key.fileobj] <= 0:
                        selector.unregister(key.fileobj)
                        del left[key.fileobj]
        if left:
            raise Failure(f"{len(left)} connections wait for answers in vain")
        self.drain()

    def drain(self):
        """The rest of the last answers, as far as it has come."""
        for member in self.members:
            member.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while member.recv(1 << 18):
                    continue
            member.settimeout(READY_MAX_S)

    def leave(self, every):
        """Every so manieth one does."""
        for member in self.members[::every]:
            member.close()
        self.members = [member for i, member in enumerate(self.members) if i % every]

    def close(self):
        self.leave(1)


@contextlib.contextmanager
def crowd(port, count):
    """A crowd, for as long as it is needed."""
    members = Crowd(port, count)
    try:
        yield members
    finally:
        members.close()
