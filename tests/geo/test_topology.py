"""Repair keeps the land, says why, and leaves sound shapes alone."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box

from geo.errors import GeometryTypeError
from geo.topology import is_polygonal, parts, repair

BOW_TIE = Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
SPIKE = Polygon([(0, 0), (10, 0), (10, 10), (10, 30), (10, 10), (0, 10)])


def one(shape):
    result = repair(np.array([shape], dtype=object))
    return tuple(column[0] for column in result)


def test_a_sound_polygon_comes_back_as_it_is():
    fixed, reason, before, after = one(box(0, 0, 10, 10))
    assert fixed.wkt == box(0, 0, 10, 10).wkt
    assert (reason, before, after) == ("", 100, 100)


def test_a_bow_tie_becomes_two_triangles_and_says_where_it_crosses():
    fixed, reason, before, after = one(BOW_TIE)
    assert fixed.is_valid
    assert reason == "Self-intersection[5 5]"
    assert (before, after) == (0, 50)


def test_a_spike_has_no_area_and_goes():
    fixed, _, before, after = one(SPIKE)
    assert fixed.geom_type == "Polygon"
    assert (before, after) == (100, 100)


def test_overlapping_parts_count_once():
    fixed, reason, before, after = one(MultiPolygon([box(0, 0, 10, 10), box(5, 0, 15, 10)]))
    assert fixed.is_valid
    assert reason
    assert (before, after) == (200, 150)


def test_a_collapsed_ring_becomes_an_empty_polygon():
    fixed, reason, _, after = one(Polygon([(0, 0), (10, 10), (5, 5)]))
    assert fixed.is_empty
    assert is_polygonal([fixed]).all()
    assert reason
    assert after == 0


def test_polygons_are_taken_out_of_a_collection():
    nested = GeometryCollection(
        [Point(0, 0), GeometryCollection([box(0, 0, 2, 2)]), LineString([(0, 0), (1, 1)])]
    )
    fixed, *_ = one(nested)
    assert fixed.equals(box(0, 0, 2, 2))


def test_missing_and_empty_pass_through():
    result = repair(np.array([None, Polygon()], dtype=object))
    assert result.fixed[0] is None
    assert result.fixed[1].is_empty
    assert result.reason.tolist() == ["", ""]
    assert np.isnan(result.area_before[0])


def test_a_line_is_refused_by_its_row():
    with pytest.raises(GeometryTypeError, match="第 1 行"):
        repair(np.array([box(0, 0, 1, 1), LineString([(0, 0), (1, 1)])], dtype=object))


def test_height_is_left_out():
    fixed, *_ = one(shapely.force_3d(BOW_TIE, 900.0))
    assert not fixed.has_z


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=3, max_size=14))
def test_any_ring_is_made_valid_and_no_enclosed_land_is_lost(corners):
    fixed, _, _, after = one(Polygon(corners))
    assert fixed.is_valid
    assert is_polygonal([fixed]).all()
    outline = shapely.node(LineString([*corners, corners[0]])) if len(set(corners)) > 1 else LineString()
    faces = shapely.get_parts(shapely.polygonize([outline]))
    # Land the ring winds round an odd number of times is land by any rule; a repair keeps at least that.
    odd = shapely.area(faces)[[winds(corners, face) % 2 == 1 for face in faces]].sum() if len(faces) else 0.0
    assert after >= odd - 1e-6


def winds(corners, face):
    point = shapely.point_on_surface(face)
    ring = np.array([*corners, corners[0]]) - (point.x, point.y)
    angle = np.arctan2(ring[:, 1], ring[:, 0])
    turn = (np.diff(angle) + np.pi) % (2 * np.pi) - np.pi
    return int(abs(np.rint(turn.sum() / (2 * np.pi))))


def test_parts_keep_their_order_and_their_row():
    polygons, row = parts(
        [MultiPolygon([box(0, 0, 1, 1), box(2, 0, 3, 1)]), Polygon(), box(5, 5, 6, 6), None]
    )
    assert row.tolist() == [0, 0, 2]
    assert shapely.area(polygons).tolist() == [1, 1, 1]


def test_only_polygons_are_polygonal():
    assert is_polygonal([box(0, 0, 1, 1), MultiPolygon(), Point(0, 0), None]).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_seventy_broken_buildings_are_all_mended_and_keep_their_area(shared):
    buildings = gpd.read_file(shared / "be_flanders_parcels" / "polygon-invalid.gpkg")
    result = repair(buildings.geometry.to_numpy())
    assert len(result.fixed) == 70
    assert (result.reason != "").all()
    assert shapely.is_valid(result.fixed).all()
    assert not shapely.is_empty(result.fixed).any()
    assert result.area_after == pytest.approx(result.area_before, abs=0.01)


def test_real_parcels_that_are_sound_are_not_touched(shared):
    parcels = gpd.read_file(shared / "be_flanders_parcels" / "polygon-parcel.gpkg").geometry.to_numpy()
    result = repair(parcels)
    assert (result.reason == "").all()
    assert shapely.equals_exact(result.fixed, parcels).sum() == (~shapely.is_missing(parcels)).sum()
