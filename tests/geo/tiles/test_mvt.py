import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from mapbox_vector_tile.Mapbox import vector_tile_pb2
from shapely.affinity import scale, translate

from geo.errors import GeometryTypeError, InputError, MissingColumnError, MissingDatumError
from geo.tiles import EXTENT, Tile, TileLayer, encode, feature_ids, shapes, tile_layer
from tests.geo.tiles.decoded import BOX, X0, Y0, ZONE_38, decode, in_units, land, layer, parcels, place

SEEDS = st.integers(0, 2**32 - 1)
MOVES = {12: 8.0, 14: 4.0, 15: 4.0, 16: 1.0, 18: 1.0}  # units an outline may be simplified by
SHOWN = shapely.box(-8, -8, EXTENT + 8, EXTENT + 8)  # what lies on a border may be rounded to either side
INNER = shapely.box(8, 8, EXTENT - 8, EXTENT - 8)


def drawn(fields, tile, **columns):
    """Row of each field that a tile draws, to its shape."""
    told = decode(encode([layer(*fields, **columns)], tile)).get("parcels", {})
    rows = {number: row for row, number in enumerate(feature_ids(parcels(*fields)["parcel_code"]).tolist())}
    return {rows[number]: shape for number, (shape, _) in told.items()}


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, z=st.sampled_from([14, 15, 16, 18]))
def test_a_field_in_a_tile_has_the_area_of_the_field_clipped(seed, z):
    fields = land(seed, count=8, spread=60, size=150)
    tile = place(X0, Y0, z)
    shown = drawn(fields, tile)
    for row, field in enumerate(fields):
        truth = in_units(field, tile).intersection(BOX)
        told = shown.get(row, shapely.Polygon())
        # On each side an outline moves by the tolerance and by rounding; what is thin is widened by a unit.
        least = (truth.length + 8) * (MOVES[z] + 1.5) + 4
        assert abs(told.area - truth.area) <= least
        assert told.difference(truth.buffer(MOVES[z] + 3)).area == 0


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, z=st.sampled_from([12, 14, 15, 16, 18]))
def test_every_ring_is_simple_turned_right_and_on_whole_units(seed, z):
    fields = land(seed, count=12, spread=200, size=100)
    tile = place(X0, Y0, z)
    message = vector_tile_pb2.tile()
    message.ParseFromString(encode([layer(*fields)], tile))
    for each in message.layers:
        assert each.version == 2
        assert each.extent == EXTENT
        for feature in each.features:
            polygons = rings_of(feature.geometry)
            assert shapely.is_valid(shapely.multipolygons(polygons))


def rings_of(commands):
    """Polygons by the letter of the specification, 4.3: an outer ring has an area above 0, and begins one."""
    at, x, y, polygons, ring = 0, 0, 0, [], []
    while at < len(commands):
        kind, count = commands[at] & 7, commands[at] >> 3
        at += 1
        if kind == 7:
            assert count == 1
            assert len(ring) >= 3
            twice = sum(a * d - b * c for (a, b), (c, d) in zip(ring, ring[1:] + ring[:1], strict=True))
            assert twice != 0
            assert len(set(ring)) == len(ring)
            polygons = [*polygons, (ring, [])] if twice > 0 else polygons
            if twice < 0:
                polygons[-1][1].append(ring)
            continue
        assert (kind, count) == (1, 1) or kind == 2
        ring = [] if kind == 1 else ring
        for _ in range(count):
            dx, dy = ((value >> 1) ^ -(value & 1) for value in commands[at : at + 2])
            x, y, at = x + dx, y + dy, at + 2
            ring.append((x, y))
    return [shapely.Polygon(shell, holes) for shell, holes in polygons]


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, z=st.sampled_from([14, 15, 16]))
def test_the_four_children_together_cover_what_their_parent_shows(seed, z):
    fields = land(seed, count=5, spread=200, size=150)
    tile = place(X0, Y0, z)
    whole = drawn(fields, tile)
    parts = {row: [] for row in whole}
    for child in tile.children:
        corner = (child.x - 2 * tile.x) * EXTENT / 2, (child.y - 2 * tile.y) * EXTENT / 2
        for row, shape in drawn(fields, child).items():
            small = translate(scale(shape.intersection(SHOWN), 0.5, 0.5, origin=(0, 0)), *corner)
            parts.setdefault(row, []).append(small)
    for row, shape in whole.items():
        union = shapely.union_all(parts.get(row, []))
        assert shape.intersection(INNER).difference(union.buffer(2 * MOVES[z] + 3)).area == 0
        assert union.intersection(INNER).difference(shape.buffer(2 * MOVES[z] + 3)).area == 0


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, z=st.sampled_from([14, 16]))
def test_a_field_on_a_border_is_in_both_tiles_and_meets_itself_there(seed, z):
    tile = place(X0, Y0, z)
    _, south, east, north = tile.within(ZONE_38, buffer=0)
    (field,) = land(seed, count=1, spread=0, size=60)[:1] or [shapely.Point(X0, Y0).buffer(30)]
    field = translate(field, east - X0, (south + north) / 2 - Y0)
    here, there = drawn([field], tile), drawn([field], Tile(z, tile.x + 1, tile.y))
    truth = in_units(field, tile)
    seam = shapely.box(EXTENT, -EXTENT, EXTENT, 2 * EXTENT)
    if not truth.crosses(seam.boundary) and not truth.intersects(seam):
        return
    assert set(here) == set(there) == {0}
    border = shapely.LineString([(EXTENT, -EXTENT), (EXTENT, 2 * EXTENT)])
    left = here[0].intersection(border)
    right = translate(there[0], EXTENT, 0).intersection(border)
    assert left.hausdorff_distance(right) <= 2 if not left.is_empty else right.is_empty


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, z=st.integers(14, 19), wide=st.floats(0.001, 60), long=st.floats(0.001, 400))
def test_from_zoom_14_no_field_is_lost_however_thin_or_small(seed, z, wide, long):
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0, np.pi)
    strip = shapely.affinity.rotate(shapely.box(X0, Y0, X0 + long, Y0 + wide), turn, use_radians=True)
    strip = translate(strip, *rng.uniform(-30, 30, 2))
    middle = strip.centroid
    shown = drawn([strip], place(middle.x, middle.y, z))
    assert set(shown) == {0}
    truth = in_units(strip, place(middle.x, middle.y, z)).intersection(BOX)
    assert truth.difference(shown[0].buffer(8)).area == 0


