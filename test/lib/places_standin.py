#!/usr/bin/python3
"""A stand-in for Google's two places APIs and for Overpass that answers well, or misbehaves in a way it is told.

    places_standin.py [--key KEY] [--tls DIR [--san DNS:name]] [--until-stdin-closes]

Prints `PORT CONTROL_PORT` once both listen on 127.0.0.1. On PORT it is Google: it checks each
request as Google would (method, path, key, field mask, body or query), refuses what is wrong with
it, and keeps a list of the complaints. On CONTROL_PORT it takes orders (JSON over HTTP):

    POST /_control {"behaviour": "hang"}     for every request from now on
    POST /_control {"behaviour": "normal", "by_radius": {"1000": "late:300"}}
    GET  /_stats   {"requests", "connections", "open", "open_max", "complaints", "last"}
    POST /_reset   counts from zero, forgets complaints and behaviours

A behaviour is a name of BEHAVIOURS (places_behaviours.py), some with an argument behind a colon.
With --tls it speaks TLS with a certificate made by openssl into DIR/cert.pem (for the address
127.0.0.1, or for --san).
"""
import argparse
import asyncio
import json
import os
import re
import socket
import ssl
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import places_fixture  # noqa: E402
from places_behaviours import BEHAVIOURS, Answer, error_legacy, error_new  # noqa: E402
from places_behaviours import key_refused, send  # noqa: E402

OVERPASS_PATH = "/api/interpreter"
NEW_PATH = "/v1/places:searchNearby"
LEGACY_PATH = "/maps/api/place/nearbysearch/json"
HEAD_MAX = 64 << 10
RING = re.compile(r"nwr\(around:([\d.]+),(-?[\d.]+),(-?[\d.]+)\)"
                  r"\[~\"\^\([a-z|]+\)\$\"~\"\.\"\]\[name\];out tags center (\d+);")
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]+)*\Z")
FIELDS = set(
    """name id displayName types primaryType location viewport formattedAddress
    shortFormattedAddress businessStatus plusCode iconMaskBaseUri iconBackgroundColor rating
    userRatingCount priceLevel currentOpeningHours photos attributions""".split()
)


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path = urlsplit(target).path
        self.query = parse_qs(urlsplit(target).query, keep_blank_values=True, strict_parsing=False)
        self.is_new = self.path.startswith("/v1/")
        self.is_overpass = self.path == OVERPASS_PATH
        self.rings = []
        if self.is_overpass:
            self.script = parse_qs(body.decode("utf-8", "replace")).get("data", [""])[0]
            self.rings = [tuple(map(float, ring.groups())) for ring in RING.finditer(self.script)]
        self.radius = self._radius()

    def _radius(self):
        try:
            if self.is_overpass:
                return self.rings[-1][0]
            if self.is_new:
                return float(json.loads(self.body)["locationRestriction"]["circle"]["radius"])
            return float(self.query["radius"][0])
        except (ValueError, KeyError, TypeError, IndexError):
            return None


class Refused(Exception):
    """A request that Google would refuse, with the answer it would give."""

    def __init__(self, answer):
        super().__init__("refused")
        self.answer = answer


