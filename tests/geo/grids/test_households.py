"""Homes: each in its village, none lost, whatever the file says and in whatever order."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from shapely.affinity import rotate
from shapely.geometry import MultiPolygon, Point, Polygon, box

from geo import schema
from geo.errors import InputError, MismatchError, MissingColumnError, MissingDatumError
from geo.grids.households import from_contractors, households
from geo.grids.numerals import number_in
from geo.grids.stairs import stair_order
from tests.helpers import X0, Y0, ZONE_39, layer

WEST, EAST = "140725100201", "140725100202"


def villages(*shapes, codes=(WEST, EAST), names=("南坡村民委员会", "北坡村民委员会")):
    shapes = shapes or (box(X0, Y0, X0 + 1000, Y0 + 1000), box(X0 + 1000, Y0, X0 + 2000, Y0 + 1000))
    count = len(shapes)
    return layer(*shapes, village_code=list(codes[:count]), village_name=list(names[:count]))


def at(x, y):
    return Point(X0 + x, Y0 + y)


def house(x, y, wide=10, deep=8):
    return box(X0 + x, Y0 + y, X0 + x + wide, Y0 + y + deep)


def rules(made):
    return set(made.findings["rule"])


def said(made, rule):
    return "\n".join(made.findings.loc[made.findings["rule"] == rule, "message"])


def plain(points):
    """Rows by key, without what a row's place in the file is."""
    table = pd.DataFrame(points).assign(geometry=shapely.to_wkb(points.geometry.to_numpy()))
    return table.drop(columns="source_row").sort_values("household_key", ignore_index=True)


# --- where a home is


def test_a_footprint_is_a_home_at_its_middle_in_the_village_it_lies_in():
    made = households(layer(house(100, 100), at(1500, 500), households=[2, 3]), villages())
    assert list(made.points["village_code"]) == [WEST, EAST]
    assert list(made.points["located_by"]) == ["FOOTPRINT", "POINT"]
    assert list(made.points["households"]) == [2, 3]
    assert made.points.geometry.iloc[0].equals(at(105, 104))
    assert list(made.points.columns) == [*schema.column_names("households"), "geometry"]
    assert rules(made) == set()


def test_the_point_of_a_house_round_a_yard_lies_in_the_house_not_in_the_yard():
    yard = Polygon(house(0, 0, 30, 30).exterior, [house(2, 2, 26, 26).exterior])
    made = households(layer(yard), villages())
    assert yard.contains(made.points.geometry.item())


def test_a_broken_footprint_still_is_a_home():
    bow = Polygon([(X0, Y0), (X0 + 10, Y0 + 10), (X0 + 10, Y0), (X0, Y0 + 10)])
    made = households(layer(bow), villages())
    assert made.points["village_code"].item() == WEST


def test_homes_come_back_in_the_system_of_the_villages():
    source = layer(at(100, 100)).to_crs("EPSG:4490")
    made = households(source, villages())
    assert made.points.crs == ZONE_39
    assert made.points.geometry.item().distance(at(100, 100)) < 0.001


def test_villages_in_degrees_are_measured_in_metres_all_the_same():
    far = at(-50, 500)
    made = households(layer(far, at(10, 10)).to_crs("EPSG:4490"), villages().to_crs("EPSG:4490"))
    assert made.points.crs == "EPSG:4490"
    assert "50 米" in said(made, "household_outside")


def test_a_village_of_two_rows_with_a_hole_and_an_island_takes_what_lies_in_it():
    land = villages(
        box(X0, Y0, X0 + 1000, Y0 + 1000) - box(X0 + 400, Y0 + 400, X0 + 600, Y0 + 600),
        box(X0 + 3000, Y0, X0 + 3100, Y0 + 100),
        codes=(WEST, WEST),
        names=("南坡", "南坡"),
    )
    made = households(layer(at(100, 100), at(500, 500), at(3050, 50)), land)
    assert sorted(made.points["village_code"]) == ["", WEST, WEST]
    assert "100 米" in said(made, "household_outside")


# --- nobody is lost


def test_a_home_outside_all_villages_stays_a_row_and_its_distance_is_told():
    made = households(layer(at(-80, 500), at(10, 10), households=[4, 1]), villages())
    assert list(made.points["village_code"]) == ["", WEST]
    assert made.points["households"].sum() == 5
    assert "4 户）不在任何村内，离最近的南坡村民委员会（140725100201）80 米" in said(
        made, "household_outside"
    )
    assert made.findings.set_index("rule")["severity"]["household_outside"] == "error"


