"""Existing grids are read as counties keep them."""

import geopandas as gpd
import pytest
import shapely

from geo.errors import InputError, MissingDatumError
from geo.exchange.grid_file import read_grids
from tests.helpers import X0, Y0, ZONE_39, layer


def grids(**columns):
    shapes = [shapely.box(X0 + 100 * n, Y0, X0 + 100 * n + 100, Y0 + 80) for n in range(3)]
    return layer(*shapes, **columns)


CODES = ["140725100200001", "140725100200002", "140725100200003"]


@pytest.mark.parametrize("title", ["网格编码", "网格代码", "网格编号", "WGBM", "grid_code"])
def test_codes_are_found_under_the_names_counties_use(tmp_path, title):
    path = tmp_path / "网格.gpkg"
    grids(**{title: CODES, "网格名称": ["甲", "乙", "丙"]}).to_file(path, layer="网格")
    table = read_grids(path).table
    assert table["grid_code"].tolist() == CODES
    assert table["grid_name"].tolist() == ["甲", "乙", "丙"]


def test_a_shapefile_in_gbk_is_read_with_its_shapes_as_drawn(tmp_path):
    path = tmp_path / "网格.shp"
    given = grids(网格编码=CODES, 网格名称=["甲", "乙", "丙"])
    given.to_file(path, encoding="GBK")
    path.with_suffix(".cpg").unlink()
    reading = read_grids(path)
    assert reading.table["grid_name"].tolist() == ["甲", "乙", "丙"]
    areas = shapely.area(reading.table.geometry.to_numpy())
    assert areas == pytest.approx([8000, 8000, 8000])
    assert path in reading.files


@pytest.mark.parametrize("word", ["MICRO", "微网格"])
def test_micro_grids_are_left_out(tmp_path, word):
    path = tmp_path / "网格.gpkg"
    grids(网格编码=[*CODES[:2], CODES[0] + "01"], 网格类型=["普通网格", "", word]).to_file(path, layer="网格")
    assert read_grids(path).table["grid_code"].tolist() == CODES[:2]


def test_grids_come_in_the_system_of_the_county(tmp_path):
    path = tmp_path / "网格.gpkg"
    grids(网格编码=CODES).to_crs(4490).to_file(path, layer="网格")
    table = read_grids(path, near=grids()).table
    assert table.crs == ZONE_39
    assert table.geometry.distance(grids().geometry).max() < 1e-3


def test_a_file_without_any_name_of_grids_is_read_all_the_same(tmp_path):
    path = tmp_path / "网格.gpkg"
    grids(备注=["甲", "乙", "丙"]).to_file(path, layer="网格")
    table = read_grids(path).table
    assert len(table) == 3
    assert table["grid_code"].isna().all()


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match="没有"):
        read_grids(tmp_path / "没有.gpkg")
    bare = tmp_path / "网格.shp"
    gpd.GeoDataFrame(
        {"WGBM": CODES}, geometry=grids().geometry.translate(-X0, -Y0).to_numpy(), crs=4527
    ).to_file(bare)
    bare.with_suffix(".prj").unlink()
    with pytest.raises(MissingDatumError):
        read_grids(bare)
