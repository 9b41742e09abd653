"""The line protocol as a client sees it (docs/protocol.md, sections 1 and 2)."""

import contextlib
import json
import pathlib
import random
import re
import signal
import socket
import time

import pytest

from herdlib import AT, DEADLINE_S, SLOW, Client, wait_until

KIWI = b"kiwi.cs.ucla.edu"
UCLA = b"+34.068930-118.445127"


def test_iamat_is_echoed_byte_for_byte(server):
    with server.client() as client:
        before = time.time()
        answer = client.ask(b"IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503")
        name, diff, client_id, location, sent = AT.match(answer).groups()
        assert (name, client_id, location, sent) == (b"Hill", KIWI, UCLA, b"1621464827.959498503")
        assert before - 1621464827.96 <= float(diff) <= time.time() - 1621464827.95


@pytest.mark.parametrize("location, sent", [
    (b"+4.5-99.25", b"5"), (b"+34.068930-118.445127/", b"1.000"), (b"-90+180", b"0"),
    (b"+3404.1358-11826.7076", b"1700000000"), (b"+340408.148-1182642.457", b"1700000000.1234567891234"),
    (b"+00-000", b"9223372036.854775807"),
])
def test_locations_and_times_of_all_forms(shared_server, location, sent):
    with shared_server.client() as client:
        answer = client.ask(b"IAMAT caf\xc3\xa9 %s %s" % (location, sent))
        assert AT.match(answer).groups()[2:] == (b"caf\xc3\xa9", location, sent)


BAD_LINES = [
    b"HELO", b"IAMAT", b"IAMAT x", b"IAMAT x +1+1", b"IAMAT x +1+1 5 6", b"iamat x +1+1 5", b"IAMAT x 1+1 5", b"IAMAT x +1 5",
    b"IAMAT x +91+0 5", b"IAMAT x +0+181 5", b"IAMAT x +90.0001+0 5", b"IAMAT x +1e1+0 5", b"IAMAT x +nan+0 5", b"IAMAT x +inf+0 5",
    b"IAMAT x +1.+1. 5", b"IAMAT x +3460.0-11800.0 5", b"IAMAT x +345960-1180060 5", b"IAMAT x +34-118CRSWGS_84/ 5",
    b"IAMAT x +34.0-118.0+10/ 5", b"IAMAT x +34.0-11826.0 5", b"IAMAT x +1+1 -5", b"IAMAT x +1+1 1e9", b"IAMAT x +1+1 5.", b"IAMAT x +1+1 .5",
    b"IAMAT x +1+1 0x10", b"IAMAT x +1+1 9223372037", b"IAMAT x +1+1 99999999999999999999999", b"IAMAT x +1+1 five", b"IAMAT x\x00y +1+1 5",
    b"IAMAT x\x01 +1+1 5", b"IAMAT \x7f +1+1 5", b"IAMAT " + b"i" * 257 + b" +1+1 5", b"WHATSAT", b"WHATSAT x", b"WHATSAT x 1",
    b"WHATSAT nobody 1 1", b"WHATSAT x -1 1", b"WHATSAT x 51 1", b"WHATSAT x 50.001 1", b"WHATSAT x 1 21", b"WHATSAT x 1 -1",
    b"WHATSAT x 1 1.5", b"WHATSAT x 1 +1", b"WHATSAT x 1e1 1", b"WHATSAT x 1 1 1", b"WHATSAT x 1 99999999999999999999", b"?", b"? IAMAT",
    b"AT Hill +0.1 x +1+1 5", b"FLOOD", b"FLOOD Hill x +1+1 5", b"FLOOD Hill x +1+1 5 6 Hill 1", b"FLOOD Hill x +1+1 5 six Hill +1.0", b"HELLO",
    b"HELLO Smith 1 0123456789abcdef 0 -", b"HELLO Smith 2 xyz 0 -", b"MARK", b"MARK 1 2", b"RESUME 0123456789abcdef 0", b"REFUSE me", b"STATUS",
    b"\xff\xfe\xfd", "ÄÖÜ".encode(), b"IAMAT\x00x +1+1 5", b"%s%n%x", b"'; DROP TABLE places; --", b"-" * 4096,
]


