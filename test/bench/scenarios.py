"""The scenarios: each gives a Table. CPU time of the servers a request is what counts; see docs/performance.md."""

import collections
import functools
import statistics
import time

import idle as crowds
from rig import (LOAD_CPU, SEED, SERVER_CPU, Failure, Missing, all_rounds, ask, before_all_others, cpu_s, crowd_pace,
                 finish_bench, free_ports, loop_cpu_s, rounds, wait_until)

# `limit`: the most that `value` may be by our own aim, or None. Nothing fails by it.
Row = collections.namedtuple("Row", "what value unit limit", defaults=(None,))
Table = collections.namedtuple("Table", "title rows")

PIPELINES = {1: 1.2, 16: 2.0, 64: 4.0}
DURABILITIES = ("none", "interval", "commit")
ID_AND_VALUE_BYTES = len("bench-device00000000" "+34.068930-118.445127" "1700000000.000000000")
IDLE = 10000
# A server looks each second for what it has not needed since it last looked; below so many bytes it leaves it as it is.
LOOKS_S, TRIM_BYTES = 2.5, 1 << 16
ASYNCIO_UPDATES, HERD_UPDATES = 10000, 200000
# Updates a second of the best of the herds on asyncio that the aim was set by, as given for a like machine.
ASYNCIO_GIVEN = 1586
COUNTED = 50000
LINKS = (1, 2, 4)
CROWD_RATE = 5000
GATHER_S = 15
LATE = "due, and sent only after the end"
AIM = {"redis": 0.35, "memcached": 0.75}


def cpu_us(rig, servers, *options, cpu=SERVER_CPU):
    """
    CPU time of the servers a request. By default the load shares their processor: server and load then take turns, and
    each finds all that the other has left for it. On a processor of its own (LOAD_CPU) the load wakes a server that is
    faster than itself for each single packet, and waking is most of what is measured.
    """
    return lambda: rig.timed(servers, *options, cpu=cpu)["server_cpu_us"]


def baseline(rig):
    """One server against the least that a libuv server can do."""
    bare, hill = rig.bare(), rig.herd().wait_ready().servers["Hill"]
    rows = []
    for where, cpu in (("together", SERVER_CPU), ("apart", LOAD_CPU)):
        for pipeline, limit in PIPELINES.items():
            options = ("--connections", 50, "--pipeline", pipeline)
            found = rounds(rig.options.rounds, {"bare": cpu_us(rig, [bare], *options, cpu=cpu),
                                                "herd": cpu_us(rig, [hill], *options, cpu=cpu)})
            rows += [Row(f"bare-server, pipeline {pipeline}, {where}", found["bare"], "us/request"),
                     Row(f"herd-server, pipeline {pipeline}, {where}", found["herd"], "us/request"),
                     Row(f"ratio, pipeline {pipeline}, {where}", found["herd"] / found["bare"], "", limit)]
    return Table("One server: CPU time an IAMAT, against a bare libuv server", rows)


def durability_rows(rig, bare, hills, pipeline):
    """Of servers by durability, and the bare one."""
    # In sequence: up to 200,000 a second, all IAMAT of half a second are of different clients, and each is written.
    options = ("--connections", 50, "--pipeline", pipeline, "--clients", 100000, "--sequential")
    seen = {kept: [] for kept in hills}  # CPU time of the loop an IAMAT, answers a second

    def run(kept):
        before_s = loop_cpu_s(hills[kept])
        result = rig.timed([hills[kept]], *options, cpu=SERVER_CPU)
        seen[kept].append(((loop_cpu_s(hills[kept]) - before_s) * 1e6 / result["answered"], result["per_s"]))
        return result["server_cpu_us"]

    found = rounds(rig.options.rounds, {"bare": cpu_us(rig, [bare], *options),
                                        **{kept: functools.partial(run, kept) for kept in hills}})
    rows = [Row(f"bare-server, pipeline {pipeline}", found["bare"], "us/request")]
    for kept, runs in seen.items():
        what = f"{kept}, pipeline {pipeline}"
        rows += [Row(what, found[kept], "us/request"),
                 Row(f"{what}: the loop's part", min(loop_us for loop_us, _ in runs), "us/request"),
                 Row(f"{what}: ratio", found[kept] / found["bare"], ""),
                 Row(f"{what}: answers a second", max(rate for _, rate in runs), "/s")]
    return rows


