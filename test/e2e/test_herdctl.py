"""herdctl as a user runs it."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from herdlib import AT, BIN, POLL_S, SEED, Client, Herd, knows, run, wait_until

NOBODY = 65534


def herdctl(herd, *arguments, **options):
    return run(BIN / "herdctl", "--config", herd.config, *arguments, **options)


def test_iamat_and_whatsat(herd):
    told = herdctl(herd, "iamat", "Hill", "kiwi", "-33.8568+151.2153", "1700000000.5")
    assert told.returncode == 0 and AT.match(told.stdout.encode()).group(4) == b"-33.8568+151.2153"
    wait_until(lambda: knows(herd["Singleton"], b"kiwi", told.stdout.encode()), "Singleton knows")
    asked = herdctl(herd, "whatsat", "Singleton", "kiwi", "10", "3")
    assert asked.stdout.startswith(told.stdout)
    as_json = json.loads(herdctl(herd, "--json", "whatsat", "Singleton", "kiwi", "10", "3").stdout)
    assert as_json["at"]["client"] == "kiwi" and len(as_json["places"]["results"]) == 3
    now = herdctl(herd, "iamat", "Hill", "kiwi", "+1+1")
    assert abs(float(AT.match(now.stdout.encode()).group(2))) < 60


def test_it_says_what_is_wrong(herd):
    unknown = herdctl(herd, "whatsat", "Hill", "nobody", "10", "3")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == 'herdctl: Hill: no record of "nobody": ? WHATSAT nobody 10 3\n'
    assert herdctl(herd, "iamat", "Hill", "kiwi", "+1+1", "5").returncode == 0
    late = herdctl(herd, "whatsat", "Hill", "kiwi", "10", "3", "--after", "6")
    assert late.returncode == 1
    assert late.stderr == ('herdctl: Hill: no record of "kiwi" of that time or later has come in time: '
                           "? WHATSAT kiwi 10 3 AFTER 6\n")
    for digits in 4000, 10000:  # a record, and a line: that comes back cut
        long = herdctl(herd, "iamat", "Hill", "kiwi", "+1." + "0" * digits + "+1", "5")
        assert long.returncode == 1 and "or too long: ? IAMAT kiwi +1.000" in long.stderr


def test_it_waits_for_as_long_as_an_answer_may_take(make_herd):
    """Longer than its own ten seconds, where herd.conf gives a server as long: it is told why there is no other answer."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        herd = make_herd({"Hill": ["Jaquez"], "Jaquez": ["Hill"]}, extra='durability = "herd"\nsafety_timeout_ms = 10500',
                         places=f"""provider = "overpass"\nbase_url = "http://127.0.0.1:{hanging.getsockname()[1]}"
                                    total_timeout_ms = 11500\nattempts_max = 1""")
        server = herd.start(["Hill"], links=False)["Hill"]
        told = subprocess.Popen([BIN / "herdctl", "--config", herd.config, "iamat", "Hill", "kiwi", "+1+1", "5"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: server.status()["clients"] == 1, "Hill has heard it")
        asked = herdctl(herd, "--json", "whatsat", "Hill", "kiwi", "1", "1")
        assert (asked.returncode, asked.stderr) == (0, "")
        assert json.loads(asked.stdout)["places"]["status"] == "UNKNOWN_ERROR"
        _, stderr = told.communicate()
        assert told.returncode == 1 and stderr.startswith("herdctl: Hill: the record is not safe in time ")


def test_a_server_that_is_not_in_the_file(herd):
    for name, hint in ("Hil", ' (did you mean "Hill"?)'), ("Nowhere", ""):
        done = herdctl(herd, "whatsat", name, "x", "1", "1")
        assert done.returncode == 1
        words = f'{herd.config}: no server "{name}" in it{hint}; its servers are: Hill Jaquez Smith Campbell Singleton\n'
        assert done.stderr == f"herdctl: {words}"
        assert run(BIN / "herd-server", "--config", herd.config, name).stderr == f"herd-server: {words}"


@pytest.mark.parametrize("words, reason", [
    (["status", "Hill"], 'status: one word too many: "Hill"'), (["whatsat", "Hill"], "whatsat: no CLIENT"),
    (["iamat", "Hill", "x"], "iamat: no LOCATION"), (["status", "--after", "3"], "status takes no --after"),
    (["iamat", "Hill", "x", "+1+1", "--after", "5"], "iamat takes no --after"),
    (["iamat", "Hill", "x", "34,-118"], '"34,-118" is no LOCATION: latitude and longitude on the earth, both with a sign: '),
    (["iamat", "Hill", "x", "+91+1"], '"+91+1" is no LOCATION: '), (["iamat", "Hill", "x", "+1+1", "now"], '"now" is no TIME: '),
    (["iamat", "Hill", "x" * 257, "+1+1"], "x...\" is no CLIENT: at most 256 bytes"),
    (["whatsat", "Hill", "x", "51", "1"], '"51" is no RADIUS: kilometres, 0 to 50'),
    (["whatsat", "Hill", "x", "x", "1"], '"x" is no RADIUS: kilometres, 0 to 50'),
    (["whatsat", "Hill", "x", "1", "21"], '"21" is no COUNT: a whole number, 0 to 20'),
    (["iamat", "Hill", "x", "+1+1", "1700000000000"], '"1700000000000" is no TIME: POSIX seconds, not milliseconds: 1700000000.5'),
    (["whatsat", "Hill", "x", "1", "1", "--after", "x"], '"x" is no TIME: ')], ids=range(14))
def test_wrong_usage_has_its_reason(words, reason, tmp_path):
    done = run((BIN / "herdctl").resolve(), *words, cwd=tmp_path)
    first, usage = done.stderr.splitlines()
    assert done.returncode == 2 and first.startswith("herdctl: ") and reason in first
    assert usage.startswith(f"usage: herdctl {words[0]}") and usage == usage.rstrip()


@contextlib.contextmanager
def answering(listener, answer):
    """Who answers each connection so, and closes it."""

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.recv(4096)
                    connection.sendall(answer)

    thread = threading.Thread(target=serve)
    listener.listen()
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def foreign(herd, answer):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", herd.ports["Hill"]))
    return answering(listener, answer)


@pytest.mark.parametrize("answer", [
    b"X\n", b"\n", b"AT\n", b"AT Hill\n", b"AT Hill +1.0 kiwi +1+1 5 more\n", b"AT Hill 1.0 kiwi +1+1 5\n", b"AT Hill +1.0 kiwi 1,1 5\n",
    b"AT Hill +1.0 kiwi +1+1 \x1b[31m\n", b"AT Hill +1.0 other +1+1 5\n", b"-ERR unknown command\r\n", b"? other\n", b"HTTP/1.1 400",
    b"\x1b[31m\xc2\x9b\n", b"AT Hill +1.0 kiwi +1+1 five\n"], ids=range(14))
def test_who_does_not_speak_the_protocol_is_told(make_herd, answer):
    herd = make_herd({"Hill": []})
    with foreign(herd, answer):
        for words in ["iamat", "Hill", "kiwi", "+1+1", "5"], ["whatsat", "Hill", "kiwi", "1", "1"]:
            for options in [], ["--json"]:
                done = herdctl(herd, *options, *words)
                assert (done.returncode, done.stdout) == (1, "")
                assert done.stderr.startswith("herdctl: Hill does not speak this protocol: it answered ")
                assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stderr) and done.stderr.count("\n") == 1


CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def test_words_that_are_shown_again_reach_no_terminal_as_they_are(server):
    """A client's id may be from elsewhere, and hold C1's control characters."""
    herd = server.herd
    for words in (["whatsat", "Hill", "x\x9bé", "1", "1"], ["whatsat", "Hi\x9bll", "x", "1", "1"], ["whatsat", "Hill", "x", "\x9b", "1"],
                  ["iamat", "Hill", "x\x9b\t", "+1+1"], ["da\x9bnce"], ["status", "\x9bHill"]):
        done = herdctl(herd, *words)
        assert done.returncode > 0 and "?" in done.stderr and not CONTROL.search(done.stderr), words
    assert 'no record of "x?é": ? WHATSAT x?é 1 1\n' in herdctl(herd, "whatsat", "Hill", "x\x9bé", "1", "1").stderr


def test_an_answer_is_shown_and_not_obeyed(make_herd):
    """One of the right form, of whoever listens there: with control characters where that allows them."""
    herd = make_herd({"Hill": []})
    at = b"AT Hill\xc2\x9b2J\x9b +1.0\x0bkiwi\t+1+1 5\n"
    places = b'{\r\n\t"name": "\xc2\x9b\xc3\xa9\xc2\x80\x7f"\r}\n\n'
    with foreign(herd, at + places):
        shown = herdctl(herd, "whatsat", "Hill", "kiwi", "1", "1").stdout
        text = herdctl(herd, "--json", "whatsat", "Hill", "kiwi", "1", "1").stdout
    assert shown == 'AT Hill?2J? +1.0?kiwi\t+1+1 5\n{\n\t"name": "?é??"?}\n\n'
    assert not CONTROL.search(text)
    said = json.loads(text)
    assert (said["at"]["server"], said["places"]["name"]) == ("Hill\x9b2J\ufffd", "\x9bé\x80\x7f")