@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_bad_line_costs_nothing_else(shared_server, line):
    with shared_server.client() as client:
        first = client.ask(b"IAMAT x +1+1 5")
        assert AT.match(first)
        assert client.ask(line) == b"? " + line + b"\n"
        assert client.ask(b"IAMAT x +2+2 6").split()[4:] == [b"+2+2", b"6"]


def test_white_space_and_blank_lines(server):
    with server.client() as client:
        client.send(b"\n \r\n\t\n  IAMAT \t x\v+1+1\f 5 \r\n\n")
        assert AT.match(client.line()).groups()[2:] == (b"x", b"+1+1", b"5")
        assert client.ask(b"  bad \t line \r") == b"?   bad \t line \n"


@pytest.mark.parametrize("length", [4097, 5000])
def test_a_line_too_long_ends_the_connection(server, length):
    with server.client() as client:
        assert client.ask(b"x" * 4096) == b"? " + b"x" * 4096 + b"\n"
        client.send(b"y" * length)  # and no LF: one byte too many is known to be
        assert client.line() == b"? " + b"y" * 4096 + b"\n"
        assert client.line() == b""


def test_an_endless_line_is_answered_and_cut_off(server):
    with server.client() as client:
        with pytest.raises(OSError):
            for _ in range(10000):
                client.send(b"z" * 65536)
        # No other client is disturbed.
        with server.client() as other:
            assert AT.match(other.ask(b"IAMAT x +1+1 5"))


@pytest.mark.parametrize("request_bytes", [
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n",
    b"POST /pub HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x16\x03\x01a\n",
    b"\x16\x03\x01a\n" * 3,
])
def test_another_protocol_is_closed_after_three_lines(shared_server, request_bytes):
    with shared_server.client() as client:
        client.send(request_bytes)
        answers = client.file.read()
        assert answers.count(b"\n") == 3 and all(line.startswith(b"? ") for line in answers.splitlines())


def test_http_words_now_and_then_do_not_close(server):
    with server.client() as client:
        for _ in range(10):
            assert client.ask(b"GET / HTTP/1.1").startswith(b"? GET")
            assert client.ask(b"GET / HTTP/1.1").startswith(b"? GET")
            assert AT.match(client.ask(b"IAMAT x +1+1 5"))


def test_the_last_line_needs_no_lf_once_the_half_is_closed(server):
    with server.client() as client:
        client.send(b"IAMAT x +1+1 5\nIAMAT y +1+1 5")
        answers = client.end().splitlines(keepends=True)
        assert [AT.match(line).group(3) for line in answers] == [b"x", b"y"]


def test_all_requests_are_answered_after_half_close(server):
    with server.client() as client:
        client.send(b"IAMAT x %s 5\n" % UCLA + b"WHATSAT x 10 20\n" * 50)
        answers = client.end()
        assert answers.count(b"\nAT Hill ") == 50 and answers.count(b'"status": "OK"') == 50
        assert answers.endswith(b"}\n\n")


def test_an_older_iamat_is_answered_from_its_own_fields(server):
    with server.client() as client:
        newest = client.ask(b"IAMAT x +1+1 100")
        older = client.ask(b"IAMAT x +2+2 99.999999999")
        assert older.split()[3:] == [b"x", b"+2+2", b"99.999999999"]
        assert client.whatsat(b"WHATSAT x 1 1")[0] == newest


def test_whatsat_is_an_at_line_and_one_json_object(server):
    with server.client() as client:
        at = client.ask(b"IAMAT kiwi %s 1700000000" % UCLA)
        line, body = client.whatsat(b"WHATSAT kiwi 10 5")
        assert line == at
        assert body.endswith(b"}\n\n") and b"\n\n" not in body[:-2]
        places = json.loads(body)
        assert list(places) == ["html_attributions", "results", "status"]
        assert places["status"] == "OK" and len(places["results"]) == 5
        assert body.startswith(b'{\n   "html_attributions"')
        assert client.whatsat(b"WHATSAT kiwi 10 0")[1].count(b'"name"') == 0
        assert json.loads(client.whatsat(b"WHATSAT kiwi 0 20")[1])["status"] == "ZERO_RESULTS"


