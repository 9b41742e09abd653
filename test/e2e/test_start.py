"""Starts that do not get all that they need: a sentence and status 1, or a server that keeps what it promises."""

import contextlib
import os
import resource
import shutil
import socket
import subprocess

import pytest

from herdlib import BIN, DEADLINE_S, SLOW, WRAP, Client, Herd, wait_until

SOMEBODY = 64123  # a user without processes
INTERVAL = 'durability = "interval"\n'


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


def serves(process, port):
    """Once it listens; False when it ends before."""
    def listens():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    wait_until(lambda: process.poll() is not None or listens(), "it ends or listens")
    return process.poll() is None


@pytest.mark.skipif(os.getuid() != 0 or bool(WRAP) or SLOW > 1,
                    reason="only root can become another user; and sanitizers have threads of their own")
def test_without_threads_it_ends_with_a_sentence_or_keeps_what_it_acknowledged(open_folder):
    """libuv makes its threads at their first use, and aborts where one is lacking: that was at the stop."""
    refused = served = 0
    program = install(open_folder)
    for number in range(1, 14):
        folder = open_folder / str(number)
        folder.mkdir()
        herd = Herd(folder, {"Hill": []}, extra=INTERVAL)
        shutil.chown(folder, SOMEBODY, SOMEBODY)
        process = start_limited(program, herd, resource.RLIMIT_NPROC, number, user=SOMEBODY, group=SOMEBODY,
                                extra_groups=[])
        lives = serves(process, herd.ports["Hill"])
        if lives:
            with Client(herd.ports["Hill"]) as client:
                for client_number in range(10):
                    assert client.ask(b"IAMAT c%d +1+1 1" % client_number).startswith(b"AT Hill ")
            process.terminate()
        _, log = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == (0 if lives else 1), f"{number} threads: {process.returncode}\n{log}"
        if not lives:
            assert "herd-server: " in log and "thread" in log, f"{number} threads: {log}"
            refused += 1
            continue
        served += 1
        try:
            with herd.start()["Hill"].client() as client:
                for client_number in range(10):
                    assert client.whatsat(b"WHATSAT c%d 10 1" % client_number)[0].startswith(b"AT Hill ")
            herd.stop()
        finally:
            herd.kill()
    assert refused > 3 and served > 3


def closing(redirections, program, *arguments, **options):
    """The command with some standard descriptors closed."""
    return subprocess.Popen(["sh", "-c", f'exec "$0" "$@" {redirections}', program, *arguments], text=True, **options)


@pytest.mark.skipif(bool(WRAP), reason="valgrind opens files of its own first")
def test_closed_standard_descriptors_are_nobody_elses(make_herd):
    """Else the first files that it opens are its stderr, and its log goes into them."""
    herd = make_herd({"Hill": []}, extra=INTERVAL)
    process = closing("<&- >&- 2>&-", BIN / "herd-server", "--config", herd.config, "Hill")
    try:
        herd["Hill"].process = process
        herd["Hill"].wait_listening()
        assert [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in range(3)] == 3 * ["/dev/null"]
    finally:
        process.terminate()
    assert process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("name", ["herd-server", "herdctl", "herd-places"])
def test_what_is_lost_on_a_closed_stdout_is_told(name):
    process = closing(">&-", BIN / name, "--version", stderr=subprocess.PIPE)
    _, log = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, log) == (1, f"{name}: stdout: Bad file descriptor\n")


@pytest.mark.parametrize("bytes_max", [1, 4096, 20000, 50000, 300000])
@pytest.mark.skipif(bool(WRAP), reason="valgrind writes files of its own")
def test_a_limit_of_file_sizes_is_told(make_herd, bytes_max):
    """The start writes records.db: that ended the process by SIGXFSZ."""
    herd = make_herd({"Hill": []}, extra='durability = "commit"\nsafety_timeout_ms = 1000\n')
    process = start_limited(BIN / "herd-server", herd, resource.RLIMIT_FSIZE, bytes_max)
    herd["Hill"].process = process
    if serves(process, herd.ports["Hill"]):
        process.terminate()
    _, log = process.communicate(timeout=DEADLINE_S)
    assert process.returncode in (0, 1), log
    assert "level=error" in log or "herd-server: " in log or "level=warning" in log, log
    assert process.returncode == 0 or "File too large" in log, log


def test_a_file_named_as_the_control_socket_stays(make_herd):
    herd = make_herd({"Hill": []})
    server = herd["Hill"]
    path = herd.folder / "data" / "Hill" / "control.sock"
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with server.start().client() as client:
        assert client.ask(b"IAMAT a +1+1 1").startswith(b"AT Hill ")
    wait_until(lambda: "something that is no socket has this name; move it away" in server.log(), "it is told")
    server.stop()
    assert path.read_text() == "precious"


@pytest.mark.parametrize("files", range(12, 17))
@pytest.mark.skipif(bool(WRAP) or SLOW > 1, reason="valgrind and sanitizers open files of their own")
def test_too_few_files_are_no_question_of_who_owns_them(make_herd, files):
    herd = make_herd({"Hill": []})
    process = start_limited(BIN / "herd-server", herd, resource.RLIMIT_NOFILE, files)
    if serves(process, herd.ports["Hill"]):
        process.terminate()
    _, log = process.communicate(timeout=DEADLINE_S)
    assert "oo many open files" in log
    assert "has to own" not in log, log
