"""Servers killed, stopped, cut off and ill-treated on the wire, at random, under load; in the end nothing that was acknowledged
is missing anywhere. HERD_SEED repeats a run, as far as processes can; HERD_CHAOS_S makes it longer."""

import collections
import os
import random
import sys
import time

import pytest

import chaos
from herdlib import SEED, SLOW, Herd, run, wait_until

SECONDS = float(os.environ.get("HERD_CHAOS_S", "3" if SLOW == 1 else "0"))  # 0: each harm once
TRIALS = 5 if SLOW == 1 else 1
UPDATES_MIN = 100  # acknowledged: fewer would show nothing


class Devil:
    """Does harm, one kind at a time."""

    def __init__(self, herd, load, durability, seed):
        self.herd, self.load, self.durability = herd, load, durability
        self.rng = random.Random(seed)
        self.kills = []
        self.stops = []
        self.done = collections.Counter()

    def heal(self):
        for proxy in self.herd.proxies.values():
            proxy.heal()

    def settle(self):
        """All that was acknowledged before is where the durability promises it, whoever is killed next; when that was."""
        self.heal()
        safe_s = time.monotonic()
        for server in self.herd.servers.values():
            wait_until(server.links_up, f"the links of {server.name} are up", chaos.DEADLINE_S)
        chaos.wait_with_neighbours(self.herd, list(self.herd.graph))
        return safe_s

    def kill(self):
        safe_s = self.settle() if self.durability in ("herd", "none") else time.monotonic()
        names = chaos.victims_of(self.rng, self.durability, list(self.herd.graph))
        self.kills.append(chaos.kill(self.load, names, safe_s, self.stops))
        time.sleep(self.rng.uniform(0, 0.5))
        chaos.start(self.herd, names)

    def do(self, harm):
        kills = chaos.Kills(self.load, self.rng, [])
        with chaos.HARMS[harm](kills):
            time.sleep(self.rng.uniform(0.1, 1))
        self.stops += kills.stops

    def bad_lines(self):
        for proxy in self.rng.sample(list(self.herd.proxies.values()), 6):
            faults = self.rng.choice([{"delay_s": 0.05}, {"split": True}, {"stall": True}, {"bytes_per_s": 20000.0}])
            proxy.set(self.rng.choice([("up",), ("down",), ("up", "down")]), **faults)
        time.sleep(self.rng.uniform(0.2, 1))
        self.heal()

    def rage(self, seconds):
        """Each harm once, in an order by chance, and on as long as there is time, or too little was acknowledged."""
        end = time.monotonic() + seconds
        harms = {"kill": self.kill, "bad lines": self.bad_lines, **{harm: lambda harm=harm: self.do(harm) for harm in ("stop", "cut", "tear")}}
        order = self.rng.sample(list(harms), len(harms))
        while order or time.monotonic() < end or self.load.count() <= UPDATES_MIN:
            name = order.pop() if order else self.rng.choice([*harms, "kill"])
            harms[name]()
            self.done[name] += 1
        self.heal()


def rage_and_judge(make_herd, durability):
    seed = int(os.environ.get("HERD_SEED", random.SystemRandom().randrange(10**6)))
    print(f"HERD_SEED={seed}")
    herd = make_herd(SEED, extra=f'durability = "{durability}"', proxied=[(name, peer) for name in SEED for peer in SEED[name]]).start()
    load = chaos.Load(herd, seed, rest_s=chaos.REST_S)
    devil = Devil(herd, load, durability, seed)
    load.go()
    devil.rage(SECONDS)
    load.pause()
    began = time.monotonic()
    chaos.wait_whole(herd)
    took = time.monotonic() - began
    acknowledged = load.take()
    gone, broken = chaos.judge(herd, durability, acknowledged, devil.kills)
    count = load.count()
    load.end()
    old = sum(chaos.is_old(update, devil.kills) for update in acknowledged.values())
    print(f"{durability}: {dict(devil.done)}, {count} acknowledged, {old} old, {gone} of {len(acknowledged)} clients have lost one, "
          f"{broken} against the promise, equal {took:.2f} s after the last fault")
    assert broken == 0
    assert count > UPDATES_MIN and len(acknowledged) > UPDATES_MIN // 2


def test_herd_loses_nothing_when_one_at_a_time_dies(make_herd):
    rage_and_judge(make_herd, "herd")


def test_commit_loses_nothing_whoever_dies(make_herd):
    rage_and_judge(make_herd, "commit")


def test_interval_loses_at_most_the_last_second(make_herd):
    rage_and_judge(make_herd, "interval")


def test_without_durability_all_agree_in_the_end(make_herd):
    rage_and_judge(make_herd, "none")


def link_states(herd):
    return [link["state"] for server in herd.servers.values() for link in server.status()["links"]]


