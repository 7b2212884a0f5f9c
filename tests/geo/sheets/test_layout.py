"""The content of a page: every piece has its row and its label, sums are those of the rows."""

from collections import Counter
from decimal import Decimal

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import box

from geo.area import mu
from geo.errors import InputError, MismatchError, MissingDatumError
from geo.sheets.frames import sheet_frames, unit_frames
from geo.sheets.layout import LayoutSettings, layout, sheet_payload
from geo.sheets.plan import PLANS, table_plan
from geo.sheets.table import ABREAST, OF_AN_OVERVIEW, flow, head_mm
from tests.geo.sheets.scene import CRS, GROUP, MIXED, OTHER, X0, Y0, codes, frame, grid, layers, piece

ONE = [piece(1, box(100, 100, 200, 180))]


def lay(pieces, *, home=None, **more):
    land = {key: more.pop(key) for key in ("parcels", "villages") if key in more}
    tiles = more.pop("tiles", ())
    return layout(frame(codes(pieces), home=home, **more), layers(*pieces, **land), tiles=tiles)


def test_each_piece_is_one_entry_blocks_first():
    page = lay(MIXED)
    assert [entry.piece_code for entry in page.entries] == codes(MIXED)
    assert [entry.number for entry in page.entries] == [1, 2, 3, 4, 5]
    assert [entry.how for entry in page.entries] == ["inside"] * 3 + ["key"] * 2


def test_a_label_bears_the_short_code_and_the_mu():
    entry = lay(ONE).entries[0]
    assert entry.lines == ("W-0001", "12.00亩")
    assert (entry.short_code, entry.area_m2, entry.area_mu) == ("W-0001", 8000.0, 12.0)


def test_with_two_groups_on_the_page_the_short_code_names_the_group():
    pieces = [*ONE, piece(1, box(250, 100, 330, 160), group=OTHER)]
    assert [entry.short_code for entry in lay(pieces).entries] == ["01-W-0001", "02-W-0001"]


def test_with_two_villages_whose_groups_and_serials_agree_the_short_code_names_the_village():
    pieces = [*ONE, piece(1, box(250, 100, 330, 160), group="14072510220001"), piece(2, box(10, 10, 50, 50))]
    assert [entry.short_code for entry in lay(pieces).entries] == [
        "10120001-W-0001",
        "01-W-0002",
        "10220001-W-0001",
    ]


def test_a_strip_has_its_number_for_a_label():
    entry = lay(MIXED).entries[3]
    assert (entry.how, entry.lines) == ("key", ("4",))


def test_a_piece_at_home_on_another_page_is_labelled_here_and_says_where_its_row_is():
    tiles = [
        frame(codes(MIXED), home=codes(MIXED)[1:]),
        frame(codes(ONE), page=3, number=f"{GROUP}-03"),
        frame(codes(MIXED), kind="overview", page=1),
    ]
    page = lay(MIXED, home=codes(MIXED)[1:], tiles=tiles)
    away = page.entries[-1]
    assert (away.piece_code, away.at_home, away.remark, away.how) == (codes(ONE)[0], False, "第3页", "inside")
    assert sum(total.count for total in page.totals) == 4


def test_a_piece_across_sheets_is_sent_to_the_sheet_with_its_row():
    others = {codes(ONE)[0]: ("J49I303500", "J49I303501")}
    assert lay(ONE, others=others).entries[0].remark == "另见J49I303500等2幅"
    assert lay(ONE, others=others, home=()).entries[0].remark == "J49I303500"


def test_a_piece_that_other_pages_show_too_names_them():
    tiles = [frame(codes(ONE)), frame(codes(ONE), page=3, home=()), frame([], page=1)]
    assert lay(ONE, tiles=tiles).entries[0].remark == "另见第3页"


@pytest.mark.parametrize(
    ("pages", "remark"), [((3, 108, 109), "另见第3、108、109页"), ((3, 4, 5, 108), "另见第3页等4页")]
)
def test_a_piece_on_many_pages_says_how_many_where_a_cell_has_no_room_for_all(pages, remark):
    tiles = [frame(codes(ONE)), *(frame(codes(ONE), page=page, home=()) for page in pages)]
    entry = lay(ONE, tiles=tiles).entries[0]
    assert entry.remark == remark


