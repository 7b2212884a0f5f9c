import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from geo.control_points import HELMERT, FitSettings, fit
from geo.crs import BEIJING54, CGCS2000, XIAN80, gauss_kruger
from geo.datum import helmert, moved
from geo.errors import InputError, MismatchError
from tests.geo.old_datums import SEVEN

OLD, NEW = gauss_kruger(XIAN80, 38, prefixed=False), gauss_kruger(CGCS2000, 38, prefixed=False)
NORTH, EAST = 4_190_000.0, 430_000.0
# Twelve triangulation points over a county, kilometres north and east of its middle.
PLACES = [
    (-18, -14),
    (-15, 9),
    (-9, -3),
    (-6, 17),
    (-2, -19),
    (0, 1),
    (3, 12),
    (7, -9),
    (11, 4),
    (14, -16),
    (17, 15),
    (19, -2),
]


def noise(count, sigma):
    """Errors of two coordinates, the same ones in every run."""
    return np.random.default_rng(80).normal(0, sigma, (count, 2))


def planted(places=PLACES, *, sigma=0.0, north=30.0, east=95.0, turn=1.2, ppm=3.0):  # noqa: PLR0913 - four parameters
    """Control points whose new coordinates follow from the old by the four parameters."""
    at = np.array(places, float) * 1000 + (NORTH, EAST)
    angle, scale = math.radians(turn / 3600), 1 + ppm * 1e-6
    new_north = north + scale * (at[:, 0] * math.cos(angle) - at[:, 1] * math.sin(angle))
    new_east = east + scale * (at[:, 0] * math.sin(angle) + at[:, 1] * math.cos(angle))
    error = noise(len(at), sigma)
    return pd.DataFrame(
        {
            "point": [f"K{number:02d}" for number in range(len(at))],
            "source_file": "控制点.csv",
            "source_row": range(len(at)),
            "old_north_m": at[:, 0],
            "old_east_m": at[:, 1],
            "new_north_m": new_north + error[:, 0],
            "new_east_m": new_east + error[:, 1],
        }
    )


def spoilt(points, row, north=0.0, east=0.0):
    points = points.copy()
    points.loc[row, ["new_north_m", "new_east_m"]] += np.array([north, east])
    return points


def names(shift):
    return shift.outliers["point"].tolist()


# Recovery.


@given(
    north=st.floats(-120, 120),
    east=st.floats(-120, 120),
    turn=st.floats(-5, 5),
    ppm=st.floats(-20, 20),
)
@settings(deadline=None, max_examples=30)
def test_fitted_parameters_are_the_planted_ones(north, east, turn, ppm):
    shift = fit(planted(north=north, east=east, turn=turn, ppm=ppm), OLD, NEW)
    assert shift.parameters["rotation_arcsec"] == pytest.approx(turn, abs=1e-5)
    assert shift.parameters["scale_ppm"] == pytest.approx(ppm, abs=1e-4)
    angle, scale = math.radians(turn / 3600), 1 + ppm * 1e-6
    n, e = shift.parameters["about_north_m"], shift.parameters["about_east_m"]
    there = north + scale * (n * math.cos(angle) - e * math.sin(angle)) - n
    assert shift.parameters["north_m"] == pytest.approx(there, abs=1e-5)
    assert shift.rms_m < 1e-5
    assert names(shift) == []


def test_points_with_errors_of_measurement_give_them_back():
    shift = fit(planted(sigma=0.05), OLD, NEW)
    assert names(shift) == []
    assert 0.03 < shift.rms_m < 0.12
    assert shift.rms_m / 1.5 < shift.accuracy_m < 3 * shift.rms_m
    assert shift.parameters["rotation_arcsec"] == pytest.approx(1.2, abs=1)
    error = noise(len(PLACES), 0.05)
    left = shift.residuals[["residual_north_m", "residual_east_m"]].to_numpy()
    assert np.abs(left - error).max() < 0.06  # what the parameters took of the errors


def test_residuals_are_given_less_computed_and_redundancies_add_up():
    shift = fit(planted(sigma=0.05), OLD, NEW)
    table = shift.residuals
    old, new = (table[[f"{side}_east_m", f"{side}_north_m"]].to_numpy() for side in ("old", "new"))
    left = new - moved(shift, old)
    assert table[["residual_east_m", "residual_north_m"]].to_numpy() == pytest.approx(left)
    # Two coordinates a point, four parameters: the redundancy of all is what is left over.
    assert 2 * table["redundancy"].sum() == pytest.approx(2 * len(table) - 4)
    assert left.mean(axis=0) == pytest.approx(0, abs=1e-6)


