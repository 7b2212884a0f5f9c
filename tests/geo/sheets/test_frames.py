import time
from functools import partial

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from geo.errors import (
    CodeError,
    GeometryTypeError,
    InputError,
    MismatchError,
    MissingColumnError,
    MissingDatumError,
)
from geo.sheets.frames import (
    frame_shapes,
    map_size_mm,
    sheet_frames,
    shows_parcels,
    shows_patches,
    unit_frames,
)
from geo.sheets.index import sheet_frame
from geo.sheets.shown import adjoining
from geo.sheets.tiles import Window, tiles

ZONE_38 = "EPSG:4526"
X0, Y0 = 38_429_000, 4_196_000
OPPOSITE = {"n": "s", "ne": "sw", "e": "w", "se": "nw"}
PAGE = Window(width=500, height=440, margin=20, steps=(50, 10, 2))


def layer(shapes, group="14072510020001", crs=ZONE_38):
    count = len(shapes)
    groups = [group] * count if isinstance(group, str) else group
    return gpd.GeoDataFrame(
        {
            "group_code": groups,
            "village_code": [code[:12] for code in groups],
            "village_name": "上村",
            "piece_code": [f"{code}-W-{at:04d}" for at, code in enumerate(groups, start=1)],
        },
        geometry=list(shapes),
        crs=crs,
    )


def county(seed, count, extent=3_000.0, size=60.0, groups=3):
    chance = np.random.default_rng(seed)
    x, y = X0 + chance.uniform(0, extent, count), Y0 + chance.uniform(0, extent, count)
    wide, high = np.exp(chance.normal(np.log(size), 1.2, (2, count)))
    turned = [
        shapely.affinity.rotate(shapely.box(a, b, a + c, b + d), angle)
        for a, b, c, d, angle in zip(x, y, wide, high, chance.uniform(0, 90, count), strict=True)
    ]
    codes = [f"1407251002000{at}" for at in chance.integers(0, groups, count)]
    return layer(turned, codes)


def maps(frames):
    return [frame for frame in frames if frame.kind == "map"]


def covered(frames, shape):
    """Whether frames cover a shape, but for less than a square centimetre."""
    return shapely.area(shapely.difference(shape, shapely.union_all(frame_shapes(frames)))) < 1e-4


COUNTIES = st.builds(
    county,
    seed=st.integers(0, 10**6),
    count=st.integers(1, 40),
    extent=st.sampled_from([50.0, 800.0, 3_000.0]),
    size=st.sampled_from([5.0, 60.0, 400.0]),
)


@settings(max_examples=25, deadline=None)
@given(pieces=COUNTIES)
def test_the_pages_of_a_group_cover_each_of_its_pieces_and_list_it(pieces):
    frames = unit_frames(pieces)
    for code, own in pieces.groupby("group_code"):
        mine = [frame for frame in frames if frame.unit_code == code]
        assert all(covered(maps(mine), shape) for shape in own.geometry)
        assert {c for frame in maps(mine) for c in frame.piece_codes} == set(own["piece_code"])
        assert sorted(c for frame in maps(mine) for c in frame.home_codes) == sorted(own["piece_code"])
        assert all(set(frame.home_codes) <= set(frame.piece_codes) for frame in mine)
        assert [frame.page for frame in mine] == list(range(1, len(mine) + 1))
        assert {frame.pages for frame in mine} == {len(mine)}


@settings(max_examples=25, deadline=None)
@given(pieces=COUNTIES)
def test_a_page_lists_what_shares_land_with_it_and_shows_something(pieces):
    for frame in maps(unit_frames(pieces)):
        mine = pieces[pieces["group_code"] == frame.unit_code]
        shared = shapely.area(shapely.intersection(mine.geometry.to_numpy(), frame_shapes([frame])[0])) > 0
        assert frame.piece_codes == tuple(sorted(mine["piece_code"][shared]))
        assert frame.piece_codes


