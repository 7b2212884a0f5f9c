"""Houses of sample counties: they stand on housing land, apart from each other, and add up to villages."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from geo.exchange import read
from geo.exchange.household_file import read_households
from geo.grids.households import households
from geo.sample import deliver
from geo.sample.houses import houses
from geo.sample.landscape import landscape
from geo.sample.village import ORIGIN


@pytest.fixture(scope="session")
def listed(messy):
    return {kind: list(rows["code"]) for kind, rows in messy.house_flaws.groupby("kind")}


@pytest.fixture(scope="session")
def folder(messy, tmp_path_factory):
    path = tmp_path_factory.mktemp("houses")
    deliver(messy, path)
    return path


def footprints(county):
    """Each building once."""
    shapes = county.houses.geometry.to_numpy()
    return shapely.from_wkb(np.unique(shapely.to_wkb(shapes)))


def test_houses_stand_on_housing_land_and_never_in_each_other(clean):
    shapes = footprints(clean)
    land = clean.survey[clean.survey["land_class"] == "0702"].geometry.to_numpy()
    held = shapely.STRtree(land).query(shapes, predicate="within")
    assert len(held[0]) == len(shapes)
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    assert (one == other).all()


def test_a_house_is_of_a_houses_size(clean):
    one = clean.houses[clean.houses["building"].fillna("") == ""]
    assert one.geometry.area.between(40, 110).all()
    assert one["households"].between(1, 3).all()


def test_the_seat_of_a_township_has_towers_of_stairs_of_a_dozen_households_and_more(clean):
    towers = clean.houses[clean.houses["building"].fillna("") != ""]
    assert set(towers["village_code"]) == {clean.villages["village_code"].iloc[0]}
    assert towers["households"].between(12, 24).all()
    assert towers.groupby("building").size().between(3, 4).all()


def test_a_village_of_full_size_has_some_four_hundred_households():
    place = landscape(villages=2, patches_per_village=590, seed=7)
    village = place.villages[1]
    land = [shapely.box(*(np.array((x, y, x + 60, y + 70)) + np.tile(village.hamlets[0] + ORIGIN, 2)))
            for x in range(-240, 240, 61) for y in range(-240, 240, 71)]  # fmt: skip
    survey = gpd.GeoDataFrame({"land_class": ["0702"] * len(land)}, geometry=land, crs="EPSG:4526")
    made = houses(place, village, survey, ORIGIN)
    assert 370 <= made["households"].sum() <= 450


def test_groups_and_addresses_tell_where_a_house_is(clean):
    spots = gpd.GeoDataFrame(clean.houses, geometry=clean.houses.geometry.centroid)
    at = gpd.sjoin(spots, clean.groups[["group_code", "geometry"]], predicate="within", rsuffix="at")
    assert len(at) == len(clean.houses)
    assert (at["group_code_at"].str[:12] == at["village_code"]).all()
    assert clean.houses["address"].is_unique


def test_drawn_grids_tile_the_villages_in_one_part_each(clean):
    grids = clean.drawn_grids
    assert (shapely.get_num_geometries(grids.geometry.to_numpy()) == 1).all()
    whole = shapely.union_all(grids.geometry.to_numpy())
    land = shapely.union_all(clean.villages.geometry.to_numpy())
    assert shapely.area(shapely.symmetric_difference(whole, land)) < 1.0
    assert grids.geometry.area.sum() == pytest.approx(land.area, rel=1e-6)


def test_about_a_quarter_of_the_drawn_grids_is_too_small_or_too_large(messy, clean):
    assert clean.drawn_grids["households"].sum() == clean.houses["households"].sum()
    out = ~messy.drawn_grids["households"].between(20, 50)
    assert 0.1 < out.mean() < 0.4


def test_a_clean_county_has_no_flaws_in_its_houses(clean):
    assert len(clean.house_flaws) == 0
    assert clean.houses.geometry.notna().all()
    assert (clean.houses["households"] > 0).all()


def test_every_kind_of_flaw_is_planted(listed):
    assert set(listed) == {
        "count_missing", "count_zero", "count_negative", "house_outside", "house_without_place", "house_twice",
        "house_wrong_village", "tower_lumped", "grid_overlap", "grid_gap", "grid_code_twice",
    }  # fmt: skip


def test_the_reader_and_the_checks_find_the_flaws_that_were_planted_and_no_others(folder, listed):
    villages = read.villages(folder / "三调" / "CJDCQ.shp").table
    source = read_households(folder / "住户" / "房屋.shp", near=villages)
    made = households(source.table, villages)
    found = made.findings.set_index("rule")["message"]
    for kind, rule in {
        "count_missing": "household_count_missing",
        "count_zero": "household_count_zero",
        "count_negative": "household_count_negative",
        "house_outside": "household_outside",
        "house_wrong_village": "household_village_differs",
        "house_twice": "household_duplicate",
    }.items():
        assert list(found[[rule]].str.contains(f"（{listed[kind][0]}）|{listed[kind][0]}", regex=True)) == [
            True
        ], kind
    assert set(found.index) == {
        "household_count_missing", "household_count_zero", "household_count_negative", "household_outside",
        "household_village_differs", "household_duplicate", "household_spread", "household_stairs_shared",
    }  # fmt: skip
    (address,) = listed["house_without_place"]
    assert made.points.set_index("address").loc[address, "located_by"] == "GROUP"
    assert "户主" in "".join(source.findings["message"])


def test_flaws_of_drawn_grids_are_where_the_table_says(messy, listed):
    grids = messy.drawn_grids
    shapes = grids.geometry.to_numpy()
    land = messy.villages.geometry.to_numpy()
    gap = shapely.difference(shapely.union_all(land), shapely.union_all(shapes))
    assert gap.area > 100
    one, _ = shapely.STRtree(shapes).query(shapes, predicate="overlaps")
    codes = grids["grid_code"].to_numpy()
    lapped = {code for code in codes[one] if code in listed["grid_overlap"]}
    assert lapped == set(listed["grid_overlap"])
    assert list(grids["grid_code"][grids["grid_code"].duplicated()]) == listed["grid_code_twice"]


def test_houses_read_back_as_they_were(messy, folder):
    table = read_households(folder / "住户" / "房屋.shp", personal=True).table
    for column in ("village_code", "building", "stair", "address", "householder_name"):
        assert list(table[column].fillna("")) == list(messy.houses[column].fillna("")), column
    pd.testing.assert_series_equal(table["households"], messy.houses["households"], check_names=False)
