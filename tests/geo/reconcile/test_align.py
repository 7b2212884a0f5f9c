import pickle

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import HealthCheck, given
from hypothesis import settings as options
from hypothesis import strategies as st

from geo import schema
from geo.errors import MismatchError, ShiftError
from geo.movement import GivenShift, Movement
from geo.reconcile.align import movement_of
from tests.geo.reconcile.askew import turned
from tests.geo.reconcile.laying import (
    LOWER,
    UPPER,
    askew,
    laid,
    miss,
    moved,
    of_village,
    only,
    row_of,
    untouched,
)

slow = options(max_examples=8, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def crooked(laid_county):
    """One village 1.8 m east-south-east, the other 5 m off and turned."""
    middle = shapely.get_coordinates(np.asarray(laid_county.parcels.geometry.array))
    return askew(
        laid_county,
        {
            UPPER: Movement(dx_m=1.663, dy_m=-0.689),
            LOWER: Movement(
                dx_m=-3,
                dy_m=4,
                rotation_rad=np.deg2rad(0.2),
                origin_x=float(middle[:, 0].mean()),
                origin_y=float(middle[:, 1].mean()),
            ),
        },
    )


FAR = Movement(dx_m=-45, dy_m=30)


@pytest.fixture(scope="module")
def far(laid_county):
    return askew(laid_county, {LOWER: FAR})


# --- what is found is mended, and everything can be traced


@pytest.fixture(scope="module")
def mended(laid_county, crooked):
    return laid(laid_county, crooked, names={UPPER: "前泉垴村", LOWER: "大松峪村"})


def test_shifted_villages_are_laid_back_to_20_cm(laid_county, mended):
    assert miss(mended, laid_county).mean() < 0.2
    assert mended.shifts["accepted"].all()
    assert mended.shifts["confidence"].isin(["high", "medium"]).all()


def test_an_officer_reads_how_far_and_which_way(mended):
    row = row_of(mended, UPPER)
    assert row["direction"] == "东南偏东"
    assert row["distance_m"] == pytest.approx(1.8, abs=0.25)
    message = mended.findings.set_index("rule")["message"]
    assert message["shift_mended"].startswith(f"前泉垴村（{UPPER}）确权地块整体偏东南偏东 1.")
    assert message["shift_large"].startswith(f"大松峪村（{LOWER}）确权地块整体偏")


def test_findings_stand_in_their_village(mended, laid_county):
    outline = laid_county.villages.set_index("village_code").geometry
    for village, place in zip(mended.findings["village_code"], mended.findings["geometry"], strict=True):
        assert outline[village].buffer(100).contains(place)


def test_shifts_have_the_promised_columns(mended):
    assert list(mended.shifts.columns) == schema.column_names("shifts")
    expected = schema.conform(pd.DataFrame(), "shifts").dtypes
    assert mended.shifts.dtypes.astype(str).to_dict() == expected.astype(str).to_dict()
    assert mended.shifts["parcel_count"].tolist() == [746, 630]


def test_a_row_of_shifts_moves_the_originals_onto_the_parcels_bit_by_bit(mended, crooked):
    assert len(mended.original) == len(crooked)
    for key, rows in mended.original.groupby("shift_key"):
        move = movement_of(row_of(mended, key))
        here = mended.parcels.set_index("parcel_code").geometry.loc[rows["parcel_code"]]
        there = shapely.transform(np.asarray(rows.geometry.array), move)
        assert (shapely.to_wkb(there) == shapely.to_wkb(np.asarray(here.array))).all()


def test_originals_are_what_was_delivered(mended, crooked):
    before = crooked.set_index("parcel_code").geometry.loc[mended.original["parcel_code"]]
    assert (shapely.to_wkb(before.array) == shapely.to_wkb(mended.original.geometry.array)).all()


def test_the_moved_vertices_can_be_moved_back(mended):
    for key, rows in mended.original.groupby("shift_key"):
        row = row_of(mended, key)
        move = movement_of(row)
        here = shapely.get_coordinates(
            mended.parcels.set_index("parcel_code").geometry.loc[rows["parcel_code"]].array
        )
        back = Movement(
            rotation_rad=-move.rotation_rad,
            scale=1 / move.scale,
            origin_x=move.origin_x,
            origin_y=move.origin_y,
        )
        assert back(here - (move.dx_m, move.dy_m)) == pytest.approx(
            shapely.get_coordinates(rows.geometry.array), abs=1e-6
        )


def test_the_callers_parcels_are_left_as_they_were(crooked, mended):
    assert crooked["shift_key"].isna().all()
    assert mended.parcels.drop(columns=["geometry", "shift_key"]).equals(
        crooked.drop(columns=["geometry", "shift_key"], errors="ignore")
    )


def test_villages_that_lie_right_are_not_touched(laid_county):
    got = laid(laid_county)
    assert untouched(got, laid_county.parcels)
    assert (got.shifts["distance_m"] < 0.2).all()
    assert not got.shifts["accepted"].any()
    assert not len(got.findings)


def test_a_shifted_village_does_not_move_its_neighbour(laid_county):
    got = laid(laid_county, askew(laid_county, {LOWER: Movement(dx_m=3, dy_m=1)}))
    mine = of_village(laid_county, UPPER)
    assert got.parcels.loc[mine, "shift_key"].eq("").all()
    assert all(
        a is b
        for a, b in zip(
            got.parcels.geometry.array[mine], laid_county.parcels.geometry.array[mine], strict=True
        )
    )
    assert set(got.original["parcel_code"].str[:12]) == {LOWER}


# --- far shifts wait for a person


def test_a_village_54_m_off_stops_the_run_with_its_name_and_the_table(laid_county, far):
    with pytest.raises(ShiftError, match=f"大松峪村（{LOWER}）偏西北偏西 54.*--accept-shifts") as stopped:
        laid(laid_county, far, names={LOWER: "大松峪村"})
    table = stopped.value.shifts.set_index("shift_key")
    assert sorted(table.index) == [UPPER, LOWER]
    assert (table.loc[LOWER, "dx_m"], table.loc[LOWER, "dy_m"]) == pytest.approx((45, -30), abs=0.3)
    assert table.loc[LOWER, "reason"].endswith("待确认")


def test_the_table_comes_whole_out_of_a_worker(laid_county, far):
    with pytest.raises(ShiftError) as stopped:
        laid(laid_county, far)
    again = pickle.loads(pickle.dumps(stopped.value))  # noqa: S301 - its own
    assert str(again) == str(stopped.value)
    pd.testing.assert_frame_equal(again.shifts, stopped.value.shifts)


def test_where_findings_alone_are_wanted_it_is_a_finding_and_stays(laid_county, far):
    got = laid(laid_county, far, stop=False)
    assert untouched(got, far)
    assert got.findings["rule"].tolist() == ["shift_far"]
    assert got.findings["severity"].tolist() == ["error"]


@pytest.mark.parametrize(
    "how",
    [{"accept_far": True}, {"given": (GivenShift(shift_key=LOWER, accepted=True),)}],
    ids=["all", "by name"],
)
def test_once_accepted_it_is_mended(laid_county, far, how):
    got = laid(laid_county, far, **how)
    assert miss(got, laid_county).mean() < 0.2
    assert row_of(got, LOWER)["accepted"]


def test_a_turn_counts_by_what_it_moves(laid_county):
    """Half a degree about the middle shifts nothing on average, and yet parts lie metres off."""
    shapes = np.asarray(only(laid_county, UPPER).geometry.array)
    parcels = askew(laid_county, {UPPER: turned(shapes, 0, 0, 1.5)})
    with pytest.raises(ShiftError, match=r"旋转 -1\.[45]\d°"):
        laid(laid_county, parcels)
    got = laid(laid_county, parcels, stop=False)
    row = row_of(got, UPPER)
    assert (row["model"], row["accepted"]) == ("rigid", False)
    assert row["rotation_deg"] == pytest.approx(-1.5, abs=0.05)
    assert got.findings["rule"].tolist() == ["shift_far"]


# --- what a person decided goes first


def test_mode_none_moves_nothing_and_says_nothing(laid_county, crooked):
    got = laid(laid_county, crooked, mode="none")
    assert untouched(got, crooked)
    assert (len(got.shifts), len(got.findings), len(got.original)) == (0, 0, 0)
    assert list(got.shifts.columns) == schema.column_names("shifts")


def test_a_given_movement_is_applied_as_it_stands(laid_county, crooked):
    mine = Movement(
        dx_m=-1.5, dy_m=0.5, rotation_rad=np.deg2rad(0.1), origin_x=38_419_700, origin_y=4_196_700
    )
    got = laid(
        laid_county, crooked, mode="none", given=(GivenShift(shift_key=UPPER, accepted=True, movement=mine),)
    )
    assert got.shifts["shift_key"].tolist() == [UPPER]
    row = row_of(got, UPPER)
    assert (row["confidence"], row["accepted"], row["dx_m"], row["dy_m"]) == ("given", True, -1.5, 0.5)
    which = of_village(laid_county, UPPER)
    before, after = crooked.geometry.array[which], got.parcels.geometry.array[which]
    assert mine(shapely.get_coordinates(before)) == pytest.approx(shapely.get_coordinates(after), abs=1e-8)
    assert got.parcels.loc[~which, "shift_key"].eq("").all()
    assert got.findings["rule"].tolist() == ["shift_given"]


def test_a_declined_shift_is_measured_and_left(laid_county, crooked):
    got = laid(laid_county, crooked, given=(GivenShift(shift_key=UPPER, accepted=False),))
    row = row_of(got, UPPER)
    assert (row["accepted"], row["distance_m"]) == (False, pytest.approx(1.8, abs=0.25))
    assert set(got.original["shift_key"]) == {LOWER}
    assert "shift_declined" in got.findings["rule"].tolist()


def test_declining_lets_a_far_village_pass(laid_county, far):
    got = laid(laid_county, far, given=(GivenShift(shift_key=LOWER, accepted=False),))
    assert untouched(got, far)


def test_with_mode_none_a_decision_on_one_group_moves_no_other(laid_county, crooked):
    group = f"{UPPER}02"
    mine = Movement(dx_m=-1.6, dy_m=0.7)
    got = laid(
        laid_county,
        crooked,
        mode="none",
        given=(GivenShift(shift_key=f"{UPPER}/{group}", accepted=True, movement=mine),),
    )
    assert set(got.parcels.loc[got.parcels["shift_key"].ne(""), "issuer_code"]) == {group}


def test_a_decision_on_a_village_that_is_not_there_is_refused(laid_county):
    with pytest.raises(MismatchError, match="140725999999"):
        laid(laid_county, given=(GivenShift(shift_key="140725999999", accepted=True),))


@pytest.mark.parametrize(
    ("shift", "said"),
    [
        (GivenShift(shift_key=UPPER, accepted=True, movement=Movement(dx_m=-30.0)), True),
        (GivenShift(shift_key=UPPER, accepted=True, movement=Movement(dx_m=30.5)), False),
        (GivenShift(shift_key=UPPER, accepted=False), True),
    ],
)
def test_a_decision_the_borders_surely_speak_against_is_obeyed_and_said(laid_county, shift, said):
    parcels = moved(only(laid_county, UPPER), [True] * 746, Movement(dx_m=-30.0))
    got = laid(laid_county, parcels, given=(shift,))
    assert got.shifts["accepted"].item() == shift.accepted
    assert (got.findings["rule"].tolist() == ["shift_disputed"]) == said
    assert ("程序测得整体偏西 30" in got.shifts["reason"].item()) == said


# --- laws


@slow
@given(st.integers(0, 2**32 - 1), st.floats(-6, 6), st.floats(-6, 6), st.sampled_from([1, 2]))
def test_the_order_of_rows_and_the_number_of_jobs_change_nothing(laid_county, seed, east, north, jobs):
    parcels = askew(laid_county, {UPPER: Movement(dx_m=east, dy_m=north), LOWER: Movement(dx_m=north)})
    order = np.random.default_rng(seed).permutation(len(parcels))
    one, other = laid(laid_county, parcels), laid(laid_county, parcels.iloc[order], jobs=jobs)
    pd.testing.assert_frame_equal(one.shifts, other.shifts)
    pd.testing.assert_frame_equal(one.parcels.iloc[order], other.parcels)


@slow
@given(st.floats(-6, 6), st.floats(-6, 6))
def test_what_other_villages_a_county_has_changes_nothing(laid_county, east, north):
    movement = Movement(dx_m=east, dy_m=north)
    both = laid(laid_county, askew(laid_county, {UPPER: movement, LOWER: Movement(dx_m=4.0)}))
    alone = laid(laid_county, moved(only(laid_county, UPPER), True, movement))  # noqa: FBT003 - all of them
    pd.testing.assert_frame_equal(both.shifts.iloc[:1], alone.shifts)
