"""What tests of the disk share: records that are told and looked for, disks that are small, full, or do not answer."""

import contextlib
import os
import pathlib
import subprocess
import time

import pytest

import chaos
from herdlib import AT, preloaded, wait_until


def tell(server, ids, sent=1000):
    """IAMAT of each id in one go; their AT lines."""
    with server.client() as client:
        lines = []
        for at in range(0, len(ids), 500):
            part = ids[at:at + 500]
            client.send(b"".join(b"IAMAT %s +34.068930-118.445127 %d\n" % (id_, sent) for id_ in part))
            lines += [client.line() for _ in part]
        assert all(AT.match(line) for line in lines)
        return dict(zip(ids, lines))


def ids_of(count, prefix=b"c"):
    return [prefix + b"%d" % number for number in range(count)]


def holds(server, told):
    assert dict(chaos.held_by(server, list(told))) == told, server.name


def wait_written(server):
    """All that it was told before is on disk: the second batch from here on was begun after that."""
    for round_ in range(2):
        batches = metric(server, "disk_batches_total")
        tell(server, [b"written%d" % round_], sent=time.time_ns() // 10**9)
        wait_until(lambda: metric(server, "disk_batches_total") > batches, f"a batch of {server.name} is on disk")


def metric(server, name):
    return server.status()["metrics"][name]


@contextlib.contextmanager
def small_disk(path, size):
    path.mkdir(parents=True)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=False).returncode != 0:
        pytest.skip("needs root, to mount a small file system")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def fill_up(folder):
    """Writes into a file of that folder until its disk is full; the file, which is to be removed then."""
    ballast = pathlib.Path(folder) / "ballast"
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096) == 4096:
            pass
    return ballast


@contextlib.contextmanager
def hanging_sync(path, monkeypatch):
    """Servers started within have a disk whose fsync hangs as long as the file `path` is there."""
    with preloaded(monkeypatch, "libslow_sync.so", SLOW_SYNC_WHILE=path):
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