def test_lines_torn_in_the_greeting_do_not_make_two_servers_plain_for_ever(make_herd):
    """A connection reset after HELLO looks like a neighbour of the plain kind; both ends may think so of each other."""
    herd = make_herd({"Hill": ["Jaquez"], "Jaquez": ["Hill"]}, extra='durability = "herd"',
                     proxied=[("Hill", "Jaquez"), ("Jaquez", "Hill")])
    for proxy in herd.proxies.values():
        proxy.cut()
    herd.start(links=False)
    for server in herd.servers.values():
        wait_until(lambda: "does not know HELLO" in server.log(), f"{server.name} takes its neighbour for a plain one")
    for proxy in herd.proxies.values():
        proxy.heal()
    wait_until(lambda: link_states(herd) == ["up", "up"], "they have found out")
    with herd["Hill"].client() as client:
        assert client.ask(b"IAMAT x +1+1 5").startswith(b"AT Hill ")


def test_torn_lines_do_not_make_one_that_has_spoken_plain(make_herd):
    herd = make_herd({"Hill": ["Jaquez"], "Jaquez": ["Hill"]}, proxied=[("Hill", "Jaquez"), ("Jaquez", "Hill")]).start()
    before = {server: len(server.log()) for server in herd.servers.values()}  # through a proxy, one not there yet looks like a plain one
    for _ in range(20):
        for proxy in herd.proxies.values():
            proxy.reset()
        assert "plain" not in link_states(herd)
    wait_until(lambda: link_states(herd) == ["up", "up"], "they are up again")
    for server, length in before.items():
        assert "does not know HELLO" not in server.log()[length:]


def run_trials(folder, trials, *options):
    done = run(sys.executable, chaos.__file__, "--trials", trials, "--seed", "1", "--folder", folder, *options)
    print(done.stdout, end="")
    return done


@pytest.mark.parametrize("durability", ["herd", "commit", "interval"])
def test_short_trials(durability, tmp_path):
    """What the long run does, so that it is known to work."""
    done = run_trials(tmp_path, TRIALS, "--durability", durability)
    assert done.returncode == 0 and f"trials={TRIALS} " in done.stdout, done.stdout + done.stderr
    assert durability != "interval" or " old=0 " not in done.stdout, done.stdout


@pytest.mark.parametrize("promise", ["commit", "interval"])
def test_trials_find_a_loss(promise, tmp_path):
    """Without durability and all killed at once, what was acknowledged is gone, also what is older than a second."""
    done = run_trials(tmp_path, 20, "--first", "4", "--durability", "none", "--promise", promise)  # 4 kills all five
    assert done.returncode == 1 and "LOST at " in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("harm, durability", [("disk", "herd"), ("disk", "commit"), ("island", "herd")])
def test_short_trials_with_harms(harm, durability, tmp_path):
    trials = TRIALS + 5  # a harm comes in half of them; with this seed, in one of the first three
    done = run_trials(tmp_path, trials, "--durability", durability, "--harms", harm)
    assert done.returncode == 0 and f" {harm}=0 " not in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(not chaos.can_have_namespace(), reason="needs root, ip and iptables")
def test_short_trials_with_packets_that_vanish(tmp_path):
    done = run_trials(tmp_path, TRIALS, "--durability", "commit", "--harms", "vanish,stop,cut,tear")
    assert done.returncode == 0 and f"trials={TRIALS} " in done.stdout, done.stdout + done.stderr


def cut_off_and_back(folder):
    """In a network namespace of its own."""
    herd = Herd(folder, SEED, proxied=[(name, peer) for name in SEED for peer in SEED[name]]).start()
    try:
        for names in (["Smith"], ["Hill", "Jaquez"]):
            chaos.drop_packets(herd, names, "-A")
            ids, told = [b"%s.%d" % (name.encode(), len(names)) for name in SEED], []
            for id_, server in zip(ids, herd.servers.values()):
                with server.client() as client:
                    told.append(client.ask(b"IAMAT %s +1+1 5" % id_))
            for name in names:
                wait_until(lambda: not any(link["up"] for link in herd[name].status()["links"]), f"{name} has noticed")
            chaos.drop_packets(herd, names, "-D")
            began = time.monotonic()
            herd.wait_agrees(60 * SLOW)
            print(f"{' and '.join(names)} cut off: equal {time.monotonic() - began:.2f} s after it was over")
            for server in herd.servers.values():
                assert [line for _, line in chaos.held_by(server, ids)] == told, server.name
        herd.stop()
    finally:
        herd.kill()


@pytest.mark.skipif(not chaos.can_have_namespace(), reason="needs root, ip and iptables")
def test_packets_that_vanish(tmp_path):
    done = run(*chaos.in_namespace(), sys.executable, __file__, tmp_path)
    print(done.stdout, end="")
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    cut_off_and_back(sys.argv[1])
