import math

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from shapely.geometry import MultiPolygon, Point, Polygon, box

from geo import crs as systems
from geo.crs import BEIJING54, CGCS2000, XIAN80, gauss_kruger
from geo.datum import Support, accuracy_over, convert, described, displacement, helmert, moved, planar
from geo.errors import InputError, MismatchError, MissingDatumError
from tests.geo.old_datums import SEVEN
from tests.helpers import layer

OLD, NEW = gauss_kruger(XIAN80, 38, prefixed=False), gauss_kruger(CGCS2000, 38, prefixed=False)
FOUR = {"north_m": 30.0, "east_m": 95.0, "rotation_arcsec": 1.2, "scale_ppm": 3.0}
WEST, SOUTH = 428_000.0, 4_195_000.0  # in 寿阳, without zone number
PLACE = (WEST, SOUTH, WEST + 20_000, SOUTH + 20_000)
DEGREES = (112.9, 37.7, 113.3, 38.0)


def field(crs=OLD, **columns):
    return layer(box(WEST, SOUTH, WEST + 100, SOUTH + 50), crs=crs, **columns)


def helmert_step(shift):
    """The middle of a pipeline, from geocentric to geocentric."""
    (step,) = [part for part in shift.pipeline.split(" +step ") if part.startswith("+proj=helmert")]
    return Transformer.from_pipeline(step)


# Known values.


@pytest.mark.parametrize(("convention", "rz"), [("position_vector", 0.554), ("coordinate_frame", -0.554)])
def test_the_worked_example_of_both_conventions(convention, rz):
    # IOGP Guidance Note 7-2, methods 1033 and 1032: WGS 72 to WGS 84
    shift = helmert(XIAN80, {"dz_m": 4.5, "rz_arcsec": rz, "scale_ppm": 0.219}, convention=convention)
    there = helmert_step(shift).transform(3_657_660.66, 255_768.55, 5_201_382.11)
    assert there == pytest.approx((3_657_660.78, 255_778.43, 5_201_387.75), abs=0.01)


def test_the_worked_example_of_three_translations():
    # IOGP Guidance Note 7-2, method 1031: WGS 84 to ED50
    shift = helmert(XIAN80, {"dx_m": 84.87, "dy_m": 96.49, "dz_m": 116.95})
    there = helmert_step(shift).transform(3_771_793.97, 140_253.34, 5_124_304.35)
    assert there == pytest.approx((3_771_878.84, 140_349.83, 5_124_421.30), abs=0.01)
    assert shift.kind == "helmert3"


def geocentric(lon, lat, a, rf):
    """Geocentric coordinates at height 0, by the textbook."""
    e2 = (2 - 1 / rf) / rf
    lon, lat = math.radians(lon), math.radians(lat)
    n = a / math.sqrt(1 - e2 * math.sin(lat) ** 2)
    east = np.array([math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), (1 - e2) * math.sin(lat)])
    return n * east


def geographic(xyz, a, rf):
    """Longitude and latitude of geocentric coordinates, by iteration."""
    e2 = (2 - 1 / rf) / rf
    x, y, z = xyz
    p, lat = math.hypot(x, y), math.atan2(z, math.hypot(x, y))
    for _ in range(20):
        n = a / math.sqrt(1 - e2 * math.sin(lat) ** 2)
        lat = math.atan2(z + e2 * n * math.sin(lat), p)
    return math.degrees(math.atan2(y, x)), math.degrees(lat)


@pytest.mark.parametrize(("datum", "a", "rf"), [(XIAN80, 6378140, 298.257), (BEIJING54, 6378245, 298.3)])
def test_seven_parameters_do_what_the_textbook_says(datum, a, rf):
    rx, ry, rz = (math.radians(SEVEN[f"r{axis}_arcsec"] / 3600) for axis in "xyz")
    turn = np.array([[1, -rz, ry], [rz, 1, -rx], [-ry, rx, 1]])
    before = geocentric(113.2, 37.9, a, rf)
    after = [SEVEN[f"d{axis}_m"] for axis in "xyz"] + (1 + SEVEN["scale_ppm"] * 1e-6) * turn @ before
    there = moved(helmert(datum, SEVEN, convention="position_vector"), np.array([[113.2, 37.9]]))[0]
    assert there == pytest.approx(geographic(after, 6378137, 298.257222101), abs=1e-10)  # 0.01 mm


