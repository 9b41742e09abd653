import contextlib
import pathlib
import resource
import tempfile

import pytest

import herdlib
import placeslib
import repeats


def pytest_addoption(parser):
    parser.addoption("--without-repeats", action="store_true", help="leave out what repeats.py names, as under valgrind")


# Those that take longest: begun last they would be waited for by nobody but themselves.
LONGEST = ("test_prune.py", "test_durable.py", "test_disk.py")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--without-repeats"):
        repeats.leave_out(config, items)
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_configure():
    """As many open files as the system allows: a test holds thousands of connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture
def open_folder():
    """A folder that everybody may enter; what belongs to pytest is its user's alone."""
    with tempfile.TemporaryDirectory(prefix="herd-test-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        yield folder


@contextlib.contextmanager
def maker_of_herds(root):
    herds = []

    def make(*args, **options):
        folder = root / f"{len(herds)}"  # a control socket's path has 107 bytes at most, and pytest's take most of them
        folder.mkdir()
        herds.append(herdlib.Herd(folder, *args, **options))
        return herds[-1]

    yield make
    try:
        for herd in herds:
            herd.stop()
    finally:
        for herd in herds:
            herd.kill()


@pytest.fixture
def make_herd(tmp_path):
    """Makes herds that are stopped in the end, each of their servers with exit status 0."""
    with maker_of_herds(tmp_path) as make:
        yield make


@pytest.fixture
def herd(make_herd):
    """The seed's five servers, all links up."""
    return make_herd().start()


@pytest.fixture
def server(make_herd):
    """A server without neighbours."""
    return make_herd({"Hill": []}).start()["Hill"]


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    """The same for all tests of a file that ask for it, which must not mind what the others have told it."""
    with maker_of_herds(tmp_path_factory.mktemp("shared")) as make:
        yield make({"Hill": []}).start()["Hill"]


@pytest.fixture
def standin():
    standin = placeslib.StandIn()
    yield standin
    standin.stop()


@pytest.fixture
def make_server(make_herd, standin, tmp_path):
    """Makes a server of its own that asks the stand-in by the API of that name; more lines for its section places."""
    key_file = placeslib.write_key(tmp_path)

    def make(provider, *more, origin=None, timeout_ms=placeslib.LONG_TIMEOUT_MS, extra=""):
        places = placeslib.places_of(provider, key_file, origin or f"http://127.0.0.1:{standin.port}", *more,
                                     timeout_ms=timeout_ms)
        return make_herd({"Hill": []}, places=places, extra=extra).start()["Hill"]

    return make
