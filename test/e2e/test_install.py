"""What `cmake --install` puts where."""

import fcntl
import gzip
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from herdlib import BIN, run, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = BIN.resolve().parent
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


def install(prefix, **environment):
    # One at a time: it writes into the build tree, too.
    with open(BUILD / "install.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run("cmake", "--install", BUILD, "--prefix", prefix, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    install("/usr", DESTDIR=str(folder))
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


def test_what_is_for_the_whole_machine_has_its_configuration_in_etc(installed):
    assert (installed / "etc/herd/herd.conf").exists() and not (installed / "usr/etc").exists()
    assert "--config /etc/herd/herd.conf" in next(installed.rglob("herd-server@.service")).read_text()
    packaged = (ROOT / "packaging/deb/conffiles").read_text().split()
    assert sorted(packaged) == sorted(f"/{path.relative_to(installed)}" for path in (installed / "etc").rglob("*") if path.is_file())


def test_another_prefix_is_not_left(tmp_path):
    """All is below it, as a user who may write nowhere else needs it."""
    prefix = tmp_path / "prefix"
    told = install(prefix)
    outside = [line for line in re.findall(r"^-- (?:Installing|Up-to-date): (.*)$", told, re.M) if not line.startswith(f"{prefix}/")]
    assert outside == [], outside
    conf = prefix / "etc/herd/herd.conf"
    assert f"herd.conf is in {conf.parent}" in told
    assert f"--config {conf} " in next(prefix.rglob("herd-server@.service")).read_text()
    done = run(prefix / "bin/herd-server", "--check", "--config", conf)
    assert done.returncode == 0, done.stderr
    conf.write_text("mine")
    install(prefix)
    assert conf.read_text() == "mine", "an edited one is written over"


def in_a_machine_of_its_own(script):
    """Runs a shell script where /etc/systemd/system, /var/lib and /var/log are empty folders that nobody else sees."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount folders of its own")
    possible = run("unshare", "--mount", "true")
    if possible.returncode != 0:
        pytest.skip(f"no mounts of its own: {possible.stderr}")
    mounts = "mount -t tmpfs none /var/lib && mount -t tmpfs none /var/log && mkdir -p /etc/systemd/system && mount -t tmpfs none /etc/systemd/system"
    done = run("unshare", "--mount", "sh", "-c", f"{mounts} || exit 77; set -e; {script}")
    if done.returncode == 77:
        pytest.skip(f"no folders of its own: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_purge_leaves_nothing_enabled():
    left = in_a_machine_of_its_own(f"""
        cd /etc/systemd/system
        mkdir -p multi-user.target.wants other.target.wants /var/lib/herd/Hill /var/log/herd
        ln -s /lib/systemd/system/herd-server@.service multi-user.target.wants/herd-server@Hill.service
        ln -s /lib/systemd/system/herd-server@.service other.target.wants/herd-server@Smith.service
        ln -s /lib/systemd/system/other.service multi-user.target.wants/other.service
        sh {ROOT}/packaging/deb/postrm remove >/dev/null
        find . -name 'herd*' | grep -q Hill
        sh {ROOT}/packaging/deb/postrm purge >/dev/null
        find . /var/lib/herd* /var/log/herd* -type l -o -name 'herd*' 2>/dev/null || true
    """)
    assert left.split() == ["./multi-user.target.wants/other.service"]


def test_logs_are_rotated_as_the_server_wants_it(installed, tmp_path, make_herd):
    """By logrotate itself, with the path and the signal of this test."""
    if shutil.which("logrotate") is None:
        pytest.skip("no logrotate")
    herd = make_herd({"Hill": []}, extra=f'log_file = "{tmp_path}/log/%s.log"')
    (tmp_path / "log").mkdir(mode=0o750)
    server = herd.start()["Hill"]
    log, old = tmp_path / "log/Hill.log", tmp_path / "log/Hill.log.1"
    # By a thread of its own: an empty file is not rotated.
    wait_until(lambda: log.exists() and "msg=started" in log.read_text(), "the server has written into it")
    text = (installed / "etc/logrotate.d/herd").read_text()
    text = text.replace("/var/log/herd/", f"{tmp_path}/log/")
    text = re.sub(r"if .*?fi\n", f"kill -HUP {server.process.pid}\n", text, flags=re.S)
    (tmp_path / "rotate.conf").write_text(text)
    (tmp_path / "rotate.conf").chmod(0o644)
    done = run(shutil.which("logrotate"), "--force", "--state", tmp_path / "state", tmp_path / "rotate.conf")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: log.exists() and "group=reload msg=done" in log.read_text(), "the server writes into a new file")
    assert "msg=started" in old.read_text()
