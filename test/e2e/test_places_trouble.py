"""Places that never fail the answer: a whole server and a provider that misbehaves in every way we know."""

import json
import os
import signal
import threading
import time

import pytest

import placeslib
from herdlib import DEADLINE_S, SLOW, hanging_names, wait_until
from placeslib import IAMAT, KEY, LONG_TIMEOUT_MS, SHORT_TIMEOUT_MS, WHATSAT, hanging_read, held_back, not_at_midnight, reload, set_timeout

PROVIDERS = ["google", "google-legacy", "overpass"]
NO_LIMITS = ["breaker_failures = 1000", "quota_pause_ms = 10", "calls_per_day = 0", "calls_per_client = 0"]
SHAPE = {"html_attributions", "results", "status", "error_message"}
STATUS = {"OK", "ZERO_RESULTS", "INVALID_REQUEST", "OVER_QUERY_LIMIT", "REQUEST_DENIED", "UNKNOWN_ERROR"}

# Behaviours of the stand-in, and how a question for places ends then.
BEHAVIOURS = {
    "normal": "OK", "late:50": "OK", "pieces:7": "OK", "chunked": "OK", "http10": "OK", "gzip": "OK", "reset_after": "OK",
    "close_at_once": "UNKNOWN_ERROR",
    "reset_at_once": "UNKNOWN_ERROR", "reset_mid_body": "UNKNOWN_ERROR", "length_short": "UNKNOWN_ERROR",
    "length_long": "UNKNOWN_ERROR", "length_garbage": "UNKNOWN_ERROR", "chunked_broken": "UNKNOWN_ERROR",
    "garbage": "UNKNOWN_ERROR", "redirect": "UNKNOWN_ERROR", "headers_for_ever": "UNKNOWN_ERROR", "big": "UNKNOWN_ERROR",
    "big_chunked": "UNKNOWN_ERROR", "zip_bomb": "UNKNOWN_ERROR", "empty": "UNKNOWN_ERROR", "not_json": "UNKNOWN_ERROR",
    "truncated": "UNKNOWN_ERROR", "invalid_utf8": "UNKNOWN_ERROR", "nul": "UNKNOWN_ERROR", "nested": "UNKNOWN_ERROR",
    "nested_objects": "UNKNOWN_ERROR", "wrong_shape": "UNKNOWN_ERROR", "odd_names": "OK", "spoiled": "OK",
    "nothing": "ZERO_RESULTS", "http:400": "INVALID_REQUEST", "http:429": "OVER_QUERY_LIMIT",
    "http:429:": "OVER_QUERY_LIMIT", "http:500": "UNKNOWN_ERROR", "http:503": "UNKNOWN_ERROR", "html:502": "UNKNOWN_ERROR",
    "http:403": "REQUEST_DENIED",
}
NEVER_ENDING = {"hang": "UNKNOWN_ERROR", "hang_mid_body": "UNKNOWN_ERROR", "drip": "UNKNOWN_ERROR"}
# After these the provider is left alone: until a reload, for this test.
LEFT_ALONE = {"http:429", "http:429:", "http:403"}


