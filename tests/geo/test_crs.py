import geopandas as gpd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS
from shapely.geometry import Point, box

from geo import crs as systems
from geo.crs import BEIJING54, CGCS2000, XIAN80, gauss_kruger, infer
from geo.errors import MismatchError, MissingDatumError

SHOUYANG = (112.7, 37.6, 113.5, 38.1)  # degrees
PREFIXED = (38_429_000, 4_196_000, 38_430_000, 4_197_000)
BARE = (429_000, 4_196_000, 430_000, 4_197_000)


def turned(bounds):
    return bounds[1], bounds[0], bounds[3], bounds[2]


@pytest.mark.parametrize(
    ("datum", "zone", "prefixed", "code"),
    [
        (CGCS2000, 38, True, 4526),
        (CGCS2000, 38, False, 4547),
        (CGCS2000, 37, True, 4525),
        (CGCS2000, 19, True, 4497),
        (XIAN80, 38, True, 2362),
        (XIAN80, 38, False, 2383),
        (BEIJING54, 38, True, 2414),
        (BEIJING54, 37, False, 2434),
        (BEIJING54, 20, True, 21420),
    ],
)
def test_each_zone_has_its_epsg_code(datum, zone, prefixed, code):
    assert gauss_kruger(datum, zone, prefixed=prefixed).to_epsg() == code


@pytest.mark.parametrize("zone", [24, 46, 12])
def test_there_is_no_such_zone(zone):
    with pytest.raises(MissingDatumError, match="25-45"):
        gauss_kruger(CGCS2000, zone, prefixed=True)


def test_a_point_of_the_reference_falls_where_it_was_computed():
    # standards.md 4.2: 113.2 E, 37.9 N
    point = gpd.GeoSeries([Point(113.2, 37.9)], crs=4490).to_crs(systems.cgcs2000_zone(113.2))
    assert point.x.item() == pytest.approx(38_429_638.156, abs=0.001)
    assert point.y.item() == pytest.approx(4_196_700.225, abs=0.001)


@pytest.mark.parametrize(("lon", "zone"), [(112.49, 37), (112.5, 38), (115.49, 38), (115.5, 39)])
def test_a_zone_reaches_a_degree_and_a_half_to_each_side(lon, zone):
    assert systems.zone_at(lon) == zone
    assert systems.zone_of(systems.cgcs2000_zone(lon)) == zone


@given(code=st.sampled_from([*range(4513, 4555), *range(2349, 2391), *range(2401, 2443)]))
def test_a_system_is_known_by_its_numbers_without_its_code(code):
    named_by_esri = CRS.from_wkt(CRS.from_epsg(code).to_wkt("WKT1_ESRI").replace("EPSG", ""))
    assert systems.normal(named_by_esri).to_epsg() == code


def test_zone_and_meridian_are_read_from_a_system():
    assert systems.zone_of(CRS.from_epsg(4526)) == 38
    assert systems.zone_of(CRS.from_epsg(4547)) is None
    assert systems.central_meridian(CRS.from_epsg(4547)) == 114
    assert systems.central_meridian(CRS.from_epsg(4490)) is None


def test_a_file_that_says_what_its_coordinates_say_is_certain():
    guess = infer(PREFIXED, CRS.from_epsg(4526))
    assert (guess.crs.to_epsg(), guess.certain, guess.swapped) == (4526, True, False)


def test_without_prj_the_zone_prefix_tells():
    guess = infer(PREFIXED)
    assert (guess.crs.to_epsg(), guess.certain) == (4526, False)
    assert "带号 38" in guess.reason
    assert "CGCS2000" in guess.reason


def test_a_six_degree_prefix_is_told_from_a_three_degree_one():
    assert infer((19_638_000, 4_196_000, 19_639_000, 4_197_000)).crs.to_epsg() == 4497


def test_a_prj_of_the_meridian_form_does_not_stand_against_a_zone_prefix():
    guess = infer(PREFIXED, CRS.from_epsg(4547))
    assert (guess.crs.to_epsg(), guess.certain) == (4526, False)
    assert "CM 114E" in guess.reason


def test_a_prj_of_the_zone_form_does_not_stand_against_a_bare_easting():
    guess = infer(BARE, CRS.from_epsg(4526))
    assert (guess.crs.to_epsg(), guess.certain) == (4547, False)


