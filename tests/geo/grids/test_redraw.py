"""Existing grids of a county brought into a norm: what need not change stays to the byte."""

from dataclasses import replace
from itertools import pairwise

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from geo import schema
from geo.errors import InputError
from geo.grids import adjust_grids, norm_costs, profile_of
from geo.grids.households import households
from tests.geo.grids.counties import (
    EAST,
    FAST,
    LOWER,
    UPPER,
    bytes_of,
    drawn,
    homes,
    lines,
    ordinary,
    shape_of,
    source,
    villages,
)
from tests.geo.grids.test_run import assert_whole
from tests.helpers import X0, Y0, layer

QUICK = [Phase.explicit, Phase.reuse, Phase.generate]  # a whole run an example: to shrink one takes too long
WIDE = replace(FAST, profile=profile_of("4/8/14"))
NARROW = replace(FAST, profile=profile_of("8/9/12"))


def by_hand():
    """Grids as somebody drew them: strips of both villages, too large and too small, a code here and there."""
    cuts = [0, 60, 130, 180, 240, 300, 330, 420, 600]
    strips = [(west, low, high) for west in (X0, EAST) for low, high in pairwise(cuts)]
    shapes = [
        shapely.intersection(shape_of(west), shapely.box(west - 1, Y0 + low, west + 601, Y0 + high))
        for west, low, high in strips
    ]
    codes = [f"{UPPER}{n:03d}" if n % 2 else "" for n in range(1, 9)] + [
        f"{LOWER}{n:03d}" for n in range(1, 9)
    ]
    names = [f"甲{n}" for n in range(8)] + [f"乙{n}" for n in range(8)]
    table = layer(*shapes, grid_code=codes, grid_name=names, village_code=[UPPER] * 8 + [LOWER] * 8)
    return schema.conform(table, "grid_file")


@pytest.fixture(scope="module")
def mended():
    """Hand-drawn grids brought into the norm."""
    return adjust_grids(homes(), villages(), by_hand(), lines=lines(), settings=FAST, jobs=1)


def shapes(result):
    rows = ordinary(result).set_index("grid_code")
    return dict(zip(rows.index, shapely.to_wkb(rows.geometry), strict=True))


def test_hand_drawn_grids_come_into_the_norm_and_lose_nobody(mended):
    assert_whole(mended, villages(), homes())
    sizes = mended.grids["households"]
    assert sizes.between(FAST.profile.lower, FAST.profile.upper).all()


def test_a_grid_of_a_file_that_need_not_change_keeps_code_and_bytes(mended):
    kept = mended.grids[mended.grids["change"].eq("KEPT")]
    drawn_ = by_hand().set_index("grid_name")
    coded = drawn_[drawn_["grid_code"].ne("")].set_index("grid_code")
    same = kept[kept["grid_code"].isin(coded.index)]
    assert len(same) > 0
    for code, shape in zip(same["grid_code"], same.geometry, strict=True):
        assert shape.wkb == coded.geometry[code].wkb
    uncoded = set(kept["predecessors"]) & set(drawn_.index[drawn_["grid_code"].eq("")])
    assert all(
        kept.set_index("predecessors").geometry[name].wkb == drawn_.geometry[name].wkb for name in uncoded
    )


def test_a_grid_that_had_no_code_gets_one_that_nobody_had(mended):
    codes = set(mended.grids["grid_code"])
    before = set(by_hand()["grid_code"]) - {""}
    assert len(codes) == len(mended.grids)
    assert all(code.isdigit() and code[:12] in {UPPER, LOWER} for code in codes)
    new = mended.grids[~mended.grids["grid_code"].isin(before)]
    assert (new["grid_code"].str[12:] > max(code[12:] for code in before if code[:12] == UPPER)).any()
    names = {name for text in mended.grid_lineage["old_code"].dropna() for name in [text]}
    assert any(name.startswith("甲") for name in names), "where they came from is said by name"


def test_who_moved_is_what_the_lineage_says(mended):
    where = by_hand()
    spots = homes()[["household_key", "geometry"]]
    joined = gpd.sjoin(spots, where, predicate="intersects").drop_duplicates("household_key")
    name = joined["grid_code"].where(joined["grid_code"].ne(""), joined["grid_name"])
    was = dict(zip(joined["household_key"], name, strict=True))
    rows = mended.households
    old = rows["household_key"].map(was)
    flow = rows.groupby([old, "grid_code"])["households"].sum()
    told = mended.grid_lineage.groupby(["old_code", "new_code"])["households"].sum()
    assert flow.to_dict() == {pair: count for pair, count in told.to_dict().items() if count}
    stay = (
        flow.groupby(level=0).max().sum()
    )  # no pairing of old and new keeps more than the largest part of each
    moved = mended.grid_villages["moved"].sum()
    assert moved >= rows["households"].sum() - stay
    assert (mended.grid_villages["least_moved"] <= mended.grid_villages["moved"]).all()