def test_a_piece_larger_than_the_page_is_labelled_within_it():
    page = lay([piece(1, box(-300, -300, 900, 900))])
    west, south, east, north = page.entries[0].box_mm
    assert shapely.Polygon(page.place.frame_mm).contains(box(west, south, east, north))
    assert shapely.area(page.pieces[0]) == pytest.approx(250 * 220)
    assert page.entries[0].area_m2 == 1200 * 1200  # the row states the whole piece


def test_a_piece_that_only_touches_the_frame_has_its_row():
    page = lay([piece(1, box(500, 100, 600, 200))])
    assert page.entries[0].how == "table"
    assert page.parts[0].last == 1


def test_sums_are_exact_hundredths_not_sums_of_rounded_mu():
    pieces = [piece(n, box(n * 30, 0, n * 30 + 20, 20), area=3.34) for n in range(1, 11)]
    total = lay(pieces).totals[0]
    assert (total.count, total.area_m2, total.area_mu) == (10, 33.4, 0.05)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.floats(-50, 490), st.floats(-50, 430), st.floats(0.5, 120), st.floats(0.5, 120),
            st.sampled_from("WXD"), st.sampled_from(["BLOCK", "STRIP", "SLIVER"]), st.booleans(),
            st.integers(1, 10**8),
        ),
        min_size=1, max_size=40,
    )
)  # fmt: skip
def test_rows_and_labels_are_the_pieces_of_the_frame(rows):
    pieces = [
        piece(n + 1, box(x, y, x + w, y + h), letter=letter, kind=kind, area=cents / 100)
        for n, (x, y, w, h, letter, kind, _, cents) in enumerate(rows)
    ]
    home = [code for code, row in zip(codes(pieces), rows, strict=True) if row[6]]
    page = lay(pieces, home=home)
    assert sorted(entry.piece_code for entry in page.entries) == sorted(codes(pieces))
    assert sorted(entry.piece_code for entry in page.entries if entry.at_home) == sorted(home)
    rows_of_parts = [n for part in page.parts for n in range(part.first, part.last)]
    assert rows_of_parts == list(range(len(pieces)))
    cents = {code: row[7] for code, row in zip(codes(pieces), rows, strict=True)}
    assert sum(Decimal(str(total.area_m2)) for total in page.totals) * 100 == sum(
        cents[code] for code in home
    )
    assert all(entry.area_mu == mu(entry.area_m2) for entry in page.entries)
    boxes = [box(*entry.box_mm) for entry in page.entries if entry.box_mm]
    inner = shapely.Polygon(page.place.frame_mm).buffer(1e-6)
    assert all(inner.covers(one) for one in boxes)
    assert all((entry.box_mm is None) == (entry.how == "table") for entry in page.entries)
    assert all(bool(entry.lines) == (entry.how != "table") for entry in page.entries)


def test_a_piece_of_no_known_class_is_shown_as_undetermined():
    strange = piece(1, box(100, 100, 200, 180)) | {"piece_class": None, "piece_shape": "ROUND"}
    page = lay([strange])
    assert (page.entries[0].piece_class, page.entries[0].piece_shape) == ("UNDETERMINED", "BLOCK")
    assert page.totals[0].area_m2 == 8000.0


def test_land_of_a_piece_that_was_split_is_not_drawn_beside_its_children():
    parent = piece(2, box(250, 100, 330, 160)) | {"state": "superseded"}
    neighbour = piece(1, box(350, 100, 400, 160), group=OTHER) | {"state": "candidate"}
    page = layout(frame(codes(ONE)), layers(*ONE, parent, neighbour))
    assert len(page.land["others"]) == 1


