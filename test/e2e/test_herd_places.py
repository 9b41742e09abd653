"""herd-places as a user runs it."""

import gzip
import json
import pathlib
import re
import shutil
import subprocess

from herdlib import BIN

HEAD = (
    "#herd-places\t1\n#name\tTest\n#attribution\t<b>Test</b> data\n#licence\tCC0-1.0\n"
    "#version\tone\n"
)
ROWS = (
    "t:1\tWellington\t-41.28664\t174.77557\tlocality,political\tPPLC\tNZ\t381900\t6180\tNew Zealand\n"
    "t:2\tKelburn\t-41.28\t174.76\tsublocality,political\tPPLX\tNZ\t\t500\tWellington\n"
)


def run(*words, program=BIN / "herd-places", code=0):
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done
    return done.stdout if code == 0 else done.stderr


def build(folder, text=HEAD + ROWS):
    table, places = folder / "test.tsv.gz", folder / "test.db"
    table.write_bytes(gzip.compress(text.encode()))
    assert "test.db: 2 places" in run("build", "--out", places, table)
    return places


def test_build_and_ask(tmp_path):
    places = build(tmp_path)
    lines = run("near", "--file", places, "-41.28664,174.77557", 5).splitlines()
    assert lines[0].split() == ["0.00", "km", "Wellington,", "New", "Zealand", "(locality,political)"]
    assert "Kelburn, Wellington" in lines[1] and lines[2] == "2 of 2 places within 5 km"
    assert run("near", "--file", places, "-41.28664+174.77557", 5, 1).endswith("1 of 2 places within 5 km\n")


def test_what_a_file_says_does_not_reach_the_terminal(tmp_path):
    rows = HEAD + ROWS.splitlines(True)[0] + "t:9\tA\x1b[2Jb\u009bc\u00e9\t1\t1\tlocality\tPPLC\tNZ\t1\t1\tV\x1b]0;x\x07\n"
    line = run("near", "--file", build(tmp_path, rows), "1,1", 1).splitlines()[0]
    assert line.split(None, 2)[2] == "A?[2Jb?c\u00e9, V?]0;x?  (locality)"
    text = run("near", "--file", tmp_path / "test.db", "--json", "1,1", 1)
    assert not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert json.loads(text)["results"][0]["name"] == "A\x1b[2Jb\u009bc\u00e9"


def test_answer_as_a_server_gives_it(tmp_path):
    text = run("near", "--file", build(tmp_path), "--json", "-41.28664,174.77557", 5, 1)
    assert text.endswith("}\n\n") and "\n\n" not in text[:-2]
    answer = json.loads(text)
    assert answer["status"] == "OK" and answer["html_attributions"] == ["<b>Test</b> data"]
    assert [result["name"] for result in answer["results"]] == ["Wellington"]


def test_repeat_measures(tmp_path):
    out = run("near", "--file", build(tmp_path), "--repeat", 200, "-41.28664,174.77557", 5)
    assert out.startswith("200 answers of ") and out.endswith(" a second\n")


def test_info_names_sources_and_licences(tmp_path):
    out = run("info", "--file", build(tmp_path))
    for part in ("Test: 2 places", "CC0-1.0", "made of  one", "Test data\n"):
        assert part in out


def test_info_shows_no_control_bytes(tmp_path):
    """Of a file that somebody else made: its name, licence and credit are shown, not obeyed."""
    features, out = tmp_path / "a\x1b[7m.geojson", tmp_path / "out.db"
    features.write_text('{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"name":"A"}}')
    run("import", "--out", out, "--name", "\x1b[31mred", "--licence", "\x07x", "--attribution", "<b>\x9bme</b>\x7f", features)
    info = run("info", "--file", out)
    assert "\n?[31mred: 1 places\n  licence  ?x\n  made of  a?[7m.geojson\n  credit   ?me?\n" in info
    run("import", "--out", out, features)
    assert "  credit   none\n" in run("info", "--file", out)


def test_default_data_set():
    out = run("info")
    assert "GeoNames: 171075 places" in out and "OurAirports: 59766 places" in out
    assert "CC-BY-4.0" in out and "ODbL-1.0" in out
    assert "Westwood" in run("near", "34.06893,-118.445127", 10)
    assert "15 of 44" in run("near", "34.06893,-118.445127", 10, 15)


def test_program_that_was_moved(tmp_path):
    """The data set is found beside the program, wherever an installation was moved to."""
    program, data = tmp_path / "bin" / "herd-places", tmp_path / "share" / "herd" / "places.db"
    program.parent.mkdir()
    data.parent.mkdir(parents=True)
    shutil.copy(BIN / "herd-places", program)
    shutil.copy(build(tmp_path), data)
    assert "Test: 2 places" in run("info", program=program)


