"""A places file on a disk that does not answer: questions are answered all the same, nobody else waits, and a stop does not."""

import contextlib
import json
import signal
import subprocess
import time

import pytest

from herdlib import BIN, DEADLINE_S, SLOW, wait_until
from placeslib import (IAMAT, LONG_TIMEOUT_MS, SHORT_TIMEOUT_MS, WHATSAT, hang_alone, hanging_read, places_of, reload, set_timeout,
                       sign_of, write_key)

LATE = b"IAMAT late +34.068930-118.445127 1621464827.959498503"
CALLS = ["read", "close", "fstat", "stat", "open"]
STOP_S = 5  # stop_timeout_ms
CLIENTS, QUESTIONS = 4, 50


def import_place(path, name):
    place = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [-118.4451, 34.0689]},
             "properties": {"name": name}}
    subprocess.run([BIN / "herd-places", "import", "-", "--out", path], input=json.dumps(place).encode(),
                   capture_output=True, check=True, timeout=DEADLINE_S)


def name_near(client):
    answer = json.loads(client.whatsat(WHATSAT)[1])
    return answer["results"][0]["name"] if answer["results"] else answer["status"]


def local_at(path):
    return "\n".join(['provider = "local"', "memory_max_mib = 0", f'data_file = "{path}"', f"total_timeout_ms = {LONG_TIMEOUT_MS}"])


def start_asked(herd, monkeypatch):
    """A server whose places file, named Old, is asked on disk, and by no thread any more."""
    server = herd.start()["Hill"]
    monkeypatch.delenv("LD_PRELOAD")  # for the programs that follow
    with server.client() as client:
        client.ask(IAMAT)
        assert name_near(client) == "Old"
    wait_until(lambda: "opened, asked on disk" in server.log(), "no thread is at it any more")
    return server


def test_more_questions_than_may_wait_for_a_file_are_refused_and_told(make_herd, tmp_path, monkeypatch):
    path, clients, questions = tmp_path / "places.db", 26, 4000
    import_place(path, "Old")
    with hanging_read(tmp_path / "hang", monkeypatch) as hang, contextlib.ExitStack() as stack:
        server = start_asked(make_herd({"Hill": []}, places=local_at(path), extra="pipeline_max = 4096\noutput_max_kib = 4096"),
                             monkeypatch)
        hang_alone(hang, path)
        for _ in range(clients):
            stack.enter_context(server.client()).send((WHATSAT + b"\n") * questions)
        wait_until(lambda: server.status()["metrics"]["places_refused_total"] > 0, "one more than 100,000 waits")
        assert server.status()["metrics"]["places_local_waiting"] >= 99900
        wait_until(lambda: "100,000 questions for the places file wait" in server.log(), "the log says so")
        hang.unlink()


@pytest.mark.parametrize("how", ["reload", "import", "nothing"])
def test_a_stop_does_not_wait_for_a_places_file_that_hangs(how, make_herd, tmp_path, monkeypatch):
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    import_place(old, "Old")
    with hanging_read(tmp_path / "hang", monkeypatch) as hang:
        stop_s = STOP_S if SLOW == 1 else 2 * STOP_S  # nearly all of it is waited for
        herd = make_herd({"Hill": []}, places=local_at(old), extra=f"stop_timeout_ms = {1000 * stop_s}")
        server = start_asked(herd, monkeypatch)
        with server.client() as client:
            set_timeout(server, SHORT_TIMEOUT_MS)
            hang_alone(hang, old)
            assert name_near(client) == "UNKNOWN_ERROR"
            if how == "reload":
                import_place(new, "New")
                herd.places = herd.places.replace(str(old), str(new))
                herd.write_config()
                reload(server)
            elif how == "import":
                hang_alone(hang, f"{old} (deleted)")
                import_place(old, "New")
                reload(server)
            if how != "nothing":
                wait_until(lambda: name_near(client) == "New", "the new file is asked")
        began = time.monotonic()
        status = server.kill(signal.SIGTERM)
        took_s = time.monotonic() - began
    print(f"{how}: ended after {took_s:.2f} s")
    assert status == 0 and "a thread has not come back" in server.log() and "msg=stopped" in server.log(), server.log()


