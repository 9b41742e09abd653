#!/usr/bin/python3
"""Real servers, killed under load: no update that was acknowledged may be gone.

    HERD_BIN=build/release/bin test/e2e/chaos.py --trials 1000 --durability herd|commit|interval|none --seed 1
    … --harms stop,cut,tear,vanish,disk,island     more than kills: see HARMS; `vanish` needs root

One herd of five runs through all trials. A trial: several clients report to servers at random, each id once in thousands of
updates, so that no later update hides the loss of an earlier one; servers chosen by the seed are killed (SIGKILL) in the midst
of it, perhaps with another harm around that, and started again; once all five hold the same records, every one of them is asked
for every id of the trial. `herd` has one server killed at a time, the others any number at once. Exit status 1, and what is
missing, when an acknowledged update is.

With `interval`, each update is judged by itself: what a server acknowledged more than a second before it was killed may not be
gone, whatever else went on. That second is one in which the server could run and its disk wrote: see Stalls.

The last line counts: trials; updates acknowledged; `old`, those acknowledged by a server more than a second before it was killed; `gone`, those that no server holds in the end; `lost`, the ones among them
against the promise of the durability; trials in which a killed server had acknowledged something within 10 ms before it died.
"""

import argparse
import contextlib
import datetime
import os
import random
import shutil
import signal
import subprocess
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
DEADLINE_S = 120 * SLOW
SHOWN_MAX = 5
JUST_NOW_S = 0.01
SECOND_S = 1.0 * SLOW  # on disk after that, with interval
STALL_S = SECOND_S / 5  # what is written takes longer than that where the machine or its disk stands still
REST_S = 0.01  # of a client between two writes, where all that passes through proxies is ours to carry, or load lasts long
NEEDED = ["unshare", "ip", "iptables"]  # for packets that vanish
# iptables says no without a rule; lo is down in a new namespace.
NAMESPACE = 'ip link set lo up && iptables -A INPUT -i lo -p tcp --dport 1 -j ACCEPT && exec "$@"'


class Acknowledged(NamedTuple):
    sent_ns: int
    line: bytes  # the AT line
    at_s: float  # monotonic
    server: str
    since_s: float  # the connection, or a little longer


class Kill(NamedTuple):
    names: list
    safe_s: float  # what was acknowledged until then no kill may lose, whatever the durability
    second_s: float  # with interval: a second before, or as much before as it could run, and write, for a second
    at_s: float
    dead_s: float  # all of them


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

    def report(self, client, server, since_s):
        """A few updates in one write, then their answers; those that never come were not acknowledged."""
        updates = [self.next_update() for _ in range(self.rng.randint(1, PIPELINE_MAX))]
        client.send(b"".join(b"IAMAT %s +34.068930-118.445127 %d.%09d\n" % (id_, *divmod(ns, 10**9)) for id_, ns in updates))
        for id_, ns in updates:
            line = client.line()
            if not line.endswith(b"\n"):
                raise ConnectionResetError("ended")
            if line.startswith(b"? "):  # not safe in time: nothing was promised
                continue
            assert line.startswith(b"AT ") and line.split()[3] == id_, line
            self.acknowledged[id_] = Acknowledged(ns, line, time.monotonic(), server, since_s)
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
            since_s = time.monotonic()
            try:
                with Client(herd.ports[name], PATIENCE_S) as client:
                    for _ in range(self.rng.randint(1, 20)):
                        if self.load.gate.is_set():
                            self.report(client, name, since_s)
                            time.sleep(self.load.rest_s)
            except ConnectionRefusedError:
                time.sleep(0.005)  # its port is closed: do not hammer it
            except OSError:
                pass


class Stalls(threading.Thread):
    """
    When the machine or its disk stood still, by one who writes a little, and syncs it, all the time. What is promised for a
    second holds for a disk that writes, not for one that does not answer.
    """

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.path = folder / "stalls"
        self.over = threading.Event()
        self.began_s = time.monotonic()
        self.done = []
        self.start()

    def run(self):
        with open(self.path, "wb", buffering=0) as file:
            while not self.over.is_set():
                self.began_s = time.monotonic()
                os.pwrite(file.fileno(), b"x" * 4096, 0)
                os.fdatasync(file.fileno())
                time.sleep(STALL_S / 10)
                ended_s = time.monotonic()
                if ended_s - self.began_s > STALL_S:
                    self.done.append((self.began_s, ended_s))

    def so_far(self):
        """(began, ended) of each; the last one may not have ended."""
        assert self.is_alive(), "nobody looks for stalls any more"
        began_s = self.began_s
        return self.done + ([(began_s, float("inf"))] if time.monotonic() - began_s > STALL_S else [])

    def end(self):
        self.over.set()
        self.join()


