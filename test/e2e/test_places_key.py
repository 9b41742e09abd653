"""The API key is nowhere but in its file: no log, no answer, no file, no listing, no core image has it."""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess

import pytest

from herdlib import BIN, DEADLINE_S, SLOW, WRAP, free_ports, wait_until
from placeslib import IAMAT, KEY, WHATSAT, StandIn, hang_alone, hanging_read, places_of, reload, write_key

TIMEOUT_MS = 5000  # one question is to time out, the others are not

CLIENT = b"kiwi.cs.ucla.edu"  # in the server's memory: a core image without it would prove nothing


def make_certificate(folder):
    cert, key = folder / "cert.pem", folder / "cert.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    key, "-out", cert, "-days", "2", "-subj", "/CN=stand-in", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)
    return cert, key


@pytest.fixture
def http2(standin, tmp_path):
    """A proxy that speaks HTTP/2 over TLS in front of the stand-in: its origin, its certificate, its log."""
    if shutil.which("nghttpx") is None:
        pytest.skip("no nghttpx")
    cert, key = make_certificate(tmp_path)
    port, = free_ports(1)
    log = tmp_path / "nghttpx.log"
    proxy = subprocess.Popen(
        ["nghttpx", f"-f127.0.0.1,{port}", f"-b127.0.0.1,{standin.port}", "--workers=1", "--no-ocsp", "--conf=/dev/null",
         "--errorlog-file=/dev/null", f"--accesslog-file={log}", "--accesslog-format=$alpn $status $remote_port",
         key, cert])
    try:
        wait_until(lambda: subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}"], capture_output=True,
                                          stdin=subprocess.DEVNULL).returncode == 0, "nghttpx listens")
        yield f"https://127.0.0.1:{port}", cert, log
    finally:
        proxy.terminate()
        proxy.wait(DEADLINE_S)


def use(server, standin):
    """Asks in all the ways that could leave a copy behind: well, in vain, echoed, reloaded, and one is under way."""
    with server.client() as client:
        at = client.ask(IAMAT)
        for behaviour in ("normal", "echo_key", "hang", "reset_mid_body", "long_message", "normal"):
            standin.behave(behaviour)
            first, body = client.whatsat(WHATSAT)
            assert first == at and KEY.encode() not in body
            reload(server)
        assert json.loads(body)["status"] == "OK"
    standin.behave("hang")
    asked = standin.requests()
    waiting = server.client()
    waiting.send(b"WHATSAT kiwi.cs.ucla.edu 3 5\n")
    wait_until(lambda: standin.requests() > asked, "a call is under way")
    return waiting


def holds(path, needle):
    """Whether a file, or a listing of the system's, has these bytes in it."""
    tail = b""
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            if needle in tail + block:
                return True
            tail = block[-len(needle):]
    return False


def check_files(folder, key_file):
    found = [path for path in folder.rglob("*")
             if path.is_file() and path != key_file and holds(path, KEY.encode())]
    assert found == []


def check_listings(pid):
    for name in ("cmdline", "environ", "comm", "status", "maps", "mounts", "limits"):
        assert not holds(f"/proc/{pid}/{name}", KEY.encode()), name


def check_core(path):
    """An image that was left is one of the server's memory, and has no key in it, also not a half of it."""
    assert holds(path, CLIENT)
    assert not holds(path, KEY.encode())
    assert not holds(path, KEY[:20].encode()) and not holds(path, KEY[20:].encode())
    os.unlink(path)


def core_of_running(server, folder):
    subprocess.run(["gcore", "-o", folder / "core", str(server.process.pid)], check=True, capture_output=True)
    return folder / f"core.{server.process.pid}"


def core_of_aborted(server, cwd):
    """Where the kernel puts one, which it does only if it may, and is told to put them into the current folder."""
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    server.kill(signal.SIGABRT)
    if "/" in pattern or "|" in pattern or resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        return None
    cores = list(cwd.glob("core*"))
    assert len(cores) == 1, f"no core by the pattern {pattern}"
    return cores[0]


