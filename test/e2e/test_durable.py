"""What is on disk: kept over restarts and crashes, a full disk, a damaged one."""

import contextlib
import signal
import sqlite3
import sys
import time

import pytest

import chaos
from disklib import fill_up, holds, ids_of, metric, small_disk, tell
from herdlib import AT, BIN, DEADLINE_S, SEED, SLOW, free_ports, run, wait_until

ALONE = {"Hill": []}
PAIR = {"Hill": ["Jaquez"], "Jaquez": ["Hill"]}


def rounds(count):
    """Under valgrind or a sanitizer, where each takes its time, fewer are enough."""
    return count if SLOW == 1 else (count + 2) // 3

def all_marked(herd, name):
    """Whether a server and its neighbours have marked and acknowledged all that they hold."""
    status = {other: herd[other].status() for other in [name, *herd.graph[name]]}
    return all(link["acked"] >= status[other]["sequence"] for other in status for link in status[other]["links"]
               if name in (other, link["peer"]))


def start_fails(herd, name, *words):
    """That it ends with status 1 and one line that says why."""
    done = run(BIN / "herd-server", "--config", herd.config, name)
    said = [line for line in done.stderr.splitlines() if line.startswith("herd-server:")]
    assert done.returncode == 1 and len(said) == 1, done.stderr
    print(said[0])
    for word in words:
        assert word in said[0], said[0]

@pytest.mark.parametrize("durability", ["interval", "commit", "herd"])
def test_all_five_stopped_and_started_know_everything(make_herd, durability):
    herd = make_herd(extra=f'durability = "{durability}"').start()
    told = {}
    for name in SEED:
        told.update(tell(herd[name], ids_of(200, name.encode())))
    herd.stop()
    herd.start()
    for server in herd.servers.values():
        wait_until(lambda: server.status()["clients"] == 1000, f"{server.name} knows all")
        holds(server, told)

def test_without_durability_nothing_is_on_disk(make_herd):
    herd = make_herd(ALONE, extra='durability = "none"').start()
    tell(herd["Hill"], ids_of(10))
    herd.stop()
    assert not [path for path in (herd.folder / "data" / "Hill").iterdir() if path.suffix == ".db"]
    assert herd.start()["Hill"].status()["clients"] == 0

def test_commit_outlives_a_kill_at_once(make_herd):
    herd = make_herd(ALONE, extra='durability = "commit"').start()
    told = {}
    for round_ in range(rounds(10)):
        told.update(tell(herd["Hill"], ids_of(50, b"r%d." % round_)))
        herd["Hill"].kill()
        herd["Hill"].start()
        holds(herd["Hill"], told)

def test_interval_loses_at_most_the_last_batches(make_herd):
    """What was told before a batch was begun is there once that is written; how long it takes is told, not judged."""
    herd = make_herd(ALONE, extra='durability = "interval"').start()
    hill = herd["Hill"]
    for round_ in range(rounds(3)):
        told, when, batches = {}, {}, {}
        begun, end = metric(hill, "disk_batches_total"), time.monotonic() + 2
        while time.monotonic() < end or batches[id_] < begun + 4:
            id_ = b"r%d.%d" % (round_, len(told))
            told.update(tell(hill, [id_]))
            when[id_], batches[id_] = time.monotonic(), metric(hill, "disk_batches_total")
        written = batches[id_]
        killed = time.monotonic()
        herd["Hill"].kill()
        herd["Hill"].start()
        gone = [id_ for id_, line in chaos.held_by(herd["Hill"], list(told)) if line != told[id_]]
        longest = max((killed - when[id_] for id_ in gone), default=0)
        print(f"{len(told)} acknowledged one by one, {len(gone)} gone, the oldest {longest:.3f} s before the kill")
        # The one after that which was under way, if there was one, has it.
        safe = {id_ for id_ in told if batches[id_] + 2 <= written}
        assert safe and not safe & set(gone)