def strip_diff(answer):
    """An answer without what depends on the time of arrival."""
    return [b" ".join(line.split(b" ")[:2] + line.split(b" ")[3:]) if line.startswith(b"AT ") else line
            for line in answer.splitlines()]


def mixed_commands(seed, count):
    rng = random.Random(seed)
    lines = []
    for i in range(count):
        who = b"client%d" % rng.randrange(10)
        lines.append(rng.choice([
            b"IAMAT %s %+.4f%+.4f %d" % (who, rng.uniform(-90, 90), rng.uniform(-180, 180), 1000 + i),
            b"WHATSAT %s %d %d" % (who, rng.randrange(51), rng.randrange(21)),
            b"nonsense %d" % i, b"", b"IAMAT bad %d" % i, b"PING",
        ]))
    return b"\n".join(lines) + b"\n"


def in_pieces(client, data, sizes):
    at = 0
    for size in sizes:
        client.send(data[at:at + size])
        at += size
        if at >= len(data):
            return
    client.send(data[at:])


def test_300_pipelined_commands_in_any_pieces(make_herd):
    commands = mixed_commands(1, 300)
    rng = random.Random(2)
    ways = {
        "one write": [len(commands)],
        "byte by byte": [1] * len(commands),
        "odd pieces": [rng.randrange(1, 97) for _ in range(len(commands))],
    }
    answers = {}
    for way, sizes in ways.items():
        server = make_herd({"Hill": []}).start()["Hill"]
        with server.client() as client:
            in_pieces(client, commands, sizes)
            answers[way] = strip_diff(client.end())
    assert len(answers["one write"]) > 300
    assert answers["byte by byte"] == answers["one write"]
    assert answers["odd pieces"] == answers["one write"]


def test_a_client_that_never_reads_disturbs_nobody(server):
    with server.client() as greedy, server.client() as other:
        greedy.ask(b"IAMAT x %s 5" % UCLA)
        greedy.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            for _ in range(100000):
                greedy.socket.send(b"WHATSAT x 50 20\n" * 1000)
        for i in range(100):
            assert AT.match(other.ask(b"IAMAT y +1+1 %d" % i))
        status = server.status()
        assert status["metrics"]["clients_paused_total"] > 0
        # What it was owed it still gets, in order and whole, once it reads.
        greedy.socket.setblocking(True)
        greedy.socket.settimeout(DEADLINE_S)
        for _ in range(1000):
            line, body = greedy.answer()
            assert line.startswith(b"AT Hill") and json.loads(body)["status"] == "OK"


@pytest.mark.skipif(SLOW != 1, reason="memory is measured, which valgrind and sanitizers take more of")
@pytest.mark.parametrize("question", [b"WHATSAT nobody 50 20\n", b"WHATSAT x 50 20\n", b"WHATSAT x 10 5\n"])
def test_clients_that_never_read_cost_their_answers_and_one_read(server, question):
    def rss_kib():
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def metrics():
        return server.status()["metrics"]

    def fill(clients):
        sent = 0
        for client in clients:
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += client.socket.send(question * 1000)
        return sent

    def deaf_kib(count):
        """What each of so many clients costs that ask and never read; they have left then, and their memory is back."""
        clients = [server.client() for _ in range(count)]
        paused, was_sent, before = metrics()["clients_paused_total"], -1, rss_kib()
        for client in clients:
            client.socket.setblocking(False)

        def is_silent():
            nonlocal was_sent
            last_sent, now = was_sent, metrics()
            was_sent = now["bytes_sent_total"]
            return (fill(clients) == 0 and was_sent == last_sent and now["places_questions_open"] == 0
                    and now["clients_paused_total"] >= paused + count)

        wait_until(is_silent, "none is read from, no socket takes more, and nothing is sent")
        each, given_back = (rss_kib() - before) / count, metrics()["memory_given_back_total"]
        for client in clients:
            client.close()
        wait_until(lambda: metrics()["memory_given_back_total"] > given_back and metrics()["memory_kept_bytes"] < 1 << 16,
                   "what they had is given back")
        return each

    count = 20
    with server.client() as client:
        client.ask(b"IAMAT x %s 5" % UCLA)
        client.send(b"WHATSAT x 50 20\n")
        assert json.loads(client.answer()[1])["status"] == "OK"
    deaf_kib(count)  # what reading the places file took goes back with theirs
    before = rss_kib()
    each = deaf_kib(count)
    print(f"{question.decode().strip()}: {each} KiB a client")
    # 256 KiB of answers (output_max_kib), a read of 64 KiB, and what libuv and malloc add to that.
    assert each < 500, f"{each} KiB a client"
    wait_until(lambda: rss_kib() - before < count * 50, "what they took goes back to the system")


