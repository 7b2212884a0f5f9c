"""Shifted counties through the whole main job, and real villages shifted on purpose."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from shapely import Polygon

from benchmarks.accuracy import scores
from geo import workspace
from geo.errors import ShiftError
from geo.exchange.shift_file import read_shifts, write_shifts
from geo.movement import Movement
from geo.reconcile import Settings, reconcile
from geo.reconcile.align import AlignSettings, movement_of
from geo.reconcile.match import match
from geo.sample.noise import digitised
from tests.geo.reconcile.askew import off, turned, village_codes


def run(county, parcels, **align):
    return reconcile(
        county.survey,
        parcels,
        villages=county.villages,
        baseline=county.baseline,
        rights=county.rights,
        issuers=county.issuers,
        settings=Settings(align=AlignSettings(**align), jobs=1),
    )


def scattered(county, metres):
    """Parcels with each village shifted by so much, each its own way."""
    codes = village_codes(county)
    shapes = np.asarray(county.parcels.geometry.array).copy()
    for number, code in enumerate(sorted(codes.unique())):
        angle = 2.0 + 1.7 * number
        shift = (metres * np.cos(angle), metres * np.sin(angle))
        mine = codes.eq(code).to_numpy(dtype=bool)
        shapes[mine] = shapely.transform(shapes[mine], Movement(dx_m=shift[0], dy_m=shift[1]))
    return county.parcels.set_geometry(gpd.GeoSeries(shapes, crs=county.parcels.crs))


def block_f1(county, result):
    return scores(result.pieces[result.pieces["piece_shape"] == "BLOCK"], county.truth_pieces)["f1"]


@pytest.fixture(scope="module")
def unshifted(laid_county):
    return block_f1(laid_county, run(laid_county, laid_county.parcels, mode="none"))


@pytest.fixture(scope="module")
def five(laid_county):
    return run(laid_county, scattered(laid_county, 5.0))


def test_a_county_that_lies_right_comes_out_as_without_alignment(laid_county):
    one, other = run(laid_county, laid_county.parcels), run(laid_county, laid_county.parcels, mode="none")
    pd.testing.assert_frame_equal(one.pieces, other.pieces)
    assert not len(one.parcels_original)


@pytest.mark.parametrize("metres", [1.5, 60.0])
def test_blocks_of_a_shifted_county_are_those_of_the_unshifted_one(laid_county, unshifted, metres):
    result = run(laid_county, scattered(laid_county, metres), accept_far=True)
    assert block_f1(laid_county, result) > unshifted - 0.01


def test_blocks_survive_5_m_that_would_harm_them_without_alignment(laid_county, unshifted, five):
    assert block_f1(laid_county, five) > unshifted - 0.01
    plain = run(laid_county, scattered(laid_county, 5.0), mode="none")
    assert block_f1(laid_county, plain) < unshifted - 0.015


def test_areas_balance_after_alignment(five):
    def cents(values):
        return (values * 100).round().astype(int)

    parts = five.balance[["covered_m2", "block_m2", "strip_m2", "sliver_m2"]]
    assert cents(five.balance["farmland_m2"]).equals(cents(parts).sum(axis=1))
    left = cents(five.pieces["area_m2"]).groupby(five.pieces["patch_code"]).sum()
    patches = five.patches[five.patches["patch_kind"] == "COLLECTIVE"].set_index("patch_code")
    left = left.reindex(patches.index, fill_value=0)
    assert (cents(patches["covered_area_m2"]) + left).equals(cents(patches["patch_area_m2"]))


def test_both_villages_are_among_the_findings_with_direction_and_metres(five):
    said = five.findings[five.findings["rule"] == "shift_large"]
    assert (said["severity"] == "warning").all()
    assert said["message"].str.contains(r"确权地块整体偏[东南西北偏]+ [45]\.\d\d m").tolist() == [True, True]
    assert said["message"].str.contains("已改正.*：东移").all()


def test_the_workspace_keeps_where_parcels_lay_and_by_what_they_were_moved(five, tmp_path):
    workspace.write(tmp_path / "county.gpkg", five.tables(), crs=five.parcels.crs)
    kept = workspace.open(tmp_path / "county.gpkg")
    shifts = kept.read("shifts").set_index("shift_key")
    parcels = kept.read("parcels").set_index("parcel_code")
    original = kept.read("parcels_original")
    assert len(original) == len(parcels)
    for key, rows in original.groupby("shift_key"):
        traced = shapely.transform(rows.geometry.to_numpy(), movement_of(shifts.loc[key]))
        here = parcels.loc[rows["parcel_code"]]
        assert (here["shift_key"] == key).all()
        assert (shapely.to_wkb(traced) == shapely.to_wkb(here.geometry.to_numpy())).all()


def test_twice_the_same_county_gives_the_same_bytes(laid_county, five, tmp_path):
    rng = np.random.default_rng(4)
    parcels = scattered(laid_county, 5.0)
    again = run(laid_county, parcels.iloc[rng.permutation(len(parcels))])
    for name, result in (("one", five), ("two", again)):
        workspace.write(tmp_path / f"{name}.gpkg", result.tables(), crs=result.parcels.crs)
    assert (tmp_path / "one.gpkg").read_bytes() == (tmp_path / "two.gpkg").read_bytes()


def test_the_table_of_shifts_handed_back_makes_the_same_map(laid_county, five, tmp_path):
    write_shifts(five.shifts, tmp_path / "shifts.csv")
    decided = read_shifts(tmp_path / "shifts.csv")
    again = run(laid_county, scattered(laid_county, 5.0), mode="none", given=decided)
    assert (again.shifts["confidence"] == "given").all()
    pd.testing.assert_frame_equal(again.parcels, five.parcels)
    pd.testing.assert_frame_equal(again.pieces, five.pieces)


def test_60_m_stop_the_main_job_until_someone_accepts_them(laid_county):
    with pytest.raises(ShiftError, match="2 个村（批次）的确权地块整体偏移超过 10 m"):
        run(laid_county, scattered(laid_county, 60.0))


def test_empty_and_missing_shapes_are_no_hindrance(laid_county):
    parcels = scattered(laid_county, 5.0)
    shapes = [Polygon(), None, *parcels.geometry.array[2:]]
    result = run(laid_county, parcels.set_geometry(gpd.GeoSeries(shapes, crs=parcels.crs)))
    assert result.shifts["accepted"].all()


# --- real villages


def test_shifted_swiss_villages_are_laid_back_to_30_cm(shared):
    rng = np.random.default_rng(17)
    for file in sorted((shared / "ch_solothurn_villages").glob("*.gpkg")):
        cover = gpd.read_file(file, layer="landcover")
        fields = np.asarray(cover[cover["art"].astype(str).str.contains("Acker")].geometry.array)
        parcels = np.asarray(gpd.read_file(file, layer="parcels").geometry.array)
        check(parcels, fields, rng)


def test_shifted_parcels_of_luxiol_are_laid_back_to_30_cm(shared):
    file = shared / "fr_cadastre_luxiol" / "luxiol.gpkg"
    parcels, parts = (
        np.asarray(gpd.read_file(file, layer=layer).geometry.array)
        for layer in ("parcels", "fiscal_subdivisions")
    )
    check(parcels, parts, np.random.default_rng(18))


def test_shifted_flemish_parcels_drawn_anew_are_laid_back_to_30_cm(shared):
    rng = np.random.default_rng(19)
    parcels = gpd.read_file(shared / "be_flanders_parcels" / "polygon-parcel.gpkg").geometry
    fields = np.asarray(parcels[~parcels.is_empty].explode().array)
    drawn = digitised(np.asarray([Polygon(field.exterior) for field in fields]), (0.2, 0.6), rng)
    check(drawn[rng.random(len(drawn)) < 0.8], fields, rng)


def check(parcels, onto, rng):
    """Three random movements, the last with a turn, are each undone to 0.3 m with confidence."""
    for degrees in (0.0, 0.0, 0.4):
        planted = turned(parcels, *rng.uniform(-100, 100, 2), degrees)
        got = match(shapely.transform(parcels, planted), onto)
        assert got.second_peak < 0.6
        assert off(parcels, got.movement, planted) < 0.3
