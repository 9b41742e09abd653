"""Read your writes: WHATSAT … AFTER sees what the same client has told another server."""

import itertools
import json
import os
import time

from herdlib import AT, BIN, SEED, Client, run, wait_until

ROUNDS = int(os.environ.get("HERD_ROUNDS", "1000"))  # each asks four servers
DIGITS = b"+34.068930-118.445127"


def herdctl(herd, *arguments):
    return run(BIN / "herdctl", "--config", herd.config, *arguments)


def test_what_was_told_hill_is_known_wherever_it_is_asked(herd):
    clients = {name: herd[name].client() for name in SEED}
    for i in range(ROUNDS):
        origin = list(SEED)[i % 5] if i % 2 else "Hill"
        told = clients[origin].ask(b"IAMAT c%d %s %d.25" % (i % 7, DIGITS, 1000 + i))
        others = [client for name, client in clients.items() if name != origin]
        for client in others:
            client.send(b"WHATSAT c%d 1 0 AFTER %d.25\n" % (i % 7, 1000 + i))
        assert [client.answer()[0] for client in others] == [told] * 4, f"update {i} at {origin}"
    for client in clients.values():
        client.close()


def test_asked_before_it_was_told(herd):
    with herd["Singleton"].client() as asking, herd["Hill"].client() as telling:
        for i in range(200):
            asking.send(b"WHATSAT early 1 0 AFTER %d WAIT 5000\n" % (1000 + i))
            told = telling.ask(b"IAMAT early +1+1 %d" % (1000 + i))
            assert asking.answer()[0] == told


def test_many_questions_of_one_connection_are_answered_in_order(herd):
    with herd["Campbell"].client() as asking, herd["Hill"].client() as telling:
        for client in range(32):
            asking.send(b"WHATSAT m%d 1 0 AFTER 5 WAIT 5000\n" % client)
        told = {client: telling.ask(b"IAMAT m%d +1+1 5" % client) for client in reversed(range(32))}
        assert [asking.answer()[0] for _ in range(32)] == [told[client] for client in range(32)]


def test_what_nobody_tells_is_refused_when_the_time_is_up(herd):
    with herd["Hill"].client() as client:
        client.ask(b"IAMAT old +1+1 5")
        for line, at_least_s in [(b"WHATSAT nobody 1 0 AFTER 6 WAIT 200", 0.2), (b"WHATSAT old 1 0 AFTER 5.000000001 WAIT 300", 0.3),
                                 (b"WHATSAT old 1 0 AFTER 6", 2.0), (b"WHATSAT old 1 0 AFTER 6 WAIT 0", 0.0)]:
            began = time.monotonic()
            assert client.ask(line) == b"? " + line + b"\n"
            took = time.monotonic() - began
            assert at_least_s <= took, f"{line}: {took:.3f} s"
            print(f"{line.decode()}: refused after {took:.3f} s")
        assert client.ask(b"WHATSAT old 1 0 AFTER 6 WAIT 5001") == b"? WHATSAT old 1 0 AFTER 6 WAIT 5001\n"
        assert AT.match(client.whatsat(b"WHATSAT old 1 0 AFTER 5.000000000")[0])


def stalled_pair(make_herd):
    """Hill and Jaquez; what goes between them stops when it is told to."""
    herd = make_herd({"Hill": ["Jaquez"], "Jaquez": ["Hill"]}, proxied=[("Hill", "Jaquez"), ("Jaquez", "Hill")]).start()
    return herd, lambda stall: [proxy.set(stall=stall) for proxy in herd.proxies.values()]


def test_a_link_that_heals_in_time_brings_the_answer(make_herd):
    herd, stall = stalled_pair(make_herd)
    with herd["Hill"].client() as telling, herd["Jaquez"].client() as asking:
        for i in range(3):
            stall(True)
            told = telling.ask(b"IAMAT x +1+1 %d" % (10 + i))
            asking.send(b"WHATSAT x 1 0 AFTER %d WAIT 5000\n" % (10 + i))
            asking.socket.settimeout(0.3)
            try:
                assert not asking.socket.recv(1), "answered through a link that stands still"
            except TimeoutError:
                pass
            asking.socket.settimeout(None)
            began = time.monotonic()
            stall(False)
            assert asking.answer()[0] == told
            print(f"answered {(time.monotonic() - began) * 1e3:.1f} ms after the link had healed")


