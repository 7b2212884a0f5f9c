"""Two sets of grids compared: successors, moves and kinds of change on cases counted by hand, and laws."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from shapely.geometry import box

from geo.errors import MismatchError
from geo.grids.compare import compare, flows, matched
from geo.grids.profiles import profile_of
from tests.geo.grids.lands import CODE, CRS, X0, Y0, homes_at

BAND = profile_of("3-6")


def strips(*cuts, codes=None, kinds=None):
    """A row of grids 100 m high that end at the cuts, the first beginning at 0."""
    shapes = [box(X0 + a, Y0, X0 + b, Y0 + 100) for a, b in zip((0, *cuts), cuts, strict=False)]
    names = [f"{CODE}{code:03d}" for code in codes or range(1, len(cuts) + 1)]
    return gpd.GeoDataFrame(
        {"grid_code": names, "grid_kind": kinds or ["ORDINARY"] * len(cuts)}, geometry=shapes, crs=CRS
    )


def homes(weights=None):
    """Ten homes, at 10, 30, ... 190 m."""
    return homes_at([(X0 + x, Y0 + 50) for x in range(10, 200, 20)], weights or [1] * 10)


def kinds(result):
    return dict(zip(result.grids["grid_code"].str[-3:], result.grids["change"], strict=True))


def test_the_same_grids_are_kept_and_nobody_moved():
    result = compare(strips(100, 200), strips(100, 200), homes(), profile=BAND)
    assert kinds(result) == {"001": "KEPT", "002": "KEPT"}
    assert result.moved == result.dissolved == 0
    assert not result.grids["border_changed"].any()
    assert result.totals.loc["before"].equals(result.totals.loc["after"])


def test_a_shifted_border_moves_the_homes_between():
    result = compare(strips(100, 200), strips(60, 200), homes([1, 1, 1, 2, 3, 1, 1, 1, 1, 1]), profile=BAND)
    assert kinds(result) == {"001": "SHIFTED", "002": "SHIFTED"}
    assert result.moved == 5
    assert result.grids["moved_in"].tolist() == [0, 5]
    assert result.grids["predecessors"].tolist() == [f"{CODE}001", f"{CODE}001;{CODE}002"]
    assert result.grids["balance_before"].tolist() == ["OVER", "IN_BAND"]
    assert result.grids["balance"].tolist() == ["IN_BAND", "OVER"]
    assert result.grids["border_changed"].all()
    rows = result.lineage.set_index(["old_code", "new_code"])["households"]
    assert rows.to_dict() == {
        (f"{CODE}001", f"{CODE}001"): 3, (f"{CODE}001", f"{CODE}002"): 5, (f"{CODE}002", f"{CODE}002"): 5,
    }  # fmt: skip


def test_a_border_moved_over_empty_land_keeps_the_grid_but_not_its_border():
    result = compare(strips(100, 200), strips(105, 200), homes(), profile=BAND)
    assert kinds(result) == {"001": "KEPT", "002": "KEPT"}
    assert result.grids["border_changed"].all()


def test_two_grids_made_one_are_merged_and_only_the_smaller_moved():
    result = compare(strips(40, 200), strips(200, codes=[7]), homes(), profile=BAND)
    assert kinds(result) == {"007": "MERGED"}
    assert result.grids["predecessor"].tolist() == [f"{CODE}002"]
    assert result.moved == 2
    assert result.dissolved == 1


def test_one_grid_made_two_is_split_and_the_greater_part_is_its_successor():
    result = compare(strips(200), strips(40, 200, codes=[1, 2]), homes(), profile=BAND)
    assert kinds(result) == {"001": "SPLIT", "002": "SPLIT"}
    assert result.grids["predecessor"].tolist() == ["", f"{CODE}001"]
    assert result.moved == 2


def test_a_grid_where_there_was_none_is_new_and_homes_left_out_are_counted():
    result = compare(strips(100), strips(100, 160, codes=[1, 2]), homes(), profile=BAND)
    assert kinds(result) == {"001": "KEPT", "002": "NEW"}
    assert (result.unplaced_before, result.unplaced_after, result.moved) == (5, 2, 0)
    assert result.lineage["old_code"].isna().sum() == 1


def test_of_pairings_as_good_the_one_that_keeps_codes_is_taken():
    result = compare(strips(100, 200), strips(50, 150, 200, codes=[2, 1, 3]), homes(), profile=BAND)
    kept = dict(zip(result.grids["grid_code"], result.grids["predecessor"], strict=True))
    assert kept[f"{CODE}001"] == f"{CODE}001"
    assert result.moved == 5


def test_figures_before_and_after_are_those_of_the_norm():
    drawn = strips(40, 100, 200, kinds=["ORDINARY", "ORDINARY", "EXCLUSIVE"])
    result = compare(drawn, strips(100, 200), homes(), profile=BAND)
    assert result.totals.loc["before", ["grids", "in_band", "under", "over", "exclusive"]].tolist() == [
        3,
        1,
        1,
        0,
        1,
    ]
    assert result.totals.loc["after", ["grids", "in_band"]].tolist() == [2, 2]
    assert result.totals.loc["after", "mean_distance_m"] == pytest.approx(24)
    assert result.totals.loc["after", "radius_m"] == 40


def test_micro_grids_are_left_out_and_rows_of_one_code_are_one_grid():
    drawn = strips(50, 100, 200, codes=[1, 1, 2])
    inner = strips(50, 100).assign(grid_code=[f"{CODE}00101", f"{CODE}00102"])
    result = compare(pd.concat([drawn, inner], ignore_index=True), strips(100, 200), homes(), profile=BAND)
    assert kinds(result) == {"001": "KEPT", "002": "KEPT"}
    assert result.totals.loc["before", "grids"] == 2


def test_layers_of_two_systems_are_refused():
    with pytest.raises(MismatchError):
        compare(strips(100), strips(100).to_crs("EPSG:4527"), homes(), profile=BAND)


cuts = st.lists(st.integers(1, 19), max_size=6, unique=True).map(
    lambda at: [*(10 * one for one in sorted(at)), 200]
)


@settings(max_examples=15, deadline=None)
@given(old=cuts, new=cuts, weights=st.lists(st.integers(0, 9), min_size=10, max_size=10), order=st.randoms())
def test_households_are_conserved_and_no_pairing_keeps_more(old, new, weights, order):
    lived = homes(weights)
    result = compare(strips(*old), strips(*new), lived, profile=BAND)
    assert result.grids["households"].sum() == sum(weights)
    assert result.lineage["households"].sum() == sum(weights)
    assert result.moved == result.grids["moved_in"].sum()
    predecessors = result.grids["predecessor"]
    assert predecessors[predecessors != ""].is_unique
    back = compare(strips(*new), strips(*old), lived, profile=BAND)
    assert back.moved == result.moved  # the best pairing is the same both ways
    mixed = list(range(10))
    order.shuffle(mixed)
    again = compare(strips(*old).iloc[::-1], strips(*new).iloc[::-1], lived.iloc[mixed], profile=BAND)
    pd.testing.assert_frame_equal(result.grids, again.grids)
    pd.testing.assert_frame_equal(result.lineage, again.lineage)
    unheard = (result.grids["predecessors"] == "") & (result.grids["predecessor"] == "")
    assert ((result.grids["change"] == "NEW") == unheard).all()


@settings(max_examples=40, deadline=None)
@given(table=st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=1, max_size=4))
def test_a_pairing_keeps_as_much_as_the_best_of_all(table):
    flow = np.array(table)
    successor = matched(coo_array(flow))
    chosen = successor[successor >= 0]
    assert len(set(chosen)) == len(chosen)
    assert all(flow[at, one] > 0 for at, one in enumerate(successor) if one >= 0)

    def best(at, free):
        if at == len(flow):
            return 0
        return max(best(at + 1, free), *(flow[at, one] + best(at + 1, free - {one}) for one in free))

    assert sum(flow[at, one] for at, one in enumerate(successor) if one >= 0) == best(0, frozenset(range(4)))


def test_flows_leave_out_homes_in_no_grid():
    flow = flows(np.array([0, 0, -1, 1]), np.array([1, 1, 0, -1]), np.array([2, 3, 4, 5]), (2, 2))
    assert flow.toarray().tolist() == [[0, 5], [0, 0]]
