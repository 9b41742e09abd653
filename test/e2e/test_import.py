"""herd-places import as a user runs it: an extract of OpenStreetMap, GeoNames' tables, files that are broken, large ones;
and a server that takes up a new file while it runs."""

import bz2
import contextlib
import gzip
import json
import os
import pathlib
import random
import re
import signal
import sqlite3
import subprocess
import time

from herdlib import BIN, DEADLINE_S, SLOW, wait_until
from placeslib import reload

EXTRACT = pathlib.Path("/usr/share/doc/python-osmnx-doc/examples/tests/input_data/West-Oakland.osm.bz2")
KEEP = ["nwr/amenity", "nwr/tourism", "nwr/shop", "nwr/leisure", "nwr/historic", "nwr/railway=station",
        "nwr/aeroway=aerodrome"]


def run(*words, program=BIN / "herd-places", code=0, **options):
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=600 * SLOW, **options)
    assert done.returncode == code, done
    return done.stdout if code == 0 else done.stderr


def feature(name, longitude, latitude, **tags):
    return {"type": "Feature", "geometry": {"type": "Point", "coordinates": [longitude, latitude]},
            "properties": {"name": name, **tags}}


def near(places, where, radius=1):
    answer = json.loads(run("near", "--file", places, "--json", where, radius))
    return [(place["name"], place["place_id"], place["types"][0]) for place in answer["results"]]


def test_an_extract_of_openstreetmap(tmp_path):
    """The way that docs/places.md describes, with an extract that Debian has."""
    assert bz2.open(EXTRACT).read(5) == b"<?xml"
    pois, out = tmp_path / "poi.osm.pbf", tmp_path / "places.db"
    run("tags-filter", "-o", pois, EXTRACT, *KEEP, program="osmium")
    for separator in ("false", "true"):
        features = tmp_path / f"poi-{separator}.geojsonseq"
        run("export", "-f", "geojsonseq", "-x", f"print_record_separator={separator}", "-u", "type_id", "-a", "type,id",
            "--geometry-types=point,polygon", "-o", features, pois, program="osmium")
        assert (features.read_bytes()[:1] == b"\x1e") == (separator == "true")
        assert "places.db: 13 places; 4 left out: 4 without a name" in run("import", "--out", out, features)
    found = near(out, "37.81,-122.29", 5)
    assert len(found) == 13
    assert ("Morning Star Church of God in Christ", "osm:n358851646", "church") in found
    assert ("Bertha Port Park", "park") in [(name, types) for name, _, types in found]
    info = run("info", "--file", out)
    assert "OpenStreetMap: 13 places" in info and "ODbL-1.0" in info and "OpenStreetMap contributors" in info


def test_geojson_geonames_and_gzip(tmp_path):
    out = tmp_path / "places.db"
    collection = tmp_path / "a.geojson"
    collection.write_text(json.dumps({"type": "FeatureCollection", "features": [
        feature("Two\u2028 “lines”", 10, 50, amenity="cafe"), feature(None, 10, 50), feature("Far", 11, 51, shop="yes")]}, indent=1))
    assert "2 places; 1 left out: 1 without a name" in run("import", "--out", out, "--name", "Mine", "--licence", "CC0-1.0",
                                                         "--attribution", "<b>Me</b>", collection)
    assert [place[0] for place in near(out, "50,10")] == ["Two\u2028 “lines”"]
    info = run("info", "--file", out)
    assert "Mine: 2 places" in info and "CC0-1.0" in info and "Me\n" in info
    table = tmp_path / "cities.txt.gz"
    table.write_bytes(gzip.compress(b"2643743\tLondon\tLondon\t\t51.50853\t-0.12574\tP\tPPLC\tGB\t\tENG\t\t\t\t8961989\t\t\t\t\n"
                                    b"not a line\n"))
    with open(table, "rb") as file:
        assert "1 places; 1 left out: 1 not a line of GeoNames' tables" in run("import", "--out", out, "-", stdin=file)
    assert near(out, "51.5,-0.12", 5) == [("London", "gn:2643743", "locality")]
    assert "GeoNames: 1 places" in run("info", "--file", out)