@pytest.mark.parametrize(("z", "kept"), [(12, False), (13, False), (14, True)])
def test_below_zoom_14_a_field_smaller_than_a_quarter_pixel_is_left_out(z, kept):
    pixel = 2 * np.pi * 6378137 / 2**z / 256 * np.cos(np.radians(34.32))
    small = shapely.box(X0, Y0, X0 + 0.45 * pixel, Y0 + 0.45 * pixel)
    large = shapely.box(X0 + 100, Y0, X0 + 100 + 0.55 * pixel, Y0 + 0.55 * pixel)
    assert set(drawn([small, large], place(X0 + 50, Y0 + 5, z))) == ({0, 1} if kept else {1})


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, z=st.sampled_from([12, 14, 16]))
def test_the_order_of_rows_does_not_matter(seed, z):
    fields = land(seed, count=10, spread=200, size=100)
    frame = parcels(*fields, parcel_class=["10", "21"] * (len(fields) // 2) + ["22"] * (len(fields) % 2))
    frame.loc[1:3, "parcel_code"] = frame.loc[0, "parcel_code"]  # codes come twice in dirty data
    tile = place(X0, Y0, z)
    turned = frame.sample(frac=1, random_state=seed)
    assert encode([tile_layer("parcels", turned)], tile) == encode([tile_layer("parcels", frame)], tile)


def test_a_square_has_the_commands_the_specification_shows():
    """Example 4.3.5.3 of the specification: (3,6) (8,12) (20,34)."""
    z, tile = 16, Tile(16, 53_521, 26_106)
    side = (tile.bounds[2] - tile.bounds[0]) / EXTENT
    corners = [(3, 6), (8, 12), (20, 34)]
    field = shapely.Polygon([(tile.bounds[0] + x * side, tile.bounds[3] - y * side) for x, y in corners])
    assert z == tile.z
    message = vector_tile_pb2.tile()
    message.ParseFromString(encode([layer(scale(field, 1, 1), crs="EPSG:3857")], tile))
    (feature,) = message.layers[0].features
    assert list(feature.geometry) == [9, 6, 12, 18, 10, 12, 24, 44, 15]


def test_a_pond_stays_a_hole_whichever_way_its_ring_runs():
    pond = shapely.box(X0 + 20, Y0 + 20, X0 + 80, Y0 + 80).exterior
    shell = shapely.box(X0, Y0, X0 + 100, Y0 + 100).exterior
    ways = [shapely.Polygon(s, [p]) for s in (shell, shell.reverse()) for p in (pond, pond.reverse())]
    tile = place(X0, Y0, 16)
    areas = {shape.area for shape in drawn(ways, tile).values()}
    assert len(areas) == 1
    assert areas.pop() == pytest.approx(in_units(ways[0], tile).intersection(BOX).area, rel=0.02)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_bow_tie_is_drawn_as_its_two_halves():
    bow = shapely.Polygon([(X0, Y0), (X0 + 50, Y0 + 50), (X0 + 50, Y0), (X0, Y0 + 50)])
    tile = place(X0 + 25, Y0 + 25, 16)
    (shape,) = drawn([bow], tile).values()
    assert shape.is_valid
    assert shape.area == pytest.approx(
        shapely.make_valid(in_units(bow, tile)).intersection(BOX).area, rel=0.05
    )


@pytest.mark.parametrize(
    "corners", [[(0, 0), (30, 0), (60, 0)], [(0, 0), (0, 0), (0, 0)], [(0, 0), (9, 9), (0, 0)]]
)
def test_a_field_without_area_is_a_dot_or_a_line_from_zoom_14_and_nothing_below(corners):
    flat = shapely.Polygon([(X0 + x, Y0 + y) for x, y in corners])
    (shape,) = drawn([flat], place(X0, Y0, 14)).values()
    assert 0 < shape.area < 600
    assert drawn([flat], place(X0, Y0, 13)) == {}


def test_values_are_written_once_and_come_back_as_they_were():
    fields = [shapely.box(X0 + 20 * n, Y0, X0 + 20 * n + 15, Y0 + 15) for n in range(4)]
    told = {
        "parcel_class": ["10", "10", None, "21"],
        "surveyed_area_m2": [225.0, 1.0, np.nan, -2.5],
        "share_based": [True, False, True, False],
        "count": [1, 0, -7, 2**40],
    }
    frame = parcels(*fields, **told)
    held = tile_layer("parcels", frame, columns=["parcel_code", *told])
    content = encode([held], place(X0, Y0, 16))
    features = [properties for _, properties in decode(content)["parcels"].values()]
    expected = [
        {name: value for name, value in row.items() if value is not None and value == value}  # noqa: PLR0124 - NaN
        for row in frame.drop(columns="geometry").astype(object).to_dict("records")
    ]
    key = json.dumps
    assert sorted(features, key=key) == sorted(expected, key=key)
    message = vector_tile_pb2.tile()
    message.ParseFromString(content)
    (told_layer,) = message.layers
    held = [value.SerializeToString() for value in told_layer.values]  # noqa: PD011 - the format's own word
    assert len(held) == len(set(held)) == 4 + 2 + 3 + 2 + 4
    assert list(told_layer.keys) == ["parcel_code", *told]


def test_findings_and_homes_are_points_with_their_numbers():
    at = [
        shapely.Point(X0 + 5, Y0 + 5),
        None,
        shapely.MultiPoint([(X0 + 9, Y0), (X0 + 10, Y0)]),
        shapely.Point(),
    ]
    far = shapely.Point(X0 + 10_000, Y0)
    frame = gpd.GeoDataFrame(
        {"household_key": list("abcde"), "address": ["某村 1 号"] * 5}, geometry=[*at, far], crs=ZONE_38
    )
    tile = place(X0, Y0, 17)
    content = encode([tile_layer("households", frame)], tile)
    told = {
        properties["household_key"]: shape for shape, properties in decode(content)["households"].values()
    }
    assert set(told) == {"a", "c"}
    assert told["a"].distance(in_units(at[0], tile)) < 1
    assert told["c"].geom_type == "MultiPoint"
    assert "某村".encode() not in content


def test_gdal_reads_the_same_features(tmp_path):
    fields = land(7, count=30, spread=150, size=60)
    tile = place(X0, Y0, 16)
    content = encode([layer(*fields, surveyed_area_m2=np.arange(float(len(fields))))], tile)
    (tmp_path / "one.mvt").write_bytes(content)
    theirs = pyogrio.read_dataframe(tmp_path / "one.mvt", CLIP="NO")
    ours = {properties["parcel_code"]: shape for shape, properties in decode(content)["parcels"].values()}
    assert set(theirs["parcel_code"]) == set(ours)
    for code, field in zip(theirs["parcel_code"], theirs.geometry, strict=True):
        assert field.area == pytest.approx(ours[code].area, rel=1e-9)


@pytest.mark.parametrize("crs", ["EPSG:4490", "EPSG:4326", "EPSG:3857", "EPSG:4526", "EPSG:4547"])
def test_a_field_lies_in_the_same_place_whatever_system_it_comes_in(crs):
    field = parcels(shapely.box(X0, Y0, X0 + 100, Y0 + 100))
    tile = place(X0 + 50, Y0 + 50, 18)
    wanted = drawn(field.geometry, tile)[0]
    moved = field.to_crs("EPSG:4490").set_crs("EPSG:4326", allow_override=True)
    moved = moved if crs in {"EPSG:4326", "EPSG:3857"} else moved.set_crs("EPSG:4490", allow_override=True)
    told = decode(encode([tile_layer("parcels", moved.to_crs(crs))], tile))["parcels"]
    ((shape, _),) = told.values()
    assert shape.symmetric_difference(wanted).area <= 2 * wanted.length


def test_bytes_of_a_geopackage_are_read_as_well_as_shapes_and_plain_ones(tmp_path):
    fields = land(3, count=6, spread=100, size=60)
    frame = parcels(*fields)
    frame.to_file(tmp_path / "one.gpkg", layer="parcels")
    tile = place(X0, Y0, 16)
    held = tile_layer("parcels", frame)
    forms = [
        blobs(tmp_path / "one.gpkg"),
        shapely.to_wkb(frame.geometry.to_numpy()),
    ]
    for geometry in forms:
        again = TileLayer(name="parcels", geometry=geometry, columns=held.columns, crs=ZONE_38)
        assert encode([again], tile) == encode([held], tile)


def blobs(path):
    with closing(sqlite3.connect(path)) as held:
        return [row[0] for row in held.execute("select geom from parcels order by fid")]


def test_a_feature_keeps_its_number_and_layers_keep_their_order():
    field = shapely.box(X0, Y0, X0 + 50, Y0 + 50)
    first, second = (
        layer(field),
        tile_layer(
            "villages", gpd.GeoDataFrame({"village_code": ["140725102202"]}, geometry=[field], crs=ZONE_38)
        ),
    )
    tile = place(X0, Y0, 16)
    told = decode(encode([second, first], tile))
    assert list(told) == ["villages", "parcels"]
    assert (
        set(told["parcels"]) == set(feature_ids(["1407251022020000000"]).tolist()) == {1_350_269_985_533_796}
    )
    assert feature_ids([None]).tolist() == [0]


def test_numbers_may_be_given():
    field = shapely.box(X0, Y0, X0 + 50, Y0 + 50)
    held = TileLayer(name="a", geometry=[field, field], columns={}, crs=ZONE_38, ids=[2**53 - 1, 7])
    assert set(decode(encode([held], place(X0, Y0, 16)))["a"]) == {2**53 - 1, 7}


def test_threads_make_the_same_tiles_as_one_alone():
    held = layer(*land(5, count=60, spread=300, size=60))
    tiles = [Tile(16, tile.x + dx, tile.y) for tile in [place(X0, Y0, 16)] for dx in (-1, 0, 1)] * 10
    alone = [encode([held], tile) for tile in tiles]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda tile: encode([held], tile), tiles)) == alone