@pytest.mark.parametrize("places", [b"[]", b"nothing"])
def test_places_that_are_none_are_told(make_herd, places):
    herd = make_herd({"Hill": []})
    with foreign(herd, b"AT Hill +1.0 kiwi +1+1 5\n" + places + b"\n\n"):
        for options in [], ["--json"]:
            done = herdctl(herd, *options, "whatsat", "Hill", "kiwi", "1", "1")
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr == "herdctl: Hill does not speak this protocol: the places are no JSON object\n"


def test_an_answer_that_is_cut_is_told_as_that(make_herd):
    herd = make_herd({"Hill": []})
    for answer in b"", b"AT Hil", b"? IAM":
        with foreign(herd, answer):
            done = herdctl(herd, "iamat", "Hill", "kiwi", "+1+1", "5")
            assert (done.returncode, done.stderr) == (1, "herdctl: Hill: no whole answer: closed\n")


def test_status_of_somebody_else_at_the_address(make_herd):
    herd = make_herd({"Hill": []})
    with foreign(herd, b"-ERR \x1b unknown command\r\n"):
        done = herdctl(herd, "status")
        as_json = json.loads(herdctl(herd, "status", "--json").stdout)
    assert done.returncode == 1
    assert re.search(r'^Hill +other +who listens at its address does not answer as this server does: "-ERR \? unknown command"$', done.stdout, re.M)
    assert as_json["Hill"]["up"] is False and as_json["Hill"]["state"] == "other"
    with foreign(herd, b"? PING\n"):  # a plain server
        assert re.search(r"^Hill +up +no status: ", herdctl(herd, "status").stdout, re.M)


STATUS = {"server": "Hill", "digest": "0", "clients": 1, "uptime_s": 1.5, "links": [{"peer": "A", "state": "up"}]}


@pytest.mark.parametrize("status", [
    {}, [], {**STATUS, "server": "Smith"}, {**STATUS, "digest": 7}, {**STATUS, "clients": "1"}, {**STATUS, "uptime_s": "1"},
    {**STATUS, "links": 5}, {**STATUS, "links": [1]}, {**STATUS, "links": [{"peer": "A"}]}, {**STATUS, "links": [{"state": "up"}]}, "? STATUS"], ids=range(11))
def test_status_that_is_none(make_herd, status):
    herd = make_herd({"Hill": []})
    folder = herd.folder / "data" / "Hill"
    folder.mkdir(parents=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "control.sock"))
    said = status if isinstance(status, str) else json.dumps(status)
    with answering(listener, said.encode() + b"\n"):
        done = herdctl(herd, "status")
    assert done.returncode == 1
    assert re.search(r'^Hill +other +\S+control.sock does not answer as this server does: "', done.stdout, re.M)