def test_herd_answers_only_what_a_neighbour_holds_too(make_herd):
    herd = make_herd(PAIR, extra='durability = "herd"', proxied=[("Hill", "Jaquez")]).start()
    with herd["Hill"].client() as client:
        assert client.ask(b"IAMAT x +1+1 5").startswith(b"AT Hill")
        herd.proxies["Hill", "Jaquez"].set(stall=True)
        client.send(b"IAMAT x +1+1 6\n")
        client.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(None)
        herd.proxies["Hill", "Jaquez"].heal()
        assert client.line().startswith(b"AT Hill")
    herd["Hill"].kill()
    with herd["Jaquez"].client() as client:
        assert client.whatsat(b"WHATSAT x 1 0")[0].endswith(b" 6\n")

def test_a_kill_in_the_midst_of_snapshots_loses_nothing(make_herd):
    """Many updates of few clients: the journal grows long against what is held, and is begun anew."""
    herd = make_herd(ALONE, extra='durability = "commit"').start()
    ids = ids_of(500)
    count = rounds(4)
    for round_ in range(count):
        for sent in range(150):
            told = tell(herd["Hill"], ids, 1000 + round_ * 1000 + sent)
        herd["Hill"].kill()
        herd["Hill"].start()
        holds(herd["Hill"], told)
    size = sum(path.stat().st_size for path in (herd.folder / "data" / "Hill").iterdir() if path.is_file())
    print(f"{count * 150 * 500} updates of {len(ids)} clients take {size / 1e6:.1f} MB on disk")
    assert size < 100e6

def test_told_to_stop_in_the_midst_of_a_snapshot_it_ends_as_asked(make_herd):
    herd = make_herd(ALONE, extra='durability = "interval"').start()
    hill, ids = herd["Hill"], ids_of(200_000)
    file = herd.folder / "data" / "Hill" / "records.db"
    told = tell(hill, ids, 999)
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, isolation_level=None)) as records:

        def snapshots():
            """How many were begun, and whether the last one has yet to end."""
            current, complete = records.execute("SELECT current, complete FROM state").fetchone()
            return current - 1, 1 < current and complete < current

        def snapshot_is_under_way():
            return snapshots()[1]

        def all_is_written():
            return metric(hill, "disk_age_ms") == 0

        # Of clients that are written again and again: it copies the others. Some begin and end unseen.
        for round_ in range(400):
            told |= tell(hill, ids[:40_000], 1000 + round_)
            wait_until(lambda: snapshot_is_under_way() or all_is_written(), "there is a snapshot, or none for now")
            if snapshot_is_under_way():
                break
            assert round_ < 40 * (1 + snapshots()[0]), "forty rounds without a snapshot"
        else:
            raise AssertionError("not one of many snapshots was seen under way")
        assert hill.kill(signal.SIGTERM) == 0, hill.log()
    holds(hill.start(), told)


@pytest.mark.parametrize("durability", ["interval", "commit"])
def test_a_full_disk_does_not_stop_the_service(make_herd, durability):
    herd = make_herd(ALONE, extra=f'durability = "{durability}"\nsafety_timeout_ms = 600000')  # answers wait for the disk alone
    with small_disk(herd.folder / "data", "8m"):
        hill = herd.start()["Hill"]
        told = tell(hill, ids_of(100))
        wait_until(lambda: metric(hill, "disk_batches_total") > 0, "they are on disk")
        ballast = fill_up(herd.folder / "data")
        with hill.client() as client:
            late = ids_of(2000, b"late")  # few enough that their answers may all wait
            client.send(b"".join(b"IAMAT %s +1+1 5\n" % id_ for id_ in late))
            wait_until(lambda: metric(hill, "disk_failing") == 1, "it has noticed")
            wait_until(lambda: "cannot be written to disk" in hill.log(), "it has said so")
            assert metric(hill, "disk_failures_total") > 0
            with hill.client() as other:  # the service goes on
                assert other.whatsat(b"WHATSAT c5 1 0")[0] == told[b"c5"]
                wait_until(lambda: AT.match(other.whatsat(b"WHATSAT late1999 1 0")[0]), "memory has what the disk has not")
            ballast.unlink()
            told.update({id_: client.line() for id_ in late})
        wait_until(lambda: metric(hill, "disk_failing") == 0, "the disk works again")
        wait_until(lambda: "are written to disk again" in hill.log(), "it has said so")
        told.update(tell(hill, [b"after"]))
        herd.stop()
        hill.start()
        holds(hill, told)
        assert hill.status()["clients"] == len(told)
        herd.stop()

