#!/usr/bin/python3
"""A herd as it is written in an afternoon: one server of it, on asyncio's streams, with the same lines. A peer to compare with.

    asyncio_herd.py [--dial-each] NAME PORT [NEIGHBOUR=PORT…]

IAMAT is answered and flooded, but not to where it came from; what is not newer than what is held is not sent on. A link is a
connection that stays, or with --dial-each one for each FLOOD, as such herds are mostly written. WHATSAT answers without places, COUNT says how many records are held. It checks no more than it has to, and
keeps nothing on disk.
"""

import asyncio
import sys
import time


class Server:
    def __init__(self, name, ports, dials_each):
        self.name = name.encode()
        self.ports = ports  # of neighbours, by name
        self.dials_each = dials_each
        self.writers = {}  # likewise
        self.tasks = set()  # else they are collected before they are done
        self.records = {}  # client id -> (time sent as a number, location, time sent, time received, origin, difference)

    async def send(self, port, line):
        """By a connection of its own."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        writer.write(line)
        writer.close()
        await writer.wait_closed()

    def send_soon(self, port, line):
        task = asyncio.ensure_future(self.send(port, line))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def dial(self, neighbour, port):
        """A connection to a neighbour, again and again."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            self.writers[neighbour] = writer
            await reader.read()
            del self.writers[neighbour]

    def keep(self, sender, client, record):
        """If it is news the neighbours are told, but the one that it came from."""
        held = self.records.get(client)
        if held is not None and held[0] >= record[0]:
            return
        self.records[client] = record
        line = b"FLOOD %s %s %s\n" % (self.name, client, b" ".join(record[1:]))
        for neighbour, port in self.ports.items():
            if neighbour == sender:
                continue
            if self.dials_each:
                self.send_soon(port, line)
            elif neighbour in self.writers:
                self.writers[neighbour].write(line)

    def iamat(self, client, location, sent):
        received = time.time()
        difference = b"%+.9f" % (received - float(sent))
        self.keep(None, client, (float(sent), location, sent, b"%.9f" % received, self.name, difference))
        return b"AT %s %s %s %s %s\n" % (self.name, difference, client, location, sent)

    def flood(self, sender, client, location, sent, received, origin, difference):
        self.keep(sender, client, (float(sent), location, sent, received, origin, difference))
        return b""

    def whatsat(self, client, _radius, _count):
        _, location, sent, _, origin, difference = self.records[client]
        return b"AT %s %s %s %s %s\n{\n}\n\n" % (origin, difference, client, location, sent)

    def count(self):
        return b"%d\n" % len(self.records)

    async def serve(self, reader, writer):
        verbs = {b"IAMAT": self.iamat, b"FLOOD": self.flood, b"WHATSAT": self.whatsat, b"COUNT": self.count}
        while line := await reader.readline():
            words = line.split()
            try:
                answer = verbs[words[0]](*words[1:])
            except (IndexError, KeyError, TypeError, ValueError):
                answer = b"? " + line
            if answer:
                writer.write(answer)
                await writer.drain()
        writer.close()


async def main():
    words = [word for word in sys.argv[1:] if word != "--dial-each"]
    pairs = [word.split("=") for word in words[2:]]
    server = Server(words[0], {name.encode(): int(port) for name, port in pairs}, "--dial-each" in sys.argv)
    dials = [] if server.dials_each else [server.dial(*pair) for pair in server.ports.items()]
    listener = await asyncio.start_server(server.serve, "127.0.0.1", int(words[1]), backlog=1024)
    async with listener:
        await asyncio.gather(listener.serve_forever(), *dials)


if __name__ == "__main__":
    asyncio.run(main())
