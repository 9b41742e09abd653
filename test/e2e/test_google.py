"""A whole server that asks Google, or rather its stand-in, for places."""

import json
import select
import time

import pytest

from herdlib import DEADLINE_S, wait_until
from placeslib import IAMAT, KEY, SHORT_TIMEOUT_MS, WHATSAT, places_of, reload, write_key


@pytest.mark.parametrize("provider", ["google", "google-legacy"])
def test_whatsat_has_the_places_of_google(provider, make_server, standin):
    server = make_server(provider)
    with server.client() as client:
        at = client.ask(IAMAT)
        assert client.whatsat(WHATSAT)[0] == at
        answer = json.loads(client.whatsat(WHATSAT)[1])
    assert list(answer) == ["html_attributions", "results", "status"] and answer["status"] == "OK"
    assert [place["name"] for place in answer["results"][:2]] == ["Juniper Hall", "Café Zoë – “Zur Post”"]
    assert len(answer["results"]) == 5
    assert {"geometry", "name", "place_id", "types", "vicinity"} <= set(answer["results"][0])
    assert standin.control("/_stats")["complaints"] == []


@pytest.mark.parametrize("provider", ["google", "google-legacy"])
def test_a_failing_google_does_not_fail_the_answer(provider, make_server, standin):
    server = make_server(provider, "breaker_failures = 1000")
    cases = [("reset_mid_body", "UNKNOWN_ERROR"), ("nested", "UNKNOWN_ERROR"), ("http:429", "OVER_QUERY_LIMIT"), ("key_refused", "REQUEST_DENIED"),
             ("echo_key", "REQUEST_DENIED"), ("nothing", "ZERO_RESULTS"), ("odd_names", "OK")]
    with server.client() as client:
        at = client.ask(IAMAT)
        for behaviour, status in cases:
            standin.behave(behaviour)
            first, body = client.whatsat(WHATSAT)
            answer = json.loads(body)
            assert (first, answer["status"]) == (at, status), behaviour
            assert ("error_message" in answer) == (status not in ("OK", "ZERO_RESULTS"))
            assert KEY.encode() not in body
            reload(server)  # forgets that it was asked too much, and that the key was refused
        for behaviour in ("html:502", "normal"):
            standin.behave(behaviour)
            client.whatsat(WHATSAT)
        assert json.loads(client.whatsat(WHATSAT)[1])["status"] == "OK"
    wait_until(lambda: "answers again" in server.log(), "the log says that it answers again")
    log = server.log()
    assert "status=REQUEST_DENIED" in log
    assert KEY not in log and "34.0689" not in log and "118.445" not in log


@pytest.mark.parametrize("provider", ["google", "google-legacy"])
@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_a_google_that_takes_too_long_does_not_fail_the_answer(provider, behaviour, make_server, standin):
    server = make_server(provider, timeout_ms=SHORT_TIMEOUT_MS)
    standin.behave(behaviour)
    with server.client() as client:
        at = client.ask(IAMAT)
        start = time.monotonic()
        first, body = client.whatsat(WHATSAT)
        took_s = time.monotonic() - start
    answer = json.loads(body)
    assert (first, answer["status"]) == (at, "UNKNOWN_ERROR") and answer["error_message"]
    # It has waited for Google. How much longer than it may is told, not judged.
    assert SHORT_TIMEOUT_MS / 1000 - 0.1 < took_s
    print(f"answered after {took_s:.2f} s of {SHORT_TIMEOUT_MS / 1000:.0f} s")


def test_a_hanging_google_holds_up_nobody_else(make_server, standin):
    server = make_server("google")
    standin.behave("hang")
    with server.client() as waiting, server.client() as other:
        waiting.ask(IAMAT)
        waiting.send(WHATSAT + b"\n")
        wait_until(lambda: standin.control("/_stats")["requests"] > 0, "Google is asked")
        for i in range(100):
            assert other.ask(b"IAMAT other +1+1 %d" % i).startswith(b"AT Hill ")
            assert json.loads(other.whatsat(b"WHATSAT other 1 0")[1])["status"] == "OK"
        # All that was answered while the first one still hangs.
        assert select.select([waiting.socket], [], [], 0)[0] == []


def test_a_start_without_its_fallback_ends_orderly(make_herd, standin, tmp_path):
    key_file = write_key(tmp_path)
    places = places_of("google", key_file, f"http://127.0.0.1:{standin.port}", 'fallback = "local"',
                       f'data_file = "{tmp_path}/nothing"')
    server = make_herd({"Hill": []}, places=places)["Hill"].start(wait=False)
    assert server.process.wait(DEADLINE_S) == 1
    assert f"{tmp_path}/nothing cannot be opened: No such file or directory" in server.log()


@pytest.mark.parametrize("provider", ["google", "google-legacy"])
def test_without_a_key_it_says_what_to_set(provider, make_herd):
    herd = make_herd({"Hill": []}, places=f'provider = "{provider}"')
    server = herd["Hill"].start(wait=False)
    assert server.process.wait(DEADLINE_S) == 1
    assert "key_file" in server.log()
