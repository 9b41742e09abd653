"""Starts that the system does not give all that they need: a sentence and status 1, or a server that keeps what it promises."""

import os
import pathlib
import resource
import shutil
import subprocess
import tempfile

import pytest

from herdlib import BIN, DEADLINE_S, SLOW, WRAP, Client, Herd, wait_until

SOMEBODY = 64123  # a user without processes
INTERVAL = 'durability = "interval"\n'


@pytest.fixture
def somebodys_folder():
    with tempfile.TemporaryDirectory(prefix="herd-test-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        yield folder


def install(folder):
    """herd-server and its places, where everybody may read them."""
    (folder / "bin").mkdir()
    (folder / "share" / "herd").mkdir(parents=True)
    shutil.copy(BIN.parent / "share" / "herd" / "places.db", folder / "share" / "herd")
    return shutil.copy(BIN / "herd-server", folder / "bin")


def start_limited(program, herd, limit, number, **options):
    """Hill, with at most that number of something; its stderr is its log."""
    return subprocess.Popen(
        [program, "--config", herd.config, "Hill"], stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, preexec_fn=lambda: resource.setrlimit(limit, (number, number)), **options)


def told(process, port):
    """Whether it serves; ten updates it has acknowledged then."""
    def listens():
        try:
            return Client(port)
        except OSError:
            return False

    client = wait_until(lambda: process.poll() is not None or listens(), "it ends or listens")
    if client is True:
        return False
    with client:
        for number in range(10):
            assert client.ask(b"IAMAT c%d +1+1 1" % number).startswith(b"AT Hill ")
    return True


@pytest.mark.skipif(os.getuid() != 0 or bool(WRAP) or SLOW > 1,
                    reason="only root can become another user, whose threads are counted; and they have one of their own")
def test_without_threads_it_ends_with_a_sentence_or_keeps_what_it_acknowledged(somebodys_folder):
    """libuv makes its threads at their first use, and aborts where one is lacking: that was at the stop."""
    refused = served = 0
    program = install(somebodys_folder)
    for number in range(1, 14):
        folder = somebodys_folder / str(number)
        folder.mkdir()
        herd = Herd(folder, {"Hill": []}, extra=INTERVAL)
        shutil.chown(folder, SOMEBODY, SOMEBODY)
        process = start_limited(program, herd, resource.RLIMIT_NPROC, number, user=SOMEBODY, group=SOMEBODY, extra_groups=[])
        serves = told(process, herd.ports["Hill"])
        if serves:
            process.terminate()
        _, log = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == (0 if serves else 1), f"{number} threads: {process.returncode}\n{log}"
        if not serves:
            assert "herd-server: " in log and "thread" in log, f"{number} threads: {log}"
            refused += 1
            continue
        served += 1
        herd.start()
        with herd["Hill"].client() as client:
            for client_number in range(10):
                assert client.whatsat(b"WHATSAT c%d 10 1" % client_number)[0].startswith(b"AT Hill ")
        herd.stop()
    assert refused > 3 and served > 3
