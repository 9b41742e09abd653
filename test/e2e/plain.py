"""Servers of the seed's plain kind, for mixed herds: asyncio, one new connection for every FLOOD, no HELLO.

`behaviour` says how such a server treats its connections:
  lines     reads line after line until the other side closes (the usual kind)
  one_line  reads one line a connection, answers, closes
  closes    closes at once on a line it does not know
  silent    says nothing to a line it does not know
"""

import asyncio
import contextlib
import threading
import time


class PlainServer:
    def __init__(self, name, port, neighbours, behaviour="lines"):
        self.name, self.port, self.neighbours, self.behaviour = name, port, neighbours, behaviour
        self.records = {}
        self.thread = None
        self.loop = None
        self.ready = threading.Event()

    # The order of docs/protocol.md section 3 of a record's six fields.
    @staticmethod
    def order(fields):
        _, location, sent, received, origin, diff = fields
        whole, _, fraction = sent.partition(b".")
        return (int(whole), (fraction + b"0" * 9)[:9], origin, location, received, sent, diff)

    def at_line(self, client):
        client, location, sent, _, origin, diff = self.records[client]
        return b"AT %s %s %s %s %s\n" % (origin, diff, client, location, sent)

    def learn(self, fields, came_from):
        held = self.records.get(fields[0])
        if held is not None and self.order(held) >= self.order(fields):
            return
        self.records[fields[0]] = fields
        for name, port in self.neighbours.items():
            if name != came_from:
                self.loop.create_task(self.flood(port, fields))

    async def flood(self, port, fields):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b" ".join([b"FLOOD", self.name.encode(), *fields]) + b"\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    def answer(self, line):
        words = line.split()
        if words and words[0] == b"IAMAT" and len(words) == 4:
            now = time.time_ns()
            received = b"%d.%09d" % divmod(now, 10**9)
            diff = b"%+.9f" % (now / 1e9 - float(words[3]))
            self.learn((words[1], words[2], words[3], received, self.name.encode(), diff), None)
            return self.at_line(words[1])
        if words and words[0] == b"FLOOD" and len(words) == 8:
            self.learn(tuple(words[2:]), words[1].decode())
            return b""
        if words and words[0] == b"WHATSAT" and words[1] in self.records:
            return self.at_line(words[1]) + b'{\n   "html_attributions": [],\n   "results": [],\n   "status": "OK"\n}\n\n'
        return None

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                answer = self.answer(line)
                if answer is None and self.behaviour == "closes":
                    break
                if answer is None and self.behaviour != "silent":
                    answer = b"? " + line.rstrip(b"\r\n") + b"\n"
                writer.write(answer or b"")
                await writer.drain()
                if self.behaviour == "one_line":
                    break
            writer.close()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()

    async def main(self):
        self.loop = asyncio.get_running_loop()
        self.stopping = asyncio.Event()
        server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.ready.set()
        await self.stopping.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def start(self):
        self.ready.clear()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.main()), daemon=True)
        self.thread.start()
        assert self.ready.wait(60), "the plain server did not start"
        return self

    def stop(self):
        """Ends it as a crash would: all connections close, all that it knew is gone."""
        if self.thread is not None and self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.stopping.set)
            self.thread.join(60)
        self.records.clear()
