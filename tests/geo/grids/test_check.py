"""Checked grids: a sound set has no finding, each flaw has its own, and no home is counted twice."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity
from shapely.geometry import MultiPolygon, Point, Polygon, box

from geo.errors import GeometryTypeError, MismatchError, MissingDatumError
from geo.grids.check import check_grids
from geo.grids.cover import holders
from geo.grids.outline import outline
from geo.grids.profiles import profile_of
from tests.geo.grids.lands import CODE, CRS, X0, Y0, homes_at, l_shaped, scene

OTHER = "140725100202"
BAND = profile_of("2-4")


def villages():
    return gpd.GeoDataFrame(
        {"village_code": [CODE, OTHER], "village_name": ["上庄村", "柳沟村"]},
        geometry=[box(X0, Y0, X0 + 400, Y0 + 100), box(X0 + 400, Y0, X0 + 800, Y0 + 100)],
        crs=CRS,
    )


def grids(*shapes, codes=None):
    """Four hectares in a row, two in each village, or other shapes."""
    shapes = shapes or [box(X0 + x, Y0, X0 + x + 200, Y0 + 100) for x in (0, 200, 400, 600)]
    codes = codes or [f"{CODE}001", f"{CODE}002", f"{OTHER}001", f"{OTHER}002"]
    return gpd.GeoDataFrame({"grid_code": codes[: len(shapes)]}, geometry=list(shapes), crs=CRS)


def homes(*more, weights=None):
    places = [(X0 + x + 100, Y0 + 50) for x in (0, 200, 400, 600)] + [(X0 + x, Y0 + y) for x, y in more]
    return homes_at(places, weights or [3] * len(places))


def check(drawn, lived=None, land=None, **more):
    return check_grids(
        drawn,
        homes() if lived is None else lived,
        villages() if land is None else land,
        **{"profile": BAND} | more,
    )


def rules(told):
    return sorted(set(told["rule"]))


def test_sound_grids_have_no_finding_and_their_measures():
    summary, told = check(grids(), homes((190, 50), weights=[3, 3, 3, 3, 1]))
    assert told.empty
    assert summary["grid_code"].tolist() == grids()["grid_code"].tolist()
    assert summary["households"].tolist() == [4, 3, 3, 3]
    assert summary["balance"].tolist() == ["IN_BAND"] * 4
    assert summary["village_name"].tolist() == ["上庄村", "上庄村", "柳沟村", "柳沟村"]
    assert summary["radius_m"].tolist() == [90, 0, 0, 0]
    assert summary["mean_distance_m"].tolist() == pytest.approx([22.5, 0, 0, 0])
    assert summary["profile"].unique().tolist() == ["自定 2-4"]


@pytest.mark.parametrize(
    ("weight", "balance", "words"),
    [(1, "UNDER", "有 1 户，不足下限 2 户"), (5, "OVER", "有 5 户，超过上限 4 户")],
)
def test_a_grid_out_of_its_band_says_by_how_much(weight, balance, words):
    summary, told = check(grids(), homes(weights=[3, 3, 3, weight]))
    assert summary["balance"].tolist() == ["IN_BAND"] * 3 + [balance]
    assert rules(told) == ["grid_size"]
    assert words in told["message"].item()
    assert told["row_code"].item() == f"{OTHER}002"
    _, told = check(grids().assign(reason="独立小组"), homes(weights=[3, 3, 3, weight]))
    assert told["message"].item().endswith("：独立小组")


def test_an_exclusive_grid_has_no_band():
    drawn = grids().assign(grid_kind=["EXCLUSIVE", None, "", "ORDINARY"])
    summary, told = check(drawn, homes(weights=[900, 3, 3, 3]))
    assert told.empty
    assert summary["balance"].tolist() == ["", "IN_BAND", "IN_BAND", "IN_BAND"]
    assert summary["grid_kind"].tolist() == ["EXCLUSIVE", "ORDINARY", "ORDINARY", "ORDINARY"]


def test_an_overlap_is_told_with_its_area_and_its_homes_counted_once():
    shapes = grids().geometry.tolist()
    shapes[0] = box(X0, Y0, X0 + 230, Y0 + 100)
    summary, told = check(grids(*shapes), homes((215, 50), weights=[3, 3, 3, 3, 1]))
    assert rules(told) == ["grid_home_in_two", "grid_overlap"]
    assert "重叠 3,000.0 m²" in told.set_index("rule").loc["grid_overlap", "message"]
    assert summary["overlap_m2"].tolist() == [3000, 3000, 0, 0]
    assert summary["households"].tolist() == [4, 3, 3, 3]
    assert summary["households"].sum() == 13


def test_a_gap_is_told_where_it_is_and_its_homes_are_named_with_the_way_to_the_next_grid():
    shapes = grids().geometry.tolist()
    shapes[1] = box(X0 + 230, Y0, X0 + 400, Y0 + 100)
    summary, told = check(grids(*shapes), homes((215, 50)))
    assert rules(told) == ["grid_gap", "grid_home_in_none"]
    gap = told[told["rule"] == "grid_gap"].iloc[0]
    assert "上庄村有 3,000.0 m² 土地" in gap["message"]
    assert box(X0 + 200, Y0, X0 + 230, Y0 + 100).contains(gap["geometry"])
    assert gap["village_code"] == CODE
    home = told[told["rule"] == "grid_home_in_none"].iloc[0]
    assert "15.0 m" in home["message"]
    assert summary["households"].sum() == 12


def test_gaps_that_two_grids_of_one_edge_leave_are_noise_if_thin():
    shapes = grids().geometry.tolist()
    shapes[1] = box(X0 + 200.05, Y0, X0 + 400, Y0 + 100)
    _, told = check(grids(*shapes))
    assert rules(told) == ["grid_noise"]
    assert "5.0 m²" in told["message"].item()
    shapes[1] = box(X0 + 200.0001, Y0, X0 + 400, Y0 + 100)
    assert check(grids(*shapes))[1].empty


def test_land_beyond_the_village_is_told_and_whose_code_is_another_village_s():
    shapes = grids().geometry.tolist()
    shapes[0] = box(X0 - 20, Y0, X0 + 200, Y0 + 100)
    shapes[1] = box(X0 + 200, Y0, X0 + 450, Y0 + 100)
    shapes[2] = box(X0 + 450, Y0, X0 + 600, Y0 + 100)
    drawn = grids(*shapes, codes=[f"{CODE}001", f"{CODE}002", f"{CODE}003", f"{OTHER}002"])
    summary, told = check(drawn)
    assert rules(told) == ["grid_code_village", "grid_outside_village"]
    assert summary["outside_m2"].tolist() == [2000, 5000, 0, 0]
    assert "按编码属 上庄村" in told[told["rule"] == "grid_code_village"]["message"].item()


def test_a_grid_far_from_all_villages_is_told_and_kept():
    drawn = grids(
        *grids().geometry, box(X0, Y0 + 900, X0 + 100, Y0 + 1000), codes=[*grids()["grid_code"], f"{CODE}009"]
    )
    summary, told = check(drawn, profile=profile_of("1-9"))
    assert len(summary) == 5
    assert rules(told) == ["grid_outside_village", "grid_size"]
    assert "各村村界之外" in told[told["rule"] == "grid_outside_village"]["message"].item()


def test_several_parts_and_broken_rings_are_told():
    shapes = grids().geometry.tolist()
    shapes[0] = MultiPolygon([box(X0, Y0, X0 + 90, Y0 + 100), box(X0 + 110, Y0, X0 + 200, Y0 + 100)])
    shapes[1] = Polygon([(X0 + 200, Y0), (X0 + 400, Y0 + 100), (X0 + 400, Y0), (X0 + 200, Y0 + 100)])
    summary, told = check(grids(*shapes), homes())
    assert {"grid_several_parts", "geometry_repaired", "grid_gap"} <= set(rules(told))
    assert summary["parts"].tolist() == [2, 2, 1, 1]


@pytest.mark.parametrize(
    ("codes", "rule"),
    [
        ([f"{CODE}001", f"{CODE}001", f"{OTHER}001", f"{OTHER}002"], "grid_code_duplicate"),
        ([f"{CODE}001", "2 网格", f"{OTHER}001", f"{OTHER}002"], "grid_code_form"),
        ([f"{CODE}001", "", f"{OTHER}001", f"{OTHER}002"], "grid_code_form"),
        ([f"{CODE}001", None, f"{OTHER}001", f"{OTHER}002"], "grid_code_form"),
    ],
)
def test_codes_that_are_none_or_stand_twice_are_told(codes, rule):
    _, told = check(grids(codes=codes))
    assert rules(told) == [rule]
    assert len(told) == 1


def test_a_layer_without_codes_says_so_once():
    _, told = check(grids().drop(columns="grid_code"))
    assert told["message"].tolist() == ["4 个网格都没有编码"]


def test_a_village_without_grids_is_told_once_with_its_households():
    _, told = check(grids().iloc[:2])
    assert told["message"].tolist() == ["柳沟村没有网格，村内有 6 户"]


def test_homes_outside_all_villages_and_without_place_are_never_lost():
    lived = homes((0, 500))
    lived.geometry = [*lived.geometry[:3], None, lived.geometry.iloc[4]]
    summary, told = check(grids(), lived)
    lost = told[told["rule"] == "grid_home_in_none"]
    assert lost["message"].str.contains("没有位置").sum() == 1
    assert lost["message"].str.contains("400.0 m").sum() == 1
    assert summary["households"].sum() + 2 * 3 == lived["households"].sum()


def test_a_home_on_a_border_is_in_one_grid_and_no_finding():
    summary, told = check(grids(), homes((200, 50), (400, 0), weights=[3, 3, 3, 3, 1, 1]))
    assert told.empty
    assert summary["households"].tolist() == [4, 4, 3, 3]


def test_micro_grids_are_checked_within_their_grid():
    first = grids().iloc[[0]]
    halves = gpd.GeoDataFrame(
        {"grid_code": [f"{CODE}00101", f"{CODE}00102"]},
        geometry=[box(X0, Y0, X0 + 120, Y0 + 100), box(X0 + 150, Y0 - 10, X0 + 200, Y0 + 100)],
        crs=CRS,
    )
    drawn = pd.concat([first, grids().iloc[1:], halves], ignore_index=True)
    summary, told = check(drawn, homes((130, 50), weights=[3, 3, 3, 3, 1]), micro=profile_of("3-5"))
    assert summary["grid_kind"].tolist() == ["ORDINARY"] * 4 + ["MICRO"] * 2
    assert summary["parent_code"].tolist() == [""] * 4 + [f"{CODE}001"] * 2
    assert rules(told) == ["grid_gap", "grid_home_in_none", "grid_outside_parent", "grid_size"]
    assert summary["balance"].tolist() == ["IN_BAND"] * 5 + ["UNDER"]
    unmeasured, _ = check(drawn)
    assert unmeasured["balance"].tolist()[4:] == ["", ""]


def test_layers_of_another_system_or_none_are_refused():
    with pytest.raises(MismatchError, match="坐标系不同"):
        check(grids().to_crs("EPSG:4527"))
    with pytest.raises(MismatchError, match="经纬度"):
        check(grids().to_crs("EPSG:4490"))
    with pytest.raises(MissingDatumError):
        check(grids().set_crs(None, allow_override=True))
    with pytest.raises(GeometryTypeError):
        check(grids(Point(X0, Y0)))


def test_nothing_to_check_is_no_error():
    summary, told = check(grids().iloc[:0], homes().iloc[:0])
    assert len(summary) == 0
    assert rules(told) == ["grid_village_without"]
    summary, told = check(grids(), land=villages().iloc[:0])
    assert rules(told) == ["grid_outside_village"]


@settings(max_examples=15, deadline=None)
@given(count=st.integers(5, 40), parts=st.integers(1, 6), seed=st.integers(0, 1000), bent=st.booleans())
def test_outlines_of_ours_pass_every_check_of_land_and_homes(count, parts, seed, bent):
    place, lived, land, labels = scene(count, min(parts, count), seed, l_shaped() if bent else None)
    drawn = outline(land, labels, village=place)
    drawn["grid_code"] = [f"{CODE}{at + 1:03d}" for at in range(len(drawn))]
    order = np.random.default_rng(seed).permutation(len(drawn))
    summary, told = check_grids(
        drawn.iloc[order][["grid_code", "geometry"]], lived, place, profile=profile_of("1-999")
    )
    assert told.empty
    assert summary["households"].tolist() == drawn["households"].tolist()
    assert np.allclose(summary["area_m2"], drawn["area_m2"], rtol=1e-12)
    assert np.allclose(summary[["radius_m", "mean_distance_m"]], drawn[["radius_m", "mean_distance_m"]])


@settings(max_examples=12, deadline=None)
@given(
    moves=st.lists(st.tuples(st.integers(-80, 80), st.integers(-60, 60)), min_size=4, max_size=4),
    spots=st.lists(st.tuples(st.integers(-50, 850), st.integers(-50, 150)), max_size=12),
)
def test_however_grids_are_thrown_about_land_and_homes_add_up(moves, spots):
    shapes = [affinity.translate(shape, *move) for shape, move in zip(grids().geometry, moves, strict=True)]
    lived = homes(*spots)
    summary, told = check(grids(*shapes), lived)
    held, times = holders(np.array(summary.geometry), lived.geometry.to_numpy())
    assert summary["households"].sum() == lived["households"].to_numpy()[held >= 0].sum()
    covered = gpd.GeoSeries(shapes).union_all()
    counted = gpd.GeoSeries(shapes).area.sum() - covered.area
    pairs = summary["overlap_m2"].sum() / 2
    assert pairs >= counted - 1e-6  # land in three is in three pairs
    assert (told["rule"] == "grid_home_in_two").sum() == (times > 1).sum()
    mixed, again = check(grids(*shapes).iloc[::-1], lived.iloc[::-1])
    pd.testing.assert_frame_equal(
        pd.DataFrame(summary).drop(columns="source_row"), pd.DataFrame(mixed).drop(columns="source_row")
    )
    assert sorted(told["message"]) == sorted(again["message"])
