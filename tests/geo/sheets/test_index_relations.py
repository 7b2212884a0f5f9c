"""Neighbours, parents and children, extents and the other number of a sheet; an oracle in exact fractions."""

import time
from fractions import Fraction

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import CodeError
from geo.sheets.index import (
    DIRECTIONS,
    SERIES,
    sheet_bounds,
    sheet_children,
    sheet_code,
    sheet_code_by_ninth,
    sheet_frame,
    sheet_neighbours,
    sheet_parent,
    sheet_scale,
    sheets_of_extent,
    sheets_of_shapes,
    standard_code,
)

SCALES = st.sampled_from(list(SERIES))
OPPOSITE = {"n": "s", "ne": "sw", "e": "w", "se": "nw", "s": "n", "sw": "ne", "w": "e", "nw": "se"}


def by_fractions(lon, lat, scale):
    """The standard's floor formulas, without a float between."""
    rows = SERIES[scale].rows
    height, width = Fraction(4, rows), Fraction(6, rows)
    letter, zone = chr(65 + int(lat // 4)), int(lon // 6) + 31
    if rows == 1:
        return f"{letter}{zone}"
    row, column = rows - (lat % 4) // height, (lon % 6) // width + 1
    digits = SERIES[scale].digits
    return f"{letter}{zone}{SERIES[scale].letter}{int(row):0{digits}d}{int(column):0{digits}d}"


@given(
    x=st.integers(73 * 28_800, 135 * 28_800),
    y=st.integers(3 * 28_800, 53 * 28_800),
    scale=SCALES,
    off=st.tuples(st.floats(-0.9e-8, 0.9e-8), st.floats(-0.9e-8, 0.9e-8)),
)
def test_a_point_within_a_hundred_millionth_degree_of_a_line_is_on_it(x, y, scale, off):
    lon, lat = Fraction(x, 28_800), Fraction(y, 28_800)
    got = sheet_code([float(lon) + off[0]], [float(lat) + off[1]], scale)[0]
    assert got == by_fractions(lon, lat, scale)


@given(lon=st.floats(73, 135), lat=st.floats(3, 53), scale=SCALES)
def test_any_point_has_the_number_that_exact_fractions_give(lon, lat, scale):
    shifted = [Fraction(value) + Fraction(1, 10**8) for value in (lon, lat)]
    on_a_line = any(abs(v * 28_800 - round(v * 28_800)) < Fraction(1, 10**6) for v in shifted)
    if not on_a_line:  # there the last bit of the float decides what "within" is
        assert sheet_code([lon], [lat], scale)[0] == by_fractions(*shifted, scale)


@given(lon=st.floats(73, 135), lat=st.floats(5, 53), scale=SCALES)
def test_neighbours_share_an_edge_or_a_corner_and_see_each_other(lon, lat, scale):
    code = sheet_code([lon], [lat], scale)[0]
    west, south, east, north = sheet_frame(code)
    around = sheet_neighbours(code)
    assert list(around) == list(DIRECTIONS)
    for way, there in around.items():
        dx, dy = DIRECTIONS[way]
        expected = [west + dx * (east - west), south + dy * (north - south)]
        assert sheet_frame(there)[:2] == pytest.approx(expected, abs=1e-9)
        assert sheet_neighbours(there)[OPPOSITE[way]] == code


def test_neighbours_cross_into_the_next_zone_and_the_next_band():
    assert sheet_neighbours("J49I001576") == {
        "n": "K49I576576",
        "ne": "K50I576001",
        "e": "J50I001001",
        "se": "J50I002001",
        "s": "J49I002576",
        "sw": "J49I002575",
        "w": "J49I001575",
        "nw": "K49I576575",
    }


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("A31", {"s", "se", "sw", "w", "nw"}),
        ("V60", {"n", "ne", "nw", "e", "se"}),
        ("V60I001576", {"n", "ne", "nw", "e", "se"}),
    ],
)
def test_beyond_the_series_there_is_no_neighbour(code, missing):
    assert set(DIRECTIONS) - set(sheet_neighbours(code)) == missing


@given(lon=st.floats(73, 135), lat=st.floats(3, 53), pair=st.tuples(SCALES, SCALES))
def test_a_point_lies_in_the_parent_of_its_sheet(lon, lat, pair):
    small, large = max(pair), min(pair)
    assert sheet_parent(sheet_code([lon], [lat], large)[0], small) == sheet_code([lon], [lat], small)[0]


