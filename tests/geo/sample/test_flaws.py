"""Each flaw the table lists is really there, and a clean county has none."""

import geopandas as gpd
import pytest
import shapely

from geo.area import ellipsoidal_area


@pytest.fixture(scope="session")
def listed(messy):
    return {kind: list(rows["code"]) for kind, rows in messy.truth_flaws.groupby("kind")}


def rows(layer, code, codes):
    return layer[layer[code].isin(codes)]


def test_a_clean_county_lists_nothing(clean):
    assert len(clean.truth_flaws) == 0
    assert clean.parcels.geometry.is_valid.all()
    assert not clean.parcels.geometry.is_empty.any()


def test_every_kind_of_flaw_is_planted(listed):
    assert set(listed) == {
        "ratio_at_slope_1", "wrong_area", "unknown_class", "wrong_village", "unknown_group", "duplicate_code",
        "self_crossing", "null_geometry", "empty_geometry", "parcel_without_rights", "rights_without_parcel",
        "overlap", "no_zone_prefix", "missing_prj", "three_d", "missing_cpg", "old_field_names",
    }  # fmt: skip


def test_survey_flaws_are_where_the_table_says(messy, listed):
    level = rows(messy.survey, "patch_code", listed["ratio_at_slope_1"])
    assert (level["slope_class"] == "1").all()
    assert (level["ridge_ratio"] > 0).all()
    wrong = rows(messy.survey, "patch_code", listed["wrong_area"])
    assert ((wrong["patch_area_m2"] - ellipsoidal_area(wrong)) > 3).all()
    right = messy.survey.drop(wrong.index)
    assert (right["patch_area_m2"] - ellipsoidal_area(right)).abs().max() < 0.006
    assert set(rows(messy.survey, "patch_code", listed["unknown_class"])["land_class"]) == {"0499"}


def test_parcel_codes_are_wrong_where_the_table_says(messy, listed):
    parcels = messy.parcels
    strays = rows(parcels, "parcel_code", listed["wrong_village"])
    assert len(strays) == len(listed["wrong_village"])
    inside = gpd.sjoin(
        strays.set_geometry(strays.representative_point()), messy.villages[["village_code", "geometry"]]
    )
    assert (inside["village_code"] != inside["parcel_code"].str[:12]).all()
    assert (
        not rows(parcels, "parcel_code", listed["unknown_group"])["issuer_code"]
        .isin(messy.groups["group_code"])
        .any()
    )
    assert (parcels["parcel_code"].value_counts()[listed["duplicate_code"]] == 2).all()
    assert parcels["parcel_code"].duplicated().sum() == len(listed["duplicate_code"])


def test_geometry_is_broken_where_the_table_says(messy, listed):
    parcels = messy.parcels
    crossed = rows(parcels, "parcel_code", listed["self_crossing"])
    assert not crossed.geometry.is_valid.any()
    gone = rows(parcels, "parcel_code", listed["null_geometry"])
    assert gone.geometry.isna().all()
    empty = rows(parcels, "parcel_code", listed["empty_geometry"])
    assert empty.geometry.is_empty.all()
    whole = parcels.drop([*crossed.index, *gone.index, *empty.index])
    assert whole.geometry.is_valid.all()


def test_rights_and_parcels_miss_each_other_where_the_table_says(messy, listed):
    held = messy.parcels[messy.parcels["parcel_class"] == "10"]
    unmatched = set(held["parcel_code"]) - set(messy.rights["parcel_code"])
    assert unmatched == set(listed["parcel_without_rights"])
    plain = messy.rights[~messy.rights["share_based"]]
    assert set(plain["parcel_code"]) - set(held["parcel_code"]) == set(listed["rights_without_parcel"])


def test_land_without_rights_is_a_piece_of_the_truth(messy, listed):
    lost = rows(messy.truth_parcels, "parcel_code", listed["parcel_without_rights"])
    for shape in lost.geometry:
        assert messy.truth_pieces.geometry.apply(lambda piece, s=shape: shapely.equals(piece, s)).any()


def test_second_certificates_lie_on_first_ones(messy, listed):
    for code in listed["overlap"]:
        upper = messy.parcels.loc[messy.parcels["parcel_code"] == code].iloc[0]
        others = messy.parcels[messy.parcels["parcel_code"] != code]
        under = others.geometry[others.geometry.is_valid].intersection(upper.geometry).area.max()
        assert under > 0.95 * upper.geometry.area
