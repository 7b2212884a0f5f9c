"""The workspace: what is written comes back, the same bytes each time, and a good file stays good."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from geo import schema, workspace
from geo.errors import (
    GeometryTypeError,
    InputError,
    MismatchError,
    MissingDatumError,
    OutputError,
    WorkspaceError,
)
from geo.workspace import geopackage
from tests.geo.county import CRS, X0, Y0, county_tables
from tests.helpers import ROOT


@pytest.fixture(scope="module")
def tables():
    return county_tables()


@pytest.fixture(scope="module")
def county(tables, tmp_path_factory):
    path = tmp_path_factory.mktemp("county") / "county.gpkg"
    workspace.write(path, tables, crs=CRS)
    return workspace.open(path)


def rows_of(path, query, *parameters):
    with closing(sqlite3.connect(path)) as base:
        return base.execute(query, parameters).fetchall()


def comparable(table, layer):
    """Promised columns and geometry alone, as they come back."""
    out = pd.DataFrame(schema.conform(pd.DataFrame(table), layer)[schema.column_names(layer)])
    if layer not in workspace.GEOMETRIES:
        return out.reset_index(drop=True)
    return gpd.GeoDataFrame(out, geometry=table.geometry.to_numpy(), crs=CRS).reset_index(drop=True)


# What is written comes back


def test_every_layer_comes_back_as_it_was_written(tables, county):
    for layer, table in tables.items():
        assert_frame_equal(county.read(layer), comparable(table, layer))


def test_all_layers_are_there_and_those_not_given_are_empty(county):
    assert county.layers == schema.RUN_LAYERS
    for layer in ("shifts", "runs", "code_register"):
        empty = county.read(layer)
        assert len(empty) == 0
        assert_frame_equal(empty, schema.conform(pd.DataFrame(), layer)[schema.column_names(layer)])


def test_a_workspace_without_any_table_can_be_read(tmp_path):
    workspace.write(tmp_path / "empty.gpkg", {}, crs=CRS)
    opened = workspace.open(tmp_path / "empty.gpkg")
    assert len(opened.read("pieces")) == 0
    assert opened.read("pieces").crs == CRS


texts = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
values = {
    "str": texts,
    "float": st.none() | st.floats(allow_nan=False),
    "bool": st.booleans(),
    "Int64": st.none() | st.integers(-(2**63), 2**63 - 1),
}
place = st.integers(0, 10**6)
squares = st.builds(
    lambda x, y, s: box(X0 + x, Y0 + y, X0 + x + s, Y0 + y + s), place, place, st.integers(1, 99)
)
pairs = squares.map(lambda s: MultiPolygon([s, shapely.affinity.translate(s, 200, 0)]))
shapes = {
    "MultiPolygon": st.none() | squares | pairs,
    "Point": st.none() | st.builds(lambda x, y: Point(X0 + x, Y0 + y), place, place),
}


@st.composite
def random_tables(draw):
    """Some layers, with 0 to 3 rows of anything their columns may hold."""
    out = {}
    for layer in draw(st.sets(st.sampled_from(list(schema.RUN_LAYERS)[:-1]), min_size=1, max_size=3)):
        count = draw(st.integers(0, 3))
        data = {
            column.name: pd.Series(
                [draw(values[column.dtype]) for _ in range(count)],
                dtype={"float": "float64", "str": "str"}.get(column.dtype, column.dtype),
            )
            for column in schema.columns(layer)
        }
        out[layer] = pd.DataFrame(data, index=range(count))
        if layer in workspace.GEOMETRIES:
            geometry = [draw(shapes[workspace.GEOMETRIES[layer]]) for _ in range(count)]
            out[layer] = gpd.GeoDataFrame(out[layer], geometry=geometry, crs=CRS)
    return out


@settings(max_examples=8)  # each writes and reads a file
@given(made=random_tables())
def test_writing_and_reading_is_the_identity(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("any") / "any.gpkg"
    workspace.write(path, made, crs=CRS)
    opened = workspace.open(path)
    for layer, table in made.items():
        assert_frame_equal(opened.read(layer), comparable(table, layer))


def test_columns_a_layer_does_not_promise_are_left_out(tmp_path, tables):
    named = tables["parcels"].assign(contractor_name="张三")
    workspace.write(tmp_path / "w.gpkg", {"parcels": named}, crs=CRS)
    assert "张三".encode() not in (tmp_path / "w.gpkg").read_bytes()
    assert workspace.open(tmp_path / "w.gpkg").read("parcels").columns.tolist() == [
        *schema.column_names("parcels"),
        "geometry",
    ]


def test_tables_are_left_as_they_were(tmp_path):
    ours, untouched = county_tables(), county_tables()
    workspace.write(tmp_path / "w.gpkg", ours, crs=CRS)
    for layer in ours:
        assert_frame_equal(ours[layer], untouched[layer])


def test_heights_are_dropped(tmp_path):
    tall = gpd.GeoDataFrame(geometry=[Polygon([(0, 0, 9), (1, 0, 9), (1, 1, 9)])], crs=CRS)
    workspace.write(tmp_path / "w.gpkg", {"patches": tall}, crs=CRS)
    (shape,) = workspace.open(tmp_path / "w.gpkg").read("patches").geometry
    assert not shape.has_z
    assert shape.area == 0.5


def test_an_empty_polygon_stays_empty(tmp_path):
    bare = gpd.GeoDataFrame(geometry=[Polygon(), box(0, 0, 1, 1), None], crs=CRS)
    workspace.write(tmp_path / "w.gpkg", {"patches": bare}, crs=CRS)
    back = workspace.open(tmp_path / "w.gpkg").read("patches").geometry
    assert back.is_empty.tolist() == [True, False, False]
    assert back.isna().tolist() == [False, False, True]


# Reading a part


def test_a_condition_and_columns_choose_rows_and_columns(county):
    blocks = county.read("pieces", where="piece_shape = 'BLOCK'", columns=["area_m2", "piece_code"])
    assert blocks.columns.tolist() == ["area_m2", "piece_code", "geometry"]
    assert blocks["area_m2"].tolist() == [4000.0, 7000.0, 5000.0]
    assert county.read("pieces", geometry=False).columns.tolist() == schema.column_names("pieces")


def test_a_box_chooses_rows_by_place_in_their_own_order(tmp_path):
    x = np.random.default_rng(0).permutation(2000) * 10.0
    shapes_ = shapely.box(X0 + x, Y0, X0 + x + 5, Y0 + 5)
    patches = gpd.GeoDataFrame({"source_row": range(2000)}, geometry=shapes_, crs=CRS)
    workspace.write(tmp_path / "w.gpkg", {"patches": patches}, crs=CRS)
    window = (X0 + 4000, Y0, X0 + 8000, Y0 + 5)
    held = workspace.open(tmp_path / "w.gpkg").read("patches", bbox=window)["source_row"]
    assert held.tolist() == np.flatnonzero((x + 5 >= 4000) & (x <= 8000)).tolist()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"layer": "rivers"}, "没有图层 rivers"),
        ({"layer": "pieces", "columns": ["colour"]}, "没有列 colour"),
        ({"layer": "pieces", "where": "no such ="}, "条件 no such ="),
        ({"layer": "balance", "bbox": (0, 0, 1, 1)}, "不能按范围"),
    ],
)
def test_a_question_that_has_no_answer_is_refused(county, asked, told):
    with pytest.raises(InputError, match=told):
        county.read(asked.pop("layer"), **asked)


# The same bytes


def test_the_same_tables_give_the_same_bytes_later_and_elsewhere(tmp_path, tables, county):
    time.sleep(0.01)  # the standard's stamps count milliseconds
    workspace.write(tmp_path / "other name.gpkg", county_tables(), crs=CRS)
    assert (tmp_path / "other name.gpkg").read_bytes() == county.path.read_bytes()
    workspace.write(tmp_path / "other name.gpkg", tables, crs=CRS)  # in place of an older one
    assert (tmp_path / "other name.gpkg").read_bytes() == county.path.read_bytes()


def test_what_was_read_can_be_written_to_the_same_bytes(tmp_path, county):
    again = {layer: county.read(layer) for layer in county.layers}
    workspace.write(tmp_path / "w.gpkg", again, crs=county.crs)
    assert (tmp_path / "w.gpkg").read_bytes() == county.path.read_bytes()


def test_gdal_is_left_as_it_was_set(tmp_path):
    pyogrio.set_gdal_config_options({"OGR_SQLITE_SYNCHRONOUS": "NORMAL"})
    try:
        workspace.write(tmp_path / "w.gpkg", {}, crs=CRS)
        assert pyogrio.get_gdal_config_option("OGR_SQLITE_SYNCHRONOUS") == "NORMAL"
        assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None
    finally:
        pyogrio.set_gdal_config_options({"OGR_SQLITE_SYNCHRONOUS": None})


# What is in the file


def test_meta_says_version_system_title_and_county(county):
    meta = county.read("meta").set_index("key")["value"]
    assert meta.to_dict() == {
        "schema_version": str(schema.WORKSPACE_VERSION),
        "crs": "EPSG:4526",
        "title": "寿阳县套图成果",
        "county_code": "140725",
    }
    assert county.crs == CRS
    assert county.version == schema.WORKSPACE_VERSION


def test_meta_of_the_caller_is_kept_but_not_his_version(tmp_path):
    own = pd.DataFrame({"key": ["schema_version", "note", "title"], "value": ["99", "第二次", "某县"]})
    workspace.write(tmp_path / "w.gpkg", {"meta": own}, crs=CRS)
    meta = workspace.open(tmp_path / "w.gpkg").read("meta").set_index("key")["value"]
    assert meta["schema_version"] == str(schema.WORKSPACE_VERSION)
    assert (meta["note"], meta["title"]) == ("第二次", "某县")


def test_a_system_without_a_number_comes_back(tmp_path):
    local = "+proj=tmerc +lon_0=113.25 +k=1 +x_0=500000 +ellps=GRS80 +units=m +type=crs"
    patches = gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs=local)
    workspace.write(tmp_path / "w.gpkg", {"patches": patches}, crs=local)
    assert workspace.open(tmp_path / "w.gpkg").read("patches").crs == patches.crs


def test_layers_and_columns_have_chinese_titles(county):
    held = dict(rows_of(county.path, "SELECT table_name, identifier FROM gpkg_contents"))
    assert {layer: held[layer] for layer in schema.RUN_LAYERS} == {
        layer: schema.LAYER_TITLES[layer] for layer in schema.RUN_LAYERS
    }
    for layer in schema.RUN_LAYERS:
        query = "SELECT column_name, title FROM gpkg_data_columns WHERE table_name = ?"
        assert dict(rows_of(county.path, query, layer)) == schema.titles(layer)


def test_columns_stand_in_their_promised_order(county):
    for layer in schema.RUN_LAYERS:
        held = [name for _, name, *_ in rows_of(county.path, f"PRAGMA table_info({layer})")]
        first = ["fid", "geom"] if layer in workspace.GEOMETRIES else ["fid"]
        assert held == first + schema.column_names(layer)


def test_row_counts_and_spatial_indexes_are_right(county, tables):
    told = dict(rows_of(county.path, "SELECT table_name, feature_count FROM gpkg_ogr_contents"))
    for layer, table in tables.items():
        assert told[layer] == len(table)
    for layer in workspace.GEOMETRIES:
        held = county.read(layer).geometry
        ((indexed,),) = rows_of(county.path, f"SELECT count(*) FROM rtree_{layer}_geom")
        assert indexed == (held.notna() & ~held.is_empty).sum()


def test_every_layer_has_one_default_style_with_titles(county):
    query = "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
    styles = {name: (geom, default, qml) for name, geom, default, qml in rows_of(county.path, query)}
    assert list(styles) == list(schema.RUN_LAYERS)
    for layer, (geom, default, qml) in styles.items():
        assert geom == ("geom" if layer in workspace.GEOMETRIES else "")
        assert default == 1
        assert ("<renderer-v2" in qml) == (layer in workspace.GEOMETRIES)
        for name, title in schema.titles(layer).items():
            assert f'<alias field="{name}" name="{title}" />' in qml


def test_styles_know_every_class_shape_and_severity():
    pieces, patches, findings = (workspace.style(layer) for layer in ("pieces", "patches", "findings"))
    for word in ("UNCONFIRMED", "NEWLY_ADDED", "UNDETERMINED", "STRIP", "SLIVER"):
        assert f"= '{word}'" in pieces
    for word in ("COLLECTIVE", "STATE", "SHARE_BASED"):
        assert f'<category value="{word}"' in patches
    for word in ("error", "warning", "info"):
        assert f'<category value="{word}"' in findings


# Some layers written anew


def test_amending_a_layer_leaves_the_others_to_the_byte(tables, county, tmp_path):
    path = tmp_path / "w.gpkg"
    shutil.copy(county.path, path)
    frame = gpd.GeoDataFrame(
        {"sheet_key": ["a"], "page": [1]}, geometry=[box(X0, Y0, X0 + 9, Y0 + 9)], crs=CRS
    )
    workspace.amend(path, {"sheets": frame})
    amended = workspace.open(path)
    assert amended.read("sheets")["sheet_key"].tolist() == ["a"]
    workspace.write(tmp_path / "whole.gpkg", tables | {"sheets": frame}, crs=CRS)
    assert path.read_bytes() == (tmp_path / "whole.gpkg").read_bytes()
    workspace.amend(path, {"sheets": frame.iloc[:0]})
    assert path.read_bytes() == county.path.read_bytes()


def test_a_workspace_from_before_there_were_sheets_opens_and_can_take_them(county, tmp_path):
    path = tmp_path / "old.gpkg"
    shutil.copy(county.path, path)
    with closing(sqlite3.connect(path)) as base:
        base.execute("DELETE FROM gpkg_contents WHERE table_name = 'sheets'")
        base.commit()
    old = workspace.open(path)
    assert "sheets" not in old.layers
    workspace.amend(path, {"sheets": gpd.GeoDataFrame({"sheet_key": ["a"]}, geometry=[None], crs=CRS)})
    assert workspace.open(path).read("sheets")["sheet_key"].tolist() == ["a"]


def test_a_workspace_from_before_parcels_were_moved_is_read_with_the_column_empty(county, tmp_path):
    path = tmp_path / "old.gpkg"
    shutil.copy(county.path, path)
    now = workspace.open(path).read("parcels")
    with closing(sqlite3.connect(path)) as base:
        base.execute("ALTER TABLE parcels DROP COLUMN shift_key")
        base.commit()
    old = workspace.open(path).read("parcels")
    assert old["shift_key"].isna().all()
    assert_geodataframe_equal(old.drop(columns="shift_key"), now.drop(columns="shift_key"))
    assert list(workspace.open(path).read("parcels", columns=["shift_key", "parcel_code"])) == [
        "shift_key", "parcel_code", "geometry",
    ]  # fmt: skip


# A good workspace stays good


@pytest.fixture
def good(tmp_path, county):
    path = tmp_path / "good" / "w.gpkg"
    path.parent.mkdir()
    shutil.copy(county.path, path)
    return path


def assert_untouched(path, county):
    assert path.read_bytes() == county.path.read_bytes()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("layer", ["patches", "pieces", "meta"])
def test_a_failure_at_any_layer_leaves_the_old_workspace(good, county, tables, monkeypatch, layer):
    true_append = geopackage._append

    def failing(scratch, name, table, crs):
        if name == layer:
            raise pyogrio.errors.DataSourceError("sqlite3_step() failed: database or disk is full")
        true_append(scratch, name, table, crs)

    monkeypatch.setattr(geopackage, "_append", failing)
    with pytest.raises(OutputError, match=r"w\.gpkg.*磁盘已满.*原有文件未改动"):
        workspace.write(good, tables, crs=CRS)
    assert_untouched(good, county)


def test_rows_lost_without_a_word_are_noticed(good, county, tables, monkeypatch):
    true_append = geopackage._append
    monkeypatch.setattr(
        geopackage, "_append", lambda s, name, table, crs: true_append(s, name, table[:1], crs)
    )
    with pytest.raises(OutputError, match="rows"):
        workspace.write(good, tables, crs=CRS)
    assert_untouched(good, county)


@pytest.mark.parametrize("limit", [30_000, 150_000, 260_000])
def test_a_file_that_cannot_grow_leaves_the_old_workspace(good, county, tables, limit):
    assert county.path.stat().st_size > limit
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OutputError, match=r"写不了工作区 .*w\.gpkg"):
            workspace.write(good, tables, crs=CRS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_untouched(good, county)


def test_a_full_disk_leaves_the_old_workspace(tmp_path, county, tables):
    disk = tmp_path / "disk"
    disk.mkdir()
    size = county.path.stat().st_size + 200_000
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small disk")
    try:
        shutil.copy(county.path, disk / "w.gpkg")
        with pytest.raises(OutputError, match="磁盘已满"):
            workspace.write(disk / "w.gpkg", tables, crs=CRS)
        assert_untouched(disk / "w.gpkg", county)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("moment", ["_append", "_verify"])
def test_a_kill_at_any_moment_leaves_the_old_workspace(good, county, moment):
    script = f"""
