"""Neighbours with names that take long to be looked up."""

import contextlib

from herdlib import hanging_names, wait_until

# In small letters this would be no name to be looked up. The two differ for slow_dns.c alone.
SLOW_NAME, GOOD_NAME = "LOCALHOST", "Localhost"
FOR_EVER = "stop_timeout_ms = 600000"  # a stop that waits for what hangs does not end within the time of a test


def link_to(server, peer):
    return next(link for link in server.status()["links"] if link["peer"] == peer)


def has_state(server, peer, state):
    return lambda: link_to(server, peer)["state"] == state


@contextlib.contextmanager
def naming(herd, monkeypatch, names):
    """Hill, which has those names for its neighbours; for themselves they have addresses. The slow one is looked up in vain as
    long as the file is there."""
    addresses = herd.config.read_text()
    text = addresses
    for neighbour, name in names.items():
        text = text.replace(f"127.0.0.1:{herd.ports[neighbour]}", f"{name}:{herd.ports[neighbour]}")
    herd.config.write_text(text)
    with hanging_names(herd.folder / "hang", monkeypatch, SLOW_NAME) as hang:
        server = herd.start(["Hill"], links=False)["Hill"]
        monkeypatch.delenv("LD_PRELOAD")  # for the servers that follow
        herd.config.write_text(addresses)
        yield server, hang


def test_a_slow_name_holds_up_no_other(make_herd, monkeypatch):
    """It takes longer than an attempt, and one of the few threads for names, not one more for each attempt; the answer, when it
    comes, is the next attempt's."""
    herd = make_herd({"Hill": ["A", "Dale"], "A": ["Hill"], "Dale": ["Hill"]})
    with naming(herd, monkeypatch, {"A": SLOW_NAME, "Dale": GOOD_NAME}) as (server, hang):
        for state in ("waiting", "dialling"):
            wait_until(has_state(server, "A", state), f"the second attempt: {state}")
        herd["Dale"].start()
        wait_until(lambda: link_to(server, "Dale")["up"], "the good name's link is up, while the other one is looked up")
        herd["A"].start()
        assert not link_to(server, "A")["up"]
        hang.unlink()
        wait_until(lambda: link_to(server, "A")["up"], "the slow name's link is up")


def test_a_stop_does_not_wait_for_a_name(make_herd, monkeypatch):
    herd = make_herd({"Hill": ["A"], "A": ["Hill"]}, extra=FOR_EVER)
    with naming(herd, monkeypatch, {"A": SLOW_NAME}) as (server, _):
        wait_until(has_state(server, "A", "dialling"), "the name is looked up")
        assert server.stop() == 0
    assert "the name of a neighbour is still looked up: the server ends without it" in server.log()
    assert "group=server msg=stopped" in server.log()
