import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import CodeError
from geo.sheets.squares import square_code, square_frame, square_neighbours, squares_of_extent

CUTS = st.tuples(st.sampled_from([5_000, 2_000, 1_000, 500]), st.sampled_from(["50x50", "40x50"]))
EAST, NORTH = st.floats(38_300_000, 38_700_000), st.floats(2_000_000, 5_900_000)


@pytest.mark.parametrize(
    ("point", "scale", "size", "zone", "code"),
    [
        ((429_638.156, 4_196_700.225), 2_000, "50x50", None, "4196.0-429.0"),
        ((429_638.156, 4_196_700.225), 2_000, "50x50", 38, "4196.0-38429.0"),
        ((38_429_638.156, 4_196_700.225), 2_000, "50x50", None, "4196.0-38429.0"),
        ((38_429_638.156, 4_196_700.225), 2_000, "50x50", 0, "4196.0-429.0"),
        ((429_638.156, 4_196_700.225), 500, "50x50", None, "4196.50-429.50"),
        ((429_638.156, 4_196_700.225), 1_000, "50x50", None, "4196.5-429.5"),
        ((429_638.156, 4_196_700.225), 5_000, "50x50", None, "4196-428"),
        ((429_638.156, 4_197_000.0), 2_000, "40x50", None, "4196.8-429.0"),
        ((27_800.0, 10_500.0), 500, "50x50", None, "10.50-27.75"),
    ],
)
def test_worked_numbers(point, scale, size, zone, code):
    assert square_code([point[0]], [point[1]], scale, size=size, zone=zone).tolist() == [code]


@given(x=EAST, y=NORTH, cut=CUTS)
def test_a_square_holds_the_point_that_named_it(x, y, cut):
    code = square_code([x], [y], cut[0], size=cut[1])[0]
    west, south, east, north = square_frame(code, cut[0], size=cut[1])
    assert west - 0.002 <= x < east
    assert south - 0.002 <= y < north


@given(x=EAST, y=NORTH, cut=CUTS, off=st.floats(-0.0009, 0.0009))
def test_a_corner_belongs_to_the_square_north_and_east_of_it(x, y, cut, off):
    code = square_code([x], [y], cut[0], size=cut[1])[0]
    west, south, _, _ = square_frame(code, cut[0], size=cut[1])
    assert square_code([west + off], [south + off], cut[0], size=cut[1])[0] == code


@given(x=EAST, y=NORTH, cut=CUTS)
def test_neighbours_lie_round_a_square(x, y, cut):
    scale, size = cut
    code = square_code([x], [y], scale, size=size)[0]
    around = [
        square_frame(there, scale, size=size) for there in square_neighbours(code, scale, size=size).values()
    ]
    block = shapely.union_all(
        [shapely.box(*frame) for frame in [*around, square_frame(code, scale, size=size)]]
    )
    west, south, east, north = square_frame(code, scale, size=size)
    assert len(around) == 8
    assert block.equals(shapely.box(2 * west - east, 2 * south - north, 2 * east - west, 2 * north - south))


def test_no_neighbour_lies_in_the_next_zone():
    assert set(square_neighbours("4196.0-38999.0")) == {"n", "s", "sw", "w", "nw"}
    assert set(square_neighbours("0.0-38000.0")) == {"n", "ne", "e"}


@given(x=EAST, y=NORTH, cut=CUTS, wide=st.floats(1, 5_000), high=st.floats(1, 5_000))
def test_the_squares_of_an_extent_cover_it_and_each_shares_land_with_it(x, y, cut, wide, high):
    scale, size = cut
    codes = squares_of_extent((x, y, x + wide, y + high), scale, size=size)
    frames = shapely.box(*np.array([square_frame(code, scale, size=size) for code in codes]).T)
    extent = shapely.box(x, y, x + wide, y + high)
    assert shapely.union_all(frames).buffer(0.002).covers(extent)
    assert shapely.intersects(frames, extent).all()
    assert len(set(codes)) == len(codes)


def test_an_extent_that_ends_on_a_line_does_not_reach_beyond_it():
    assert squares_of_extent((38_429_000, 4_196_000, 38_431_000, 4_197_000)) == [
        "4196.0-38429.0",
        "4196.0-38430.0",
    ]
    assert squares_of_extent((38_429_000, 4_196_000, 38_429_000, 4_196_000)) == ["4196.0-38429.0"]


def test_a_missing_coordinate_has_no_square():
    assert square_code([np.nan, 429_638], [4_196_700, 4_196_700]).tolist() == [None, "4196.0-429.0"]
    assert square_code([], []).tolist() == []


@pytest.mark.parametrize("code", ["4196.3-38429.0", "4196.0_429.0", "J49I303500", "4196.0-429.25", ""])
def test_what_is_no_corner_of_a_square_is_refused(code):
    with pytest.raises(CodeError):
        square_frame(code)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: square_code([429_000], [4_196_000], 10_000),
        lambda: square_code([429_000], [4_196_000], 2_000, size="60x60"),
        lambda: square_code([-1], [4_196_000]),
        lambda: square_code([np.inf], [4_196_000]),
        lambda: squares_of_extent((2, 0, 1, 1)),
        lambda: squares_of_extent((0, 0, 9e7, 9e6), 500),
    ],
    ids=["scale", "size", "west of zero", "endless", "turned round", "too many"],
)
def test_what_is_not_cut_into_squares_is_refused(ask):
    with pytest.raises(CodeError):
        ask()