def test_four_parameters_turn_from_north_to_east():
    turn, scale = math.radians(FOUR["rotation_arcsec"] / 3600), 1 + FOUR["scale_ppm"] * 1e-6
    north = FOUR["north_m"] + scale * (SOUTH * math.cos(turn) - WEST * math.sin(turn))
    east = FOUR["east_m"] + scale * (SOUTH * math.sin(turn) + WEST * math.cos(turn))
    there = moved(planar(OLD, NEW, FOUR), np.array([[WEST, SOUTH]]))[0]
    assert there == pytest.approx((east, north), abs=1e-6)


def test_the_point_they_turn_about_stays():
    about = {"about_north_m": SOUTH, "about_east_m": WEST, "rotation_arcsec": 50.0, "scale_ppm": 80.0}
    there = moved(planar(OLD, NEW, about), np.array([[WEST, SOUTH]]))[0]
    assert there == pytest.approx((WEST, SOUTH), abs=1e-7)


# Laws.


@given(
    lon=st.floats(75, 135),
    lat=st.floats(18, 53),
    dx=st.floats(-150, 150),
    turn=st.floats(-3, 3),
    scale=st.floats(-10, 10),
)
def test_there_and_back_is_where_one_was(lon, lat, dx, turn, scale):
    values = {"dx_m": dx, "dy_m": -dx, "ry_arcsec": turn, "scale_ppm": scale}
    shift = helmert(BEIJING54, values, convention="coordinate_frame")
    here = np.array([[lon, lat]])
    # Back and forth both begin on their ellipsoid: what lies between in height costs up to a centimetre.
    assert moved(shift, moved(shift, here), back=True) == pytest.approx(here, abs=2e-7)


@given(north=st.floats(-100, 100), turn=st.floats(-3, 3), scale=st.floats(-10, 10))
def test_there_and_back_in_the_plane(north, turn, scale):
    shift = planar(OLD, NEW, {"north_m": north, "rotation_arcsec": turn, "scale_ppm": scale})
    here = np.array([[WEST, SOUTH], [WEST + 9e4, SOUTH - 9e4]])
    assert moved(shift, moved(shift, here), back=True) == pytest.approx(here, abs=1e-6)


@given(values=st.fixed_dictionaries({name: st.floats(-0.5, 0.5) for name in SEVEN if name[0] == "r"}))
def test_the_two_conventions_differ_only_in_the_sign_of_rotations(values):
    here = np.array([[113.0, 37.8]])
    opposite = {name: -value for name, value in values.items()}
    one = moved(helmert(XIAN80, values, convention="position_vector"), here)
    other = moved(helmert(XIAN80, opposite, convention="coordinate_frame"), here)
    assert one == pytest.approx(other, abs=1e-11)


# Layers.


def test_a_layer_comes_out_in_the_system_asked_for_with_its_columns():
    shift = helmert(XIAN80, SEVEN, convention="position_vector")
    before = field(parcel_code=["a"])
    after = convert(before, shift, CRS.from_epsg(4526))
    assert after.crs.to_epsg() == 4526
    assert after["parcel_code"].tolist() == ["a"]
    assert before.crs == OLD
    assert after.geometry.area.item() == pytest.approx(5000, rel=1e-4)


def test_a_layer_moves_as_its_corners_do():
    shift = helmert(XIAN80, SEVEN, convention="position_vector")
    lonlat = Transformer.from_crs(OLD, OLD.geodetic_crs, always_xy=True).transform(WEST, SOUTH)
    there = moved(shift, np.array([lonlat]))[0]
    corner = Transformer.from_crs(NEW.geodetic_crs, NEW, always_xy=True).transform(*there)
    west, south, _, _ = convert(field(), shift, NEW).total_bounds
    assert (west, south) == pytest.approx(corner, abs=1e-3)


def test_both_ways_agree_where_they_say_the_same():
    """Translation along the axes of space, and the plane parameters that follow from it at that place."""
    space = helmert(XIAN80, {"dx_m": 10.0, "dy_m": -90.0, "dz_m": 20.0})
    moved_by = convert(field(), space, NEW).total_bounds[:2] - field().total_bounds[:2]
    plane = planar(OLD, NEW, {"east_m": float(moved_by[0]), "north_m": float(moved_by[1])})
    assert convert(field(), plane).total_bounds == pytest.approx(
        convert(field(), space, NEW).total_bounds, abs=0.01
    )


