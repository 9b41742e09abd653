"""A TCP proxy that ill-treats what passes through it: the bad network between two servers, switched while it runs.

    with FaultProxy(listen_port, target_port) as proxy:
        proxy.set(stall=True)                     # both directions, connections to come too
        proxy.set(("up",), split=True)            # only from who dialled to who listens
        proxy.connections[0].set(delay_s=0.1)     # one connection
        proxy.cut(); proxy.heal()

All proxies of a process share one thread with an asyncio loop; every method may be called from any other thread.
"""

import asyncio
import contextlib
import dataclasses
import socket
import struct
import threading

UP, DOWN = "up", "down"  # from who dialled to who listens, and back
BOTH = (UP, DOWN)
CHUNK_BYTES = 16384
CHUNKS_DELAYED_MAX = 64  # of one direction; then the sender is not read from


@dataclasses.dataclass(frozen=True)
class Faults:
    delay_s: float = 0.0  # each byte comes so much later
    stall: bool = False  # nothing passes, nothing is lost; the sender sees a full window in the end
    split: bool = False  # one byte a segment
    bytes_per_s: float = 0.0  # 0: as fast as it can


class Loop:
    """The thread of all proxies, started by the first of them."""

    def __init__(self):
        self.lock = threading.Lock()
        self.loop = None

    def get(self):
        with self.lock:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                threading.Thread(target=self.loop.run_forever, name="fault-proxy", daemon=True).start()
        return self.loop

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.get()).result(120)

    def call(self, function, *arguments):
        """Runs it on the loop and waits until it has run."""

        async def wrapped():
            return function(*arguments)

        return self.run(wrapped())


LOOP = Loop()


def abort(writer):
    """Ends a connection so that the other side sees ECONNRESET."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Lane:
    """One direction of a connection."""

    def __init__(self, reader, writer, faults):
        self.reader, self.writer = reader, writer
        self.queue = asyncio.Queue(CHUNKS_DELAYED_MAX)
        self.flowing = asyncio.Event()
        self.half_closed = False
        self.set(faults)

    def set(self, faults):
        self.faults = faults
        if faults.stall:
            self.flowing.clear()
        else:
            self.flowing.set()

    def half_close(self):
        """The reader's words end here, though it goes on speaking."""
        if not self.half_closed:
            self.half_closed = True
            with contextlib.suppress(OSError, RuntimeError):
                self.writer.write_eof()

    async def take_in(self):
        """Reads; what was read waits for its time in the queue."""
        data = b"?"
        while data:
            await self.flowing.wait()
            data = await self.reader.read(CHUNK_BYTES)
            await self.queue.put((asyncio.get_running_loop().time() + self.faults.delay_s, data))

    async def give_out(self):
        while True:
            due, data = await self.queue.get()
            await asyncio.sleep(max(0, due - asyncio.get_running_loop().time()))
            await self.flowing.wait()
            if not data:
                self.half_close()
                return
            await self.write(data)

    async def write(self, data):
        size = 1 if self.faults.split else len(data)
        for at in range(0, len(data), size):
            if self.half_closed:
                return
            self.writer.write(data[at:at + size])
            await self.writer.drain()
            if size == 1 or self.faults.bytes_per_s > 0:
                await asyncio.sleep(size / self.faults.bytes_per_s if self.faults.bytes_per_s > 0 else 0)
            if not self.faults.split and size == 1:  # healed in the middle
                self.writer.write(data[at + 1:])
                return


class Connection:
    """One connection through a proxy: who dialled, and the one dialled for it."""

    def __init__(self, proxy, dialler, listener):
        self.proxy = proxy
        self.writers = [dialler[1], listener[1]]
        self.lanes = {UP: Lane(dialler[0], listener[1], proxy.faults[UP]),
                      DOWN: Lane(listener[0], dialler[1], proxy.faults[DOWN])}
        for writer in self.writers:
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def run(self):
        tasks = [asyncio.ensure_future(pump) for lane in self.lanes.values() for pump in (lane.take_in(), lane.give_out())]
        try:
            await asyncio.gather(*tasks)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for task in tasks:
                task.cancel()
            self.end()

    def change(self, directions, faults):
        for direction in directions:
            lane = self.lanes[direction]
            lane.set(dataclasses.replace(lane.faults, **faults))

    def end(self, reset=False):
        for writer in self.writers:
            if reset:
                abort(writer)
            else:
                writer.close()

    def set(self, directions=BOTH, **faults):
        LOOP.call(self.change, directions, faults)

    def half_close(self, direction):
        LOOP.call(self.lanes[direction].half_close)

    def drop(self):
        """Both sides see an orderly end."""
        LOOP.call(self.end)

    def reset(self):
        """Both sides see ECONNRESET."""
        LOOP.call(self.end, True)


class FaultProxy:
    def __init__(self, listen_port, target_port):
        self.listen_port, self.target_port = listen_port, target_port
        self.faults = {UP: Faults(), DOWN: Faults()}
        self.is_cut = False
        self.connections = []
        self.tasks = set()
        self.server = LOOP.run(asyncio.start_server(self.on_connection, "127.0.0.1", listen_port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    async def on_connection(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        connection = None
        try:
            if not self.is_cut:
                connection = Connection(self, (reader, writer), await asyncio.open_connection("127.0.0.1", self.target_port))
                self.connections.append(connection)
                if self.is_cut:  # meanwhile
                    connection.end(reset=True)
                await connection.run()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            if connection is None:
                abort(writer)
            else:
                self.connections.remove(connection)
            self.tasks.discard(asyncio.current_task())

    def change(self, directions, faults):
        for direction in directions:
            self.faults[direction] = dataclasses.replace(self.faults[direction], **faults)
        for connection in self.connections:
            connection.change(directions, faults)

    def end_all(self, reset, is_cut):
        self.is_cut = is_cut
        for connection in list(self.connections):
            connection.end(reset)

    async def shut_down(self):
        self.server.close()
        self.end_all(False, True)
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def set(self, directions=BOTH, **faults):
        """Changes the named faults of all connections there are and will be; the others stay."""
        LOOP.call(self.change, directions, faults)

    def reset(self):
        LOOP.call(self.end_all, True, self.is_cut)

    def drop(self):
        LOOP.call(self.end_all, False, self.is_cut)

    def half_close(self, direction):
        for connection in list(self.connections):
            connection.half_close(direction)

    def cut(self):
        """Resets all connections, and each new one at once."""
        LOOP.call(self.end_all, True, True)

    def heal(self):
        """No faults any more."""
        self.is_cut = False
        self.set(**dataclasses.asdict(Faults()))

    def close(self):
        LOOP.run(self.shut_down())
