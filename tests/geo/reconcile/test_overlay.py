"""What parcels leave of patches: hand-worked cases, laws, and answers others published."""

import json
import xml.etree.ElementTree as ET

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import MultiPolygon, Point, Polygon, box
from shapely.errors import GEOSException

from geo.area import apportion
from geo.errors import BalanceError, GeometryTypeError, MismatchError
from geo.reconcile import overlay as module
from geo.reconcile.overlay import OverlaySettings, overlay, pairs
from geo.topology import repair

PLANE = "EPSG:4547"
X0, Y0 = 430_000, 4_196_000


def layer(*shapes, crs=PLANE):
    return gpd.GeoDataFrame(geometry=list(shapes), crs=crs)


def field(west, south, east, north):
    return box(X0 + west, Y0 + south, X0 + east, Y0 + north)


HECTARE = field(0, 0, 100, 100)


def areas(result):
    return result.patches[["covered_planar_m2", "residual_planar_m2"]].to_numpy().tolist()


def test_a_parcel_over_60_of_100_metres_leaves_4000_m2():
    result = overlay(layer(HECTARE), layer(field(0, 0, 60, 100)))
    assert areas(result) == [[6000.0, 4000.0]]
    assert result.pieces.geometry.item().equals(field(60, 0, 100, 100))


def test_its_shares_are_scaled_to_the_official_area():
    shares = areas(overlay(layer(HECTARE), layer(field(0, 0, 60, 100))))[0]
    assert apportion(shares, [0, 0], [10004.29]).tolist() == [6002.57, 4001.72]


def test_parcels_that_overlap_cover_once():
    left, right = field(0, 0, 50, 100), field(47, 0, 80, 100)
    assert areas(overlay(layer(HECTARE), layer(left, right))) == [[8000.0, 2000.0]]


def test_the_same_parcel_twice_covers_once():
    parcel = field(0, 0, 60, 100)
    assert areas(overlay(layer(HECTARE), layer(parcel, parcel))) == [[6000.0, 4000.0]]


def test_land_kept_inside_a_ring_of_parcels_is_found_again():
    ring = field(10, 10, 90, 90) - field(40, 40, 60, 60)
    result = overlay(layer(HECTARE), layer(ring))
    assert areas(result) == [[6000.0, 4000.0]]
    assert sorted(result.pieces["planar_area_m2"]) == [400.0, 3600.0]


def test_an_island_of_a_patch_in_the_hole_of_its_own_residual_stays():
    pond = HECTARE - field(20, 20, 80, 80)
    patch = MultiPolygon([pond, field(40, 40, 60, 60)])
    result = overlay(layer(patch), layer(field(0, 0, 10, 100)))
    assert areas(result) == [[1000.0, 5800.0]]
    assert len(result.pieces) == 2


def test_a_parcel_that_only_touches_takes_nothing():
    result = overlay(layer(HECTARE), layer(field(100, 0, 200, 100)))
    assert areas(result) == [[0.0, 10000.0]]
    assert result.patches["n_parcels"].tolist() == [1]


def test_a_patch_wholly_covered_leaves_no_piece():
    result = overlay(layer(HECTARE), layer(field(-10, -10, 55, 110), field(50, -10, 110, 110)))
    assert areas(result) == [[10000.0, 0.0]]
    assert result.pieces.empty


def test_a_patch_that_no_parcel_meets_is_its_own_piece():
    result = overlay(layer(HECTARE), layer(field(500, 0, 600, 100)))
    assert areas(result) == [[0.0, 10000.0]]
    assert result.pieces.geometry.item().equals(HECTARE)


def test_a_sliver_thinner_than_a_hair_is_kept():
    result = overlay(layer(HECTARE), layer(field(0, 0, 100 - 1e-8, 100)))
    assert result.pieces["planar_area_m2"].item() == pytest.approx(1e-6, rel=0.1)


def test_missing_and_empty_geometry_is_passed_over_and_rows_keep_their_place():
    patches = gpd.GeoDataFrame(geometry=[None, HECTARE, Polygon()], crs=PLANE, index=["a", "b", "c"])
    result = overlay(patches, layer(None, Polygon(), field(0, 0, 60, 100)))
    assert result.patches["residual_planar_m2"].to_dict() == {"a": 0.0, "b": 4000.0, "c": 0.0}
    assert result.pieces["patch_row"].tolist() == [1]
    assert result.pieces["patch_row"].dtype == "int64"


@pytest.mark.parametrize("no_parcels", [layer(), layer(None)])
def test_without_parcels_all_land_is_left(no_parcels):
    assert areas(overlay(layer(HECTARE), no_parcels)) == [[0.0, 10000.0]]


def test_without_patches_there_is_nothing():
    result = overlay(layer(), layer(HECTARE))
    assert result.pieces.empty
    assert result.patches.empty