import sys, time
from geo import workspace
from tests.geo.county import CRS, county_tables
from geo.workspace import geopackage
true = geopackage.{moment}
def stuck(*arguments):
    true(*arguments)
    print("now", flush=True)
    time.sleep(60)
geopackage.{moment} = stuck
workspace.write(sys.argv[1], county_tables(), crs=CRS)
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", script, good], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "now\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert good.read_bytes() == county.path.read_bytes()
    (left,) = (path for path in good.parent.iterdir() if path not in {good, good.with_name(".w.gpkg.lock")})
    long_ago = time.time() - 7200
    os.utime(left, (long_ago, long_ago))
    workspace.write(good, county_tables(), crs=CRS)
    assert_untouched(good, county)


def test_a_workspace_open_for_editing_elsewhere_is_not_replaced(good, county, tables):
    with closing(sqlite3.connect(good)) as editor:
        editor.execute("PRAGMA journal_mode=WAL")
        editor.execute("UPDATE balance SET name = 'edited'")
        editor.commit()
        with pytest.raises(OutputError, match="正被其他程序打开"):
            workspace.write(good, tables, crs=CRS)
        assert editor.execute("SELECT DISTINCT name FROM balance").fetchall() == [("edited",)]
    workspace.write(good, tables, crs=CRS)
    assert_untouched(good, county)