def test_the_order_of_rows_does_not_matter():
    land = layers(*MIXED)
    turned = land | {"pieces": land["pieces"].iloc[::-1]}
    one, other = (layout(frame(codes(MIXED)), given_) for given_ in (land, turned))
    assert one.entries == other.entries
    assert one.totals == other.totals


@given(
    st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400)), st.sampled_from(sorted(PLANS))
)
def test_tables_lose_no_row_and_stay_in_their_columns(counts, paper):
    plan = PLANS[paper]
    parts = flow(counts, plan, top_mm=plan.table_top, bottom_mm=plan.table_bottom)
    assert [n for part in parts for n in range(part.first, part.last)] == list(range(sum(counts)))
    for part in parts:
        page = table_plan(plan) if part.sheet else plan
        low = part.top_mm - part.heads * head_mm(page, part.kind) - part.lines * part.row_mm
        assert low >= (page.edge_mm if part.sheet else page.table_bottom) - 1e-9
        assert page.edge_mm - 1e-9 <= part.x_mm <= page.width - page.edge_mm - part.width_mm + 1e-9
    ends = Counter(part.kind for part in parts if part.ends)
    assert set(ends.values()) <= {1}


def test_a_few_blocks_have_a_bar_code_each_and_many_have_none():
    assert [part.coded for part in lay(grid(5)).parts] == [True]
    assert not any(part.coded for part in lay(grid(30)).parts)


def test_ten_thousand_rows_go_on_over_further_pages():
    plan = PLANS["A3"]
    parts = flow((10_000, 0, 0), plan, top_mm=plan.table_top, bottom_mm=plan.table_bottom)
    assert parts[-1].last == 10_000
    assert parts[-1].sheet < 10_000 / 50
    assert ABREAST["blocks"] == 1


def test_a_group_without_pieces_says_so():
    page = lay([], kind="empty")
    assert page.message == "本组无未确权耕地图块"
    assert page.entries == page.parts == page.totals == ()
    assert page.balance[0] == ("集体耕地", 30_000.0)


@pytest.mark.parametrize(
    ("farmland", "covered", "words"),
    [
        (30_000.0, 30_000.0, "本组无未确权耕地图块：集体耕地 45.00 亩全部已确权"),
        (0.0, 0.0, "本组无未确权耕地图块：没有参加比对的集体耕地"),
        (30_000.0, 10_000.0, "本组无未确权耕地图块"),
    ],
)
def test_a_page_without_pieces_certifies_no_more_than_the_balance_holds(farmland, covered, words):
    land = layers()
    own = land["balance"]["code"] == GROUP
    land["balance"].loc[own, ["farmland_m2", "covered_m2"]] = [farmland, covered]
    assert layout(frame([], kind="empty"), land).finding == words


def test_a_page_without_pieces_names_whose_land_lies_around():
    parcels = [(OTHER, box(300, 300, 360, 340)), (GROUP, box(100, 300, 160, 340))]
    assert [name.text for name in lay([], kind="empty", parcels=parcels).names] == ["石榆村第二村民小组"]


def test_blocks_that_the_map_is_too_full_to_name_are_counted():
    crowd = grid(144, side=3.0, step=3.2)
    page = lay(crowd)
    assert page.unmarked == sum(entry.how == "table" for entry in page.entries) > 0
    assert lay(grid(30)).unmarked == 0


def test_an_overview_of_a_small_scale_leaves_parcels_out():
    parcels = [(GROUP, box(100, 300, 160, 340))]
    for scale, shown in ((5_000, 1), (10_000, 0)):
        page = lay(MIXED, kind="overview", scale=scale, parcels=parcels)
        assert len(page.land["parcels"]) == shown


def test_an_empty_group_that_lies_nowhere_has_a_page_without_coordinates():
    page = lay([], kind="empty", corners=np.full((4, 2), np.nan), neighbours={})
    assert (page.ticks, page.corner_texts, len(page.crosses_mm)) == ((), (), 0)
    assert np.isfinite(page.place.frame_mm).all()