def test_a_link_that_does_not_heal_in_time_is_told(make_herd):
    herd, stall = stalled_pair(make_herd)
    with herd["Hill"].client() as telling, herd["Jaquez"].client() as asking:
        stall(True)
        told = telling.ask(b"IAMAT x +1+1 10")
        assert asking.ask(b"WHATSAT x 1 0 AFTER 10 WAIT 300") == b"? WHATSAT x 1 0 AFTER 10 WAIT 300\n"
        assert asking.ask(b"WHATSAT x 1 0") == b"? WHATSAT x 1 0\n"
        stall(False)
        assert asking.whatsat(b"WHATSAT x 1 0 AFTER 10 WAIT 5000")[0] == told


def test_a_neighbour_cut_off_and_back(make_herd):
    """The line is gone, not only still: the answer comes with the connection that replaces it."""
    herd, _ = stalled_pair(make_herd)
    for proxy in herd.proxies.values():
        proxy.cut()
    with herd["Hill"].client() as telling, herd["Jaquez"].client() as asking:
        told = telling.ask(b"IAMAT x +1+1 10")
        asking.send(b"WHATSAT x 1 0 AFTER 10 WAIT 5000\n")
        for proxy in herd.proxies.values():
            proxy.heal()
        assert asking.answer()[0] == told


def test_a_client_that_leaves_while_it_waits(herd):
    for i in range(50):
        client = Client(herd.ports["Hill"])
        client.send(b"WHATSAT gone%d 1 0 AFTER 5 WAIT 500\n" % i)
        client.close()
    wait_until(lambda: herd["Hill"].status()["metrics"]["connections_open"] <= 4, "their connections are gone")
    with herd["Jaquez"].client() as client:
        for i in range(50):
            client.ask(b"IAMAT gone%d +1+1 5" % i)
    with herd["Hill"].client() as client:
        assert AT.match(client.whatsat(b"WHATSAT gone49 1 0 AFTER 5")[0])


def test_a_stop_does_not_wait_for_it(make_herd):
    herd = make_herd({"Hill": []}).start()
    with herd["Hill"].client() as client:
        client.send(b"WHATSAT nobody 1 0 AFTER 5 WAIT 5000\n")
        wait_until(lambda: herd["Hill"].status()["metrics"]["whatsat_total"] == 1, "it has the question")
        began = time.monotonic()
        herd["Hill"].stop()
        assert client.line() == b"? WHATSAT nobody 1 0 AFTER 5 WAIT 5000\n"
        print(f"stopped after {time.monotonic() - began:.3f} s")


def test_herdctl_whatsat_after(herd):
    for i, (origin, asked) in enumerate(itertools.permutations(SEED, 2)):
        told = herdctl(herd, "iamat", origin, "kiwi", "-33.8568+151.2153", str(1700000000 + i))
        assert herdctl(herd, "whatsat", asked, "kiwi", "10", "1", "--after", str(1700000000 + i)).stdout.startswith(told.stdout)
    as_json = json.loads(herdctl(herd, "--json", "whatsat", "Hill", "kiwi", "10", "2", "--after", "1700000019").stdout)
    assert as_json["at"]["time_sent"] == "1700000019" and len(as_json["places"]["results"]) == 2
    late = herdctl(herd, "whatsat", "Hill", "kiwi", "10", "1", "--after", "1800000000")
    assert late.returncode == 1 and "? WHATSAT kiwi 10 1 AFTER 1800000000" in late.stderr
    for words in (["--after"], ["after", "5"], ["--after", "5", "6"]):
        wrong = herdctl(herd, "whatsat", "Hill", "kiwi", "10", "1", *words)
        assert wrong.returncode == 2 and "[--after TIME]" in wrong.stderr
