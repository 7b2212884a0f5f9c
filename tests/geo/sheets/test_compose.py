"""A composed page: each code once, true to scale, all within the paper, classes told apart without colour."""

from itertools import combinations

import numpy as np
import pytest
import segno
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry import box

from geo.sheets.compose import LAYERS, PHOTO, compose
from geo.sheets.fonts import measure
from geo.sheets.frames import sheet_frames, unit_frames
from geo.sheets.furniture import outer_corners
from geo.sheets.hatch import hatch
from geo.sheets.layout import LayoutSettings, layout
from geo.sheets.page import MAP_WINDOWS, PAPERS, Modules, Photo, Shapes, Text
from geo.sheets.painter import Painting
from geo.sheets.symbols import HATCHES
from tests.geo.sheets.scene import GROUP, MIXED, OTHER, X0, Y0, codes, frame, grid, layers, piece

SETTINGS = LayoutSettings(
    county_name="寿阳县",
    producer="某测绘院",
    date="2026年11月",
    survey_vintage="2019年12月31日",
    parcels_vintage="2016年",
)


def pages_of(pieces, *, photo=None, **more):
    land = layers(*pieces, parcels=more.pop("parcels", ()))
    shown = frame(codes(pieces), **more)
    return compose(shown, layout(shown, land, settings=SETTINGS), photo)


def items(pages, kind):
    return [item for page in pages for item in page.items if isinstance(item, kind)]


def texts(pages):
    return [item.text for item in items(pages, Text)]


@pytest.mark.parametrize("count", [1, 12, 40, 200])
def test_every_code_stands_once_whatever_the_number_of_pages(count):
    pieces = grid(count)
    said = texts(pages_of(pieces))
    assert [said.count(code) for code in codes(pieces)] == [1] * count
    assert sum(GROUP in text and "-W-" in text for text in said) == count


def test_strips_and_slivers_are_listed_by_code_too():
    said = texts(pages_of(MIXED))
    assert [said.count(code) for code in codes(MIXED)] == [1] * 5


@pytest.mark.parametrize("paper", ["A1", "A0"])
def test_rows_that_find_no_room_beside_a_plotters_sheet_go_on_over_an_office_printers_paper(paper):
    pieces = grid(200)
    first, *further = pages_of(pieces, paper=paper)
    assert (first.width_mm, first.height_mm) == PAPERS[paper]
    assert {(page.width_mm, page.height_mm) for page in further} == {PAPERS["A3"]}
    said = texts([first, *further])
    assert [said.count(code) for code in codes(pieces)] == [1] * 200
    assert all(
        0 < item.x_mm < page.width_mm and 0 < item.y_mm < page.height_mm
        for page in further
        for item in items([page], Text)
    )


def test_rows_that_find_no_room_go_on_over_further_pages_of_the_same_paper():
    pages = pages_of(grid(120))
    assert len(pages) > 1
    assert {(page.width_mm, page.height_mm) for page in pages} == {PAPERS["A3"]}
    assert "附表 1/" in " ".join(texts(pages[1:2]))
    assert pages[1].registration is None


def test_a_line_of_forty_metres_is_twenty_millimetres():
    page = pages_of([piece(1, box(100, 100, 140, 180))])[0]
    outline = next(item for item in page.items if isinstance(item, Shapes) and item.layer == "剩余图块")
    west, south, east, north = shapely.bounds(shapely.LinearRing(outline.rings[0]))
    assert east - west == pytest.approx(20.0, abs=1e-6)
    assert north - south == pytest.approx(40.0, abs=1e-6)


def test_the_registration_says_where_the_corners_lie():
    page = pages_of(MIXED)[0]
    seen = page.registration
    assert seen.epsg == 4526
    np.testing.assert_allclose(seen.frame_map[0], [X0, Y0])
    lon, lat = Transformer.from_crs(4526, 4490, always_xy=True).transform(X0, Y0)
    np.testing.assert_allclose(seen.frame_lonlat[0], [lon, lat])
    assert np.ptp(seen.frame_mm, axis=0).tolist() == pytest.approx([250, 220])