class Load:
    """All reporters; they pause and go on together."""

    def __init__(self, herd, seed, reporters=REPORTERS, rest_s=0.0):
        self.herd, self.seed, self.rest_s = herd, seed, rest_s
        self.gate = threading.Event()
        self.ended = False
        self.stalls = Stalls(herd.folder)
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
        self.stalls.end()

    def count(self):
        return sum(reporter.count for reporter in self.reporters)

    def has_old(self, names):
        """Whether one of these servers has acknowledged something more than a second ago, since the last `take`."""
        second_s = a_second_before(time.monotonic(), self.stalls.so_far())
        return any(update.server in names and update.at_s <= second_s
                   for reporter in self.reporters for update in list(reporter.acknowledged.values()))

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


def wait_with_neighbours(herd, names):
    """All that these servers hold now is at their neighbours."""
    upto = {name: herd[name].status()["sequence"] for name in names}
    for name in names:
        wait_until(lambda: all(link["acked"] >= upto[name] for link in herd[name].status()["links"]),
                   f"what {name} had is at its neighbours", DEADLINE_S)


def a_second_before(at_s, stops):
    """The time before which all had a second in all to be written until `at_s`, where nothing could be during these (began, ended)."""
    left_s = SECOND_S
    for began_s, ended_s in sorted(stops, key=lambda stop: stop[1], reverse=True):
        if began_s >= at_s:
            continue  # within another one
        could_s = max(at_s - ended_s, 0)
        if could_s >= left_s:
            break
        left_s -= could_s
        at_s = began_s
    return at_s - left_s


def kill(load, names, safe_s, stops):
    """All at once; servers stood still during `stops`."""
    herd, at_s = load.herd, time.monotonic()
    second_s = a_second_before(at_s, [*stops, *load.stalls.so_far()])
    for name in names:
        herd[name].process.send_signal(signal.SIGKILL)
    for name in names:
        herd[name].process.wait()
    return Kill(list(names), safe_s, second_s, at_s, time.monotonic())


def start(herd, names):
    """Those of them that are down."""
    down = [name for name in names if herd[name].process.poll() is not None]
    for name in down:
        herd[name].start(wait=False)
    for name in down:
        herd[name].wait_listening()


class Kills:
    """Who is killed in a trial, and when; a harm may choose, and kill more."""

    def __init__(self, load, rng, victims, safe_s=0.0):
        self.load, self.herd, self.rng, self.victims, self.safe_s = load, load.herd, rng, victims, safe_s
        self.done = []
        self.stops = []  # (began, ended) of what stood still
        self.without_disk = []

    def names(self):
        """One or two servers at random."""
        return self.rng.sample(list(self.herd.graph), self.rng.choice([1, 2]))

    def strike(self, victims):
        self.done.append(kill(self.load, victims, self.safe_s, self.stops))


@contextlib.contextmanager
def stopped(kills):
    """One or two servers stand still."""
    names = kills.names()
    began_s = time.monotonic()
    kills.stops.append((began_s, float("inf")))
    for name in names:
        kills.herd[name].process.send_signal(signal.SIGSTOP)
    yield
    for name in names:
        kills.herd[name].process.send_signal(signal.SIGCONT)
    kills.stops[-1] = (began_s, time.monotonic())


def edges_of(herd, names):
    return [proxy for edge, proxy in herd.proxies.items() if set(names) & set(edge)]


@contextlib.contextmanager
def cut_off(kills):
    """One or two servers are cut off: connections of their links are reset, and new ones, too."""
    proxies = edges_of(kills.herd, kills.names())
    for proxy in proxies:
        proxy.cut()
    yield
    for proxy in proxies:
        proxy.heal()


