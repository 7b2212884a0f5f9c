import math
import struct

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box

from geo.exchange.curves import linear

X, Y, R = 38_429_000.0, 4_196_000.0, 50.0


def head(kind, count):
    return b"\x01" + struct.pack("<II", kind, count)


def string(kind, points):
    return head(kind, len(points)) + b"".join(struct.pack(f"<{len(p)}d", *p) for p in points)


def around(degrees, radius=R):
    return X + radius * math.cos(math.radians(degrees)), Y + radius * math.sin(math.radians(degrees))


def circle(radius=R):
    return string(8, [around(turn, radius) for turn in (0, 90, 180, 270, 0)])


def test_a_circle_keeps_its_area_and_centre():
    shape = linear(head(10, 1) + circle())
    assert shape.area == pytest.approx(math.pi * R**2, rel=1e-3)
    assert shape.centroid.distance(shapely.Point(X, Y)) < 1e-6
    assert shape.is_valid


def test_a_hole_of_arcs_is_taken_out():
    shape = linear(head(10, 2) + circle() + circle(R / 2))
    assert shape.area == pytest.approx(math.pi * R**2 * 3 / 4, rel=1e-3)


def test_a_chain_of_line_and_arc_closes():
    half = head(9, 2) + string(8, [around(0), around(90), around(180)]) + string(2, [around(180), around(0)])
    shape = linear(head(10, 1) + half)
    assert shape.area == pytest.approx(math.pi * R**2 / 2, rel=1e-3)


def test_a_circle_of_three_points_is_whole():
    ring = string(8, [around(0), around(180), around(0)])
    assert linear(head(10, 1) + ring).area == pytest.approx(math.pi * R**2, rel=1e-3)


@given(a=st.floats(0, 359), sweep=st.floats(2, 350), clockwise=st.booleans())
def test_an_arc_stays_on_its_circle_and_keeps_its_ends(a, sweep, clockwise):
    turns = [a, a + sweep / 2, a + sweep]
    points = [around(turn) for turn in (reversed(turns) if clockwise else turns)]
    line = linear(string(8, points))
    assert line.coords[0] == points[0]
    assert line.coords[-1] == points[-1]
    assert line.length == pytest.approx(math.radians(sweep) * R, rel=1e-3)
    assert all(math.hypot(x - X, y - Y) == pytest.approx(R, abs=1e-4) for x, y in line.coords)


def test_an_arc_whose_points_stand_in_line_is_a_line():
    assert linear(string(8, [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)])).coords[:] == [(0, 0), (1, 1), (2, 2)]


def test_many_surfaces_with_heights_come_out_flat():
    arc = string(1008, [(*around(turn), 900.0) for turn in (0, 90, 180, 270, 0)])
    square = shapely.to_wkb(shapely.force_3d(box(0, 0, 1, 1), 5), flavor="iso", output_dimension=3)
    shape = linear(head(1012, 2) + head(1010, 1) + arc + square)
    assert shape.geom_type == "MultiPolygon"
    assert not shape.has_z
    assert shape.area == pytest.approx(math.pi * R**2 + 1, rel=1e-3)


@pytest.mark.parametrize(
    "wkt",
    [
        "POINT (1 2)",
        "LINESTRING (0 0, 1 1)",
        "POLYGON ((0 0, 1 0, 1 1, 0 0))",
        "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5)))",
        "MULTILINESTRING ((0 0, 1 1), (2 2, 3 3))",
        "GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (0 0, 1 1))",
    ],
)
def test_what_has_no_arcs_stays_as_it_is(wkt):
    shape = shapely.from_wkt(wkt)
    assert linear(shape.wkb).wkb == shape.wkb


def test_nothing_stays_nothing():
    assert linear(None) is None