def test_stopped_with_a_full_disk_it_ends_all_the_same(make_herd):
    herd = make_herd(ALONE, extra='durability = "interval"')
    with small_disk(herd.folder / "data", "2m"):
        hill = herd.start()["Hill"]
        fill_up(herd.folder / "data")
        tell(hill, ids_of(20_000))
        wait_until(lambda: metric(hill, "disk_failing") == 1, "it has noticed")
        assert hill.kill(signal.SIGTERM) == 1, "not all that it was told is on disk"
        assert "the last records could not be written" in hill.log()

def damaged(path, how):
    data = bytearray(path.read_bytes())
    if how == "not ours":
        data[:] = b"This is a shopping list: milk, bread.\n" * 200
    elif how == "cut short":
        del data[len(data) // 2:]
    else:  # overwritten in the middle
        data[4096:len(data) - 4096] = b"\xa5" * (len(data) - 8192)
    path.write_bytes(data)

@pytest.mark.parametrize("how", ["not ours", "cut short", "overwritten"])
def test_a_damaged_file_is_said_at_the_start(make_herd, how):
    herd = make_herd(ALONE).start()
    tell(herd["Hill"], ids_of(2000))
    herd.stop()
    path = herd.folder / "data" / "Hill" / "records.db"
    damaged(path, how)
    before = path.read_bytes()
    start_fails(herd, "Hill", "records.db")
    assert path.read_bytes() == before, "what is there was touched"

@pytest.mark.parametrize("durability", ["interval", "commit"])
def test_a_file_removed_under_a_server_is_said_and_missed_by_nobody(make_herd, durability):
    herd = make_herd(PAIR, extra=f'durability = "{durability}"').start()
    hill, folder = herd["Hill"], herd.folder / "data" / "Hill"
    told = tell(hill, ids_of(100))
    for path in folder.glob("records.db*"):
        path.unlink()
    with hill.client() as client:
        client.send(b"IAMAT late +1+1 5\n")
        wait_until(lambda: metric(hill, "disk_failing") == 1, "it has noticed")
        wait_until(lambda: "it was moved or removed" in hill.log(), "it has said so")
        if durability == "interval":
            told[b"late"] = client.line()
        else:  # nothing is promised that does not hold
            client.socket.settimeout(0.5)
            with pytest.raises(TimeoutError):
                client.socket.recv(1)
    herd.wait_agrees()
    assert hill.kill(signal.SIGTERM) == 1, "not all that it was told is on disk"
    hill.start()
    wait_until(lambda: hill.status()["clients"] == 101, "its neighbour has given it everything")
    holds(hill, told)

@pytest.mark.parametrize("durability", ["none", "interval"])
def test_a_second_process_on_a_folder_is_refused(make_herd, durability):
    herd = make_herd(ALONE, extra=f'durability = "{durability}"').start()
    other = herd.folder / "other.conf"
    other.write_text(herd.config.read_text().replace(str(herd.ports["Hill"]), str(free_ports(1)[0])))
    done = run(BIN / "herd-server", "--config", other, "Hill")
    said = f"{herd.folder / 'data' / 'Hill'} is in use by process {herd['Hill'].process.pid}"
    assert done.returncode == 1 and said in done.stderr, done.stderr
    print(done.stderr.splitlines()[0])
    with herd["Hill"].client() as client:
        assert AT.match(client.ask(b"IAMAT x +1+1 5"))
    assert herd["Hill"].status()["server"] == "Hill", "the control socket of the first one still answers"
    herd["Hill"].kill()
    herd.start()

def test_a_port_that_is_taken_leaves_the_records_alone(make_herd):
    herd = make_herd(ALONE).start()
    told = tell(herd["Hill"], ids_of(2000))
    herd.stop()
    other = make_herd(ALONE, ports=list(herd.ports.values())).start()
    start_fails(herd, "Hill", "address already in use")
    other.stop()
    holds(herd.start()["Hill"], told)

def test_nobody_is_let_in_before_the_records_are_read(make_herd):
    """A neighbour whose HELLO is not answered at once would take this server for a plain one."""
    herd = make_herd(ALONE).start()
    hill = herd["Hill"]
    tell(hill, ids_of(10))
    herd.stop()
    with contextlib.closing(sqlite3.connect(herd.folder / "data" / "Hill" / "records.db")) as other:
        other.execute("BEGIN EXCLUSIVE")  # the server waits a while for its end
        hill.start(wait=False)
        while hill.process.poll() is None:
            with pytest.raises(ConnectionRefusedError):
                hill.client()
    assert hill.process.returncode == 1 and "is locked by another program" in hill.log()
    assert herd.start()["Hill"].status()["clients"] == 10

def test_told_to_stop_while_it_reads_it_does_not_read_on(make_herd):
    herd = make_herd(ALONE).start()
    hill = herd["Hill"]
    told = tell(hill, ids_of(5000))
    herd.stop()
    before = hill.log()
    # The signal waits for it from the beginning, so it comes before the last record for certain.
    begin = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {15}); os.kill(os.getpid(), 15); os.execvp(sys.argv[1], sys.argv[1:])"
    hill.start(wait=False, prefix=[sys.executable, "-c", begin])
    assert hill.process.wait(DEADLINE_S) == 0
    said = hill.log()[len(before):]
    assert "msg=stopped" in said and "msg=started" not in said and "records read" not in said, said
    holds(herd.start()["Hill"], told)

