"""One small county in both databases: a test that takes ``store`` runs against each."""

import itertools
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from geo import workspace
from geo.store import open_store
from tests.geo.county import CRS, county_tables

BOTH = ("gpkg", "postgis")


@pytest.fixture(scope="session")
def county_file(tmp_path_factory):
    """The county in a file, never opened as a store."""
    path = tmp_path_factory.mktemp("store") / "county.gpkg"
    workspace.write(path, county_tables(), crs=CRS)
    return path


@pytest.fixture(scope="session")
def county_base(postgis):
    """Name of a database with the county, opened as a store once: copies of it open at once."""
    url = postgis.url("county")
    postgis.run("CREATE DATABASE county TEMPLATE template_postgis")
    workspace.write(url, county_tables(), crs=CRS)
    open_store(url).close()
    return "county"


@pytest.fixture(scope="session")
def new_place(county_file, tmp_path_factory, request):
    """Gives the URL of a fresh copy of the county in a database of a kind."""

    def place(kind):
        if kind == "postgis":
            return request.getfixturevalue("postgis").database(request.getfixturevalue("county_base"))
        path = tmp_path_factory.mktemp("copy") / "county.gpkg"
        shutil.copy(county_file, path)
        return str(path)

    return place


@pytest.fixture(params=BOTH)
def place(request, new_place):
    """URL of a workspace."""
    server = request.getfixturevalue("postgis") if request.param == "postgis" else None
    url = new_place(request.param)
    yield url
    if server:  # tens of megabytes each
        server.drop(url)


@pytest.fixture
def ticking():
    """A clock that goes on by a second each time it is looked at."""
    start = datetime(2026, 3, 1, 8, 0, 0, tzinfo=UTC)
    seconds = itertools.count()
    return lambda: start + timedelta(seconds=next(seconds))


@pytest.fixture
def store(place, ticking, tmp_path):
    """The workspace, opened to be worked on."""
    with open_store(place, clock=ticking, folder=tmp_path / "service") as opened:
        yield opened


@pytest.fixture(scope="session", params=BOTH)
def still(request, new_place, tmp_path_factory):
    """A store for tests that change nothing: one for all of them."""
    with open_store(new_place(request.param), folder=tmp_path_factory.mktemp("still")) as opened:
        yield opened
