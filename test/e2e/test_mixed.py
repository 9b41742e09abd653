"""Herds of our servers and of plain ones of the seed's kind, neighbours of each other."""

import pytest

from herdlib import AT, SEED, Client, knows, wait_until
from plain import PlainServer

LOCATION = b"+34.068930-118.445127"


@pytest.fixture
def make_mixed(make_herd):
    """The seed's herd, with the servers of `plain` (name -> behaviour) of the plain kind."""
    plain_servers = []

    def make(plain):
        herd = make_herd()
        for name, behaviour in plain.items():
            neighbours = {peer: herd.ports[peer] for peer in SEED[name]}
            plain_servers.append(PlainServer(name, herd.ports[name], neighbours, behaviour).start())
        herd.start([name for name in SEED if name not in plain])
        return herd, {server.name: server for server in plain_servers}

    yield make
    for server in plain_servers:
        server.stop()


def iamat(port, client_id, sent):
    with Client(port) as client:
        answer = client.ask(b"IAMAT %s %s %d" % (client_id, LOCATION, sent))
        assert AT.match(answer)
        return answer


def everywhere(herd, plain, client_id, at_line):
    for name in SEED:
        if name in plain:
            wait_until(lambda: client_id in plain[name].records and plain[name].at_line(client_id) == at_line,
                       f"{name} (plain) knows {client_id}")
        else:
            wait_until(lambda: knows(herd[name], client_id, at_line), f"{name} knows {client_id}")


MIXTURES = {
    "three plain": {"Jaquez": "lines", "Smith": "lines", "Singleton": "lines"},
    "two plain": {"Hill": "lines", "Singleton": "lines"},
    "one line a connection": {"Jaquez": "one_line", "Smith": "one_line"},
    "closes on HELLO": {"Jaquez": "closes", "Campbell": "closes", "Singleton": "closes"},
    "silent on HELLO": {"Smith": "silent", "Jaquez": "silent"},
    "one of each": {"Hill": "lines", "Jaquez": "one_line", "Smith": "closes", "Singleton": "silent"},
}


@pytest.mark.parametrize("mixture", MIXTURES.values(), ids=MIXTURES.keys())
def test_an_update_anywhere_reaches_all(make_mixed, mixture):
    herd, plain = make_mixed(mixture)
    for round_, name in enumerate([*SEED, *SEED]):
        client_id = b"c%d" % round_
        at_line = iamat(herd.ports[name], client_id, 1000 + round_)
        everywhere(herd, plain, client_id, at_line)


@pytest.mark.parametrize("behaviour", ["lines", "one_line", "closes", "silent"])
def test_a_plain_server_that_returns_gets_all(make_mixed, behaviour):
    herd, plain = make_mixed({"Jaquez": behaviour})
    at_lines = {b"c%d" % i: iamat(herd.ports["Hill"], b"c%d" % i, 1000 + i) for i in range(30)}
    for client_id, at_line in at_lines.items():
        everywhere(herd, plain, client_id, at_line)
    # Its own words come back to it too.
    at_lines[b"own"] = iamat(herd.ports["Jaquez"], b"own", 2000)
    everywhere(herd, plain, b"own", at_lines[b"own"])
    plain["Jaquez"].stop()
    at_lines[b"missed"] = iamat(herd.ports["Smith"], b"missed", 3000)
    plain["Jaquez"].start()
    for client_id, at_line in at_lines.items():
        everywhere(herd, plain, client_id, at_line)


def test_hundreds_of_updates_at_once(make_mixed):
    herd, plain = make_mixed({"Jaquez": "one_line", "Smith": "lines"})
    with Client(herd.ports["Hill"]) as client:
        client.send(b"".join(b"IAMAT b%d %s %d\n" % (i, LOCATION, 1000 + i) for i in range(300)))
        at_lines = [client.line() for _ in range(300)]
    for i, at_line in enumerate(at_lines):
        everywhere(herd, plain, b"b%d" % i, at_line)
