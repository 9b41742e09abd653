"""Neighbours with names that take long to be looked up."""

import time

from herdlib import DEADLINE_S, preloaded, wait_until

# In small letters this would be no name to be looked up. The two differ for slow_dns.c alone.
SLOW_NAME, GOOD_NAME = "LOCALHOST", "Localhost"


def link_to(server, peer):
    return next(link for link in server.status()["links"] if link["peer"] == peer)


def has_state(server, peer, state):
    return lambda: link_to(server, peer)["state"] == state


def start_naming(herd, monkeypatch, names, slow_s):
    """Hill, which has those names for its neighbours; for themselves they have addresses."""
    addresses = herd.config.read_text()
    text = addresses
    for neighbour, name in names.items():
        text = text.replace(f"127.0.0.1:{herd.ports[neighbour]}", f"{name}:{herd.ports[neighbour]}")
    herd.config.write_text(text)
    with preloaded(monkeypatch, "libslow_dns.so", SLOW_DNS_MS=1000 * slow_s, SLOW_DNS_NAME=SLOW_NAME):
        server = herd.start(["Hill"], links=False)["Hill"]
    herd.config.write_text(addresses)
    return server


def test_a_slow_name_holds_up_no_other(make_herd, monkeypatch):
    """It takes longer than an attempt, and one of the few threads for names, not one more for each attempt; the answer, when it
    comes, is the next attempt's."""
    slow_s = 16
    herd = make_herd({"Hill": ["A", "Dale"], "A": ["Hill"], "Dale": ["Hill"]})
    server = start_naming(herd, monkeypatch, {"A": SLOW_NAME, "Dale": GOOD_NAME}, slow_s)
    for state in ("waiting", "dialling"):
        wait_until(has_state(server, "A", state), f"the second attempt: {state}")
    herd["Dale"].start()
    began = time.monotonic()
    wait_until(lambda: link_to(server, "Dale")["up"], "the good name's link is up", slow_s + DEADLINE_S)
    took_s = time.monotonic() - began
    print(f"a name that takes {slow_s} s: the other neighbour linked after {took_s:.2f} s")
    assert took_s < slow_s / 4
    herd["A"].start()
    wait_until(lambda: link_to(server, "A")["up"], "the slow name's link is up", slow_s + DEADLINE_S)


def test_a_stop_does_not_wait_for_a_name(make_herd, monkeypatch):
    slow_s = 20
    herd = make_herd({"Hill": ["A"], "A": ["Hill"]}, extra=f"stop_timeout_ms = {1000 * slow_s}")
    server = start_naming(herd, monkeypatch, {"A": SLOW_NAME}, slow_s)
    wait_until(has_state(server, "A", "dialling"), "the name is looked up")
    began = time.monotonic()
    assert server.stop() == 0
    took_s = time.monotonic() - began
    print(f"a name that takes {slow_s} s: stopped after {took_s:.2f} s")
    assert took_s < slow_s / 2
    assert "the name of a neighbour is still looked up: the server ends without it" in server.log()
    assert "group=server msg=stopped" in server.log()