class Google:
    """What Google would answer, and what it would complain about."""

    def __init__(self, key):
        self.key, self.complaints = key, []

    def _refuse(self, request, complaint):
        self.complaints.append(complaint)
        if request.is_new:
            raise Refused(error_new(400, complaint))
        raise Refused(error_legacy("INVALID_REQUEST", complaint))

    def _check_all(self, request):
        if not request.headers.get("user-agent", "").startswith("herd/"):
            self._refuse(request, "User-Agent is not herd/<version>")
        if request.headers.get("host", "").split(":")[0] not in (
                "127.0.0.1", "localhost", "places.example"):
            self._refuse(request, "Host is not this one")
        for name in ("cookie", "authorization", "referer", "expect", "upgrade"):
            if name in request.headers:
                self._refuse(request, f"unexpected header {name}")

    def _check_center(self, request, latitude, longitude, radius):
        if not all(type(n) in (int, float) for n in (latitude, longitude, radius)):
            self._refuse(request, "a coordinate or the radius is not a number")
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180 and 0 < radius <= 50000):
            self._refuse(request, "a coordinate or the radius is out of range")

    def _check_body(self, request):
        if request.headers.get("content-type") != "application/json":
            self._refuse(request, "Content-Type is not application/json")
        try:
            body = json.loads(request.body)
            circle = body["locationRestriction"]["circle"]
            center = circle["center"]
        except (ValueError, KeyError, TypeError) as error:
            self._refuse(request, f"the body is not of the API's form: {error!r}")
        unknown = (
            set(body) - {"maxResultCount", "rankPreference", "locationRestriction", "languageCode"}
            | set(body["locationRestriction"]) - {"circle"}
            | set(circle) - {"center", "radius"} | set(center) - {"latitude", "longitude"})
        if unknown:
            self._refuse(request, f"unknown fields in the body: {sorted(unknown)}")
        if type(body.get("maxResultCount")) is not int or not 1 <= body["maxResultCount"] <= 20:
            self._refuse(request, "maxResultCount is not in 1..20")
        if body.get("rankPreference") not in ("DISTANCE", "POPULARITY"):
            self._refuse(request, "rankPreference is unknown")
        if not LANGUAGE.match(body.get("languageCode", "en")):
            self._refuse(request, "languageCode is no language")
        self._check_center(
            request, center.get("latitude"), center.get("longitude"), circle.get("radius"))
        return body, center, circle["radius"]

    def _check_mask(self, request):
        mask = request.headers.get("x-goog-fieldmask", "")
        prefix = "places."
        fields = mask.split(",")
        if not all(field.startswith(prefix) and field[len(prefix):] in FIELDS for field in fields):
            self._refuse(request, "FieldMask is missing or has unknown fields")
        return [field[len(prefix):] for field in fields]

    def _answer_new(self, request):
        if request.method != "POST" or request.target != NEW_PATH:
            self._refuse(request, f"{request.method} {request.path}: no such method")
        if request.headers.get("x-goog-api-key") != self.key:
            raise Refused(key_refused(True))
        fields = self._check_mask(request)
        body, center, radius = self._check_body(request)
        places = places_fixture.around(center["latitude"], center["longitude"], radius)
        shown = [{name: value for name, value in place.items() if name in fields}
                 for place in map(places_fixture.to_new, places[:body["maxResultCount"]])]
        return Answer(200, {"places": shown} if shown else {})

    def _answer_legacy(self, request):
        if request.method != "GET" or request.path != LEGACY_PATH:
            self._refuse(request, f"{request.method} {request.path}: no such method")
        if any(len(values) != 1 for values in request.query.values()):
            self._refuse(request, "a parameter is there twice")
        if set(request.query) - {"location", "radius", "language", "key"}:
            self._refuse(request, f"unknown parameters {sorted(request.query)}")
        if request.query.get("key") != [self.key]:
            raise Refused(key_refused(False))
        try:
            latitude, longitude = map(float, request.query["location"][0].split(","))
            radius = float(request.query["radius"][0])
        except (ValueError, KeyError) as error:
            self._refuse(request, f"location or radius is missing or no number: {error!r}")
        if not LANGUAGE.match(request.query.get("language", ["en"])[0]):
            self._refuse(request, "language is no language")
        self._check_center(request, latitude, longitude, radius)
        places = places_fixture.around(latitude, longitude, radius)
        body = {"html_attributions": [],
                "results": [places_fixture.to_legacy(place) for place in places[:20]],
                "status": "OK" if places else "ZERO_RESULTS"}
        if len(places) > 20:
            body["next_page_token"] = "AeJbb3fMoreOfThem"
        return Answer(200, body)

    def _answer_overpass(self, request):
        if request.method != "POST" or request.target != OVERPASS_PATH:
            self._refuse(request, f"{request.method} {request.path}: no such method")
        if not re.fullmatch(r"\[out:json\]\[timeout:\d+\];", RING.sub("", request.script)):
            self._refuse(request, f"not a script that Overpass is known to take: {request.script}")
        if any(name in request.headers for name in ("x-goog-api-key", "x-goog-fieldmask")):
            self._refuse(request, "a header of Google's")
        elements = []
        for radius, latitude, longitude, count in request.rings:
            self._check_center(request, latitude, longitude, radius)
            places = places_fixture.around(latitude, longitude, radius)[:int(count)]
            elements += map(places_fixture.to_osm, sorted(places, key=lambda place: place["id"]))
        return Answer(200, {"version": 0.6, "elements": elements})

    def answer(self, request):
        try:
            self._check_all(request)
            if request.is_overpass:
                return self._answer_overpass(request)
            return self._answer_new(request) if request.is_new else self._answer_legacy(request)
        except Refused as refused:
            return refused.answer