def test_what_is_old_is_forgotten_by_all(make_herd):
    ttl_s = round(3 * SLOW)  # long enough to be seen everywhere, once in ten times
    herd = make_herd(extra=f"record_ttl_s = {ttl_s}").start()
    for sent in range(1000, 1010):
        began = time.monotonic()
        told = tell(herd["Hill"], ids_of(100), sent)
        herd.wait_agrees()
        with herd["Campbell"].client() as client:
            line, _ = client.whatsat(b"WHATSAT c1 1 0 AFTER %d" % sent)
        if time.monotonic() - began < ttl_s:  # else it may have been forgotten by then
            assert line == told[b"c1"]
            break
    else:
        raise AssertionError(f"ten times it was not seen everywhere within {ttl_s} s")
    herd["Smith"].kill()
    herd["Smith"].start()
    wait_until(lambda: all(server.status()["clients"] == 0 for server in herd.servers.values()), "all have forgotten")
    for server in herd.servers.values():
        assert {line[:2] for _, line in chaos.held_by(server, list(told))} == {b"? "}
    herd.stop()
    herd.start()
    assert all(server.status()["clients"] == 0 for server in herd.servers.values())
    assert herd.agrees()

def test_one_that_returns_is_sent_only_what_it_missed(make_herd):
    herd = make_herd().start()
    told = tell(herd["Hill"], ids_of(5000))
    herd.wait_agrees()
    wait_until(lambda: all_marked(herd, "Smith"), "Smith and its neighbours know what they have of each other")
    herd["Smith"].stop()
    told.update(tell(herd["Hill"], ids_of(10, b"missed")))
    before = sum(metric(herd[name], "floods_sent_total") for name in SEED if name != "Smith")
    herd["Smith"].start()
    wait_until(lambda: herd["Smith"].status()["clients"] == 5010, "Smith knows all")
    wait_until(herd["Smith"].links_up, "Smith's links are up")
    herd.wait_agrees()
    sent = sum(metric(herd[name], "floods_sent_total") for name in SEED if name != "Smith") - before
    received, said = metric(herd["Smith"], "floods_received_total"), metric(herd["Smith"], "floods_sent_total")
    print(f"10 missed of 5,010: its neighbours sent {sent} FLOODs, it sent {said}")
    assert received < 500 and said < 500
    holds(herd["Smith"], told)

