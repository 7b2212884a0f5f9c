import numpy as np
import pytest

from geo.errors import ShiftError
from geo.movement import GivenShift, Movement
from tests.geo.reconcile.laying import ASTRAY, LOWER, UPPER, laid, miss, moved, of_village, only, row_of


def test_strays_of_a_file_go_with_the_rest_of_it(laid_county):
    lower = laid_county.parcels["issuer_code"].str[:12].eq(LOWER).to_numpy(dtype=bool)
    strays = np.flatnonzero(~lower)[:40]
    off = lower.copy()
    off[strays] = True
    parcels = moved(laid_county.parcels, off, Movement(dx_m=60.0, dy_m=-40.0))
    parcels["source_file"] = np.where(off, "b.shp", "a.shp")
    got = laid(laid_county, parcels, accept_far=True)
    assert miss(got, laid_county)[off].mean() < 0.2
    row = row_of(got, f"{UPPER}/b.shp")
    assert row["accepted"]
    assert "同一文件 b.shp" in row["reason"]


def with_strays(county, code, count, off):
    """Two files, one a village, but for a few parcels of the village that came in the other's; one file lies off."""
    home = of_village(county, code)
    file = np.where(home, "b.shp", "a.shp")
    file[np.flatnonzero(home)[:: home.sum() // count][:count]] = "a.shp"
    parcels = county.parcels.assign(source_file=file)
    return moved(parcels, file == off, ASTRAY)


@pytest.mark.parametrize("off", ["a.shp", "b.shp"])
def test_a_few_parcels_of_another_file_are_not_laid_wrong_with_the_village(laid_county, off):
    parcels = with_strays(laid_county, LOWER, 20, off)
    got = laid(laid_county, parcels, accept_far=True)
    assert miss(got, laid_county).max() < 0.3
    row = row_of(got, f"{LOWER}/a.shp")
    assert (row["parcel_count"], row["accepted"], row["confidence"]) == (20, off == "a.shp", "none")
    assert row_of(got, LOWER)["parcel_count"] == of_village(laid_county, LOWER).sum() - 20
    assert f"同一文件的村 {UPPER}" in row["reason"]
    assert f"{LOWER}/a.shp" in got.findings["row_code"].tolist()


@pytest.mark.parametrize("metres", [1.5, 60.0])
def test_strays_that_lie_off_as_their_village_does_are_laid_back_with_it(laid_county, metres):
    parcels = with_strays(laid_county, LOWER, 20, "")
    parcels = moved(parcels, of_village(laid_county, LOWER), Movement(dx_m=metres))
    got = laid(laid_county, parcels, accept_far=True)
    assert miss(got, laid_county).max() < 0.3
    assert got.shifts["shift_key"].tolist() == [UPPER, LOWER]


def test_strays_of_a_file_that_waits_wait_with_it(laid_county):
    parcels = with_strays(laid_county, LOWER, 20, "a.shp")
    with pytest.raises(ShiftError, match=rf"1 个村（批次）.*（{UPPER}）") as error:
        laid(laid_county, parcels)
    assert error.value.shifts["shift_key"].tolist() == [UPPER, LOWER, f"{LOWER}/a.shp"]
    back = Movement(dx_m=-ASTRAY.dx_m, dy_m=-ASTRAY.dy_m)
    given = (GivenShift(shift_key=UPPER, accepted=True, movement=back),)
    assert miss(laid(laid_county, parcels, given=given), laid_county).max() < 1e-6


def test_strays_whose_file_lies_as_the_village_does_stay_with_the_village(laid_county):
    got = laid(laid_county, with_strays(laid_county, LOWER, 20, ""))
    assert got.shifts["shift_key"].tolist() == [UPPER, LOWER]


@pytest.mark.parametrize("opened", [True, False])
def test_a_decision_on_a_village_is_not_for_a_batch_listed_undecided_beside_it(laid_county, opened):
    parcels = with_strays(laid_county, LOWER, 20, "b.shp")
    back = Movement(dx_m=-ASTRAY.dx_m, dy_m=-ASTRAY.dy_m)
    given = [GivenShift(shift_key=LOWER, accepted=True, movement=back)]
    given += [GivenShift(shift_key=f"{LOWER}/a.shp", accepted=None)] * opened
    got = laid(laid_county, parcels, given=tuple(given))
    strays = (of_village(laid_county, LOWER) & parcels["source_file"].eq("a.shp")).to_numpy(dtype=bool)
    assert miss(got, laid_county)[~strays].max() < 1e-6
    assert got.parcels["shift_key"][strays].eq("" if opened else LOWER).all()


def test_a_decision_on_a_groups_village_is_not_for_the_group_listed_undecided(laid_county):
    parcels = only(laid_county, UPPER)
    right = parcels["issuer_code"].eq(f"{UPPER}02").to_numpy(dtype=bool)
    given = (
        GivenShift(shift_key=UPPER, accepted=True, movement=Movement(dx_m=-30.0)),
        GivenShift(shift_key=f"{UPPER}/{UPPER}02", accepted=None),
    )
    got = laid(laid_county, moved(parcels, ~right, Movement(dx_m=30.0)), given=given)
    assert miss(got, laid_county).max() < 1e-6


def test_strays_may_be_decided_on_by_themselves(laid_county):
    parcels = with_strays(laid_county, LOWER, 20, "")
    given = (GivenShift(shift_key=f"{LOWER}/a.shp", accepted=True, movement=Movement(dx_m=1.0)),)
    got = laid(laid_county, parcels, given=given)
    assert got.parcels["shift_key"].eq(f"{LOWER}/a.shp").sum() == 20
    assert got.parcels["shift_key"].ne("").sum() == 20
