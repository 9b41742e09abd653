"""The real programs, as a user runs them: a herd of servers on loopback, clients, and servers of the seed's plain kind."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from fault_proxy import FaultProxy  # noqa: E402

BIN = pathlib.Path(os.environ.get("HERD_BIN", "build/release/bin"))
# For instance `valgrind -q --error-exitcode=99`: every server is started under it.
WRAP = shlex.split(os.environ.get("HERD_WRAP", ""))
# Under valgrind or a sanitizer everything is slower; no test may fail for that.
SLOW = float(os.environ.get("HERD_SLOW", "10" if WRAP else "1"))
# What is waited for without end is a defect. Nothing is measured by this: where all is well nobody waits for so long.
DEADLINE_S = max(60, 10 * SLOW)
# To be asked costs a slow server its time, too.
POLL_S = 0.002 * SLOW

SEED = {
    "Hill": ["Jaquez", "Smith"],
    "Jaquez": ["Hill", "Singleton"],
    "Smith": ["Campbell", "Singleton", "Hill"],
    "Campbell": ["Smith", "Singleton"],
    "Singleton": ["Jaquez", "Smith", "Campbell"],
}

AT = re.compile(rb"^AT (\S+) ([+-]\d+\.\d{9}) (\S+) (\S+) (\S+)\n$")

# Below the range that the system takes for outgoing connections, so that nothing else sits on these.
PORT_FIRST, PORT_LAST = 20000, 31999


def free_ports(count):
    """Ports that nothing listens on and that no other test of this machine gets: a counter in a locked file."""
    path = os.path.join(tempfile.gettempdir(), f"herd-test-ports-{os.getuid()}")
    ports = []
    with open(path, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        at = int(file.read() or PORT_FIRST)
        while len(ports) < count:
            at = at + 1 if at < PORT_LAST else PORT_FIRST
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with contextlib.suppress(OSError):
                    probe.bind(("127.0.0.1", at))
                    ports.append(at)
        file.seek(0)
        file.truncate()
        file.write(str(at))
    return ports


def wait_until(condition, what, deadline_s=None):
    """Asks again until `condition()` is true, and gives its value; fails after a deadline that only a defect can reach."""
    end = time.monotonic() + (deadline_s or DEADLINE_S)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(POLL_S)


class Client:
    """A connection as a client has it."""

    def __init__(self, port, timeout_s=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s or DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        return self.file.readline()

    def ask(self, line):
        self.send(line + b"\n")
        return self.line()

    def whatsat(self, line):
        """The AT line and the JSON of an answer, as bytes; or the error line and None."""
        self.send(line + b"\n")
        return self.answer()

    def answer(self):
        at = self.line()
        if not at.startswith(b"AT "):
            return at, None
        body = b""
        while True:
            line = self.line()
            assert line, "the answer ended early"
            body += line
            if line == b"\n":
                return at, body

    def end(self):
        """Closes this half and gives all that still comes."""
        self.socket.shutdown(socket.SHUT_WR)
        return self.file.read()


def answers(port):
    """Whether somebody listens there."""
    with contextlib.suppress(OSError):
        Client(port).close()
        return True
    return False


class Established(NamedTuple):
    """One end of a connection over IPv4, as the kernel has it: its port and the other's; bytes that it sent and that are not
    acknowledged, and that came and are not read."""
    port: int
    peer_port: int
    unacknowledged: int
    unread: int


def established():
    """All of this machine."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    return [Established(*(int(row[at].rpartition(":")[2], 16) for at in (1, 2)), *(int(queue, 16) for queue in row[4].split(":")))
            for row in rows if row[3] == "01"]


def unread(port):
    """Bytes that have come for who listens at a port, and wait in the kernel."""
    return sum(end.unread for end in established() if end.port == port)


class Server:
    def __init__(self, herd, name):
        self.herd, self.name, self.port = herd, name, herd.ports[name]
        self.process = None
        self.log_path = herd.folder / f"{name}.log"

    def start(self, wait=True, prefix=()):
        """`prefix`: a command that runs it, as prlimit does."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*prefix, *WRAP, BIN / "herd-server", "--config", self.herd.config_of(self.name), self.name],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            self.wait_listening()
        return self

    def listening(self):
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.log()}"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    def wait_listening(self):
        wait_until(self.listening, f"{self.name} listens", self.herd.deadline_s)

    def client(self):
        return Client(self.port, self.herd.deadline_s)

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return self.process.wait(self.herd.deadline_s)

    def stop(self):
        """SIGTERM; the exit status, which is 0 also in valgrind's and the sanitizers' opinion."""
        if self.process is None or self.process.poll() is not None:
            return None
        status = self.kill(signal.SIGTERM)
        assert status == 0, f"{self.name} ended with {status}:\n{self.log()}"
        return status

    def log(self):
        return self.log_path.read_text(errors="replace")

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1))

    def status(self):
        """What it says of itself; waits while it still starts."""
        return wait_until(self.try_status, f"the control socket of {self.name} answers", self.herd.deadline_s)

    def try_status(self):
        """As status; None while there is no control socket, which comes after the listener."""
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.log()}"
        with socket.socket(socket.AF_UNIX) as control, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            control.settimeout(self.herd.deadline_s)
            control.connect(str(self.herd.folder / "data" / self.name / "control.sock"))
            control.sendall(b"STATUS\n")
            return json.loads(control.makefile().readline())
        return None

    def links_up(self):
        status = self.try_status()
        return status is not None and all(link["up"] for link in status["links"])


@contextlib.contextmanager
def preloaded(monkeypatch, library, **environment):
    """Servers started within have that library of test/lib before the system's, and what it reads of the environment."""
    monkeypatch.setenv("LD_PRELOAD", str((BIN / library).absolute()))
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    try:
        yield
    finally:
        monkeypatch.delenv("LD_PRELOAD", raising=False)