async def read_request(reader):
    """The next request, or None at the end of the connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ssl.SSLError):
        return None
    first, *lines = head[:-4].split("\r\n")
    method, target, _ = first.split(" ", 2)
    parts = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in parts}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)


class Reader(asyncio.StreamReader):
    """One that tells when the client has closed, also while nobody reads."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gone = asyncio.Event()

    def feed_eof(self):
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc):
        super().set_exception(exc)
        self.gone.set()


class StandIn:
    def __init__(self, key):
        self.google = Google(key)
        self.reset()
        self.open = 0

    def reset(self):
        self.behaviour, self.by_radius = "normal", {}
        self.requests = self.connections = self.open_max = 0
        self.last = None
        self.google.complaints.clear()

    def behaviour_for(self, request):
        name, _, arg = self.by_radius.get(request.radius, self.behaviour).partition(":")
        return BEHAVIOURS[name], arg

    async def on_connection(self, reader, writer):
        self.connections += 1
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self.serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def serve(self, reader, writer):
        while (request := await read_request(reader)) is not None:
            self.requests += 1
            self.last = {"method": request.method, "target": request.target,
                         "headers": request.headers,
                         "body": request.body.decode("utf-8", "replace")}
            answer = self.google.answer(request)
            behave, arg = self.behaviour_for(request)
            if not await self.act(behave(writer, request, answer, arg), reader.gone):
                return

    @staticmethod
    async def act(behaviour, client_gone):
        """Whether the connection is good for more; one that hangs ends when the client closes."""
        acting, gone = asyncio.ensure_future(behaviour), asyncio.ensure_future(client_gone.wait())
        await asyncio.wait([acting, gone], return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if acting.done():
            return acting.result()
        acting.cancel()
        return False

    def stats(self):
        return {"requests": self.requests, "connections": self.connections, "open": self.open,
                "open_max": self.open_max, "complaints": self.google.complaints, "last": self.last}

    def control(self, request):
        if request.method == "GET" and request.path == "/_stats":
            return Answer(200, self.stats())
        if request.method == "POST" and request.path == "/_reset":
            self.reset()
            return Answer(200, {})
        if request.method == "POST" and request.path == "/_control":
            orders = json.loads(request.body)
            by_radius = {float(radius): name
                         for radius, name in orders.get("by_radius", {}).items()}
            unknown = [name for name in (orders.get("behaviour", "normal"), *by_radius.values())
                       if name.partition(":")[0] not in BEHAVIOURS]
            if unknown:
                return Answer(400, {"unknown": unknown})
            self.behaviour, self.by_radius = orders.get("behaviour", "normal"), by_radius
            return Answer(200, {})
        return Answer(404, {})

    async def on_control(self, reader, writer):
        try:
            while (request := await read_request(reader)) is not None:
                await send(writer, self.control(request).whole())
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def tls_context(folder, san):
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=places stand-in", "-addext", f"subjectAltName={san}"],
                   check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


async def run(options):
    standin = StandIn(options.key)
    context = tls_context(options.tls, options.san) if options.tls else None
    loop = asyncio.get_running_loop()

    def make_connection():
        reader = Reader(limit=HEAD_MAX, loop=loop)
        return asyncio.StreamReaderProtocol(reader, standin.on_connection, loop=loop)

    api = await loop.create_server(make_connection, "127.0.0.1", 0, ssl=context, backlog=512)
    control = await asyncio.start_server(standin.on_control, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (api, control)]
    print(*ports, flush=True)
    if options.until_stdin_closes:
        await loop.run_in_executor(None, sys.stdin.buffer.read)
        os._exit(0)  # whatever still hangs
    await asyncio.Event().wait()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--key", default="stand-in-key")
    parser.add_argument("--tls", metavar="DIR")
    parser.add_argument("--san", default="IP:127.0.0.1")
    parser.add_argument("--until-stdin-closes", action="store_true")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