def test_a_bare_easting_is_settled_by_where_the_county_lies():
    guess = infer(BARE, near=SHOUYANG)
    assert (guess.crs.to_epsg(), guess.certain) == (4547, False)


def test_a_prj_of_the_wrong_meridian_is_found_out_by_where_the_county_lies():
    guess = infer(BARE, CRS.from_epsg(4546), near=SHOUYANG)
    assert (guess.crs.to_epsg(), guess.certain) == (4547, False)
    assert "CM 111E" in guess.reason


def test_a_bare_easting_alone_is_not_guessed():
    with pytest.raises(MissingDatumError, match="中央经线无法判断"):
        infer(BARE)


def test_coordinates_that_are_nothing_known_are_not_guessed():
    with pytest.raises(MissingDatumError, match=r"没有 \.prj"):
        infer((0, 0, 100, 100))


def test_degrees_are_known_as_such():
    assert infer(SHOUYANG).crs.to_epsg() == 4490


def test_a_prj_in_metres_does_not_stand_against_degrees():
    guess = infer(SHOUYANG, CRS.from_epsg(4526))
    assert (guess.crs.to_epsg(), guess.certain) == (4490, False)


@pytest.mark.parametrize("bounds", [PREFIXED, SHOUYANG])
def test_swapped_axes_are_found(bounds):
    straight, swapped = infer(bounds), infer(turned(bounds))
    assert (straight.swapped, swapped.swapped) == (False, True)
    assert straight.crs == swapped.crs


def test_swapped_bare_eastings_are_found_where_the_county_lies():
    guess = infer(turned(BARE), near=SHOUYANG)
    assert (guess.crs.to_epsg(), guess.swapped) == (4547, True)


def test_the_datum_a_prj_names_stays_when_its_zone_form_is_wrong():
    assert infer(PREFIXED, CRS.from_epsg(2383)).crs.to_epsg() == 2362  # 西安80, CM form against zone prefix


def test_two_zones_in_one_layer_are_refused():
    with pytest.raises(MismatchError, match=r"\[37, 38\]"):
        infer((37_700_000, 4_196_000, 38_300_000, 4_197_000))


def test_a_foreign_system_is_left_alone():
    lambert = CRS.from_epsg(31370)
    guess = infer((150_000, 160_000, 151_000, 161_000), lambert)
    assert (guess.crs, guess.certain) == (lambert, True)


@pytest.mark.parametrize(
    ("code", "datum"), [(4490, CGCS2000), (4526, CGCS2000), (4610, XIAN80), (2362, XIAN80), (4214, BEIJING54)]
)
def test_a_datum_is_known(code, datum):
    assert systems.datum_of(CRS.from_epsg(code)) == datum


def test_wgs84_counts_as_cgcs2000_and_xian80_does_not():
    here = CRS.from_epsg(4490)
    assert systems.same_datum(here, CRS.from_epsg(4326))
    assert not systems.same_datum(here, CRS.from_epsg(4610))


def test_across_datums_longitude_and_latitude_are_kept():
    layer = gpd.GeoDataFrame(geometry=[Point(113.2, 37.9)], crs=4610).to_crs(2362)
    moved = systems.convert(layer, CRS.from_epsg(4526))
    assert moved.to_crs(4490).geometry.item().distance(Point(113.2, 37.9)) < 1e-9


def test_within_a_datum_coordinates_are_converted():
    layer = gpd.GeoDataFrame(geometry=[Point(38_429_638.156, 4_196_700.225)], crs=4526)
    assert systems.convert(layer, CRS.from_epsg(4547)).geometry.item().x == pytest.approx(
        429_638.156, abs=1e-6
    )


def test_a_stray_vertex_does_not_move_the_bounds():
    shapes = [box(38_429_000 + i, 4_196_000, 38_429_001 + i, 4_196_001) for i in range(200)]
    bounds = systems.robust_bounds(gpd.GeoSeries([*shapes, box(0, 0, 1, 1), None]))
    assert bounds[0] > 38_000_000
    assert infer(bounds).crs.to_epsg() == 4526


def test_a_layer_of_nothing_has_no_bounds():
    assert systems.robust_bounds(gpd.GeoSeries([None, None])) is None
