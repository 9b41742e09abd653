"""What the scenarios share: servers on one core, the load on another, and what was measured as plain values."""

import contextlib
import json
import math
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("HERD_BIN", ROOT / "build/release/bin"))
SERVER_CPU, LOAD_CPU = 0, 1
READY_MAX_S = 60
CPUCLOCK_SCHED = 2
URGENT_NICE = -15
LONGER_MAX = 16
PORTS = 10000, 20000
# It counts seconds in floating point, which are some 240 ns coarse: 1 us is the most that two of them are off.
ASYNCIO_SPOKEN = ("--skew", "0.000001")
SEED = {
    "Hill": ["Jaquez", "Smith"],
    "Jaquez": ["Hill", "Singleton"],
    "Smith": ["Campbell", "Singleton", "Hill"],
    "Campbell": ["Smith", "Singleton"],
    "Singleton": ["Jaquez", "Smith", "Campbell"],
}


class Failure(Exception):
    """What went wrong, as a sentence."""


class Missing(Failure):
    """A program that is compared with is not installed."""


def free_ports(count):
    """Ports that are free now, below those of outgoing connections: who dials in vain might get the port it dials."""
    ports = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", random.randrange(*PORTS)))
                ports.append(probe.getsockname()[1])
    return ports


def listens(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def wait_until(condition, what, pause_s=0.02):
    end = time.monotonic() + READY_MAX_S
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"waited in vain until {what}")
        time.sleep(pause_s)


class Process:
    """
    A server of any kind. `name` is what it has to say in AT lines; None where it says none. `spoken` are the options of
    herd-bench for its answers; herd-server's need none.
    """

    def __init__(self, name, command, port, log, cpus=(SERVER_CPU,), spoken=()):
        def prepare():
            os.sched_setaffinity(0, cpus)

        self.name = name
        self.port = port
        self.log = log
        self.spoken = spoken
        with open(log, "ab") as out:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          preexec_fn=prepare)
        self.pid = self.child.pid

    def is_listening(self):
        if self.child.poll() is not None:
            raise Failure(f"{self.child.args[0]} ended: {self.log.read_text(errors='replace')[-500:]}")
        return listens(self.port)

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(30)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    @contextlib.contextmanager
    def limited_files(self, files):
        """So many files it may have open meanwhile; None: as many as ever."""
        soft, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (files or soft, hard))
        yield
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (soft, hard))

    def rss_kib(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise Failure(f"process {self.pid} has no VmRSS")


class Herd:
    """
    Servers of ours by name, as a herd.conf of the graph `peers` (name -> names of neighbours). All of them have the
    processors `cpus`, or each the ones that `cpus_of` gives it.
    """

    def __init__(self, folder, peers, watch_ports=None, cpus=(SERVER_CPU,), callgrind=None, durability="none",
                 cpus_of=None, record_ttl_s=0, log_level="warning"):
        self.folder = folder
        self.record_ttl_s = record_ttl_s
        self.log_level = log_level
        self.durability = durability  # "none": as Redis and memcached are run
        self.peers = peers
        self.ports = dict(zip(peers, free_ports(len(peers))))
        self.config = folder / "herd.conf"
        self.config.write_text(self.text(watch_ports or {}))
        self.callgrind, self.cpus, self.cpus_of = callgrind, cpus, cpus_of or {}
        self.servers = {name: self.start(name) for name in peers}

    def start(self, name):
        return Process(name, [*(counted(self.folder) if name == self.callgrind else ()), BIN / "herd-server",
                              "--config", self.config, name], self.ports[name], self.folder / f"{name}.log",
                       self.cpus_of.get(name, self.cpus))

    def text(self, watch_ports):
        lines = ['security = "open"', f'data_dir = "{self.folder}/data"', f'log_level = "{self.log_level}"', f'durability = "{self.durability}"',
                 f"record_ttl_s = {self.record_ttl_s}"]
        for name, neighbours in self.peers.items():
            watched = [f"Watch-{name}"] if name in watch_ports else []
            names = ", ".join(f'"{peer}"' for peer in [*neighbours, *watched])
            lines.append(f'server {name} {{ listen = "127.0.0.1:{self.ports[name]}"  peers = {{{names}}} }}')
        for name, port in watch_ports.items():
            lines.append(f'server Watch-{name} {{ listen = "127.0.0.1:{port}"  peers = {{"{name}"}} }}')
        return "\n".join(lines) + "\n"

    def status(self, name):
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(READY_MAX_S)
            control.connect(str(self.folder / "data" / name / "control.sock"))
            control.sendall(b"STATUS\n")
            with control.makefile("rb") as answer:
                return json.loads(answer.readline())

    def metric(self, name, metric):
        return self.status(name)["metrics"][metric]

    def is_linked(self):
        if not all((self.folder / "data" / name / "control.sock").exists() for name in self.peers):
            return False
        try:
            links = [link for name in self.peers for link in self.status(name)["links"]]
        except ConnectionRefusedError:  # its socket is bound, and does not listen yet
            return False
        return all(link["up"] for link in links if link["peer"] in self.peers)

    def wait_ready(self):
        for name, server in self.servers.items():
            wait_until(server.is_listening, f"{name} listens")
        wait_until(self.is_linked, "all links are up")
        return self

    def instructions(self):
        """Of the server that ran under callgrind, once it is stopped."""
        for line in (self.folder / "callgrind").read_text().splitlines():
            if line.startswith("summary:"):
                return int(line.split()[1])
        raise Failure("callgrind has left no summary")

    def restart(self, name):
        """Seconds until it listens again, has its links, and holds what the others do; it began empty."""
        self.servers[name].stop()
        began = time.monotonic()
        self.servers[name] = self.start(name)
        wait_until(self.servers[name].is_listening, f"{name} listens again", pause_s=0.002)
        wait_until(lambda: self.is_linked() and self.is_equal(), f"{name} holds all again", pause_s=0.002)
        return time.monotonic() - began

    def is_equal(self):
        return len({self.status(name)["digest"] for name in self.peers}) == 1

    def stop(self):
        for server in self.servers.values():
            server.stop()


@contextlib.contextmanager
def urgent(realtime):
    """Before all others on this machine, for those started meanwhile; real-time where the clock on the wall counts."""
    if realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    else:
        os.setpriority(os.PRIO_PROCESS, 0, URGENT_NICE)
    try:
        yield
    finally:  # also after a scenario that has failed
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, 0)


