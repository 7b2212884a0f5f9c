"""Several hands in one village: files and groups that lie off each by itself."""

import numpy as np
import pytest

from geo.movement import Movement
from tests.geo.reconcile.laying import LOWER, UPPER, laid, miss, moved, only, refused, row_of, untouched


def test_files_of_one_village_are_moved_each_by_its_own_shift(laid_county):
    parcels = only(laid_county, UPPER)
    east = parcels.geometry.centroid.x
    second = (east > east.median()).to_numpy()
    parcels["source_file"] = np.where(second, "b.shp", "a.shp")
    parcels = moved(moved(parcels, second, Movement(dx_m=4, dy_m=0)), ~second, Movement(dx_m=0, dy_m=-3))
    got = laid(laid_county, parcels)
    assert got.shifts["shift_key"].tolist() == [f"{UPPER}/a.shp", f"{UPPER}/b.shp"]
    assert got.shifts["direction"].str.contains("南|东").all()
    assert miss(got, laid_county).mean() < 0.3
    assert got.parcels["shift_key"].eq(f"{UPPER}/" + parcels["source_file"]).all()


@pytest.mark.parametrize(("east", "north"), [(3.0, -2.0), (-30.0, 12.0)])
def test_what_another_crew_drew_is_moved_by_itself(laid_county, east, north):
    group = f"{LOWER}01"
    parcels = only(laid_county, LOWER)
    theirs = parcels["issuer_code"].eq(group).to_numpy(dtype=bool)
    got = laid(laid_county, moved(parcels, theirs, Movement(dx_m=east, dy_m=north)), accept_far=True)
    assert miss(got, laid_county)[theirs].mean() < 0.2
    assert miss(got, laid_county)[~theirs].max() == 0
    keys = got.parcels.loc[theirs, "shift_key"].unique()
    assert row_of(got, keys.item())["accepted"]


@pytest.mark.parametrize("shift", [1.2, 3.0])
def test_a_group_too_small_to_be_sure_of_is_told_from_its_village_and_neither_moves(laid_county, shift):
    group = f"{UPPER}02"
    parcels = only(laid_county, UPPER)
    theirs = parcels["issuer_code"].eq(group).to_numpy(dtype=bool)
    parcels = moved(parcels, theirs, Movement(dx_m=shift))
    got = laid(laid_county, parcels, accept_far=True, max_error_m=0.15)
    assert untouched(got, parcels)
    row = row_of(got, f"{UPPER}/{group}")
    assert (row["confidence"], row["batch"], row["parcel_count"]) == ("low", group, 189)
    assert row["dx_m"] == pytest.approx(-shift, abs=0.4)
    assert got.findings["row_code"].tolist() == [f"{UPPER}/{group}"]


def test_a_rough_group_far_off_is_laid_near_its_place_once_far_shifts_are_accepted(laid_county):
    group = f"{UPPER}02"
    parcels = only(laid_county, UPPER)
    theirs = parcels["issuer_code"].eq(group).to_numpy(dtype=bool)
    parcels = moved(parcels, theirs, Movement(dx_m=30.0))
    got = laid(laid_county, parcels, accept_far=True, max_error_m=0.15)
    assert miss(got, laid_county)[theirs].mean() < 0.4
    assert miss(got, laid_county)[~theirs].max() == 0
    assert row_of(got, f"{UPPER}/{group}")["confidence"] == "low"


def test_a_small_group_is_moved_by_itself_and_said_to_be_rough(laid_county):
    group = f"{UPPER}02"
    parcels = only(laid_county, UPPER)
    theirs = parcels["issuer_code"].eq(group).to_numpy(dtype=bool)
    got = laid(laid_county, moved(parcels, theirs, Movement(dx_m=3.0)))
    assert miss(got, laid_county)[~theirs].max() == 0
    assert miss(got, laid_county)[theirs].mean() < 0.4
    assert row_of(got, f"{UPPER}/{group}")["confidence"] == "medium"
    assert got.findings["message"].str.contains("改正后仍可能偏 0.4 m").tolist() == [True]


def test_a_group_that_lies_right_is_not_moved_with_the_many_that_do_not(laid_county):
    parcels = only(laid_county, UPPER)
    right = parcels["issuer_code"].eq(f"{UPPER}02").to_numpy(dtype=bool)
    got = laid(laid_county, moved(parcels, ~right, Movement(dx_m=3.0, dy_m=-2.0)))
    assert miss(got, laid_county)[right].max() == 0
    assert miss(got, laid_county)[~right].mean() < 0.2


@pytest.mark.parametrize("code", [UPPER, LOWER])
def test_half_a_village_drawn_by_another_crew_under_the_same_name_is_not_averaged(laid_county, code):
    parcels = only(laid_county, code).assign(issuer_code=f"{code}01")
    east = parcels.geometry.centroid.x
    parcels = moved(parcels, east > east.median(), Movement(dx_m=-1.8, dy_m=2.4))
    got = laid(laid_county, parcels)
    assert refused(got, parcels)
    assert got.findings["message"].str.contains("各部分偏移不一致").all()


def test_a_group_that_lies_nowhere_stays_and_is_said(laid_county):
    group = f"{UPPER}02"
    parcels = only(laid_county, UPPER)
    theirs = parcels["issuer_code"].eq(group).to_numpy(dtype=bool)
    x, y = parcels.geometry.centroid.x[theirs].mean(), parcels.geometry.centroid.y[theirs].mean()
    parcels = moved(parcels, ~theirs, Movement(dx_m=2.5, dy_m=0))
    parcels = moved(parcels, theirs, lambda xy: (xy - (x, y)) * (-1, 1) + (x, y))
    got = laid(laid_county, parcels)
    assert got.parcels["shift_key"].eq(UPPER).to_numpy().tolist() == (~theirs).tolist()
    row = row_of(got, f"{UPPER}/{group}")
    assert not row["accepted"]
    assert got.findings.set_index("row_code")["severity"][f"{UPPER}/{group}"] == "warning"
