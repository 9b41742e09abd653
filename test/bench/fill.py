#!/usr/bin/python3
"""A large store: how fast it fills, how long an empty neighbour takes to hold the same, how long a restart takes.

    HERD_BIN=build/release/bin test/bench/fill.py [--records 1000000] [--durability interval] [--json]
"""

import argparse
import json
import os
import pathlib
import re
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from herdlib import Client, Herd  # noqa: E402

PAIR = {"Hill": ["Jaquez"], "Jaquez": ["Hill"]}
LINES_PER_WRITE = 5000
DEADLINE_S = 600


def wait(condition, what):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited in vain until {what}")
        time.sleep(0.01)


def count_lines(client, count):
    while count > 0:
        data = client.socket.recv(1 << 20)
        if not data:
            raise SystemExit("the server closed the connection")
        count -= data.count(b"\n")


def fill(port, count):
    """IAMAT of ids 0..count-1 in one pipelined connection, until all are answered; seconds."""
    began = time.monotonic()
    with Client(port, DEADLINE_S) as client:
        reader = threading.Thread(target=count_lines, args=(client, count))
        reader.start()
        for at in range(0, count, LINES_PER_WRITE):
            numbers = range(at, min(count, at + LINES_PER_WRITE))
            client.send(b"".join(b"IAMAT client-%08d +%02d.%06d-%03d.%06d 1700000000.5\n" % (
                number, number % 90, number % 999_983, number % 180, number % 999_979) for number in numbers))
        reader.join()
    return time.monotonic() - began


def memory_mib(server, key="VmRSS"):
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return int(re.search(rf"{key}:\s+(\d+) kB", text).group(1)) / 1024


def cpu_s(*servers):
    """Seconds of a processor that they have taken: what a busy machine makes longer least."""
    ticks = 0
    for server in servers:
        fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def disk_mb(server):
    return sum(path.stat().st_size for path in (server.herd.folder / "data" / server.name).iterdir() if path.is_file()) / 1e6


def first_answer(server):
    """Seconds from exec to the answer to a WHATSAT, and to listening."""
    began = time.monotonic()
    server.start()
    listening = time.monotonic() - began
    with Client(server.port, DEADLINE_S) as client:
        at, _ = client.whatsat(b"WHATSAT client-00000007 1 0")
    assert at.startswith(b"AT Hill "), at
    return time.monotonic() - began, listening


def measure(herd, records, on_disk):
    hill, jaquez = herd["Hill"], herd["Jaquez"]
    figures = {"records": records}
    hill.start()
    figures["fill_s"] = fill(hill.port, records)
    figures["fill_per_s"] = records / figures["fill_s"]
    figures["memory_mib"] = memory_mib(hill)
    jaquez.start()
    began, before_s = time.monotonic(), cpu_s(hill, jaquez)
    wait(herd.agrees, "the empty neighbour has all")
    figures["neighbour_equal_s"] = time.monotonic() - began
    figures["neighbour_cpu_s"] = cpu_s(hill, jaquez) - before_s
    figures["neighbour_peak_mib"] = memory_mib(jaquez, "VmHWM")
    figures["longest_turn_ms"] = {server.name: server.status()["metrics"]["loop_turn_max_ns"] / 1e6 for server in (hill, jaquez)}
    for way, end in [("stop", hill.stop), ("kill", hill.kill)] if on_disk else []:
        began = time.monotonic()
        end()
        figures[f"{way}_s"] = time.monotonic() - began
        figures["disk_mb"] = disk_mb(hill)
        figures[f"start_after_{way}_s"], figures[f"listening_after_{way}_s"] = first_answer(hill)
        figures[f"start_after_{way}_cpu_s"] = cpu_s(hill)
        began = time.monotonic()
        wait(lambda: hill.links_up() and jaquez.links_up() and herd.agrees(), "both are equal again")
        figures[f"equal_after_{way}_s"] = time.monotonic() - began
        figures[f"floods_after_{way}"] = hill.status()["metrics"]["floods_received_total"]
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--durability", choices=["herd", "commit", "interval", "none"], default="interval")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="herd-fill-") as folder:
        # How long something takes is told, and not judged: a busy machine may take as long as it likes.
        herd = Herd(folder, PAIR, extra=f'durability = "{options.durability}"\nstop_timeout_ms = 60000',
                    deadline_s=DEADLINE_S)
        try:
            figures = measure(herd, options.records, options.durability != "none")
            herd.stop()
        finally:
            herd.kill()
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:22} {value:,.3f}" if isinstance(value, float) else f"{name:22} {value}")


if __name__ == "__main__":
    main()