def test_status_shows_no_control_bytes(make_herd):
    herd = make_herd({"Hill": []})
    folder = herd.folder / "data" / "Hill"
    folder.mkdir(parents=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "control.sock"))
    status = {**STATUS, "links": [{"peer": "\x1b]0;t\x07", "state": "\x9bup"}]}
    with answering(listener, json.dumps(status).encode() + b"\n"):
        done = herdctl(herd, "status")
        text = herdctl(herd, "status", "--json").stdout
    assert done.returncode == 0 and done.stdout.endswith(" ?]0;t?:?up\n")
    assert not CONTROL.search(text) and json.loads(text)["Hill"]["status"]["links"] == status["links"]


@pytest.mark.parametrize("words", [
    [], ["dance"], ["whatsat", "Hill"], ["whatsat", "Hill", "x", "1", "1", "1"], ["iamat", "Hill", "x"], ["status", "Hill"],
    ["status", "--colour"], ["--config"], ["iamat", "Hill", "-x", "+1+1"],
    ["status", "--after", "5"], ["iamat", "Hill", "x", "+1+1", "--after", "5"], ["whatsat", "Hill", "x", "1", "1", "--after"]], ids=" ".join)
def test_wrong_usage_is_status_2_also_without_a_herd_conf(words, tmp_path):
    done = run((BIN / "herdctl").resolve(), *words, cwd=tmp_path)
    assert done.returncode == 2 and "usage: herdctl" in done.stderr


@pytest.mark.parametrize("words", [
    ["iamat", "Hill", "x +1+1 5\nIAMAT y", "+2+2"], ["iamat", "Hill", "a b", "+1+1", "5"], ["iamat", "Hill", "", "x", "+1+1"],
    ["iamat", "Hill", "x", "+1+1", "5\r"], ["iamat", "Hill", "x\x7f", "+1+1"], ["whatsat", "Hill", "x\t", "1", "1"],
    ["whatsat", "Hill", "x", "1", ""], ["whatsat", "Hill", "x", "1", "1", "--after", "5 WAIT 5"]], ids=range(8))
def test_a_word_that_is_not_one_is_wrong_usage_and_not_sent(server, words):
    done = herdctl(server.herd, *words)
    assert done.returncode == 2
    assert re.search(r'^herdctl: "[^\n]*" is (empty|no word)', done.stderr) and "\nusage: herdctl" in done.stderr
    assert server.status()["metrics"]["lines_received_total"] == 0


def test_options_may_stand_behind_the_command(server):
    program, conf = BIN / "herdctl", server.herd.config
    ways = [["status", "--json", "--config", conf], ["status", "-jc", conf], [f"--config={conf}", "status", "-j"],
            ["-j", "-c", conf, "--", "status"]]
    for way in ways:
        done = run(program, *way)
        assert done.returncode == 0 and json.loads(done.stdout)["Hill"]["up"] is True, way
    told = run(program, "iamat", "Hill", "x", "-33.8568+151.2153", "5", "--json", "--config", conf)
    assert json.loads(told.stdout)["at"]["location"] == "-33.8568+151.2153"
    told = run(program, "-jc", conf, "--", "iamat", "Hill", "-x", "+1+1")
    assert json.loads(told.stdout)["at"]["client"] == "-x"


def test_json_of_an_id_that_is_no_utf_8(server):
    """JSON is UTF-8: each byte that is none is U+FFFD in it; everywhere else it stays what it is."""
    client_id = b"caf\xe9-\xc3\xa9-\xed\xa0\x80"
    told = json.loads(herdctl(server.herd, "--json", "iamat", "Hill", os.fsdecode(client_id), "+1+1", "5").stdout)
    assert told["at"]["client"] == "caf\ufffd-é-\ufffd\ufffd\ufffd" and list(told["at"])[-1] == "time_sent"
    with server.client() as client:
        assert AT.match(client.whatsat(b"WHATSAT %s 1 0" % client_id)[0]).group(3) == client_id