@given(order=st.permutations(range(len(PLACES))))
@settings(deadline=None, max_examples=15)
def test_the_order_of_rows_does_not_matter(order):
    points = spoilt(planted(sigma=0.05), 3, north=2)
    one, other = fit(points, OLD, NEW), fit(points.iloc[list(order)], OLD, NEW)
    assert one.pipeline == other.pipeline
    pd.testing.assert_frame_equal(one.residuals, other.residuals)


def spatial(places=PLACES, *, lift=True, sigma=0.0):
    """Control points whose new coordinates follow from the old by seven parameters in space."""
    at = np.array(places, float) * 1000 + (NORTH, EAST)
    lon, lat = Transformer.from_crs(OLD, OLD.geodetic_crs, always_xy=True).transform(at[:, 1], at[:, 0])
    up = 1000 + np.arange(len(at)) * 37.0
    there = Transformer.from_pipeline(helmert(XIAN80, SEVEN, convention="position_vector").pipeline)
    lon, lat, new_up = there.transform(lon, lat, up)
    east, north = Transformer.from_crs(NEW.geodetic_crs, NEW, always_xy=True).transform(lon, lat)
    error = noise(len(at), sigma)
    table = planted(places).assign(new_north_m=north + error[:, 0], new_east_m=east + error[:, 1])
    return table.assign(old_height_m=up, new_height_m=new_up) if lift else table


def test_seven_parameters_come_back_from_points_with_heights():
    shift = fit(spatial(), OLD, NEW, FitSettings(model=HELMERT))
    assert shift.kind == "helmert7"
    assert dict(shift.parameters) == pytest.approx(SEVEN, abs=0.02)
    assert shift.rms_m < 0.01  # layers are moved as if at height 0, these points lie at 1400 m


def test_seven_parameters_test_their_points_too():
    points = spoilt(spatial(sigma=0.03), 5, east=-1.5)
    assert names(fit(points, OLD, NEW, FitSettings(model=HELMERT))) == ["K05"]


def test_seven_parameters_without_heights_need_far_points():
    with pytest.raises(InputError, match=r"没有两套大地高.*平面四参数"):
        fit(spatial(lift=False), OLD, NEW, FitSettings(model=HELMERT))


def test_seven_parameters_without_heights_from_points_a_thousand_kilometres_apart():
    far = [(6 * north, 15 * east) for north, east in PLACES]
    far = [(north * 5, east) for north, east in far]
    points = spatial(far, lift=False)
    # With heights left out in truth as well, the plane coordinates alone carry all seven.
    shift = fit(points, OLD, NEW, FitSettings(model=HELMERT))
    assert shift.kind == "helmert7"
    assert shift.rms_m < 0.05


def test_three_points_with_heights_are_enough_for_seven():
    shift = fit(spatial(PLACES[:3]), OLD, NEW, FitSettings(model=HELMERT))
    assert shift.rms_m < 0.01


# Gross errors.


@given(
    row=st.integers(0, len(PLACES) - 1),
    far=st.floats(0.6, 400),
    angle=st.floats(0, 2 * math.pi),
)
@settings(deadline=None, max_examples=60)
def test_one_gross_error_is_found_whichever_point_it_hits(row, far, angle):
    points = spoilt(planted(sigma=0.03), row, north=far * math.sin(angle), east=far * math.cos(angle))
    shift = fit(points, OLD, NEW)
    assert names(shift) == [f"K{row:02d}"]
    assert shift.outliers["residual_m"].item() == pytest.approx(far, abs=0.2)
    assert "相差" in shift.outliers["reason"].item()


@given(rows=st.sets(st.integers(0, len(PLACES) - 1), min_size=2, max_size=3), far=st.floats(1, 50))
@settings(deadline=None, max_examples=40)
def test_several_errors_do_not_hide_each_other(rows, far):
    points = planted(sigma=0.03)
    for turn, row in enumerate(sorted(rows)):
        points = spoilt(points, row, north=far * (1, -1.3, 0.4)[turn], east=far * (0.2, 0.8, -1.1)[turn])
    assert names(fit(points, OLD, NEW)) == [f"K{row:02d}" for row in sorted(rows)]


def test_an_error_does_not_move_the_parameters():
    clean = fit(planted(sigma=0.03).drop(index=4), OLD, NEW)
    spoiled = fit(spoilt(planted(sigma=0.03), 4, north=80), OLD, NEW)
    here = np.array([[EAST, NORTH], [EAST + 30_000, NORTH - 30_000]])
    assert moved(spoiled, here) == pytest.approx(moved(clean, here), abs=1e-6)


