"""What a database as a workspace must bear: CRS it does not know, readers meanwhile, servers that are not there."""

import threading

import geopandas as gpd
import pandas as pd
import pyproj
import pytest
from geopandas.testing import assert_geodataframe_equal
from sqlalchemy import text

from geo import schema, workspace
from geo.errors import GeometryTypeError, InputError, OutputError, WorkspaceError
from geo.pipeline import Inputs, reconcile_files
from geo.reconcile import Settings
from geo.sample import SampleSettings, county, deliver
from geo.store import EVERYTHING, Query, open_store
from geo.workspace import postgis as base
from tests.geo.county import CRS, UPPER, W_CODE, X0, Y0, county_tables


@pytest.fixture
def empty(postgis):
    url = postgis.database()
    yield url
    postgis.drop(url)


@pytest.fixture
def url(new_place, postgis):
    made = new_place("postgis")
    yield made
    postgis.drop(made)


def test_a_workspace_reads_the_same_from_a_database_as_from_a_file(empty, county_file):
    workspace.write(empty, county_tables(), crs=CRS)
    file, held = workspace.open(county_file), workspace.open(empty)
    assert (held.crs, held.version, held.layers) == (file.crs, file.version, file.layers)
    for layer in held.layers:
        one, other = file.read(layer), held.read(layer)
        if isinstance(one, gpd.GeoDataFrame):
            assert_geodataframe_equal(one, other)
        else:
            pd.testing.assert_frame_equal(one, other)
    asked = {"where": f"village_code = '{UPPER}'", "bbox": (X0 + 160, Y0, X0 + 300, Y0 + 1000)}
    assert held.read("pieces", **asked)["piece_code"].tolist() == [W_CODE]
    assert held.read("pieces", columns=["piece_code"], geometry=False).columns.tolist() == ["piece_code"]
    assert held.read("pieces", where="area_m2 < 0").empty
    with pytest.raises(InputError, match="读不了"):
        held.read("pieces", where="no such thing")
    with pytest.raises(InputError, match="数据库，不是文件"):
        _ = held.path


def test_texts_come_back_to_the_letter(empty):
    words = ["", None, "引号'\"", "a,b;c\\n", "换\n行", " 空 ", "\\N", "NULL", '""', "%s :x"]
    findings = county_tables()["findings"].iloc[[0] * len(words)].assign(message=words)
    workspace.write(empty, {"findings": findings}, crs=CRS)
    held = workspace.open(empty).read("findings")["message"]
    assert held.astype(object).where(held.notna(), None).tolist() == words


def test_a_system_the_database_does_not_know_gets_a_number_of_its_own(empty):
    local = pyproj.CRS.from_proj4("+proj=tmerc +lon_0=113.25 +x_0=38500000 +ellps=GRS80 +units=m")
    tables = {"patches": county_tables()["patches"].set_crs(local, allow_override=True)}
    workspace.write(empty, tables, crs=local)
    workspace.write(empty, tables, crs=local)
    held = workspace.open(empty)
    assert held.crs == local
    assert held.read("patches").crs == local
    engine = base.engine_of(empty)
    with engine.connect() as connection:
        told = connection.execute(
            text("SELECT srid, auth_name FROM spatial_ref_sys WHERE auth_name = 'taotu'")
        ).all()
        area = connection.execute(
            text("SELECT sum(ST_Area(ST_Transform(geom, 4490)::geography)) FROM taotu.patches")
        )
        assert [tuple(row) for row in told] == [(910_000, "taotu")]
        assert area.scalar_one() > 0
    engine.dispose()
    with open_store(empty) as store:
        assert len(store.query("patches", Query(), EVERYTHING).rows) == 6


def test_a_reader_sees_the_old_layer_or_the_new_one_whole(url):
    opened, stop, seen, failed = workspace.open(url), threading.Event(), set(), []
    pieces = county_tables()["pieces"]

    def read():
        with open_store(url) as store:
            while not stop.is_set():
                try:
                    rows = store.query("pieces", Query(), EVERYTHING).rows
                    seen.add((len(rows), tuple(sorted(set(rows["area_m2"])))))
                    opened.read("pieces")
                except Exception as error:  # noqa: BLE001 - whatever it is, none may come
                    failed.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(6):
        workspace.amend(url, {"pieces": pd.concat([pieces.assign(area_m2=float(number))] * (number + 1))})
    stop.set()
    for reader in readers:
        reader.join()
    assert failed == []
    first = (5, tuple(sorted(set(pieces["area_m2"]))))
    assert seen <= {first, *((5 * (n + 1), (float(n),)) for n in range(6))}
    assert len(seen) > 1


