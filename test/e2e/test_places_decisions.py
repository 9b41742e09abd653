"""Whatever is decided about a question for places is counted, and told when trouble begins and ends."""

import json
import re

import pytest

from herdlib import hanging_names, wait_until
from placeslib import IAMAT, KEY, LONG_TIMEOUT_MS, SHORT_TIMEOUT_MS, not_at_midnight, places_of, set_timeout, write_key

ONE_CALL = ["attempts_max = 1"]
DOWN = "the provider is down: left alone, then tried again"

# What is decided: the provider, more keys of herd.conf, what the stand-in does, how far is asked, how the answers end, what is
# counted then, and what the log says.
DECISIONS = {
    "a call": ("google", [], "normal", [1], ["OK"],
               {"calls_total": 1, "calls_today": 1, "cost_today": 3, "failures_total": 0, "retries_total": 0}, None),
    "what does not cost": ("overpass", [], "normal", [1], ["OK"], {"calls_today": 1, "cost_today": 0}, None),
    "made again": ("google", [], "http:500", [1], ["UNKNOWN_ERROR"],
                   {"calls_total": 2, "failures_total": 2, "retries_total": 1, "retries_refused_total": 0}, "msg=fails"),
    "not made again": ("google", ["retry_min = 0", "retry_percent = 0"], "http:500", [1], ["UNKNOWN_ERROR"],
                       {"calls_total": 1, "retries_total": 0, "retries_refused_total": 1}, "msg=fails"),
    "the circuit": ("google", [*ONE_CALL, "breaker_failures = 1"], "http:500", [1, 2], ["UNKNOWN_ERROR"] * 2,
                    {"calls_total": 1, "circuit": 1, "circuit_opened_total": 1, "refused_circuit_total": 1}, DOWN),
    "a pause": ("google", [], "http:429", [1, 2], ["OVER_QUERY_LIMIT"] * 2, {"calls_total": 1, "refused_quota_total": 1},
                "the provider was asked too much: left alone"),
    "the key": ("google", [], "http:403", [1, 2], ["REQUEST_DENIED"] * 2, {"calls_total": 1, "refused_key_total": 1},
                "the provider refuses the key: not asked again until a reload (SIGHUP)"),
    "the day": ("google", ["calls_per_day = 1"], "normal", [1, 2], ["OK", "OVER_QUERY_LIMIT"],
                {"calls_today": 1, "refused_day_total": 1}, "the calls of the day are used up"),
    "the client": ("google", ["calls_per_client = 1"], "normal", [1, 2], ["OK", "OVER_QUERY_LIMIT"],
                   {"calls_total": 1, "refused_client_total": 1}, 'reason="calls_per_client was reached" count=1'),
    "kept": ("overpass", [], "normal", [1, 1], ["OK"] * 2, {"calls_total": 1, "cached_total": 1}, None),
    "the fallback": ("google", [*ONE_CALL, 'fallback = "local"'], "http:500", [10], ["OK"],
                     {"calls_total": 1, "fallback_total": 1, "local_total": 1}, None),
}


def ask(client, distances):
    """One after the other; how they end."""
    answers = [client.whatsat(b"WHATSAT kiwi.cs.ucla.edu %d 5" % distance)[1] for distance in distances]
    return [json.loads(body)["status"] for body in answers]


def counted(server, names):
    metrics = server.status()["metrics"]
    return {name: metrics[f"places_{name}"] for name in names}


@pytest.mark.parametrize("decision", DECISIONS)
def test_it_is_counted_and_told(decision, make_server, standin):
    provider, keys, behaviour, distances, statuses, metrics, words = DECISIONS[decision]
    not_at_midnight()
    server = make_server(provider, *keys)
    standin.behave(behaviour)
    with server.client() as client:
        client.ask(IAMAT)
        assert ask(client, distances) == statuses
        assert counted(server, metrics) == metrics
        assert standin.requests() == server.status()["metrics"]["places_calls_total"]
    if words is not None:
        wait_until(lambda: words in server.log(), "it is told")
        assert server.log().count(words) == 1
    assert KEY not in server.log()