@contextlib.contextmanager
def torn(kills):
    """Connections of half of the links end, in one way or another."""
    herd, rng = kills.herd, kills.rng
    for proxy in rng.sample(list(herd.proxies.values()), len(herd.proxies) // 2):
        rng.choice([proxy.reset, proxy.drop, lambda: proxy.half_close("up"), lambda: proxy.half_close("down")])()
    yield


def drop_packets(herd, names, verb):
    """Packets of the links of these servers vanish (-A), or do not any more (-D): nobody gets a reset, as behind a dead switch."""
    for proxy in edges_of(herd, names):
        for side in ("--dport", "--sport"):
            subprocess.run(["iptables", verb, "INPUT", "-i", "lo", "-p", "tcp", side, str(proxy.listen_port), "-j", "DROP"], check=True)


@contextlib.contextmanager
def vanishing(kills):
    """Packets of the links of one server vanish: who is killed meanwhile is gone without a word."""
    names = [kills.rng.choice(list(kills.herd.graph))]
    drop_packets(kills.herd, names, "-A")
    yield
    drop_packets(kills.herd, names, "-D")


@contextlib.contextmanager
def without_disk(kills):
    """One server is killed, and all that it had on disk is deleted before it starts again."""
    del kills.victims[1:]
    kills.without_disk = kills.victims
    yield
    shutil.rmtree(kills.herd.folder / "data" / kills.victims[0])


@contextlib.contextmanager
def island(kills):
    """Two neighbours are cut off from the others; one is killed, has from the other what it missed, and then that one is killed."""
    herd = kills.herd
    first = kills.victims[0]
    second = kills.rng.choice(herd.graph[first])
    kills.victims[:] = [first]
    proxies = [proxy for edge, proxy in herd.proxies.items() if len({first, second} & set(edge)) == 1]
    for proxy in proxies:
        proxy.cut()
    yield
    gone = datetime.datetime.now(datetime.timezone.utc)
    start(herd, [first])
    # Before that, what the second knows of the first may be of the one that was killed.
    wait_until(lambda: has_come_up(herd, second, first, gone), f"{second} has found {first} again", DEADLINE_S)
    wait_until(lambda: has_all_of(herd, first, second), f"{first} has all that {second} had", DEADLINE_S)
    kills.strike([second])
    kills.victims.append(second)
    for proxy in proxies:
        proxy.heal()


def has_come_up(herd, name, neighbour, since):
    """Whether the link of a server to its neighbour has come up since then: by the times in its log, which may be written later."""
    time_ = since.strftime("time=%Y-%m-%dT%H:%M:%S.%fZ")
    return any(line > time_ and f"group=link msg=up peer={neighbour} " in line for line in herd[name].log().splitlines())


def has_all_of(herd, name, neighbour):
    """Whether a server has acknowledged all that its neighbour held when it was asked."""
    status = herd[neighbour].try_status()
    return status is not None and all(link["acked"] >= status["sequence"] for link in status["links"] if link["peer"] == name)


HARMS = {"stop": stopped, "cut": cut_off, "tear": torn, "vanish": vanishing, "disk": without_disk, "island": island}
UNPROXIED = {"stop", "disk"}


def can_have_namespace():
    return os.geteuid() == 0 and all(map(shutil.which, NEEDED)) and subprocess.run(
        [*in_namespace(), "true"], check=False, capture_output=True).returncode == 0


def in_namespace():
    """What runs a command in a network namespace of its own, where packets may vanish."""
    return ["unshare", "--net", "sh", "-c", NAMESPACE, "sh"]


def may_be_lost(durability, update, kills, without_disk=()):
    """Whether the promise of a durability leaves it open."""
    if durability == "none":
        return True
    if durability != "interval" and not (durability == "commit" and update.server in without_disk):
        return False
    # By one that was killed, before it was; its answer may have been read later.
    return any(update.server in kill.names and update.since_s <= kill.dead_s
               and (kill.safe_s if update.server in without_disk else kill.second_s) < update.at_s for kill in kills)


def is_old(update, kills):
    """Whether a server that was killed had had it for more than a second, and no kill before may have lost it."""
    return any(update.server in kill.names and update.at_s <= kill.second_s for kill in kills)


def judge(herd, durability, acknowledged, kills, out=print, without_disk=()):
    """How many acknowledged updates are gone; tells of each that may not be. (gone, of these against the promise)"""
    gone, broken = {}, set()
    for name, id_, line in missing(herd, acknowledged):
        gone[id_] = name
        update = acknowledged[id_]
        if id_ not in broken and not may_be_lost(durability, update, kills, without_disk):
            broken.add(id_)
            if len(broken) > SHOWN_MAX:
                continue
            ago = min((kill.at_s - update.at_s for kill in kills), key=abs, default=0)
            out(f"LOST at {name}: {update.line.decode().strip()}, acknowledged by {update.server} {ago * 1e3:.1f} ms before the "
                f"kill; held: {line.decode().strip()}")
    return len(gone), len(broken)


def victims_of(rng, durability, names):
    if durability in ("herd", "none"):
        return [rng.choice(names)]
    return rng.sample(names, rng.choice([1, 2, 3, 4, 5, 5, 5]))


class Result(NamedTuple):
    harm: str
    victims: list
    killed: int  # servers
    acknowledged: int
    old: int  # of them
    gone: int
    broken: int  # gone against the promise
    just_now: bool  # one of the killed had acknowledged something just before
    whole_s: float


def was_just_now(acknowledged, kill):
    return any(update.server in kill.names and kill.at_s - JUST_NOW_S < update.at_s <= kill.at_s for update in acknowledged.values())


def trial(herd, load, durability, promise, harms, rng):
    load.go()
    duration_s = rng.uniform(0.02, 0.07)  # the load's, or what there is of it after the time until which all is safe
    if promise == "interval":
        duration_s += SECOND_S * rng.uniform(1, 1.5)
    victims = victims_of(rng, promise, list(herd.graph))
    harm = rng.choice(harms)
    time.sleep(duration_s)
    if promise == "interval":  # else it shows nothing
        wait_until(lambda: load.has_old(victims), "a second has passed since one of them has acknowledged something", DEADLINE_S)
    safe_s = time.monotonic()
    if harm == "disk":
        wait_with_neighbours(herd, victims)
    if harm == "disk":
        time.sleep(duration_s)
    kills = Kills(load, rng, victims, safe_s)
    with HARMS[harm](kills) if harm != "none" else contextlib.nullcontext():
        time.sleep(rng.uniform(0, 0.05) if harm != "none" else 0)  # the harm's duration
        kills.strike(victims)
        time.sleep(rng.uniform(0, 0.03))
    load.gate.clear()
    began_s = time.monotonic()
    start(herd, victims)
    load.pause()
    wait_whole(herd)
    whole_s = time.monotonic() - began_s
    acknowledged = load.take()
    just_now = was_just_now(acknowledged, kills.done[0])
    found = judge(herd, promise, acknowledged, kills.done, without_disk=kills.without_disk)
    old = sum(is_old(update, kills.done) for update in acknowledged.values())
    return Result(harm, victims, len(victims), len(acknowledged), old, *found, just_now, whole_s)


def run_trials(herd, options):
    promise = options.promise or options.durability
    harms = ["none", *options.harms]
    load = Load(herd, options.seed, rest_s=REST_S if herd.proxies or promise == "interval" else 0)
    results = []
    began_s = time.monotonic()
    for number in range(options.first, options.first + options.trials):
        result = trial(herd, load, options.durability, promise, harms, random.Random(f"{options.seed}/trial {number}"))
        results.append(result)
        if result.broken > 0 or options.verbose:
            print(f"trial {number}: {result.harm}, {' '.join(result.victims)} killed, {result.acknowledged} acknowledged, {result.gone} gone, "
                  f"whole after {result.whole_s:.3f} s", flush=True)
        if result.broken > 0 and not options.keep_going:
            break
    load.end()
    totals = {name: sum(getattr(result, name) for result in results) for name in ("killed", "acknowledged", "old", "gone", "broken", "just_now")}
    counts = " ".join(f"{harm}={sum(result.harm == harm for result in results)}" for harm in options.harms)
    print(f"durability={options.durability} seed={options.seed} trials={len(results)} {counts} kills={totals['killed']} "
          f"acknowledged={totals['acknowledged']} old={totals['old']} gone={totals['gone']} lost={totals['broken']} just_before_the_kill={totals['just_now']} "
          f"slowest_whole_s={max(result.whole_s for result in results):.3f} took_s={time.monotonic() - began_s:.0f}")
    return totals["broken"]


def harms_of(text):
    names = text.split(",") if text else []
    if set(names) - set(HARMS):
        raise argparse.ArgumentTypeError(f"the harms are {', '.join(HARMS)}")
    return names


def enter_namespace():
    """Runs this program again in a network namespace of its own."""
    if not can_have_namespace():
        raise SystemExit(f"packets vanish with root and {', '.join(NEEDED)}")
    command = in_namespace()
    os.execvp(command[0], [*command, sys.executable, *sys.argv, "--in-namespace"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--durability", choices=["herd", "commit", "interval", "none"], default="herd")
    parser.add_argument("--promise", choices=["herd", "commit", "interval"], help="judge as if that were the durability")
    parser.add_argument("--harms", type=harms_of, default=[], help="besides kills")
    parser.add_argument("--in-namespace", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--keep-going", action="store_true", help="go on after a loss")
    parser.add_argument("--verbose", action="store_true", help="a line a trial")
    parser.add_argument("--folder", help="for configuration, data and logs; else a temporary one, kept after a loss")
    options = parser.parse_args()
    if "vanish" in options.harms and not options.in_namespace:
        enter_namespace()
    print(f"seed {options.seed}", flush=True)
    folder = options.folder or tempfile.mkdtemp(prefix="herd-chaos-")
    proxied = [(name, peer) for name in SEED for peer in SEED[name]] if set(options.harms) - UNPROXIED else []
    herd = Herd(folder, SEED, extra=f'durability = "{options.durability}"', proxied=proxied)
    try:
        broken = run_trials(herd.start(), options)
        herd.stop()
    finally:
        herd.kill()
    if broken:
        print(f"logs: {folder}")
    elif not options.folder:
        shutil.rmtree(folder)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