def test_a_home_without_place_and_village_stays_a_row_without_place():
    made = households(layer(None, at(10, 10), address=["某处", ""]), villages())
    lost = made.points[made.points["village_code"] == ""]
    assert lost.geometry.isna().all()
    assert lost["household_key"].item()
    assert "某处" in said(made, "household_no_village")


def test_homes_of_another_county_are_refused():
    with pytest.raises(MismatchError, match=r"2 处住户都不在任何村内.*50\.0 千米.*坐标系"):
        households(layer(at(-50_000, 0), at(-50_010, 0)), villages())


def test_a_home_on_the_border_goes_to_the_lesser_code_or_where_its_row_says():
    source = layer(at(1000, 500), at(1000, 600), village_code=["", EAST])
    made = households(source, villages())
    assert made.points.set_index("village_code").geometry.y.to_dict() == {WEST: Y0 + 500, EAST: Y0 + 600}
    assert said(made, "household_border").count("正在村界上") == 2
    assert "household_two_villages" not in rules(made)


def test_a_home_in_two_villages_is_counted_once():
    land = villages(box(X0, Y0, X0 + 1000, Y0 + 1000), box(X0 + 900, Y0, X0 + 2000, Y0 + 1000))
    made = households(layer(at(950, 500), at(960, 500), households=[2, 2]), land)
    assert list(made.points["village_code"]) == [WEST, WEST]
    assert "2 处住户（4 户）同时在南坡" in said(made, "household_two_villages")


@pytest.mark.parametrize(
    ("given_count", "kept", "rule"),
    [
        (None, 1, "household_count_missing"),
        (2.5, 1, "household_count_missing"),
        ("三", 1, "household_count_missing"),
        (-3, 1, "household_count_negative"),
        (0, 0, "household_count_zero"),
        (500, 500, "household_count_large"),
        (float("inf"), 1, "household_count_missing"),
    ],
)
def test_an_impossible_count_is_told_and_the_home_stays(given_count, kept, rule):
    made = households(layer(at(10, 10), households=pd.Series([given_count], dtype=object)), villages())
    assert made.points["households"].item() == kept
    assert rule in rules(made)


def test_a_source_without_counts_is_a_household_a_row():
    made = households(layer(at(10, 10), at(20, 20)), villages())
    assert list(made.points["households"]) == [1, 1]
    assert rules(made) == {"household_village_empty"}


def test_a_village_without_homes_is_told():
    made = households(layer(at(10, 10)), villages())
    assert said(made, "household_village_empty") == "北坡村民委员会（140725100202）没有住户"


# --- village and group by word


def test_place_decides_over_a_code_and_the_difference_is_told_once():
    source = layer(at(10, 10), at(20, 20), at(30, 30), village_code=[EAST, EAST, WEST])
    made = households(source, villages())
    assert set(made.points["village_code"]) == {WEST}
    assert said(made, "household_village_differs").startswith("2 处住户（2 户）写的是北坡")


def test_a_code_of_another_year_is_told_and_place_decides():
    made = households(layer(at(10, 10), village_code=["140725999201"]), villages())
    assert made.points["village_code"].item() == WEST
    assert "140725999201（1 处）不在村界图层中" in said(made, "household_village_unknown")


@pytest.mark.parametrize(
    "words",
    [
        {"village_code": EAST},
        {"village_code": EAST + "0000000"},
        {"group_code": EAST + "02"},
        {"village_name": "北坡"},
        {"village_name": "北坡村"},
        {"village_name": "宗艾镇北坡村委会"},
        {"village_code": "140725999999", "group_code": EAST + "02"},
    ],
)
def test_a_home_without_place_is_in_the_village_its_row_names(words):
    made = households(
        layer(None, at(10, 10), **{name: [text, ""] for name, text in words.items()}), villages()
    )
    home = made.points[made.points["located_by"] == "GROUP"]
    assert home["village_code"].item() == EAST
    assert villages().geometry.iloc[1].contains(home.geometry.item())
    assert "没有坐标" in said(made, "household_spread")


def test_a_name_that_two_villages_have_names_none():
    made = households(layer(None, village_name=["南坡"]), villages(names=("南坡村", "南坡")))
    assert made.points["village_code"].item() == ""


