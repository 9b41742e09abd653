"""How the places stand-in answers: Google's answers and errors, and every way to spoil them."""
import asyncio
import gzip
import json
import os
import socket
import struct
import zlib

CODES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED",
         404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}
REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
           429: "Too Many Requests", 502: "Bad Gateway", 503: "Service Unavailable"}
CHUNKED = "Transfer-Encoding: chunked"
RPC = "type.googleapis.com/google.rpc."


class Answer:
    def __init__(self, status, body, headers=()):
        self.status, self.headers = status, list(headers)
        if not isinstance(body, bytes):
            body = json.dumps(body, indent=2, ensure_ascii=False).encode()
        self.body = body

    def head(self, *extra, version="1.1", length=True):
        lines = [f"HTTP/{version} {self.status} {REASONS.get(self.status, 'Whatever')}",
                 "Content-Type: application/json; charset=UTF-8", "Server: stand-in"]
        if length:
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join([*lines, *self.headers, *extra]) + "\r\n\r\n").encode()

    def head_of_length(self, length, *extra):
        return self.head(f"Content-Length: {length}", *extra, length=False)

    def whole(self):
        return self.head() + self.body


def error_new(code, message, *details):
    error = {"code": code, "message": message, "status": CODES.get(code, "UNKNOWN")}
    if details:
        error["details"] = list(details)
    return Answer(code, {"error": error})


def error_legacy(status, message=None):
    body = {"html_attributions": [], "results": [], "status": status}
    if message:
        body["error_message"] = message
    return Answer(200, body)


def key_refused(is_new):
    message = "API key not valid. Please pass a valid API key."
    if not is_new:
        return error_legacy("REQUEST_DENIED", "The provided API key is invalid. ")
    return error_new(400, message,
                     {"@type": RPC + "ErrorInfo", "reason": "API_KEY_INVALID",
                      "domain": "googleapis.com", "metadata": {"service": "places.googleapis.com"}},
                     {"@type": RPC + "LocalizedMessage", "locale": "en-US", "message": message})


def too_many():
    answer = error_new(429, "Quota exceeded for quota metric 'SearchNearbyRequest' and limit "
                       "'SearchNearbyRequest per minute' of service 'places.googleapis.com'.",
                       {"@type": RPC + "ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED",
                        "domain": "googleapis.com", "metadata": {"quota_limit_value": "600"}},
                       {"@type": RPC + "RetryInfo", "retryDelay": "41s"})
    answer.headers.append("Retry-After: 41")
    return answer


def shaped(request, places):
    """An answer of the asked API with these results, whatever they are."""
    if request.is_overpass:
        return Answer(200, {"version": 0.6, "generator": "stand-in", "elements": places})
    if request.is_new:
        return Answer(200, {"places": places})
    return Answer(200, {"html_attributions": [], "results": places, "status": "OK"})


def place_named(request, name, at=(34.0689, -118.4451)):
    if request.is_overpass:
        return {"type": "node", "id": zlib.crc32(str(name).encode()), "lat": at[0], "lon": at[1],
                "tags": {"name": name, "amenity": "cafe"}}
    if request.is_new:
        return {"id": "ChIJx", "displayName": {"text": name},
                "location": {"latitude": at[0], "longitude": at[1]}}
    return {"place_id": "ChIJx", "name": name,
            "geometry": {"location": {"lat": at[0], "lng": at[1]}}}


def spoiled_places(request):
    """One good place among ones without name or location, of wrong types, and no places at all."""
    name, point = ("displayName", "location") if request.is_new else ("name", "geometry")
    if request.is_overpass:
        name, point = "tags", "lat"
    good = place_named(request, "The good one")
    places = [good, None, 7, "place", [], {}, place_named(request, "Nowhere", ("34", "-118")),
              place_named(request, "Beyond", (91, 0)), place_named(request, "Half", (34, None)),
              place_named(request, ""), place_named(request, 5), place_named(request, None)]
    places.append({key: value for key, value in good.items() if key != name})
    places.append({key: value for key, value in good.items() if key != point})
    places.append({**good, name: "No object"} if request.is_new else {**good, point: "No object"})
    return places


# The behaviours: each gets the connection's writer, the request, Google's answer and the argument,
# and says whether the connection is good for another request.
async def send(writer, data):
    writer.write(data)
    await writer.drain()


async def normal(writer, request, answer, arg):
    await send(writer, answer.whole())
    return True


async def late(writer, request, answer, arg):
    await asyncio.sleep(int(arg) / 1000)
    return await normal(writer, request, answer, arg)


async def held(writer, request, answer, arg):
    """Answers once the file of that path is gone."""
    while os.path.exists(arg):
        await asyncio.sleep(0.001)
    return await normal(writer, request, answer, arg)