@pytest.mark.parametrize("kind", ["group", "sheet", "empty"])
def test_nothing_leaves_the_paper(kind):
    land = layers(*grid(60), parcels=[(OTHER, box(300, 300, 700, 340))])
    shown = {
        "group": unit_frames(land["pieces"])[1],
        "sheet": sheet_frames(land["pieces"])[0],
        "empty": frame([], kind="empty"),
    }[kind]
    pages = compose(shown, layout(shown, land, settings=SETTINGS))
    width, height = PAPERS[shown.paper]
    for item in items(pages, Shapes):
        for ring in item.rings:
            assert (ring >= -1e-6).all()
            assert (ring <= np.array([width, height]) + 1e-6).all()
    for item in items(pages, Text):
        assert 0 < item.x_mm < width
        assert 0 < item.y_mm < height


def test_the_map_stays_within_its_neat_line():
    page = pages_of([piece(1, box(-100, -100, 900, 900))], parcels=[(GROUP, box(400, 400, 900, 900))])[0]
    inner = shapely.Polygon(page.registration.frame_mm).buffer(1e-6)
    on_map = [item for item in page.items if isinstance(item, Shapes) and item.layer in LAYERS]
    assert on_map
    assert all(inner.covers(shapely.MultiPoint(ring)) for item in on_map for ring in item.rings)


def test_the_outer_line_runs_along_a_turned_sheet_at_one_distance():
    turned = np.array([[10, 0], [0, 400], [490, 410], [500, 10]], dtype=float)
    outer = outer_corners(turned, 12)
    for n in range(4):
        side = shapely.LineString([turned[n], turned[(n + 1) % 4]])
        line = shapely.LineString([outer[n], outer[(n + 1) % 4]])
        assert line.distance(side) == pytest.approx(12)
        assert shapely.Point(outer[n]).distance(shapely.Point(turned[n])) < 20


def test_classes_are_told_apart_without_colour():
    strokes = {name: {(angle, dash) for angle, _, dash in lines} for name, lines in HATCHES.items()}
    assert all(one.isdisjoint(other) for one, other in combinations(strokes.values(), 2))


def test_two_parcels_that_overlap_are_both_filled():
    page = pages_of(MIXED, parcels=[(GROUP, box(350, 300, 400, 340)), (GROUP, box(390, 300, 450, 340))])[0]
    parcels = [item for item in page.items if isinstance(item, Shapes) and item.layer == "承包地块"]
    assert [len(item.rings) for item in parcels] == [1, 1]


def test_a_photo_lies_under_everything_and_ends_at_the_neat_line():
    photo = Photo(layer="x", jpeg=b"jpeg", corners_mm=np.array([[16, 258], [266, 258], [16, 38.0]]))
    page = pages_of(MIXED, photo=photo)[0]
    assert isinstance(page.items[0], Photo)
    assert page.items[0].layer == PHOTO
    np.testing.assert_array_equal(page.items[0].clip, page.registration.frame_mm)
    assert PHOTO in page.layers
    assert PHOTO not in pages_of(MIXED)[0].layers


def test_every_layer_that_may_be_switched_is_named_once():
    page = pages_of(MIXED)[0]
    used = {item.layer for item in page.items}
    assert set(page.layers) == set(LAYERS) - {PHOTO}
    assert used - set(page.layers) == {"图廓整饰"}


def test_bar_codes_carry_the_pieces_code_and_the_sheets():
    modules = items(pages_of(MIXED), Modules)
    expected = segno.make_qr(codes(MIXED)[0], error="m", mask=2, boost_error=False)
    assert len(modules) == 4  # three blocks and the sheet
    assert any(np.array_equal(item.dark, np.array(expected.matrix, dtype=bool)) for item in modules)


def test_the_margin_says_what_the_national_style_asks():
    said = texts(pages_of(MIXED))
    for words in (
        "寿阳县石榆村第一村民小组未确权耕地认定图", f"{GROUP}-02", "内部使用", "1:2000", "编制单位：某测绘院", "图  例",
        "编制日期：2026年11月", "国土调查图斑：2019年12月31日", "承包地确权：2016年", "第 2 页  共 3 页", "北",
        "2000国家大地坐标系  高斯-克吕格投影  3°带第38带  中央子午线114°", "编号", "面积(亩)", "类别", "认定", "实测亩",
        "现使用人", "备注",
    ):  # fmt: skip
        assert words in said, words
    assert any(text.startswith("1985国家高程基准") for text in said)