@pytest.mark.parametrize(
    ("column", "text", "code"),
    [
        ("group_code", WEST + "07", WEST + "07"),
        ("group_code", "7", WEST + "07"),
        ("group_name", "第七村民小组", WEST + "07"),
        ("group_name", "７组", WEST + "07"),
        ("group_name", "南坡村十二组", WEST + "12"),
        ("group_name", "老庄", ""),
        ("group_code", EAST + "07", ""),
    ],
)
def test_a_group_is_known_by_code_number_or_name(column, text, code):
    made = households(layer(at(10, 10), **{column: [text]}), villages())
    assert made.points["group_code"].fillna("").item() == code
    assert ("household_group_unknown" in rules(made)) == (code == "")


def groups():
    return layer(
        box(X0, Y0, X0 + 500, Y0 + 1000),
        box(X0 + 500, Y0, X0 + 1000, Y0 + 1000),
        group_code=[WEST + "01", WEST + "02"],
        group_name=["南坡第一村民小组", "老庄"],
    )


@pytest.mark.parametrize(
    ("name", "code"),
    [("", "01"), ("老庄", "02"), ("一组", "01"), ("第九村民小组", "01"), ("2组", "01")],
)
def test_with_borders_of_groups_a_home_is_in_the_one_it_names_else_in_the_one_it_lies_in(name, code):
    made = households(layer(at(10, 10), group_name=[name]), villages(), groups=groups())
    assert made.points["group_code"].item() == WEST + code


def test_homes_without_place_are_spread_over_housing_land_of_their_group():
    housing = layer(
        box(X0 + 100, Y0 + 100, X0 + 160, Y0 + 160),
        box(X0 + 700, Y0 + 100, X0 + 760, Y0 + 160),
        box(X0 + 700, Y0 + 700, X0 + 760, Y0 + 760),
        land_class=["0702", "0702", "0103"],
    )
    source = layer(*[None] * 20, group_code=WEST + "02", address=[f"{n}号" for n in range(20)])
    made = households(source, villages(), groups=groups(), residential=housing)
    assert all(housing.geometry.iloc[1].contains(point) for point in made.points.geometry)
    assert made.points.geometry.to_wkb().is_unique
    assert "20 处住户（20 户）没有坐标，暂散布在组内宅基地内" in said(made, "household_spread")


def test_more_homes_than_places_are_spread_evenly():
    housing = layer(box(X0 + 5, Y0 + 5, X0 + 25, Y0 + 15), land_class=["0702"])
    source = layer(*[None] * 9, village_code=WEST, address=[f"{n}号" for n in range(9)])
    made = households(source, villages(), residential=housing)
    assert made.points.geometry.to_wkb().value_counts().max() == 5  # two places of the lattice lie inside


# --- stairs


def test_stairs_of_one_footprint_lie_side_by_side_in_their_order():
    tower = house(100, 100, 60, 12)
    source = layer(
        *[tower] * 3, stair=["10单元", "2单元", "1单元"], households=[20, 22, 24], building="1号楼"
    )
    made = households(source, villages())
    points = made.points.sort_values("stair", key=lambda names: names.map(stair_order))
    assert list(points["located_by"]) == ["STAIR"] * 3
    assert points.geometry.x.to_numpy() == pytest.approx([X0 + 110, X0 + 130, X0 + 150])
    assert list(points["households"]) == [24, 22, 20]
    assert "household_duplicate" not in rules(made)


def test_a_building_that_gives_only_the_number_of_its_stairs_shares_its_households_among_them():
    made = households(layer(house(100, 100, 45, 12), stairs=[3], households=[50]), villages())
    points = made.points.sort_values("stair")
    assert list(points["households"]) == [17, 17, 16]
    assert list(points["stair"]) == ["1", "2", "3"]
    assert "1 栋楼只有总户数和单元数，户数按单元均分（共 3 个单元、50 户）" in said(
        made, "household_stairs_shared"
    )


def test_a_house_has_no_more_stairs_than_households():
    made = households(layer(house(0, 0), stairs=[9000], households=[2]), villages())
    assert len(made.points) == 2


