"""Graphs split into connected parts: against all splits there are, on known land, and where none can be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.grids import SHARED, bubenec, hamlets, iowa, pmedcap
from geo.errors import GraphError
from geo.grids import BUDGETS, best_split, split_graph
from geo.grids.bound import lower_bound
from geo.grids.graph import graph_of, induced
from geo.grids.search import searched
from tests.geo.grids.graphs import assert_a_split, best_of_all, cost_of, pieces, small_graphs

PUBLIC = pytest.mark.skipif(not SHARED.exists(), reason="public data are not beside the project")
# compiling takes longer than any example
SLOW = settings(deadline=None, max_examples=25)


@SLOW
@given(graph=small_graphs(most=7), band=st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted))
def test_a_small_graph_is_split_as_well_as_can_be(graph, band):
    weights, edges, places = graph
    lower, upper = band
    split = best_split(weights, edges, lower=lower, upper=upper, coordinates=places)
    assert_a_split(split, weights, edges)
    misses, cost = best_of_all(weights, edges, places, (lower, upper), (1, len(weights)))
    assert split.misses == split.least_misses
    assert bool(split.reasons) == bool(misses)
    if not misses:
        assert split.misses == 0
        assert split.cost == pytest.approx(cost)
        assert split.bound == pytest.approx(split.cost)


@SLOW
@given(
    graph=small_graphs(most=7), parts=st.integers(1, 7), band=st.tuples(st.integers(0, 6), st.integers(3, 9))
)
def test_the_number_of_parts_that_was_asked_for_is_kept_or_the_reason_told(graph, parts, band):
    weights, edges, places = graph
    lower, upper = sorted(band)
    split = best_split(weights, edges, parts=parts, lower=lower, upper=upper, coordinates=places)
    assert_a_split(split, weights, edges)
    components = pieces(np.zeros(len(weights), dtype=int), edges)
    assert len(split.sizes) == min(max(parts, components), len(weights))
    misses, cost = best_of_all(weights, edges, places, (lower, upper), (parts, parts))
    if misses == 0:
        # components are given their numbers first: the band is kept, the least cost only bounded
        assert split.misses == 0
        assert split.bound <= cost * (1 + 1e-9)
    if split.misses:
        assert all(reason.proved for reason in split.reasons)
        assert split.reasons


@SLOW
@given(
    graph=small_graphs(least=4, most=7),
    parts=st.integers(2, 3),
    upper=st.integers(4, 12),
    seed=st.integers(0, 9),
)
def test_search_and_bound_hold_the_best_between_them(graph, parts, upper, seed):
    weights, edges, places = graph
    n = len(weights)
    edges = np.vstack([edges, [(k, k + 1, 1) for k in range(n - 1)]])
    piece = induced(graph_of(weights, edges, None, places, None, None, None), np.arange(n))
    labels, bound = searched(
        piece, (1, upper), (parts, parts), seed, BUDGETS["fast"], all_counts=(parts, parts)
    )
    misses, cost = best_of_all(weights, edges, places, (1, upper), (parts, parts))
    assert pieces(labels, edges) == labels.max() + 1
    if misses == 0:
        sizes = np.bincount(labels, weights=weights)
        assert len(sizes) == parts
        assert sizes.min() >= 1
        assert sizes.max() <= upper
        assert bound <= cost + 1e-9
        assert cost_of(labels, weights, edges, places) <= cost * 1.25 + 1e-9


@SLOW
@given(graph=small_graphs(most=7), band=st.tuples(st.integers(0, 8), st.integers(2, 9)).map(sorted))
def test_no_split_costs_less_than_the_bound(graph, band):
    weights, edges, places = graph
    lower, upper = band
    counts = (1, len(weights))
    misses, cost = best_of_all(weights, edges, places, (lower, upper), counts)
    piece = induced(graph_of(weights, edges, None, places, None, None, None), np.arange(len(weights)))
    target = cost if misses == 0 else 10.0
    bound = lower_bound(piece, band=(lower, upper), counts=counts, target=target, rounds=80)
    if misses == 0:
        assert bound.value <= cost * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize("budget", ["fast", "standard"])
def test_a_village_comes_within_its_band_and_near_its_bound(budget):
    weights, edges, places = hamlets(400, 1)
    parts = round(weights.sum() / 36)
    split = best_split(weights, edges, parts=parts, lower=30, upper=50, coordinates=places, budget=budget)
    assert_a_split(split, weights, edges)
    assert split.misses == 0
    assert split.reasons == ()
    assert len(split.sizes) == parts
    assert split.gap <= (0.10 if budget == "fast" else 0.02)


def test_the_same_seed_gives_the_same_labels():
    weights, edges, places = hamlets(300, 2)
    asked = {"lower": 30, "upper": 50, "coordinates": places, "budget": "fast"}
    first = split_graph(weights, edges, seed=3, **asked)
    # edges the other way round, in another order and twice are the same graph
    again = split_graph(weights, np.vstack([edges[::-1, ::-1], edges[:5]]), seed=3, **asked)
    assert np.array_equal(first, again)


def test_a_barrier_keeps_its_sides_apart():
    # two rows of homes 10 m apart, a river between: without its toll, squares are better than rows
    places = np.array([(20.0 * k, 10.0 * row) for row in (0, 1) for k in range(8)])
    edges = [(k, k + 1) for k in (*range(7), *range(8, 15))] + [(k, k + 8) for k in range(8)]
    sides = np.repeat([0, 1], 8)
    dry = best_split(np.ones(16), edges, parts=2, lower=8, upper=8, coordinates=places)
    wet = best_split(
        np.ones(16), edges, parts=2, lower=8, upper=8, coordinates=places, sides=sides[:, None], tolls=[150]
    )
    assert not np.array_equal(dry.labels, sides)
    assert np.array_equal(wet.labels, sides)


def test_cuts_go_where_they_are_cheap():
    edges = [(k, k + 1, 1000 if k != 8 else 1) for k in range(17)]
    split = best_split(np.ones(18), edges, parts=2, lower=6, upper=12)
    assert split.labels.tolist() == [0] * 9 + [1] * 9
    assert split.cut_cost == 1


def test_without_a_number_there_are_as_many_parts_as_serve_best_within_the_band():
    weights, edges, places = hamlets(300, 4)
    split = best_split(weights, edges, lower=30, upper=50, coordinates=places, budget="fast")
    whole = weights.sum()
    assert np.ceil(whole / 50) <= len(split.sizes) <= whole // 30
    assert split.misses == 0


def kinds(split):
    return {reason.kind for reason in split.reasons}


def chain(n):
    return [(k, k + 1) for k in range(n - 1)]


def test_a_hamlet_too_small_for_a_part_is_proved_and_the_rest_is_split():
    weights = np.r_[np.ones(12), np.ones(40)]
    edges = chain(12) + [(12 + a, 12 + b) for a, b in chain(40)]
    split = best_split(weights, edges, lower=20, upper=30)
    assert kinds(split) == {"light_component"}
    assert split.reasons[0].weight == 12
    assert split.reasons[0].nodes.tolist() == list(range(12))
    assert split.misses == split.least_misses == 8
    assert sorted(split.sizes) == [12, 20, 20]


def test_a_tower_too_heavy_for_a_part_is_proved():
    weights = np.ones(60)
    weights[20] = 70
    split = best_split(weights, chain(60), lower=10, upper=50)
    assert "heavy_node" in kinds(split)
    assert next(r for r in split.reasons if r.kind == "heavy_node").nodes.tolist() == [20]
    assert_a_split(split, weights, chain(60))


def test_a_weight_between_one_part_and_two_is_proved():
    split = best_split(np.ones(55), chain(55), lower=30, upper=50)
    assert kinds(split) == {"gap_component"}
    assert split.least_misses == split.misses == 5


def test_a_tree_that_cannot_be_cut_is_proved():
    # arms of 4 around one home: any part but one is a piece of one arm
    edges = [(0, 1 + 4 * arm) for arm in range(5)]
    edges += [(1 + 4 * arm + k, 2 + 4 * arm + k) for arm in range(5) for k in range(3)]
    split = best_split(np.ones(21), edges, parts=3, lower=6, upper=8)
    assert kinds(split) == {"tree"}
    assert all(reason.proved for reason in split.reasons)
    assert_a_split(split, np.ones(21), edges)


def test_more_parts_than_the_weight_allows_is_a_reason_not_an_error():
    split = best_split(np.ones(30), chain(30), parts=5, lower=10, upper=20)
    assert "count" in kinds(split)
    assert len(split.sizes) == 5


@pytest.mark.parametrize(("n", "lower", "misses"), [(0, 1, 0), (1, 1, 0), (1, 3, 2)])
def test_hardly_any_graph_is_still_split(n, lower, misses):
    split = best_split(np.ones(n), [], lower=lower, upper=5)
    assert split.labels.tolist() == [0] * n
    assert split.misses == misses


def test_homes_in_one_point_are_split_all_the_same():
    weights = np.ones(90)
    edges = [(a, b) for a in range(90) for b in range(a)]
    split = best_split(weights, edges, lower=30, upper=50, coordinates=np.zeros((90, 2)), budget="fast")
    assert split.misses == 0
    assert split.cost == 0


def test_empty_land_goes_along():
    weights, edges, places = hamlets(300, 5)
    weights = np.where(np.arange(len(weights)) % 3 == 0, 0, weights)
    split = best_split(weights, edges, lower=30, upper=50, coordinates=places, budget="fast")
    assert_a_split(split, weights, edges)
    assert split.misses == 0


@pytest.mark.parametrize(
    "broken",
    [
        {"weights": [1, -1]},
        {"weights": [1, 0.5]},
        {"weights": [1, np.nan]},
        {"edges": [(0, 2)]},
        {"edges": [(0, 1, -3)]},
        {"edges": [0, 1]},
        {"lower": 4},
        {"parts": 0},
        {"budget": "quick"},
        {"coordinates": [(0, 0)]},
        {"distances": [[0, 1]]},
    ],
    ids=str,
)
def test_what_is_no_graph_is_refused(broken):
    asked = {"weights": [1, 1], "edges": [(0, 1)], "lower": 1, "upper": 2} | broken
    with pytest.raises(GraphError, match=r"[一-鿿]"):
        split_graph(asked.pop("weights"), asked.pop("edges"), **asked)


@PUBLIC
def test_counties_of_iowa_make_four_equal_connected_groups():
    people, edges, places = iowa()
    ideal = people.sum() / 4
    lower, upper = int(np.ceil(ideal * 0.9999)), int(ideal * 1.0001)
    split = best_split(people, edges, parts=4, lower=lower, upper=upper, coordinates=places)
    assert_a_split(split, people, edges)
    assert split.misses == 0
    assert np.abs(split.sizes / ideal - 1).max() <= 1e-4


@PUBLIC
def test_proved_optima_of_capacitated_medians_are_met_and_never_bounded_away():
    demand, table, medians, capacity, optimum = pmedcap(2)
    n = len(demand)
    split = best_split(
        demand,
        np.column_stack(np.triu_indices(n, 1)),
        parts=medians,
        lower=0,
        upper=capacity,
        distances=table,
        masses=np.ones(n),
    )
    assert split.misses == 0
    assert split.cost == optimum
    assert split.bound <= optimum


@PUBLIC
def test_buildings_of_bubenec_come_within_the_rural_band():
    ones, edges, places = bubenec()
    split = best_split(ones, edges, lower=30, upper=50, coordinates=places, budget="fast")
    assert_a_split(split, ones, edges)
    assert split.misses == 0
