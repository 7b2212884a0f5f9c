import csv
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from geo import schema
from geo.errors import InputError, MissingDatumError
from geo.tiles import TILE_COLUMNS, Tile, tile_at, tilejson, tiles_over
from geo.tiles.scheme import WORLD_M, to_world

CHINA = {"lon": st.floats(74, 135), "lat": st.floats(18, 53)}


@given(z=st.integers(0, 22), **CHINA)
def test_the_tile_of_a_place_holds_it(z, lon, lat):
    tile = tile_at(lon, lat, z)
    west, south, east, north = tile.lonlat
    assert west - 1e-9 <= lon <= east + 1e-9
    assert south - 1e-9 <= lat <= north + 1e-9
    assert tile.valid


@given(z=st.integers(0, 21), **CHINA)
def test_a_tile_is_its_four_children_and_each_knows_it(z, lon, lat):
    tile = tile_at(lon, lat, z)
    corners = np.array([child.bounds for child in tile.children])
    middle = corners[0, 2], corners[0, 1]
    assert (*corners[:, :2].min(axis=0), *corners[:, 2:].max(axis=0)) == pytest.approx(tile.bounds, abs=1e-6)
    assert corners[3, [0, 3]] == pytest.approx(middle, abs=1e-6)
    assert {child.parent for child in tile.children} == {tile}


def test_the_world_is_one_tile():
    assert Tile(0, 0, 0).bounds == (-WORLD_M, -WORLD_M, WORLD_M, WORLD_M)
    assert Tile(0, 0, 0).lonlat == pytest.approx((-180, -85.0511287798, 180, 85.0511287798))
    assert Tile(0, 0, 0).parent == Tile(0, 0, 0)
    assert not Tile(1, 2, 0).valid
    assert not Tile(23, 0, 0).valid


@given(**CHINA)
def test_places_lie_where_proj_puts_them(lon, lat):
    x, y = Transformer.from_crs(4326, 3857, always_xy=True).transform(lon, lat)
    share = np.array([[0.5 + x / (2 * WORLD_M), 0.5 - y / (2 * WORLD_M)]])
    assert to_world(np.array([[lon, lat]]), "EPSG:4490") == pytest.approx(share, abs=1e-13)
    assert to_world(np.array([[x, y]]), "EPSG:3857") == pytest.approx(share, abs=1e-13)


@given(
    z=st.integers(9, 19),
    lon=st.floats(112, 116),
    lat=st.floats(30, 40),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
@pytest.mark.parametrize("crs", ["EPSG:4526", "EPSG:4547", "EPSG:4490", "EPSG:3857"])
def test_bounds_in_the_countys_system_hold_every_place_of_the_tile(crs, z, lon, lat, place):
    tile = tile_at(lon, lat, z)
    west, south, east, north = tile.lonlat
    there = Transformer.from_crs(CRS(crs).geodetic_crs, crs, always_xy=True)
    at = west + place[0] * (east - west), south + place[1] * (north - south)
    if crs == "EPSG:3857":
        there = Transformer.from_crs(4326, 3857, always_xy=True)
    x, y = there.transform(*at)
    low_x, low_y, high_x, high_y = tile.within(crs, buffer=0)
    slack = 1e-9 * abs(x + y)
    assert low_x - slack <= x <= high_x + slack
    assert low_y - slack <= y <= high_y + slack


def test_bounds_are_little_wider_than_the_tile():
    tile = tile_at(114.0, 34.7, 16)
    west, south, east, north = tile.within("EPSG:4526", buffer=0)
    ground = (tile.bounds[2] - tile.bounds[0]) * np.cos(np.radians(34.7))
    assert east - west == pytest.approx(ground, rel=0.01)
    assert north - south == pytest.approx(ground, rel=0.01)
    wider = tile.within("EPSG:4526")
    assert wider[0] < west - ground * 79 / 4096


def test_the_whole_world_asks_for_no_more_than_the_system_knows():
    local = CRS("+proj=tmerc +lat_0=0 +lon_0=114.5 +k=1 +x_0=500000 +y_0=0 +ellps=GRS80 +units=m")
    for crs in ("EPSG:4526", local):
        west, south, east, north = Tile(0, 0, 0).within(crs)
        assert np.isfinite([west, south, east, north]).all()
        assert south < 3_800_000 < north
    assert tile_at(-60, -30, 8).within("EPSG:4526") is None


def test_a_system_without_a_datum_is_refused():
    with pytest.raises(MissingDatumError, match="大地基准"):
        Tile(3, 1, 1).within(CRS('LOCAL_CS["site",UNIT["metre",1]]'))


def test_the_tiles_over_a_county_are_counted_from_the_north_west():
    tiles = list(tiles_over((113.9, 34.2, 114.1, 34.4), 11))
    assert tiles == sorted(tiles, key=lambda tile: (tile.y, tile.x))
    assert tile_at(113.9, 34.4, 11) == tiles[0]
    assert tile_at(114.1, 34.2, 11) == tiles[-1]


def test_tilejson_names_fields_in_chinese():
    told = tilejson("parcels", url="/tiles/parcels/{z}/{x}/{y}.mvt", bounds=(113, 34, 114, 35), min_zoom=12)
    assert told["tilejson"] == "3.0.0"
    assert told["name"] == "承包地块"
    assert told["tiles"] == ["/tiles/parcels/{z}/{x}/{y}.mvt"]
    assert told["bounds"] == [113, 34, 114, 35]
    assert told["center"] == [113.5, 34.5, 12]
    (layer,) = told["vector_layers"]
    assert layer["id"] == "parcels"
    assert list(layer["fields"]) == list(TILE_COLUMNS["parcels"])
    assert layer["fields"]["parcel_code"] == "地块编码"
    with pytest.raises(InputError, match="runs"):
        tilejson("runs", url="")


def test_every_layer_that_has_tiles_can_be_asked_for_by_village():
    assert set(TILE_COLUMNS) <= set(schema.SCOPES)


def test_tiles_carry_columns_of_the_dictionary_and_nothing_of_a_person():
    with (files("geo.standards") / "personal.csv").open(encoding="utf-8") as file:
        personal = {row["column"] for row in csv.DictReader(file)}
    telling = ("_name", "address", "phone", "building", "stair", "message", "remark", "file")
    for layer, wanted in TILE_COLUMNS.items():
        columns = {column.name: column for column in schema.columns(layer)}
        assert set(wanted) <= set(columns), layer
        assert not set(wanted) & personal, layer
        assert not [name for name in wanted if columns[name].note.startswith("personal")], layer
        assert not [name for name in wanted if name.endswith(telling)], layer