def name_the_neighbour(herd):
    """By a name that has to be resolved, which localhost in small letters has not."""
    port = herd.ports["Dale"]
    herd.config.write_text(herd.config.read_text().replace(f"127.0.0.1:{port}", f"LOCALHOST:{port}"))


def ask_all(server):
    """Many clients, whose many questions are under way."""
    clients = [server.client() for _ in range(CLIENTS)]
    for client in clients:
        client.ask(IAMAT)
        client.send((WHATSAT + b"\n") * QUESTIONS)
    return clients


def metric(server, name):
    return server.status()["metrics"][name]


def test_a_disk_that_hangs_holds_up_places_alone(make_herd, standin, tmp_path, monkeypatch):
    """Two questions hang in threads, the new file's loader in another one, the rest waits; nobody longer than he has to.
    Meanwhile a neighbour's name is resolved, and the calls of a day are written down: libuv's few threads do both."""
    old, timeout_s = tmp_path / "old.db", 10  # in which all are asked, for certain
    import_place(old, "Old")
    places = ['provider = "local"', "memory_max_mib = 0", f'data_file = "{old}"', f"total_timeout_ms = {1000 * timeout_s}"]
    with hanging_read(tmp_path / "hang", monkeypatch) as hang:
        herd = make_herd({"Hill": ["Dale"], "Dale": ["Hill"]}, places="\n".join(places))
        name_the_neighbour(herd)
        server = herd.start(["Hill"], links=False)["Hill"]
        monkeypatch.delenv("LD_PRELOAD")  # for the programs that follow
        with server.client() as client:
            client.ask(IAMAT)
            assert name_near(client) == "Old"
        wait_until(lambda: "opened, asked on disk" in server.log(), "no thread is at it any more")
        hang.touch()
        import_place(old, "New")
        reload(server)  # the loader opens the new file
        began = time.monotonic()
        clients = ask_all(server)
        wait_until(lambda: metric(server, "places_local_waiting") == CLIENTS * QUESTIONS - 2, "all are asked but two")
        assert metric(server, "places_local_on_disk") == 2
        herd.places = herd.places.replace("memory_max_mib = 0", "memory_max_mib = 1")
        herd.write_config()
        name_the_neighbour(herd)
        reload(server)  # it takes the new values without waiting for the disk
        for client in clients:
            for _ in range(QUESTIONS):
                assert json.loads(client.answer()[1])["status"] == "UNKNOWN_ERROR"
            client.close()
        took_s = time.monotonic() - began
        assert metric(server, "places_local_waiting") == 0
        herd.write_config()  # for itself it has an address: by the name it could listen on ::1 alone
        herd["Dale"].start()
        wait_until(server.links_up, "the neighbour's name is resolved")
        herd.places = places_of("google", write_key(tmp_path), f"http://127.0.0.1:{standin.port}")
        herd.write_config()
        name_the_neighbour(herd)
        reload(server)
        with server.client() as client:
            client.ask(IAMAT)
            assert json.loads(client.whatsat(WHATSAT)[1])["status"] == "OK"
        assert metric(server, "places_local_on_disk") == 2  # so it was all done while they hung
        assert (server.herd.folder / "data/Hill/places-calls").exists()
        hang.unlink()
        wait_until(lambda: metric(server, "places_local_on_disk") == 0, "they are back")
    print(f"{CLIENTS * QUESTIONS} questions of a disk that hangs answered after {took_s:.2f} s of {timeout_s} s")


@pytest.mark.parametrize("call, durability", [*((call, "commit") for call in CALLS), ("close", "interval")])
def test_records_are_written_while_a_places_file_hangs(call, durability, make_herd, tmp_path, monkeypatch):
    """SQLite reads both, and its own VFS has one lock for all files of a process."""
    old = tmp_path / "old.db"
    import_place(old, "Old")
    with hanging_read(tmp_path / "hang", monkeypatch) as hang:
        herd = make_herd({"Hill": []}, places=local_at(old), extra=f'durability = "{durability}"')
        server = start_asked(herd, monkeypatch)
        hang_alone(hang, f"{old} (deleted)" if call == "close" else old, call)
        import_place(old, "New")
        wait_until(sign_of(hang).exists, f"{call} hangs")
        with server.client() as client:
            client.ask(LATE)
        if durability == "commit":
            server.kill(signal.SIGKILL)
        else:
            assert server.kill(signal.SIGTERM) == 0, server.log()
    server.start()
    with server.client() as client:
        assert client.whatsat(b"WHATSAT late 10 5")[0].startswith(b"AT Hill ")