@settings(max_examples=25, deadline=None)
@given(pieces=COUNTIES)
def test_a_piece_that_fits_lies_whole_with_its_margin_on_one_page(pieces):
    frames = maps(unit_frames(pieces, overlap_mm=10))
    bounds = shapely.bounds(np.array([shapely.box(*b) for b in shapely.bounds(frame_shapes(frames))]))
    for code, shape in zip(pieces["group_code"], pieces.geometry, strict=True):
        west, south, east, north = shape.bounds
        if east - west > 500 - 40 - 2 or north - south > 440 - 40 - 2:  # a corner stands on 2 m at worst
            continue
        mine = bounds[[frame.unit_code == code for frame in frames]]
        low = (mine[:, :2] <= np.array([west, south]) - 20 + 1e-6).all(axis=1)
        high = (mine[:, 2:] >= np.array([east, north]) + 20 - 1e-6).all(axis=1)
        assert (low & high).any()


@settings(max_examples=15, deadline=None)
@given(pieces=COUNTIES, seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(pieces, seed):
    shuffled = pieces.sample(frac=1, random_state=seed)
    for make in (unit_frames, partial(unit_frames, by="village"), sheet_frames):
        for one, other in zip(make(pieces), make(shuffled), strict=True):
            assert (one.corners == other.corners).all()
            assert (one.key, one.neighbours, one.piece_codes, one.home_codes) == (
                other.key,
                other.neighbours,
                other.piece_codes,
                other.home_codes,
            )


@settings(max_examples=20, deadline=None)
@given(pieces=COUNTIES)
def test_corners_stand_on_round_coordinates_and_keep_the_scale(pieces):
    for frame in unit_frames(pieces):
        assert (np.mod(frame.corners[0], frame.scale / 1_000) == 0).all()
        metres = np.array(map_size_mm("A3")) * frame.scale / 1_000
        south_west, north_west, north_east, south_east = frame.corners
        assert (north_east - south_west).tolist() == metres.tolist()
        assert (north_west - south_west).tolist() == [0, metres[1]]
        assert (south_east - south_west).tolist() == [metres[0], 0]


@settings(max_examples=20, deadline=None)
@given(pieces=COUNTIES)
def test_the_overview_shows_every_map_page_at_a_smaller_scale(pieces):
    frames = unit_frames(pieces)
    for overview in (frame for frame in frames if frame.kind == "overview"):
        mine = [frame for frame in frames if frame.unit_code == overview.unit_code]
        assert mine[0] is overview
        assert overview.scale > 2_000
        assert shapely.covers(frame_shapes([overview])[0], frame_shapes(maps(mine))).all()
        assert set(overview.piece_codes) == {c for frame in maps(mine) for c in frame.piece_codes}


def test_few_pages_show_pieces_that_a_grid_would_cut():
    # Four clusters, each astride a line of any 500 x 440 m grid from the south-west corner.
    at = [(460, 400), (460, 1_300), (1_480, 400), (1_480, 1_300)]
    shapes = [
        shapely.box(X0 + x + i, Y0 + y + i, X0 + x + i + 60, Y0 + y + i + 60)
        for x, y in at
        for i in (0, 80, 160)
    ]
    assert len(maps(unit_frames(layer(shapes)))) == 4


def test_near_pieces_share_a_page_and_a_page_far_away_holds_the_lonely_one():
    near = [shapely.box(X0 + 50 * i, Y0, X0 + 50 * i + 40, Y0 + 40) for i in range(8)]
    far = shapely.box(X0 + 60_000, Y0, X0 + 60_040, Y0 + 40)
    overview, *pages = unit_frames(layer([*near, far]))
    assert sorted(len(frame.piece_codes) for frame in pages) == [1, 8]
    assert overview.scale == 250_000
    assert all(frame.neighbours == {} for frame in pages)


@pytest.mark.parametrize("angle", [0, 20, 90])
def test_a_piece_larger_than_a_page_is_spread_over_pages_that_overlap(angle):
    shape = shapely.affinity.rotate(shapely.box(X0, Y0, X0 + 2_400, Y0 + 120), angle)
    frames = maps(unit_frames(layer([shape])))
    assert len(frames) <= 9
    assert covered(frames, shape)
    # Whoever follows the piece finds each place at least the overlap away from the edge of some page.
    inner = shapely.union_all([page.buffer(-19.999) for page in frame_shapes(frames)])
    assert shapely.area(shapely.difference(shape, inner)) < 1e-4
    assert sum(len(frame.home_codes) for frame in frames) == 1


def test_a_piece_that_only_just_fits_gets_a_page_of_its_own_without_margin():
    shape = shapely.box(X0 + 3, Y0 + 3, X0 + 500, Y0 + 440)
    frames = maps(unit_frames(layer([shape])))
    assert len(frames) == 1
    assert covered(frames, shape)


def test_pages_are_read_from_north_to_south_and_west_to_east():
    at = [(0, 2_000), (1_000, 2_000), (0, 0), (1_000, 0)]
    shapes = [shapely.box(X0 + x, Y0 + y, X0 + x + 300, Y0 + y + 300) for x, y in at]
    frames = maps(unit_frames(layer(shapes)))
    assert [frame.home_codes[0][-4:] for frame in frames] == ["0001", "0002", "0003", "0004"]


def test_neighbours_of_a_block_of_pages_are_named_by_direction():
    start = np.array([[X0 + 500 * i, Y0 + 440 * j] for j in (2, 1, 0) for i in (0, 1, 2)], dtype=float)
    around = adjoining(start, PAGE)
    assert around[4] == {"n": 1, "ne": 2, "e": 5, "se": 8, "s": 7, "sw": 6, "w": 3, "nw": 0}
    assert around[0] == {"e": 1, "se": 4, "s": 3}


@given(
    offset=st.tuples(st.integers(-9, 9), st.integers(-8, 8)).filter(lambda at: at != (0, 0)),
)
def test_of_two_pages_each_is_the_others_opposite_neighbour(offset):
    start = np.array([[0, 0], [offset[0] * 50, offset[1] * 50]], dtype=float)
    one, other = adjoining(start, PAGE)
    both = {**OPPOSITE, **{there: here for here, there in OPPOSITE.items()}}
    assert {both[way] for way in one} == set(other)


def test_a_group_without_pieces_gets_one_page_that_says_so():
    pieces = layer([shapely.box(X0, Y0, X0 + 50, Y0 + 50)])
    groups = pd.DataFrame(
        {"group_code": ["14072510020001", "14072510020002"], "group_name": ["一组", "二组"]}
    )
    parcels = gpd.GeoDataFrame(
        {"issuer_code": ["14072510020002"]},
        geometry=[shapely.box(X0, Y0 + 5_000, X0 + 90, Y0 + 5_090)],
        crs=ZONE_38,
    )
    *first, empty = unit_frames(pieces, groups, parcels=parcels)
    assert {frame.unit_name for frame in first} == {"一组"}
    assert (empty.kind, empty.unit_name, empty.pages, empty.piece_codes) == ("empty", "二组", 1, ())
    assert shapely.covers(frame_shapes([empty])[0], parcels.geometry.iloc[0])
    (nowhere,) = unit_frames(pieces, groups)[2:]
    assert np.isnan(nowhere.corners).all()
    assert frame_shapes([nowhere])[0].is_empty


def test_a_county_without_any_piece_has_empty_pages_only():
    groups = pd.DataFrame({"group_code": ["14072510020001"], "group_name": ["一组"]})
    assert [frame.kind for frame in unit_frames(layer([]), groups)] == ["empty"]
    assert sheet_frames(layer([])) == []


def test_a_piece_without_code_or_group_is_covered_all_the_same():
    pieces = layer([shapely.box(X0, Y0, X0 + 50, Y0 + 50), shapely.box(X0 + 900, Y0, X0 + 950, Y0 + 50)])
    pieces.loc[1, "piece_code"] = None
    pieces["group_code"] = [None, "14072510020001"]
    frames = unit_frames(pieces)
    assert [(frame.unit_code, frame.key) for frame in maps(frames)] == [
        ("", "未定组-02"),
        ("14072510020001", "14072510020001-02"),
    ]
    assert maps(frames)[1].piece_codes == ()
    assert covered(maps(frames)[1:], pieces.geometry.iloc[1])


def test_ten_thousand_pieces_of_one_group_take_seconds():
    chance = np.random.default_rng(1)
    x, y = X0 + chance.uniform(0, 8_000, 10_000), Y0 + chance.uniform(0, 8_000, 10_000)
    pieces = layer(shapely.box(x, y, x + chance.uniform(3, 80, 10_000), y + chance.uniform(3, 80, 10_000)))
    started = time.process_time()
    frames = unit_frames(pieces)
    assert time.process_time() - started < 20  # 3 s when the machine is free
    assert sum(len(frame.home_codes) for frame in frames) == 10_000


def test_keys_name_files():
    pieces = layer([shapely.box(X0, Y0, X0 + 50, Y0 + 50)], ["1407/25:1?"])
    assert {frame.key for frame in unit_frames(pieces)} == {"1407_25_1_-01", "1407_25_1_-02"}


@settings(max_examples=15, deadline=None)
@given(pieces=COUNTIES)
def test_national_sheets_cover_every_piece_and_list_it_on_each_sheet_it_lies_on(pieces):
    frames = sheet_frames(pieces)
    shapes = frame_shapes(frames)
    for code, shape in zip(pieces["piece_code"], pieces.geometry, strict=True):
        on = [frame for frame in frames if code in frame.piece_codes]
        assert covered(on, shape)
        assert len(on) == (shapely.area(shapely.intersection(shapes, shape)) > 0).sum()
        assert sum(code in frame.home_codes for frame in frames) == 1


def corner_of(code, crs=ZONE_38):
    west, south, _, _ = sheet_frame(code)
    return Transformer.from_crs("EPSG:4490", crs, always_xy=True).transform(west, south)


def test_a_piece_across_the_corner_of_four_sheets_is_on_all_four():
    x, y = corner_of("J49I303500")
    frames = sheet_frames(layer([shapely.box(x - 30, y - 30, x + 30, y + 30)]))
    assert [frame.key for frame in frames] == ["J49I303499", "J49I303500", "J49I304499", "J49I304500"]
    assert frames[0].neighbours == {"e": "J49I303500", "se": "J49I304500", "s": "J49I304499"}
    shapes = frame_shapes(frames)
    assert shapely.union_all(shapes).area == pytest.approx(
        shapely.area(shapes).sum(), abs=1e-3
    )  # no gap, no overlap


def test_a_piece_across_sheets_names_the_others_the_one_with_its_row_first():
    x, y = corner_of("J49I303500")
    across = layer(
        [shapely.box(x - 300, y + 10, x + 1100, y + 60), shapely.box(x + 90, y + 90, x + 95, y + 95)]
    )
    west, middle, east = sheet_frames(across)
    code = across["piece_code"].iloc[0]
    assert (west.others, east.others) == ({code: (middle.key, east.key)}, {code: (middle.key, west.key)})
    assert middle.others == {code: (west.key, east.key)}  # its row stands here
    assert middle.home_codes == middle.piece_codes


def test_a_sheet_is_its_true_quadrilateral():
    x, y = corner_of("J49I303500")
    (frame,) = sheet_frames(layer([shapely.box(x + 90, y + 90, x + 95, y + 95)]))
    west, south, east, north = sheet_frame("J49I303500")
    expected = [(west, south), (west, north), (east, north), (east, south)]
    lonlat = Transformer.from_crs(ZONE_38, "EPSG:4490", always_xy=True).transform(*frame.corners.T)
    assert np.stack(lonlat, axis=-1) == pytest.approx(np.array(expected), abs=1e-10)
    turn = np.degrees(np.arctan2(*(frame.corners[1] - frame.corners[0])))
    assert turn == pytest.approx(0.492, abs=0.01)  # (113.198 - 114) sin 37.9 degrees: the convergence
    assert (frame.unit_code, frame.unit_name, frame.page, frame.pages) == ("J49I303500", "上村", 1, 1)


def test_a_county_across_two_zones_has_each_sheet_in_its_own_zone_on_request():
    inverse = Transformer.from_crs("EPSG:4490", ZONE_38, always_xy=True)
    at = [inverse.transform(lon, 37.903) for lon in (112.497, 112.503)]
    pieces = layer([shapely.box(x, y, x + 20, y + 20) for x, y in at])
    assert {frame.crs for frame in sheet_frames(pieces)} == {""}
    west, east = sheet_frames(pieces, own_zone=True)
    assert (west.crs, east.crs) == ("EPSG:4525", "")
    assert west.corners[0].tolist() == pytest.approx(corner_of(west.key, "EPSG:4525"), abs=1e-6)
    assert (west.neighbours, east.neighbours) == ({"e": east.key}, {"w": west.key})


@pytest.mark.parametrize("latitude", [18.5, 30.0, 38.0, 53.0])
def test_a_full_sheet_fits_its_paper_anywhere_in_the_country(latitude):
    x, y = Transformer.from_crs("EPSG:4490", ZONE_38, always_xy=True).transform(115.499, latitude)
    (frame, *_) = sheet_frames(layer([shapely.box(x, y, x + 5, y + 5)]))
    assert (np.ptp(frame.corners, axis=0) / 2 <= map_size_mm("A1")).all()


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        (lambda pieces: pieces.drop(columns="group_code"), MissingColumnError, "group_code"),
        (lambda pieces: pieces.set_crs(None, allow_override=True), MissingDatumError, "坐标系"),
        (lambda pieces: pieces.to_crs(4490), MismatchError, "投影"),
        (
            lambda pieces: pieces.set_geometry([shapely.Point(0, 0)], crs=ZONE_38),
            GeometryTypeError,
            "第 1 行",
        ),
        (lambda pieces: pieces.set_geometry([None], crs=ZONE_38), GeometryTypeError, "第 1 行"),
    ],
    ids=["column", "no CRS", "degrees", "point", "missing"],
)
def test_pieces_that_make_no_map_are_refused(change, error, word):
    pieces = layer([shapely.box(X0, Y0, X0 + 50, Y0 + 50)])
    with pytest.raises(error, match=word):
        unit_frames(change(pieces))


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda pieces: unit_frames(pieces, paper="B5"), InputError),
        (lambda pieces: unit_frames(pieces, overlap_mm=120), InputError),
        (lambda pieces: sheet_frames(pieces, paper="A3"), InputError),
        (lambda pieces: sheet_frames(pieces, scale=3_000), CodeError),
    ],
    ids=["paper", "overlap", "sheet on A3", "scale"],
)
def test_pages_that_cannot_be_are_refused(ask, error):
    with pytest.raises(error):
        ask(layer([shapely.box(X0, Y0, X0 + 50, Y0 + 50)]))


