import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon, box

from geo.reconcile.common_area import common_area

X0, Y0 = 38_500_000.0, 4_200_000.0  # where parcels lie in a Gauss-Krüger zone


def shapes(*polygons):
    return np.array(polygons, dtype=object)


def common(left, right):
    return common_area(shapes(left), [0], shapes(right), [0]).item()


@st.composite
def star(draw):
    """A polygon round a place near the others', with as many corners in and out as it likes."""
    corners = draw(st.integers(3, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    angle = (np.arange(corners) + rng.uniform(0, 0.9, corners)) * 2 * np.pi / corners
    reach = rng.uniform(1, 60, corners)
    east, north = draw(st.floats(-60, 60)), draw(st.floats(-60, 60))
    ring = np.c_[X0 + east + reach * np.cos(angle), Y0 + north + reach * np.sin(angle)]
    polygon = Polygon(np.round(ring, draw(st.integers(0, 4))))
    made = shapely.make_valid(polygon, method="structure")
    return made if made.geom_type in {"Polygon", "MultiPolygon"} else MultiPolygon()


def test_two_squares_that_overlap_share_a_square():
    assert common(box(0, 0, 10, 10), box(6, 7, 20, 20)) == pytest.approx(12.0, abs=1e-12)


def test_a_hole_is_not_common_land_and_an_island_in_it_is():
    ring = box(0, 0, 30, 30) - box(10, 10, 20, 20)
    with_island = MultiPolygon([ring, box(14, 14, 16, 16)])
    assert common(ring, box(5, 5, 25, 25)) == pytest.approx(300.0, abs=1e-9)
    assert common(with_island, box(12, 12, 18, 18)) == pytest.approx(4.0, abs=1e-9)


def test_neighbours_that_touch_and_those_that_do_not_meet_share_nothing():
    field = box(X0, Y0, X0 + 30, Y0 + 30)
    assert common(field, box(X0 + 30, Y0, X0 + 60, Y0 + 30)) == 0
    assert common(field, box(X0 + 40, Y0 + 5, X0 + 60, Y0 + 9)) == 0
    slope = Polygon([(X0, Y0), (X0 + 30, Y0 + 17), (X0, Y0 + 17)])
    under = Polygon([(X0, Y0), (X0 + 30, Y0), (X0 + 30, Y0 + 17)])
    assert common(slope, under) == pytest.approx(0.0, abs=1e-9)


def test_missing_and_empty_shapes_have_no_land_in_common():
    some = shapes(None, Polygon(), box(0, 0, 1, 1), shapely.Point(0.5, 0.5))
    assert common_area(some, [0, 1, 3, 2], some, [2, 2, 2, 2]).tolist() == [0, 0, 0, 1]
    assert common_area(some, [], some, []).shape == (0,)


@given(left=star(), right=star())
def test_common_land_is_what_an_intersection_encloses_whoever_asks(left, right):
    expected = shapely.area(shapely.intersection(left, right))
    assert common(left, right) == pytest.approx(expected, abs=1e-5)  # an overlay snaps its points to 1e-8 m
    assert common(right, left) == pytest.approx(common(left, right), abs=1e-7)


@given(of=star(), at=st.floats(-50, 50))
def test_two_halves_of_the_plane_share_a_polygon_between_them(of, at):
    west = box(X0 - 500, Y0 - 500, X0 + at, Y0 + 500)
    east = box(X0 + at, Y0 - 500, X0 + 500, Y0 + 500)
    assert common(of, west) + common(of, east) == pytest.approx(of.area, abs=1e-6)


def test_webs_of_thousands_of_edges_are_measured_like_small_ones():
    rng = np.random.default_rng(5)
    middle = rng.uniform(0, 300, (400, 2)) + np.array([X0, Y0])
    discs = shapely.buffer(shapely.points(middle), rng.uniform(3, 15, 400))
    first, second = shapely.union_all(discs[:250]), shapely.union_all(discs[150:])
    expected = shapely.area(shapely.intersection(first, second))
    assert expected > 10_000
    assert common(first, second) == pytest.approx(expected, abs=1e-4)


def test_every_pair_of_a_long_list_is_its_own():
    east, north = np.indices((60, 60)).reshape(2, -1) * 10.0
    tiles = shapely.box(east, north, east + 13, north + 13)
    at, to = shapely.STRtree(tiles).query(tiles)
    expected = shapely.area(shapely.intersection(tiles[at], tiles[to]))
    assert len(at) > 30_000
    np.testing.assert_allclose(common_area(tiles, at, tiles, to), expected, atol=1e-9)