@pytest.mark.parametrize("to", ["another file", "google"])
def test_a_reload_does_not_wait_for_the_old_file_to_close(to, make_herd, standin, tmp_path, monkeypatch):
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    import_place(old, "Old")
    import_place(new, "New")
    with hanging_read(tmp_path / "hang", monkeypatch) as hang:
        herd = make_herd({"Hill": []}, places=local_at(old))
        server = start_asked(herd, monkeypatch)
        hang_alone(hang, old, "close")
        herd.places = local_at(new) if to == "another file" else places_of("google", write_key(tmp_path), f"http://127.0.0.1:{standin.port}")
        herd.write_config()
        reload(server)
        wait_until(sign_of(hang).exists, "close hangs")
        with server.client() as client:
            client.ask(LATE)
            if to == "another file":
                wait_until(lambda: name_near(client) == "New", "the new file is asked")
            else:
                assert json.loads(client.whatsat(WHATSAT)[1])["status"] == "OK"


def google_at(standin, folder, *more):
    return places_of("google", write_key(folder), f"http://127.0.0.1:{standin.port}", *more)


@pytest.mark.parametrize("call", ["read", "open", "fstat"])
@pytest.mark.parametrize("before", ["local", "google"])
def test_a_reload_does_not_wait_for_the_new_file_to_open(before, call, make_herd, standin, tmp_path, monkeypatch):
    """What was asked before is asked until the new file is open; a reload meanwhile takes the place of the one before."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    import_place(old, "Old")
    import_place(new, "New")
    of_old = local_at(old) if before == "local" else google_at(standin, tmp_path)
    with hanging_read(tmp_path / "hang", monkeypatch) as hang:
        server = make_herd({"Hill": []}, places=of_old).start()["Hill"]
        monkeypatch.delenv("LD_PRELOAD")
        hang_alone(hang, new, call)
        with server.client() as client:
            client.ask(IAMAT)
            answer_before = name_near(client)
            for places in (local_at(new), of_old, local_at(new)):
                server.herd.places = places
                server.herd.write_config()
                reload(server)
                client.ask(LATE)
                assert name_near(client) == answer_before != "New"
            wait_until(sign_of(hang).exists, f"{call} hangs")
            client.ask(IAMAT)
            assert name_near(client) == answer_before
            hang.unlink()
            wait_until(lambda: name_near(client) == "New", "the new file is asked")


def test_a_stop_while_the_new_file_hangs(make_herd, tmp_path, monkeypatch):
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    import_place(old, "Old")
    import_place(new, "New")
    with hanging_read(tmp_path / "hang", monkeypatch) as hang:
        herd = make_herd({"Hill": []}, places=local_at(old))
        server = start_asked(herd, monkeypatch)
        hang_alone(hang, new)
        herd.places = local_at(new)
        herd.write_config()
        reload(server)
        wait_until(sign_of(hang).exists, "it hangs")
        with server.client() as client:
            client.ask(LATE)
        assert server.kill(signal.SIGTERM) == 0, server.log()


def test_a_fallback_that_hangs_is_taken_once_it_is_open(make_herd, standin, tmp_path, monkeypatch):
    new = tmp_path / "new.db"
    import_place(new, "New")
    with hanging_read(tmp_path / "hang", monkeypatch) as hang:
        herd = make_herd({"Hill": []}, places=google_at(standin, tmp_path))
        server = herd.start()["Hill"]
        monkeypatch.delenv("LD_PRELOAD")
        hang_alone(hang, new)
        standin.behave("http:400")
        herd.places = google_at(standin, tmp_path, 'fallback = "local"', f'data_file = "{new}"')
        herd.write_config()
        reload(server)
        with server.client() as client:
            client.ask(IAMAT)
            wait_until(sign_of(hang).exists, "it hangs")
            assert name_near(client) == "INVALID_REQUEST"
            hang.unlink()
            wait_until(lambda: name_near(client) == "New", "the fallback is asked")
