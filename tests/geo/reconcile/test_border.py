"""Errors of borders: overlaps tell them, what is no error does not, and the width is written down."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import GeometryTypeError, MismatchError
from geo.reconcile import Settings, reconcile
from geo.reconcile.border import BorderSettings, border_error, border_finding
from geo.sample.county import SampleSettings, county
from tests.geo.reconcile import land
from tests.geo.reconcile.land import CRS, VILLAGE, square

FARMLAND = gpd.GeoDataFrame(geometry=[square(0, 0, 800, 100)], crs=CRS)


def fields(overlap=0.0, beyond=0.0, count=40, keep=slice(None)):
    """Fields of 20 by 100 m side by side, each that far over the next and over the edge of farmland."""
    shapes = [square(20 * n, -beyond, 20 * n + 20 + overlap, 100) for n in range(count)]
    return gpd.GeoDataFrame(geometry=shapes[keep], crs=CRS)


def test_fields_two_metres_over_each_other_err_by_two_metres():
    got = border_error(fields(overlap=2), FARMLAND)
    assert got.error_m == pytest.approx(2, abs=0.01)
    assert got.gap_width_m == 3.6
    assert "相邻地块相互压盖" in got.reason


def test_fields_that_share_their_borders_tell_it_where_they_overstep_farmland():
    got = border_error(fields(beyond=1.5), FARMLAND)
    assert got.error_m == pytest.approx(1.5, abs=0.01)
    assert got.gap_width_m == 2.7
    assert "越出" in got.reason


def test_the_worse_of_two_errors_counts():
    assert border_error(fields(overlap=1, beyond=3), FARMLAND).error_m == pytest.approx(3, abs=0.05)


def test_fields_that_fit_tell_nothing():
    got = border_error(fields(), FARMLAND)
    assert got.gap_width_m is None
    assert np.isnan(got.error_m)
    assert "无法估计" in got.reason


def test_fields_that_truly_reach_beyond_farmland_do_not_err():
    assert border_error(fields(beyond=30), FARMLAND).gap_width_m is None


def test_a_second_certificate_for_the_same_land_is_no_error_of_borders():
    twice = gpd.GeoDataFrame(
        geometry=[*fields().geometry, *(square(20 * n, 0, 20 * n + 15, 100) for n in range(40))], crs=CRS
    )
    assert border_error(twice, FARMLAND).gap_width_m is None


def test_a_few_blunders_are_no_error_of_the_village():
    few = gpd.GeoDataFrame(
        geometry=[*fields(keep=slice(0, 36)).geometry, *fields(overlap=4, keep=slice(37, 39)).geometry],
        crs=CRS,
    )
    assert border_error(few, FARMLAND, BorderSettings(min_points=1)).gap_width_m is None


@pytest.mark.parametrize(("overlap", "width"), [(0.3, 1.5), (8.0, 10.0)])
def test_the_width_stays_within_what_the_survey_may_err(overlap, width):
    got = border_error(fields(overlap=overlap), FARMLAND)
    assert got.gap_width_m == width
    assert "限于 1.5～10 米" in got.reason


def test_parcels_elsewhere_do_not_count():
    far = fields(overlap=2)
    far = far.set_geometry(far.translate(0, 500))
    got = border_error(far, FARMLAND)
    assert (got.gap_width_m, got.parcels) == (None, 0)


def test_nothing_in_nothing_told():
    assert border_error(fields(count=0), FARMLAND).gap_width_m is None


@given(seed=st.integers(0, 1000))
def test_the_order_of_rows_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    shapes = [square(20 * n - over, 0, 20 * n + 20, 100) for n, over in enumerate(rng.uniform(0, 4, 40))]
    rows = gpd.GeoDataFrame(geometry=shapes, crs=CRS)
    settings = BorderSettings(max_parcels=25)
    straight = border_error(rows, FARMLAND, settings)
    assert border_error(rows.iloc[rng.permutation(40)], FARMLAND, settings) == straight
    assert straight.gap_width_m is not None


@pytest.mark.parametrize(("noise_m", "low", "high"), [((0.5, 1.0), 2.0, 3.0), ((0.5, 3.0), 5.0, 6.5)])
def test_a_county_drawn_with_known_errors_tells_them(noise_m, low, high):
    made = county(SampleSettings(villages=1, seed=23, noise_m=noise_m, patches_per_village=80))
    tilled = made.survey["land_class"].isin(["0101", "0102", "0103"])
    got = border_error(made.parcels[made.parcels["has_rights"]], made.survey[tilled])
    assert low <= got.gap_width_m <= high


def test_layers_of_two_systems_are_refused():
    with pytest.raises(MismatchError, match="坐标系不同"):
        border_error(fields(overlap=2).to_crs("EPSG:4547"), FARMLAND)


def test_a_line_is_refused():
    lines = gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (1, 1)])], crs=CRS)
    with pytest.raises(GeometryTypeError, match="parcels"):
        border_error(lines, FARMLAND)


def test_a_village_can_be_judged_by_fixed_widths():
    got = border_error(fields(overlap=2), FARMLAND, BorderSettings(adaptive=False))
    assert got.gap_width_m is None
    assert border_finding(got, VILLAGE, 5.0).empty


def test_a_run_says_by_what_width_a_village_was_judged():
    patches = land.survey((square(0, 0, 900, 100), {}))
    rights = land.parcels(*((shape, {}) for shape in fields(overlap=4).geometry))
    found = reconcile(patches, rights).findings.set_index("rule").loc["border_error"]
    assert found["village_code"] == VILLAGE
    assert "7.2 米" in found["message"]


def test_a_gap_no_wider_than_the_error_is_a_sliver_and_without_the_error_a_block():
    patches = land.survey((square(0, 0, 826, 100), {}))
    rights = land.parcels(
        *((shape, {}) for shape in fields(overlap=4, keep=slice(0, 20)).geometry),
        *((shape, {}) for shape in fields(overlap=4, keep=slice(20, 40)).translate(6 + 4, 0)),
    )
    # 404 m to 410 m between two fields is nobody's, and so is what lies east of the last: 814 m to 826 m.
    kinds = [
        list(
            reconcile(patches, rights, settings=Settings(border=settings)).pieces.sort_values("area_m2")[
                "piece_shape"
            ]
        )
        for settings in (BorderSettings(), BorderSettings(adaptive=False))
    ]
    assert kinds == [["SLIVER", "BLOCK"], ["BLOCK", "BLOCK"]]
