"""What runs the scenarios tells of them. No timing fails here."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from herdlib import BIN

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "test/bench"))
import scenarios  # noqa: E402, where it is has to be known first


def run(*options, programs=BIN, status=0):
    done = subprocess.run(["/usr/bin/python3", "-B", ROOT / "test/bench/run.py", *options], capture_output=True, text=True,
                          env={**os.environ, "HERD_BIN": str(programs)}, timeout=300)
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stdout


def rows(scenario):
    return {row["what"]: row for row in scenario["rows"]}


def test_json_says_what_was_measured_and_how():
    told = json.loads(run("--json", "--quick", "trees"))
    assert told["options"] == {"rounds": 1, "seconds": 0.3, "urgent": False, "quick": True}
    assert told["machine"]["memory_mib"] > 100 and told["machine"]["cpus"] > 0
    assert told["program"].keys() == {"commit", "changed", "compiler", "build"}
    assert told["program"]["compiler"]


def test_large_herds_of_the_simulator_have_their_ratios():
    found = rows(json.loads(run("--json", "--quick", "trees"))["scenarios"]["trees"])
    lines = found["20: lines an update after the first, by V-1"]
    assert 1 <= lines["value"] < 1.2 and lines["limit"] == 1.05
    assert 0.9 < found["20: time until it is everywhere, by flooding's"]["value"] < 1.2
    assert "20: time until it is everywhere, by flooding's" in run("--quick", "trees")


def test_each_durability_has_its_row_and_ratio():
    found = rows(json.loads(run("--json", "--quick", "durability"))["scenarios"]["durability"])
    for pipeline in (1, 16, 64):
        bare = found[f"bare-server, pipeline {pipeline}"]["value"]
        for kept in ("none", "interval", "commit"):
            what = f"{kept}, pipeline {pipeline}"
            assert found[f"{what}: ratio"]["value"] == found[what]["value"] / bare
            assert found[f"{what}: answers a second"]["value"] > 0
            assert f"{what}: the loop's part" in found


def programs_with_bench(folder, script):
    """All programs, with a script in place of herd-bench, which notes first what it is asked for in the file `asked`."""
    for program in BIN.resolve().iterdir():
        if program.name != "herd-bench":
            (folder / program.name).symlink_to(program)
    bench = folder / "herd-bench"
    bench.write_text(f'#!/bin/sh\necho "$@" >>"{folder}/asked"\n{script}\n')
    bench.chmod(0o755)


def test_a_run_in_which_nothing_was_answered_is_made_again_longer(tmp_path):
    # The first three runs end before an answer.
    programs_with_bench(tmp_path, f"""\
"{BIN.resolve()}/herd-bench" "$@" >"{tmp_path}/out" || exit 1
[ $(wc -l <"{tmp_path}/asked") -gt 3 ] || sed -i 's/"measured":[0-9]*/"measured":0/' "{tmp_path}/out"
cat "{tmp_path}/out"
""")
    assert rows(json.loads(run("--json", "--quick", "baseline", programs=tmp_path))["scenarios"]["baseline"])
    asked = [float(seconds) for seconds in re.findall(r"--duration (\S+)", (tmp_path / "asked").read_text())]
    assert asked[:5] == pytest.approx([0.3, 0.6, 1.2, 2.4, 0.3])


def test_a_scenario_fails_where_nothing_is_ever_answered(tmp_path):
    programs_with_bench(tmp_path, """echo '{"measured": 0, "unsent": 0}'""")
    told = json.loads(run("--json", "--quick", "baseline", programs=tmp_path, status=1))["scenarios"]["baseline"]
    assert told == {"failed": "nothing was answered in 4.8 s"}


@pytest.mark.parametrize("scenario", ["baseline", "two"])
def test_each_answer_has_to_have_its_servers_name(tmp_path, scenario):
    programs_with_bench(tmp_path, f'exec "{BIN.resolve()}/herd-bench" "$@"')
    assert rows(json.loads(run("--json", "--quick", scenario, programs=tmp_path))["scenarios"][scenario])
    asked = [re.findall(r"--server (\S+)", words) for words in (tmp_path / "asked").read_text().splitlines()]
    of = {"baseline": [["Bare"], ["Hill"]], "two": [["Hill"], ["Hill", "Jaquez"], ["Jaquez"]]}[scenario]
    assert sorted(map(list, {tuple(names) for names in asked})) == of


def test_a_scenario_that_fails_is_told_with_its_reason(tmp_path):
    program = tmp_path / "sim-trees"
    program.write_text("#!/bin/sh\necho it broke\nexit 1\n")
    program.chmod(0o755)
    told = json.loads(run("--json", "--quick", "trees", "growth", programs=tmp_path, status=1))
    assert told["scenarios"]["trees"] == {"failed": "20: sim-trees ended with 1: it broke"}
    assert "herd-server" in told["scenarios"]["growth"]["failed"]


def test_updates_that_are_not_everywhere_in_time_fail_the_scenario(tmp_path):
    program = tmp_path / "sim-trees"
    program.write_text(f'#!/bin/sh\nexec "{BIN}/sim-trees" "$@" --near 900 --far 900\n')
    program.chmod(0o755)
    told = json.loads(run("--json", "--quick", "trees", programs=tmp_path, status=1))["scenarios"]["trees"]
    assert told["failed"].startswith("20: updates that were not everywhere in time: ") and "pruning" in told["failed"]


def test_a_status_that_the_ratios_do_not_explain_fails_the_scenario(tmp_path):
    program = tmp_path / "sim-trees"
    program.write_text(f'#!/bin/sh\n"{BIN}/sim-trees" "$@"\nexit 3\n')
    program.chmod(0o755)
    told = json.loads(run("--json", "--quick", "trees", programs=tmp_path, status=1))["scenarios"]["trees"]
    assert told["failed"].startswith("20: sim-trees ended with 3")


def crowded(answered, neighbour):
    return scenarios.Crowded(scenarios.Seen(answered, neighbour, 0), pace=0, again_ms=answered * 10, kib=0)


def test_a_crowd_that_hurts_in_one_round_of_three_shows():
    """By the ratios of rounds: the best of all rounds is 1 ms without and with the crowd, and at the neighbour as well."""
    pairs = [(scenarios.Seen(1, 1, 0), crowded(5, 1)), (scenarios.Seen(3, 1, 0), crowded(3, 1.5)),
             (scenarios.Seen(2, 2, 0), crowded(1, 2))]
    found = {row.what: (row.value, row.limit) for row in scenarios.overload_rows("crowd", pairs, 4)}
    assert found["ratio, crowd: p99, median"] == (1, 2) and found["ratio, crowd: p99, worst"] == (5, 2)
    assert found["ratio, crowd: p99 at the neighbour, median"] == (1, 2)
    assert found["ratio, crowd: p99 at the neighbour, worst"] == (1.5, 2)
    assert [found[f"{when} crowd: p99, {of}"][0] for when in ("before", "with") for of in ("median", "worst")] == [2, 3, 3, 5]
    assert found["with crowd: a neighbour begun anew holds all after, worst"][0] == 50
    assert found["crowd: rounds that count, of 4"][0] == 3
