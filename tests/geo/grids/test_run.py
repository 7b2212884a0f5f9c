"""Grids of a whole county: nobody is lost, all land is there once, and every run says the same."""

from dataclasses import replace
from itertools import pairwise

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from geo.errors import InputError, MismatchError
from geo.grids import adjust_grids, partition, profile_of
from geo.grids.households import households
from geo.grids.outline import require_tiling
from tests.geo.grids.counties import (
    EAST,
    FAST,
    LOWER,
    MICRO,
    NORM,
    UPPER,
    again,
    bytes_of,
    drawn,
    homes,
    lines,
    ordinary,
    source,
    villages,
)
from tests.helpers import X0, Y0, ZONE_39, layer

QUICK = [Phase.explicit, Phase.reuse, Phase.generate]  # a whole run an example: to shrink one takes too long
OTHER = replace(FAST, profile=profile_of("10/14/20"))


def assert_whole(result, land, people):
    """All that holds of any grids of a county."""
    rows = result.households
    assert sorted(rows["household_key"]) == sorted(people["household_key"])
    assert rows["households"].sum() == people["households"].sum()
    held = rows[rows["village_code"].isin(result.villages)]
    plain = result.grids[result.grids["grid_kind"].ne("MICRO")]
    assert held["grid_code"].isin(plain["grid_code"]).all()
    assert held["grid_code"].str[:12].equals(held["village_code"])
    counted = (
        held.groupby("grid_code")["households"].agg(["sum", "size"]).reindex(plain["grid_code"]).fillna(0)
    )
    assert counted["sum"].tolist() == plain["households"].tolist()
    assert counted["size"].tolist() == plain["homes"].tolist()
    for code in result.villages:
        own = plain[plain["village_code"].eq(code)]
        shapes = land.loc[land["village_code"].eq(code)].geometry.to_numpy()
        require_tiling(own.geometry.to_numpy(), shapes)
        inside = held[held["village_code"].eq(code)]
        inside = inside[shapely.intersects(shapely.union_all(shapes), inside.geometry.to_numpy())]
        where = dict(zip(own["grid_code"], own.geometry, strict=True))
        apart = [where[g].distance(p) for g, p in zip(inside["grid_code"], inside.geometry, strict=True)]
        assert max(apart, default=0) < 1e-6, "a home lies in the grid it is in"


def test_every_household_is_in_one_ordinary_grid_and_the_grids_tile_their_villages():
    made = drawn()
    assert_whole(made, villages(), homes())
    assert made.villages == (UPPER, LOWER)
    assert set(made.grids["grid_kind"]) == {"ORDINARY"}


def test_all_grids_are_in_the_band_that_these_villages_allow():
    sizes = drawn().grids["households"]
    assert sizes.between(NORM.lower, NORM.upper).all()
    assert set(drawn().grids["balance"]) == {"IN_BAND"}


def test_a_village_tells_how_near_the_best_it_is():
    rows = drawn().grid_villages.set_index("village_code")
    assert rows["misses"].tolist() == [0, 0]
    assert (rows["bound_m"] <= rows["cost_m"]).all()
    assert rows["gap"].between(0, 0.2).all()
    assert rows["households"].sum() == homes()["households"].sum()


coordinate = st.integers(-60, 12_600).map(lambda value: value / 10)


@settings(max_examples=8, phases=QUICK)
@given(
    spots=st.lists(
        st.tuples(coordinate, st.integers(-50, 6_300).map(lambda v: v / 10)), min_size=1, max_size=40
    ),
    weights=st.lists(st.integers(0, 9), min_size=40, max_size=40),
    micro=st.booleans(),
    seed=st.integers(0, 3),
)
def test_nobody_is_lost_wherever_homes_lie(spots, weights, micro, seed):
    places = gpd.GeoDataFrame(
        {"households": weights[: len(spots)]},
        geometry=[shapely.Point(X0 + x, Y0 + y) for x, y in spots],
        crs=ZONE_39,
    )
    people = households(places, villages()).points
    made = partition(people, villages(), settings=replace(MICRO if micro else FAST, seed=seed), jobs=1)
    assert_whole(made, villages(), people)