def test_bad_features_are_named(tmp_path):
    lines = [json.dumps(feature("A", 1, 1)), '{"type":"Feature",', json.dumps(feature("B", 1, 100)), '{"type":"Thing"}',
             json.dumps(feature("C", 1, 1)), '{"type":]}']
    bad = tmp_path / "bad.ndjson"
    bad.write_text("\n".join(lines) + "\n")
    done = subprocess.run([BIN / "herd-places", "import", "--out", tmp_path / "out.db", bad], capture_output=True, text=True,
                          check=True)
    assert "2 places; 4 left out" in done.stdout
    assert [line.split(": left out: ") for line in done.stderr.splitlines()] == [
        [f"{bad}:2", "cut off"], [f"{bad}:3", "without a geometry on the earth"], [f"{bad}:4", "not a GeoJSON feature"],
        [f"{bad}:6", "not JSON, or not UTF-8"]]


def test_why_no_place_could_be_read(tmp_path):
    """What is left out is counted, and the first ten are named with their line, also when nothing else was there."""
    bad = tmp_path / "bad.geojson"
    point = '{"type":"Feature","geometry":{"type":"Point","coordinates":[1,%d]},"properties":{"name":"A"}}\n'
    cases = (
        (2 * (point % 91).encode(), [1, 2], "without a geometry on the earth"),
        (b'{"x":"' + b"x" * (17 << 20) + b'"}', [1], "larger than 16 MiB"),
        (b"\xfe\x80\n" * 12, range(1, 11), "not a line of GeoNames' tables"), (bytes(4096), [1], "not a line of GeoNames' tables"),
        (b"{broken", [1], "not JSON, or not UTF-8"), (b'{"type":"Feature",', [1], "cut off"))
    for content, lines, why in cases:
        bad.write_bytes(content)
        said = run("import", "--out", tmp_path / "out.db", bad, code=1).splitlines()
        assert said[:-2] == [f"{bad}:{line}: left out: {why}" for line in lines]
        count = content.count(b"\n") or 1
        assert said[-2:] == [f"{bad}: 0 places; {count} left out: {count} {why}", f"herd-places: {bad}: no place in it could be read"]
    bad.write_text('{"type":"Feature","properties":{}}')  # those without a name are counted alone
    assert run("import", "--out", tmp_path / "out.db", bad, code=1).startswith(f"{bad}: 0 places; 1 left out: 1 without a name\n")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.geojson"]


def test_who_is_credited_for_what(tmp_path, make_herd):
    """A source that says no credit adds none to an answer, asked on disk or from memory."""
    features, out = tmp_path / "a.geojson", tmp_path / "out.db"
    features.write_text(json.dumps(feature("A", 10, 50)))
    for words, credit in ([], []), (["--attribution", ""], []), (["--attribution", "me"], ["me"]):
        run("import", "--out", out, *words, features)
        assert json.loads(run("near", "--file", out, "--json", "50,10", 1))["html_attributions"] == credit
    run("import", "--out", out, features)
    server = make_herd({"Hill": []}, places=f'data_file = "{out}"').start()["Hill"]
    with server.client() as client:
        client.ask(b"IAMAT kiwi +50+10 1")
        for _ in range(2):
            answer = json.loads(client.whatsat(b"WHATSAT kiwi 1 1")[1])
            assert answer["html_attributions"] == [] and len(answer["results"]) == 1
            wait_until(lambda: 'msg="in memory"' in server.log(), "it is read")


