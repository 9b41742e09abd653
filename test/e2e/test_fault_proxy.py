"""The proxy that other tests hurt the herd with does what it says."""

import socket
import struct
import threading
import time

import pytest

from herdlib import DEADLINE_S, FaultProxy, free_ports, wait_until


@pytest.fixture
def line():
    """What passes through a proxy: its dialler's socket, its listener's socket, the proxy."""
    proxy_port, port = free_ports(2)
    with socket.create_server(("127.0.0.1", port)) as server, FaultProxy(proxy_port, port) as proxy:
        server.settimeout(DEADLINE_S)
        dialler = socket.create_connection(("127.0.0.1", proxy_port), timeout=DEADLINE_S)
        listener, _ = server.accept()
        listener.settimeout(DEADLINE_S)
        wait_until(lambda: proxy.connections, "the proxy has both ends")
        yield dialler, listener, proxy
        dialler.close()
        listener.close()


def read(reader, count):
    data = b""
    while len(data) < count:
        piece = reader.recv(count - len(data))
        assert piece, f"ended after {len(data)} of {count} bytes"
        data += piece
    return data


def test_bytes_pass_unchanged_in_both_directions(line):
    dialler, listener, _ = line
    data = struct.pack("<100000I", *range(100000))
    for writer, reader in [(dialler, listener), (listener, dialler)]:
        thread = threading.Thread(target=writer.sendall, args=(data,))
        thread.start()
        assert read(reader, len(data)) == data
        thread.join()


def test_a_stall_holds_one_direction_until_it_is_over(line):
    dialler, listener, proxy = line
    proxy.set(("up",), stall=True)
    dialler.sendall(b"up")
    listener.sendall(b"down")
    assert read(dialler, 4) == b"down"
    listener.settimeout(0.3)
    with pytest.raises(TimeoutError):
        listener.recv(1)
    proxy.heal()
    listener.settimeout(DEADLINE_S)
    assert read(listener, 2) == b"up"


def test_a_delay_and_a_slow_line_take_their_time(line):
    dialler, listener, proxy = line
    for faults, at_least_s in [({"delay_s": 0.3}, 0.3), ({"split": True, "bytes_per_s": 100.0}, 0.4)]:
        proxy.set(**faults)
        began = time.monotonic()
        dialler.sendall(b"x" * 50)
        assert read(listener, 50) == b"x" * 50 and time.monotonic() - began > at_least_s
        proxy.heal()


def test_half_closed_one_way_the_other_goes_on(line):
    dialler, listener, proxy = line
    proxy.half_close("up")
    assert listener.recv(1) == b""
    listener.sendall(b"still here")
    assert read(dialler, 10) == b"still here"


def test_a_drop_is_an_end_and_a_reset_is_an_error(line):
    dialler, listener, proxy = line
    proxy.drop()
    assert dialler.recv(1) == b"" and listener.recv(1) == b""
    wait_until(lambda: not proxy.connections, "the proxy has let go of both ends")
    again = socket.create_connection(("127.0.0.1", proxy.listen_port), timeout=DEADLINE_S)
    wait_until(lambda: proxy.connections, "the proxy has both ends")
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        again.recv(1)


def test_cut_off_nobody_comes_through(line):
    dialler, _, proxy = line
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        dialler.recv(1)
    with pytest.raises(ConnectionResetError):
        with socket.create_connection(("127.0.0.1", proxy.listen_port), timeout=DEADLINE_S) as again:
            again.recv(1)
    proxy.heal()
    with socket.create_connection(("127.0.0.1", proxy.listen_port), timeout=DEADLINE_S) as again:
        again.settimeout(0.2)
        with pytest.raises(TimeoutError):
            again.recv(1)
