"""One allocation fails, of whatever library, at the start and at SIGHUP: that is told, and nothing else comes of it."""

import signal
import subprocess

import pytest

from herdlib import BIN, SLOW, WRAP, preloaded, wait_until

pytestmark = pytest.mark.skipif(bool(WRAP) or SLOW > 1, reason="valgrind and sanitizers have allocators of their own")

SOME_ALLOCATIONS = 20  # that a configuration takes at least


class Orders:
    """What test/lib/no_memory.c reads."""

    def __init__(self, folder):
        self.path, self.done = folder / "order", folder / "order.done"

    def give(self, number):
        self.done.unlink(missing_ok=True)
        unseen = self.path.with_suffix(".new")
        unseen.write_text(str(number))
        unseen.rename(self.path)

    def was_done(self):
        return self.done.exists()

    def take_back(self):
        self.path.unlink(missing_ok=True)


def test_check(make_herd, tmp_path, monkeypatch):
    """Of the server and of herdctl alike, which read the same file."""
    config = make_herd({"Hill": ["Jaquez"], "Jaquez": ["Hill"]}).config_of("Hill")
    orders = Orders(tmp_path)
    for name, word in ("herd-server", "--check"), ("herdctl", "status"):
        command, told, number = [BIN / name, "--config", config, word], 0, 1
        with preloaded(monkeypatch, "libno_memory.so", NO_MEMORY_ORDER=orders.path):
            while True:
                orders.give(number)
                run = subprocess.run(command, capture_output=True, text=True)
                if not orders.was_done():
                    break
                assert run.returncode in (0, 1), f"{name}, allocation {number}: {run.returncode} {run.stderr}"
                assert run.returncode == 0 or run.stdout or run.stderr, f"{name}, allocation {number}: says nothing"
                told += f"{name}: {config}: out of memory" in run.stderr
                number += 1
        assert told > SOME_ALLOCATIONS, name


def test_reload(make_herd, tmp_path, monkeypatch):
    orders = Orders(tmp_path)
    with preloaded(monkeypatch, "libno_memory.so", NO_MEMORY_ORDER=orders.path):
        server = make_herd({"Hill": []}).start()["Hill"]
    ends = "old configuration stays", "the old one stays", "group=reload msg=done"  # one for each reload

    def reloads():
        return sum(server.log().count(end) for end in ends)

    number = 0
    while number == 0 or orders.was_done():
        number += 1
        before = reloads()
        orders.give(number)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: server.process.poll() is not None or reloads() > before, "the file was read")
        assert server.process.poll() is None, f"allocation {number}: {server.process.returncode}\n{server.log()}"
    orders.take_back()
    assert server.log().count("out of memory; the old configuration stays") > SOME_ALLOCATIONS
    with server.client() as client:
        assert client.ask(b"IAMAT a +1+1 1").startswith(b"AT Hill ")
