"""A places file on a disk that does not answer: it may have been replaced, but its thread is still there."""

import json
import signal
import subprocess
import time

import pytest

from herdlib import BIN, DEADLINE_S, SLOW, wait_until
from placeslib import IAMAT, WHATSAT, hang_alone, hanging_read, reload

STOP_S = 5  # stop_timeout_ms


def import_place(path, name):
    place = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [-118.4451, 34.0689]},
             "properties": {"name": name}}
    subprocess.run([BIN / "herd-places", "import", "-", "--out", path], input=json.dumps(place).encode(),
                   capture_output=True, check=True, timeout=DEADLINE_S)


def name_near(client):
    answer = json.loads(client.whatsat(WHATSAT)[1])
    return answer["results"][0]["name"] if answer["results"] else answer["status"]


@pytest.mark.parametrize("how", ["reload", "import", "nothing"])
def test_a_stop_does_not_wait_for_a_places_file_that_hangs(how, make_herd, tmp_path, monkeypatch):
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    import_place(old, "Old")
    places = ['provider = "local"', "memory_max_mib = 0", f'data_file = "{old}"', "total_timeout_ms = 1000"]
    with hanging_read(tmp_path / "hang", monkeypatch) as hang:
        stop_s = STOP_S if SLOW == 1 else 2 * STOP_S  # nearly all of it is waited for
        herd = make_herd({"Hill": []}, places="\n".join(places), extra=f"stop_timeout_ms = {1000 * stop_s}")
        server = herd.start()["Hill"]
        monkeypatch.delenv("LD_PRELOAD")  # for the programs that follow
        with server.client() as client:
            client.ask(IAMAT)
            assert name_near(client) == "Old"
            wait_until(lambda: "opened, asked on disk" in server.log(), "no thread is at it any more")
            hang_alone(hang, old)
            assert name_near(client) == "UNKNOWN_ERROR"
            if how == "reload":
                import_place(new, "New")
                herd.places = herd.places.replace(str(old), str(new))
                herd.write_config()
                reload(server)
            elif how == "import":
                hang_alone(hang, f"{old} (deleted)")
                import_place(old, "New")
                reload(server)
            if how != "nothing":
                wait_until(lambda: name_near(client) == "New", "the new file is asked")
        began = time.monotonic()
        status = server.kill(signal.SIGTERM)
        took_s = time.monotonic() - began
    print(f"{how}: ended after {took_s:.2f} s")
    assert took_s < STOP_S * SLOW
    assert status == 0 and "a thread has not come back" in server.log() and "msg=stopped" in server.log(), server.log()
