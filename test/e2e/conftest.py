import resource

import pytest

import herdlib


def pytest_configure():
    """As many open files as the system allows: a test holds thousands of connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture
def make_herd(tmp_path):
    """Makes herds that are stopped in the end, each of their servers with exit status 0."""
    herds = []

    def make(*args, **options):
        folder = tmp_path / f"herd{len(herds)}"
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
def herd(make_herd):
    """The seed's five servers, all links up."""
    return make_herd().start()


@pytest.fixture
def server(make_herd):
    """A server without neighbours."""
    return make_herd({"Hill": []}).start()["Hill"]
