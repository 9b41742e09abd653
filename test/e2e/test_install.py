"""What `cmake --install` puts where."""

import fcntl
import gzip
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from herdlib import BIN, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = BIN.resolve().parent
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    # One at a time: it writes into the build tree, too.
    with open(BUILD / "install.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run("cmake", "--install", BUILD, "--prefix", "/usr", env={**os.environ, "DESTDIR": str(folder)})
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def dead_links(folder):
    """page: target of each relative link of the Markdown pages below `folder` that leads nowhere."""
    pages = [page for page in folder.rglob("*.md") if "build" not in page.relative_to(folder).parts]
    assert len(pages) >= 10
    return [f"{page.relative_to(folder)}: {target}" for page in pages for target in LINK.findall(page.read_text())
            if "://" not in target and not (page.parent / target).exists()]


def test_links_between_the_pages_lead_somewhere(installed):
    assert dead_links(ROOT) == []
    assert dead_links(installed / "usr/share/doc/herd") == []


def test_the_unit_names_what_is_installed(installed):
    unit = next(installed.rglob("herd-server@.service")).read_text()
    assert not re.search(r"@\w+@", unit)
    for path in re.findall(r"^(?:ExecStart=|Documentation=file:)(\S+)", unit, re.M):
        assert (installed / path.lstrip("/")).exists(), path


@pytest.mark.parametrize("page", ["herd-server.8", "herdctl.1", "herd-places.1", "herd-bench.1"])
def test_manual_pages_say_what_help_says(installed, page):
    name, section = page.split(".")
    text = gzip.decompress((installed / f"usr/share/man/man{section}/{page}.gz").read_bytes()).decode()
    assert not re.search(r"@\w+@", text)
    assert run(BIN / name, "--help").stdout in text.replace(r"\&", "").replace(r"\-", "-").replace(r"\e", "\\")
    paths = re.findall(r"^\.I (share/\S+)", text, re.M)
    assert paths and all((installed / "usr" / path).exists() for path in paths), paths
    assert re.search(rf"^\.TH {name.upper()} {section} .*\n\.SH NAME\n{name} \\- ".replace("-", r"\\?-"), text), "for apropos"
    if shutil.which("groff"):
        shown = subprocess.run(["groff", "-man", "-Tutf8", "-Kutf8", "-ww"], input=text, capture_output=True, text=True, check=True)
        assert shown.stderr == ""


def test_the_unit_waits_for_a_notification_only_of_a_server_that_sends_one(installed):
    unit = next(installed.rglob("herd-server@.service")).read_text()
    libraries = subprocess.run(["ldd", BIN / "herd-server"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"^Type=(\w+)$", unit, re.M)[1] == ("notify" if "libsystemd" in libraries else "exec")