def test_too_many_questions(make_server, standin):
    server = make_server("google", "calls_max = 1", "waiting_max = 0")
    standin.behave("hang")
    with server.client() as first, server.client() as second:
        first.ask(IAMAT)
        first.send(b"WHATSAT kiwi.cs.ucla.edu 1 5\n")
        wait_until(lambda: standin.requests() == 1, "the call is under way")
        assert ask(second, [2, 3, 4]) == ["OVER_QUERY_LIMIT"] * 3
    expected = {"calls_total": 1, "refused_total": 3, "timeouts_total": 0}
    assert counted(server, expected) == expected
    server.stop()
    told = [int(count) for count in re.findall(r'group=limit .*reason="waiting_max was reached" count=(\d+)', server.log())]
    assert told[0] == 1 and len(told) <= 2 and sum(told) == 3


def test_too_little_time(make_server, standin):
    server = make_server("google")
    with server.client() as client:
        client.ask(IAMAT)
        assert ask(client, [1]) == ["OK"]  # calls of the day are written down now: however slow the disk is, the next one is made
        set_timeout(server, SHORT_TIMEOUT_MS)
        standin.behave("hang")
        assert ask(client, [1]) == ["UNKNOWN_ERROR"]
    expected = {"calls_total": 2, "refused_total": 0, "timeouts_total": 1}
    assert counted(server, expected) == expected


def test_calls_that_cannot_be_written_down(make_server, standin):
    """No call is made that a restart would forget; once it can be written down again there are some."""
    server = make_server("google", "calls_per_client = 0")
    in_the_way = server.herd.folder / "data/Hill/places-calls.new"
    in_the_way.mkdir()
    with server.client() as client:
        client.ask(IAMAT)
        assert ask(client, [1]) == ["OVER_QUERY_LIMIT"]
        assert standin.requests() == 0 and counted(server, ["refused_day_total"]) == {"refused_day_total": 1}
        for words in ("no call without writing it down first", "the calls of the day cannot be written down"):
            wait_until(lambda: words in server.log(), "it is told")
            assert server.log().count(words) == 1
        in_the_way.rmdir()
        wait_until(lambda: ask(client, [1]) == ["OK"], "it is written down")
    wait_until(lambda: "the calls of the day can be written down again" in server.log(), "that is told, too")


def test_names_of_neighbours_that_are_not_resolved(make_herd, standin, tmp_path, monkeypatch):
    """Each of many hangs in a thread; a question's calls of the day are written down in one of libuv's all the same, and a stop,
    which could last for ten minutes, does not wait for them: all that was said is on disk."""
    graph = {"Hill": ["A", "B", "C", "D", "E", "F"]}
    graph.update({name: ["Hill"] for name in graph["Hill"]})
    with hanging_names(tmp_path / "hang", monkeypatch, "LOCALHOST", SLOW_DNS_FAILS=1):
        herd = make_herd(graph, places=places_of("google", write_key(tmp_path), f"http://127.0.0.1:{standin.port}",
                                                 timeout_ms=LONG_TIMEOUT_MS), extra="stop_timeout_ms = 600000")
        text = herd.config.read_text()
        for name in graph["Hill"]:
            # In small letters it would be no name to be looked up.
            text = text.replace(f"127.0.0.1:{herd.ports[name]}", f"LOCALHOST:{herd.ports[name]}")
        herd.config.write_text(text)
        server = herd.start(["Hill"], links=False)["Hill"]
        with server.client() as client:
            client.ask(IAMAT)
            assert ask(client, [1]) == ["OK"]
        assert server.stop() == 0
    assert "the name of a neighbour is still looked up" in server.log()
    assert "could not be written" not in server.log()
