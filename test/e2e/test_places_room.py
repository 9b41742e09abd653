"""What places a client does not read take of the server's memory."""

import json
import os
import re
import signal
import socket

from herdlib import WRAP, established, wait_until
from placeslib import IAMAT, LONG_TIMEOUT_MS, reload

NO_LIMITS = ["breaker_failures = 1000", "calls_per_day = 0", "calls_per_client = 0"]
QUESTIONS, FAT_BYTES = 64, 50000
# Answers come in the order of the questions: else those to later ones, while a thread has yet to read the first one, wait for it
# alone, and not for their client to read.
IN_ORDER = "calls_max = 1"


def connect(server, ready, at):
    """A client, and its AT lines."""
    client = server.client()
    for i in range(QUESTIONS):
        at.append(client.ask(b"IAMAT c%d_%d +34.068930-118.445127 %d" % (ready, i, i)))
    return client


def metric(server, name):
    return server.status()["metrics"][name]


def wait_answered(server, asked, but=0):
    """All questions of the server's clients so far have their places, or an error in place of these; but for that many. That no
    call is open does not mean that: what came of one is told to who asked a turn later, or several."""

    def is_answered():
        metrics = server.status()["metrics"]
        return metrics["whatsat_total"] == asked and metrics["places_questions_open"] == but

    wait_until(is_answered, f"all {asked} are answered but {but}")


def check_told(server, message, key):
    line = re.compile(rf'group=limit msg="{message}" reason="{key} was reached" count=\d+')
    wait_until(lambda: line.search(server.log()), "it is told")


def test_places_that_nobody_reads(make_server, standin, monkeypatch):
    """Clients ask for a megabyte 64 times each, in one write: who never reads has one such answer rendered, and who
    reads slowly has all of them, in order, while as little is."""
    # A sanitizer keeps what is freed for a while: it would be counted.
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=0")
    server = make_server("google-legacy", *NO_LIMITS, "body_max_kib = 2048")
    standin.behave(f"fat:{FAT_BYTES}")
    at, clients = [], []
    for i in range(4):
        clients.append(connect(server, i, at))
    before_kib = server.rss_kib()
    for i, client in enumerate(clients):
        client.send(b"".join(b"WHATSAT c%d_%d 10 20\n" % (i, n) for n in range(QUESTIONS)))
    wait_until(lambda: metric(server, "places_held_back_total") >= len(clients), "answers wait for all of them")
    wait_answered(server, len(clients) * QUESTIONS)
    most_kib = server.rss_kib()
    check_told(server, "places wait for clients to read", "output_max_kib")
    reader = clients.pop()
    for n in range(QUESTIONS):
        first, body = reader.answer()
        assert first == at[3 * QUESTIONS + n]
        assert len(json.loads(body)["results"]) == 20 and len(body) > 20 * FAT_BYTES
        most_kib = max(most_kib, server.rss_kib())
    reader.close()
    for client in clients:
        client.close()
    wait_until(lambda: metric(server, "connections_open") == 0, "they are gone")
    grown_mib = (most_kib - before_kib) / 1024
    print(f"4 clients asked {QUESTIONS} times each for {len(body) / 1e6:.1f} MB and did not read: {grown_mib:.1f} MiB")
    # Each has output_max_kib and one answer, which all share besides; what rendering and reading took is free again.
    # valgrind, too, keeps what is freed.
    assert WRAP or grown_mib < 4 * (0.25 + 2 * 1.0) + 16


def test_a_stop_while_places_wait(make_server, standin):
    server = make_server("google-legacy", *NO_LIMITS, "body_max_kib = 2048", extra=f"stop_timeout_ms = {LONG_TIMEOUT_MS}")
    standin.behave(f"fat:{FAT_BYTES}")
    at = []
    client = connect(server, 0, at)
    client.send(b"".join(b"WHATSAT c0_%d 10 20\n" % n for n in range(QUESTIONS)))
    wait_until(lambda: metric(server, "places_held_back_total") > 0, "answers wait")
    server.process.terminate()
    for n in range(QUESTIONS):
        first, body = client.answer()
        assert first == at[n] and json.loads(body)["status"] == "OK"
    assert client.line() == b""
    server.stop()


