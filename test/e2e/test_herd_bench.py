"""herd-bench itself: right answers pass, and each kind of wrong one is found. No timing fails here."""

import contextlib
import itertools
import json
import math
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from herdlib import BIN, WRAP, Client, answers, free_ports, unread, wait_until

STALL_S = 0.4


@contextlib.contextmanager
def bare_server(*options):
    port = free_ports(1)[0]
    process = subprocess.Popen([BIN / "bare-server", str(port), *options])
    try:
        wait_until(lambda: answers(port), "bare-server listens")
        yield port, process
    finally:
        process.terminate()
        assert process.wait(300) == 0


def start(*options):
    return subprocess.Popen([*WRAP, BIN / "herd-bench", *map(str, options)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def bench(*options, status=0):
    """What herd-bench --json says, and its stderr."""
    child = start("--json", *options)
    out, errors = child.communicate(timeout=300)
    assert child.returncode == status, (out, errors)
    return json.loads(out) if out else None, errors


def test_right_answers_of_a_bare_server():
    with bare_server() as (port, process):
        for pipeline in (1, 16, 500):
            found, errors = bench("-s", "bare", "-q", 20000, "-d", 0, "-p", pipeline, "--pid", process.pid, f"127.0.0.1:{port}")
            assert (found["answered"], found["wrong"], errors) == (20000, 0, "")
            assert found["latency"]["count"] == 20000
            assert found["server_cpu_us"] > 0
            assert 0 < found["latency"]["p50_us"] <= found["latency"]["p99_us"] <= found["latency"]["max_us"]


@pytest.mark.parametrize("wrong", ["diff", "echo", "extra", "name", "order", "shape"])
def test_a_wrong_answer_is_found(wrong):
    with bare_server("--wrong", wrong) as (port, _):
        found, errors = bench("-s", "bare", "-q", 20000, "-d", 0, "-p", 16, f"127.0.0.1:{port}", status=1)
        assert found["wrong"] == 1
        assert 0 < found["answered"] < 20000
        assert ("nothing was asked for" if wrong == "extra" else "a wrong answer") in errors


def test_a_missing_answer_is_found():
    with bare_server("--wrong", "missing") as (port, _):
        found, errors = bench("-s", "bare", "-q", 20000, "-d", 0, "-t", 0.5, f"127.0.0.1:{port}", status=1)
        assert "without an answer" in errors


def test_a_name_that_is_not_the_servers_is_found():
    with bare_server() as (port, _):
        bench("-s", "bare", "-q", 100, "-d", 0, "--server", "Bare", f"127.0.0.1:{port}")
        _, errors = bench("-s", "bare", "-q", 100, "-d", 0, "--server", "Hill", f"127.0.0.1:{port}", status=1)
        assert "a wrong answer" in errors


def test_names_belong_to_servers_in_their_order(make_herd):
    names = "Hill", "Jaquez"
    at = [f"127.0.0.1:{make_herd({name: []}).start().ports[name]}" for name in names]
    bench("-q", 100, "-d", 0, "--server", "Hill", "--server", "Jaquez", *at)
    _, errors = bench("-q", 100, "-d", 0, "--server", "Jaquez", "--server", "Hill", *at, status=1)
    assert "a wrong answer" in errors


def test_an_end_of_the_connection_is_found():
    with bare_server() as (port, process):
        child = start("-s", "bare", "-d", 60, f"127.0.0.1:{port}")
        wait_until(lambda: connected(process.pid) > 50, "all are connected")
        process.terminate()
        process.wait(300)
        _, errors = child.communicate(timeout=300)
        assert child.returncode == 1
        assert "the server has closed it" in errors or "reset" in errors


def connected(pid):
    done = subprocess.run(["ls", f"/proc/{pid}/fd"], capture_output=True, text=True)
    return len(done.stdout.splitlines()) - 10


@contextlib.contextmanager
def stalling_server():
    """Answers as bare-server does, but once, after a fifth of 1,000 answers, nobody for STALL_S."""
    lock, answered = threading.Lock(), itertools.count(1)

    def serve(connection):
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                with lock:
                    if next(answered) == 200:
                        time.sleep(STALL_S)
                connection.sendall(b"AT Bare +0.000000000 " + line.removeprefix(b"IAMAT "))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        def accept():
            with contextlib.suppress(OSError):  # it is closed
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()


def test_a_stall_is_charged_to_all_that_came_due_in_it():
    """1,000 requests a second and a stall of 0.4 s: 400 are late, though at most 5 were in flight."""
    with stalling_server() as port:
        found, _ = bench("-s", "bare", "-r", 1000, "-q", 1000, "-d", 0, "-c", 5, f"127.0.0.1:{port}")
    # The 200th is not due before 0.2 s. Whatever else the machine does, those due until 0.6 s have waited for that time, half
    # of the stall each in the middle.
    assert found["latency"]["max_us"] >= STALL_S * 0.9e6
    assert found["latency"]["mean_us"] >= STALL_S * 1e6 * 0.4 / 2 * 0.9


def test_a_stall_at_the_end_is_charged_as_well():
    """What came due and could not be sent in the run is sent afterwards; it has been late all the while."""
    with bare_server() as (port, process):
        process.send_signal(signal.SIGSTOP)  # its kernel goes on accepting connections
        try:
            child = start("--json", "-s", "bare", "-r", 1000, "-d", 1, "-c", 5, f"127.0.0.1:{port}")
            wait_until(lambda: unread(port) > 0, "the run has begun")
            time.sleep(2)  # of which the run is the first half
        finally:
            process.send_signal(signal.SIGCONT)
        out, errors = child.communicate(timeout=300)
        assert child.returncode == 0, errors
        found = json.loads(out)
        # It stood still for all of the run and beyond.
        assert found["answered"] == found["latency"]["count"] > 990
        assert found["late"] > 500 and found["unsent"] == 0
        assert found["latency"]["max_us"] >= STALL_S * 1e6
        assert found["latency"]["p50_us"] >= STALL_S * 1e6


def test_what_is_never_sent_counts_with_its_age():
    """A server that answers, but far less than what comes due: its backlog is given up, and not forgotten."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        patience_s = 3  # with the backlog, and with the server: that its next answer is late for this is no matter
        child = start("--json", "-r", 1000, "-d", 0.5, "-c", 1, "-t", patience_s, f"127.0.0.1:{listener.getsockname()[1]}")
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            for line in lines:
                connection.sendall(b"AT Fake +0.000000001 %s\n" % line[6:-1])
                time.sleep(0.02)  # how slow it is
        out, errors = child.communicate(timeout=300)
        found = json.loads(out)
        assert (child.returncode, found["wrong"], errors) == (0, 0, "")
        assert found["unsent"] > 100
        assert found["answered"] + found["unsent"] == found["latency"]["count"] > 495
        assert found["latency"]["max_us"] >= patience_s * 1e6


def test_iamat_and_whatsat_of_a_herd_server(server):
    found, _ = bench("-q", 5000, "-d", 0, "-p", 16, "-n", 200, "--whatsat", 0.1, "--server", "Hill",
                     "--pid", server.process.pid, f"127.0.0.1:{server.port}")
    assert found["answered"] == 5000
    assert found["question_latency"]["count"] > 100
    assert found["latency"]["count"] + found["question_latency"]["count"] == 5000
    with Client(server.port) as client:
        at, places = client.whatsat(b"WHATSAT bench-device00000007 10 1")
        assert re.match(rb"AT Hill \S+ bench-device00000007 [+-]\d+\.\d{6}[+-]\d+\.\d{6} \d+\.\d{9}\n$", at)
        assert json.loads(places)["status"] in ("OK", "ZERO_RESULTS")


def test_each_server_gets_clients_of_its_own(make_herd):
    ports = [make_herd({name: []}).start().ports[name] for name in ("Hill", "Jaquez")]
    # At a rate, connections take turns; in a closed loop the faster server would get more of the requests.
    bench("-q", 100, "-d", 0, "-c", 2, "-n", 100, "-r", 10000, "--sequential", *(f"127.0.0.1:{port}" for port in ports))
    for odd, name in enumerate((b"Hill", b"Jaquez")):
        with Client(ports[odd]) as client:
            for number in (odd, 98 + odd):
                assert client.whatsat(b"WHATSAT bench-device%08d 1 0" % number)[0].startswith(b"AT %s " % name)
            assert client.ask(b"WHATSAT bench-device%08d 1 0" % (1 - odd)).startswith(b"? ")


def test_an_unknown_client_is_a_wrong_answer_where_all_are_known(server):
    _, errors = bench("-q", 10, "-d", 0, "--known", "--whatsat", 1, f"127.0.0.1:{server.port}", status=1)
    assert "a wrong answer" in errors


def placed(result, count=5, status=b"OK", attributions=b"[]"):
    """The JSON of `count` times that result, and its blank line."""
    return (b'{\n   "html_attributions": %s,\n   "results": [%s],\n   "status": "%s"\n}\n\n'
            % (attributions, b", ".join(count * [result]), status))


def found_at(lat, lng):
    return b'{"name": "x", "geometry": {"location": {"lat": %s, "lng": %s}}}' % (lat, lng)


def north(metres):
    """A place so far north of a location, which is in degrees."""
    def found(location):
        lat, lng = (float(degrees) for degrees in re.findall(rb"[+-][0-9.]+", location))
        return found_at(b"%.7f" % (lat + metres / METRES_A_DEGREE), b"%.7f" % lng)
    return found


def near(**how):
    return lambda location: placed(north(3000)(location), **how)


METRES_A_DEGREE = 6371008.8 * math.pi / 180
NONE = placed(b"", 0, b"ZERO_RESULTS")
# What is wrong in an answer to WHATSAT, within 10 km: its time_diff, its location, its time (None: as it was sent last), and
# what stands behind the line, or how that follows from the location.
WRONG_PLACES = {
    "nothing": {},
    "nothing, one place": {"places": near(count=1)},
    "nothing, no places": {"places": NONE},
    "nothing, far but within": {"places": lambda location: placed(north(-9998)(location))},
    "difference": {"diff": b"+0.000000002"},
    "difference of hours": {"diff": b"+12345.000000000"},
    "difference before it": {"diff": b"-0.000000001"},
    "location": {"location": b"+00.000000+000.000000"},
    "time in the future": {"sent": b"9000000000.000000000"},
    "time never sent": {"sent": b"%d.000000000"},
    "older time": {"sent": b"1000000000.000000000"},
    "no JSON": {"places": b'{ this is not json "results": [] "status": "OK" }\n\n'},
    "no results": {"places": b'{\n   "html_attributions": [],\n   "status": "ZERO_RESULTS"\n}\n\n'},
    "results no array": {"places": placed(b"", 0, b"ZERO_RESULTS").replace(b'"results": []', b'"results": {}')},
    "too many results": {"places": near(count=6)},
    "two objects": {"places": NONE[:-1] + NONE},
    "status of an error": {"places": placed(b"", 0, b"UNKNOWN_ERROR")},
    "OK without a result": {"places": placed(b"", 0)},
    "ZERO_RESULTS with a result": {"places": near(count=1, status=b"ZERO_RESULTS")},
    "no status": {"places": NONE.replace(b"status", b"state")},
    "no attributions": {"places": NONE.replace(b"html_", b"")},
    "attributions no array": {"places": placed(b"", 0, b"ZERO_RESULTS", b"null")},
    "numbers for results": {"places": placed(b"1")},
    "no geometry": {"places": placed(b"{}", 1)},
    "latitude in text": {"places": placed(found_at(b'"48.85"', b"2.35"), 1)},
    "no longitude": {"places": lambda location: placed(north(0)(location).replace(b"lng", b"lon"))},
    "off the earth": {"places": lambda location: placed(north(360 * METRES_A_DEGREE)(location))},
    "Paris": {"places": placed(found_at(b"48.85", b"2.35"))},
    "just too far": {"places": lambda location: placed(north(10003)(location))},
    "the last one too far": {"places": lambda location: near(count=4)(location).replace(
        b"}}}]", b"}}}, " + north(10003)(location) + b"]")},
    "two blank lines": {"places": NONE + b"\n"},
}


def serve_wrong_places(listener, diff=b"+0.000000001", location=None, sent=None, places=near(), held=None):
    """
    One connection: IAMAT are answered right; WHATSAT with what is wrong, clients being known by the last IAMAT or from an
    earlier connection (`held`: id -> location, time).
    """
    held = {} if held is None else held
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
        for line in lines:
            verb, client, *rest = line.split()
            if verb == b"IAMAT":
                held[client] = rest
                connection.sendall(b"AT Fake +0.000000001 %s %s\n" % (client, b" ".join(rest)))
                continue
            of = [location or held[client][0], sent or held[client][1]]
            if sent == b"%d.000000000":  # a moment later than the last one, and in the past
                of[1] = held[client][1][:-1] + b"%d" % ((int(held[client][1][-1:]) + 1) % 10)
            text = places if isinstance(places, bytes) else places(held[client][0])
            connection.sendall(b"AT Fake %s %s %s\n%s" % (diff, client, b" ".join(of), text))


@pytest.mark.parametrize("wrong", WRONG_PLACES)
def test_what_is_wrong_with_places_is_found(wrong):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve_wrong_places, args=[listener], kwargs=WRONG_PLACES[wrong])
        server.start()
        right = wrong.startswith("nothing")
        found, errors = bench("-c", 1, "-n", 50, "-q", 2000, "-d", 0, "--whatsat", 0.5, "--count", 5,
                              f"127.0.0.1:{listener.getsockname()[1]}", status=0 if right else 1)
        server.join()
        assert found["wrong"] == (0 if right else 1)
        assert errors == "" if right else "a wrong answer" in errors or "nothing was asked for" in errors


DATA = BIN / "../share/herd/places.db"


@pytest.mark.parametrize("asked", [(10, 5), (50, 20), (0, 3), (10, 0)])
@pytest.mark.parametrize("memory", ["", "memory_max_mib = 0"])
def test_places_of_the_servers_file_are_right(make_herd, asked, memory):
    port = make_herd({"Hill": []}, places=memory or "memory_max_mib = 256").start().ports["Hill"]
    found, errors = bench("-c", 4, "-n", 200, "-q", 600, "-d", 0, "--whatsat", 0.3, "--places", DATA, "--radius", asked[0], "--count", asked[1],
                          f"127.0.0.1:{port}")
    assert (found["wrong"], errors) == (0, "") and found["question_latency"]["count"] > 100


def places_file(path, home, names=range(12), called="place"):
    """Places 0.3 km from each other, beginning where the client lives, but for those that are left out."""
    rows = "".join(f"t:{i}\t{called} {i}\t{home[0] + i * 300 / METRES_A_DEGREE:.6f}\t{home[1]:.6f}\tlocality,political\tPPL\tNZ\t9\t500\tThere\n"
                   for i in names)
    table = path.with_suffix(".tsv")
    table.write_text(f"#herd-places\t1\n#name\tTest\n#attribution\tTest\n#licence\tCC0-1.0\n#version\tone\n{rows}")
    subprocess.run([BIN / "herd-places", "build", "--out", path, table], check=True, capture_output=True)
    return path


# What the server's file has, where all twelve are to be there, and how many are asked for.
WRONG_FILES = {
    "nothing": ({}, 20, 0),
    "the farthest is missing, of fewer than asked for": ({"names": range(11)}, 20, 1),
    "the nearest is missing, of as many as asked for": ({"names": range(1, 12)}, 5, 1),
    "one between is missing": ({"names": [0, 1, *range(3, 12)]}, 5, 1),
    "all are missing": ({"names": [40]}, 1, 1),
    "one too many": ({"names": range(13)}, 20, 1),
    "other names": ({"called": "places"}, 1, 1),
    "one too many, which is not asked for": ({"names": range(13)}, 12, 0),
}


@pytest.mark.parametrize("wrong", WRONG_FILES)
def test_places_that_are_missing_are_found(make_herd, tmp_path, wrong):
    served, count, status = WRONG_FILES[wrong]
    with socket.create_server(("127.0.0.1", 0)) as listener:  # who tells where the one client lives
        child = start("-c", 1, "-n", 1, "-q", 1, "-d", 0, f"127.0.0.1:{listener.getsockname()[1]}")
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            text = lines.readline().split()[2].decode()
        child.communicate(timeout=300)
    home = [float(degrees) for degrees in re.findall(r"[+-][0-9.]+", text)]
    right, held = places_file(tmp_path / "right.db", home), places_file(tmp_path / "held.db", home, **served)
    port = make_herd({"Hill": []}, places=f'data_file = "{held}"').start().ports["Hill"]
    options = "-c", 1, "-n", 1, "-q", 50, "-d", 0, "--whatsat", 0.5, "--radius", 10, "--count", count
    assert bench(*options, f"127.0.0.1:{port}")[0]["wrong"] == 0, "by itself it may be right"
    found, errors = bench(*options, "--places", right, f"127.0.0.1:{port}", status=status)
    assert found["wrong"] == status
    assert f"not the {min(count, 12)} places that {right} has there\n" in errors if status else errors == ""


def test_a_places_file_that_cannot_be_read_is_told(server, tmp_path):
    none = tmp_path / "none.db"
    _, errors = bench("-q", 1, "-d", 0, "--whatsat", 1, "--places", none, f"127.0.0.1:{server.port}", status=1)
    assert errors.startswith(f"herd-bench: --places: {none} cannot be opened: No such file or directory")


@pytest.mark.parametrize("diff, status", [(b"+0.000000002", 0), (b"+12345.000000000", 1), (b"-0.000000001", 1)])
def test_a_difference_of_an_earlier_run_is_checked(diff, status):
    """That it has to be the one of the IAMAT's answer does not tell there."""
    held = {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = "-c", 1, "-n", 50, "-q", 50, "-d", 0, "--sequential", f"127.0.0.1:{listener.getsockname()[1]}"
        for asked, expected in (([], 0), (["--known", "--whatsat", 1], status)):
            server = threading.Thread(target=serve_wrong_places, args=[listener], kwargs={"diff": diff, "held": held})
            server.start()
            found, _ = bench(*asked, *options, status=expected)
            server.join()
            assert found["wrong"] == expected


def serve_differences(listener, diff):
    """One connection, whose IAMAT are right but for time_diff; None: that is what it is."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
        for line in lines:
            _, client, location, sent = line.split()
            ns = time.time_ns() - int(sent.replace(b".", b""))
            said = diff or b"+%d.%09d" % divmod(ns, 10**9)
            connection.sendall(b"AT Fake %s %s %s %s\n" % (said, client, location, sent))


@pytest.mark.parametrize("diff, options", [
    (None, []), (b"+0.000000001", []), (b"-0.400000000", ["--skew", 0.5]), (b"+0.400000000", ["--skew", 0.5]),
    (b"+0.000000000", ["--skew", 0.5])])
def test_a_difference_that_may_be_passes(diff, options):
    assert differences(diff, *options, status=0) == (100, "")


# It is neither negative nor zero, nor longer than what has passed since, and there is one way to write it.
@pytest.mark.parametrize("diff, options", [
    (b"+31536000.000000000", []), (b"+60.000000000", []), (b"-99999.000000000", []), (b"-0.000000001", []),
    (b"+0.000000000", []), (b"-0.000000000", ["--skew", 1]), (b"-0.500000000", ["--skew", 0.4]),
    (b"+60.000000000", ["--skew", 0.4]), (b"+000000.000000001", []), (b"+00.000000001", []), (b"+.000000001", []),
    (b"0.000000001", []), (b"+0.00000001", []), (b"+0.0000000001", []), (b"+0,000000001", []), (b"+0", []), (b"+", []),
    (b"+18446744073709551616.000000001", []), (b"+0.00000000x", [])])
def test_a_difference_that_cannot_be_is_found(diff, options):
    answered, errors = differences(diff, *options, status=1)
    assert answered == 0 and "a wrong answer" in errors


def differences(diff, *options, status):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve_differences, args=(listener, diff))
        server.start()
        found, errors = bench("-c", 1, "-q", 100, "-d", 0, *options, f"127.0.0.1:{listener.getsockname()[1]}", status=status)
        server.join()
        return found["answered"], errors


def test_known_clients_are_where_another_run_has_left_them(server):
    bench("-q", 300, "-d", 0, "-n", 300, "--sequential", f"127.0.0.1:{server.port}")
    found, _ = bench("-q", 1000, "-d", 0, "-n", 300, "--known", "--whatsat", 1, f"127.0.0.1:{server.port}")
    assert found["question_latency"]["count"] == 1000
    with Client(server.port) as client:
        client.ask(b"IAMAT bench-device00000000 +01.000000+001.000000 4000000000.000000000")
    _, errors = bench("-q", 1, "-d", 0, "-n", 1, "--known", "--whatsat", 1, f"127.0.0.1:{server.port}", status=1)
    assert "a wrong answer" in errors


def test_updates_are_watched_until_they_are_everywhere(make_herd):
    herd = make_herd({"Hill": ["Jaquez"], "Jaquez": ["Hill", "Watch"], "Watch": ["Jaquez"]})
    herd.start(["Hill", "Jaquez"], links=False)
    found, _ = bench("-r", 1000, "-q", 500, "-d", 0, "-p", 16, "-n", 500, "--sequential", "--watch",
                     f"127.0.0.1:{herd.ports['Watch']}", f"127.0.0.1:{herd.ports['Hill']}")
    assert found["everywhere"]["count"] == found["watched"][0]["count"] == 500
    assert found["everywhere"]["max_us"] > 0


def test_an_update_that_never_arrives_is_found(make_herd, server):
    herd = make_herd({"Jaquez": ["Watch"], "Watch": ["Jaquez"]})
    herd.start(["Jaquez"], links=False)
    _, errors = bench("-r", 1000, "-q", 10, "-d", 0, "-t", 5, "--sequential", "--watch",
                      f"127.0.0.1:{herd.ports['Watch']}", f"127.0.0.1:{server.port}", status=1)
    assert "10 not everywhere" in errors


def other_digit(text):
    return text[:-1] + (b"1" if text[-1:] == b"0" else b"0")


def received(seconds, diff):
    """As if it had been received so many seconds after it was sent."""
    return lambda _id, _location, sent: {"received": b"%d.%s" % (int(sent[:10]) + seconds, sent[11:]), "diff": diff}


# What of an update is not as it was sent and answered when it comes out of a neighbour: client, location and time_sent in, and
# what is said instead out.
WRONG_FLOODS = {
    "nothing": lambda client, location, sent: {},
    "location": lambda client, location, sent: {"location": other_digit(location)},
    "location's bytes": lambda client, location, sent: {"location": location + b"/"},
    "time's bytes": lambda client, location, sent: {"sent": sent + b"0"},
    "older update": lambda client, location, sent: {"sent": b"1000000000.000000000"},
    "other client": lambda client, location, sent: {"client": client[:-2] + b"%02d" % ((int(client[-2:]) + 1) % 100)},
    "nobody's": lambda client, location, sent: {"client": client + b"0"},
    "in the future": received(1000, b"+1000.000000000"),
    "before it was sent": received(-1, b"-1.000000000"),
    "as it was sent": received(0, b"+0.000000000"),
    "not by its difference": received(-1, b"+0.000000001"),
    "another difference": lambda client, location, sent: {"received": later(sent, 2), "diff": b"+0.000000002"},
    "the difference's bytes": lambda client, location, sent: {"diff": b"+00.000000001"},
    "the receipt's bytes": lambda client, location, sent: {"received": later(sent, 1) + b"0"},
    "another server": lambda client, location, sent: {"origin": b"Jaquez"},
    "another answer": lambda client, location, sent: {"answered": b"+0.000000002"},
}
UNSENT, UNRECEIVED, UNANSWERED = "what no client has sent", "it cannot have been received then", "not as it was answered, or told elsewhere"
TOLD = dict.fromkeys(["in the future", "before it was sent", "as it was sent", "not by its difference", "the difference's bytes",
                      "the receipt's bytes"], UNRECEIVED) | dict.fromkeys(["another difference", "another server", "another answer"], UNANSWERED)


def later(sent, more_ns):
    return b"%d.%09d" % divmod(int(sent.replace(b".", b"")) + more_ns, 10**9)


def serve_wrong_floods(listener, watch_port, wrong, flood_first):
    """One connection, whose IAMAT are answered right. The eleventh goes wrong to the address that is watched, all others right."""
    connection, _ = listener.accept()
    watch = wait_until(lambda: dial(watch_port), "herd-bench watches")
    with watch, connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
        for count, line in enumerate(lines):
            client, location, sent = line.split()[1:]
            said = {"client": client, "location": location, "sent": sent, "received": later(sent, 1), "origin": b"Fake",
                    "diff": b"+0.000000001", "answered": b"+0.000000001"}
            if count == 10:
                said |= WRONG_FLOODS[wrong](client, location, sent)
            ways = [(connection, b"AT Fake %s %s\n" % (said["answered"], line[6:-1])),
                    (watch, b"FLOOD Fake %s\n" % b" ".join(said[field] for field in ("client", "location", "sent", "received", "origin", "diff")))]
            for way, text in reversed(ways) if flood_first else ways:
                way.sendall(text)


def dial(port):
    with contextlib.suppress(OSError):
        return socket.create_connection(("127.0.0.1", port))
    return None


@pytest.mark.parametrize("flood_first", [False, True])
@pytest.mark.parametrize("wrong", WRONG_FLOODS)
def test_a_neighbour_that_is_told_another_update_than_was_sent_is_found(wrong, flood_first):
    watch_port = free_ports(1)[0]
    unseen = wrong == "nobody's"  # no client of ours: the update of ours is what is missing
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve_wrong_floods, args=(listener, watch_port, wrong, flood_first))
        server.start()
        found, errors = bench("-c", 1, "-q", 50, "-n", 100, "-d", 0, "-t", 1 if unseen else 60, "--sequential",
                              "--watch", f"127.0.0.1:{watch_port}", f"127.0.0.1:{listener.getsockname()[1]}",
                              status=0 if wrong == "nothing" else 1)
        server.join()
    told = f"watch 127.0.0.1:{watch_port}: {TOLD.get(wrong, UNSENT)}\n  line: FLOOD Fake bench-device000000"
    if wrong == "nothing":
        assert (found["wrong"], found["everywhere"]["count"], errors) == (0, 50, "")
    elif unseen:
        assert found["wrong"] == 0 and "not everywhere" in errors
    else:  # which of two that disagree comes last, and is told, is chance
        assert found["wrong"] == 1
        assert told in errors or (TOLD.get(wrong) == UNANSWERED and "a wrong answer" in errors)


def test_a_name_of_another_server_is_found_at_its_neighbour(make_herd):
    """All say the same, but it is not the server that it should be."""
    herd = make_herd({"Hill": ["Watch"], "Watch": ["Hill"]})
    herd.start(["Hill"], links=False)
    watched = "--watch", f"127.0.0.1:{herd.ports['Watch']}", f"127.0.0.1:{herd.ports['Hill']}"
    for name, status in ("Hill", 0), ("Jaquez", 1):
        _, errors = bench("-c", 1, "-q", 50, "-n", 100, "-d", 0, "--sequential", "--server", name, *watched, status=status)
        assert UNANSWERED in errors or "a wrong answer" in errors or status == 0


@pytest.mark.parametrize("kind", ["idle", "slow", "churn", "long", "deaf"])
def test_a_crowd_comes_and_goes(server, kind):
    crowd = start("--crowd", kind, "-c", 40, "-r", 200, f"127.0.0.1:{server.port}")
    assert crowd.stdout.readline() == f"crowd {kind}: 40 connections\n"
    with server.client() as client:
        assert client.ask(b"IAMAT me +1-1 5").startswith(b"AT Hill ")
    crowd.send_signal(signal.SIGTERM)
    out, errors = crowd.communicate(timeout=300)
    assert (crowd.returncode, errors) == (0, "")
    assert re.fullmatch(rf"(crowd {kind}: \d+ a second\n)*crowd {kind}: \d+ done\n", out)


@pytest.mark.parametrize("kind, pace", [("slow", 40), ("churn", 200), ("idle", 0)])
def test_a_crowd_tells_its_pace(server, kind, pace):
    crowd = start("--crowd", kind, "-c", 40, "-r", 200, "-d", 3, f"127.0.0.1:{server.port}")
    out, errors = crowd.communicate(timeout=300)
    assert (crowd.returncode, errors) == (0, "")
    told = [int(number) for number in re.findall(rf"crowd {kind}: (\d+) a second", out)]
    done = int(re.search(r"(\d+) done", out).group(1))
    assert done <= pace * 3 + pace / 2 and (done > 0) == (pace > 0)
    # After a pause of the machine it makes up for it in less than a second.
    assert told and all(number <= done for number in told)


@pytest.mark.parametrize("given, asked", [("0.7", b" 00.700 05\n"), ("2.9", b" 02.900 05\n"), ("50", b" 50 05\n")])
def test_the_radius_is_asked_for_as_given(given, asked):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        child = start("-q", 1, "-d", 0, "-c", 1, "--known", "--whatsat", 1, "--radius", given, f"127.0.0.1:{port}")
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            assert lines.readline().endswith(asked)
        assert child.wait(300) == 1


def test_a_process_that_ends_while_it_is_measured_is_told():
    with bare_server() as (port, process), subprocess.Popen(["cat"], stdin=subprocess.PIPE) as measured:
        child = start("-s", "bare", "-d", 5, "--pid", measured.pid, f"127.0.0.1:{port}")
        wait_until(lambda: connected(process.pid) > 50, "all are connected")
        measured.stdin.close()
        assert measured.wait(300) == 0
        _, errors = child.communicate(timeout=300)
        assert child.returncode == 1 and f"process {measured.pid} has ended" in errors


@pytest.mark.parametrize("words, message", [
    ([], "HOST:PORT: none is given"),
    (["localhost"], "localhost: not HOST:PORT"),
    (["-c", "1.9", "localhost:1"], '--connections: "1.9" is not a whole number from 1 to 100000'),
    (["--count", "3.5", "localhost:1"], '--count: "3.5" is not a whole number from 0 to 20'),
    (["--radius", "51", "localhost:1"], '--radius: "51" is not a number from 0 to 50'),
    (["-p", "0", "localhost:1"], '--pipeline: "0" is not a whole number from 1 to 4096'),
    (["--skew", "-1", "localhost:1"], '--skew: "-1" is not a number from 0 to 1e+06'),
    (["-s", "gopher", "localhost:1"], "--speech: herd, bare, redis or memcached"),
    (["-d", "0", "localhost:1"], "it would never end"),
    (["--places", "places.db", "localhost:1"], "--places: nothing asks for any: --whatsat, and --speech herd"),
    (["--places", "places.db", "--whatsat", "1", "-s", "bare", "localhost:1"], "--places: nothing asks for any"),
    (["--server", "Hill", "localhost:1", "localhost:2"], "--server: one for each HOST:PORT, or none"),
    (["--server", "", "localhost:1"], "--server: 1 to 64 bytes"),
    (["--server", "H" * 65, "localhost:1"], "--server: 1 to 64 bytes"),
    (["--prefix", "a b", "localhost:1"], "--prefix: at most 32 bytes without white space"),
])
def test_wrong_usage_is_told(words, message):
    _, errors = bench(*words, status=2)
    assert message in errors