def test_a_layer_in_degrees_or_another_zone_form_is_moved_alike():
    shift = planar(OLD, NEW, FOUR)
    straight = convert(field(), shift, NEW)
    for epsg in (4610, 2362):
        there = convert(field().to_crs(epsg), shift, NEW)
        assert there.geometry.item().equals_exact(straight.geometry.item(), 1e-5)


def test_a_system_known_only_by_its_esri_name_is_moved_too():
    named = CRS.from_wkt(OLD.to_wkt("WKT1_ESRI"))
    there = convert(field(crs=named), planar(OLD, NEW, FOUR), NEW)
    assert there.total_bounds == pytest.approx(convert(field(), planar(OLD, NEW, FOUR)).total_bounds)


def test_missing_and_empty_geometry_stay_so_and_holes_move_along():
    ring = Polygon(
        box(WEST, SOUTH, WEST + 90, SOUTH + 90).exterior,
        [box(WEST + 30, SOUTH + 30, WEST + 60, SOUTH + 60).exterior],
    )
    shapes = layer(None, Polygon(), MultiPolygon([ring]), crs=OLD)
    out = convert(shapes, planar(OLD, NEW, FOUR)).geometry
    assert out.iloc[0] is None
    assert out.iloc[1].is_empty
    assert len(out.iloc[2].geoms[0].interiors) == 1
    assert out.iloc[2].area == pytest.approx(8100 - 900, rel=1e-4)


def test_a_layer_with_nothing_drawn_changes_only_its_system():
    assert convert(layer(None, crs=OLD), planar(OLD, NEW, FOUR), NEW).crs == NEW


def test_one_stray_vertex_does_not_make_parameters_implausible():
    rows = [box(WEST + 100 * i, SOUTH, WEST + 100 * i + 90, SOUTH + 90) for i in range(100)]
    shapes = layer(*rows, Point(0, 0).buffer(1), crs=OLD)
    assert len(convert(shapes, planar(OLD, NEW, FOUR))) == 101


# Refusals.


def test_rotations_without_convention_are_refused():
    with pytest.raises(InputError, match=r"position_vector.*coordinate_frame"):
        helmert(XIAN80, SEVEN)


def test_translations_and_scale_need_no_convention():
    assert helmert(XIAN80, {"dx_m": 1.0, "scale_ppm": 2.0}).convention is None


def test_a_parameter_of_another_name_is_refused():
    with pytest.raises(InputError, match=r"rotation_deg；可写的有 north_m"):
        planar(OLD, NEW, {"rotation_deg": 0.1})


def test_a_datum_nobody_knows_is_refused():
    with pytest.raises(MissingDatumError, match="新京一九四一"):
        helmert("新京一九四一", {})
    with pytest.raises(MismatchError, match="已是 CGCS2000"):
        helmert(CGCS2000, {})


def test_plane_parameters_do_not_cross_zones():
    with pytest.raises(MismatchError, match=r"114°.*111°.*不在同一带"):
        planar(OLD, gauss_kruger(CGCS2000, 37, prefixed=False), FOUR)


@pytest.mark.parametrize("crs", [CRS.from_epsg(4610), CRS.from_epsg(3857)])
def test_plane_parameters_need_gauss_kruger(crs):
    with pytest.raises(InputError, match="不是"):
        planar(crs, NEW, FOUR)


def test_plane_parameters_lead_from_an_old_datum_to_cgcs2000():
    with pytest.raises(InputError, match="目标坐标系应为 CGCS2000"):
        planar(OLD, gauss_kruger(BEIJING54, 38, prefixed=False), FOUR)
    with pytest.raises(MismatchError, match="已是 CGCS2000"):
        planar(NEW, NEW, FOUR)


def test_a_layer_of_another_datum_is_refused():
    with pytest.raises(MismatchError, match=r"图层的基准是北京54.*西安80"):
        convert(field(crs=gauss_kruger(BEIJING54, 38, prefixed=False)), planar(OLD, NEW, FOUR))
    with pytest.raises(MissingDatumError):
        convert(field(crs=None), planar(OLD, NEW, FOUR))
    with pytest.raises(MismatchError, match="不通向"):
        convert(field(), planar(OLD, NEW, FOUR), gauss_kruger(BEIJING54, 38, prefixed=False))