def test_places_that_nobody_reads_are_bounded_together(make_server, standin, monkeypatch):
    """Questions for different places, which share nothing: above unread_max_mib there are errors in their place, in order and
    only for who does not read."""
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=0")
    unread_mib = 8
    server = make_server("google-legacy", *NO_LIMITS, IN_ORDER, "body_max_kib = 2048", f"unread_max_mib = {unread_mib}")
    standin.behave(f"fat:{FAT_BYTES}")
    at = []
    reader = connect(server, 9, [])
    clients = [connect(server, i, at) for i in range(2)]
    before_kib, most = server.rss_kib(), 0
    for i, client in enumerate(clients):
        client.send(b"".join(b"WHATSAT c%d_%d %d 20\n" % (i, n, 1 + n % 40) for n in range(QUESTIONS)))
    is_done = False
    while not is_done:
        metrics = server.status()["metrics"]
        most = max(most, metrics["places_unread_bytes"])
        is_done = metrics["whatsat_total"] == 2 * QUESTIONS and metrics["places_questions_open"] == 0
    grown_mib = (server.rss_kib() - before_kib) / 1024
    refused = metrics["places_refused_unread_total"]
    assert metrics["places_refused_behind_total"] == 0 < refused
    print(f"{unread_mib} MiB may wait: {most / 2**20:.1f} MiB did, {refused} of {2 * QUESTIONS} refused; "
          f"{grown_mib:.0f} MiB more memory")
    assert 0 < most <= unread_mib << 20
    standin.behave("normal")
    assert json.loads(reader.whatsat(b"WHATSAT c9_0 45 5")[1])["status"] == "OK"
    statuses = []
    for i, client in enumerate(clients):
        for n in range(QUESTIONS):
            first, body = client.answer()
            assert first == at[i * QUESTIONS + n]
            statuses.append(json.loads(body)["status"])
        client.close()
    assert statuses[0] == "OK" and statuses.count("OVER_QUERY_LIMIT") == refused and set(statuses) == {"OK", "OVER_QUERY_LIMIT"}
    wait_until(lambda: metric(server, "places_unread_bytes") == 0, "nothing waits any more")
    check_told(server, "places refused to clients that do not read", "unread_max_mib")
    reader.close()


SMALL_MIB = 2  # the least that unread_max_mib may be


def asked(distances, count=20):
    return b"".join(b"WHATSAT kiwi.cs.ucla.edu %g %d\n" % (distance, count) for distance in distances)


def fat_but(standin, hanging_km):
    """Answers of a megabyte, but for questions at that distance: they hang."""
    standin.control("/_control", {"behaviour": f"fat:{FAT_BYTES}", "by_radius": {f"{1000 * hanging_km}": "hang"}})


def fill(server, client):
    """A client that does not read has all that may be kept for such ones."""
    distances = range(1, 41)
    client.ask(IAMAT)
    client.send(asked(distances))
    wait_answered(server, len(distances))
    assert metric(server, "places_refused_unread_total") > 0, "there is no more room"


def behind_a_question(server, standin, client, distances):
    """Asks for what hangs, then for the others; waits until these have come."""
    fat_but(standin, 45)
    before = server.status()["metrics"]
    client.ask(IAMAT)
    client.send(asked([45, *distances]))
    wait_answered(server, before["whatsat_total"] + 1 + len(distances), but=1)
    assert metric(server, "places_calls_total") == before["places_calls_total"] + 1 + len(distances)


def end_what_hangs(server, client):
    """A stop does."""
    server.process.terminate()
    assert json.loads(client.answer()[1])["status"] == "UNKNOWN_ERROR"


def wait_received(port, bytes_each, count):
    """So many of this machine's connections to a port have received that much, which nobody has read yet."""
    def received():
        return [end for end in established() if end.peer_port == port and end.unread >= bytes_each]

    wait_until(lambda: len(received()) == count, f"{count} have {bytes_each} bytes")


def test_places_that_come_in_one_turn_are_bounded_as_well(make_server, standin, tmp_path):
    """Whether a client reads is known once its first answers have gone out; until then it is none that only waits for an
    earlier question, for which there is twice the room."""
    questions, each = 200, 50000
    server = make_server("google-legacy", *NO_LIMITS, f"unread_max_mib = {SMALL_MIB}", f"calls_max = {questions}",
                         extra=f"pipeline_max = {questions}")
    (tmp_path / "held").touch()
    with server.client() as hog:
        hog.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # else a system may let sockets take all
        hog.ask(IAMAT)
        standin.behave(f"fat_while:{each // 20},{tmp_path}/held")
        hog.send(asked([1 + n / 5 for n in range(questions)]))
        wait_until(lambda: standin.requests() == questions, "all calls are under way")
        server.process.send_signal(signal.SIGSTOP)
        (tmp_path / "held").unlink()
        wait_received(standin.port, each, questions)
        server.process.send_signal(signal.SIGCONT)
        wait_answered(server, questions)
        metrics = server.status()["metrics"]
        print(f"{metrics['places_unread_bytes'] / 2**20:.2f} MiB wait, {metrics['places_refused_unread_total']} refused")
        assert metrics["places_unread_bytes"] <= SMALL_MIB << 20
        assert metrics["places_refused_behind_total"] == 0 < metrics["places_refused_unread_total"]
        statuses = [json.loads(hog.answer()[1])["status"] for _ in range(questions)]
    assert statuses.count("OVER_QUERY_LIMIT") == metrics["places_refused_unread_total"]
    assert set(statuses) == {"OK", "OVER_QUERY_LIMIT"}