@pytest.mark.skipif(bool(WRAP) or SLOW > 1, reason="the memory of valgrind or a sanitizer is not the server's alone")
@pytest.mark.parametrize("provider, is_http2", [("google", False), ("google-legacy", False), ("google", True)])
def test_the_key_is_only_in_its_file(provider, is_http2, make_herd, standin, tmp_path, request, monkeypatch):
    key_file = write_key(tmp_path)
    origin, more = f"http://127.0.0.1:{standin.port}", []
    if is_http2:
        origin, cert, log = request.getfixturevalue("http2")
        more = [f'ca_file = "{cert}"']
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    monkeypatch.chdir(cwd)
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (limits[1], limits[1]))
    herd = make_herd({"Hill": []}, extra='log_level = "lines"',
                     places=places_of(provider, key_file, origin, "breaker_failures = 1000", *more,
                                      timeout_ms=TIMEOUT_MS))
    server = herd.start()["Hill"]
    resource.setrlimit(resource.RLIMIT_CORE, limits)
    waiting = use(server, standin)
    if is_http2:
        assert set(line.split()[0] for line in log.read_text().splitlines()) == {"h2"}
    check_listings(server.process.pid)
    check_core(core_of_running(server, tmp_path))
    core = core_of_aborted(server, cwd)
    if core is not None:
        check_core(core)
    waiting.close()
    check_files(tmp_path, key_file)


@pytest.mark.skipif(bool(WRAP) or SLOW > 1, reason="the memory of valgrind or a sanitizer is not the server's alone")
@pytest.mark.parametrize("provider", ["google", "google-legacy"])
def test_what_is_echoed_over_tls_is_in_no_core(provider, make_server, tmp_path):
    """OpenSSL decrypts into memory of its own, and connections end at each reload."""
    tls = tmp_path / "tls"
    tls.mkdir()
    standin = StandIn("--tls", str(tls))
    try:
        server = make_server(provider, f'ca_file = "{tls}/cert.pem"', origin=f"https://127.0.0.1:{standin.port}")
        standin.behave("long_message")
        with server.client() as client:
            client.ask(IAMAT)
            for _ in range(6):
                assert json.loads(client.whatsat(WHATSAT)[1])["status"] == "REQUEST_DENIED"
                reload(server)
            assert standin.requests() == 6
            check_core(core_of_running(server, tmp_path))
    finally:
        standin.stop()


@contextlib.contextmanager
def watched_exit(tmp_path, monkeypatch):
    """Servers started within have a disk that hangs while the first path is there, and write into the second how often their
    memory has the key file's name at an _exit, and how often the key."""
    found = tmp_path / "found"
    with hanging_read(tmp_path / "hang", monkeypatch) as hang:
        monkeypatch.setenv("LD_PRELOAD", f"{os.environ['LD_PRELOAD']}:{(BIN / 'libkey_at_exit.so').absolute()}")
        monkeypatch.setenv("KEY_AT_EXIT_TO", str(found))
        monkeypatch.setenv("KEY_AT_EXIT_SURE_HEX", str(tmp_path / "places.key").encode().hex())
        monkeypatch.setenv("KEY_AT_EXIT_HEX", KEY.encode().hex())
        yield hang, found


def check_found(found):
    sure, keys = map(int, found.read_text().split())
    assert sure > 0 and keys == 0


