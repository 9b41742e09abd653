"""herd-server and herdctl as programs: arguments, exit status, signals, files, logs."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess

import pytest

from herdlib import AT, BIN, DEADLINE_S, SLOW, knows, run, wait_until

LOCATION = b"+34.068930-118.445127"
ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("program", ["herd-server", "herdctl"])
def test_version_and_help(program):
    assert re.match(rf"{program} \d+\.\d+\.\d+\n$", run(BIN / program, "--version").stdout)
    helped = run(BIN / program, "--help")
    assert helped.returncode == 0 and "--config FILE" in helped.stdout


@pytest.mark.parametrize("arguments", [[], ["--nonsense", "Hill"], ["Hill", "Jaquez"], ["--check", "Hill"], ["--config"]])
def test_wrong_usage_is_status_2(arguments):
    done = run(BIN / "herd-server", *arguments)
    assert done.returncode == 2 and "usage" in done.stderr


def test_check_of_the_seed_herd():
    done = run(BIN / "herd-server", "--check", "--config", ROOT / "herd.conf")
    assert done.returncode == 0 and "5 servers" in done.stdout


def test_check_says_every_mistake_with_its_line(tmp_path):
    conf = tmp_path / "herd.conf"
    conf.write_text('security = "open"\nlog_level = "loud"\ncolour = 3\nconnections_max = 1\n'
                    'server Hill { listen = "127.0.0.1:21401" peers = {"Jaques"} }\n')
    done = run(BIN / "herd-server", "--check", "--config", conf)
    assert done.returncode == 1
    for line, word in [(2, "log_level"), (3, "colour"), (4, "connections_max"), (5, "Jaques")]:
        assert re.search(rf"herd\.conf:{line}:.*{word}", done.stderr), done.stderr


def test_a_start_that_cannot_be_is_status_1_and_says_why(make_herd, tmp_path):
    herd = make_herd().start(["Hill"], links=False)
    unknown = run(BIN / "herd-server", "--config", herd.config, "Nobody")
    assert unknown.returncode == 1 and "Nobody" in unknown.stderr and "Singleton" in unknown.stderr
    missing = run(BIN / "herd-server", "--config", tmp_path / "none.conf", "Hill")
    assert missing.returncode == 1 and "none.conf" in missing.stderr
    taken = run(BIN / "herd-server", "--config", herd.config, "Hill")
    assert taken.returncode == 1 and f"is in use by process {herd['Hill'].process.pid}" in taken.stderr, taken.stderr
    assert knows(herd["Hill"], b"nobody", b"? WHATSAT nobody 1 0\n")


def test_check_warns_of_a_herd_in_parts_and_finds_it_good(make_herd):
    conf = make_herd({"Hill": ["Jaquez"], "Jaquez": ["Hill"], "Smith": []}).config
    done = run(BIN / "herd-server", "--check", "--config", conf)
    assert done.returncode == 0 and "3 servers, no mistake" in done.stdout
    assert "warning: server Smith cannot be reached from server Hill" in done.stderr


def test_check_counts_as_people_do(make_herd):
    done = run(BIN / "herd-server", "--check", "--config", make_herd({"Hill": []}).config)
    assert done.returncode == 0 and ": 1 server, no mistake" in done.stdout


@pytest.mark.parametrize("places, word", [
    ('base_url = "http://example.org"', "http is for this machine"), ('language = "en us"', "BCP 47")])
def test_check_refuses_what_a_start_refuses(make_herd, places, word):
    herd = make_herd({"Hill": []}, places=f'provider = "google"\n{places}')
    checked = run(BIN / "herd-server", "--check", "--config", herd.config)
    started = run(BIN / "herd-server", "--config", herd.config, "Hill")
    assert (checked.returncode, started.returncode) == (1, 1)
    assert word in checked.stderr and checked.stderr == started.stderr


@pytest.mark.parametrize("command", [
    ["herd-server", "--help"], ["herd-server", "--version"], ["herd-server", "--check", "--config", ROOT / "herd.conf"],
    ["herdctl", "--help"], ["herdctl", "--version"], ["herdctl", "--config", ROOT / "herd.conf", "status"],
    ["herd-places", "--help"], ["herd-places", "--version"], ["herd-places", "info"],
    ["herd-places", "near", "34.06893,-118.445127", "10"]], ids=lambda command: " ".join(map(str, command[:2])))
def test_what_cannot_be_written_is_a_failure(command):
    with open("/dev/full", "w") as full:
        done = subprocess.run([BIN / command[0], *command[1:]], stdout=full, stderr=subprocess.PIPE, timeout=60 * SLOW)
    assert done.returncode == 1
    assert f"{command[0]}: stdout: No space left on device" in done.stderr.decode()


def test_open_security_is_for_loopback_only(tmp_path):
    conf = tmp_path / "herd.conf"
    conf.write_text('security = "open"\nserver Hill { listen = "0.0.0.0:21401" }\n')
    done = run(BIN / "herd-server", "--config", conf, "Hill")
    assert done.returncode == 1 and "loopback" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_after_what_was_received_is_answered(server, number):
    questions = round(60 / SLOW)  # a stop has 4 s for them, valgrind or not
    with server.client() as client:
        client.send(b"IAMAT x %s 5\n" % LOCATION + b"WHATSAT x 50 20\n" * questions)
        assert AT.match(client.line())
        server.process.send_signal(number)
        answers = client.file.read()
        assert answers.count(b'"status": "OK"') == questions and answers.endswith(b"}\n\n")
    assert server.process.wait(DEADLINE_S) == 0


def test_signals_that_come_again_and_again_stop_it_as_one_does(server):
    while server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGINT)
    assert server.process.wait(DEADLINE_S) == 0, server.log()


def test_a_signal_does_not_take_half_a_line_for_a_whole_one(server):
    with server.client() as client:
        assert AT.match(client.ask(b"IAMAT x +1+1 5"))
        client.send(b"IAMAT x +2+2 6")
        wait_until(lambda: server.status()["metrics"]["bytes_received_total"] >= 29, "the bytes have come")
        server.process.send_signal(signal.SIGTERM)
        assert client.file.read() == b""
    assert server.process.wait(DEADLINE_S) == 0


def test_sighup_changes_edges_without_a_client_noticing(make_herd):
    herd = make_herd({"Hill": ["Jaquez"], "Jaquez": ["Hill"], "Smith": []}).start()
    with herd["Hill"].client() as client:
        at_line = client.ask(b"IAMAT x %s 5" % LOCATION)
        wait_until(lambda: knows(herd["Jaquez"], b"x", at_line), "Jaquez knows")
        graph = {"Hill": ["Smith"], "Smith": ["Hill"], "Jaquez": []}
        herd.write_config(graph)
        for server in herd.servers.values():
            server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: [link["peer"] for link in herd["Hill"].status()["links"]] == ["Smith"], "Hill has a new neighbour")
        wait_until(lambda: knows(herd["Smith"], b"x", at_line), "Smith knows")
        assert AT.match(client.ask(b"IAMAT y %s 5" % LOCATION))
    wait_until(lambda: herd["Jaquez"].status()["links"] == [], "Jaquez has let go of Hill")


def test_sighup_with_a_mistake_keeps_the_old_configuration(server):
    conf = server.herd.config
    conf.write_text(conf.read_text() + "\ncolour = 3\n")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "colour" in server.log(), "the mistake is in the log")
    with server.client() as client:
        assert AT.match(client.ask(b"IAMAT x +1+1 5"))


def test_sighup_says_what_takes_effect_at_the_next_start_and_only_that(server):
    conf = server.herd.config
    first = conf.read_text()
    for round_, text in enumerate([first + "max_skew_s = 60\n", first + "max_skew_s = 60\n", first]):
        conf.write_text(text)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: server.log().count("group=reload msg=done") == round_ + 1, "it has read it")
        told = server.log().count('msg="takes effect at the next start" key=max_skew_s')
        assert told == min(round_ + 1, 2), server.log()


def test_sighup_with_a_log_file_that_cannot_be_opened_changes_nothing(make_herd):
    herd = make_herd({"Hill": ["Jaquez"], "Jaquez": ["Hill"]}).start()
    herd.extra = 'log_file = "none/%s.out"'
    herd.write_config({"Hill": [], "Jaquez": []})
    herd["Hill"].process.send_signal(signal.SIGHUP)
    wait_until(lambda: f"log_file {herd.folder}/none/Hill.out cannot be opened" in herd["Hill"].log(), "the mistake is in the log")
    assert "the old one stays" in herd["Hill"].log()
    assert [link["peer"] for link in herd["Hill"].status()["links"]] == ["Jaquez"]


def test_sighup_with_a_missing_key_keeps_all_of_the_old_configuration(make_herd):
    """And says so: the rest of the file is not taken either."""
    herd = make_herd({"Hill": ["Jaquez"], "Jaquez": ["Hill"]}).start()
    herd.places = 'provider = "google"\nkey_file = "none.key"'
    herd.write_config({"Hill": [], "Jaquez": []})
    herd["Hill"].process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the whole old configuration stays" in herd["Hill"].log(), "the mistake is in the log")
    assert "none.key" in herd["Hill"].log()
    assert [link["peer"] for link in herd["Hill"].status()["links"]] == ["Jaquez"]


@pytest.mark.parametrize("places, why", [
    ('data_file = "nope.db"', "nope.db"),
    ('data_file = "herd.conf"', "herd-places import` (herd.conf names it with data_file)"),
    ('provider = "google"\nkey_file = "nope.key"', "nope.key"),
    ('provider = "google"\nkey_file = "open.key"', "its mode 0644 lets others at the key"),
])
def test_a_start_that_fails_without_neighbours_looks_up_no_name(make_herd, places, why):
    herd = make_herd({"Hill": []}, places=places)
    key = herd.folder / "open.key"
    key.write_text("key\n")
    key.chmod(0o644)
    for _ in range(5):  # a thread may be faster
        done = run(BIN / "herd-server", "--config", herd.config, "Hill", cwd=herd.folder)
        assert done.returncode == 1 and why in done.stderr, done.stderr
        assert "looked up" not in done.stderr, done.stderr


def test_a_start_that_fails_says_why_in_one_line(server):
    done = run(BIN / "herd-server", "--config", server.herd.config, "Hill")
    assert done.returncode == 1 and done.stderr.count("is in use by process") == 1, done.stderr
    assert "msg=stop" not in done.stderr, done.stderr


def test_the_log_shows_links_and_never_where_people_are(make_herd):
    herd = make_herd({"Hill": ["Jaquez"], "Jaquez": ["Hill"]}).start()
    with herd["Hill"].client() as client:
        client.ask(b"IAMAT secret.person %s 5" % LOCATION)
        client.whatsat(b"WHATSAT secret.person 10 5")
        client.ask(b"IAMAT secret.person +1 5")
    herd["Jaquez"].kill(signal.SIGKILL)
    wait_until(lambda: "msg=down peer=Jaquez" in herd["Hill"].log(), "Hill has noticed")
    log = herd["Hill"].log()
    assert re.search(r"level=info .*group=link msg=up peer=Jaquez", log), log
    assert "secret" not in log and "34.06" not in log and "118.44" not in log


def test_the_level_lines_shows_every_line(make_herd):
    herd = make_herd({"Hill": []}, extra='log_level = "lines"').start()
    with herd["Hill"].client() as client:
        client.ask(b"IAMAT some.person %s 5" % LOCATION)
        client.ask(b"nonsense")
    wait_until(lambda: "? nonsense" in herd["Hill"].log(), "the lines are logged")
    log = herd["Hill"].log()
    assert "IAMAT some.person" in log and "AT Hill" in log and "+34.068930" in log


def test_a_log_file_a_server_and_its_rotation(make_herd):
    herd = make_herd({"Hill": []}, extra='log_file = "%s.out"').start()
    path = herd.folder / "Hill.out"
    wait_until(lambda: path.exists() and "started" in path.read_text(), "the start is in the log")
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    path.rename(herd.folder / "old.out")
    herd["Hill"].process.send_signal(signal.SIGHUP)
    wait_until(lambda: path.exists() and "done" in path.read_text(), "the log goes on in a new file")


def test_the_control_socket_is_its_owners_alone(server):
    path = server.herd.folder / "data" / "Hill" / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(path))
        file = control.makefile("rwb", buffering=0)
        file.write(b"WHAT\nSTATUS\nSTATUS\n")
        assert file.readline() == b"? WHAT\n"
        for _ in range(2):
            status = json.loads(file.readline())
            assert status["server"] == "Hill" and status["pid"] == server.process.pid or os.environ.get("HERD_WRAP")


def test_lines_on_the_control_socket_end_as_on_the_wire(server):
    """The last one needs no LF once its half is closed; one that is too long is answered, and is the last, however much follows."""

    def say(data, ends=True):
        with socket.socket(socket.AF_UNIX) as control, control.makefile("rb") as answers:
            control.settimeout(DEADLINE_S)
            control.connect(str(server.herd.folder / "data" / server.name / "control.sock"))
            control.sendall(data)
            if ends:
                control.shutdown(socket.SHUT_WR)
            return answers.read()

    wait_until(server.try_status, "the control socket is there")
    assert json.loads(say(b"STATUS"))["server"] == "Hill"
    assert say(b"WHAT\r\n\nSTATE\r") == b"? WHAT\n? STATE\n" and say(b"\r") == say(b"") == b""
    for too_long in b"x" * 4097, b"x" * 5000 + b"\nSTATUS\n", b"x" * 500000:
        for ends in True, False:
            assert say(b"WHAT\n" + too_long, ends) == b"? WHAT\n? " + b"x" * 4096 + b"\n"


def test_many_lines_on_the_control_socket_are_answered_over_many_turns(server):
    lines = 500
    with socket.socket(socket.AF_UNIX) as control, control.makefile("rb") as answers:
        control.settimeout(DEADLINE_S)
        control.connect(str(server.herd.folder / "data" / server.name / "control.sock"))
        control.sendall(b"STATUS\n" * lines + b"\nSTATE\nSTATUS")
        turns = [json.loads(answers.readline())["metrics"]["loop_turns_total"] for _ in range(lines)]
        # One, and libuv tells of what was written up to eight times more in a turn.
        assert all(later > earlier for earlier, later in zip(turns, turns[10:]))
        assert answers.readline() == b"? STATE\n"
        control.sendall(b"\n")
        assert json.loads(answers.readline())["server"] == "Hill"


def test_more_connections_to_the_control_socket_are_refused_and_told(server):
    path = server.herd.folder / "data" / "Hill" / "control.sock"
    wait_until(server.try_status, "the control socket is there")
    with contextlib.ExitStack() as stack:
        def connect():
            control = stack.enter_context(socket.socket(socket.AF_UNIX))
            control.settimeout(DEADLINE_S)
            control.connect(str(path))
            return stack.enter_context(control.makefile("rwb", buffering=0))

        def is_served(control):
            with contextlib.suppress(ConnectionError):  # refused before it could ask, or after
                control.write(b"STATUS\n")
                return control.readline() != b""
            return False

        served = [is_served(connect()) for _ in range(20)].count(True)
        assert 0 < served <= 16

    def refused():
        with contextlib.suppress(ConnectionError, json.JSONDecodeError):  # as long as not all have gone
            return server.try_status()["metrics"]["control_refused_total"]
        return 0

    wait_until(lambda: refused() >= 20 - served, "they are counted")
    wait_until(lambda: 'connections to the control socket refused" reason="there are 16"' in server.log(), "it is told")


def test_nothing_on_disk_with_an_empty_data_dir(make_herd, tmp_path):
    herd = make_herd({"Hill": []})
    herd.config.write_text(herd.config.read_text().replace('data_dir = "data"', 'data_dir = ""'))
    herd.start(links=False)
    with herd["Hill"].client() as client:
        assert AT.match(client.ask(b"IAMAT x +1+1 5"))
    assert not (herd.folder / "data").exists()
