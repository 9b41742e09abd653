"""What a crowd has taken of a server's memory goes back when the crowd is silent or gone, whatever it has said."""

import contextlib

import pytest

from herdlib import SLOW, wait_until

# Of a connection, and of all besides: what a crowd leaves where it is kept for the next one is several megabytes.
EACH_BYTES, BESIDES_BYTES = 400, 1 << 20
FEW, MANY = 100, 1500

QUESTION, UPDATE = b"WHATSAT somebody 10 5", b"IAMAT somebody +34.068930-118.445127 1700000000"
IN_VAIN = QUESTION + b" AFTER 1900000000 WAIT 300"

# Lines that each says at once, and in how many parts.
CROWDS = {
    "questions": ([QUESTION] * 16, 1),
    "waits that end": ([IN_VAIN] * 16, 1),
    "all kinds": ([QUESTION, UPDATE, b"what is this", QUESTION + b" AFTER 5", IN_VAIN] * 3, 1),
    "long lines": ([UPDATE + b" " * 3900], 2),
}


@pytest.fixture
def server(make_herd):
    """Without neighbours, that has its places in memory."""
    server = make_herd({"Hill": []}, places="memory_max_mib = 256").start()["Hill"]
    with server.client() as client:
        client.ask(UPDATE)
        client.whatsat(QUESTION)
    wait_until(lambda: 'msg="in memory"' in server.log(), "the places are in memory")
    return server


def say(clients, lines, parts):
    text = b"".join(line + b"\n" for line in lines)
    for part in range(parts):
        for client in clients:
            client.send(text[len(text) * part // parts:len(text) * (part + 1) // parts])
    for client in clients:
        for line in lines:
            if line.startswith(b"WHATSAT"):
                assert client.answer()[0][:1] == (b"?" if line == IN_VAIN else b"A")
            else:
                assert client.line()[:1] == (b"A" if line.startswith(UPDATE) else b"?")


@contextlib.contextmanager
def crowd_that_said(server, count, lines, parts):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(count)]
        say(clients, lines, parts)
        yield


def wait_given_back(server):
    def is_given_back():
        metrics = server.status()["metrics"]
        return metrics["memory_given_back_total"] > 0 and metrics["memory_kept_bytes"] == 0 and metrics["memory_freed_bytes"] < 1 << 16

    wait_until(is_given_back, "what was kept is given back")


@pytest.mark.skipif(SLOW != 1, reason="memory is measured, which valgrind and sanitizers take more of")
@pytest.mark.parametrize("kind", CROWDS)
def test_a_crowd_leaves_nothing_behind(server, kind):
    with crowd_that_said(server, FEW, *CROWDS["questions"]), crowd_that_said(server, FEW, *CROWDS[kind]):
        pass
    wait_given_back(server)
    before_kib = server.rss_kib()

    def grown_bytes():
        return (server.rss_kib() - before_kib) * 1024

    with crowd_that_said(server, MANY, *CROWDS[kind]):
        most_kib = grown_bytes() // 1024
        wait_until(lambda: grown_bytes() < MANY * EACH_BYTES + BESIDES_BYTES, "only the connections take memory")
        print(f"{kind}: {most_kib} KiB, then {grown_bytes() // 1024} KiB of {MANY} connections")
    wait_until(lambda: grown_bytes() < BESIDES_BYTES, "nothing takes any more memory")
