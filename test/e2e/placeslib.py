"""The stand-in for the providers over HTTP, as a test of the programs uses it, and servers that ask it."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

from herdlib import DEADLINE_S, preloaded, wait_until

STANDIN = pathlib.Path(__file__).parent.parent / "lib" / "places_standin.py"
KEY = "AIzaSyStandIn-0123456789_abcdefghijklmno"
IAMAT = b"IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503"
WHATSAT = b"WHATSAT kiwi.cs.ucla.edu 10 5"
# Where an answer must come, the timeout is one that only a defect can reach; where none may come, a short one.
LONG_TIMEOUT_MS, SHORT_TIMEOUT_MS = 60000, 1000


class StandIn:
    def __init__(self, *options):
        self.process = subprocess.Popen(
            [sys.executable, STANDIN, "--key", KEY, "--until-stdin-closes", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port, self.control_port = map(int, self.process.stdout.readline().split())

    def control(self, path, orders=None):
        data = None if orders is None else json.dumps(orders).encode()
        url = f"http://127.0.0.1:{self.control_port}{path}"
        with urllib.request.urlopen(url, data, timeout=DEADLINE_S) as answer:
            return json.load(answer)

    def behave(self, behaviour):
        self.control("/_control", {"behaviour": behaviour})

    def requests(self):
        return self.control("/_stats")["requests"]

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(DEADLINE_S) == 0


def write_key(folder, key=KEY):
    key_file = folder / "places.key"
    if key_file.exists():
        key_file.unlink()
    os.close(os.open(key_file, os.O_CREAT | os.O_WRONLY, 0o600))
    key_file.write_text(key + "\n")
    return key_file


def places_of(provider, key_file, origin, *more, timeout_ms=LONG_TIMEOUT_MS):
    """The section places of a herd.conf, with the stand-in's address."""
    return "\n".join([*more, f'provider = "{provider}"', f'key_file = "{key_file}"', f'base_url = "{origin}"',
                      f"connect_timeout_ms = {timeout_ms}", f"total_timeout_ms = {timeout_ms}"])


def not_at_midnight():
    """Of UTC: a day that ends in the midst of a test takes with it what was counted of it."""
    left_s = 86400 - time.time() % 86400
    if left_s < DEADLINE_S:
        time.sleep(left_s + 1)


@contextlib.contextmanager
def hanging_read(path, monkeypatch):
    """Servers started within have a disk that does not answer while the file `path` is there; with another path in it, that
    file of the disk alone."""
    with preloaded(monkeypatch, "libslow_read.so", SLOW_READ_WHILE=path):
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def held_back(standin, path):
    """The stand-in answers what it is asked within when the file `path` is gone."""
    path.touch()
    standin.behave(f"while:{path}")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def hang_alone(hang, path, call="read"):
    """From here on that call of that file does; never, for a moment, the whole disk."""
    beside = hang.with_name("beside")
    beside.write_text(f"{path}\n{call}")
    sign_of(hang).unlink(missing_ok=True)
    beside.replace(hang)


def sign_of(hang):
    """It is there once a call hangs."""
    return hang.with_name(hang.name + ".hangs")


def set_timeout(server, timeout_ms):
    """Of the questions from now on."""
    places, count = re.subn(r"(connect|total)_timeout_ms = \d+", rf"\1_timeout_ms = {timeout_ms}", server.herd.places)
    assert count > 0
    server.herd.places = places
    server.herd.write_config()
    reload(server)


def reload(server):
    done = server.log().count("group=reload msg=done")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.log().count("group=reload msg=done") > done, "it is reloaded")
