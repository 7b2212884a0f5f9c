"""Graphs split again: from earlier parts, at a price for who leaves, whatever the order of nodes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.grids import hamlets
from geo.errors import GraphError
from geo.grids import best_split
from geo.grids.earlier import kept, mended
from geo.grids.graph import graph_of
from tests.geo.grids.graphs import assert_a_split, cost_of, every_split, pieces, small_graphs

SLOW = settings(deadline=None, max_examples=25)
VILLAGE = hamlets(300, 2)
ASKED = {"lower": 30, "upper": 50, "coordinates": VILLAGE[2], "budget": "fast"}


def same_parts(first, second):
    """Whether two labellings divide nodes alike."""
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    return len(pairs) == len(set(first.tolist())) == len(set(second.tolist()))


def moved_weight(old, labels, weights):
    """Weight outside the successors of old labels, over every way to choose these."""
    shared = {}
    for before, part, weight in zip(old, labels, weights, strict=True):
        if before >= 0:
            shared[before, part] = shared.get((before, part), 0) + weight
    parts = sorted(set(labels))

    def most(left, taken):
        if not left:
            return 0
        best = most(left[1:], taken)
        for part in parts:
            if part not in taken and (left[0], part) in shared:
                best = max(best, shared[left[0], part] + most(left[1:], taken | {part}))
        return best

    olds = sorted({before for before, _ in shared})
    return sum(shared.values()) - most(olds, frozenset())


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 1000), budget=st.sampled_from(["fast", "standard"]))
def test_parts_in_their_band_stay_when_moving_is_dear(seed, budget):
    weights, edges, places = hamlets(150, seed)
    asked = {"lower": 30, "upper": 50, "coordinates": places}
    before = best_split(weights, edges, seed=seed, budget="fast", **asked)
    again = best_split(
        weights, edges, seed=seed + 1, budget=budget, start=before.labels + 7, moved_price=1e7, **asked
    )
    if before.misses == 0:
        assert np.array_equal(again.labels, before.labels)
        assert again.moved == again.move_cost == 0
        assert np.array_equal(again.successor_of, np.arange(len(again.sizes)))


@SLOW
@given(graph=small_graphs(least=3, most=9), data=st.data())
def test_mended_parts_are_connected_and_keep_their_heaviest_pieces(graph, data):
    weights, edges, places = graph
    n = len(weights)
    edges = np.vstack([edges, [(k, k + 1, 1) for k in range(n - 1)]])
    start = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n)))
    whole = graph_of(weights, edges, None, places, None, None, None)
    labels = mended(whole, start, (2, 8))
    assert pieces(labels, edges) == len(set(labels))
    stays = kept(whole, start)
    counted = np.maximum(weights, 1)
    for label in set(start[start >= 0]):
        inside = np.flatnonzero(start == label)
        new = np.full(n, -1)
        new[inside] = np.arange(len(inside))
        own = [(new[int(a)], new[int(b)]) for a, b, _ in edges if new[int(a)] >= 0 and new[int(b)] >= 0]
        heaviest = max(
            counted[inside[nodes]].sum() for nodes in connected_of(len(inside), own)
        )  # by hand, not by the code under test
        assert counted[stays == label].sum() == heaviest
        assert len(set(labels[stays == label])) == 1
    if (start >= 0).any():
        assert len(set(labels)) == len(set(start[start >= 0]))


def connected_of(n, edges):
    """Lists of nodes that hang together."""
    group = list(range(n))
    for a, b in edges * n:
        group[a] = group[b] = min(group[a], group[b])
    return [[v for v in range(n) if group[v] == g] for g in set(group)]


@SLOW
@given(graph=small_graphs(most=7), data=st.data(), price=st.integers(0, 9))
def test_a_small_graph_is_split_at_the_least_cost_of_distance_cuts_and_moves(graph, data, price):
    weights, edges, places = graph
    n = len(weights)
    start = np.array(data.draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n)))
    split = best_split(weights, edges, lower=0, upper=9, coordinates=places, start=start, moved_price=price)
    assert_a_split(split, weights, edges)
    assert split.moved == moved_weight(start, split.labels, weights) or (weights == 0).any()
    if split.misses == 0 and (weights > 0).all() and pieces(np.zeros(n, dtype=int), edges) == 1:
        least = min(
            cost_of(labels, weights, edges, places) + price * moved_weight(start, labels, weights)
            for labels in every_split(n, n)
            if pieces(labels, edges) == labels.max() + 1 and np.bincount(labels, weights=weights).max() <= 9
        )
        assert split.cost == pytest.approx(least)


@pytest.mark.parametrize("price", [0, 100, 10_000])
def test_parts_out_of_their_band_come_into_it_and_fewer_move_the_dearer_it_is(price):
    weights, edges, places = VILLAGE
    before = best_split(
        weights, edges, lower=18, upper=70, coordinates=places[:, ::-1] * (1, 0.2), budget="fast"
    )
    free = best_split(weights, edges, **ASKED)
    after = best_split(weights, edges, start=before.labels, moved_price=price, **ASKED)
    assert_a_split(after, weights, edges)
    assert after.misses == 0
    assert after.moved == moved_weight(before.labels, after.labels, weights)
    assert after.cost == pytest.approx(
        after.move_cost + cost_of(after.labels, weights, np.c_[edges, 0 * edges[:, :1]], places)
    )
    if price:
        assert after.moved < moved_weight(before.labels, free.labels, weights)
        assert after.move_cost >= price * after.moved


def test_a_split_label_and_a_label_of_two_components_are_continued_once():
    chain = [(k, k + 1) for k in range(39) if k != 19]
    start = np.zeros(40, dtype=int)
    split = best_split(np.ones(40), chain, lower=10, upper=10, start=start, moved_price=5)
    assert sorted(split.successor_of) == [-1, -1, -1, 0]
    assert split.moved == 30


@pytest.mark.parametrize(
    "broken",
    [
        {"start": [0, 1, 0]},
        {"start": [0.5, 1]},
        {"start": [-2, 0]},
        {"moved_price": -1},
        {"moved_price": [1, 2, 3]},
    ],
    ids=str,
)
def test_what_is_no_start_is_refused(broken):
    with pytest.raises(GraphError, match=r"start|moved_price"):
        best_split([1, 1], [(0, 1)], lower=1, upper=2, **({"start": [0, 0]} | broken))


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 1000), kind=st.sampled_from(["places", "table", "steps", "start"]))
def test_the_order_of_nodes_and_edges_does_not_matter(seed, kind):
    weights, edges, places = hamlets(150, seed)
    draw = np.random.default_rng(seed)
    n = len(weights)
    table = np.round(np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)), 3)
    priced = np.column_stack([edges, draw.integers(0, 30, len(edges))])
    before = draw.integers(-1, 4, n)
    order, lines = draw.permutation(n), draw.permutation(len(edges))
    place = np.argsort(order)
    shuffled = np.column_stack([place[edges][lines], priced[lines, 2]])
    asked = {"lower": 25, "upper": 50, "budget": "fast", "seed": 5}
    one = {"places": {"coordinates": places}, "table": {"distances": table}, "steps": {}}.get(
        kind, {"coordinates": places, "start": before, "moved_price": 20}
    )
    other = {
        "places": {"coordinates": places[order]},
        "table": {"distances": table[np.ix_(order, order)]},
        "steps": {},
    }.get(kind, {"coordinates": places[order], "start": before[order], "moved_price": 20})
    first = best_split(weights, priced, **one, **asked)
    again = best_split(weights[order], shuffled, **other, **asked)
    assert again.cost == first.cost
    assert again.bound == first.bound
    assert again.misses == first.misses
    assert same_parts(first.labels, again.labels[place])
    assert sorted(order[again.centres]) == sorted(first.centres)


def test_homes_in_one_point_are_told_apart_by_their_neighbours():
    # a chain of homes, all in one place: only its ends show a way through
    n = 60
    chain = np.array([(k, k + 1) for k in range(n - 1)])
    draw = np.random.default_rng(4)
    order = draw.permutation(n)
    weights = draw.integers(1, 4, n)
    asked = {"lower": 10, "upper": 30, "budget": "fast"}
    first = best_split(weights, chain, coordinates=np.zeros((n, 2)), **asked)
    again = best_split(weights[order], np.argsort(order)[chain], coordinates=np.zeros((n, 2)), **asked)
    assert same_parts(first.labels[order], again.labels)


@SLOW
@given(
    sizes=st.lists(st.integers(8, 70), min_size=2, max_size=3),
    parts=st.tuples(st.integers(1, 9), st.integers(1, 9)).map(sorted).map(tuple),
)
def test_of_several_components_the_number_asked_for_is_kept_and_the_band_first(sizes, parts):
    ends = np.cumsum(sizes)
    n = int(ends[-1])
    chain = [(k, k + 1) for k in range(n - 1) if k + 1 not in ends]
    places = np.column_stack([np.arange(n) * 10.0, np.zeros(n)])
    split = best_split(np.ones(n), chain, parts=parts, lower=10, upper=20, coordinates=places, budget="fast")
    assert_a_split(split, np.ones(n), chain)
    ranges = [(-(-size // 20), max(size // 10, 1)) for size in sizes]
    fits = all(a <= b for a, b in ranges)
    low, high = sum(a for a, _ in ranges), sum(b for _, b in ranges)
    if fits and low <= parts[1] and high >= parts[0] and min(sizes) >= 10:
        assert split.misses == 0
        assert parts[0] <= len(split.sizes) <= parts[1]


def test_a_component_that_fails_at_its_share_is_given_another_and_the_rest_makes_up_for_it():
    # five arms of 4 around one home: by weight 2 to 5 parts of 4 to 11, but only 4 or 5 are connected
    arms = [(0, 1 + 4 * arm) for arm in range(5)]
    arms += [(1 + 4 * arm + k, 2 + 4 * arm + k) for arm in range(5) for k in range(3)]
    chain = [(21 + k, 22 + k) for k in range(41)]
    split = best_split(np.ones(63), arms + chain, parts=8, lower=4, upper=11, budget="fast")
    assert_a_split(split, np.ones(63), arms + chain)
    assert split.misses == 0
    assert len(set(split.labels[:21])) == len(set(split.labels[21:])) == 4