def durability(rig):
    """What it takes to keep records on disk: none, interval and commit, against the least that a libuv server can do."""
    bare = rig.bare()
    herds = {kept: rig.herd(durability=kept).wait_ready() for kept in DURABILITIES}
    hills = {kept: herd.servers["Hill"] for kept, herd in herds.items()}
    rows = [row for pipeline in PIPELINES for row in durability_rows(rig, bare, hills, pipeline)]
    for kept, herd in herds.items():
        batches = herd.metric("Hill", "disk_batches_total")
        if (batches == 0) != (kept == "none"):
            raise Failure(f"{kept}: {batches} batches were written to disk")
    return Table("One server: CPU time an IAMAT of all its threads by durability, load on the same processor", rows)


def peers(rig):
    """One server against Redis GEOADD and memcached set, pipeline 16."""
    options = ("--connections", 50, "--pipeline", 16)
    hill = rig.herd().wait_ready().servers["Hill"]
    runs = {"herd": cpu_us(rig, [hill], *options)}
    rows = []
    for name, start in (("redis", rig.redis), ("memcached", rig.memcached)):
        try:
            runs[name] = cpu_us(rig, [start()], *options)
        except Missing as missing:
            rows.append(Row(f"{name}: {missing}", None, ""))
    found = rounds(rig.options.rounds, runs)
    rows += [Row(name, value, "us/request") for name, value in found.items()]
    rows += [Row(f"herd / {name}", found["herd"] / value, "", AIM[name]) for name, value in found.items()
             if name != "herd"]
    return Table("One server: CPU time an IAMAT, against GEOADD and set, pipeline 16", rows)


def settled(herd):
    wait_until(herd.is_equal, "all servers hold the same")


