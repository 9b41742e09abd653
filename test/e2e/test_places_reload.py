"""What a reload takes over of a provider: all that is known of it while it is the same, nothing when it is another one."""

import json

import pytest

from herdlib import wait_until
from placeslib import IAMAT, WHATSAT, reload

# What a reload changes, in herd.conf, and whether it is another provider then.
CHANGES = {
    "nothing": (lambda places: places, False),
    "a limit": (lambda places: places + "\ncalls_max = 7", False),
    "language": (lambda places: places + '\nlanguage = "de"', True),
    "price_class": (lambda places: places + '\nprice_class = "enterprise"', True),
    "field_mask": (lambda places: places + '\nfield_mask = "places.id,places.displayName,places.location"', True),
    "base_url": (lambda places: places.replace("127.0.0.1", "localhost"), True),
}


def change(server, how):
    server.herd.places = CHANGES[how][0](server.herd.places)
    server.herd.write_config()
    reload(server)
    return CHANGES[how][1]


def metric(server, name):
    return server.status()["metrics"][name]


@pytest.mark.parametrize("how", CHANGES)
def test_who_joins_a_call_that_is_under_way(how, make_server, standin):
    server = make_server("google")
    standin.behave("hang")
    with server.client() as before, server.client() as after:
        before.ask(IAMAT)
        before.send(WHATSAT + b"\n")
        wait_until(lambda: standin.requests() == 1, "the call is under way")
        is_other = change(server, how)
        standin.behave("normal")
        after.send(WHATSAT + b"\n")
        if is_other:
            # Of a call of its own; the stand-in has no other mask than the usual one.
            assert json.loads(after.answer()[1])["status"] in ("OK", "INVALID_REQUEST")
        else:
            wait_until(lambda: metric(server, "places_coalesced_total") == 1, "it has joined")
        assert standin.requests() == 1 + is_other


@pytest.mark.parametrize("how", ["nothing", "language", "base_url"])
def test_kept_answers(how, make_server, standin):
    server = make_server("overpass")
    with server.client() as client:
        client.ask(IAMAT)
        first = client.whatsat(WHATSAT)
        is_other = change(server, how)
        assert (metric(server, "places_cache_bytes") == 0) == is_other
        assert client.whatsat(WHATSAT) == first
        assert standin.requests() == 1 + is_other


@pytest.mark.parametrize("how", ["nothing", "language"])
def test_failures_in_a_row(how, make_server, standin):
    """The circuit opens at the fifth; four of one provider say nothing of another."""
    server = make_server("google", "attempts_max = 1")
    standin.behave("http:500")
    with server.client() as client:
        client.ask(IAMAT)
        for i in range(4):
            client.whatsat(b"WHATSAT kiwi.cs.ucla.edu %d 5" % (i + 1))
        is_other = change(server, how)
        client.whatsat(WHATSAT)
        assert metric(server, "places_circuit") == (0 if is_other else 1)


def test_a_refused_key_is_tried_again(make_server, standin):
    """It is remembered until a reload, whatever that changes."""
    server = make_server("google")
    with server.client() as client:
        client.ask(IAMAT)
        standin.behave("http:403")
        for _ in range(2):
            assert json.loads(client.whatsat(WHATSAT)[1])["status"] == "REQUEST_DENIED"
        assert standin.requests() == 1
        standin.behave("normal")
        reload(server)
        assert json.loads(client.whatsat(WHATSAT)[1])["status"] == "OK"


@pytest.mark.parametrize("what", ["nothing", "no places file"])
def test_a_new_file_that_is_no_good(what, make_herd, tmp_path):
    """The log says so, and the places before stay; the other values of the reload count."""
    bad = tmp_path / "bad.db"
    if what != "nothing":
        bad.write_text("not a database, but longer than one's header: " + 100 * "x")
    server = make_herd({"Hill": []}).start()["Hill"]
    with server.client() as client:
        client.ask(IAMAT)
        expected = client.whatsat(WHATSAT)
        assert json.loads(expected[1])["status"] == "OK"
        server.herd.places += f'\ndata_file = "{bad}"'
        server.herd.write_config()
        reload(server)
        wait_until(lambda: "the old places stay" in server.log() and f"reason=\"{bad} cannot be" in server.log(), "it is told")
        assert client.whatsat(WHATSAT) == expected


def test_from_google_to_the_default_file(make_server, standin):
    server = make_server("google")
    with server.client() as client:
        client.ask(IAMAT)
        client.whatsat(WHATSAT)
        server.herd.places = 'provider = "local"\nmemory_max_mib = 0'
        server.herd.write_config()
        reload(server)
        wait_until(lambda: b"\"place_id\": \"gn:" in client.whatsat(WHATSAT)[1], "local is asked")
    wait_until(lambda: "msg=opened " in server.log(), "it is told")
    assert server.log().count("msg=opened ") == 1
    assert standin.requests() >= 1


def test_another_limit_of_memory(make_herd):
    """The places file is read, and asked on disk again, without being opened anew."""
    server = make_herd({"Hill": []}, places='provider = "local"\nmemory_max_mib = 0').start()["Hill"]
    with server.client() as client:
        client.ask(IAMAT)
        expected = client.whatsat(WHATSAT)
        assert json.loads(expected[1])["status"] == "OK"
        wait_until(lambda: server.log().count("opened, asked on disk") == 1, "it is asked on disk")
        for limit, before, words, times in ((256, 0, "in memory", 1), (0, 256, "opened, asked on disk", 2)):
            places = server.herd.places
            server.herd.places = places.replace(f"memory_max_mib = {before}", f"memory_max_mib = {limit}")
            assert server.herd.places != places
            server.herd.write_config()
            reload(server)
            wait_until(lambda: server.log().count(words) == times, "it has taken the limit")
            assert client.whatsat(WHATSAT) == expected
    assert server.log().count("msg=opened ") == 1
