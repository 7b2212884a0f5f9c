"""Areas on the ellipsoid and the arithmetic of cents, against worked values, geodesics and censuses."""

import json
from decimal import ROUND_HALF_UP, Decimal

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import MultiPolygon, Point, Polygon, box

from geo.area import (
    apportion,
    ellipsoidal_area,
    from_cents,
    mu,
    net_area,
    strip_constants,
    to_cents,
)
from geo.errors import BalanceError, GeoError, GeometryTypeError, MissingDatumError

ZONE_38 = "EPSG:4526"  # CGCS2000, 3-degree Gauss-Krüger zone 38 with prefix, metres
CGCS2000 = "EPSG:4490"
LOCAL_GRID = (
    'ENGCRS["site grid",EDATUM["site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
)
X0, Y0 = 38_500_000, 4_196_000  # on the central meridian


def layer(*shapes, crs=ZONE_38):
    return gpd.GeoDataFrame(geometry=list(shapes), crs=crs)


def square(x, y, side=1000):
    return box(x, y, x + side, y + side)


L_SHAPE = Polygon(
    [
        (38429600, 4196700),
        (38429720, 4196700),
        (38429720, 4196760),
        (38429660, 4196760),
        (38429660, 4196840),
        (38429600, 4196840),
    ]
)
TRIANGLE = Polygon(
    [(38429600.1234, 4196700.5678), (38429655.4321, 4196711.1111), (38429610.9876, 4196766.6667)]
)


@pytest.mark.parametrize(
    ("shape", "area_m2"),
    [
        (square(38429000, 4196000), 999877.62),
        (L_SHAPE, 11998.54),
        (square(38500000, 4196000), 999999.99),
        (TRIANGLE, 1770.43),
    ],
)
def test_worked_polygons_come_out_to_the_cent(shape, area_m2):
    assert from_cents(to_cents(ellipsoidal_area(layer(shape)))).item() == area_m2


@pytest.mark.parametrize(
    ("south", "north", "width_deg", "area_m2"),
    [
        (Decimal(37) + Decimal(3225) / 3600, Decimal(37) + Decimal(3300) / 3600, 112.5 / 3600, 6355036.24),
        (37.875, 37 + 55 / 60, 225 / 3600, 25423682.53),
        (37, 38, 1, 9813951873.46),
        (36, 40, 6, 233930090079.01),
    ],
)
def test_map_sheets_have_their_theoretical_area(south, north, width_deg, area_m2):
    sheet = layer(box(111, float(south), 111 + width_deg, float(north)), crs=CGCS2000)
    assert from_cents(to_cents(ellipsoidal_area(sheet))).item() == area_m2


def test_constants_are_those_printed_for_cgcs2000():
    printed = (1.0033640898341927, 0.0011241893819271072, 1.6994594735188535e-06)
    constants = strip_constants(pyproj.CRS(CGCS2000).ellipsoid)
    assert constants[:3] == pytest.approx(printed, rel=1e-14)
    assert constants[3:] == pytest.approx((2.717857845577432e-09, 4.358419004834252e-12), rel=1e-12)


@pytest.mark.parametrize("crs", [ZONE_38, "EPSG:2362", "EPSG:32649", "EPSG:2415"])
def test_any_datum_is_measured_on_its_own_ellipsoid(crs):
    origin = {"EPSG:32649": (600_000, Y0), "EPSG:2415": (39_500_000, Y0)}.get(crs, (X0, Y0))
    shape = square(*origin, side=400)
    crs = pyproj.CRS(crs)
    assert ellipsoidal_area(layer(shape, crs=crs)).item() == pytest.approx(geodesic(shape, crs), abs=0.05)


def geodesic(shape, crs):
    dense = gpd.GeoSeries([shapely.segmentize(shape, 20)], crs=crs).to_crs(crs.geodetic_crs)
    ring = shapely.orient_polygons(dense.to_numpy()[0])
    return abs(pyproj.CRS(crs).get_geod().geometry_area_perimeter(ring)[0])


@given(
    corners=st.lists(st.tuples(st.floats(-600, 600), st.floats(-600, 600)), min_size=3, max_size=12),
    east=st.floats(-1.3e5, 1.3e5),
    north=st.floats(2.2e6, 5.2e6),
)
def test_it_agrees_with_geodesic_area_of_the_densified_line(corners, east, north):
    shape = shapely.convex_hull(shapely.multipoints(np.array(corners) + np.array([X0 + east, north])))
    if shape.geom_type != "Polygon" or shape.area < 1:
        return
    crs = pyproj.CRS(ZONE_38)
    # Points are rounded to 0.0001 m in the plane and 0.00003 m on the ellipsoid: less than 0.0001 m in all.
    assert ellipsoidal_area(layer(shape)).item() == pytest.approx(
        geodesic(shape, crs), abs=1e-4 * shape.length + 1e-3, rel=1e-9
    )