def test_a_broken_outline_is_mended_not_lost():
    bow_tie = shapely.Polygon([(X0, Y0), (X0 + 60, Y0 + 60), (X0 + 60, Y0), (X0, Y0 + 60)])
    frames = maps(unit_frames(layer([bow_tie])))
    assert covered(frames, shapely.make_valid(bow_tie))
    assert frames[0].home_codes == ("14072510020001-W-0001",)


@pytest.mark.parametrize("count", [300, 3_000])
def test_where_shapes_lie_close_no_more_windows_are_used_than_a_grid_would(count):
    chance = np.random.default_rng(4)
    x, y = chance.uniform(0, 2_000, (2, count))
    shapes = shapely.box(x, y, x + 30, y + 30)
    corners = tiles(shapes, PAGE)
    bounds = shapely.bounds(shapes)
    low = (corners[:, None] + 20 <= bounds[None, :, :2]).all(axis=2)
    high = (corners[:, None] + [480, 420] >= bounds[None, :, 2:]).all(axis=2)
    assert (low & high).any(axis=0).all()
    assert len(corners) <= 30  # 5 x 6 windows that overlap by a shape and two margins


@pytest.mark.parametrize("crs", ["EPSG:32649", "EPSG:4547"])
def test_a_map_in_no_numbered_zone_keeps_its_system(crs):
    x, y = Transformer.from_crs("EPSG:4490", crs, always_xy=True).transform(113.2, 37.9)
    (frame,) = sheet_frames(layer([shapely.box(x, y, x + 20, y + 20)], crs=crs), own_zone=True)
    assert (frame.key, frame.crs) == ("J49I303500", "")


def test_an_overview_that_one_lost_piece_makes_wide_leaves_parcels_and_patches_out():
    shown = {}
    for far in (600, 60_000):
        overview, *_ = unit_frames(
            layer([shapely.box(X0, Y0, X0 + 50, Y0 + 50), shapely.box(X0 + far, Y0, X0 + far + 50, Y0 + 50)])
        )
        shown[far] = (shows_parcels(overview), shows_patches(overview))
    assert shown == {600: (True, True), 60_000: (False, False)}