@contextlib.contextmanager
def before_all_others(server, urgent_too):
    """
    A running server gets real-time priority for a while, if this run is urgent. All of its threads: the loop waits
    without sleeping for one that is just waking it, and would wait for ever for one that it does not let run.
    """
    def threads():
        return [int(thread.name) for thread in pathlib.Path(f"/proc/{server.pid}/task").iterdir()] if urgent_too else []

    for thread in threads():
        os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(1))
    yield
    for thread in threads():
        os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, thread, URGENT_NICE)


class Rig:
    """Starts what a scenario needs and stops all of it."""

    def __init__(self, options):
        self.options = options
        self.stack = contextlib.ExitStack()
        self.count = 0

    def __enter__(self):
        self.folder = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="herd-bench-")))
        return self

    def __exit__(self, *_):
        self.stack.close()

    def herd(self, peers=None, **options):
        self.count += 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        herd = Herd(folder, peers or {"Hill": []}, **options)
        self.stack.callback(herd.stop)
        return herd

    def process(self, name, command, port, spoken):
        self.count += 1
        process = Process(name, command, port, self.folder / f"{self.count}.log", spoken=spoken)
        self.stack.callback(process.stop)
        wait_until(process.is_listening, f"{command[0]} listens")
        return process

    def bare(self):
        port = free_ports(1)[0]
        return self.process("Bare", [BIN / "bare-server", str(port)], port, ("--speech", "bare"))

    def asyncio_herd(self, peers, *options):
        """Servers by name of a herd on asyncio (asyncio_herd.py); they dial each other for as long as it takes."""
        ports = dict(zip(peers, free_ports(len(peers))))
        program = [sys.executable, pathlib.Path(__file__).with_name("asyncio_herd.py")]
        return {name: self.process(name, [*program, *options, name, str(ports[name]),
                                          *(f"{peer}={ports[peer]}" for peer in neighbours)], ports[name], ASYNCIO_SPOKEN)
                for name, neighbours in peers.items()}

    def redis(self):
        port = free_ports(1)[0]
        return self.process(None, [installed("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                                   "--appendonly", "no", "--dir", str(self.folder)], port, ("--speech", "redis"))

    def memcached(self):
        port = free_ports(1)[0]
        return self.process(None, [installed("memcached"), "-u", "nobody", "-l", "127.0.0.1", "-p", str(port), "-U", "0",
                                   "-t", "1", "-m", "1024"], port, ("--speech", "memcached"))

    def crowd(self, kind, server, *options):
        """A crowd on LOAD_CPU; to be ended with stop_child()."""
        command = [BIN / "herd-bench", "--crowd", kind, "--cpu", str(LOAD_CPU), "--duration", "3600",
                   *map(str, options), f"127.0.0.1:{server.port}"]
        # Behind the load, which it shares a processor with: it is the server that it shall trouble. Before what else
        # the machine does, or it does not keep its pace.
        def prepare():
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            if self.options.urgent:
                os.setpriority(os.PRIO_PROCESS, 0, URGENT_NICE)

        crowd = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=prepare)
        self.stack.callback(stop_child, crowd)
        if not crowd.stdout.readline().startswith("crowd"):
            raise Failure(f"the crowd {kind} did not come together")
        return crowd

    def simulated(self, *options):
        """What sim-trees has found. It ends with 1 when a ratio is above its aim, which the table shows; what says nothing, because
        updates were not everywhere or stores are not equal, is a failure."""
        done = subprocess.run([BIN / "sim-trees", "--json", *map(str, options)], capture_output=True, text=True)
        try:
            found = json.loads(done.stdout)
        except ValueError as error:
            raise Failure(f"sim-trees ended with {done.returncode}: {(done.stdout + done.stderr).strip()}") from error
        missed = {manner: count for manner, count in found["missed"].items() if count}
        if missed:
            raise Failure("updates that were not everywhere in time: "
                          + ", ".join(f"{count} {manner}" for manner, count in missed.items()))
        if not found["equal"]:
            raise Failure("the stores are not equal in the end")
        unreached = any(ratio["value"] is None or ratio["value"] > ratio["limit"] for ratio in found["ratios"].values())
        if done.returncode != unreached:
            raise Failure(f"sim-trees ended with {done.returncode}, its ratios say {int(unreached)}: {done.stderr.strip()}")
        return found

    def start_bench(self, servers, *options, pids=None, cpu=LOAD_CPU):
        """Starts herd-bench against servers; finish_bench() gives what it has shown."""
        command = [BIN / "herd-bench", "--json", "--cpu", str(cpu), *map(str, options), *servers[0].spoken]
        for pid in pids or [server.pid for server in servers]:
            command += ["--pid", str(pid)]
        for server in servers:
            command += ["--server", server.name] if server.name is not None else []
        command += [f"127.0.0.1:{server.port}" for server in servers]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.stack.callback(stop_child, child)
        return child

    def bench(self, servers, *options, **more):
        return finish_bench(self.start_bench(servers, *options, **more))

    def start_timed(self, servers, *options, longer=1, **more):
        seconds = self.options.seconds * longer
        return self.start_bench(servers, "--duration", seconds, "--warmup", seconds / 4, *options, **more)

    def timed(self, servers, *options, **more):
        """Longer where one sync of the disk takes longer than the run: where nothing was answered nothing was measured."""
        longer = 1
        while longer <= LONGER_MAX:
            result = finish_bench(self.start_timed(servers, *options, longer=longer, **more))
            if result["measured"] > 0:
                return result
            longer *= 2
        raise Failure(f"nothing was answered in {self.options.seconds * LONGER_MAX:g} s")


def cpu_s(servers):
    """Seconds of a processor that they have taken, all threads of each; as clock_getcpuclockid has it, by its process."""
    return sum(time.clock_gettime(~server.pid << 3 | CPUCLOCK_SCHED) for server in servers)


def loop_cpu_s(server):
    """The same of its first thread alone, which is the loop of a server of ours."""
    fields = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(port, line):
    """A line's answer, which is a line."""
    with socket.create_connection(("127.0.0.1", port), timeout=READY_MAX_S) as client, client.makefile("rwb") as file:
        file.write(line + b"\n")
        file.flush()
        return file.readline()


def finish_bench(child):
    """The JSON of a run; a wrong answer and what came due and was never sent are a failure of the scenario."""
    out, errors = child.communicate()
    if child.returncode != 0:
        raise Failure(f"herd-bench ended with {child.returncode}: {errors.strip()}")
    result = json.loads(out)
    if result["unsent"] > 0:
        raise Failure(f"{result['unsent']} requests came due and were never sent: the rate is more than is served")
    return result


def counted(folder):
    return [installed("valgrind"), "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind"]


def stop_child(child):
    if child.poll() is None:
        child.terminate()
        child.communicate()


def crowd_pace(crowd, seconds, ago_s):
    """Ends a crowd; what it did a second: the least of the `seconds` that ended so long ago."""
    crowd.terminate()
    told = [int(line.split()[2]) for line in crowd.communicate()[0].splitlines() if line.endswith(" a second")]
    told = told[:len(told) - math.ceil(ago_s)]
    return min(told[-max(1, int(seconds)):], default=0)


def installed(program):
    path = shutil.which(program) or shutil.which(program, path="/usr/bin:/usr/sbin:/bin")
    if path is None:
        raise Missing(f"{program} is not installed (Debian's package of that name)")
    return path


def all_rounds(count, runs):
    """Name -> what each run of `runs` (name -> function) gives in each of `count` rounds, in which all take turns."""
    seen = {name: [] for name in runs}
    for _ in range(count):
        for name, run in runs.items():
            seen[name].append(run())
    return seen


def rounds(count, runs):
    """The least of each in all_rounds: what else the machine does only ever adds, and meets all alike."""
    return {name: min(values) for name, values in all_rounds(count, runs).items()}


def first_line(*command):
    """Of what a program says; None where there is none."""
    with contextlib.suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if done.returncode == 0:
            return done.stdout.partition("\n")[0]
    return None


def machine():
    model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), os.uname().machine)
    return {"model": model, "cpus": os.cpu_count(), "kernel": os.uname().release,
            "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
            "load": round(os.getloadavg()[0], 1)}


def program():
    """What was measured: commit (None outside of git), whether files differ from it, compiler and kind of build."""
    cache = {}
    with contextlib.suppress(OSError):
        for line in (BIN.parent / "CMakeCache.txt").read_text().splitlines():
            name, _, value = line.partition("=")
            cache[name.partition(":")[0]] = value
    return {"commit": first_line("git", "rev-parse", "HEAD"),
            "changed": bool(first_line("git", "status", "--porcelain", "--untracked-files=no")),
            "compiler": first_line(cache.get("CMAKE_C_COMPILER", "cc"), "--version"),
            "build": cache.get("CMAKE_BUILD_TYPE")}