@pytest.mark.skipif(bool(WRAP) or SLOW > 1, reason="the memory of valgrind or a sanitizer is not the server's alone")
def test_a_stop_that_leaves_a_thread_behind_wipes_the_key(make_server, standin, tmp_path, monkeypatch):
    with watched_exit(tmp_path, monkeypatch) as (hang, found):
        places_file = tmp_path / "places.db"
        shutil.copy(BIN.parent / "share/herd/places.db", places_file)
        server = make_server("google-legacy", 'fallback = "local"', "memory_max_mib = 0", f'data_file = "{places_file}"',
                             "breaker_failures = 1000", timeout_ms=TIMEOUT_MS)
        waiting = use(server, standin)
        hang_alone(hang, places_file)
        standin.behave("http:503")
        waiting.send(b"WHATSAT kiwi.cs.ucla.edu 4 5\n")
        wait_until(lambda: server.status()["metrics"]["places_local_on_disk"] > 0, "the fallback hangs")
        assert server.kill(signal.SIGTERM) == 0
        assert "a thread has not come back" in server.log()
        waiting.close()
    check_found(found)


@pytest.mark.skipif(bool(WRAP) or SLOW > 1, reason="the memory of valgrind or a sanitizer is not the server's alone")
def test_a_start_that_is_given_up_wipes_the_key(make_server, tmp_path, monkeypatch):
    with watched_exit(tmp_path, monkeypatch) as (hang, found):
        server = make_server("google")
        with server.client() as client:
            client.ask(IAMAT)
        server.stop()
        assert not found.exists()  # that one had time
        hang_alone(hang, server.herd.folder / "data/Hill/records.db")
        server.start(wait=False)
        wait_until(lambda: "the start takes long" in server.log(), "it hangs")
        assert server.kill(signal.SIGTERM) == 1
        assert "told to stop during the start" in server.log()
    check_found(found)


def test_a_key_that_others_may_read_is_refused(make_herd, tmp_path):
    key_file = write_key(tmp_path)
    key_file.chmod(0o640)
    herd = make_herd({"Hill": []}, places=f'provider = "google"\nkey_file = "{key_file}"')
    server = herd["Hill"].start(wait=False)
    assert server.process.wait(DEADLINE_S) == 1
    assert "chmod 600" in server.log() and KEY not in server.log()


def test_a_new_key_is_taken_at_a_reload(make_server, standin, tmp_path):
    server = make_server("google")
    write_key(tmp_path, "AIzaSyOfYesterday")
    reload(server)
    with server.client() as client:
        client.ask(IAMAT)
        for _ in range(3):
            assert json.loads(client.whatsat(WHATSAT)[1])["status"] == "REQUEST_DENIED"
        assert standin.requests() == 1  # not asked again with a key that was refused
        write_key(tmp_path)
        reload(server)
        assert json.loads(client.whatsat(WHATSAT)[1])["status"] == "OK"


def test_connections_of_http2_are_shared_and_kept(make_server, standin, http2):
    origin, cert, log = http2
    server = make_server("google", f'ca_file = "{cert}"', origin=origin)
    with server.client() as client:
        at = client.ask(IAMAT)
        for i in range(20):
            first, body = client.whatsat(b"WHATSAT kiwi.cs.ucla.edu %d 5" % (i + 1))
            assert first == at and json.loads(body)["status"] == "OK"
    wait_until(lambda: len(log.read_text().splitlines()) == 20, "nghttpx has logged them")
    lines = [line.split() for line in log.read_text().splitlines()]
    assert {line[0] for line in lines} == {"h2"} and {line[1] for line in lines} == {"200"}
    assert len({line[2] for line in lines}) == 1


def test_threads_take_the_signals_of_a_crash_alone(server):
    """Where these are blocked, a thread that crashes while the key is wiped ends the process before it is."""
    crashes = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP}
    others = {signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP}
    threads = {"herd-log", "herd-durable", "herd-places"}

    def blocked_by_thread():
        blocked = {}
        for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that ends meanwhile
                name = (task / "comm").read_text().strip()
                status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
                mask = int(status["SigBlk"], 16)
                blocked[name] = {number for number in crashes | others if mask >> (number - 1) & 1}
        return {name: blocked[name] for name in threads & blocked.keys()}

    # All are blocked in a thread that is just being made.
    wait_until(lambda: blocked_by_thread() == dict.fromkeys(threads, others), "the threads take them")