def test_failures_say_why(tmp_path):
    none = tmp_path / "none.db"
    assert f"{none} cannot be opened: No such file or directory" in run("info", "--file", none, code=1)
    table = tmp_path / "bad.tsv"
    table.write_text(HEAD + ROWS + "t:3\n")
    assert f"{table}:8: " in run("build", "--out", tmp_path / "bad.db", table, code=1)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tsv"]


def test_wrong_usage_has_its_reason():
    place, radius, count = "LAT,LON: degrees", "RADIUS_KM: a number, 0 to 50", "COUNT: a whole number, 0 to 20"
    wrong = (
        (["build", "x"], "build: no --out FILE"), (["build", "--out", "x"], "build: no TABLE"),
        (["build", "--out"], "--out: no value behind it"), (["info", "x"], 'info: one word too many: "x"'),
        (["near"], "near: no LAT,LON"), (["near", "1,2"], "near: no RADIUS_KM"),
        (["near", "1,2", 1, 1, 1], 'near: one word too many: "1"'), (["near", "91,0", 1], f'"91,0" is no {place}'),
        (["near", "1,2x", 1], f'"1,2x" is no {place}'), (["near", "1,2", 51], f'"51" is no {radius}'),
        (["near", "1,2", -1], f'"-1" is no {radius}'), (["near", "1,2", 1, 21], f'"21" is no {count}'),
        (["near", "1,2", 1, 1.5], f'"1.5" is no {count}'),
        (["near", "--repeat", 0, "1,2", 1], "--repeat: a whole number from 1 to 1000000000"), (["near", "1,2", 1, "--repeat"], "--repeat: "),
        (["near", "--colour", "red", "1,2", 1], "no option --colour"), (["import"], "import: no FROM"),
        (["import", "a", "b"], 'import: one word too many: "b"'), (["import", "--format", "kml", "a"], '"kml" is no format: geojson, geojsonseq'),
    )
    for words, reason in wrong:
        lines = run(*words, code=2).splitlines()
        assert lines[0].startswith(f"herd-places: {reason}"), words
        assert lines[1:3] == ["Usage:", next(line for line in lines if f"  herd-places {words[0]} " in line)], words
    unknown = run("fly", code=2)
    assert unknown.startswith('herd-places: no command "fly"\nUsage:\n')
    assert unknown.split("\n", 1)[1] == run(code=2) == run("--help") == run("near", "--help")


TAKERS = {"out": "import and build", "file": "near and info", "format": "import", "name": "import", "attribution": "import",
          "licence": "import", "repeat": "near", "json": "near"}


def test_an_option_that_a_command_does_not_take_is_wrong_usage(tmp_path):
    """With what else the command needs, so that nothing but that option is wrong; and nothing is made."""
    places, made = build(tmp_path), tmp_path / "made.db"
    needed = {"import": ["--out", made, tmp_path / "x"], "build": ["--out", made, tmp_path / "test.tsv.gz"], "near": ["--file", places, "1,2", 1],
              "info": ["--file", places]}
    help_of = {command: next(line for line in run("--help").split("\n  herd-places ") if line.startswith(command + " ")) for command in needed}
    for option, takers in TAKERS.items():
        for command, words in needed.items():
            assert (command in takers) == (f"--{option}" in help_of[command]), "help tells the same"
            if command in takers:
                continue
            lines = run(command, *words, f"--{option}", *([] if option == "json" else ["1"]), code=2).splitlines()
            assert lines[0] == f"herd-places: {command} takes no --{option}: that is for {takers}"
            assert lines[1] == "Usage:" and f"  herd-places {command} " in lines[2]
    assert not made.exists()


def test_help_names_versions_and_exit_statuses():
    for words in "herd-places build", "--version", "Exit status: 0 done, 1 ", "2 wrong usage":
        assert words in run("--help")
    assert run("--version").startswith("herd-places ")


def test_the_provider_of_the_docs_compiles(tmp_path):
    """What docs/places.md says of adding one, with the line and the declaration that it speaks of."""
    root = pathlib.Path(__file__).parent.parent.parent
    blocks = re.findall(r"```c\n(.*?)```", (root / "docs/places.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    source = tmp_path / "example.c"
    source.write_text('#include "places/provider.h"\nextern const struct provider_type provider_example;\n' + blocks[0])
    run("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-I", root / "src", "-I", root / "include", "-c", "-o",
        tmp_path / "example.o", source, program="cc")