@settings(max_examples=2, phases=QUICK)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_rows_changes_no_byte(seed):
    random = np.random.default_rng(seed)

    def mixed(table):
        return table.iloc[random.permutation(len(table))].reset_index(drop=True)

    people, land, ways = mixed(homes()), mixed(villages()), mixed(lines())
    made = partition(people, land, lines=ways, settings=MICRO, jobs=1)
    plain = [bytes_of(one).replace("\r", "") for one in (made, drawn(MICRO))]
    assert plain[0] == plain[1]


@pytest.mark.parametrize("norms", [FAST, MICRO], ids=["grids", "micro"])
def test_the_same_again_keeps_all_codes_and_adds_no_lineage(norms):
    first = drawn(norms)
    second = again(first, settings=norms)
    pairs = ["household_key", "grid_code", "micro_code"]
    pd.testing.assert_frame_equal(second.households[pairs], first.households[pairs])
    pd.testing.assert_frame_equal(second.grid_lineage, first.grid_lineage)
    assert set(second.grids["change"]) == {"KEPT"}
    assert bytes_of(again(second, settings=norms)) == bytes_of(second)


def codes_of(result):
    return set(result.grids["grid_code"])


@pytest.mark.parametrize("norms", [FAST, MICRO], ids=["grids", "micro"])
def test_a_code_once_given_out_never_means_other_homes(norms):
    other = replace(norms, profile=OTHER.profile)
    runs = [drawn(norms)]
    runs.append(again(runs[-1], settings=other))
    runs.append(adjust_grids(homes(), villages(), previous=runs[-1].tables(), settings=norms, jobs=1))
    runs.append(again(runs[-1], settings=norms))
    ever = codes_of(runs[0])
    for before, now in pairwise(runs):
        new = codes_of(now) - codes_of(before)
        assert new, "each of these runs draws something anew"
        assert not new & ever
        ever |= new
    past = runs[-1].grid_lineage
    assert ever <= {*past["old_code"].dropna(), *past["new_code"].dropna()}
    assert past["edition"].tolist() == sorted(past["edition"])


def test_lineage_accounts_for_every_household():
    made = again(drawn(), settings=OTHER)
    last = made.grid_lineage[made.grid_lineage["edition"].eq(2)]
    assert last["households"].sum() == homes()["households"].sum()
    sizes = drawn().grids.set_index("grid_code")["households"]
    assert last.groupby("old_code")["households"].sum().to_dict() == sizes.to_dict()


def test_micro_grids_lie_in_their_grid_with_its_homes():
    made = drawn(MICRO)
    micro = made.grids[made.grids["grid_kind"].eq("MICRO")]
    large = ordinary(made).set_index("grid_code")
    assert (micro["grid_code"].str[:15] == micro["parent_code"]).all()
    assert set(micro["parent_code"]) == set(large.index)
    for code, parts in micro.groupby("parent_code"):
        require_tiling(parts.geometry.to_numpy(), np.array([large.geometry[code]]))
        assert parts["households"].sum() == large.loc[code, "households"]
    rows = made.households
    assert (rows["micro_code"].str[:15] == rows["grid_code"]).all()
    sizes = rows.groupby("micro_code")["households"].sum()
    assert sizes.to_dict() == micro.set_index("grid_code")["households"].to_dict()


SITES = layer(
    shapely.box(X0 + 280, Y0 + 110, X0 + 350, Y0 + 200),
    shapely.box(EAST + 480, Y0 + 20, EAST + 560, Y0 + 90),
    name=["中学", "粮库"],
)


