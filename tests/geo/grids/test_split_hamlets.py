"""Bounds by cases of how many centres each hamlet has: never above the best, near it where hamlets fit no number."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from geo.grids import best_split
from geo.grids.bound import family_of, lower_bound, picked
from geo.grids.graph import graph_of, induced
from geo.grids.hamlets import hamlets, told_apart
from tests.geo.grids.graphs import assert_a_split, best_of_all, small_graphs


def row_of_hamlets(sizes, apart, seed):
    """Houses of 1 to 3 households in round hamlets along a road, edges, places."""
    draw = np.random.default_rng(seed)
    weights, places = [], []
    for k, size in enumerate(sizes):
        left = size
        while left:
            homes = min(left, int(draw.integers(1, 4)))
            weights.append(homes)
            places.append(draw.normal(0, 25, 2) + np.array([k * apart, 0]))
            left -= homes
    places = np.array(places)
    corners = Delaunay(places).simplices
    edges = np.vstack([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])
    return np.array(weights), np.unique(np.sort(edges, axis=1), axis=0), places


@settings(deadline=None, max_examples=40)
@given(
    graph=small_graphs(least=3, most=7),
    band=st.tuples(st.integers(0, 8), st.integers(2, 9)).map(sorted),
    counts=st.tuples(st.integers(1, 4), st.integers(1, 7)).map(sorted),
    stretch=st.sampled_from([1, 100]),
)
def test_no_split_costs_less_than_the_bound_by_cases(graph, band, counts, stretch):
    weights, edges, places = graph
    places = places * [stretch, 1]
    counts = (min(counts[0], len(weights)), counts[1])
    misses, cost = best_of_all(weights, edges, places, tuple(band), counts)
    piece = induced(graph_of(weights, edges, None, places, None, None, None), np.arange(len(weights)))
    # a target above the best must not matter, for the search seldom knows the best
    target = 1.3 * cost + 1 if misses == 0 else 10.0
    root = lower_bound(piece, band=tuple(band), counts=counts, target=target, rounds=40)
    bound = told_apart(
        piece, root, band=tuple(band), counts=counts, target=target, rounds=20, cases=20, near=0.0
    )
    assert bound >= root.value
    if misses == 0:
        assert bound <= cost * (1 + 1e-9) + 1e-9


@settings(deadline=None, max_examples=100)
@given(
    worth=st.lists(st.integers(-9, 9), min_size=6, max_size=6),
    ranges=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)).map(sorted), min_size=4, max_size=4),
)
def test_centres_are_picked_as_cheaply_as_ranges_of_nested_groups_allow(worth, ranges):
    groups = [np.array(nodes) for nodes in ([0, 1], [3, 4], [0, 1, 2])]
    worth = np.array(worth, dtype=float)
    can, centres = picked(worth, family_of(groups, 6, ranges[:3], ranges[3]))
    best = np.inf
    for chosen in itertools.product([False, True], repeat=6):
        taken = np.array(chosen)
        numbers = [taken[group].sum() for group in groups] + [taken.sum()]
        if all(low <= number <= high for number, (low, high) in zip(numbers, ranges, strict=True)):
            best = min(best, worth[taken].sum())
    assert can == np.isfinite(best)
    if can:
        assert worth[centres].sum() == best


@pytest.mark.parametrize("sizes", [(56, 112, 90), (56, 100)])
def test_a_village_of_hamlets_that_fit_no_number_of_grids_is_near_its_bound(sizes):
    weights, edges, places = row_of_hamlets(sizes, 800, 3)
    split = best_split(weights, edges, lower=30, upper=50, coordinates=places)
    assert_a_split(split, weights, edges)
    assert split.misses == 0
    assert split.gap < 0.015
    graph = graph_of(weights, edges, None, places, None, None, None)
    counts = (len(split.sizes), len(split.sizes))
    alone = lower_bound(graph, band=(30, 50), counts=counts, target=split.cost, rounds=500)
    assert alone.value < 0.9 * split.bound  # without cases the far way is not seen


def test_the_bound_by_cases_does_not_hang_on_the_order_of_nodes():
    weights, edges, places = row_of_hamlets((56, 112), 800, 5)
    asked = {"lower": 30, "upper": 50, "budget": "fast"}
    split = best_split(weights, edges, coordinates=places, **asked)
    order = np.random.default_rng(0).permutation(len(weights))
    place = np.argsort(order)
    other = best_split(weights[order], place[edges][::-1], coordinates=places[order], **asked)
    again = best_split(weights, edges, coordinates=places, **asked)
    assert other.bound == split.bound == again.bound
    assert split.gap < 0.05


def test_hamlets_are_nested_or_apart_and_inner_ones_come_first():
    weights, edges, places = row_of_hamlets((40, 20, 60), 500, 1)
    graph = graph_of(weights, edges, None, places, None, None, None)
    groups, out = hamlets(graph, 5)
    sets = [set(group.tolist()) for group in groups]
    for k, inner in enumerate(sets):
        for outer in sets[k + 1 :]:
            assert inner < outer or not inner & outer
    far = {int(weights[group].sum()) for group, away in zip(groups, out, strict=True) if away > 400}
    assert {40, 20, 60} <= far
