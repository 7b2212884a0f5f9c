"""Existing grids on land: who keeps what, what each norm costs, and grids drawn by hand with flaws."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from shapely.geometry import Point, box

from geo.errors import GeometryTypeError, GraphError, InputError, MismatchError
from geo.findings import joined
from geo.grids.adjust import adjust, norm_curve
from geo.grids.inherit import old_of_units
from geo.grids.outline import outline
from geo.grids.profiles import PROFILES, profile_of
from geo.grids.units import land_units
from tests.geo.grids.lands import X0, Y0, connected, grown, homes_at, land_of, points_in, village

NORM = PROFILES["rural20"]


def some_homes(count=60, seed=3):
    place = village()
    spots = points_in(place.geometry.iloc[0], count, seed)
    weights = np.random.default_rng(seed).integers(1, 7, count)
    return place, homes_at(spots, weights)


@pytest.fixture(scope="module")
def land():
    place, homes = some_homes()
    return land_of(place, homes)


@pytest.fixture(scope="module")
def old(land):
    return grown(land, 8, seed=4)


@pytest.fixture(scope="module")
def made(land, old):
    return adjust(land, old, profile=NORM, budget="fast")


def households(land, label, count):
    return np.bincount(label, weights=land.units["households"], minlength=count).astype(int)


def test_every_household_is_in_one_grid_of_the_norm(land, old, made):
    before = households(land, old, 8)
    assert ((before < NORM.lower) | (before > NORM.upper)).any()
    assert made.grids["households"].tolist() == households(land, made.labels, len(made.grids)).tolist()
    assert made.grids["households"].sum() == land.units["households"].sum()
    assert made.grids["in_band"].all()
    assert connected(land, made.labels)
    assert made.reasons == ()


def test_the_lineage_accounts_for_every_household(land, made):
    table = made.lineage
    assert table["households"].sum() == land.units["households"].sum()
    stays = made.grids["old"].to_numpy()[table["new"]] == table["old"].to_numpy()
    assert table.loc[~stays, "households"].sum() == made.moved == made.grids["moved_in"].sum()
    assert made.moved <= 1.1 * made.flow_moved + 1


def test_a_kept_grid_has_the_very_units_it_had(old, made):
    kept = made.grids[made.grids["change"] == "KEPT"]
    assert len(kept)
    for label, grid in kept["old"].items():
        assert np.array_equal(made.labels == label, old == grid)
    for label, grid in made.grids.loc[made.grids["change"] != "KEPT", "old"].items():
        assert not np.array_equal(made.labels == label, old == grid)


def test_a_kept_grid_has_the_same_bytes(land, old, made):
    place, _ = some_homes()
    before, after = (outline(land, labels, village=place) for labels in (old, made.labels))
    kept = made.grids[made.grids["change"] == "KEPT"]
    assert [after.geometry[k].wkb for k in kept.index] == [before.geometry[g].wkb for g in kept["old"]]


def test_labels_go_by_old_grid_and_new_grids_come_last(made):
    old_of = made.grids["old"].to_numpy()
    known = old_of[old_of >= 0]
    assert (np.diff(known) > 0).all()
    assert (old_of[: len(known)] >= 0).all()


def test_exclusive_land_is_no_part_of_it():
    place, homes = some_homes()
    land = land_of(place, homes, exclusive=[0, 30])
    old = grown(land, 8, seed=4)
    made = adjust(land, old, profile=NORM, budget="fast")
    special = made.grids[made.grids["is_exclusive"]]
    assert len(special) == 2
    assert sorted(np.flatnonzero(np.isin(made.labels, special.index))) == [0, 30]
    assert not special["in_band"].any()
    assert special.index.min() == len(made.grids) - 2
    assert made.moved == made.grids.loc[~made.grids["is_exclusive"], "moved_in"].sum()


def test_a_village_of_exclusive_land_alone_stays_as_it_is():
    place, homes = some_homes(4)
    made = adjust(land_of(place, homes, exclusive=range(4)), [3, 2, 1, 0], profile=NORM)
    assert made.labels.tolist() == [0, 1, 2, 3]
    assert made.grids["old"].tolist() == [3, 2, 1, 0]
    assert (made.moved, made.misses, made.reasons) == (0, 0, ())


def test_a_village_where_nobody_lives_is_one_grid_and_told_why():
    place, homes = some_homes(4)
    homes["households"] = 0
    made = adjust(land_of(place, homes), [0, 0, 1, 2], profile=NORM)
    assert made.labels.tolist() == [0, 0, 0, 0]
    assert (made.moved, made.misses) == (0, NORM.lower)
    assert [reason.kind for reason in made.reasons] == ["light_component"]


def test_a_price_is_the_dial_between_moving_the_fewest_and_drawing_anew(land, old, made):
    def metres(labels):
        away = 0.0
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            spots = land.centres[own]
            far = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1))
            away += (land.units["households"].to_numpy()[own] @ far).min()
        return away

    free = adjust(land, old, profile=NORM, budget="fast", moved_price=0.0)
    assert metres(free.labels) < metres(made.labels)
    assert free.moved > made.moved
    dear = adjust(land, old, profile=NORM, budget="fast", moved_price=1e6)
    assert dear.moved <= made.moved
    assert free.misses == dear.misses == 0


def test_a_norm_that_holds_already_costs_nothing_and_a_narrow_one_more(land, old):
    sizes = households(land, old, 8)
    wide = profile_of(f"{max(1, sizes.min())}-{sizes.max()}")
    table = norm_curve(land, old, [wide, NORM, profile_of("40-60")])
    assert table["moved"].tolist()[0] == 0
    assert table["kept"].tolist()[0] == 8
    assert table["moved"].is_monotonic_increasing
    counted = table[["kept", "shifted", "merged", "split", "new"]].sum(axis=1)
    assert counted.tolist() == table["grids"].tolist()
    assert (table["grids_before"] == 8).all()


def test_a_village_too_small_is_told_why():
    place, homes = some_homes(3)
    homes["households"] = [5, 4, 3]
    made = adjust(land_of(place, homes), [0, 1, 1], profile=NORM)
    assert made.misses == made.least_misses == 8
    assert [(reason.kind, reason.weight) for reason in made.reasons] == [("light_component", 12)]
    assert len(made.grids) == 1


@pytest.mark.parametrize("wrong", [[0] * 59, [-2] * 60, [0.5] * 60])
def test_old_grids_that_are_none_are_refused(land, wrong):
    with pytest.raises(GraphError, match="现有网格"):
        adjust(land, wrong, profile=NORM)


def test_a_budget_nobody_has_is_refused(land, old):
    with pytest.raises(InputError, match="fast、standard、best"):
        adjust(land, old, profile=NORM, budget="quick")


# --- which grid a unit lies in ---------------------------------------------------------------------------


def drawn(*shapes, codes=None, crs="EPSG:4526"):
    names = codes or [f"140725100201{k:03d}" for k in range(1, len(shapes) + 1)]
    return gpd.GeoDataFrame({"grid_code": names}, geometry=list(shapes), crs=crs)


def quarter(west, south, east, north):
    return box(X0 + west, Y0 + south, X0 + east, Y0 + north)


def rules_of(notes):
    return joined(notes)["rule"].tolist()


def test_units_of_land_cut_by_grids_lie_in_them_and_adjusting_keeps_the_land():
    place, homes = some_homes(40)
    grids = drawn(quarter(0, 0, 300, 800), quarter(300, 0, 620, 800), quarter(620, 0, 1000, 800))
    land = land_units(place, homes, cut_by=grids)
    old, notes = old_of_units(land, grids, homes=homes)
    inside = shapely.covers(
        shapely.buffer(grids.geometry.to_numpy()[old], 0.01), land.units.geometry.to_numpy()
    )
    assert inside.all()
    assert rules_of(notes) == []
    made = adjust(land, old, profile=NORM, budget="fast")
    tiles = outline(land, made.labels, village=place)
    assert shapely.area(tiles.geometry).sum() == pytest.approx(800_000, rel=1e-8)


def test_the_order_of_grids_and_homes_makes_no_difference():
    place, homes = some_homes(40)
    grids = drawn(quarter(0, 0, 320, 800), quarter(300, 0, 620, 800), quarter(650, 0, 1000, 800))
    turned = homes.iloc[::-1].reset_index(drop=True)
    one, other = land_units(place, homes, cut_by=grids), land_units(place, turned, cut_by=grids.iloc[::-1])
    old, _ = old_of_units(one, grids, homes=homes)
    back, _ = old_of_units(other, grids.iloc[[2, 0, 1]].reset_index(drop=True), homes=turned)
    # land in two grids goes by households; only a tie goes by row
    assert np.mean(np.array([2, 0, 1])[back] == old) >= 0.95


def test_land_in_no_grid_goes_to_the_grid_beside_it_and_is_told():
    place, homes = some_homes(40)
    grids = drawn(quarter(0, 0, 300, 800), quarter(300, 0, 600, 800))
    land = land_units(place, homes, cut_by=grids)
    old, notes = old_of_units(land, grids, homes=homes)
    east = land.centres[:, 0] > X0 + 600
    assert (old[east] == 1).all()
    assert set(rules_of(notes)) == {"grid_old_gap"}
    assert joined(notes)["geometry"].notna().all()


def test_land_in_two_grids_goes_to_the_one_with_its_homes_and_is_told():
    place, homes = some_homes(40)
    grids = drawn(quarter(0, 0, 600, 800), quarter(400, 0, 1000, 800))
    land = land_units(place, homes, cut_by=grids)
    old, notes = old_of_units(land, grids, homes=homes)
    assert set(old) == {0, 1}
    assert (old[land.centres[:, 0] < X0 + 390] == 0).all()
    assert (old[land.centres[:, 0] > X0 + 610] == 1).all()
    assert set(rules_of(notes)) == {"grid_old_overlap"}


def test_a_grid_of_several_rows_is_one_and_a_stray_grid_is_told():
    place, homes = some_homes(30)
    grids = drawn(
        quarter(0, 0, 500, 400), quarter(0, 400, 500, 800), quarter(500, 0, 1000, 800), quarter(5000, 0, 6000, 800),
        codes=["140725100201001", "140725100201001", "140725100201002", "140725100201009"],
    )  # fmt: skip
    land = land_units(place, homes, cut_by=grids)
    old, notes = old_of_units(land, grids, homes=homes)
    assert set(old) == {0, 2}
    told = joined(notes)
    assert told["rule"].tolist() == ["grid_old_elsewhere"]
    assert told["row_code"].tolist() == ["140725100201009"]


def test_micro_grids_are_left_out():
    place, homes = some_homes(30)
    grids = drawn(quarter(0, 0, 1000, 800), quarter(0, 0, 100, 100))
    grids["grid_kind"] = ["ORDINARY", "MICRO"]
    land = land_units(place, homes)
    old, notes = old_of_units(land, grids, homes=homes)
    assert set(old) == {0}
    assert rules_of(notes) == []


@pytest.mark.parametrize(
    ("grids", "error", "words"),
    [
        (drawn(), InputError, "没有现有网格"),
        (drawn(quarter(5000, 0, 6000, 800)), InputError, "没有一个落在"),
        (drawn(Point(X0, Y0)), GeometryTypeError, "第 1 行不是面"),
        (drawn(quarter(0, 0, 9, 9), crs="EPSG:4527"), MismatchError, "坐标系不同"),
    ],
)
def test_grids_that_cannot_be_used_are_refused(land, grids, error, words):
    with pytest.raises(error, match=words):
        old_of_units(land, grids)


def test_a_unit_without_homes_given_still_finds_its_grid(land):
    grids = drawn(quarter(0, 0, 500, 800), quarter(500, 0, 1000, 800))
    old, _ = old_of_units(land, grids)
    share = shapely.area(shapely.intersection(land.units.geometry.to_numpy(), grids.geometry.to_numpy()[old]))
    clear = share > 0.5 * shapely.area(land.units.geometry.to_numpy())
    assert pd.Series(clear).mean() > 0.8
