#!/usr/bin/python3
"""Real servers, killed under load: no update that was acknowledged may be gone.

    HERD_BIN=build/release/bin test/e2e/chaos.py --trials 1000 --durability herd|commit|interval|none --seed 1

One herd of five runs through all trials. A trial: several clients report to servers at random, each id once in thousands of
updates, so that no later update hides the loss of an earlier one; servers chosen by the seed are killed (SIGKILL) in the midst
of it and started again; once all five hold the same records, every one of them is asked for every id of the trial. `herd` has one
server killed at a time, the others any number at once. Exit status 1, and what is missing, when an acknowledged update is.
"""

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from typing import NamedTuple

from herdlib import SEED, SLOW, Client, Herd, wait_until

REPORTERS = 4
IDS = 20_000  # of one reporter
PIPELINE_MAX = 12
PATIENCE_S = 1.0  # of a client with a server that does not answer
INTERVAL_S = 1.0  # what durability "interval" may lose
DEADLINE_S = 120 * SLOW
SHOWN_MAX = 5


class Acknowledged(NamedTuple):
    sent_ns: int
    line: bytes  # the AT line
    at_s: float  # monotonic
    server: str


class Reporter(threading.Thread):
    """A client that tells servers at random where its ids are, and keeps what they have acknowledged."""

    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load = load
        self.rng = random.Random(f"{load.seed}/{number}")
        self.prefix = b"r%d." % number
        self.next_id = 0
        self.last_ns = 0
        self.idle = True
        self.acknowledged = {}
        self.count = 0

    def next_update(self):
        self.next_id = (self.next_id + 1) % IDS
        self.last_ns = max(self.last_ns + 1, time.time_ns())
        return self.prefix + b"%d" % self.next_id, self.last_ns

    def report(self, client, server):
        """A few updates in one write, then their answers; those that never come were not acknowledged."""
        updates = [self.next_update() for _ in range(self.rng.randint(1, PIPELINE_MAX))]
        client.send(b"".join(b"IAMAT %s +34.068930-118.445127 %d.%09d\n" % (id_, *divmod(ns, 10**9)) for id_, ns in updates))
        for id_, ns in updates:
            line = client.line()
            if not line.endswith(b"\n"):
                raise ConnectionResetError("ended")
            assert line.startswith(b"AT ") and line.split()[3] == id_, line
            self.acknowledged[id_] = Acknowledged(ns, line, time.monotonic(), server)
            self.count += 1

    def run(self):
        herd = self.load.herd
        while True:
            self.idle = True
            self.load.gate.wait()
            self.idle = False
            if self.load.ended:
                return
            name = self.rng.choice(list(herd.graph))
            try:
                with Client(herd.ports[name], PATIENCE_S) as client:
                    for _ in range(self.rng.randint(1, 20)):
                        if self.load.gate.is_set():
                            self.report(client, name)
                            time.sleep(self.load.rest_s)
            except ConnectionRefusedError:
                time.sleep(0.005)  # its port is closed: do not hammer it
            except OSError:
                pass


class Load:
    """All reporters; they pause and go on together."""

    def __init__(self, herd, seed, reporters=REPORTERS, rest_s=0.0):
        self.herd, self.seed, self.rest_s = herd, seed, rest_s
        self.gate = threading.Event()
        self.ended = False
        self.reporters = [Reporter(self, number) for number in range(reporters)]
        for reporter in self.reporters:
            reporter.start()

    def go(self):
        self.gate.set()

    def pause(self):
        """Returns once no reporter waits for an answer any more."""
        self.gate.clear()
        wait_until(lambda: all(reporter.idle for reporter in self.reporters), "the clients have paused", DEADLINE_S)

    def end(self):
        self.ended = True
        self.gate.set()
        for reporter in self.reporters:
            reporter.join()

    def count(self):
        return sum(reporter.count for reporter in self.reporters)

    def take(self):
        """The newest acknowledged update of each id since the last call."""
        taken = {}
        for reporter in self.reporters:
            taken.update(reporter.acknowledged)
            reporter.acknowledged = {}
        return taken


def sent_ns(line):
    whole, _, fraction = line.split()[5].partition(b".")
    return int(whole) * 10**9 + int(fraction.ljust(9, b"0"))


def held_by(server, ids):
    """The AT lines, or error lines, that a server answers for ids, as it would for anybody."""
    with Client(server.port, DEADLINE_S) as client:
        for at in range(0, len(ids), 50):
            part = ids[at:at + 50]
            client.send(b"".join(b"WHATSAT %s 1 0\n" % id_ for id_ in part))
            for id_ in part:
                yield id_, client.answer()[0]