@settings(max_examples=12)
@given(turn=st.floats(0, 180), count=st.integers(2, 6), wide=st.floats(13, 90))
def test_each_stair_lies_in_the_footprint_however_it_stands(turn, count, wide):
    corner = house(300, 300, wide, 12).union(house(300, 300, 12, 30))
    tower = rotate(corner, turn)
    made = households(layer(*[tower] * count, stair=[str(n) for n in range(1, count + 1)]), villages())
    assert tower.buffer(1e-6).contains(shapely.union_all(made.points.geometry.to_numpy()))
    assert made.points.geometry.to_wkb().is_unique


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3组", 3),
        ("第十二村民小组", 12),
        ("二十组", 20),
        ("十", 10),
        ("２单元", 2),
        ("两单元", 2),
        ("东", None),
        ("九十九", 99),
    ],
)
def test_numbers_are_read_as_people_write_them(text, number):
    assert number_in(text) == number


# --- keys


def test_a_key_is_the_files_own_where_no_other_row_has_it():
    source = layer(at(10, 10), at(20, 20), at(30, 30), household_key=["A1", "B", "B"])
    made = households(source, villages())
    keys = set(made.points["household_key"])
    assert "A1" in keys
    assert "B" not in keys
    assert len(keys) == 3
    assert "住户编号 B 有 2 行" in said(made, "household_key_duplicate")


def test_a_key_made_anew_tells_village_and_place_in_decimetres():
    made = households(layer(at(10.04, 20)), villages())
    assert made.points["household_key"].item() == f"{WEST}@{X0 * 10 + 100}-{Y0 * 10 + 200}"


def test_rows_alike_in_all_have_keys_of_their_own_and_are_told():
    made = households(layer(at(10, 10), at(10, 10), at(10, 10), at(50, 50)), villages())
    keys = sorted(made.points["household_key"])
    assert [key[-2:] for key in keys if "~" in key] == ["~2", "~3"]
    assert len(made.points) == 4
    assert "3 行住户位置和地址相同" in said(made, "household_duplicate")


def test_flats_of_one_house_are_no_duplicates():
    made = households(layer(*[house(10, 10)] * 3, at(90, 90), address=["1室", "2室", "3室", ""]), villages())
    assert "household_duplicate" not in rules(made)


def test_a_village_in_one_point_is_told():
    made = households(layer(*[at(10, 10)] * 3, at(1500, 10), address=["a", "b", "c", ""]), villages())
    assert (
        said(made, "household_one_point")
        == "南坡村民委员会（140725100201）的 3 处住户都在同一点，无法划分网格"
    )


TEXTS = st.sampled_from(["", "", "一组3号", "1号楼", "2"])
SHAPES = st.one_of(
    st.none(),
    st.builds(at, st.sampled_from([5, 400, 1000, 1700, -60]), st.sampled_from([5, 300, 999, 1200])),
    st.builds(house, st.sampled_from([50, 700, 995, 1500]), st.sampled_from([20, 500])),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "geometry": SHAPES,
            "households": st.one_of(st.none(), st.integers(-2, 90)),
            "stair": TEXTS,
            "stairs": st.one_of(st.none(), st.integers(0, 5)),
            "address": TEXTS,
            "household_key": TEXTS,
            "village_code": st.sampled_from(["", WEST, EAST, "9"]),
            "group_name": st.sampled_from(["", "一组", "老庄", "?"]),
        }
    ),
    min_size=1,
    max_size=12,
)


def source_of(rows):
    table = pd.DataFrame(rows).assign(source_file="房屋.shp", source_row=range(len(rows)))
    return gpd.GeoDataFrame(table, geometry="geometry", crs=ZONE_39)


@settings(max_examples=12)
@given(rows=ROWS)
def test_no_household_is_lost_and_none_is_made(rows):
    made = households(source_of(rows), villages(), groups=groups())
    counted = sum(
        row["households"] if (row["households"] or -1) >= 0 or row["households"] == 0 else 1 for row in rows
    )
    assert made.points["households"].sum() == counted
    assert set(made.points["source_row"]) == set(range(len(rows)))
    assert made.points["household_key"].is_unique
    inside = made.points[made.points["village_code"] != ""]
    assert inside.geometry.notna().all()


@settings(max_examples=12)
@given(rows=ROWS, order=st.randoms())
def test_the_order_of_rows_does_not_matter(rows, order):
    source = source_of(rows)
    mixed = list(range(len(rows)))
    order.shuffle(mixed)
    one = households(source, villages(), groups=groups())
    other = households(source.iloc[mixed].reset_index(drop=True), villages(), groups=groups())
    assert_frame_equal(plain(one.points), plain(other.points))
    assert sorted(one.findings["rule"]) == sorted(other.findings["rule"])