@pytest.mark.parametrize("side", ["old", "new"])
@pytest.mark.parametrize("row", [0, 5, 11])
def test_axes_turned_in_one_row_are_a_gross_error(side, row):
    points = planted(sigma=0.03)
    columns = [f"{side}_north_m", f"{side}_east_m"]
    points.loc[row, columns] = points.loc[row, columns[::-1]].tolist()
    assert names(fit(points, OLD, NEW)) == [f"K{row:02d}"]


def test_a_point_that_was_computed_to_nowhere_is_left_out():
    points = planted(sigma=0.03)
    points.loc[2, "new_north_m"] = np.inf
    shift = fit(points, OLD, NEW)
    assert shift.outliers["reason"].tolist() == ["坐标无效"]


def test_a_suspicion_is_the_reason():
    points = spoilt(planted(), 1, north=4000).assign(suspicion=["", "X、Y 疑似颠倒", *[""] * 10])
    assert fit(points, OLD, NEW).outliers["reason"].tolist() == ["X、Y 疑似颠倒"]


def test_errors_of_the_network_are_not_taken_for_gross_ones():
    """Old networks bend by decimetres over a county; so do all points, and none is accused."""
    shift = fit(planted(sigma=0.25), OLD, NEW)
    assert names(shift) == []
    assert shift.accuracy_m > 0.2


# Refusals.


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_points_are_refused(count):
    points = planted().iloc[:count] if count else planted().iloc[:0]
    with pytest.raises(InputError, match=f"有 {count} 个西安80控制点"):
        fit(points, OLD, NEW)


def test_points_in_a_line_are_refused():
    with pytest.raises(InputError, match=r"控制点.csv 的第 2 行（K00）.*一条直线"):
        fit(planted([(k, 2 * k + 0.01 * (k % 2)) for k in range(6)]), OLD, NEW)


def test_good_points_in_a_line_are_refused_when_the_one_beside_it_is_wrong():
    points = spoilt(planted([*((k, 2 * k) for k in range(6)), (9, -9)]), 6, north=900)
    with pytest.raises(InputError, match="一条直线"):
        fit(points, OLD, NEW)


def test_one_place_twice_is_refused_with_both_rows():
    points = planted([*PLACES[:5], PLACES[2]])
    with pytest.raises(InputError, match=r"第 4 行（K02）、第 7 行（K05）是同一位置"):
        fit(points, OLD, NEW)


@pytest.mark.parametrize("far", [0.5, 3.0, 50.0])
def test_three_points_that_disagree_are_refused(far):
    with pytest.raises(MismatchError, match=r"点数太少，判断不出是哪一点有误.*残差 \d"):
        fit(spoilt(planted(PLACES[1:4]), 1, north=far), OLD, NEW)


def test_two_suspects_that_explain_the_misfit_alike_are_refused():
    # On four points an error of decimetres at a corner shows as much at its neighbour.
    points = planted([(0, 0), (0, 20), (20, 0), (20, 20)])
    with pytest.raises(MismatchError, match=r"第 2 行（K00）、第 3 行（K01）都可能有误"):
        fit(spoilt(points, 1, north=0.3), OLD, NEW)


def test_points_of_which_half_are_wrong_are_refused():
    points = planted(PLACES[:6])
    for row, far in ((0, 700), (2, -900), (4, 1500)):
        points = spoilt(points, row, north=far)
    with pytest.raises(MismatchError, match="已占半数"):
        fit(points, OLD, NEW)


def test_points_that_agree_with_nothing_are_refused():
    with pytest.raises(MismatchError, match=r"互不符合|判断不出|半数"):
        fit(planted(sigma=5), OLD, NEW)


def test_a_stricter_limit_refuses_what_the_usual_one_takes():
    points = planted(sigma=0.25)
    with pytest.raises(MismatchError, match=r"超过 0\.1 m"):
        fit(points, OLD, NEW, FitSettings(limit_m=0.1))


@given(
    rows=st.sets(st.integers(0, len(PLACES) - 1), min_size=4, max_size=6),
    hit=st.integers(0, 5),
    far=st.floats(0.5, 300),
)
@settings(deadline=None, max_examples=60)
def test_no_good_point_is_ever_accused(rows, hit, far):
    """Few points: the right one is found, or it is refused, or too small to be seen; never another."""
    points = planted([PLACES[row] for row in sorted(rows)], sigma=0.03)
    row = hit % len(points)
    try:
        found = names(fit(spoilt(points, row, north=far), OLD, NEW))
    except (InputError, MismatchError):
        return
    assert found in ([], [f"K{row:02d}"])


def test_the_datum_is_the_sources():
    shift = fit(planted(), gauss_kruger(BEIJING54, 38, prefixed=False), NEW)
    assert shift.datum == BEIJING54
    assert shift.provenance == "由 控制点.csv 的控制点解算"