def test_a_rotation_of_the_wrong_convention_is_named():
    # Rotations and translations of a fitted set largely cancel; taken the wrong way they add up.
    values = {
        "dx_m": 190.0,
        "dy_m": 119.0,
        "dz_m": -46.0,
        "rx_arcsec": 8.0,
        "ry_arcsec": -12.0,
        "rz_arcsec": 2.0,
    }
    fits = {
        c: displacement(helmert(XIAN80, values, convention=c), DEGREES)
        for c in ("position_vector", "coordinate_frame")
    }
    right, wrong = sorted(fits, key=fits.get)
    assert fits[right] < 300 < fits[wrong]
    lands = layer(box(112.9, 37.7, 113.3, 38.0), crs=4610)
    with pytest.raises(
        MismatchError, match=f"不会超过 300 m；旋转符号约定疑似写反：若 convention 为 {right}"
    ):
        convert(lands, helmert(XIAN80, values, convention=wrong))


def test_a_scale_that_is_no_ppm_is_named():
    with pytest.raises(MismatchError, match="尺度疑似不是 ppm"):
        convert(field(), planar(OLD, NEW, FOUR | {"scale_ppm": 1_000_003.0}))


def test_a_shift_to_nowhere_is_refused():
    with pytest.raises(MismatchError, match=r"投影之外，而西安80与 CGCS2000 相差不会超过 300 m；请核对带号"):
        convert(field(), planar(OLD, NEW, {"north_m": 30.0, "east_m": 38_000_095.0}))


@given(far=st.floats(1, 250))
def test_displacement_is_the_length_of_the_way(far):
    shift = planar(OLD, gauss_kruger(CGCS2000, 38, prefixed=False), {"north_m": far})
    # 西安80's ellipsoid is 3 m larger, which longitude and latitude kept do not see
    assert displacement(shift, PLACE) == pytest.approx(far, abs=4)


# Accuracy.


def test_given_parameters_have_the_accuracy_their_giver_states():
    shift = helmert(XIAN80, {"dx_m": 1.0}, accuracy_m=0.5, provenance="省测绘院 2012 年提供")
    assert accuracy_over(shift, DEGREES) == 0.5
    assert described(shift) == "三参数，省测绘院 2012 年提供，点位精度 ±0.50 m"
    assert "精度未注明" in described(helmert(XIAN80, {"dx_m": 1.0}))


def test_fitted_parameters_are_less_exact_far_from_their_points():
    support = Support(count=6, north_m=SOUTH, east_m=WEST, moment_m2=6e8, sigma_m=0.05)
    values = planar(OLD, NEW, FOUR)
    shift = type(values)(
        **{
            name: getattr(values, name)
            for name in ("source", "target", "kind", "parameters", "pipeline", "provenance")
        },
        accuracy_m=0.08,
        residuals=pd.DataFrame({"outlier": [False] * 6}),
        rms_m=0.04,
        support=support,
    )
    at = (WEST, SOUTH, WEST, SOUTH)
    away = (WEST, SOUTH, WEST, SOUTH + 1e5)
    assert accuracy_over(shift, at) == pytest.approx(0.05 * math.sqrt(2 * (1 + 1 / 6)))
    assert accuracy_over(shift, away) == pytest.approx(0.05 * math.sqrt(2 * (1 + 1 / 6 + 1e10 / 6e8)))
    whole = gpd.GeoDataFrame(geometry=[box(WEST, SOUTH, WEST, SOUTH + 1e5)], crs=OLD)
    assert f"±{accuracy_over(shift, away):.2f} m" in described(shift, over=whole)


def test_a_system_has_its_counterpart_on_another_datum():
    for old, new in ((2362, 4526), (2383, 4547), (4610, 4490), (2333, 4497)):
        assert systems.counterpart(CRS.from_epsg(old), CGCS2000).to_epsg() == new
    with pytest.raises(MissingDatumError, match="没有对应"):
        systems.counterpart(CRS.from_epsg(3857), CGCS2000)