def test_a_failure_leaves_the_old_workspace(url):
    tables = county_tables()
    before = workspace.open(url).read("pieces")
    with pytest.raises(OutputError, match="写入失败"):
        workspace.amend(
            url, {"villages": tables["villages"], "pieces": tables["pieces"].assign(state="a\x00b")}
        )
    with pytest.raises(GeometryTypeError):
        workspace.amend(url, {"pieces": tables["pieces"].set_geometry(tables["pieces"].centroid)})
    assert_geodataframe_equal(workspace.open(url).read("pieces"), before)
    with base._connected(url, "x") as connection:
        assert not [name for name in base.tables_in(connection) if name.startswith("new_")]


def test_titles_are_comments_and_layers_have_their_indexes(url):
    workspace.amend(url, {"pieces": county_tables()["pieces"]})
    with base._connected(url, "x") as connection:
        told = connection.execute(text("SELECT obj_description('taotu.pieces'::regclass)")).scalar_one()
        column = connection.execute(text("SELECT col_description('taotu.pieces'::regclass, 3)")).scalar_one()
        names = (
            connection.execute(text("SELECT indexname FROM pg_indexes WHERE schemaname = 'taotu'"))
            .scalars()
            .all()
        )
        kind = connection.execute(
            text("SELECT type, srid FROM geometry_columns WHERE f_table_name = 'pieces'")
        ).one()
    assert told == schema.LAYER_TITLES["pieces"]
    assert column == "图块键"
    assert tuple(kind) == ("MULTIPOLYGON", 4526)
    assert {"idx_pieces_geom", "idx_pieces_piece_code", "idx_pieces_village_code", "idx_audit_seq"} <= set(
        names
    )
    assert not [name for name in names if name.startswith("new_")]


def test_a_database_that_is_not_there_is_told_without_its_password(empty):
    for call in (workspace.open, open_store):
        with pytest.raises(InputError, match="读取失败") as told:
            call("postgresql://someone:geheim@127.0.0.1:1/county")
        assert "geheim" not in str(told.value)
    with pytest.raises(WorkspaceError, match="没有工作区"):
        workspace.open(empty)
    with pytest.raises(WorkspaceError, match="没有工作区"):
        open_store(empty)


def test_writers_wait_for_each_other(url):
    """The lock is one of the database: it holds between processes as between threads."""
    order = []
    with open_store(url) as one, open_store(url) as other:

        def late():
            with other.write(actor="b") as change:
                order.append("b")
                change.insert("cases", {"piece_key": "b"})

        with one.write(actor="a") as change:
            thread = threading.Thread(target=late)
            thread.start()
            thread.join(0.3)
            change.insert("cases", {"piece_key": "a"})
            order.append("a")
        thread.join()
        assert order == ["a", "b"]
        assert one.verify_audit() == []
        assert one.head()[0] == 2


def test_the_main_job_writes_into_a_database_and_keeps_its_codes(empty, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    deliver(county(SampleSettings(villages=1, seed=3, patches_per_village=30)), tmp_path / "in")
    (held,) = [path.parent for path in (tmp_path / "in").glob("*/矢量数据")]
    inputs = Inputs(survey=tmp_path / "in" / "三调", parcels=held)
    first = reconcile_files(inputs, empty, settings=Settings(jobs=1))
    assert first.out == empty
    reconcile_files(inputs, tmp_path / "w.gpkg", settings=Settings(jobs=1))
    one, other = workspace.open(empty), workspace.open(tmp_path / "w.gpkg")
    for layer in ("pieces", "balance", "code_register", "runs", "meta"):
        pd.testing.assert_frame_equal(pd.DataFrame(one.read(layer)), pd.DataFrame(other.read(layer)))
    with open_store(empty) as store, store.write(actor="李") as change:
        key = one.read("pieces")["piece_key"].iloc[0]
        change.insert("cases", {"piece_key": key, "state": "identified"})
    before = one.read("pieces")[["piece_key", "piece_code"]]
    reconcile_files(inputs, empty, settings=Settings(jobs=1))
    after = one.read("pieces")
    pd.testing.assert_frame_equal(pd.DataFrame(after[["piece_key", "piece_code"]]), pd.DataFrame(before))
    assert after.set_index("piece_key")["state"][key] == "identified"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "w.gpkg"]


def test_a_connection_held_over_the_close_is_closed_when_it_comes_back(url, tmp_path):
    store = open_store(url, folder=tmp_path)
    held, go_on = threading.Event(), threading.Event()
    taken = []

    def reading():
        with store.private().connect() as connection:
            taken.append(connection.connection.driver_connection)
            held.set()
            go_on.wait()

    reader = threading.Thread(target=reading)
    reader.start()
    assert held.wait(10)
    store.close()
    go_on.set()
    reader.join()
    assert [connection.closed for connection in taken] == [True]