@given(width=st.floats(10, 900), at=st.floats(0.1, 0.9), east=st.floats(-1e5, 1e5))
def test_the_parts_of_a_divided_parcel_add_up_to_it(width, at, east):
    left, cut, right = X0 + east, X0 + east + at * width, X0 + east + width
    whole = layer(box(left, Y0, right, Y0 + 100))
    halves = layer(box(left, Y0, cut, Y0 + 100), box(cut, Y0, right, Y0 + 100))
    assert ellipsoidal_area(halves).sum() == pytest.approx(ellipsoidal_area(whole).sum(), abs=0.03)


@pytest.mark.parametrize("turn", [1, -1])
def test_a_pond_is_taken_out_whichever_way_its_ring_runs(turn):
    shell = [(0, 0), (100, 0), (100, 100), (0, 100)]
    pond = [(20, 20), (20, 50), (50, 50), (50, 20)][::turn]
    field = shapely.transform(Polygon(shell, [pond]), lambda xy: xy + np.array([X0, Y0]))
    assert ellipsoidal_area(layer(field)).item() == pytest.approx(10_000 - 900, abs=0.01)


def test_a_hole_in_a_second_part_is_taken_out_of_the_whole():
    ring = box(X0 + 200, Y0, X0 + 300, Y0 + 100) - box(X0 + 220, Y0 + 20, X0 + 230, Y0 + 30)
    both = MultiPolygon([box(X0, Y0, X0 + 100, Y0 + 100), ring])
    assert ellipsoidal_area(layer(both, box(X0, Y0, X0 + 10, Y0 + 10))).to_numpy() == pytest.approx(
        [19_900, 100], abs=0.02
    )


def test_a_large_layer_in_many_chunks_is_the_same_as_one_by_one(monkeypatch):
    monkeypatch.setattr("geo.area._CHUNK_VERTICES", 64)
    rng = np.random.default_rng(5)
    shapes = [square(X0 + x, Y0 + y, side) for x, y, side in rng.uniform(1, 3000, (60, 3))]
    together = ellipsoidal_area(layer(*shapes))
    apart = [ellipsoidal_area(layer(shape)).item() for shape in shapes]
    assert together.tolist() == apart


def test_empty_has_no_area_missing_has_none_and_the_index_stays():
    field = gpd.GeoDataFrame(
        geometry=[None, Polygon(), square(X0, Y0, 10)], crs=ZONE_38, index=["a", "b", "c"]
    )
    area = ellipsoidal_area(field)
    assert area.name == "area_m2"
    assert np.isnan(area["a"])
    assert area["b"] == 0
    assert area["c"] == pytest.approx(100, abs=0.001)


def test_a_layer_without_rows_has_no_areas():
    assert ellipsoidal_area(layer()).empty


def test_height_does_not_matter():
    flat = square(X0, Y0, 100)
    assert (
        ellipsoidal_area(layer(shapely.force_3d(flat, 900.0))).item() == ellipsoidal_area(layer(flat)).item()
    )


@pytest.mark.parametrize("crs", [None, LOCAL_GRID])
def test_a_layer_without_datum_is_refused(crs):
    with pytest.raises(MissingDatumError, match="大地基准"):
        ellipsoidal_area(layer(box(0, 0, 1, 1), crs=crs))


def test_a_point_is_refused_by_its_row():
    points = gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1), Point(0, 0)], crs=ZONE_38, index=["A", "B"])
    with pytest.raises(GeometryTypeError, match="'B'"):
        ellipsoidal_area(points)


def test_a_house_lot_has_its_published_geodesic_area(shared):
    # Of the published polygons only the house lot is small enough that a geodesic edge
    # and a straight line in latitude and longitude enclose the same land: along one
    # degree of a parallel the two lie some 100 m apart.
    published = json.loads((shared / "ellipsoid_area_basic" / "polygons.json").read_text())
    lot = next(entry for entry in published if entry["name"].startswith("Medford"))
    shape = Polygon([(lon, lat) for lat, lon in lot["latlon"]])
    area = ellipsoidal_area(layer(shape, crs="EPSG:4326")).item()
    assert area == pytest.approx(lot["area_m2"], abs=lot["tol_m2"])