def test_pieces_come_by_patch_then_from_west_to_east():
    patches = layer(field(200, 0, 300, 100), HECTARE)
    result = overlay(patches, layer(field(40, 0, 50, 100), field(240, 0, 250, 100)))
    assert result.pieces["patch_row"].tolist() == [0, 0, 1, 1]
    assert (result.pieces.bounds["minx"] - X0).tolist() == [200, 250, 0, 50]


def test_height_is_left_out():
    result = overlay(
        layer(shapely.force_3d(HECTARE, 900.0)), layer(shapely.force_3d(field(0, 0, 60, 100), 5.0))
    )
    assert not result.pieces.has_z.any()


def test_layers_of_different_systems_are_refused():
    with pytest.raises(MismatchError, match="坐标系"):
        overlay(layer(HECTARE), layer(HECTARE, crs="EPSG:4526"))


def test_a_point_among_patches_is_refused_by_its_row():
    with pytest.raises(GeometryTypeError, match=r"patches.*1"):
        overlay(layer(HECTARE, Point(0, 0)), layer(HECTARE))


def wobbly(seed, count, size):
    """Valid polygons of uneven rings that overlap at random."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    centre = rng.uniform(0, 300, (count, 1, 2)) + np.array([X0, Y0])
    reach = size * rng.uniform(0.6, 1.4, (count, 24, 1))
    return shapely.polygons(centre + reach * np.stack([np.cos(angle), np.sin(angle)], axis=1))


@given(seed=st.integers(0, 10_000), parcels=st.integers(0, 30))
def test_covered_and_residual_fill_the_patch_and_pieces_keep_clear_of_parcels(seed, parcels):
    patches, rights = layer(*wobbly(seed, 4, 60)), layer(*wobbly(seed + 1, parcels, 25))
    result = overlay(patches, rights)
    union = rights.union_all()
    covered = patches.intersection(union).area
    assert result.patches["covered_planar_m2"].to_numpy() == pytest.approx(covered.to_numpy(), abs=1e-3)
    assert np.bincount(result.pieces["patch_row"], result.pieces["planar_area_m2"], 4) == pytest.approx(
        result.patches["residual_planar_m2"].to_numpy(), abs=1e-6
    )
    assert result.pieces.intersection(union).area.sum() < 1e-3
    assert result.pieces.is_valid.all()
    assert (result.pieces.geom_type == "Polygon").all()


@given(seed=st.integers(0, 10_000), random=st.randoms(use_true_random=False), chunk=st.integers(1, 9))
def test_the_order_of_rows_chunks_and_threads_changes_no_byte(seed, random, chunk):
    patches, rights = layer(*wobbly(seed, 6, 60)), layer(*wobbly(seed + 1, 40, 25))
    straight = overlay(patches, rights, OverlaySettings(jobs=1))
    mixed, turned = random.sample(range(6), 6), random.sample(range(40), 40)
    again = overlay(patches.iloc[mixed], rights.iloc[turned], OverlaySettings(chunk=chunk, jobs=2))
    back = again.pieces.assign(patch_row=np.array(mixed)[again.pieces["patch_row"]])
    back = back.sort_values("patch_row", kind="stable")
    assert back["patch_row"].tolist() == straight.pieces["patch_row"].tolist()
    assert back.to_wkb()["geometry"].tolist() == straight.pieces.to_wkb()["geometry"].tolist()


def test_twins_that_differ_inside_only_are_ordered_by_their_bytes():
    first = Polygon([(0, 0), (10, 0), (10, 10), (4, 9), (0, 10)])
    second = Polygon([(0, 0), (10, 0), (10, 10), (6, 9), (0, 10)])
    ordered = module._in_canonical_order(np.array([first, second]))
    turned = module._in_canonical_order(np.array([second, first]))
    assert [shape.wkb for shape in ordered] == [shape.wkb for shape in turned]


@given(seed=st.integers(0, 10_000))
def test_a_parcel_cut_to_a_frame_is_the_same_land_inside_it(seed):
    shapes = np.concatenate(
        [wobbly(seed, 40, 40), [HECTARE - field(20, 20, 60, 60), MultiPolygon([HECTARE])]]
    )
    rng = np.random.default_rng(seed)
    low = rng.uniform(-50, 250, (len(shapes), 2)) + np.array([X0, Y0])
    frames = np.hstack([low, low + rng.uniform(1, 150, low.shape)])
    cuts = module._cut_to_frames(shapes, frames)
    assert shapely.is_valid(cuts).all()
    assert (shapely.get_num_coordinates(cuts) < shapely.get_num_coordinates(shapes)).any()
    inside = shapely.box(*frames.T)
    before, after = shapely.intersection(shapes, inside), shapely.intersection(cuts, inside)
    assert shapely.area(shapely.symmetric_difference(before, after)).max() < 1e-6


def test_a_horseshoe_that_a_cut_would_spoil_stays_whole():
    horseshoe = field(0, 0, 300, 100) - field(50, 20, 300, 80)
    [cut] = module._cut_to_frames(np.array([horseshoe]), np.array([[X0 + 100, Y0, X0 + 120, Y0 + 100]]))
    assert cut.equals(horseshoe)


def test_a_lost_island_is_caught_by_the_balance_and_found_by_the_other_route(monkeypatch):
    ring = field(10, 10, 90, 90) - field(40, 40, 60, 60)
    right = module._subtract

    def without_islands(*args):
        residual, covered = right(*args)
        return np.array([shapely.get_geometry(shape, 0) for shape in residual]), covered

    monkeypatch.setattr(module, "_subtract", without_islands)
    assert areas(overlay(layer(HECTARE), layer(ring))) == [[6000.0, 4000.0]]


def test_an_engine_that_gives_up_is_replaced_by_the_other_route(monkeypatch):
    def gives_up(*_):
        raise GEOSException("TopologyException: side location conflict")

    monkeypatch.setattr(module, "_subtract", gives_up)
    result = overlay(layer(HECTARE, field(300, 0, 400, 100)), layer(field(0, 0, 60, 100)))
    assert areas(result) == [[6000.0, 4000.0], [0.0, 10000.0]]


def test_a_balance_that_stays_off_stops_the_run_and_names_the_place(monkeypatch):
    monkeypatch.setattr(module, "_subtract", lambda land, *_: (land, np.zeros(len(land))))
    monkeypatch.setattr(shapely, "difference", lambda shape, *_args, **_kwargs: shape)
    monkeypatch.setattr(module, "_tolerance", lambda area: np.full(np.shape(area), -1.0))
    with pytest.raises(BalanceError, match=r"430000\.0, 4196000\.0"):
        overlay(layer(HECTARE), layer(field(0, 0, 60, 100)))


def test_a_pair_on_the_same_land_is_listed_with_300_m2():
    parcels = layer(field(0, 0, 50, 100), field(47, 0, 80, 100), field(80, 0, 90, 100), None)
    table = pairs(parcels)
    assert table.to_dict("list") == {"left": [0], "right": [1], "overlap_m2": [300.0]}


def test_pairs_are_those_of_every_two_parcels():
    shapes = wobbly(3, 40, 25)
    left, right = np.triu_indices(40, 1)
    shared = shapely.area(shapely.intersection(shapes[left], shapes[right]))
    table = pairs(layer(*shapes), min_area_m2=1.0)
    expected = pd.DataFrame({"left": left, "right": right, "overlap_m2": shared})[shared >= 1.0]
    assert len(expected) > 20
    pd.testing.assert_frame_equal(table, expected.reset_index(drop=True), check_dtype=False)


def test_no_parcels_make_no_pairs():
    assert pairs(layer()).empty


# What others published


@pytest.mark.parametrize("village", ["252400", "246300", "249800", "245600"])
def test_swiss_villages_have_their_unassigned_farmland(shared, village):
    folder = shared / "ch_solothurn_villages"
    expected = json.loads((folder / "expected.json").read_text())[village]
    cover = gpd.read_file(folder / f"{village}.gpkg", layer="landcover")
    parcels = gpd.read_file(folder / f"{village}.gpkg", layer="parcels")
    number = parcels["parcel_no"].astype(str).str.extract(r"(\d+)")[0].astype(int)
    result = overlay(cover[cover["art"] == expected["farmland_class"]], parcels[number % 2 == 1])
    total = result.patches[["residual_planar_m2", "covered_planar_m2"]].sum()
    for engine in ("geos", "clipper"):
        assert total["residual_planar_m2"] == pytest.approx(
            expected[f"unassigned_farmland_m2_{engine}"], abs=0.03
        )
        assert total["covered_planar_m2"] == pytest.approx(
            expected[f"assigned_farmland_m2_{engine}"], abs=0.03
        )


def test_swiss_parcels_of_one_survey_do_not_lie_on_each_other(shared):
    parcels = gpd.read_file(shared / "ch_solothurn_villages" / "252400.gpkg", layer="parcels")
    # Arcs stroked to 1 mm leave hairs along curved borders, never land.
    assert pairs(parcels, min_area_m2=0.2).empty


def test_a_french_commune_less_its_parcels_is_its_roads_and_rivers(shared):
    folder = shared / "fr_cadastre_luxiol"
    expected = json.loads((folder / "expected.json").read_text())
    sections = gpd.read_file(folder / "luxiol.gpkg", layer="sections")
    parcels = gpd.read_file(folder / "luxiol.gpkg", layer="parcels")
    left = overlay(sections, parcels).patches["residual_planar_m2"].sum()
    assert left == pytest.approx(expected["frame_minus_parcels_m2_geos"], abs=0.03)


def test_austrian_plots_overlap_in_thirteen_places(shared):
    plots = gpd.read_file(shared / "lpis_samples" / "at.gpkg")
    table = pairs(plots, min_area_m2=0.01)
    assert len(table) == 13
    assert table["overlap_m2"].sum() == pytest.approx(1.14, abs=0.005)


@pytest.mark.parametrize("early", [1996, 2012])
def test_two_vintages_of_land_cover_give_back_their_cross_table(shared, early):
    folder = shared / "nz_lcdb5_christchurch"
    land = gpd.read_file(folder / "lcdb5_chch.gpkg")
    table = pd.read_csv(folder / f"expected_cross_tab_{early}_2018.csv")
    table = table.set_index([f"Class_{early}", "Class_2018"])["a"]
    before = land.dissolve(f"Class_{early}").geometry.reset_index()
    after = land.dissolve("Class_2018").geometry.reset_index()
    for to in (30, 33):  # cropland; larger classes take their time
        found = overlay(before, after[after["Class_2018"] == to]).patches["covered_planar_m2"].to_numpy()
        expected = table.xs(to, level="Class_2018").reindex(before[f"Class_{early}"], fill_value=0.0)
        assert found == pytest.approx(expected.to_numpy(), abs=1.0)


def test_farmland_lost_between_two_vintages_is_what_the_attributes_say(shared):
    land = gpd.read_file(shared / "nz_lcdb5_christchurch" / "lcdb5_chch.gpkg")
    before = land.dissolve("Class_2012").geometry.reset_index()
    after = land.dissolve("Class_2018").geometry.reset_index()
    farmland = (30, 33, 40)
    old, new = before[before["Class_2012"].isin(farmland)], after[after["Class_2018"].isin(farmland)]
    result = overlay(old, new)
    assert result.patches["residual_planar_m2"].sum() == pytest.approx(10408170.42, abs=1.0)
    assert result.patches["planar_area_m2"].sum() == pytest.approx(418697931.37, abs=1.0)


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("polys_df1", "polys_df2", "polys_df1_df2-difference"),
        ("polys_df2", "polys_df1", "polys_df1_df2-difference-inverse"),
        ("overlap_df1_overlap", "overlap_df2_overlap", "overlap_df1_df2_overlap-difference"),
    ],
)
def test_what_is_left_is_what_geopandas_expects(shared, one, two, expected):
    folder = shared / "overlay_basic"
    patches = gpd.read_file(folder / f"{one}.geojson").set_crs(PLANE, allow_override=True)
    rights = gpd.read_file(folder / f"{two}.geojson").set_crs(PLANE, allow_override=True)
    shapes = gpd.read_file(folder / f"{expected}.geojson").geometry.to_numpy()
    result = overlay(patches, rights)
    left = result.pieces.dissolve("patch_row").geometry.to_numpy()
    wanted = shapely.union_all(shapes[:, None], axis=1)
    assert len(left) == len(wanted)
    apart = shapely.area(shapely.symmetric_difference(left[:, None], wanted[None, :]))
    assert apart.min(axis=0) == pytest.approx(0, abs=1e-12)  # each expected shape is one of ours


def jts_differences(path):
    for case in ET.parse(path).getroot().iter("case"):  # noqa: S314 - a test suite's own file
        shapes = {name.upper(): case.findtext(name) for name in ("a", "b")}
        if not all(text and "POLYGON" in text for text in shapes.values()):
            continue
        for op in case.iter("op"):
            if op.get("name") in ("difference", "differenceNG"):
                one, two = (shapely.from_wkt(shapes[op.get(arg).upper()].strip()) for arg in ("arg1", "arg2"))
                yield case.findtext("desc"), one, two, shapely.from_wkt(op.text.strip())


@pytest.mark.parametrize("name", ["TestNGOverlayA.xml", "TestOverlayAA.xml", "TestOverlayEmpty.xml"])
def test_differences_of_the_jts_suite_come_out_after_cleaning(shared, name):
    cases = list(jts_differences(shared / "overlay_xml_basic" / name))
    assert len(cases) >= 7
    for title, one, two, expected in cases:
        clean = repair(np.array([one, two]))
        result = overlay(layer(clean.fixed[0]), layer(clean.fixed[1]))
        left = shapely.union_all(result.pieces.geometry.to_numpy())
        assert left.area == pytest.approx(expected.area, abs=1e-6), title
        wanted = shapely.union_all(repair(np.array([expected])).fixed)
        assert shapely.hausdorff_distance(left, wanted) < 1e-6 if left.area else wanted.is_empty, title
