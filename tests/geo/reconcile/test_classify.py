import geopandas as gpd
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import box

from geo.reconcile.classify import ClassifySettings, classify, is_farmland

X0, Y0 = 38_430_000, 4_196_000


def layer(*shapes, **columns):
    return gpd.GeoDataFrame(
        columns, geometry=[box(X0 + w, Y0 + s, X0 + e, Y0 + n) for w, s, e, n in shapes], crs="EPSG:4526"
    )


PIECE = layer((0, 0, 100, 100), piece_shape=["BLOCK"])


def one(**given):
    return classify(PIECE, **given).iloc[0]


@pytest.mark.parametrize(
    ("code", "farm"),
    [
        ("0101", True),
        ("0103", True),
        ("013", True),
        ("1203", False),
        ("0201K", False),
        ("1202", False),
        ("123", False),
    ],
)
def test_farmland_is_0101_to_0103_and_011_to_013_only(code, farm):
    assert is_farmland(pd.Series([code])).item() is farm


def test_old_farmland_without_household_was_never_confirmed():
    got = one(baseline=layer((-10, -10, 110, 110), land_class=["013"]))
    assert (got["piece_class"], got["class_source"]) == ("UNCONFIRMED", "BASELINE")
    assert "100.0%" in got["class_reason"]


def test_land_that_was_grass_is_newly_added_and_names_what_it_was():
    got = one(baseline=layer((0, 0, 70, 100), (70, 0, 100, 100), land_class=["043", "013"]))
    assert got["piece_class"] == "NEWLY_ADDED"
    assert got["baseline_farmland_share"] == pytest.approx(0.3)
    assert "其他草地(043)" in got["class_reason"]
    assert "30.0%" in got["class_reason"]


def test_without_a_baseline_and_evidence_the_field_decides():
    got = one()
    assert (got["piece_class"], got["class_source"]) == ("UNDETERMINED", "NONE")


def test_a_baseline_that_does_not_reach_the_piece_has_no_say():
    got = one(baseline=layer((0, 0, 40, 100), land_class=["043"]))
    assert got["piece_class"] == "UNDETERMINED"


def test_reserve_land_over_the_piece_is_evidence_where_the_baseline_is_silent():
    reserve = layer((0, 0, 100, 80), parcel_code=["1407251002020100001"], parcel_class=["22"])
    got = one(evidence=reserve)
    assert (got["piece_class"], got["class_source"]) == ("UNCONFIRMED", "PARCEL_EVIDENCE")
    assert got["evidence_parcels"] == "机动地1407251002020100001"


def test_the_confirmation_extent_speaks_last():
    got = one(extent=layer((-1, -1, 200, 200)))
    assert (got["piece_class"], got["class_source"]) == ("UNCONFIRMED", "CONFIRMATION_EXTENT")


def test_the_baseline_goes_before_parcel_evidence_which_is_still_listed():
    reserve = layer((0, 0, 100, 80), parcel_code=["1407251002020100001"], parcel_class=["23"])
    got = one(baseline=layer((0, 0, 100, 100), land_class=["043"]), evidence=reserve)
    assert got["piece_class"] == "NEWLY_ADDED"
    assert "开荒地1407251002020100001" in got["class_reason"]


@given(cut=st.integers(0, 100), threshold=st.floats(0.1, 0.9))
def test_the_share_decides_at_the_threshold(cut, threshold):
    parts = [(0, 0, cut, 100)] * (cut > 0) + [(cut, 0, 100, 100)] * (cut < 100)
    classes = ["011"] * (cut > 0) + ["031"] * (cut < 100)
    settings = ClassifySettings(farmland_share=threshold)
    got = one(baseline=layer(*parts, land_class=classes), settings=settings)
    assert got["baseline_farmland_share"] == pytest.approx(cut / 100, abs=1e-4)
    if abs(cut / 100 - threshold) > 1e-6:
        assert got["piece_class"] == ("UNCONFIRMED" if cut / 100 > threshold else "NEWLY_ADDED")


def test_a_baseline_row_without_a_known_class_is_no_proof():
    got = one(baseline=layer((0, 0, 100, 100), land_class=[None]))
    assert got["piece_class"] == "UNDETERMINED"
    assert "nan" not in got["class_reason"]


def test_a_parcel_without_a_class_is_evidence_that_says_so():
    parcel = layer((0, 0, 100, 80), parcel_code=["1407251002020100001"], parcel_class=[None])
    got = one(evidence=parcel)
    assert "登记为类别未填" in got["class_reason"]
    assert got["evidence_parcels"] == "1407251002020100001"