def test_a_client_that_vanishes_in_the_middle(server):
    for _ in range(50):
        client = server.client()
        client.send(b"IAMAT x %s 5\n" % UCLA + b"WHATSAT x 50 20\n" * 20 + b"IAMAT half")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    with Client(server.port) as client:
        assert AT.match(client.ask(b"IAMAT y +1+1 5"))


@pytest.mark.parametrize("waits_max, reason", [(1, "waits_max was reached"),
                                               (2, "its connection has as many as are free of waits_max")])
def test_limits_are_keys_counted_and_told(make_herd, waits_max, reason):
    server = make_herd({"Hill": []}, extra=f"turn_lines_client = 2\nwaits_max = {waits_max}").start()["Hill"]

    def counted():
        metrics = server.status()["metrics"]
        return metrics["turns_full_client_total"], metrics["waits_refused_total"]

    with server.client() as client:
        client.send(b"x\n" * 10)
        assert [client.line() for _ in range(10)] == [b"? x\n"] * 10
        client.send(b"WHATSAT a 1 1 AFTER 5 WAIT 5000\n" * 3)
        wait_until(lambda: counted()[1] == 2, "one waits, and two are refused")
        turns, _ = counted()
    server.stop()
    for why, times in (("turn_lines_client was reached", turns), (reason, 2)):
        told = re.findall(rf'group=limit .*reason="{why}" count=(\d+)', server.log())
        assert 1 <= len(told) <= 2 and sum(map(int, told)) == times


@pytest.mark.parametrize("key, few, counted", [
    ("turn_reads", 16, "turns_full_reads_total"), ("turn_read_kib", 64, "turns_full_bytes_total"), ("turn_lines_client", 8, "turns_full_client_total")])
def test_how_much_a_turn_takes_of_clients_is_a_key_that_a_reload_takes(make_herd, key, few, counted):
    """What a crowd has said while the server did not run is more than a turn takes, where that is little."""
    lines, clients = [b"x" * 500] * 16, 40
    server = make_herd({"Hill": []}).start()["Hill"]

    def hear_a_crowd():
        with contextlib.ExitStack() as stack:
            crowd = [stack.enter_context(server.client()) for _ in range(clients)]
            for client in crowd:
                assert client.ask(b"y") == b"? y\n"
            server.process.send_signal(signal.SIGSTOP)
            for client in crowd:
                client.send(b"".join(line + b"\n" for line in lines))
            server.process.send_signal(signal.SIGCONT)
            for client in crowd:
                assert [client.line() for _ in lines] == [b"? " + line + b"\n" for line in lines]
        return server.status()["metrics"][counted]

    assert hear_a_crowd() == 0
    server.herd.extra = f"{key} = {few}"
    server.herd.write_config()
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "group=reload msg=done" in server.log(), "it has read it")
    assert hear_a_crowd() > 0
    wait_until(lambda: f'wait for the next turn" reason="{key} was reached"' in server.log(), "it is told")
