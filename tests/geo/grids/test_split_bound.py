"""Bounds of splits: a shorter look that changes nothing, and a bound that holds whatever is asked."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.grids import hamlets
from geo.grids import best_split
from geo.grids.bound import cheapest_set, near_lists
from geo.grids.graph import graph_of
from geo.grids.kernel import NEVER


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    lower=st.integers(0, 30),
    more=st.integers(0, 30),
    level=st.floats(0, 900),
    uneven=st.booleans(),
)
def test_nodes_that_cannot_gain_need_not_be_looked_at(seed, lower, more, level, uneven):
    weights, edges, places = hamlets(120, seed)
    draw = np.random.default_rng(seed)
    n = len(weights)
    masses = weights * draw.uniform(0.2, 3, n) if uneven else None
    graph = graph_of(weights, edges, masses, places, None, None, None)
    begin, nodes, away = near_lists(graph, np.inf)
    prices = level * weights * draw.uniform(0, 2, n)
    steep = (
        float((prices / graph.mass).max()),
        float((graph.mass / weights).min()),
        float((prices / weights).max()),
    )
    for centre in range(0, n, 7):
        own = slice(begin[centre], begin[centre + 1])
        asked = (graph, centre, nodes[own], away[own], prices, (lower, lower + more), NEVER)
        short = np.zeros(n)
        whole = np.zeros(n)
        value, looked = cheapest_set(*asked, steep, short)
        full, all_looked = cheapest_set(*asked, (NEVER, 0.0, 0.0), whole)
        assert all_looked in {0, n}
        assert np.isclose(value, full, rtol=1e-9, atol=1e-6)
        assert np.allclose(short[:looked], whole[:looked])
        assert not whole[looked:all_looked].any()


def test_a_bound_of_more_steps_is_no_worse_and_never_above_what_was_found():
    weights, edges, places = hamlets(300, 3)
    asked = {"lower": 30, "upper": 50, "coordinates": places, "parts": 8}
    fast = best_split(weights, edges, budget="fast", **asked)
    standard = best_split(weights, edges, budget="standard", **asked)
    assert fast.bound <= standard.bound * 1.001
    assert max(fast.bound, standard.bound) <= min(fast.cost, standard.cost)
    assert standard.cost <= fast.cost