def test_iowa_counties_have_their_official_area_and_the_four_cut_off_ones_stand_out(shared):
    counties = gpd.read_file(f"zip://{shared}/partition_iowa_counties/IA_counties.zip").set_index("NAME10")
    official = counties["ALAND10"].astype(float) + counties["AWATER10"].astype(float)
    off = (ellipsoidal_area(counties) / official - 1).abs()
    cut_off = {"Plymouth", "Woodbury", "Pottawattamie", "Kossuth"}  # land area stored in 32 bits
    # Official areas run along geodesics, ours along straight lines in latitude and longitude:
    # on borders with edges of kilometres that is 3.5e-7 at most; planar areas are off by 1e-4 and more.
    assert off.drop(index=list(cut_off)).max() < 5e-7
    assert set(off[off > 5e-7].index) == cut_off


def test_mu_is_exact_and_half_up():
    assert mu([4000.00, 706180.66, 3333.33, 10.0, 3.33, np.nan]).tolist()[:5] == [
        6.0,
        1059.27,
        5.0,
        0.02,
        0.0,
    ]
    assert np.isnan(mu(np.nan))


@given(st.integers(0, 10**13))
def test_cents_survive_the_round_trip(cents):
    assert to_cents(from_cents(cents)) == cents


@given(st.decimals(0, 10**7, places=3))
def test_half_a_cent_goes_up_as_decimals_do(area):
    expected = int((area * 100).quantize(Decimal(1), ROUND_HALF_UP))
    assert to_cents(float(area)) == expected


def test_a_missing_area_has_no_cents():
    with pytest.raises(GeoError, match="空值"):
        to_cents([1.0, np.nan])


def test_net_area_of_4000_at_0_0680_is_3728():
    assert net_area(4000.00, 0.0680) == 3728.00


def test_net_areas_of_the_worked_split():
    assert net_area([6000.10, 3000.05, 999.85], 0.0680).tolist() == [5592.09, 2796.05, 931.86]


@given(st.integers(0, 10**11), st.integers(0, 10_000))
def test_net_area_is_the_rulebooks_to_the_cent(cents, ten_thousandths):
    area, ratio = Decimal(cents) / 100, Decimal(ten_thousandths) / 10_000
    ridges = (area * ratio).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert net_area(float(area), float(ratio)).item() == float(area - ridges)


def test_a_missing_ratio_means_no_ridges_and_one_over_1_is_refused():
    assert net_area([100.0], [np.nan]).tolist() == [100.0]
    with pytest.raises(GeoError, match="扣除系数"):
        net_area([100.0], [6.8])


def test_shares_of_a_patch_are_scaled_to_its_official_area():
    assert apportion([6000, 4000], [0, 0], [10004.29]).tolist() == [6002.57, 4001.72]
    assert apportion([6000, 4000], [0, 0], [10000.00]).tolist() == [6000.00, 4000.00]


def test_the_last_cent_goes_to_the_largest_remainder_and_equal_ones_in_order():
    assert apportion([1, 1, 1], [0, 0, 0], [0.05]).tolist() == [0.02, 0.02, 0.01]
    assert apportion([1, 6, 1], [0, 0, 0], [0.10]).tolist() == [0.01, 0.08, 0.01]


def test_owners_may_be_mixed_and_may_have_nothing():
    parts = apportion([3, 10, 1, 0], [0, 2, 0, 0], [4.00, 0.0, 7.77])
    assert parts.tolist() == [3.00, 7.77, 1.00, 0.00]


def test_parts_without_size_share_alike():
    assert apportion([0, 0], [0, 0], [0.03]).tolist() == [0.02, 0.01]


def test_a_total_that_no_part_carries_is_refused():
    with pytest.raises(BalanceError):
        apportion([1.0], [0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("raw", "owner", "totals"), [([-1.0], [0], [1]), ([np.nan], [0], [1]), ([1.0], [1], [1])]
)
def test_senseless_parts_are_refused(raw, owner, totals):
    with pytest.raises(GeoError):
        apportion(raw, owner, totals)


PATCHES = st.lists(
    st.tuples(st.integers(0, 10**9), st.lists(st.floats(0, 1e7), min_size=1, max_size=8)),
    min_size=1,
    max_size=8,
)


@given(PATCHES, st.randoms(use_true_random=False))
def test_parts_add_up_to_the_cent_and_none_is_a_cent_off_its_share(patches, random):
    owner = np.repeat(np.arange(len(patches)), [len(sizes) for _, sizes in patches])
    raw = np.concatenate([sizes for _, sizes in patches])
    total = np.array([cents for cents, _ in patches])
    mixed = random.sample(range(len(raw)), len(raw))
    parts = np.empty(len(raw), dtype=np.int64)
    parts[mixed] = to_cents(apportion(raw[mixed], owner[mixed], from_cents(total)))
    assert np.array_equal(np.bincount(owner, parts, len(patches)).astype(np.int64), total)
    whole = np.bincount(owner, raw, len(patches))[owner]
    known = whole > 0
    share = raw[known] / whole[known] * total[owner][known]
    assert (np.abs(parts[known] - share) < 1 + 1e-6).all()
