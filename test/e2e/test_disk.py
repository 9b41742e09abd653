"""Disks that are full, read-only, damaged, or do not answer: what is served, what is said, and that a stop ends."""

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import time

import pytest

from disklib import fill_up, hanging_sync, holds, ids_of, metric, small_disk, tell, wait_written
from herdlib import AT, BIN, DEADLINE_S, SLOW, run, wait_until
from placeslib import reload

ALONE = {"Hill": []}
PAIR = {"Hill": ["Jaquez"], "Jaquez": ["Hill"]}
# Of answers that are to be refused, and of those that must not be.
TIMEOUT_MS, LONG_TIMEOUT_MS = 500, 600000
STOP_S = 5 if SLOW == 1 else 10  # what a stop may take: by the documentation, or where all is slower
FOR_EVER = f"\nstop_timeout_ms = {LONG_TIMEOUT_MS}"  # a stop that waits for what cannot be does not end within a test


def reset(client):
    """Gone without a word but a RST, as a process that was killed with data unread."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.file.close()
    client.socket.close()


def limit(server, timeout_ms):
    """How long answers wait to be safe, from now on."""
    server.herd.extra = server.herd.extra.partition("\nsafety_timeout_ms")[0] + f"\nsafety_timeout_ms = {timeout_ms}"
    server.herd.write_config()
    reload(server)


def refused(server, line):
    """That the line comes back behind a question mark, after the limit."""
    with server.client() as client:
        began = time.monotonic()
        assert client.ask(line) == b"? " + line + b"\n"
        took_ms = (time.monotonic() - began) * 1000
    assert took_ms >= TIMEOUT_MS * 0.9, took_ms
    return took_ms


def logged(server, *words):
    """The lines that have all these words; waits for one, because a thread of its own writes them."""
    return wait_until(lambda: [line for line in server.log().splitlines() if all(word in line for word in words)], f"{words} is logged")


# Answers that wait

def test_commit_on_a_disk_that_hangs_promises_nothing(make_herd, tmp_path, monkeypatch):
    with hanging_sync(tmp_path / "hang", monkeypatch) as hang:
        hill = make_herd(ALONE, extra='durability = "commit"').start()["Hill"]
        told = tell(hill, ids_of(10))
        limit(hill, TIMEOUT_MS)
        hang.touch()
        took_ms = refused(hill, b"IAMAT late +1+1 5")
        assert metric(hill, "answers_unsafe_total") == 1
        assert metric(hill, "disk_batch_ms") >= TIMEOUT_MS * 0.9 and metric(hill, "disk_failing") == 0
        limit(hill, LONG_TIMEOUT_MS)
        gone = hill.client()
        gone.send(b"IAMAT gone +1+1 5\n")
        wait_until(lambda: metric(hill, "answers_waiting") == 1, "it waits")
        reset(gone)
        wait_until(lambda: metric(hill, "answers_waiting") == 0, "who is gone waits no more")
        assert metric(hill, "answers_unsafe_total") == 1, "and was told nothing"
        with hill.client() as client:  # reading goes on, also of what is not safe
            assert client.whatsat(b"WHATSAT c5 1 0")[0] == told[b"c5"]
            assert AT.match(client.whatsat(b"WHATSAT late 1 0")[0])
        hang.unlink()
        wait_until(lambda: metric(hill, "disk_batch_ms") == 0, "it goes on")
        told.update(tell(hill, [b"late", b"after"]))
        hill.kill()
        print(f"refused after {took_ms:.0f} of {TIMEOUT_MS} ms")
        holds(hill.start(), told)


def test_herd_with_its_only_neighbour_stopped_promises_nothing(make_herd):
    herd = make_herd(PAIR, extra='durability = "herd"').start()
    hill, jaquez = herd["Hill"], herd["Jaquez"]
    told = tell(hill, ids_of(10))
    limit(hill, TIMEOUT_MS)
    jaquez.process.send_signal(signal.SIGSTOP)
    try:
        refused(hill, b"IAMAT late +1+1 5")
        with hill.client() as client:  # all of a connection's come back, in their order
            client.send(b"IAMAT x +1+1 5\nIAMAT  y +1+1 5\nWHATSAT nobody 1 0\n")
            assert client.end() == b"? IAMAT x +1+1 5\n? IAMAT  y +1+1 5\n? WHATSAT nobody 1 0\n"
        assert metric(hill, "answers_unsafe_total") == 3 and metric(hill, "answers_waiting") == 0
    finally:
        jaquez.process.send_signal(signal.SIGCONT)
    wait_until(lambda: hill.links_up() and jaquez.links_up(), "the links are up again")
    limit(hill, LONG_TIMEOUT_MS)
    told.update(tell(hill, [b"late", b"x"]))
    holds(jaquez, told)


# Stops

@pytest.mark.parametrize("durability", ["interval", "commit"])
def test_a_stop_does_not_wait_for_a_disk_that_hangs(make_herd, tmp_path, monkeypatch, durability):
    with hanging_sync(tmp_path / "hang", monkeypatch) as hang:
        extra = f'durability = "{durability}"\nstop_timeout_ms = {1000 * STOP_S}'  # all of it is waited for
        hill = make_herd(ALONE, extra=extra).start()["Hill"]
        told = tell(hill, ids_of(10))
        wait_until(lambda: metric(hill, "disk_batches_total") > 0, "they are on disk")
        hang.touch()
        with hill.client() as client:
            client.send(b"IAMAT late +1+1 5\n")
            wait_until(lambda: metric(hill, "clients") == 11, "it was told")
            began = time.monotonic()
            status = hill.kill(signal.SIGTERM)
            took_s = time.monotonic() - began
            answer = client.socket.recv(100) if durability == "commit" else b""
        assert status == 1 and "the last records could not be written: the disk does not answer" in hill.log(), (status, hill.log())
        assert not answer.startswith(b"AT"), "nothing was promised"
        print(f"{durability}: ended after {took_s:.2f} s")
        hang.unlink()
        holds(hill.start(), told)


HELD_STEP = 'step="syncing the sequences that are reserved"'  # where all is slow others may take long as well


def held_up(make_herd, hang, extra=""):
    """A server with ten records whose start does not come to an end: the server, and what it was told."""
    hill = make_herd(ALONE, extra='durability = "commit"' + extra).start()["Hill"]
    told = tell(hill, ids_of(10))
    hill.kill()
    hang.touch()
    hill.start(wait=False)
    wait_until(lambda: f'the start takes long" {HELD_STEP}' in hill.log(), "it says what holds it up")
    assert "level=warning" in logged(hill, "the start takes long", HELD_STEP)[0], hill.log()
    return hill, told


def test_a_stop_does_not_wait_for_a_start_that_hangs(make_herd, tmp_path, monkeypatch):
    with hanging_sync(tmp_path / "hang", monkeypatch) as hang:
        hill, told = held_up(make_herd, hang, f"\nstop_timeout_ms = {1000 * STOP_S}")  # most of it is waited for
        began = time.monotonic()
        status = hill.kill(signal.SIGTERM)
        took_s = time.monotonic() - began
        said = logged(hill, "told to stop during the start")
        assert status == 1 and len(said) == 1 and "level=error" in said[0] and "the disk does not answer" in said[0], hill.log()
        print(f"ended after {took_s:.2f} s: {said[0]}")
        hang.unlink()
        holds(hill.start(), told)


@pytest.mark.parametrize("stop", [False, True])
def test_a_start_that_was_held_up_goes_on(make_herd, tmp_path, monkeypatch, stop):
    with hanging_sync(tmp_path / "hang", monkeypatch) as hang:
        hill, told = held_up(make_herd, hang)
        if stop:
            hill.process.send_signal(signal.SIGTERM)
        hang.unlink()
        wait_until(lambda: f'the start goes on" {HELD_STEP}' in hill.log(), "it goes on")
        line = logged(hill, "the start goes on", HELD_STEP)[0]
        spent = {key: float(value) for key, value in re.findall(r"(took|cpu|queued)=([0-9.]+)ms", line)}
        assert spent.keys() == {"took", "cpu", "queued"} and spent["took"] >= 1000, line
        if stop:
            assert hill.process.wait(DEADLINE_S) == 0, hill.log()
            hill.start()
        hill.wait_listening()
        holds(hill, told)


def test_a_new_folder_is_synced(make_herd, tmp_path, monkeypatch):
    """Else it may not be there after a power loss, with all that clients were promised."""
    with hanging_sync(tmp_path / "hang", monkeypatch) as hang:
        hang.touch()
        herd = make_herd(ALONE, extra='durability = "commit"')
        hill = herd.servers["Hill"]
        hill.start(wait=False)
        logged(hill, "the start takes long")
        assert [path.name for path in herd.folder.glob("data/**/*")] == [], "one folder after the other"
        hang.unlink()
        hill.wait_listening()
        holds(hill, tell(hill, ids_of(10)))


@pytest.mark.parametrize("durability", ["commit", "herd"])
def test_a_stop_does_not_wait_for_what_cannot_become_safe(make_herd, durability):
    herd = make_herd(PAIR if durability == "herd" else ALONE, extra=f'durability = "{durability}"' + FOR_EVER)
    with small_disk(herd.folder / "data", "2m") if durability == "commit" else contextlib.nullcontext():
        hill = herd.start(["Hill"], links=False)["Hill"]
        if durability == "commit":
            fill_up(herd.folder / "data")
        with hill.client() as client:
            lines = b"".join(b"IAMAT late%d +1+1 5\n" % number for number in range(500))
            client.send(lines)
            wait_until(lambda: metric(hill, "clients") == 500, "it was told")
            if durability == "commit":
                wait_until(lambda: metric(hill, "disk_failing") == 1, "it has noticed")
            began = time.monotonic()
            hill.process.send_signal(signal.SIGTERM)
            answer = client.file.read()
        status = hill.process.wait(DEADLINE_S)
        took_s = time.monotonic() - began
        assert answer == b"".join(b"? %s\n" % line for line in lines.splitlines())
        assert status == (1 if durability == "commit" else 0)
        print(f"{durability}: ended after {took_s:.2f} s")


# Starts

@pytest.mark.parametrize("durability", ["interval", "commit"])
def test_a_start_with_a_full_disk_serves_from_memory(make_herd, durability):
    herd = make_herd(ALONE, extra=f'durability = "{durability}"')
    with small_disk(herd.folder / "data", "8m"):
        hill = herd.start()["Hill"]
        told = tell(hill, ids_of(1000))
        wait_written(hill)
        epoch = hill.status()["epoch"]
        hill.kill()
        ballast = fill_up(herd.folder / "data")
        hill.start()
        holds(hill, told)
        assert metric(hill, "disk_failing") == 1 and hill.status()["epoch"] != epoch
        logged(hill, "nothing can be written; records are kept in memory", "records.db cannot be")
        clients = metric(hill, "clients")
        if durability == "commit":
            limit(hill, TIMEOUT_MS)
            refused(hill, b"IAMAT late +1+1 5")
            limit(hill, LONG_TIMEOUT_MS)
        else:
            told.update(tell(hill, [b"late"]))
        assert metric(hill, "clients") == clients + 1
        ballast.unlink()
        wait_until(lambda: metric(hill, "disk_failing") == 0, "it is back on disk")
        logged(hill, "are written to disk again")
        told.update(tell(hill, [b"late", b"after"]))
        wait_written(hill)
        hill.kill()
        holds(hill.start(), told)
        herd.stop()


def test_a_first_start_with_a_full_disk_serves_from_memory(make_herd):
    herd = make_herd(ALONE)
    with small_disk(herd.folder / "data", "1m"):
        ballast = fill_up(herd.folder / "data")
        hill = herd.start()["Hill"]
        told = tell(hill, ids_of(10))
        assert metric(hill, "disk_failing") == 1
        holds(hill, told)
        ballast.unlink()
        wait_until(lambda: metric(hill, "disk_failing") == 0, "it is back on disk")
        herd.stop()
        holds(herd.start()["Hill"], told)
        herd.stop()


def test_a_full_disk_that_stays_full_is_said_at_the_stop(make_herd):
    herd = make_herd(ALONE)
    with small_disk(herd.folder / "data", "1m"):
        fill_up(herd.folder / "data")
        hill = herd.start()["Hill"]
        tell(hill, ids_of(10))
        assert hill.kill(signal.SIGTERM) == 1
        assert "the last records could not be written" in hill.log()


@pytest.mark.parametrize("ended", ["stopped", "killed", "restored"])
def test_a_read_only_disk_is_read_and_served(make_herd, ended):
    herd = make_herd(ALONE)
    with small_disk(herd.folder / "data", "8m") as disk:
        hill = herd.start()["Hill"]
        told = tell(hill, ids_of(1000))
        wait_written(hill)
        if ended == "stopped":
            hill.stop()
        else:
            hill.kill()
        if ended == "restored":
            (herd.folder / "data" / "Hill" / "records.db-shm").unlink()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        hill.start()
        holds(hill, told)
        logged(hill, "nothing can be written; records are kept in memory", "Read-only file system", "is mounted read-only")
        assert "has to own" not in hill.log(), "it says who has to own what nobody can write"
        told.update(tell(hill, [b"late"]))
        holds(hill, told)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        logged(hill, "are written to disk again")
        hill.stop()
        hill.start()
        holds(hill, told)
        herd.stop()


@pytest.mark.parametrize("durability", ["none", "interval"])
def test_a_folder_that_cannot_be_written_is_no_reason_not_to_serve(make_herd, durability):
    herd = make_herd(ALONE, extra=f'durability = "{durability}"')
    folder = herd.folder / "data" / "Hill"
    folder.mkdir(parents=True)
    if os.geteuid() == 0:  # may write everywhere, but not on a read-only file system
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], check=False).returncode != 0:
            pytest.skip("no mount here")
    else:
        folder.chmod(0o500)
    try:
        hill = herd.start(links=False)["Hill"]
        told = tell(hill, ids_of(10))
        holds(hill, told)
        assert hill.kill(signal.SIGTERM) == (0 if durability == "none" else 1), "what was promised is not on disk"
        assert "no control socket" in hill.log() and str(folder) in hill.log()
        assert ("nothing can be written; records are kept in memory" in hill.log()) == (durability == "interval")
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", folder], check=True)
        else:
            folder.chmod(0o700)


def test_a_folder_that_cannot_be_read_is_a_reason_not_to_start(make_herd):
    herd = make_herd(ALONE).start()
    told = tell(herd["Hill"], ids_of(10))
    herd.stop()
    folder = herd.folder / "data" / "Hill"
    (folder / "records.db").rename(folder / "away.db")
    (folder / "records.db").mkdir()
    done = run(BIN / "herd-server", "--config", herd.config, "Hill")
    said = [line for line in done.stderr.splitlines() if line.startswith("herd-server:")]
    assert done.returncode == 1 and len(said) == 1 and f"{folder / 'records.db'} cannot be read" in said[0], done.stderr
    (folder / "records.db").rmdir()
    (folder / "away.db").rename(folder / "records.db")
    holds(herd.start()["Hill"], told)


# What is lost

def flip(log):
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 0x10
    log.write_bytes(data)


def cut(log):
    os.truncate(log, log.stat().st_size // 2)


HARMS = {"flipped": flip, "cut": cut, "deleted": lambda log: log.unlink()}


@pytest.mark.parametrize("how", [*HARMS, "exchanged"])
@pytest.mark.parametrize("graph", [ALONE, PAIR])
def test_what_a_damaged_log_has_lost_is_said(make_herd, graph, how):
    herd = make_herd(graph, extra='durability = "commit"').start()
    hill, log = herd["Hill"], herd.folder / "data" / "Hill" / "records.db-wal"
    told = tell(hill, ids_of(200))
    older = log.read_bytes()
    told.update({id_: line for part in range(8) for id_, line in tell(hill, ids_of(100, b"p%d." % part)).items()})
    herd.wait_agrees()
    epoch = hill.status()["epoch"]
    hill.kill()
    if how == "exchanged":
        log.write_bytes(older)
    else:
        HARMS[how](log)
    hill.start()
    said = logged(hill, "part of what was written is lost")
    assert len(said) == 1 and "level=error" in said[0] and f"file={log.parent / 'records.db'}" in said[0] and log.name in said[0], said
    print(said[0])
    assert metric(hill, "disk_damaged") == 1 and hill.status()["epoch"] != epoch
    if graph is PAIR:
        herd.wait_agrees()
        holds(hill, told)
    else:
        assert hill.status()["clients"] < len(told)
    told = tell(hill, ids_of(50, b"new"))
    hill.kill()
    holds(hill.start(), told)
    assert metric(hill, "disk_damaged") == 0, "said once"


def test_a_log_that_is_lost_with_its_witness_is_said(make_herd):
    herd = make_herd(PAIR, extra='durability = "commit"').start()
    hill, folder = herd["Hill"], herd.folder / "data" / "Hill"
    told = tell(hill, ids_of(200))
    herd.wait_agrees()
    epoch = hill.status()["epoch"]
    hill.kill()
    flip(folder / "records.db-witness")
    (folder / "records.db-wal").unlink()
    hill.start()
    said = logged(hill, "part of what was written may be lost")
    assert len(said) == 1 and "level=error" in said[0] and "records.db-witness is damaged" in said[0], said
    assert metric(hill, "disk_damaged") == 1 and hill.status()["epoch"] != epoch
    herd.wait_agrees()
    holds(hill, told)


def test_a_log_that_is_removed_promises_nothing_more(make_herd):
    """SQLite writes on into a file without a name; what it has is saved as soon as that is seen."""
    hill = make_herd(ALONE, extra='durability = "commit"').start()["Hill"]
    told = tell(hill, ids_of(10))
    limit(hill, TIMEOUT_MS)
    (hill.herd.folder / "data" / "Hill" / "records.db-wal").unlink()
    refused(hill, b"IAMAT late +1+1 5")
    assert "level=error" in logged(hill, "its log, records.db-wal, was moved or removed")[0]
    hill.kill()
    holds(hill.start(), told)


def test_a_lock_that_is_removed_lets_one_process_write(make_herd):
    """The other one promises nothing more; what either has promised is found at the next start."""
    herd, other = (make_herd(ALONE, extra='durability = "commit"') for _ in range(2))
    folder = herd.folder / "data" / "Hill"
    hill = herd.start()["Hill"]
    told = tell(hill, ids_of(10))
    (folder / "lock").unlink()
    told |= tell(hill, ids_of(10, b"alone"))  # nobody has come, so it is taken anew
    assert (folder / "lock").read_text() == f"{hill.process.pid}\n"
    (folder / "lock").unlink()
    (other.folder / "data").symlink_to(herd.folder / "data")
    second = other.start()["Hill"]
    told |= tell(second, ids_of(10, b"second"))
    limit(hill, TIMEOUT_MS)
    refused(hill, b"IAMAT late +1+1 5")
    assert "level=error" in logged(hill, f"is in use by process {second.process.pid}")[0]
    told |= tell(second, ids_of(10, b"third"))
    second.kill()
    refused(hill, b"IAMAT later +1+1 5")
    hill.kill()
    holds(hill.start(), told)
    assert hill.status()["metrics"]["disk_damaged"] == 0


def test_a_disk_that_fails_is_said_once(make_herd):
    """One line when it begins, by who knows the most of it, and one when it is over."""
    herd = make_herd(ALONE)
    hill = herd.start()["Hill"]
    folder = herd.folder / "data" / "Hill"
    tell(hill, ids_of(10))
    wait_until(lambda: metric(hill, "disk_batches_total") > 0, "they are on disk")
    (folder / "records.db").rename(folder / "away.db")
    tell(hill, [b"late"])
    wait_until(lambda: metric(hill, "disk_failures_total") > 1, "it has been tried again")
    (folder / "away.db").rename(folder / "records.db")
    wait_until(lambda: metric(hill, "disk_failing") == 0, "it works again")
    logged(hill, "are written to disk again")
    said = [line for line in hill.log().splitlines() if "group=durable" in line or "to disk" in line]
    print("\n".join(said))
    assert len(said) == 2 and "level=error" in said[0] and "it was moved or removed" in said[0] and "level=info" in said[1]
    assert not any("peer=" in line for line in said)
