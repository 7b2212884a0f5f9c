"""The survey is a partition, the truth is inside it, and the truth does not know the noise."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from pandas.testing import assert_frame_equal

from geo import schema
from geo.area import ellipsoidal_area
from geo.sample import SampleSettings, county
from geo.sample.village import RIDGE_RATIO

FARMLAND = ["0101", "0102", "0103"]


def farmland(made):
    return made.survey[made.survey["land_class"].isin(FARMLAND)]


def test_the_patches_of_a_village_are_an_exact_partition_of_it(clean):
    for village in clean.villages.itertuples():
        patches = clean.survey[clean.survey["location_unit_code"].str[:12] == village.village_code]
        shapes = patches.geometry.to_numpy()
        assert shapely.is_valid(shapes).all()
        assert shapely.coverage_is_valid(shapes)
        assert shapely.area(shapes).sum() == pytest.approx(village.geometry.area, abs=0.01)
        assert shapely.union_all(shapes).symmetric_difference(village.geometry).area < 0.01


def test_villages_fit_together_without_gap_or_overlap(clean):
    shapes = clean.villages.geometry.to_numpy()
    assert shapely.coverage_is_valid(shapes)
    assert shapely.touches(shapes[0], shapes[1])
    assert shapely.length(shapely.intersection(*shapes)) > 100


def test_groups_tile_their_village(clean):
    for village in clean.villages.itertuples():
        groups = clean.groups[clean.groups["group_code"].str[:12] == village.village_code]
        assert len(groups) >= 2
        assert groups.area.sum() == pytest.approx(village.geometry.area, abs=0.01)


def test_true_pieces_lie_in_their_farmland_patch(clean):
    patches = farmland(clean).set_index("patch_code")
    pieces = clean.truth_pieces
    assert len(pieces) > 10
    own = patches.geometry.loc[pieces["patch_code"]].to_numpy()
    outside = shapely.area(shapely.difference(pieces.geometry.to_numpy(), own))
    assert outside.max() < 0.01
    assert (patches["ownership_kind"].loc[pieces["patch_code"]].str[0] == "3").all()


def test_true_pieces_and_household_parcels_never_share_ground(clean):
    held = clean.truth_parcels[(clean.parcels["parcel_class"] == "10").to_numpy()]
    both = clean.truth_pieces.overlay(held, how="intersection", keep_geom_type=False)
    assert both.area.sum() < 0.01


def test_most_farmland_is_confirmed_and_the_rest_is_pieces_and_ridges(clean):
    open_land = farmland(clean)
    open_land = open_land[open_land["ownership_kind"] != "20"]
    total = open_land.area.sum()
    held = clean.truth_parcels[(clean.parcels["parcel_class"] == "10").to_numpy()].area.sum()
    loose = clean.truth_pieces.area.sum()
    assert 0.55 < held / total < 0.85
    assert 0.0 < (total - held - loose) / total < 0.06


def test_what_is_new_was_no_farmland_in_the_baseline_and_what_is_unconfirmed_was(clean):
    old = clean.baseline[clean.baseline["land_class"].isin(["011", "012", "013"])]
    covered = gpd.overlay(clean.truth_pieces, old[["geometry"]], how="intersection", keep_geom_type=True)
    share = covered.area.groupby(covered["truth_id"]).sum() / clean.truth_pieces.set_index("truth_id").area
    share = share.fillna(0.0)
    kind = clean.truth_pieces.set_index("truth_id")["piece_class"]
    assert set(kind) == {"UNCONFIRMED", "NEWLY_ADDED"}
    assert share[kind == "UNCONFIRMED"].min() > 0.8
    assert share[kind == "NEWLY_ADDED"].max() < 0.3


def test_truth_depends_on_the_seed_and_not_on_the_noise(clean, still):
    for layer in ("survey", "villages", "groups", "baseline", "truth_pieces", "truth_parcels"):
        one, other = getattr(clean, layer), getattr(still, layer)
        assert shapely.equals_exact(one.geometry.to_numpy(), other.geometry.to_numpy()).all()
        assert_frame_equal(
            pd.DataFrame(one.drop(columns="geometry")), pd.DataFrame(other.drop(columns="geometry"))
        )
    assert list(clean.parcels["parcel_code"]) == list(still.parcels["parcel_code"])


def test_another_seed_is_another_county(clean):
    other = county(SampleSettings(villages=1, seed=6, patches_per_village=60))
    assert not shapely.equals(other.villages.geometry.iloc[0], clean.villages.geometry.iloc[0])


def test_processes_do_not_change_the_county(clean):
    again = county(clean.settings, jobs=2)
    for layer in ("survey", "parcels", "truth_pieces"):
        one, other = getattr(clean, layer), getattr(again, layer)
        assert (shapely.to_wkb(one.geometry.to_numpy()) == shapely.to_wkb(other.geometry.to_numpy())).all()
        assert_frame_equal(
            pd.DataFrame(one.drop(columns="geometry")), pd.DataFrame(other.drop(columns="geometry"))
        )


@pytest.mark.parametrize(
    "layer", ["survey", "parcels", "villages", "groups", "baseline", "rights", "issuers", "contractors"]
)
def test_layers_have_the_columns_of_the_schema(clean, layer):
    table = getattr(clean, layer)
    names = schema.column_names(layer)
    assert list(table.columns)[: len(names)] == names


def test_areas_and_deductions_follow_the_rulebook(clean):
    survey = clean.survey
    assert (survey["patch_area_m2"] - ellipsoidal_area(survey)).abs().max() < 0.006
    land = farmland(clean)
    assert (land["ridge_ratio"] == land["slope_class"].map(RIDGE_RATIO)).all()
    assert (survey["patch_area_m2"] - survey["ridge_area_m2"] - survey["class_area_m2"]).abs().max() < 0.001
    other = survey.drop(land.index)
    assert (other["ridge_ratio"] == 0).all()
    assert (other["slope_class"].fillna("") == "").all()


def test_codes_are_built_as_the_standards_say_and_are_unique(clean):
    assert clean.survey["patch_code"].is_unique
    assert clean.survey["location_unit_code"].str.fullmatch(r"140725\d{6}0{7}").all()
    assert clean.parcels["parcel_code"].is_unique
    assert clean.parcels["parcel_code"].str.fullmatch(r"\d{19}").all()
    assert (clean.parcels["parcel_code"].str[:14] == clean.parcels["issuer_code"]).all()
    assert clean.parcels["issuer_code"].isin(clean.groups["group_code"]).all()
    assert clean.rights["contractor_code"].isin(clean.contractors["contractor_code"]).all()
    held = clean.parcels[clean.parcels["parcel_class"] == "10"]
    assert set(held["parcel_code"]) == set(clean.rights["parcel_code"])


def test_a_county_has_its_exceptions(clean):
    survey = clean.survey
    away = survey[survey["is_enclave"]]
    assert len(away) >= 1
    assert (away["owner_unit_code"] != away["location_unit_code"]).all()
    assert (farmland(clean)["ownership_kind"] == "20").any()
    assert {"10", "22"} <= set(clean.parcels["parcel_class"])
    assert not clean.parcels.loc[clean.parcels["parcel_class"] != "10", "has_rights"].any()
    assert {"0103", "0404", "0702", "1003", "1006", "1101"} <= set(survey["land_class"])


def test_a_village_with_rights_by_share_has_rows_but_no_ground():
    made = county(SampleSettings(villages=1, seed=2, patches_per_village=50, share_based_villages=1))
    assert made.rights["share_based"].all()
    assert len(made.rights) > 5
    assert len(made.parcels) == 0
    assert len(made.truth_pieces) == 0


def test_fields_are_of_a_size_a_household_works(clean):
    area = clean.truth_parcels.area
    assert 550 < area.mean() < 950
    assert np.quantile(area, 0.99) < 2500
    assert 14 < clean.parcels.count_coordinates().mean() < 22