@contextlib.contextmanager
def hanging_names(path, monkeypatch, name=None, **environment):
    """Servers started within look up `name`, and names of .example, in vain as long as the file `path` is there."""
    if name is not None:
        environment["SLOW_DNS_NAME"] = name
    path.touch()
    try:
        with preloaded(monkeypatch, "libslow_dns.so", SLOW_DNS_WHILE=path, **environment):
            yield path
    finally:
        path.unlink(missing_ok=True)


class Herd:
    """Servers by name, of one configuration in a folder of their own.

    `proxied` are pairs (who dials, who listens): what the first sends the second goes through `proxies[pair]`. As a server
    finds its neighbours by their listen addresses, each that dials through a proxy has a configuration of its own.
    """

    def __init__(self, folder, graph=None, ports=None, extra="", places="", proxied=(), deadline_s=DEADLINE_S):
        self.folder = pathlib.Path(folder)
        self.deadline_s = deadline_s  # of each thing that its servers do
        self.graph = graph or SEED
        self.ports = dict(zip(self.graph, ports or free_ports(len(self.graph))))
        self.config = self.folder / "herd.conf"
        # To read all places into memory would be most of a server's work in a test that is not about them.
        self.extra, self.places = extra, places or "memory_max_mib = 0"
        if SLOW > 1 and "total_timeout_ms" not in places:
            # A server that is so much slower takes longer over its places, too.
            self.places += f"\ntotal_timeout_ms = {round(3000 * SLOW)}"
        if SLOW > 1 and "stop_timeout_ms" not in extra:
            self.extra += f"\nstop_timeout_ms = {round(5000 * SLOW)}"
        self.proxies = {(dials, listens): FaultProxy(port, self.ports[listens])
                        for (dials, listens), port in zip(proxied, free_ports(len(proxied)))}
        self.write_config()
        self.servers = {name: Server(self, name) for name in self.graph}

    def config_of(self, name):
        return self.folder / f"{name}.conf" if any(dials == name for dials, _ in self.proxies) else self.config

    def write_config(self, graph=None):
        self.config.write_text(self.config_text(graph or self.graph, self.ports))
        for name in {dials for dials, _ in self.proxies}:
            ports = {listens: proxy.listen_port for (dials, listens), proxy in self.proxies.items() if dials == name}
            self.config_of(name).write_text(self.config_text(graph or self.graph, {**self.ports, **ports}))

    def config_text(self, graph, ports):
        lines = ['security = "open"', 'data_dir = "data"', self.extra, "places {", self.places, "}"]
        for name, peers in graph.items():
            quoted = ", ".join(f'"{peer}"' for peer in peers)
            lines.append(f'server {name} {{ listen = "127.0.0.1:{ports[name]}" peers = {{{quoted}}} }}')
        return "\n".join(lines) + "\n"

    def __getitem__(self, name):
        return self.servers[name]

    def start(self, names=None, links=True):
        chosen = [self.servers[name] for name in names or self.graph]
        for server in chosen:
            server.start(wait=False)
        for server in chosen:
            server.wait_listening()
        if links:
            for server in chosen:
                wait_until(server.links_up, f"the links of {server.name} are up", self.deadline_s)
        return self

    def edges(self):
        """Every pair (who dials, who listens)."""
        return [(name, peer) for name, peers in self.graph.items() for peer in peers]

    def agrees(self):
        """Whether all servers hold the same records."""
        return len({server.status()["digest"] for server in self.servers.values()}) == 1

    def wait_agrees(self, deadline_s=None):
        wait_until(self.agrees, "all digests are equal", deadline_s)

    def stop(self):
        for server in self.servers.values():
            server.stop()

    def kill(self):
        """Ends what is left, proxies too."""
        for server in self.servers.values():
            if server.process is not None and server.process.poll() is None:
                server.kill()
        for proxy in self.proxies.values():
            proxy.close()
        self.proxies = {}


def run(*arguments, **options):
    """A program of ours to its end: what subprocess.run gives, output as text."""
    return subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True,
                          timeout=5 * DEADLINE_S, check=False, **options)


def knows(server, client_id, at_line):
    """Whether a server answers WHATSAT about a client with this AT line."""
    with server.client() as client:
        line, _ = client.whatsat(b"WHATSAT %s 1 0" % client_id)
        return line == at_line
