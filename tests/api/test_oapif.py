"""The client that QGIS uses, GDAL's driver for OGC API - Features, against a service that really listens."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time

import pyogrio
import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.settings import Settings
from geo import workspace
from geo.workspace import GEOMETRIES
from tests.api.conftest import PASSWORD, QUICK
from tests.geo.county import LOWER, UPPER
from tests.helpers import ROOT

# The driver sends headers of its own and overlooks GDAL_HTTP_HEADERS; it heeds GDAL_HTTP_BEARER.
SERVED = ("patches", "parcels", "pieces", "villages", "findings", "balance", "code_register")


@contextlib.contextmanager
def standing(path):
    """The service on a free port of this machine, in a process of its own: GDAL lets no other thread run meanwhile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "api.main:app_from_environment",
        "--port",
        str(port),
    ]
    server = subprocess.Popen(
        [*command, "--log-level", "error"], cwd=ROOT, env=os.environ | {"TAOTU_WORKSPACE": str(path)}
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            assert server.poll() is None, "the service did not stand"
            assert time.monotonic() < deadline, "the service does not answer"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


@contextlib.contextmanager
def gdal(**options):
    before = {name: pyogrio.get_gdal_config_option(name) for name in options}
    pyogrio.set_gdal_config_options(options)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


@pytest.fixture(scope="module")
def path(county, tmp_path_factory):
    return shutil.copy(county, tmp_path_factory.mktemp("oapif") / "county.gpkg")


@pytest.fixture(scope="module")
def service(path):
    keys = {}
    with TestClient(create_app(path, Settings(**QUICK))) as made:
        accounts = made.app.state.accounts
        for name, role, villages in (("whole", "viewer", None), ("upper", "officer", [UPPER])):
            accounts.add_user(
                name, role=role, by="test", villages=villages, password=PASSWORD, must_change=False
            )
            keys[name] = accounts.add_key(name, label="gdal")[1]
    with standing(path) as address:
        yield address, keys


@pytest.fixture
def source(service):
    address, keys = service
    with gdal(GDAL_HTTP_AUTH="BEARER", GDAL_HTTP_BEARER=keys["whole"]):
        yield f"OAPIF:{address}"


def test_every_collection_is_listed(source):
    listed = {name for name, _ in pyogrio.list_layers(source)}
    assert set(SERVED) <= listed


@pytest.mark.parametrize("layer", SERVED)
def test_a_collection_is_read_whole(source, path, layer):
    stored = workspace.open(path).read(layer)
    got = pyogrio.read_dataframe(source, layer=layer, PAGE_SIZE="2")
    assert len(got) == len(stored)
    key = {"parcels": "parcel_code", "balance": "code"}.get(layer) or next(iter(stored.columns))
    assert sorted(got[key]) == sorted(stored[key])
    if layer in GEOMETRIES:
        stored, got = stored.sort_values(key, kind="stable"), got.sort_values(key, kind="stable")
        there = stored.geometry.notna()
        placed = got.geometry[got.geometry.notna()]
        assert placed.crs.to_epsg() == 4526, "the driver asks for the system the layer is stored in"
        for one, other in zip(placed, stored.geometry[there], strict=True):
            assert one.hausdorff_distance(other) < 1e-4


@pytest.mark.parametrize("named", ["EPSG:4490", "EPSG:4326", "OGC:CRS84"])
def test_a_collection_in_degrees_lies_where_it_lies(source, path, named):
    stored = workspace.open(path).read("pieces").sort_values("piece_code").to_crs("EPSG:4490")
    got = pyogrio.read_dataframe(source, layer="pieces", CRS=named).sort_values("piece_code")
    assert got.crs.is_geographic
    for one, other in zip(got.geometry, stored.geometry, strict=True):
        assert one.hausdorff_distance(other) < 2e-7


def test_a_window_and_a_condition_are_answered_by_the_service(source, path):
    stored = workspace.open(path).read("pieces")
    west, south, east, north = stored.geometry[3].bounds
    got = pyogrio.read_dataframe(source, layer="pieces", bbox=(west + 1, south + 1, east - 1, north - 1))
    assert list(got["piece_code"]) == [stored["piece_code"][3]]
    chosen = pyogrio.read_dataframe(source, layer="pieces", where="piece_class = 'NEWLY_ADDED'")
    assert list(chosen["piece_class"]) == ["NEWLY_ADDED"]


def test_an_officer_s_key_reads_the_officer_s_village_alone(service):
    address, keys = service
    with gdal(GDAL_HTTP_AUTH="BEARER", GDAL_HTTP_BEARER=keys["upper"]):
        for layer in ("pieces", "patches", "villages"):
            got = pyogrio.read_dataframe(f"OAPIF:{address}", layer=layer)
            assert set(got["village_code"]) == {UPPER}
        parcels = pyogrio.read_dataframe(f"OAPIF:{address}", layer="parcels")
        assert not parcels["parcel_code"].str.startswith(LOWER).any()


def test_without_a_key_nothing_is_read(service):
    address, _ = service
    with pytest.raises(pyogrio.errors.DataSourceError):
        pyogrio.list_layers(f"OAPIF:{address}")