def test_one_killed_is_sent_only_the_last_seconds(make_herd):
    herd = make_herd().start()
    told = tell(herd["Hill"], ids_of(5000))
    herd.wait_agrees()
    wait_until(lambda: all_marked(herd, "Smith"), "Smith and its neighbours know what they have of each other")
    for round_ in range(2):  # the second batch was begun after the marks had come
        batches = metric(herd["Smith"], "disk_batches_total")
        told.update(tell(herd["Hill"], ids_of(10, b"last%d." % round_)))
        wait_until(lambda: metric(herd["Smith"], "disk_batches_total") > batches, "Smith's marks are on disk")
    herd["Smith"].kill()
    told.update(tell(herd["Hill"], ids_of(10, b"missed")))
    herd["Smith"].start()
    wait_until(lambda: herd["Smith"].status()["clients"] == 5030, "Smith knows all")
    herd.wait_agrees()
    received = metric(herd["Smith"], "floods_received_total")
    print(f"its neighbours sent it {received} FLOODs")
    assert received < 500
    holds(herd["Smith"], told)

def test_a_mark_that_came_after_the_records_is_kept_too(make_herd):
    """An empty neighbour that has taken all has nothing to send, only a MARK; to write that takes a batch of its own."""
    herd = make_herd(PAIR)
    hill = herd.start(["Hill"], links=False)["Hill"]
    tell(hill, ids_of(5000))
    wait_until(lambda: metric(hill, "disk_batches_total") > 0, "they are on disk")
    herd.start(["Jaquez"])
    wait_until(lambda: herd.agrees() and all_marked(herd, "Hill"), "both know what they have of each other")
    hill.stop()
    hill.start()
    wait_until(lambda: herd.agrees() and all_marked(herd, "Hill"), "both know again")
    with herd["Jaquez"].client() as client:  # comes after all that there was to be sent
        at_line = client.ask(b"IAMAT last +1+1 2000")
    with hill.client() as client:
        assert client.whatsat(b"WHATSAT last 1 0 AFTER 2000 WAIT 5000")[0] == at_line
    assert metric(hill, "floods_received_total") < 500

def test_one_slow_to_say_what_it_holds_is_not_sent_it_again(make_herd):
    """Hill does not answer HELLO in time: Jaquez, which was restarted meanwhile, takes it for slow, not for a plain one."""
    herd = make_herd(PAIR).start()
    told = tell(herd["Hill"], ids_of(5000))
    wait_until(lambda: herd.agrees() and all_marked(herd, "Hill"), "both know what they have of each other")
    herd["Jaquez"].stop()
    herd["Hill"].process.send_signal(signal.SIGSTOP)
    try:
        herd.start(["Jaquez"], links=False)
        wait_until(lambda: metric(herd["Jaquez"], "floods_sent_total") > 0, "it sends a few, in case Hill is a plain one by now")
    finally:
        herd["Hill"].process.send_signal(signal.SIGCONT)
    told.update(tell(herd["Jaquez"], [b"late"]))
    wait_until(lambda: herd["Jaquez"].links_up() and herd.agrees(), "Hill knows all")
    said = metric(herd["Jaquez"], "floods_sent_total")
    print(f"Jaquez, with 5,001 records, said {said} of them")
    assert said < 500
    holds(herd["Hill"], told)


def test_many_records_are_read(make_herd):
    count = 100_000 if SLOW == 1 else 20_000
    herd = make_herd(ALONE).start()
    hill = herd["Hill"]
    told = tell(hill, ids_of(count))
    began = time.monotonic()
    hill.stop()
    stopped = time.monotonic()
    hill.start()
    started = time.monotonic()
    assert hill.status()["clients"] == count
    print(f"{count:,} records: stopped in {(stopped - began) * 1e3:.0f} ms, started in {(started - stopped) * 1e3:.0f} ms")
    holds(hill, {id_: told[id_] for id_ in list(told)[::1000]})