async def pieces(writer, request, answer, arg):
    data = answer.whole()
    step = max(1, len(data) // int(arg or 7))
    for i in range(0, len(data), step):
        await send(writer, data[i:i + step])
        await asyncio.sleep(0.002)
    return True


async def bytewise(writer, request, answer, arg):
    data = answer.whole()
    for i in range(len(data)):
        await send(writer, data[i:i + 1])
        await asyncio.sleep(0)
    return True


async def hang(writer, request, answer, arg):
    await asyncio.sleep(3600)


async def hang_mid_body(writer, request, answer, arg):
    data = answer.whole()
    await send(writer, data[:len(data) // 2])
    await asyncio.sleep(3600)


async def drip(writer, request, answer, arg):
    """A byte of white space at a time, for ever: never silent, never done."""
    await send(writer, answer.head(CHUNKED, length=False))
    while True:
        await send(writer, b"1\r\n \r\n")
        await asyncio.sleep(0.01)


async def headers_for_ever(writer, request, answer, arg):
    await send(writer, b"HTTP/1.1 200 OK\r\n")
    for i in range(1 << 20):
        await send(writer, b"X-Filler-%d: %s\r\n" % (i, b"x" * 1000))


async def header_long(writer, request, answer, arg):
    await send(writer, answer.head("X-Filler: " + "x" * 90000) + answer.body)


async def close_at_once(writer, request, answer, arg):
    return False


def reset(writer):
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def reset_at_once(writer, request, answer, arg):
    reset(writer)
    return False


async def reset_mid_body(writer, request, answer, arg):
    data = answer.whole()
    await send(writer, data[:len(data) // 2])
    reset(writer)
    return False


async def reset_after(writer, request, answer, arg):
    await send(writer, answer.whole())
    reset(writer)
    return False


async def length_short(writer, request, answer, arg):
    await send(writer, answer.head_of_length(len(answer.body) // 2) + answer.body)
    return False


async def length_long(writer, request, answer, arg):
    await send(writer, answer.head_of_length(len(answer.body) + 100) + answer.body)
    return False


async def length_garbage(writer, request, answer, arg):
    await send(writer, answer.head_of_length("many") + answer.body)
    return False


async def http10(writer, request, answer, arg):
    await send(writer, answer.head(version="1.0", length=False) + answer.body)
    return False


def chunks(data, size):
    parts = [data[i:i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


async def chunked(writer, request, answer, arg):
    await send(writer, answer.head(CHUNKED, length=False) + chunks(answer.body, 777))
    return True


async def chunked_broken(writer, request, answer, arg):
    head = answer.head(CHUNKED, length=False)
    await send(writer, head + chunks(answer.body, 777)[:-7] + b"zz\r\n")
    return False


async def interim(writer, request, answer, arg):
    await send(writer, b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + answer.whole())
    return True


async def garbage(writer, request, answer, arg):
    await send(writer, b"\x16\x03\x01 SSH-2.0-nothing of the kind\r\n\0\0\xff\xfe" * 50)
    return False


async def zipped(writer, request, answer, arg):
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return await normal(writer, request, answer, arg)
    body = gzip.compress(answer.body)
    await send(writer, answer.head_of_length(len(body), "Content-Encoding: gzip") + body)
    return True


async def zip_bomb(writer, request, answer, arg):
    body = gzip.compress(b" " * (64 << 20))
    await send(writer, answer.head_of_length(len(body), "Content-Encoding: gzip") + body)
    return False


async def redirect(writer, request, answer, arg):
    host = request.headers["host"]
    moved = Answer(302, b"", [f"Location: http://{host}/elsewhere"])
    await send(writer, moved.whole())
    return True


def replaced(make):
    """A behaviour that sends another answer instead, made from request and argument."""
    async def behave(writer, request, answer, arg):
        await send(writer, make(request, arg).whole())
        return True
    return behave


def big_body(request, arg):
    places = [place_named(request, "x" * 1000)] * ((8 << 20) // 1000)
    return shaped(request, places)


async def big_chunked(writer, request, answer, arg):
    big = big_body(request, arg)
    await send(writer, big.head(CHUNKED, length=False) + chunks(big.body, 50000))
    return False


def raw(body):
    return replaced(lambda request, arg: Answer(200, body))


def nothing(request, arg):
    if request.is_overpass:
        return shaped(request, [])
    return Answer(200, {}) if request.is_new else error_legacy("ZERO_RESULTS")


def many(request, arg):
    return shaped(request, [place_named(request, f"No. {i}") for i in range(int(arg or 50))])


def fat(request, arg):
    """20 places of so many bytes each, in a field that is handed on as it is."""
    return shaped(request, [{**place_named(request, f"No. {i}"), "more": "x" * int(arg)} for i in range(20)])


held_back = []  # radii of the requests that wait in fat_while


async def fat_while(writer, request, answer, arg):
    """The same, `size,path`, once the file of that path is gone; those that wait then are answered by ascending radius."""
    size, _, path = arg.partition(",")
    held_back.append(request.radius)
    while os.path.exists(path):
        await asyncio.sleep(0.001)
    while min(held_back) < request.radius:
        await asyncio.sleep(0)
    await normal(writer, request, fat(request, size), None)
    held_back.remove(request.radius)
    return True


def odd_names(request, arg):
    names = ["two\n\nnewlines\r\n", '"}\n\n{"\t\x01\x7f\u2028']
    return shaped(request, [place_named(request, name) for name in names])


def html(request, arg):
    return Answer(int(arg), b"<html><h1>Bad Gateway</h1></html>")


def status(request, arg):
    return error_legacy(arg, f"The stand-in was told to say {arg}.")


def http_error(request, arg):
    """`429:` without a delay, `429:X` with "Retry-After: X" alone, `429` with Google's."""
    number, colon, after = arg.partition(":")
    code = int(number)
    if colon:
        answer = error_new(code, "Quota exceeded.")
        answer.headers += [f"Retry-After: {after}"] if after else []
        return answer
    return too_many() if code == 429 else error_new(code, f"The stand-in was told to say {code}.")


def echo_key(request, arg):
    key = request.headers.get("x-goog-api-key") or request.query["key"][0]
    message = f"The key '{key}' (yes, {key}) may not do this."
    return error_new(403, message) if request.is_new else error_legacy("REQUEST_DENIED", message)


def long_message(request, arg):
    key = request.headers.get("x-goog-api-key") or request.query["key"][0]
    message = "€" * 166 + key * 20  # the cut at 512 bytes falls into a key
    return error_new(403, message) if request.is_new else error_legacy("REQUEST_DENIED", message)


def deep(depth):
    def make(request, arg):
        place = place_named(request, "Deep")
        nested = []
        for _ in range(depth - 4):  # the root, the list and the place are levels too
            nested = [nested]
        return shaped(request, [{**place, "more": nested}])
    return replaced(make)


BEHAVIOURS = {
    # as HTTP allows
    "normal": normal, "late": late, "while": held, "fat_while": fat_while, "pieces": pieces, "bytewise": bytewise, "http10": http10,
    "chunked": chunked, "interim": interim, "gzip": zipped, "reset_after": reset_after,
    # not, or not to the end
    "hang": hang, "hang_mid_body": hang_mid_body, "drip": drip, "close_at_once": close_at_once,
    "reset_at_once": reset_at_once, "reset_mid_body": reset_mid_body, "length_short": length_short,
    "length_long": length_long, "length_garbage": length_garbage, "chunked_broken": chunked_broken,
    "garbage": garbage, "redirect": redirect,
    # too much
    "headers_for_ever": headers_for_ever, "header_long": header_long, "big": replaced(big_body),
    "big_chunked": big_chunked, "zip_bomb": zip_bomb,
    # no JSON, or not of the API's form
    "empty": raw(b""), "not_json": raw(b"<html>We are sorry</html>"),
    "truncated": raw(b'{"places": [{"id": "C'), "number": raw(b"17"), "array": raw(b"[]"),
    "null": raw(b"null"), "invalid_utf8": raw(b'{"status": "\xc3\x28"}'),
    "nul": raw(b'{"status": "\\u0000"}'), "huge_number": raw(b'{"status": 1e999}'),
    "nested": raw(b"[" * 100000), "nested_objects": raw(b'{"a":' * 100000),
    "depth_32": deep(32), "depth_33": deep(33),
    "remark": replaced(lambda request, arg: Answer(200, {
        "elements": [], "remark": 'runtime error: Query timed out in "query" at line 1'})),
    "twice": raw(b'{"places": [], "places": [], "status": "OK", "status": "OK"}'),
    "wrong_shape": raw(b'{"places": 3, "status": 3, "results": {}}'),
    # odd answers
    "nothing": replaced(nothing), "no_array": replaced(lambda request, arg: shaped(request, [])),
    "many": replaced(many), "fat": replaced(fat), "odd_names": replaced(odd_names),
    "spoiled": replaced(lambda request, arg: shaped(request, spoiled_places(request))),
    # errors
    "http": replaced(http_error), "html": replaced(html), "status": replaced(status),
    "status_alone": replaced(lambda request, arg: error_legacy(arg)),
    "key_refused": replaced(lambda request, arg: key_refused(request.is_new)),
    "echo_key": replaced(echo_key), "long_message": replaced(long_message),
}
