"""Pruning between real servers: a herd that is large enough for it by itself, and one that is told to."""

import itertools
import time

from herdlib import SEED, wait_until

NAMES = [f"S{i}" for i in range(16)]
# Each with the next two on either side: 32 edges, so a flood takes 49 lines and a tree 15.
RING = {name: [NAMES[(i + k) % 16] for k in (-2, -1, 1, 2)] for i, name in enumerate(NAMES)}

ROUNDS, UPDATES = 10, 5


def total(herd, metric):
    return sum(server.status()["metrics"][metric] for server in herd.servers.values() if server.process.poll() is None)


def update(server, client_id, sent):
    with server.client() as client:
        assert client.ask(b"IAMAT %s +1+1 %d" % (client_id, sent)).startswith(b"AT ")


def all_hold(herd, count):
    return all(server.status()["clients"] == count for server in herd.servers.values() if server.process.poll() is None)


def grow_tree(herd, server):
    """Connections that have just begun prove nothing: updates of one client, until one takes no more than a tree."""
    times = itertools.count(2)

    def is_grown():
        before = total(herd, "floods_sent_total")
        update(herd[server], b"first", next(times))
        herd.wait_agrees()
        return total(herd, "prunes_sent_total") > 0 and total(herd, "floods_sent_total") - before <= 15

    wait_until(is_grown, "an update takes as many lines as a tree has edges")


def test_sixteen_servers_send_little_more_than_a_tree(make_herd):
    herd = make_herd(RING).start()
    update(herd["S0"], b"first", 1)
    wait_until(lambda: all_hold(herd, 1), "the first update is everywhere")
    assert 15 <= total(herd, "floods_sent_total") <= 49
    grow_tree(herd, "S0")
    # Where a server stands still while updates go by, others find another way, which costs lines: of that round alone.
    lines = []
    for round_ in range(ROUNDS):
        before = total(herd, "floods_sent_total")
        for i in range(UPDATES):
            update(herd["S0"], b"c%d_%d" % (round_, i), 1)
        wait_until(lambda: all_hold(herd, 1 + (round_ + 1) * UPDATES), "all updates are everywhere")
        lines.append((total(herd, "floods_sent_total") - before) / UPDATES)
    print(f"lines an update, by rounds: {', '.join(f'{count:.1f}' for count in lines)}")
    assert sorted(lines)[ROUNDS // 2] <= 1.05 * (len(NAMES) - 1)
    assert sorted(lines)[ROUNDS * 7 // 10 - 1] <= 20
    assert total(herd, "prunes_sent_total") > 0
    # Everything that was held back is asked for until it is known to be there: then all is marked.
    wait_until(lambda: all(link["acked"] == status["sequence"] for server in herd.servers.values()
                           for status in [server.status()] for link in status["links"]), "all is marked")
    assert total(herd, "floods_held_back_total") > 0


def test_way_that_is_lost_is_replaced(make_herd):
    herd = make_herd(RING).start()
    update(herd["S0"], b"first", 1)
    wait_until(lambda: all_hold(herd, 1), "the first update is everywhere")
    grow_tree(herd, "S0")
    for i in range(20):
        update(herd["S0"], b"c%d" % i, 1)
    wait_until(lambda: all_hold(herd, 21), "all updates are everywhere")
    herd["S1"].kill()
    herd["S15"].kill()
    took = []
    for i in range(20, 40):
        began = time.monotonic()
        update(herd["S0"], b"c%d" % i, 1)
        wait_until(lambda: all_hold(herd, i + 2), f"update {i} is everywhere")
        took.append(time.monotonic() - began)
    print(f"everywhere after {', '.join(f'{t * 1e3:.0f}' for t in took)} ms")
    herd["S1"].start()
    herd["S15"].start()
    herd.wait_agrees()


def test_small_herds_do_not_prune_unless_told(make_herd):
    for extra, prunes in (("", False), ("prune = on", True)):
        herd = make_herd(SEED, extra=extra).start()
        for i in range(10):
            update(herd["Hill"], b"c%d" % i, 1)
        wait_until(lambda herd=herd: all_hold(herd, 10), "all updates are everywhere")
        if prunes:
            times = itertools.count(2)
            wait_until(lambda herd=herd, times=times: update(herd["Hill"], b"c0", next(times)) or total(herd, "prunes_sent_total") > 0,
                       "some link is pruned")
        else:
            wait_until(lambda herd=herd: total(herd, "floods_sent_total") == 10 * 8, "all floods have ended")
            assert total(herd, "prunes_sent_total") == 0
