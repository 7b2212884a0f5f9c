"""A run is named by what it was made from, and by nothing else."""

import json

import geopandas as gpd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo.provenance import Run, content, hashes

texts = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)


@given(inputs=st.dictionaries(st.text(max_size=5), texts, max_size=3), settings=st.text(max_size=10))
def test_the_same_makes_the_same_name_in_whatever_order(inputs, settings):
    turned = {key: dict(reversed(inputs[key].items())) for key in reversed(inputs)}
    assert Run.of(inputs, settings) == Run.of(turned, settings)
    assert Run.of(inputs, settings + "x").run_id != Run.of(inputs, settings).run_id
    assert Run.of({**inputs, "y": {"z": "1"}}, settings).run_id != Run.of(inputs, settings).run_id


def test_a_library_that_counts_is_part_of_the_name():
    plain, more = Run.of({}, "{}"), Run.of({}, "{}", more=("pytest",))
    assert plain.run_id != more.run_id
    assert json.loads(more.versions)["pytest"] == pytest.__version__


def test_runs_are_kept_in_order_and_a_repeated_one_once():
    first, second = Run.of({}, "1"), Run.of({}, "2")
    rows = second.after(first.after(None))
    assert rows["run_id"].tolist() == [first.run_id, second.run_id]
    assert first.after(rows)["run_id"].tolist() == [first.run_id, second.run_id]


def test_files_are_named_by_content_and_two_of_one_name_told_apart(tmp_path):
    for folder, text in (("a", "1"), ("b", "2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "DK.shp").write_text(text)
    paths = [tmp_path / "a" / "DK.shp", tmp_path / "b" / "DK.shp", tmp_path]
    named = hashes(paths)
    assert set(named) == {"DK.shp", "DK.shp#2"}
    assert hashes(paths[::-1]) == named


def test_the_content_of_a_table_is_its_cells_and_places():
    table = gpd.GeoDataFrame({"code": ["1", None]}, geometry=[shapely.Point(0, 0), None], crs=4490)
    name = content(table, ["code", "geometry"])
    assert content(table.copy(), ["code", "geometry"]) == name
    assert content(table.assign(code=["1", "2"]), ["code", "geometry"]) != name
    moved = table.set_geometry([shapely.Point(0, 1e-9), None], crs=4490)
    assert content(moved, ["code", "geometry"]) != name