def missing(herd, acknowledged):
    """(server, id, what it holds) of every acknowledged update that a server does not hold, nor a newer one."""
    ids = list(acknowledged)
    for name, server in herd.servers.items():
        for id_, line in held_by(server, ids):
            update = acknowledged[id_]
            held = line.startswith(b"AT ") and (line == update.line or sent_ns(line) > update.sent_ns)
            if not held:
                yield name, id_, line


def wait_whole(herd):
    """All links up and all stores equal."""
    for server in herd.servers.values():
        wait_until(server.links_up, f"the links of {server.name} are up", DEADLINE_S)
    herd.wait_agrees(DEADLINE_S)


def kill(herd, names):
    """All at once; when the first was killed."""
    at_s = time.monotonic()
    for name in names:
        herd[name].process.send_signal(signal.SIGKILL)
    for name in names:
        herd[name].process.wait()
    return at_s


def start(herd, names):
    for name in names:
        herd[name].start(wait=False)
    for name in names:
        herd[name].wait_listening()


def may_be_lost(durability, update, kills_s):
    """Whether the promise of a durability leaves it open."""
    if durability == "none":
        return True
    return durability == "interval" and any(at_s - INTERVAL_S * SLOW < update.at_s <= at_s + PATIENCE_S for at_s in kills_s)


def judge(herd, durability, acknowledged, kills_s, out=print):
    """How many acknowledged updates are gone; tells of each that may not be. (gone, of these against the promise)"""
    gone, broken = {}, set()
    for name, id_, line in missing(herd, acknowledged):
        gone[id_] = name
        update = acknowledged[id_]
        if id_ not in broken and not may_be_lost(durability, update, kills_s):
            broken.add(id_)
            if len(broken) > SHOWN_MAX:
                continue
            ago = min((at_s - update.at_s for at_s in kills_s), key=abs, default=0)
            out(f"LOST at {name}: {update.line.decode().strip()}, acknowledged by {update.server} {ago * 1e3:.1f} ms before the "
                f"kill; held: {line.decode().strip()}")
    return len(gone), len(broken)


def victims_of(rng, durability, names):
    if durability in ("herd", "none"):
        return [rng.choice(names)]
    return rng.sample(names, rng.choice([1, 2, 3, 4, 5, 5, 5]))


def trial(herd, load, durability, rng):
    """(acknowledged, gone, gone against the promise, seconds until whole, victims)"""
    names = list(herd.graph)
    load.go()
    time.sleep(rng.uniform(0.02, 0.07) + (1.2 if durability == "interval" else 0))  # the load's duration
    victims = victims_of(rng, durability, names)
    killed_s = kill(herd, victims)
    time.sleep(rng.uniform(0, 0.03))
    load.gate.clear()
    began_s = time.monotonic()
    start(herd, victims)
    load.pause()
    wait_whole(herd)
    whole_s = time.monotonic() - began_s
    acknowledged = load.take()
    return (len(acknowledged), *judge(herd, durability, acknowledged, [killed_s]), whole_s, victims)


def run_trials(herd, options):
    load = Load(herd, options.seed)
    acknowledged = gone = broken = 0
    slowest_s = 0.0
    began_s = time.monotonic()
    for number in range(options.first, options.first + options.trials):
        result = trial(herd, load, options.durability, random.Random(f"{options.seed}/trial {number}"))
        acknowledged += result[0]
        gone += result[1]
        broken += result[2]
        slowest_s = max(slowest_s, result[3])
        if result[2] > 0 or options.verbose:
            print(f"trial {number}: {' '.join(result[4])} killed, {result[0]} acknowledged, {result[1]} gone, whole after {result[3]:.3f} s", flush=True)
        if result[2] > 0 and not options.keep_going:
            break
    load.end()
    print(f"durability={options.durability} seed={options.seed} trials={number + 1 - options.first} acknowledged={acknowledged} "
          f"gone={gone} lost={broken} slowest_whole_s={slowest_s:.3f} took_s={time.monotonic() - began_s:.0f}")
    return broken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--durability", choices=["herd", "commit", "interval", "none"], default="herd")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--keep-going", action="store_true", help="go on after a loss")
    parser.add_argument("--verbose", action="store_true", help="a line a trial")
    parser.add_argument("--folder", help="for configuration, data and logs; else a temporary one, kept after a loss")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    folder = options.folder or tempfile.mkdtemp(prefix="herd-chaos-")
    herd = Herd(folder, SEED, extra=f'durability = "{options.durability}"')
    try:
        broken = run_trials(herd.start(), options)
        herd.stop()
    finally:
        herd.kill()
    if broken:
        print(f"logs: {folder}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