def test_what_was_paid_is_kept_whatever_a_reload_could_not_take(make_server, standin, tmp_path):
    """The provider in service counts, not the one that is named: to ask it again would be to pay again."""
    server = make_server("google-legacy", *NO_LIMITS, "body_max_kib = 2048")
    server.herd.places = server.herd.places.replace('provider = "google-legacy"', 'provider = "local"')
    server.herd.places += f'\ndata_file = "{tmp_path}/nothing"'
    server.herd.write_config()
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old places stay" in server.log(), "it is told")
    standin.behave(f"fat:{FAT_BYTES}")
    count = 32
    with server.client() as client:
        client.ask(IAMAT)
        client.send(b"".join(b"WHATSAT kiwi.cs.ucla.edu %d 20\n" % (n + 1) for n in range(count)))
        wait_until(lambda: metric(server, "places_held_back_total") > 0, "answers wait")
        wait_answered(server, count)
        for _ in range(count):
            assert said(client.answer()[1]) == ("OK", None)
    assert standin.requests() == count
    assert metric(server, "places_again_total") == 0


def said(body):
    answer = json.loads(body)
    return answer["status"], answer.get("error_message")


def test_who_reads_is_not_refused_for_others(make_server, standin):
    """Its second question is answered before its first, so that the answer waits, too; but not for it to read."""
    server = make_server("google-legacy", *NO_LIMITS, IN_ORDER, "body_max_kib = 2048", f"unread_max_mib = {SMALL_MIB}")
    standin.behave(f"fat:{FAT_BYTES}")
    with server.client() as hog, server.client() as reader:
        fill(server, hog)
        server.herd.places = server.herd.places.replace(IN_ORDER, "calls_max = 32")
        server.herd.write_config()
        reload(server)
        behind_a_question(server, standin, reader, [46])
        end_what_hangs(server, reader)
        assert said(reader.answer()[1]) == ("OK", None)


def test_what_waits_for_a_slower_answer_is_bounded(make_server, standin):
    """For who reads, too; and it is told why."""
    server = make_server("google-legacy", *NO_LIMITS, "body_max_kib = 2048", f"unread_max_mib = {SMALL_MIB}")
    distances = range(1, 11)
    with server.client() as reader:
        behind_a_question(server, standin, reader, distances)
        assert metric(server, "places_refused_behind_total") > 0, "there is no more room"
        assert metric(server, "places_unread_bytes") <= 2 * SMALL_MIB << 20
        assert metric(server, "places_refused_unread_total") == 0
        check_told(server, "places refused that wait for those to earlier questions", "twice unread_max_mib")
        end_what_hangs(server, reader)
        ends = [said(reader.answer()[1]) for _ in distances]
    refused = ("OVER_QUERY_LIMIT", "too many answers wait for those to earlier questions")
    assert set(ends) == {("OK", None), refused}
    assert 0 < ends.count(("OK", None)) * 20 * FAT_BYTES <= 2 * SMALL_MIB << 20


def test_who_shares_an_answer_that_waits_takes_no_more_room(make_server, standin, tmp_path):
    """The last that there is room for is two clients': it is counted once, and neither is refused."""
    server = make_server("google-legacy", *NO_LIMITS, "body_max_kib = 2048", f"unread_max_mib = {SMALL_MIB}")
    fitting = (2 * SMALL_MIB << 20) // (20 * FAT_BYTES)
    with server.client() as first, server.client() as second:
        behind_a_question(server, standin, first, range(1, fitting))
        held = tmp_path / "held"
        held.touch()
        standin.control("/_control", {"behaviour": f"fat_while:{FAT_BYTES},{held}", "by_radius": {"45000": "hang"}})
        first.send(asked([46]))
        second.send(asked([45, 46]))
        wait_until(lambda: metric(server, "places_coalesced_total") == 2, "both wait for both")
        held.unlink()
        wait_until(lambda: metric(server, "places_questions_open") == 2, "one has come, for both")
        assert metric(server, "places_refused_behind_total") == 0
        assert metric(server, "places_unread_bytes") <= 2 * SMALL_MIB << 20
        end_what_hangs(server, first)
        assert [said(first.answer()[1]) for _ in range(fitting)] == [("OK", None)] * fitting
        assert json.loads(second.answer()[1])["status"] == "UNKNOWN_ERROR"
        assert said(second.answer()[1]) == ("OK", None)