def test_a_journal_left_beside_it_is_never_replayed_into_the_new_one(good, county, tables):
    crashed = f"""
import os, sqlite3
editor = sqlite3.connect({str(good)!r})
editor.execute("PRAGMA journal_mode=WAL")
editor.execute("UPDATE balance SET name = 'edited'")
editor.commit()
os._exit(1)
"""
    subprocess.run([sys.executable, "-c", crashed], check=False)
    assert good.with_name("w.gpkg-wal").stat().st_size > 0
    workspace.write(good, tables, crs=CRS)
    assert_untouched(good, county)


# Refusals


@pytest.mark.parametrize("name", ["w.sqlite", "w", "w.gpkg.zip"])
def test_another_ending_is_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"须以 \.gpkg 结尾"):
        workspace.write(tmp_path / name, {}, crs=CRS)


def test_a_folder_in_the_way_is_refused(tmp_path):
    (tmp_path / "w.gpkg").mkdir()
    with pytest.raises(OutputError, match="是一个文件夹"):
        workspace.write(tmp_path / "w.gpkg", {}, crs=CRS)
    with pytest.raises(WorkspaceError, match="是一个文件夹"):
        workspace.open(tmp_path / "w.gpkg")


def test_an_unknown_layer_is_refused(tmp_path):
    with pytest.raises(WorkspaceError, match="没有图层 rivers"):
        workspace.write(tmp_path / "w.gpkg", {"rivers": pd.DataFrame()}, crs=CRS)