def test_a_group_without_pieces_has_the_same_margin():
    said = texts(pages_of([], kind="empty"))
    assert "本组无未确权耕地图块" in said
    assert {"1:2000", "内部使用", "图  例", "面积平衡（集体耕地 = 已确权 + 图块 + 细条 + 碎屑）"} <= set(said)


def test_an_overview_shows_page_numbers_and_sums():
    land = layers(*MIXED)
    frames = unit_frames(land["pieces"])
    said = texts(compose(frames[0], layout(frames[0], land, tiles=frames)))
    assert {str(tile.page) for tile in frames[1:]} <= set(said)
    assert "图块汇总" in said
    assert not any(code in said for code in codes(MIXED))


def test_an_overview_that_lists_many_blocks_goes_on_and_names_no_code_in_full():
    pieces = grid(800, side=5, step=12)
    land = layers(*pieces)
    frames = unit_frames(land["pieces"])
    pages = compose(frames[0], layout(frames[0], land, tiles=frames))
    assert len(pages) > 1
    said = texts(pages)
    assert "图块所在页（续）" in "".join(said)
    assert [said.count(code.removeprefix(f"{GROUP}-")) for code in codes(pieces)] == [1] * 800
    assert not any(code in said for code in codes(pieces))


def test_a_row_whose_piece_has_no_label_on_the_map_is_marked_and_the_mark_explained():
    pieces = [
        piece(1, box(100, 100, 200, 180)),
        piece(2, box(500, 100, 600, 200)),
    ]  # one only touches the frame
    said = texts(pages_of(pieces))
    assert {"1", "2*"} <= set(said)
    assert any("带*的图上注不下" in text for text in said)
    assert not any("*" in text for text in texts(pages_of(pieces[:1])))


def test_the_same_layout_makes_the_same_page():
    one, other = (pages_of(MIXED)[0] for _ in range(2))
    assert texts([one]) == texts([other])
    rings = [
        [ring.tobytes() for item in items([page], Shapes) for ring in item.rings] for page in (one, other)
    ]
    assert rings[0] == rings[1]


def test_every_paper_has_room_for_its_map_and_its_column():
    for paper, (width, height) in MAP_WINDOWS.items():
        corners = np.array([[0, 0], [0, height], [width, height], [width, 0]]) * 2 + [X0, Y0]
        pages = pages_of(grid(3), paper=paper, corners=corners)
        assert max(item.x_mm for item in items(pages, Text)) < PAPERS[paper][0]


@given(
    st.lists(
        st.tuples(st.floats(0, 80), st.floats(0, 80), st.floats(1, 30), st.floats(1, 30)),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([0.0, 45.0, 135.0, 30.0]),
)
def test_hatching_covers_a_shape_evenly_and_leaves_it_nowhere(rectangles, angle):
    shape = shapely.union_all([box(x, y, x + w, y + h) for x, y, w, h in rectangles])
    shape = shape.difference(shape.centroid.buffer(1.5))  # a pond stays blank
    strokes = hatch(np.array([shape], dtype=object), spacing_mm=0.5, angle_deg=angle)
    lines = shapely.linestrings(strokes) if len(strokes) else []
    assert all(shape.buffer(1e-6).covers(line) for line in lines)
    assert shapely.length(lines).sum() * 0.5 == pytest.approx(shape.area, abs=0.25 * shape.length)


def test_a_map_too_full_to_name_its_blocks_says_how_many_and_the_list_says_so():
    crowd = grid(144, side=3.0, step=3.2)
    told = [text.text for text in items(pages_of(crowd), Text) if "图上注不下" in text.text]
    assert len(told) > 1  # under the map, and over the table
    painter = Painting().on(None, county_name="寿阳县", crs=layers(*crowd)["pieces"].crs)
    unmarked = layout(frame(codes(crowd)), layers(*crowd), measure=measure).unmarked
    assert painter(frame(codes(crowd)), layers(*crowd), [])[1].startswith(f"{unmarked} 块图上注不下")
    assert not any("图上注不下" in text.text for text in items(pages_of(grid(30)), Text))