@settings(max_examples=12)
@given(rows=ROWS, more=st.integers(1, 5))
def test_a_home_keeps_its_key_and_place_when_others_come_and_go(rows, more):
    fresh = [
        {**row, "geometry": at(333, 222 + n), "household_key": "", "address": f"新{n}号"}
        for n, row in enumerate(rows[:more])
    ]
    before = households(source_of(rows), villages(), groups=groups()).points
    after = households(source_of(rows + fresh), villages(), groups=groups()).points
    kept = after.set_index("household_key").reindex(before["household_key"])
    assert kept["households"].notna().all()
    places = shapely.to_wkb(before.geometry.to_numpy())
    assert (shapely.to_wkb(kept.geometry.to_numpy()) == places).all()


# --- what cannot be used


@pytest.mark.parametrize(
    ("source", "land", "error", "words"),
    [
        (layer(at(1, 1)), villages().iloc[:0], InputError, "没有村界"),
        (layer(at(1, 1)).iloc[:0], villages(), InputError, "没有住户"),
        (layer(at(1, 1), crs=None), villages(), MissingDatumError, "住户图层没有坐标系"),
        (layer(at(1, 1)), villages().set_crs(None, allow_override=True), MissingDatumError, "村界没有坐标系"),
        (layer(at(1, 1)), villages().drop(columns="village_code"), MissingColumnError, "village_code"),
    ],
)
def test_what_cannot_be_used_is_refused(source, land, error, words):
    with pytest.raises(error, match=words):
        households(source, land)


def test_groups_without_codes_are_refused():
    with pytest.raises(MissingColumnError, match="组界图层没有 group_code"):
        households(layer(at(1, 1)), villages(), groups=groups().drop(columns="group_code"))


def test_parts_of_a_house_are_one_home():
    made = households(layer(MultiPolygon([house(0, 0), house(40, 0, 20, 20)])), villages())
    assert len(made.points) == 1
    assert made.points["located_by"].item() == "FOOTPRINT"


# --- contractors, where there is nothing else


def test_contractors_are_households_of_their_group():
    table = pd.DataFrame(
        {
            "contractor_code": [f"{WEST}01000{n}" for n in (1, 2, 2, 3)] + [None, "17"],
            "contractor_kind": ["1", "1", "1", "3", "1", "1"],
        }
    )
    made = households(from_contractors(table), villages())
    assert list(made.points["household_key"]) == [f"{WEST}010001", f"{WEST}010002"]
    assert set(made.points["group_code"]) == {WEST + "01"}
    assert set(made.points["located_by"]) == {"GROUP"}


def test_contractors_with_codes_of_another_year_live_where_their_parcels_lie():
    old = "140725777001"
    table = pd.DataFrame({"contractor_code": [f"{old}010001"]})
    parcels = layer(house(1200, 100), house(1300, 100), house(10, 10), issuer_code=old + "01")
    made = households(from_contractors(table, parcels=parcels, villages=villages()), villages())
    assert made.points["village_code"].item() == EAST


def test_a_table_without_contractors_is_refused():
    with pytest.raises(MissingColumnError, match="CBFBM"):
        from_contractors(pd.DataFrame({"x": [1]}))


def test_houses_of_a_real_quarter_are_all_homes(shared):
    houses = gpd.read_file(shared / "village_bubenec" / "bubenec.gpkg", layer="buildings")
    land = gpd.GeoDataFrame(
        {"village_code": [WEST], "village_name": ["布本尼茨"]},
        geometry=[box(*houses.total_bounds)],
        crs=houses.crs,
    )
    made = households(houses, land)
    assert len(made.points) == 144
    assert (made.points["village_code"] == WEST).all()
    inside = shapely.STRtree(houses.geometry.to_numpy()).query(
        made.points.geometry.to_numpy(), predicate="within"
    )
    assert len(np.unique(inside[0])) == 144


def test_a_point_without_numbers_is_no_place():
    made = households(layer(Point(np.nan, np.nan), at(10, 10), village_code=[WEST, ""]), villages())
    assert sorted(made.points["located_by"]) == ["GROUP", "POINT"]