def test_an_empty_tile_has_no_bytes():
    empty = parcels(shapely.box(X0, Y0, X0 + 5, Y0 + 5)).iloc[:0]
    tile = place(X0, Y0, 16)
    assert encode([], tile) == b""
    assert encode([tile_layer("parcels", empty)], tile) == b""
    assert encode([layer(shapely.box(X0, Y0, X0 + 5, Y0 + 5))], place(X0 + 5000, Y0, 16)) == b""
    assert encode([layer(None, shapely.Polygon())], tile) == b""


def test_a_place_the_system_does_not_know_has_no_feature():
    wild = shapely.box(-1e12, -1e12, 1e12, 1e12)
    good = shapely.box(X0, Y0, X0 + 50, Y0 + 50)
    assert set(drawn([wild, good], place(X0, Y0, 16))) >= {1}


def test_what_is_no_tile_is_refused():
    field = shapely.box(X0, Y0, X0 + 50, Y0 + 50)
    tile = place(X0, Y0, 16)
    with pytest.raises(InputError, match="没有这样的瓦片"):
        encode([layer(field)], (3, 8, 0))
    with pytest.raises(GeometryTypeError, match="线"):
        encode([layer(field.exterior)], tile)
    with pytest.raises(MissingDatumError, match="坐标系"):
        encode([layer(field, crs=None)], tile)
    with pytest.raises(InputError, match="runs"):
        tile_layer("runs", parcels(field))
    with pytest.raises(MissingColumnError, match="patch_code"):
        tile_layer("patches", parcels(field))
    with pytest.raises(InputError, match="行数"):
        encode([TileLayer(name="a", geometry=[field], columns={"a": []}, crs=ZONE_38)], tile)
    with pytest.raises(InputError, match="损坏"):
        shapes([b"\x01\x03"])


def test_missing_values_of_every_kind_are_left_out():
    frame = parcels(*[shapely.box(X0, Y0, X0 + 50, Y0 + 50)] * 3)
    frame["shift_key"] = pd.Series([None, "a", None], dtype="str")
    frame["surveyed_area_mu"] = pd.Series([1, None, None], dtype="Int64")
    told = decode(encode([tile_layer("parcels", frame)], place(X0, Y0, 16)))["parcels"]
    by_code = {told[number][1].pop("parcel_code")[-1]: told[number][1] for number in told}
    assert by_code == {"0": {"surveyed_area_mu": 1}, "1": {"shift_key": "a"}, "2": {}}