def test_exclusive_sites_are_grids_of_their_own_and_stay_so():
    made = partition(homes(), villages(), lines=lines(), exclusive=SITES, settings=MICRO, jobs=1)
    assert_whole(made, villages(), homes())
    sites = made.grids[made.grids["grid_kind"].eq("EXCLUSIVE")]
    assert sorted(sites["grid_name"]) == ["中学", "粮库"]
    assert sites["balance"].isna().all() or sites["balance"].eq("").all()
    assert sites.geometry.area.sum() == pytest.approx(SITES.geometry.area.sum(), rel=1e-3)
    (bare,) = sites.loc[sites["homes"].eq(0), "grid_name"]
    assert bare == "粮库"
    assert not set(made.grids["parent_code"].dropna()) & set(sites["grid_code"])

    second = again(made, exclusive=SITES, settings=MICRO)
    assert codes_of(second) == codes_of(made)
    pd.testing.assert_frame_equal(second.grid_lineage, made.grid_lineage)

    adjusted = adjust_grids(homes(), villages(), previous=made.tables(), settings=OTHER, jobs=1)
    kept = adjusted.grids[adjusted.grids["grid_kind"].eq("EXCLUSIVE")]
    assert (
        kept[["grid_code", "grid_name"]].to_numpy().tolist()
        == sites[["grid_code", "grid_name"]].to_numpy().tolist()
    )


def test_a_site_that_is_given_up_leaves_its_code_unused():
    made = partition(homes(), villages(), lines=lines(), exclusive=SITES, settings=FAST, jobs=1)
    (code,) = made.grids.loc[made.grids["grid_name"].eq("粮库"), "grid_code"]
    second = again(made)
    assert code not in codes_of(second)
    row = second.grid_lineage.set_index("old_code").loc[code]
    assert (row["change"], row["households"], row["new_code"] is pd.NA or pd.isna(row["new_code"])) == (
        "DISSOLVED",
        0,
        True,
    )
    assert code not in codes_of(again(second, settings=OTHER))


def test_only_one_village_is_divided_and_the_other_stays_as_it_is():
    made = again(drawn(MICRO), settings=OTHER, only=[LOWER])
    assert made.villages == (LOWER,)
    stays, before = (
        r.grids[r.grids["village_code"].eq(UPPER)].reset_index(drop=True) for r in (made, drawn(MICRO))
    )
    pd.testing.assert_frame_equal(
        pd.DataFrame(stays.drop(columns=["geometry", "neighbours"])),
        pd.DataFrame(before.drop(columns=["geometry", "neighbours"])),
    )
    assert shapely.to_wkb(stays.geometry).tolist() == shapely.to_wkb(before.geometry).tolist()
    rows, old = (r.households[r.households["village_code"].eq(UPPER)] for r in (made, drawn(MICRO)))
    pd.testing.assert_frame_equal(rows, old)
    named = set(";".join(made.grids["neighbours"]).split(";")) - {""}
    assert named <= codes_of(made), "neighbours over the border are those there are now"
    assert set(ordinary(made).loc[lambda rows: rows["village_code"].eq(LOWER), "profile"]) == {
        str(OTHER.profile)
    }


def test_homes_outside_all_villages_stay_as_rows_without_grid():
    houses = source()
    houses.loc[0, "geometry"] = shapely.Point(X0 - 80, Y0 + 100)
    placed = households(houses, villages())
    made = partition(placed.points, villages(), settings=FAST, read_findings=[placed.findings], jobs=1)
    assert_whole(made, villages(), placed.points)
    lost = made.households[made.households["grid_code"].isna()]
    assert lost["address"].tolist() == ["0号"]
    told = made.findings[made.findings["rule"].eq("household_outside")]
    assert told["severity"].tolist() == ["error"]


def test_a_file_that_names_grids_does_not_give_codes_to_villages_left_out():
    people = homes().assign(grid_code="旧网格甲")
    made = partition(people, villages(), only=[UPPER], settings=FAST, jobs=1)
    assert made.households.loc[made.households["village_code"].eq(LOWER), "grid_code"].isna().all()
    assert "旧网格甲" not in codes_of(made)