def open_files(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def metrics(server):
    return server.status()["metrics"]


def is_idle(counted):
    return counted["places_questions_open"] == counted["places_calls_open"] == counted["places_calls_waiting"] == 0


def check_answer(answer, at, status):
    first, body = answer
    parsed = json.loads(body)
    assert first == at and set(parsed) <= SHAPE and parsed["status"] in STATUS
    assert body.endswith(b"}\n\n") and b"\n\n" not in body[:-2] and KEY.encode() not in body
    assert parsed["status"] == status, parsed.get("error_message")
    assert ("error_message" in parsed) == (status not in ("OK", "ZERO_RESULTS"))
    return parsed


@pytest.mark.parametrize("timeout_ms, behaviours", [(LONG_TIMEOUT_MS, BEHAVIOURS), (SHORT_TIMEOUT_MS, NEVER_ENDING)])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_answer_comes_whatever_the_provider_does(provider, timeout_ms, behaviours, make_server, standin):
    """In the right shape and in order, with the loop turning; and nothing is left behind. How long it took is told, not judged:
    test_broker.c has that, in virtual time."""
    server = make_server(provider, *NO_LIMITS, "cache_max_kib = 0", timeout_ms=timeout_ms)
    longest_s, other_s, questions = 0, 0, 0
    with server.client() as client, server.client() as other:
        at = [client.ask(b"IAMAT client%d +34.068930-118.44%d 1" % (i, i)) for i in range(5)]
        other.ask(b"IAMAT other +1+1 1")
        files = open_files(server)
        for behaviour, status in behaviours.items():
            standin.behave(behaviour)
            began = time.monotonic()
            client.send(b"".join(b"WHATSAT client%d 10 5\n" % i for i in range(5)))
            for i in range(5):
                asked = time.monotonic()
                assert other.ask(b"IAMAT other +1+1 %d" % (questions + i + 2)).startswith(b"AT Hill ")
                other_s = max(other_s, time.monotonic() - asked)
            for i in range(5):
                check_answer(client.answer(), at[i], status)
            longest_s = max(longest_s, time.monotonic() - began)
            questions += 5
            if behaviour in LEFT_ALONE:
                reload(server)
    counted = metrics(server)
    print(f"{provider}: {questions} questions, {counted['places_calls_total']} calls, the longest answer {longest_s:.2f} s of "
          f"{timeout_ms / 1000:.0f} s, of somebody else {other_s * 1000:.1f} ms, "
          f"the longest turn {counted['loop_turn_max_ns'] / 1e6:.1f} ms ({counted['loop_turn_cpu_max_ns'] / 1e6:.1f} ms on the processor)")
    # Who asked has an answer before a call that was given up is back.
    wait_until(lambda: is_idle(metrics(server)), "no question and no call is left")
    # Connections that are kept for the next calls aside.
    assert open_files(server) <= files + 32
    assert standin.control("/_stats")["complaints"] == []


def test_a_wrong_certificate(make_server, tmp_path):
    tls = tmp_path / "tls"
    tls.mkdir()
    standin = placeslib.StandIn("--tls", str(tls), "--san", "DNS:another.example")
    try:
        server = make_server("google", f'ca_file = "{tls}/cert.pem"', origin=f"https://127.0.0.1:{standin.port}")
        with server.client() as client:
            at = client.ask(IAMAT)
            assert "certificate" in check_answer(client.whatsat(WHATSAT), at, "UNKNOWN_ERROR")["error_message"]
        assert standin.requests() == 0
    finally:
        standin.stop()


def test_a_thousand_askers_of_one_place_are_one_call(make_server, standin, tmp_path):
    server = make_server("google")
    clients = [server.client() for _ in range(20)]
    at = clients[0].ask(IAMAT)
    with held_back(standin, tmp_path / "held"):
        for client in clients:
            client.send((WHATSAT + b"\n") * 50)
        wait_until(lambda: metrics(server)["places_coalesced_total"] == 999, "all have asked")
    answers = {client.answer() for client in clients for _ in range(50)}
    assert len(answers) == 1
    check_answer(answers.pop(), at, "OK")
    assert standin.requests() == 1
    for client in clients:
        client.close()


def test_askers_of_different_counts_share_a_call(make_server, standin, tmp_path):
    """20 places are asked for, and each has as many of them as he asked for."""
    server = make_server("google")
    with server.client() as client:
        at = client.ask(IAMAT)
        with held_back(standin, tmp_path / "held"):
            client.send(b"".join(b"WHATSAT kiwi.cs.ucla.edu 10 %d\n" % count for count in (1, 20, 5)))
            wait_until(lambda: metrics(server)["places_coalesced_total"] == 2, "all are asked")
        answers = [check_answer(client.answer(), at, "OK")["results"] for _ in range(3)]
    assert standin.requests() == 1
    assert len(answers[0]) == 1 and len(answers[2]) == 5 and len(answers[1]) > 5
    assert answers[0] == answers[1][:1] and answers[2] == answers[1][:5]


@pytest.mark.parametrize("provider", ["google", "google-legacy"])
def test_answers_of_google_are_not_kept(provider, make_server, standin):
    """Its terms forbid it, whatever the keys of the cache are; nor is an old one given instead of an error."""
    server = make_server(provider, "cache_fresh_s = 3600", "cache_stale_s = 3600", "calls_per_client = 0")
    with server.client() as client:
        at = client.ask(IAMAT)
        for i in range(3):
            check_answer(client.whatsat(WHATSAT), at, "OK")
            assert standin.requests() == i + 1
        standin.behave("http:400")
        check_answer(client.whatsat(WHATSAT), at, "INVALID_REQUEST")
        standin.behave("http:403")
        check_answer(client.whatsat(WHATSAT), at, "REQUEST_DENIED")
    assert metrics(server)["places_cache_bytes"] == 0


@pytest.mark.parametrize("key, behaviour, status", [
    ("body_max_kib = 16384", "big", "OK"), ("body_max_kib = 16", "many:1000", "UNKNOWN_ERROR"), ("", "many:1000", "OK"),
    ("json_depth_max = 33", "depth_33", "OK"), ("json_depth_max = 31", "depth_32", "UNKNOWN_ERROR")])
def test_the_limits_of_an_answer(key, behaviour, status, make_server, standin):
    """Each is a key; test_every_answer_comes_whatever_the_provider_does has them at their defaults."""
    server = make_server("google", *([key] if key else []))
    standin.behave(behaviour)
    with server.client() as client:
        at = client.ask(IAMAT)
        check_answer(client.whatsat(WHATSAT), at, status)


def ask_steadily(client, at, per_s, seconds, first, statuses):
    """Questions for a place each, so many a second; what they ended in."""
    client.socket.settimeout(DEADLINE_S)
    count = int(per_s * seconds)
    sender = threading.Thread(target=send_steadily, args=(client, per_s, count, first))
    sender.start()
    for _ in range(count):
        line, body = client.answer()
        assert line == at
        statuses.append(json.loads(body)["status"])
    sender.join()


def send_steadily(client, per_s, count, first):
    began = time.monotonic()
    for i in range(count):
        time.sleep(max(0, began + i / per_s - time.monotonic()))
        client.send(b"WHATSAT kiwi.cs.ucla.edu %.3f 5\n" % (1 + (first + i) / 1000))


def test_an_outage(make_server, standin):
    """100 questions a second: few calls while it goes on, and one that finds that it is over. The times are a hundredth
    of the real ones; test_broker.c has those, in virtual time."""
    server = make_server("google", "breaker_open_ms = 300", "calls_per_day = 0", "calls_per_client = 0")
    statuses = []
    with server.client() as client:
        at = client.ask(IAMAT)
        ask_steadily(client, at, 100, 0.5, 0, statuses)
        assert set(statuses) == {"OK"}
        before = metrics(server)
        standin.behave("http:503")
        began, statuses = time.monotonic(), []
        ask_steadily(client, at, 100, 3, 100, statuses)
        lasted_s = time.monotonic() - began
        during = metrics(server)
        calls = during["places_calls_total"] - before["places_calls_total"]
        probes = during["places_circuit_opened_total"]
        closed = len(statuses) - during["places_refused_circuit_total"] - (probes - 1)
        print(f"an outage of {lasted_s:.1f} s, {len(statuses)} questions: {calls} calls, of them {probes - 1} probes; "
              f"{closed} questions before it was noticed")
        assert set(statuses) == {"UNKNOWN_ERROR"}
        assert calls - (probes - 1) <= 1.1 * closed + 3  # three may always be made again
        assert probes - 1 <= lasted_s / 0.24 + 1
        standin.behave("normal")
        wait_until(lambda: json.loads(client.whatsat(WHATSAT)[1])["status"] == "OK", "it is over")
        assert metrics(server)["places_circuit"] == 0
        statuses = []
        ask_steadily(client, at, 100, 0.5, 500, statuses)
        assert set(statuses) == {"OK"}
    wait_until(lambda: "the provider is back" in server.log(), "it is told")
    log = server.log()
    assert log.count("the provider is down") == 1 and log.count("the provider is back") == 1


def test_the_calls_of_a_day_over_a_restart(make_server, standin):
    not_at_midnight()
    server = make_server("google", "calls_per_day = 10", "calls_per_client = 0")

    def ask(count, first):
        with server.client() as client:
            client.ask(IAMAT)
            return [json.loads(client.whatsat(b"WHATSAT kiwi.cs.ucla.edu %d 5" % (first + i))[1])["status"] for i in range(count)]

    assert ask(3, 1) == ["OK"] * 3
    server.stop()
    server.start()
    assert ask(3, 1) == ["OK"] * 3  # an orderly stop loses nothing
    server.kill(signal.SIGKILL)
    server.start()
    statuses = ask(20, 1)
    made = 6 + statuses.count("OK")
    print(f"10 calls a day, over a stop and a kill: {standin.requests()} calls")
    assert standin.requests() == made <= 10 and made >= 8
    assert set(statuses) == {"OK", "OVER_QUERY_LIMIT"} and statuses[-1] == "OVER_QUERY_LIMIT"
    wait_until(lambda: "the calls of the day are used up" in server.log(), "it is told")
    server.kill(signal.SIGKILL)
    server.start()
    assert set(ask(5, 30)) == {"OVER_QUERY_LIMIT"} and standin.requests() == made


def test_the_fallback_answers_instead(make_server, standin):
    # The provider that hangs has most of it, and the fallback has to do its work in the rest.
    total_ms = round(10 * SHORT_TIMEOUT_MS * max(1, SLOW / 4))
    server = make_server("google", 'fallback = "local"', "breaker_failures = 2", timeout_ms=total_ms)
    with server.client() as client:
        at = client.ask(IAMAT)
        for behaviour in ("http:503", "hang", "http:429", "http:403"):
            standin.behave(behaviour)
            for radius in (10,) if behaviour == "hang" else (10, 11):
                answer = check_answer(client.whatsat(b"WHATSAT kiwi.cs.ucla.edu %d 5" % radius), at, "OK")
                assert {place["scope"] for place in answer["results"]} == {"HERD"}
            reload(server)
        standin.behave("http:400")
        wait_until(lambda: json.loads(client.whatsat(WHATSAT)[1])["status"] == "INVALID_REQUEST", "a mistake of ours is told")


def test_a_fallback_on_a_disk_that_hangs(make_server, standin, tmp_path, monkeypatch):
    """The provider takes all of its time, then the disk does: together they have total_timeout_ms. No more than that, as
    test_broker_caps.c sees in virtual time; here it is told."""
    total_ms = 4000
    with hanging_read(tmp_path / "the disk hangs", monkeypatch) as hang:
        server = make_server("google", 'fallback = "local"', "memory_max_mib = 0", timeout_ms=total_ms)
        standin.behave("hang")
        with server.client() as client:
            at = client.ask(IAMAT)
            hang.touch()
            began = time.monotonic()
            check_answer(client.whatsat(WHATSAT), at, "UNKNOWN_ERROR")
            took_s = time.monotonic() - began
            hang.unlink()
            print(f"a provider and a disk that hang: answered after {took_s:.2f} s of {total_ms / 1000:.0f} s")
            assert 0.9 * total_ms / 1000 <= took_s
            standin.behave("http:503")
            set_timeout(server, LONG_TIMEOUT_MS)  # whatever these take: there is an answer once the disk is back
            check_answer(client.whatsat(b"WHATSAT kiwi.cs.ucla.edu 11 5"), at, "OK")


def test_the_calls_of_a_connection(make_server, standin):
    server = make_server("google", "calls_per_client = 3")
    with server.client() as greedy, server.client() as other:
        at = greedy.ask(IAMAT)
        statuses = [json.loads(greedy.whatsat(b"WHATSAT kiwi.cs.ucla.edu %d 5" % (i + 1))[1])["status"] for i in range(10)]
        assert statuses[:3] == ["OK"] * 3 and "OVER_QUERY_LIMIT" in statuses
        check_answer(other.whatsat(b"WHATSAT kiwi.cs.ucla.edu 40 5"), at, "OK")


def test_kept_answers_of_overpass(make_server, standin):
    server = make_server("overpass", "cache_fresh_s = 1", "cache_stale_s = 3600")
    with server.client() as client:
        at = client.ask(IAMAT)
        first = client.whatsat(WHATSAT)
        check_answer(first, at, "OK")
        assert b"OpenStreetMap" in first[1]
        assert client.whatsat(WHATSAT) == first
        standin.behave("http:503")
        asked = standin.requests()  # after a second, that may have been once more by now
        wait_until(lambda: client.whatsat(WHATSAT) == first and standin.requests() > asked, "it is asked again")
        assert metrics(server)["places_stale_total"] >= 1


def test_what_is_under_way_survives_a_reload(make_server, standin, tmp_path):
    server = make_server("google")
    with server.client() as client:
        at = client.ask(IAMAT)
        with held_back(standin, tmp_path / "held"):
            client.send(WHATSAT + b"\n")
            wait_until(lambda: standin.requests() == 1, "the call is under way")
            reload(server)
        check_answer(client.answer(), at, "OK")
    assert standin.requests() == 1


@pytest.mark.parametrize("fallback, status", [("none", "UNKNOWN_ERROR"), ("local", "OK")])
def test_a_stop_answers_what_was_received(fallback, status, make_server, standin):
    """A provider that hangs and a minute for it, more questions than may be under way or read at once: all are answered
    in order, and the server is gone in time."""
    server = make_server("google", f'fallback = "{fallback}"', "calls_per_client = 0",
                         extra=f"stop_timeout_ms = {round(5000 * max(3, SLOW))}")
    standin.behave("hang")
    with server.client() as first, server.client() as second:
        at = first.ask(IAMAT)
        for client in (first, second):
            client.send(b"".join(b"WHATSAT kiwi.cs.ucla.edu %d.%03d 5\n" % (1 + i % 40, i) for i in range(100)))
        wait_until(lambda: metrics(server)["places_calls_open"] == 32, "as many calls as there may be are under way")
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        for client in (first, second):
            for _ in range(100):
                check_answer(client.answer(), at, status)
            assert client.file.read() == b""
            client.close()
        assert server.process.wait(DEADLINE_S) == 0
        took_s = time.monotonic() - began
    print(f"fallback {fallback}: 200 questions of a provider that hangs answered, and the server gone, {took_s:.2f} s after SIGTERM")
    assert "stopping late" not in server.log()


@pytest.mark.parametrize("hangs, fails, status, timeout_ms", [
    (True, False, "UNKNOWN_ERROR", SHORT_TIMEOUT_MS), (True, True, "UNKNOWN_ERROR", SHORT_TIMEOUT_MS),
    (False, True, "UNKNOWN_ERROR", SHORT_TIMEOUT_MS), (False, False, "OK", LONG_TIMEOUT_MS)])
def test_slow_and_missing_dns_hold_up_nobody(hangs, fails, status, timeout_ms, make_server, tmp_path, monkeypatch):
    """One that hangs does so until all have been answered, whatever that takes."""
    tls = tmp_path / "tls"
    tls.mkdir()
    standin = placeslib.StandIn("--tls", str(tls), "--san", "DNS:places.example")
    environment = {"SLOW_DNS_MS": 0 if hangs else 100, **({"SLOW_DNS_FAILS": 1} if fails else {})}
    try:
        with hanging_names(tmp_path / "hang", monkeypatch, **environment) as hang:
            if not hangs:
                hang.unlink()
            server = make_server("google", f'ca_file = "{tls}/cert.pem"', timeout_ms=timeout_ms,
                                 origin=f"https://places.example:{standin.port}")
            with server.client() as waiting, server.client() as other:
                at = waiting.ask(IAMAT)
                began = time.monotonic()
                waiting.send(b"".join(b"WHATSAT kiwi.cs.ucla.edu %d 5\n" % (i + 1) for i in range(20)))
                longest_s = 0
                for i in range(200):
                    asked = time.monotonic()
                    assert other.ask(b"IAMAT other +1+1 %d" % i).startswith(b"AT Hill ")
                    assert json.loads(other.whatsat(b"WHATSAT other 1 0")[1])["status"] == "OK"
                    longest_s = max(longest_s, time.monotonic() - asked)
                for _ in range(20):
                    check_answer(waiting.answer(), at, status)
                took_s = time.monotonic() - began
        turn_ms = metrics(server)["loop_turn_max_ns"] / 1e6
        print(f"DNS that {'hangs' if hangs else 'takes 100 ms'}{', then fails' if fails else ''}: answered after {took_s:.2f} s of "
              f"{timeout_ms / 1000:.0f} s; others waited {longest_s * 1000:.1f} ms at most; longest turn {turn_ms:.1f} ms")
    finally:
        standin.stop()