def test_grids_of_a_workspace_that_are_good_stay_to_the_byte():
    made = adjust_grids(homes(), villages(), previous=drawn().tables(), lines=lines(), settings=WIDE, jobs=1)
    assert shapes(made) == shapes(drawn())
    assert set(made.grids["change"]) == {"KEPT"}
    assert made.grid_villages["moved"].tolist() == [0, 0]
    pd.testing.assert_frame_equal(made.grid_lineage, drawn().grid_lineage)


def test_only_what_the_norm_asks_for_changes():
    made = adjust_grids(
        homes(), villages(), previous=drawn().tables(), lines=lines(), settings=NARROW, jobs=1
    )
    assert_whole(made, villages(), homes())
    kept = made.grids[made.grids["change"].eq("KEPT")]
    assert 0 < len(kept) < len(made.grids)
    before = shapes(drawn())
    assert all(
        shape.wkb == before[code] for code, shape in zip(kept["grid_code"], kept.geometry, strict=True)
    )
    old = drawn().households.set_index("household_key")["grid_code"]
    own = made.households[made.households["grid_code"].isin(kept["grid_code"])]
    assert own["grid_code"].tolist() == old[own["household_key"]].tolist()


def test_labels_of_homes_are_enough():
    told = drawn().households.set_index("household_key")["grid_code"]
    people = homes().assign(grid_code=homes()["household_key"].map(told))
    made = adjust_grids(people, villages(), lines=lines(), settings=WIDE, jobs=1)
    pd.testing.assert_series_equal(made.households["grid_code"], drawn().households["grid_code"])
    assert set(made.grids["change"]) == {"KEPT"}
    assert made.grid_lineage.empty


def test_names_in_a_file_of_homes_do_as_well_as_codes():
    spots = homes()
    strip = np.where((shapely.get_y(spots.geometry) - Y0) // 110 % 2 == 0, "南片", "北片")
    people = spots.assign(grid_code=strip)
    made = adjust_grids(people, villages(), lines=lines(), settings=FAST, jobs=1)
    assert_whole(made, villages(), people)
    assert made.grids["grid_code"].str.fullmatch(r"\d{15}").all()
    assert set(made.grid_lineage["old_code"]) == {"南片", "北片"}


def test_a_village_without_grids_is_told_and_left_out():
    own = by_hand()
    made = adjust_grids(homes(), villages(), own[own["village_code"].eq(UPPER)], settings=FAST, jobs=1)
    assert made.villages == (UPPER,)
    (told,) = made.findings.loc[made.findings["rule"].eq("grid_village_without"), "message"]
    assert "柳沟村" in told
    assert made.households["households"].sum() == homes()["households"].sum()


def test_a_grid_whose_village_was_not_filled_in_takes_part():
    grids = by_hand()
    grids.loc[[2, 3], "village_code"] = ""
    made = adjust_grids(homes(), villages(), grids, lines=lines(), settings=FAST, jobs=1)
    whole = adjust_grids(homes(), villages(), by_hand(), lines=lines(), settings=FAST, jobs=1)
    assert bytes_of(made) == bytes_of(whole)


def test_no_grids_at_all_are_refused():
    with pytest.raises(InputError, match="没有现有网格"):
        adjust_grids(homes(), villages(), settings=FAST, jobs=1)


@settings(max_examples=4, phases=QUICK)
@given(
    cuts=st.lists(st.integers(20, 580), min_size=1, max_size=6, unique=True),
    slack=st.integers(-12, 12),
    seed=st.integers(0, 3),
)
def test_nobody_is_lost_though_existing_grids_overlap_or_leave_gaps(cuts, slack, seed):
    edges = [0, *sorted(cuts), 600]
    strips = [
        shapely.intersection(
            shape_of(X0), shapely.box(X0, Y0 + low, X0 + 600, Y0 + max(low + 5, high + slack))
        )
        for low, high in pairwise(edges)
    ]
    own = villages()[:1]
    people = households(source(seed), own).points
    people = people[people["village_code"].eq(UPPER)].reset_index(drop=True)
    grids = schema.conform(layer(*strips, grid_name=[f"第{n}片" for n in range(len(strips))]), "grid_file")
    made = adjust_grids(people, own, grids, settings=FAST, jobs=1)
    assert_whole(made, own, people)


def test_what_a_norm_costs_is_the_sum_over_villages_and_nothing_for_the_norm_they_keep():
    norms = [FAST.profile, NARROW.profile]
    table = norm_costs(
        homes(), villages(), None, norms, lines=lines(), previous=drawn().tables(), settings=FAST, jobs=1
    )
    assert table["profile"].tolist() == [str(norm) for norm in norms]
    assert table["households"].tolist() == [homes()["households"].sum()] * 2
    assert table.loc[0, ["moved", "shifted", "merged", "split", "new", "dissolved"]].tolist() == [0] * 6
    made = adjust_grids(
        homes(), villages(), previous=drawn().tables(), lines=lines(), settings=NARROW, jobs=1
    )
    assert table.loc[1, "moved"] == made.grid_villages["moved"].sum() > 0
    assert table.loc[1, "kept"] == made.grids["change"].eq("KEPT").sum()