def test_codes_in_a_file_of_homes_are_kept_where_the_homes_are_and_not_given_to_others():
    told = drawn().households
    people = homes().assign(grid_code=told["grid_code"].str[:12] + "0" + told["grid_code"].str[13:])
    first = ordinary(drawn()).iloc[0]
    own = told["grid_code"].eq(first["grid_code"]).to_numpy()
    people.loc[~own, "grid_code"] = UPPER + "777"
    made = partition(people, villages(), lines=lines(), settings=FAST, jobs=1)
    assert len(codes_of(made)) == len(made.grids)
    assert first["grid_code"] in codes_of(made)
    assert UPPER + "777" not in codes_of(made)


@pytest.mark.parametrize("inside", [False, True], ids=["side by side", "one in the other"])
def test_villages_that_overlap_are_told_and_both_divided(inside):
    land = villages()
    grown = shapely.box(EAST - 30, Y0 + 5, EAST + 590, Y0 + 400)
    land.loc[1, "geometry"] = shapely.box(X0 + 300, Y0 + 5, X0 + 590, Y0 + 400) if inside else grown
    people = households(source(), land).points
    made = partition(people, land, settings=FAST, jobs=1)
    (told,) = made.findings.loc[made.findings["rule"].eq("grid_villages_overlap"), "message"]
    assert "上庄村" in told
    assert "柳沟村" in told
    assert_whole(made, land, people)


def test_a_village_without_code_or_land_is_told_and_the_others_go_on():
    land = pd.concat(
        [
            villages(),
            layer(
                shapely.box(EAST + 700, Y0, EAST + 800, Y0 + 100),
                None,
                village_code=["", LOWER[:9]],
                village_name="新村",
            ),
        ],
        ignore_index=True,
    )
    made = partition(homes(), land, settings=FAST, jobs=1)
    assert made.villages == (UPPER, LOWER)
    told = made.findings[made.findings["rule"].eq("grid_village_unusable")]
    assert (len(told), set(told["severity"])) == (2, {"error"})


def test_a_village_whose_border_crosses_itself_is_divided():
    land = villages()
    bow = shapely.Polygon([(EAST, Y0), (EAST + 600, Y0 + 400), (EAST + 600, Y0), (EAST, Y0 + 400)])
    land.loc[1, "geometry"] = bow
    people = households(source(), land).points
    made = partition(people, land, settings=FAST, jobs=1)
    assert made.villages == (UPPER, LOWER)
    assert made.households["households"].sum() == people["households"].sum()


def test_a_village_without_homes_is_one_grid_told_as_too_small():
    people = homes()
    people = people[people["village_code"].eq(UPPER)]
    made = partition(people, villages(), settings=FAST, jobs=1)
    empty = made.grids[made.grids["village_code"].eq(LOWER)]
    assert empty["households"].tolist() == [0]
    assert empty["balance"].tolist() == ["UNDER"]
    assert_whole(made, villages(), people)
    assert codes_of(again(made, homes_=people, lines=None)) == codes_of(made)


def test_neighbours_are_mutual_and_reach_over_the_border_of_villages():
    grids = ordinary(drawn())
    near = {
        code: set(filter(None, text.split(";")))
        for code, text in zip(grids["grid_code"], grids["neighbours"], strict=True)
    }
    assert all(code in near[other] for code, others in near.items() for other in others)
    assert any(other[:12] == LOWER for code in near if code[:12] == UPPER for other in near[code])


def test_no_village_to_divide_is_refused():
    with pytest.raises(InputError, match="没有可划网格的村"):
        partition(homes(), villages(), only=["999"], settings=FAST, jobs=1)


def test_villages_in_degrees_or_a_layer_in_another_system_are_refused():
    with pytest.raises(MismatchError, match="投影坐标系"):
        partition(homes(), villages().to_crs(4490), settings=FAST, jobs=1)
    with pytest.raises(MismatchError, match="households"):
        partition(homes().to_crs(4490), villages(), settings=FAST, jobs=1)