def test_systems_must_be_there_and_agree(tmp_path, tables):
    with pytest.raises(MissingDatumError, match="需要坐标系"):
        workspace.write(tmp_path / "w.gpkg", tables, crs=None)
    bare = gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1)])
    with pytest.raises(MissingDatumError, match="patches 没有坐标系"):
        workspace.write(tmp_path / "w.gpkg", {"patches": bare}, crs=CRS)
    with pytest.raises(MismatchError, match="villages"):
        workspace.write(tmp_path / "w.gpkg", {"villages": tables["villages"].to_crs(4490)}, crs=CRS)
    assert list(tmp_path.iterdir()) == []


def test_a_line_where_land_is_meant_is_named_by_its_row(tmp_path):
    mixed = gpd.GeoDataFrame(geometry=[None, box(0, 0, 1, 1), LineString([(0, 0), (1, 1)])], crs=CRS)
    with pytest.raises(GeometryTypeError, match="patches 第 2 行的图形是 LineString"):
        workspace.write(tmp_path / "w.gpkg", {"patches": mixed}, crs=CRS)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="没有工作区文件"):
        workspace.open(tmp_path / "w.gpkg")


def test_an_address_of_a_server_is_refused():
    with pytest.raises(WorkspaceError, match=r"工作区是 \.gpkg 文件"):
        workspace.open("mysql://county/taotu")