@given(lon=st.floats(73, 135), lat=st.floats(3, 53), step=st.integers(0, len(SERIES) - 2))
def test_children_fill_their_parent_and_know_it(lon, lat, step):
    parent_scale, scale = list(SERIES)[step : step + 2]
    parent = sheet_code([lon], [lat], parent_scale)[0]
    children = sheet_children(parent, scale)
    assert {sheet_parent(child, parent_scale) for child in children} == {parent}
    assert children == sorted(set(children))
    whole = shapely.union_all(shapely.box(*sheet_bounds(children).T))
    assert whole.bounds == pytest.approx(sheet_frame(parent), abs=1e-9)
    assert len(children) == (SERIES[scale].rows // SERIES[parent_scale].rows) ** 2


@pytest.mark.parametrize(
    "ask",
    [lambda: sheet_parent("J49", 2_000), lambda: sheet_children("J49I303500", 5_000)],
    ids=["parent", "child"],
)
def test_a_parent_is_of_a_smaller_scale_and_a_child_of_a_larger(ask):
    with pytest.raises(CodeError):
        ask()


def test_the_nine_sheets_of_a_1_5000_sheet_are_counted_like_a_page_is_read():
    assert [sheet_code_by_ninth(code) for code in sheet_children("J49H101167", 2_000)] == [
        f"J49H101167-{ninth}" for ninth in range(1, 10)
    ]
    assert standard_code("J49H101167-1") == "J49I301499"  # rows 301-303, columns 499-501
    assert standard_code("J49H101167-9") == "J49I303501"


@given(lon=st.floats(73, 135), lat=st.floats(3, 53))
def test_both_numbers_of_a_sheet_name_the_same_land(lon, lat):
    code = sheet_code([lon], [lat], 2_000)[0]
    other = sheet_code_by_ninth(code)
    assert standard_code(other) == code
    assert sheet_frame(other) == sheet_frame(code)
    assert sheet_scale(other) == 2_000
    assert sheet_code_by_ninth(other) == other


@pytest.mark.parametrize("code", ["J49H101167-0", "J49I303500-1", "J49-3", "J49G051084-2"])
def test_only_a_1_5000_number_takes_a_ninth(code):
    with pytest.raises(CodeError):
        sheet_frame(code)


@given(
    west=st.floats(112, 114.5),
    south=st.floats(37, 38.5),
    size=st.tuples(st.floats(0.001, 0.2), st.floats(0.001, 0.2)),
    scale=st.sampled_from([50_000, 10_000, 2_000]),
)
def test_the_sheets_of_an_extent_are_those_whose_land_overlaps_it(west, south, size, scale):
    extent = (west, south, west + size[0], south + size[1])
    codes = sheets_of_extent(extent, scale)
    assert codes == sorted(set(codes))
    box = shapely.box(*extent)
    union = shapely.union_all(shapely.box(*sheet_bounds(codes).T))
    assert union.buffer(1e-7).covers(box)
    assert (shapely.area(shapely.intersection(shapely.box(*sheet_bounds(codes).T), box)) > 0).all()
    rows, shaped = sheets_of_shapes([box], scale)
    assert (rows == 0).all()
    assert shaped.tolist() == codes


@pytest.mark.parametrize("code", ["J49I303500", "J49I576001", "J50I001001"])
def test_a_sheets_own_frame_meets_that_sheet_only(code):
    assert sheets_of_extent(sheet_frame(code)) == [code]
    assert sheets_of_shapes([shapely.box(*sheet_frame(code))])[1].tolist() == [code]


def test_a_ring_does_not_meet_the_sheet_in_its_hole():
    ring = shapely.box(113.0, 37.5, 113.5, 38.0).difference(shapely.box(113.1, 37.6, 113.4, 37.9))
    inside = sheet_code([113.25], [37.75], 10_000)[0]
    assert inside in sheets_of_extent(ring.bounds, 10_000)
    assert inside not in sheets_of_shapes([ring], 10_000)[1]


def test_missing_and_empty_shapes_meet_no_sheet_and_the_others_keep_their_rows():
    square = shapely.box(113.2, 37.9, 113.2001, 37.9001)
    rows, codes = sheets_of_shapes([None, square, shapely.Polygon()])
    assert (rows.tolist(), codes.tolist()) == ([1], ["J49I303500"])


@pytest.mark.parametrize(
    "extent", [(113, 38, 112, 39), (112, 39, 113, 38), (-1, 3, 1, 4), (0, 0, 179.9, 87.9), (170, 80, 181, 82)]
)
def test_an_extent_turned_round_or_beyond_the_series_is_refused(extent):
    with pytest.raises(CodeError):
        sheets_of_extent(extent)


@pytest.mark.parametrize(
    ("lon", "lat"), [(-1, 30), (113, -5), (181, 30), (113, 88), (np.inf, 30), (1e300, 30)]
)
def test_a_point_beyond_the_series_is_refused_not_called_missing(lon, lat):
    with pytest.raises(CodeError, match="超出"):
        sheet_code([lon], [lat])


def test_a_million_points_take_about_a_second():
    chance = np.random.default_rng(0)
    lon, lat = chance.uniform(112.5, 113.6, 10**6), chance.uniform(37.5, 38.4, 10**6)
    started = time.process_time()
    codes = sheet_code(lon, lat)
    assert time.process_time() - started < 3  # 0.3 s when the machine is free
    assert (codes != None).all()  # noqa: E711 - elementwise