def herd5(rig):
    """Five servers on one core, all updates at Hill, against one Redis."""
    # So many clients that a slow link seldom finds an update overtaken by the next one of its client.
    options = ("--connections", 50, "--pipeline", 16, "--clients", 100000)
    herd = rig.herd(SEED).wait_ready()
    pids = [server.pid for server in herd.servers.values()]
    seen = []

    # What Hill has answered and others have yet to read, at the end of the load, is work as well: until all is done.
    def five():
        before, before_s = sum(herd.metric(name, "floods_received_total") for name in SEED), cpu_s(herd.servers.values())
        result = rig.timed([herd.servers["Hill"]], *options, pids=pids, cpu=SERVER_CPU)
        settled(herd)
        took_s = cpu_s(herd.servers.values()) - before_s
        after = sum(herd.metric(name, "floods_received_total") for name in SEED)
        seen.append((result["per_s"], (after - before) / result["answered"]))
        return took_s * 1e6 / result["answered"]

    runs = {"five": five}
    try:
        runs["redis"] = cpu_us(rig, [rig.redis()], *options)
    except Missing:
        pass
    found = rounds(rig.options.rounds, runs)
    rows = [Row("CPU time of all five an update, until all hold it", found["five"], "us"),
            Row("updates a second, all five and the load on one core", max(rate for rate, _ in seen), "/s"),
            Row("FLOOD lines received an update", sorted(lines for _, lines in seen)[len(seen) // 2], "")]
    if "redis" in found:
        rows += [Row("Redis, CPU time a GEOADD", found["redis"], "us"),
                 Row("ratio", found["five"] / found["redis"], "", 2.0)]
    return Table("Five servers on one core, all updates at Hill, pipeline 16", rows)


def everywhere(rig, servers, count, counts):
    """
    (updates a second, CPU time of all an update in us) of `count` updates of as many clients at Hill, until `counts`()
    says that all servers hold all of them. The load shares their processor.
    """
    before_s, began = cpu_s(servers.values()), time.monotonic()
    rig.bench([servers["Hill"]], "--connections", 50, "--pipeline", 16, "--clients", count, "--requests", count,
              "--sequential", "--duration", 0, "--timeout", 60, cpu=SERVER_CPU)
    wait_until(lambda: all(held == count for held in counts()), "all servers hold all", pause_s=0.1)
    took_s = time.monotonic() - began
    return count / took_s, (cpu_s(servers.values()) - before_s) * 1e6 / count


def asyncio_everywhere(rig, count, *manner):
    servers = rig.asyncio_herd(SEED, *manner)
    wait_until(lambda: ask(servers["Hill"].port, b"IAMAT probe +1+1 %d" % time.monotonic_ns()) and all(
        ask(server.port, b"WHATSAT probe 1 1").startswith(b"AT ") for server in servers.values()), "they are linked")
    found = everywhere(rig, servers, count, lambda: [int(ask(server.port, b"COUNT")) - 1 for server in servers.values()])
    for server in servers.values():
        server.stop()
    return found


def herd_everywhere(rig, count):
    herd = rig.herd(SEED).wait_ready()
    found = everywhere(rig, herd.servers, count, lambda: [herd.metric(name, "clients") for name in SEED])
    herd.stop()
    return found


def asyncio5(rig):
    """Five servers on one core, all updates at Hill, against five servers on Python's asyncio."""
    few, many = (ASYNCIO_UPDATES, HERD_UPDATES) if not rig.options.quick else (1000, 10000)
    runs = {"herd": lambda: herd_everywhere(rig, many),
            "asyncio, links stay": lambda: asyncio_everywhere(rig, few),
            "asyncio, a connection for each FLOOD": lambda: asyncio_everywhere(rig, few, "--dial-each")}
    seen = {name: [] for name in runs}
    for _ in range(rig.options.rounds):
        for name, run in runs.items():
            seen[name].append(run())
    rows = []
    rate = {name: max(per_s for per_s, _ in found) for name, found in seen.items()}
    cpu = {name: min(us for _, us in found) for name, found in seen.items()}
    for name in seen:
        rows += [Row(f"{name}: updates a second", rate[name], "/s"), Row(f"{name}: CPU time of all five an update", cpu[name], "us")]
        if name != "herd":
            rows += [Row(f"herd's updates a second, times these of {name}", rate["herd"] / rate[name], ""),
                     Row(f"CPU time an update, of {name}, by herd's", cpu[name] / cpu["herd"], "")]
    rows.append(Row(f"herd's updates a second, times {ASYNCIO_GIVEN} (aim: >= 100)", rate["herd"] / ASYNCIO_GIVEN, ""))
    return Table("Five servers and the load on one core, all updates at Hill, until all five hold them", rows)


def each_us(results):
    """
    Of two servers that hold the same records: CPU time of each an IAMAT at any of them, when each has half of these. It is
    the mean, because the loads of a run never come to exactly half: who has more of them takes more, the other one less.
    """
    processes = [process["cpu_s"] for result in results for process in result["processes"]]
    return sum(processes) / len(processes) * 1e6 / sum(result["measured"] for result in results)


def two(rig):
    """
    Two servers, half of the clients at each and all records at both, against one: one alone, and one of two that are no
    neighbours. The latter has what a server of the pair has, too: a load of another server on its processor, which takes
    turns with it. How many lines a turn finds goes up and down with how these turns fall, and with it all CPU times: each
    ratio is that of one round.
    """
    options = ("--pipeline", 1)
    edge = {"Hill": ["Jaquez"], "Jaquez": ["Hill"]}
    places = {"Hill": SERVER_CPU, "Jaquez": LOAD_CPU}
    cpus_of = {name: (cpu,) for name, cpu in places.items()}
    strangers = {name: [] for name in edge}
    one = rig.herd().wait_ready().servers["Hill"]
    pair = rig.herd(edge, cpus_of=cpus_of).wait_ready()
    beside = rig.herd(strangers, cpus_of=cpus_of).wait_ready()
    close = rig.herd(edge).wait_ready()
    unlinked = rig.herd(strangers).wait_ready()

    def on_two(herd, connections_each, apart):
        other = dict(zip(places.values(), reversed(places.values())))
        loads = [rig.start_timed([herd.servers[name]], *options, "--connections", connections_each, "--clients", 5000,
                                 "--prefix", f"bench-{name:-<6}", cpu=other[cpu] if apart else cpu)
                 for name, cpu in places.items()]
        results = [finish_bench(load) for load in loads]
        if herd is pair:
            settled(herd)
        return each_us(results)

    def on_one(herd):
        result = rig.timed(list(herd.servers.values()), *options, "--connections", 50, cpu=SERVER_CPU)
        if herd is close:
            settled(herd)
        return each_us([result])

    figures = {"close": lambda: on_one(close), "unlinked": lambda: on_one(unlinked)}
    for where, apart in (("together", False), ("apart", True)):
        load_cpu = LOAD_CPU if apart else SERVER_CPU
        figures["alone", where] = cpu_us(rig, [one], *options, "--connections", 50, cpu=load_cpu)
        # Each of two that are no neighbours has half of all IAMAT, and its own are what counts.
        figures["beside", where] = lambda apart=apart: 2 * on_two(beside, 50, apart)
        # With 50 each, a processor has what the one of `one` has; with 25 each, the pair has what `one` has.
        for each in (50, 25):
            figures[each, where] = lambda each=each, apart=apart: on_two(pair, each, apart)
    return Table("Two servers against one, pipeline 1 (aim: 1.6 times one's)",
                 rows_of_two(all_rounds(rig.options.rounds, figures)))


def rows_of_two(found):
    """Of what `two` has measured: figure -> CPU time an IAMAT in each round."""
    def took(what, name):
        return Row(f"{what}: CPU time an IAMAT", statistics.median(found[name]), "us")

    def times(what, one, other):
        ratios = [us / other_us for us, other_us in zip(found[one], found[other])]
        return [Row(what, statistics.median(ratios), ""), Row(f"{what}, in the worst round", min(ratios), "")]

    rows = []
    for where in ("together", "apart"):
        rows += [took(f"{where}: one, 50 connections", ("alone", where)),
                 took(f"{where}: one of two that are no neighbours, 50 each", ("beside", where))]
        for each in (50, 25):
            rows += [took(f"{where}: two, {each} each, either", (each, where)),
                     *times(f"{where}: IAMAT/s of two, {each} each, times one's", ("alone", where), (each, where)),
                     *times(f"{where}: the same, times one's of two that are no neighbours", ("beside", where), (each, where))]
    return rows + [took("both on one processor: either", "close"),
                   *times("both on one processor: times one's", ("alone", "together"), "close"),
                   *times("both on one processor, no neighbours: times one's", ("alone", "together"), "unlinked")]


def watched_herd(rig, rate):
    """herd-bench's result at a rate of updates at Hill, with a plain neighbour of its own at each of the five."""
    watch_ports = dict(zip(SEED, free_ports(len(SEED))))
    # On both processors, like the load: in one process each, they are not meant to wait for each other.
    herd = rig.herd(SEED, watch_ports=watch_ports, cpus=(SERVER_CPU, LOAD_CPU)).wait_ready()
    watch = [option for port in watch_ports.values() for option in ("--watch", f"127.0.0.1:{port}")]
    result = rig.timed([herd.servers["Hill"]], "--rate", rate, "--clients", 100000, "--sequential", "--connections", 50,
                       "--pipeline", 16, *watch, pids=[server.pid for server in herd.servers.values()])
    herd.stop()
    return result


def visible(rig):
    """How long until an update at Hill is at all five, at 2,000 and at 10,000 updates a second."""
    rows = []
    for rate in (2000, 10000):
        result = watched_herd(rig, rate)
        for what, latency in [("answered by Hill", result["latency"]),
                              *((f"at {name}", latency) for name, latency in zip(SEED, result["watched"]))]:
            rows.append(Row(f"{rate}/s: {what}, p99", latency["p99_us"] / 1000, "ms"))
        everywhere = result["everywhere"]
        rows += [Row(f"{rate}/s: everywhere, p50", everywhere["p50_us"] / 1000, "ms"),
                 Row(f"{rate}/s: everywhere, p99", everywhere["p99_us"] / 1000, "ms", 2.0),
                 Row(f"{rate}/s: everywhere, longest", everywhere["max_us"] / 1000, "ms"),
                 Row(f"{rate}/s: {LATE}", result["late"], ""),
                 Row(f"{rate}/s: CPU time of all five an update", result["server_cpu_us"], "us")]
    return Table("Until an update at Hill is seen at each server, open loop", rows)


def grow(rig, count, **more):
    """Fills a server; (bytes a client besides its text, insert us, update us, longest turn ms)."""
    herd = rig.herd(**more).wait_ready()
    hill = herd.servers["Hill"]
    before = hill.rss_kib()
    options = ("--connections", 50, "--pipeline", 64, "--clients", count, "--timeout", 60)
    # The longest turn is time on the wall: the load has the other processor, and nobody else the server's.
    with before_all_others(hill, rig.options.urgent):
        insert = rig.bench([hill], *options, "--sequential", "--requests", count, "--duration", 0)
    if herd.metric("Hill", "clients") != count:
        raise Failure(f"{herd.metric('Hill', 'clients')} clients instead of {count}")
    memory = (hill.rss_kib() - before) * 1024 / count - ID_AND_VALUE_BYTES
    turn_ms = herd.metric("Hill", "loop_turn_max_ns") / 1e6
    update = rig.timed([hill], *options, cpu=SERVER_CPU)
    herd.stop()
    return memory, insert["server_cpu_us"], update["server_cpu_us"], turn_ms


def count_instructions(rig, peers_of, name, requests, pipeline):
    """Of the whole life of server `name`, when Hill takes so many IAMAT."""
    # With neighbours all ids are new: a slow link would pass over an update that the next one has overtaken.
    clients = COUNTED if len(peers_of) == 1 else 2 * COUNTED
    herd = rig.herd(peers_of, callgrind=name).wait_ready()
    rig.bench([herd.servers["Hill"]], "--requests", requests, "--duration", 0, "--pipeline", pipeline,
              "--clients", clients, "--sequential", "--timeout", 60)
    # Asked seldom: each answer takes instructions as well.
    wait_until(herd.is_equal, "all servers hold the same", pause_s=2)
    herd.stop()
    return herd.instructions()


def instructions(rig):
    """Instructions of herd-server a request, by callgrind: the same on a busy machine and on an idle one."""
    chain = {"Hill": ["Jaquez"], "Jaquez": ["Hill", "Smith"], "Smith": ["Jaquez"]}
    cases = (("an IAMAT, pipeline 1", {"Hill": []}, "Hill", 1),
             ("an IAMAT, pipeline 16", {"Hill": []}, "Hill", 16),
             ("an IAMAT of a new client, sent on to one neighbour", chain, "Hill", 16),
             ("a FLOOD of a new client, sent on to another neighbour", chain, "Jaquez", 16))
    rows = []
    for what, peers_of, name, pipeline in cases:
        few, many = (count_instructions(rig, peers_of, name, requests, pipeline)
                     for requests in (COUNTED, 2 * COUNTED))
        rows.append(Row(what, (many - few) / COUNTED, "instr."))
    return Table("Instructions of the server a request, in user mode", rows)


def links(rig):
    """Instructions of one server an IAMAT of a new client, by the number of its neighbours."""
    found, rows = {}, []
    for count in LINKS:
        names = [f"Leaf{i}" for i in range(count)]
        star = {"Hill": names, **{name: ["Hill"] for name in names}}
        few, many = (count_instructions(rig, star, "Hill", requests, 16) for requests in (COUNTED, 2 * COUNTED))
        found[count] = (many - few) / COUNTED
        rows.append(Row(f"sent on to {count}", found[count], "instr."))
    rows += [Row(f"one link more, between {least} and {most}", (found[most] - found[least]) / (most - least), "instr.")
             for least, most in zip(LINKS, LINKS[1:])]
    return Table("Instructions of the server an IAMAT of a new client, pipeline 16", rows)


def growth(rig):
    """Memory and CPU time a client from 100,000 to 10 million clients, and the longest loop turn."""
    part = 1 if not rig.options.quick else 10
    sizes = {"100k": 10**5, "1M": 10**6, "3M": 3 * 10**6, "5M": 5 * 10**6, "10M": 10**7}
    cases = {name: (size, {}) for name, size in sizes.items()}
    cases |= {f"{name}, record_ttl_s": (size, {"record_ttl_s": 86400}) for name, size in sizes.items()}
    found = {name: grow(rig, size // part, **more) for name, (size, more) in cases.items()}
    rows = []
    for name, (memory, insert, update, turn_ms) in found.items():
        rows += [Row(f"{name}: memory a client besides its text", memory, "bytes", 100),
                 Row(f"{name}: CPU time an insert, pipeline 64", insert, "us"),
                 Row(f"{name}: CPU time an update, pipeline 64", update, "us"),
                 Row(f"{name}: longest turn of the loop while growing", turn_ms, "ms", 10)]
    rows += [Row(f"{what}, 10M / 1M", found["10M"][place] / found["1M"][place], "", 1.5)
             for what, place in (("insert", 1), ("update", 2))]
    return Table("Growth of one server" + (", a tenth of the clients" if part > 1 else ""), rows)


def warm_places(server):
    """The first question lets the places be read into memory. The server has to log that."""
    if not ask(server.port, crowds.whatsat(0).strip()).startswith(b"AT "):
        raise Failure("no answer to a WHATSAT")
    wait_until(lambda: 'msg="in memory"' in server.log.read_text(), "the places are in memory")


# What each connection says, all of them at once, in how many parts; and where that is to be safe.
SAID = (
    ("never a command", None, 1, "none"),
    ("after one IAMAT", crowds.iamat, 1, "none"),
    ("after one IAMAT, `durability = commit`", crowds.iamat, 1, "commit"),
    ("after one IAMAT, `durability = herd`", crowds.iamat, 1, "herd"),
    ("after one WHATSAT", crowds.whatsat, 1, "none"),
    ("after one WHATSAT with AFTER", crowds.after, 1, "none"),
    ("after one WHATSAT with AFTER, in vain", crowds.after_in_vain, 1, "none"),
    ("after a wrong line", crowds.wrong, 1, "none"),
    ("after 16 lines at once, 7 of them WHATSAT", crowds.pipelined, 1, "none"),
    ("after a line of 3,900 bytes in two parts", crowds.long_line, 2, "none"),
)


def least_kib(herd):
    """Hill's resident memory, once it has looked twice what it does not need, and has given that back."""
    def has_looked():
        return herd.metric("Hill", "memory_kept_bytes") == 0 and herd.metric("Hill", "memory_freed_bytes") < TRIM_BYTES

    time.sleep(LOOKS_S)  # the gauges are of the last look
    wait_until(has_looked, "the server has given back what it does not need")
    return herd.servers["Hill"].rss_kib()


def after_crowd(rig, count, what, said, parts, durability):
    """Rows of a server of its own: with a crowd that has said that, and without it."""
    peers = {"Hill": ["Jaquez"], "Jaquez": ["Hill"]} if durability == "herd" else None
    herd = rig.herd(peers, durability=durability, log_level="info").wait_ready()
    hill = herd.servers["Hill"]
    # Memory that the store has from the beginning is touched by other clients' records first.
    rig.bench([hill], "--clients", count, "--requests", count, "--sequential", "--duration", 0, "--connections", 1)
    warm_places(hill)
    before, store_before = least_kib(herd), herd.status("Hill")["store_bytes"]
    alone = herd.metric("Hill", "connections_open")  # of neighbours

    def wait_open(connections):
        wait_until(lambda: herd.metric("Hill", "connections_open") == alone + connections, f"{connections} are connected")

    def row(connections, which, limit=400):
        # What the records take is no matter of the connection; "growth" has it.
        records = herd.status("Hill")["store_bytes"] - store_before
        memory = ((least_kib(herd) - before) * 1024 - records) / connections
        return Row(f"{connections} connections, {which}: resident memory each", memory, "bytes", limit)

    with crowds.crowd(hill.port, count) as crowd:
        wait_open(count)
        if said is not None:
            crowd.say(said, parts)
        rows = [row(count, what)]
        if said is crowds.pipelined:
            with crowds.crowd(hill.port, count * 9 // 10) as others:
                others.say(said)
            wait_open(count)
            rows.append(row(count, f"when {count * 9 // 10} others have come, said so, and left"))
            crowd.leave(2)
            wait_open(count // 2)
            # No aim of ours: what is between two that stay is kept for the next one.
            rows.append(row(count // 2, "when every other one has left", limit=None))
            trim_ms = herd.metric("Hill", "memory_trim_max_ns") / 1e6
            rows.append(Row("longest time on the processor that giving memory back has taken", trim_ms, "ms"))
    wait_open(0)
    rows.append(Row(f"{count} connections, {what}: left when all have left", (least_kib(herd) - before) * 1.0, "KiB"))
    herd.stop()
    return rows


def idle(rig):
    """What a connection costs that says nothing any more, whatever it has said."""
    count = IDLE if not rig.options.quick else 1000
    return Table("Idle connections", [row for crowd in SAID for row in after_crowd(rig, count, *crowd)])


# What a crowd is, its options, how many files the server, which runs by then, may open (None: all), how much it has to do a
# second (connections or bytes), and a metric of the server that has to rise by so much in each round (a gauge: to stand
# there): a crowd that does not trouble it says nothing.
CROWDS = (
    ("10,000 slow senders", "slow", ("--connections", 10000), None, (10000, "bytes/s"), ("connections_open", 10000)),
    ("2,000 new connections a second", "churn", ("--connections", 1000, "--rate", 2000), None,
     (2000, "connections/s"), ("connections_accepted_total", 2000)),
    ("40 clients that never read", "deaf", ("--connections", 40), None, None, ("clients_paused_total", 40)),
    ("50 lines without an end, over and over", "long", ("--connections", 50), None, None,
     ("bytes_dropped_total", 50 << 20)),
    ("1,000 more connections than files (EMFILE)", "idle", ("--connections", 1256), 256, None,
     ("connections_refused_total", 1000)),
)
PACE_KEPT = 0.95
TOLD_BY = (("median", statistics.median), ("worst", max))


# What was measured in a round, in ms: the 99th percentile of the load's answers, and that of its updates at the neighbour;
# and how many requests were due and not sent at its end.
Seen = collections.namedtuple("Seen", "answered neighbour late")
# The same with a crowd: its pace, ms until a neighbour that began anew held all, KiB by which the server grew.
Crowded = collections.namedtuple("Crowded", "seen pace again_ms kib")


def seen_in(result):
    return Seen(result["latency"]["p99_us"] / 1000, result["watched"][0]["p99_us"] / 1000, result["late"])


def with_crowd(rig, herd, load, crowd, files, metric, least):
    """
    While a crowd is there. The load is connected before the crowd comes, and measured once it is there; then the
    neighbour is started anew. `metric` of the server has to have risen by `least` (a gauge: to stand there).
    """
    hill = herd.servers["Hill"]
    status, kib_before = herd.status("Hill"), hill.rss_kib()
    with hill.limited_files(files):
        child = rig.start_bench([hill], "--warmup", GATHER_S, "--duration", rig.options.seconds, *load)
        start = time.monotonic()
        kind, *options = crowd
        crowd = rig.crowd(kind, hill, *options)
        if time.monotonic() - start > GATHER_S:
            raise Failure(f"the crowd took more than {GATHER_S} s to come together")
        result = finish_bench(child)
        after = herd.status("Hill")
        # What the records take is no matter of the crowd; "growth" has it.
        kib = hill.rss_kib() - kib_before - (after["store_bytes"] - status["store_bytes"]) / 1024
        rose = {name: value - status["metrics"][name] if name.endswith("_total") else value
                for name, value in after["metrics"].items()}
        if rose[metric] < least:
            raise Failure(f"{metric} has risen to {rose[metric]} in a round, not {least}")
        if crowd.poll() is not None:
            raise Failure("the crowd did not stay")
        again_s = herd.restart("Jaquez")
    return Crowded(seen_in(result), crowd_pace(crowd, rig.options.seconds, again_s), again_s * 1000, kib)


def overload_rows(what, pairs, count):
    """
    Of the rounds that count, (before, with the crowd) each. A ratio is that of one round, and all of them are told by the
    median and by the worst: what hurts in one round of three shows.
    """
    rows = []
    for label, place in (("p99", "answered"), ("p99 at the neighbour", "neighbour")):
        alone = [getattr(before, place) for before, _ in pairs]
        crowded = [getattr(round.seen, place) for _, round in pairs]
        ratios = [there / without for without, there in zip(alone, crowded)]
        for when, values in ((f"before {what}", alone), (f"with {what}", crowded)):
            rows += [Row(f"{when}: {label}, {name}", of(values), "ms") for name, of in TOLD_BY]
        rows += [Row(f"ratio, {what}: {label}, {name}", of(ratios), "", 2.0) for name, of in TOLD_BY]
    again_ms = [round.again_ms for _, round in pairs]
    rows += [Row(f"with {what}: a neighbour begun anew holds all after, {name}", of(again_ms), "ms") for name, of in TOLD_BY]
    rows += [Row(f"with {what}: {LATE}", max(round.seen.late for _, round in pairs), ""),
             Row(f"{what}: rounds that count, of {count}", len(pairs), "")]
    return rows


def overload(rig):
    """The 99th percentile of others, a neighbour among them, at 5,000 updates a second while a crowd is there."""
    rows = []
    for what, kind, crowd_options, files, wanted, (metric, least) in CROWDS:
        port = free_ports(1)[0]
        herd = rig.herd({"Hill": ["Jaquez"], "Jaquez": ["Hill"]}, watch_ports={"Jaquez": port}).wait_ready()
        load = ("--rate", CROWD_RATE, "--connections", 50, "--pipeline", 16, "--clients", 100000, "--sequential",
                "--watch", f"127.0.0.1:{port}")
        pairs = []
        for _ in range(rig.options.rounds):
            before = seen_in(rig.timed([herd.servers["Hill"]], *load))
            pairs.append((before, with_crowd(rig, herd, load, (kind, *crowd_options), files, metric, least)))
        kept = [pair for pair in pairs if wanted is None or pair[1].pace >= PACE_KEPT * wanted[0]]
        if not kept:
            raise Failure(f"{what}: the crowd never kept its pace of {wanted[0]} {wanted[1]}")
        rows += overload_rows(what, kept, len(pairs))
        if wanted is not None:
            rows.append(Row(f"{what}: what the crowd did, in its slowest second", min(round.pace for _, round in kept), wanted[1]))
        if kind == "deaf":
            # Of the first round: later ones find the memory that it has left.
            rows.append(Row(f"{what}: resident memory each", pairs[0][1].kib / crowd_options[1], "KiB"))
        herd.stop()
    return Table(f"Others meanwhile: latency of {CROWD_RATE} IAMAT a second", rows)


# Herds of the simulator: what they are, and the options of sim-trees. The last ones are harder than what the aims are for.
LARGE = ("--servers", 500, "--origins", 4, "--updates", 2, "--busy", 100)
HOUR = ("--seed", 2, "--origins", 2, "--busy", 100)  # links are tried again meanwhile
BUSY = ("--seed", 29, "--origins", 2, "--updates", 40, "--every", 5, "--busy", 200)  # when links are due to be tried
BACK = ("--seed", 25, "--busy", 200, "--back", 3)  # those that crashed are there again; three more updates of each origin
WORSE = ("--origins", 3, "--updates", 3, "--busy", 1, "--crash", 30, "--back", 3)
CHANCE = ("--near", 0, "--far", 0, "--jitter", 2)  # no edge is nearer than another one, so no tree is the best
DARK = ("--dark", "--after", 0)  # they die in silence, and an update comes at once
TREES = (
    ("100, random edges", ()),
    ("100, chords", ("--chords", "--seed", 2)),
    ("100, an hour, every 20 s", (*HOUR, "--updates", 180, "--every", 20)),
    ("100, an hour, every 60 s", (*HOUR, "--updates", 60, "--every", 60)),
    ("500, random edges", LARGE),
    ("500, chords", (*LARGE, "--chords")),
    ("100, trials in a busy phase", BUSY),
    ("100, all back after the crash", BACK),
    ("100, 30 % crash, all back", WORSE),
    ("500, all back after the crash", (*LARGE, "--back", 3)),
    ("100, harder: distances are chance", (*CHANCE, "--busy", 200)),
    ("100, harder: crash in silence", (*DARK, "--busy", 200)),
    ("500, harder: distances are chance", (*LARGE, *CHANCE)),
    ("500, harder: crash in silence", (*LARGE, *DARK)),
)
QUICK_TREES = (("20", ("--servers", 20, "--origins", 2, "--updates", 1, "--busy", 10)),)


def trees(rig):
    """Herds of 100 and 500 servers in the simulator, pruning against flooding: they follow from a seed, not from the machine."""
    rows = []
    for what, options in QUICK_TREES if rig.options.quick else TREES:
        try:
            found = rig.simulated(*options)
        except Failure as failure:
            raise Failure(f"{what}: {failure}") from failure
        rows += [Row(f"{what}: {ratio['text']}", ratio["value"], "", ratio["limit"]) for ratio in found["ratios"].values()]
        rows += [Row(f"{what}: first update after the crash, {manner}", ms, "ms") for manner, ms in found["crash_ms"].items()]
    return Table("Large herds in the simulator, 20 % of the servers crash: pruning against flooding", rows)


# Where the clock on the wall counts.
LATENCY = {"visible", "overload"}
SCENARIOS = {run.__name__: run for run in (baseline, durability, peers, herd5, asyncio5, visible, two, growth, idle, overload,
                                            instructions, links, trees)}