def test_a_file_that_is_no_workspace_is_refused(tmp_path, tables):
    text, empty, other = tmp_path / "text.gpkg", tmp_path / "empty.gpkg", tmp_path / "other.gpkg"
    text.write_text("not a database, but long enough to look like one" * 50, encoding="utf-8")
    empty.touch()
    tables["patches"].to_file(other, layer="patches")
    for path in (text, empty, other):
        with pytest.raises(WorkspaceError, match=rf"{path.name} 不是工作区，或已损坏.*taotu reconcile"):
            workspace.open(path)


def test_a_workspace_of_another_version_is_refused(good):
    with closing(sqlite3.connect(good)) as base:
        base.execute("UPDATE meta SET value = '7' WHERE key = 'schema_version'")
        base.commit()
    with pytest.raises(WorkspaceError, match=r"w\.gpkg 是第 7 版的工作区，本程序只读第 1 版"):
        workspace.open(good)


def test_a_workspace_that_lacks_a_layer_is_refused(good):
    with closing(sqlite3.connect(good)) as base:
        base.execute("DELETE FROM gpkg_contents WHERE table_name = 'pieces'")
        base.commit()
    with pytest.raises(WorkspaceError, match="缺少pieces"):
        workspace.open(good)


def test_a_workspace_cut_short_is_refused_when_opened_or_read(good):
    def read_all():
        opened = workspace.open(good)
        return [opened.read(layer) for layer in opened.layers]

    whole = good.read_bytes()
    for size in range(4096, len(whole), len(whole) // 12):
        good.write_bytes(whole[:size])
        with pytest.raises((WorkspaceError, InputError), match=r"w\.gpkg"):
            read_all()