@pytest.mark.parametrize(
    ("unit", "words"),
    [(GROUP, "本组"), (f"{GROUP[:12]}00", "村集体"), (GROUP[:12], "本村"), ("J49I303489", "本图幅")],
)
def test_the_word_for_the_unit_is_the_units(unit, words):
    assert lay([], kind="empty", unit_code=unit).message.startswith(words)


def test_an_overview_sums_all_pieces_and_draws_the_pages():
    land, pages = layers(*MIXED), unit_frames(layers(*MIXED)["pieces"])
    page = layout(pages[0], land, tiles=pages)
    assert pages[0].kind == "overview"
    assert sum(total.count for total in page.totals) == len(MIXED)
    assert [number for _, number in page.tiles] == [tile.page for tile in pages[1:]]
    assert page.entries == ()


def test_adjoining_land_is_named_on_the_map():
    page = lay(
        ONE,
        parcels=[(OTHER, box(300, 300, 360, 340)), (GROUP, box(100, 300, 160, 340))],
        villages=[
            (GROUP[:12], "石榆村村民委员会", box(0, 0, 400, 440)),
            ("140725102200", "南杨庄村民委员会", box(400, 0, 500, 440)),
        ],
    )
    assert [name.text for name in page.names] == ["石榆村第二村民小组", "南杨庄村"]
    boxes = [box(*name.box_mm) for name in page.names] + [box(*entry.box_mm) for entry in page.entries]
    assert not any(one.intersects(other) for n, one in enumerate(boxes) for other in boxes[:n])


def test_paper_and_map_differ_by_the_scale_alone():
    place = lay(ONE).place
    a, b = place.mm([[X0, Y0], [X0 + 500, Y0]])
    assert np.hypot(*(b - a)) == pytest.approx(250, abs=1e-6)
    np.testing.assert_allclose(place.mm(place.corners), place.frame_mm, atol=1e-6)


def test_a_sheet_bounded_by_meridians_keeps_its_turn():
    land = layers(*ONE)
    sheet = sheet_frames(land["pieces"])[0]
    page = layout(sheet, land)
    corners = page.place.frame_mm
    rise = np.degrees(np.arctan2(corners[3, 1] - corners[0, 1], corners[3, 0] - corners[0, 0]))
    assert 0.2 < abs(rise) < 1.0
    np.testing.assert_allclose(
        np.diff(corners, axis=0), np.diff(sheet.corners, axis=0) / 2, atol=1e-6
    )  # 1:2000: two metres are a millimetre
    assert page.corner_texts[0] == ("37°53′20″", "113°05′00″")  # whole multiples of 25″ and 37.5″
    assert page.convergence.startswith("平面子午线收敛角 -0°3")


def test_ticks_stand_each_ten_centimetres_and_corners_tell_their_coordinates():
    page = lay(ONE)
    assert [tick.text for tick in page.ticks if tick.side == "south"] == ["38420.2", "38420.4"]
    assert [tick.text for tick in page.ticks if tick.side == "west"] == ["4196.2", "4196.4"]
    assert page.corner_texts[0] == ("4196.0", "38420.0")
    assert page.corner_texts[2] == ("4196.44", "38420.5")
    assert len(page.crosses_mm) == 4


def test_a_whole_kilometre_is_written_without_a_point():
    corners = np.array([[X0, Y0], [X0, Y0 + 2200], [X0 + 2500, Y0 + 2200], [X0 + 2500, Y0]], dtype=float)
    page = lay(ONE, kind="overview", scale=10_000, corners=corners)
    assert [tick.text for tick in page.ticks if tick.side == "south"] == ["38421", "38422"]


def test_the_margin_names_system_zone_and_meridian():
    assert lay(ONE).system == "2000国家大地坐标系  高斯-克吕格投影  3°带第38带  中央子午线114°"


def test_the_adjoining_index_has_the_page_in_its_middle_and_north_above():
    page = lay(ONE, neighbours={"n": f"{GROUP}-01", "e": f"{GROUP}-03"})
    assert page.index == (("", "01", ""), ("", "02", "03"), ("", "", ""))