def test_errors_take_no_room(make_server, standin):
    """However many wait to be read, each says what it would have said to who reads."""
    clients, questions = 8, 600
    server = make_server("google-legacy", *NO_LIMITS, f"unread_max_mib = {SMALL_MIB}", "calls_max = 1", "waiting_max = 0",
                         extra="pipeline_max = 1000")
    standin.behave("hang")
    hogs = [server.client() for _ in range(clients)]
    for hog in hogs:
        hog.ask(IAMAT)
        hog.send(asked([10]) + asked([11]) * questions)
    wait_answered(server, clients * (1 + questions), but=clients)
    assert metric(server, "places_refused_total") == clients * questions
    assert metric(server, "places_unread_bytes") == 0 and metric(server, "places_refused_unread_total") == 0
    server.process.terminate()
    for hog in hogs:
        ends = [said(hog.answer()[1]) for _ in range(1 + questions)]
        assert set(ends[1:]) == {("OVER_QUERY_LIMIT", "too many questions are waiting for places")}
        hog.close()


def test_what_would_be_thrown_away_is_not_paid_for(make_server, standin):
    """There is no room for what waits, and the client has not read what was sent to it: its questions cost no calls."""
    server = make_server("google-legacy", *NO_LIMITS, "body_max_kib = 2048", f"unread_max_mib = {SMALL_MIB}",
                         extra="output_max_kib = 65536")  # so that it may ask, although much waits to be sent to it
    fat, refused = 24, 10
    with server.client() as waiting, server.client() as hog:
        behind_a_question(server, standin, waiting, range(1, 11))
        assert metric(server, "places_refused_behind_total") > 0, "there is no more room"
        hog.ask(IAMAT)
        hog.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # else a system may let sockets take that much
        for n in range(fat):  # more than sockets take
            hog.send(asked([20]))
            wait_answered(server, 12 + n, but=1)  # it is sent
        hog.send(asked([45]))  # the call that is under way is this one's, too
        wait_until(lambda: metric(server, "places_coalesced_total") == 1, "it is asked")
        hog.send(asked(range(31, 31 + refused)))
        wait_until(lambda: metric(server, "places_refused_unread_total") == refused, "they are refused")
        assert standin.requests() == metric(server, "places_calls_total") == 11 + fat
        ends = [said(hog.answer()[1]) for _ in range(fat)]  # a stop does not wait for so much to be read
        server.process.terminate()
        ends += [said(hog.answer()[1]) for _ in range(1 + refused)]
    assert ends[:fat] == [("OK", None)] * fat and ends[fat][0] == "UNKNOWN_ERROR"
    assert ends[fat + 1:] == [("OVER_QUERY_LIMIT", "too many answers wait for clients to read them")] * refused


def test_local_is_asked_again(server):
    """Of what costs nothing little is kept: who reads late has all answers all the same."""
    at = []
    with server.client() as client, server.client() as other:
        for i in range(QUESTIONS):
            at.append(client.ask(b"IAMAT c%d +51.5-0.12 %d" % (i, i)))
        expected = [other.whatsat(b"WHATSAT c%d %d 20" % (i, 10 + i % 40)) for i in range(QUESTIONS)]
        questions = b"".join(b"WHATSAT c%d %d 20\n" % (i, 10 + i % 40) for i in range(QUESTIONS))

        def times_full():
            """How often answers waited, or lines of a client that had not read its answers."""
            return (metric(server, "places_held_back_total") + metric(server, "clients_paused_total")
                    - metric(server, "clients_paused_pipeline_total"))

        def ask_until_full():
            """How often all was asked, until the client has to read."""
            rounds, full = 0, times_full()
            while times_full() == full:
                taken = metric(server, "whatsat_total")
                client.send(questions)
                rounds += 1
                wait_until(lambda: metric(server, "whatsat_total") >= taken + QUESTIONS or times_full() > full,
                           "they are taken, or wait")
            wait_until(lambda: metric(server, "places_questions_open") == 0, "all that was taken is answered")
            return rounds

        # How many are under way when the output is full depends on how fast the threads answer; some of these times
        # it is more than is kept.
        for _ in range(50):
            for _ in range(ask_until_full()):
                for i in range(QUESTIONS):
                    assert client.answer() == expected[i] and expected[i][0] == at[i]
            if metric(server, "places_again_total") > 0 and metric(server, "places_held_back_total") > 0:
                return
        assert metric(server, "places_again_total") > 0
        assert metric(server, "places_held_back_total") > 0