def test_status(herd):
    with Client(herd.ports["Hill"]) as client:
        client.ask(b"IAMAT x +1+1 5")
    well = wait_until(lambda: (done := herdctl(herd, "status")).returncode == 0 and done, "all digests are equal")
    assert well.stdout.count("equal") == 5 and well.stderr == ""
    for name in SEED:
        assert re.search(rf"^{name} +up +1 ", well.stdout, re.M)
    herd["Smith"].kill(signal.SIGKILL)
    ill = herdctl(herd, "status")
    assert ill.returncode == 1 and re.search(r"^Smith +down +\S+: Connection refused$", ill.stdout, re.M)
    as_json = json.loads(herdctl(herd, "--json", "status").stdout)
    assert as_json["Smith"]["up"] is False and as_json["Hill"]["status"]["clients"] == 1
    assert as_json["Smith"]["state"] == "down" and "status" not in as_json["Smith"]


def test_status_of_digests_that_differ(make_herd):
    herd = make_herd({"Hill": [], "Jaquez": []}).start()
    assert herdctl(herd, "status").returncode == 0
    with herd["Hill"].client() as client:
        client.ask(b"IAMAT x +1+1 5")
    done = herdctl(herd, "status")
    assert done.returncode == 1 and done.stdout.count("differs") == 1


def without_data_dir(herd):
    herd.config.write_text(herd.config.read_text().replace('data_dir = "data"', 'data_dir = ""'))
    return herd.start(links=False)


def test_status_without_control_sockets_is_up_and_not_compared(make_herd):
    herd = without_data_dir(make_herd({"Hill": [], "Jaquez": []}))
    done = herdctl(herd, "status")
    assert done.returncode == 0 and "no server gave its status" in done.stderr
    for name in herd.graph:
        assert re.search(rf"^{name} +up +no status: data_dir is empty", done.stdout, re.M)
    as_json = json.loads(herdctl(herd, "status", "--json").stdout)
    assert as_json["Hill"]["up"] is True and "data_dir" in as_json["Hill"]["error"] and "status" not in as_json["Hill"]
    herd["Jaquez"].kill(signal.SIGKILL)
    done = herdctl(herd, "status")
    assert done.returncode == 1 and re.search(r"^Jaquez +down +\S+: Connection refused$", done.stdout, re.M)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_status_by_another_user_is_up_and_says_whom_to_ask_as(open_folder):
    shutil.copy(BIN / "herdctl", open_folder)
    herd = Herd(open_folder, {"Hill": []})
    try:
        herd.start()
        done = run(open_folder / "herdctl", "--config", herd.config, "status", user=NOBODY, group=NOBODY, extra_groups=[])
        herd.stop()
    finally:
        herd.kill()
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Hill +up +no status: \S+control.sock: Permission denied; ask as the user", done.stdout, re.M)


def sockets_of(pid):
    with contextlib.suppress(OSError):  # it has just ended
        return sum(os.readlink(file).startswith("socket:") for file in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    return 0


def herdctl_with_sockets(herd, *words):
    """As herdctl; and how many sockets it has had at once, as far as that was seen."""
    child = subprocess.Popen([BIN / "herdctl", "--config", herd.config, *words], stdout=subprocess.PIPE, text=True)
    most = 0
    while child.poll() is None:
        most = max(most, sockets_of(child.pid))
        time.sleep(POLL_S)
    return subprocess.CompletedProcess(child.args, child.returncode, child.stdout.read(), ""), most


def test_status_of_stopped_servers_costs_no_more_than_of_one(herd):
    for server in herd.servers.values():
        server.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        done, most = herdctl_with_sockets(herd, "status")
        took_s = time.monotonic() - began
        # Only a machine that stands still for the 2 s in which all are asked can keep it from being seen.
        wait_until(lambda: most >= len(SEED) or herdctl_with_sockets(herd, "status")[1] >= len(SEED), "all are asked at once")
    finally:
        for server in herd.servers.values():
            server.process.send_signal(signal.SIGCONT)
    assert done.returncode == 1
    for name in SEED:
        assert re.search(rf"^{name} +silent +no whole answer: timed out$", done.stdout, re.M)
    # 2 s for the control sockets and 2 s for the listeners, of all at once; one after the other is 20.
    print(f"status of five stopped servers: {took_s:.1f} s")