def test_the_sheets_code_names_every_piece_until_it_is_full():
    few = [f"{GROUP}-W-{n:04d}" for n in range(1, 4)] + [f"{OTHER}-X-0001"]
    assert sheet_payload("K", few) == f"K|{GROUP}|W-0001,W-0002,W-0003|{OTHER}|X-0001"
    many = sheet_payload("K", [f"{GROUP}-W-{n:04d}" for n in range(1, 500)])
    assert len(many) < 320
    named = many.split("|")[2].count(",") + 1
    assert many.endswith(f"|+{499 - named}")


def test_layers_of_another_zone_are_brought_into_that_of_the_frame():
    land = layers(*ONE)
    there = {
        key: layer.to_crs("EPSG:4525") if isinstance(layer, gpd.GeoDataFrame) else layer
        for key, layer in land.items()
    }
    here = layout(frame(codes(ONE)), land)
    moved = layout(frame(codes(ONE), crs=CRS), there)
    assert moved.entries[0].how == "inside"
    assert shapely.hausdorff_distance(moved.pieces[0], here.pieces[0]) < 0.001


def test_a_wide_title_takes_the_villages_name_where_the_group_has_none():
    assert lay(ONE, unit_name="").title == "石榆村第一村民小组未确权耕地认定图"
    assert lay(ONE, unit_name="", unit_code="14072510120099").title == "14072510120099未确权耕地认定图"


def test_a_piece_the_layers_lack_is_refused():
    with pytest.raises(MismatchError, match="W-0009"):
        layout(frame([f"{GROUP}-W-0009"]), layers(*ONE))


def test_a_layer_without_crs_is_refused():
    land = layers(*ONE)
    with pytest.raises(MissingDatumError, match="坐标系"):
        layout(frame(codes(ONE)), land | {"pieces": land["pieces"].set_crs(None, allow_override=True)})


def test_a_frame_larger_than_its_paper_is_refused():
    with pytest.raises(MismatchError, match="大于 A3"):
        lay(ONE, scale=1000)


def test_an_unknown_paper_is_refused():
    with pytest.raises(InputError, match="A9"):
        lay(ONE, paper="A9")


def test_settings_are_kept_with_the_page():
    chosen = LayoutSettings(county_name="寿阳县", producer="某测绘院", date="2026年11月")
    page = layout(frame(codes(ONE)), layers(*ONE), settings=chosen)
    assert page.settings is chosen
    assert page.title.startswith("寿阳县石榆村第一村民小组")


def test_an_overview_says_on_which_page_each_block_has_its_row():
    tiles = [
        frame(codes(MIXED), home=codes(MIXED)[1:]),
        frame(codes(MIXED), home=codes(MIXED)[:1], page=3, number=f"{GROUP}-03"),
    ]
    page = lay(MIXED, home=(), kind="overview", page=1, tiles=tiles)
    assert page.places == (("W-0001", 3), ("X-0002", 2), ("D-0003", 2))
    assert [(part.kind, part.first, part.last) for part in page.parts] == [("places", 0, 3)]


@pytest.mark.parametrize("count", [0, 1, 500, 10_000])
def test_no_row_of_an_overviews_list_is_lost_however_long_it_is(count):
    plan = PLANS["A3"]
    parts = flow([count], plan, top_mm=120, bottom_mm=plan.table_bottom, kinds=OF_AN_OVERVIEW)
    assert [n for part in parts for n in range(part.first, part.last)] == list(range(count))


def test_land_that_crosses_itself_at_the_edge_of_a_page_is_drawn_as_the_land_it_is():
    tie = shapely.Polygon([(450, 100), (550, 200), (550, 100), (450, 200)])  # half of it on the page of 500 m
    assert not tie.is_valid
    page = lay([piece(1, box(100, 100, 200, 180)), piece(2, tie, area=5000.0)], parcels=[(OTHER, tie)])
    assert shapely.area(page.pieces).tolist() == pytest.approx([50 * 40, 2500 / 4])  # mm² at 1:2000
    assert shapely.area(page.land["parcels"]).tolist() == pytest.approx([2500 / 4])