def test_what_is_cut_short_is_no_new_file(tmp_path):
    """A gzipped file says itself that there is more of it."""
    out, cut = tmp_path / "places.db", tmp_path / "cut.ndjson.gz"
    out.write_text("the old one")
    lines = [json.dumps(feature(f"Place {i}", 1, 1)) + "\n" for i in range(1000)]
    for level in (0, 6):  # also where it ends with a line
        whole = gzip.compress("".join(lines).encode(), level)
        at = whole.index(b"\n", len(whole) // 2) + 1 if level == 0 else len(whole) // 2
        cut.write_bytes(whole[:at])
        done = subprocess.run([BIN / "herd-places", "import", "--out", out, cut], capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr == f"herd-places: {cut}: its gzip data is damaged or cut short: unexpected end of file\n"
        assert out.read_text() == "the old one"


def test_a_gzipped_file_that_is_damaged(tmp_path):
    """Within its first block, before there is a byte of it, too."""
    out, bad = tmp_path / "places.db", tmp_path / "bad.geojson.gz"
    whole = gzip.compress("".join(json.dumps(feature(f"Place {i}", 1, 1)) + "\n" for i in range(1000)).encode())
    wrong_sum = whole[:-8] + bytes(4) + whole[-4:]
    for content, why in ((whole[:30], "unexpected end of file"), (whole[:12], "unexpected end of file"), (wrong_sum, "incorrect data check"),
                         (whole[:10] + b"\xff" * 100, "invalid block type")):
        bad.write_bytes(content)
        said = run("import", "--out", out, bad, code=1)
        assert said == f"herd-places: {bad}: its gzip data is damaged or cut short: {why}\n", content[:40]
    assert not out.exists()


def test_a_line_with_nul_takes_no_other_with_it(tmp_path):
    out, table = tmp_path / "places.db", tmp_path / "table.txt"
    rows = ["\t".join([str(i), name, "", "", "50", "10", "P", "PPL", "DE", *[""] * 10]) + "\n"
            for i, name in enumerate(["A", "B\0b", "C", "D"])]
    table.write_text("".join(rows))
    assert "3 places; 1 left out: 1 not a line of GeoNames' tables" in run("import", "--out", out, table)


def test_failures_say_why_and_leave_the_old_file(tmp_path):
    good, out = tmp_path / "good.geojson", tmp_path / "out.db"
    good.write_text(json.dumps(feature("A", 1, 1)))
    run("import", "--out", out, good)
    before = out.read_bytes()
    (tmp_path / "cut.geojson").write_text('{"type":"FeatureCollection","features":[' + json.dumps(feature("B", 1, 1)))
    (tmp_path / "empty").write_text("")
    for name, words in (("none", "No such file"), ("cut.geojson", "ends too early"), ("empty", "is empty"), (".", "is a folder")):
        assert words in run("import", "--out", out, tmp_path / name, code=1)
        assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.geojson", "empty", "good.geojson", "out.db"]
    assert "herd-places import" in run("import", code=2)
    assert "herd-places import" in run("import", "--format", "xml", good, code=2)


def features_of(count, note):
    chance = random.Random(1)
    for i in range(count):
        place = feature(f"Place {i}", chance.uniform(-180, 180), chance.uniform(-90, 90), amenity="cafe", note=note)
        yield (json.dumps(place) + "\n").encode()


def begin_import(out):
    return subprocess.Popen([BIN / "herd-places", "import", "--out", out, "-"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def import_as_a_stream(out, features):
    """What it says of its memory, in MiB, and how many bytes it was given."""
    process, size = begin_import(out), 0
    for line in features:
        size += process.stdin.write(line)
    stdout, stderr = process.communicate(timeout=600 * SLOW)
    assert process.returncode == 0, stderr
    return int(re.search(r" (\d+) MiB of memory at most", stdout.decode())[1]), size


def test_a_large_file_in_bounded_memory(tmp_path):
    """The memory it takes at most does not grow with the file, neither with the bytes of its features nor with their
    number; scripts/bench-import does it with millions."""
    out = tmp_path / "out.db"
    scale = 1 if SLOW == 1 else 20  # a sanitizer has a memory of its own: then it is a test of the way alone
    large, small = 50000 // scale, 200000 // scale
    used_mib, size = import_as_a_stream(out, features_of(large, "x" * 3000))
    assert size > 3000 * large and f"{large} places" in run("info", "--file", out)
    many_mib, size = import_as_a_stream(out, features_of(small, ""))
    assert size < 500 * small and f"{small} places" in run("info", "--file", out)
    print(f"{large} features of 3 KB: {used_mib} MiB; {small} small ones: {many_mib} MiB")
    if SLOW == 1:
        assert used_mib < 64 and many_mib < 64


def test_an_interrupted_import_leaves_nothing(tmp_path):
    out = tmp_path / "out.db"
    run("import", "--out", out, "-", input=json.dumps(feature("A", 1, 1)))
    before = out.read_bytes()
    process = begin_import(out)
    process.stdin.write(b"".join(features_of(10000, "")))
    process.stdin.flush()
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2, "it has begun a file")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1, stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.db"] and out.read_bytes() == before


def test_a_server_takes_up_a_new_file(make_herd, tmp_path):
    features, out = tmp_path / "a.geojson", tmp_path / "places.db"

    def make(name):
        features.write_text(json.dumps(feature(name, 10, 50)))
        run("import", "--out", out, features)

    make("First")
    server = make_herd({"Hill": []}, places=f'data_file = "{out}"').start()["Hill"]
    with server.client() as client:
        client.ask(b"IAMAT kiwi +50+10 1")

        def place():
            return json.loads(client.whatsat(b"WHATSAT kiwi 1 1")[1])["results"][0]["name"]

        assert place() == "First"
        make("Second")
        wait_until(lambda: place() == "Second", "the new file is seen")
        make("Third")
        reload(server)
        wait_until(lambda: place() == "Third", "the new file is taken at SIGHUP")
        out.with_name("garbage").write_text("no places file")
        out.with_name("garbage").rename(out)
        wait_until(lambda: "the new places file is no good" in server.log(), "a broken file is told")
        assert place() == "Third"


def test_a_file_that_was_written_into_is_taken_up_later(make_herd, tmp_path):
    """Its last change was seen while its writer had it locked: it is tried again, changed or not."""
    features, out = tmp_path / "a.geojson", tmp_path / "places.db"
    features.write_text(json.dumps(feature("First", 10, 50)))
    run("import", "--out", out, features)
    server = make_herd({"Hill": []}, places=f'data_file = "{out}"').start()["Hill"]
    with server.client() as client, contextlib.closing(sqlite3.connect(out, isolation_level=None)) as writer:
        client.ask(b"IAMAT kiwi +50+10 1")

        def place():
            return json.loads(client.whatsat(b"WHATSAT kiwi 1 1")[1])["results"][0]["name"]

        assert place() == "First"
        writer.execute("BEGIN EXCLUSIVE")
        changed = 2 * (time.time_ns() // 10**9 * 10**9,)
        os.utime(out, ns=changed)
        wait_until(lambda: "the new places file is no good" in server.log(), "it is locked")
        writer.execute("UPDATE place SET name = 'Later'")
        writer.execute("COMMIT")
        os.utime(out, ns=changed)
        wait_until(lambda: place() == "Later", "it is read")
    assert server.log().count("the new places file is no good") == 1


def test_a_new_file_with_a_hole_does_not_take_the_place_of_a_good_one(tmp_path, make_herd):
    """As a copy that was preallocated and broken off, or a crash, leaves one: its first pages are good."""
    out, features = tmp_path / "places.db", tmp_path / "a.ndjson"
    features.write_text("".join(json.dumps(feature(f"Place {i}", 10, 50)) + "\n" for i in range(5000)))
    run("import", "--out", out, features)
    server = make_herd({"Hill": []}, places=f'data_file = "{out}"').start()["Hill"]
    with server.client() as client:
        client.ask(b"IAMAT kiwi +50+10 1")
        client.whatsat(b"WHATSAT kiwi 1 1")
        wait_until(lambda: 'msg="in memory"' in server.log(), "it is read")
        pages = bytearray(out.read_bytes())
        begin = len(pages) // 4096 // 2 * 4096
        pages[begin:begin + 4 * 4096] = bytes(4 * 4096)
        broken = out.with_name("broken")
        broken.write_bytes(pages)
        broken.rename(out)
        wait_until(lambda: "the new places file is no good" in server.log(), "a broken file is told")
        assert len(json.loads(client.whatsat(b"WHATSAT kiwi 1 20")[1])["results"]) == 20
    assert "asked on disk" not in server.log()
