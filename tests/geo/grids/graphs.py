"""Small graphs to try splitting on, every way to split them, and what a split must be."""

import itertools

import numpy as np
import scipy.sparse
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components


def pieces(labels, edges):
    """How many connected pieces the parts make together."""
    edges = np.array([(edge[0], edge[1]) for edge in edges], dtype=int).reshape(-1, 2)
    inside = edges[labels[edges[:, 0]] == labels[edges[:, 1]]] if len(edges) else np.zeros((0, 2), dtype=int)
    n = len(labels)
    matrix = scipy.sparse.coo_array((np.ones(len(inside)), (inside[:, 0], inside[:, 1])), shape=(n, n))
    return connected_components(matrix, directed=False)[0]


def assert_a_split(split, weights, edges):
    parts = len(split.sizes)
    assert sorted(set(split.labels)) == list(range(parts))
    assert pieces(split.labels, edges) == parts
    assert np.array_equal(np.bincount(split.labels, weights=weights, minlength=parts), split.sizes)
    assert np.array_equal(split.labels[split.centres], np.arange(parts))
    assert split.bound <= split.cost * (1 + 1e-9)


@st.composite
def small_graphs(draw, least=2, most=8):
    """Weights (some 0), edges (some twice, some to itself, some missing), places on a grid."""
    n = draw(st.integers(least, most))
    weights = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    node = st.integers(0, n - 1)
    edges = draw(st.lists(st.tuples(node, node, st.integers(0, 3)), max_size=2 * n))
    edges += [(k, k + 1, 1) for k in range(n - 1) if draw(st.integers(0, 9))]
    places = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=n, max_size=n))
    return np.array(weights), np.array(edges, dtype=float).reshape(-1, 3), np.array(places, dtype=float)


def every_split(n, most):
    """Labels of every way to divide n nodes into up to ``most`` parts."""
    for labels in itertools.product(range(most), repeat=n - 1):
        whole = np.array([0, *labels])
        if all(whole[k] <= whole[:k].max() + 1 for k in range(1, n)):
            yield whole


def cost_of(labels, weights, edges, places):
    """Distance and cuts, as the docstring of best_split says them."""
    total = 0.0
    for part in set(labels):
        inside = labels == part
        away = np.hypot(*(places[inside, None] - places[None, inside]).transpose(2, 0, 1))
        total += (weights[inside] @ away).min()
    ends = edges[:, :2].astype(int)
    return total + edges[labels[ends[:, 0]] != labels[ends[:, 1]], 2].sum()


def best_of_all(weights, edges, places, band, counts):
    """Least misses, and the least cost with these, over every connected split."""
    lower, upper = band
    best = (np.inf, np.inf)
    for labels in every_split(len(weights), counts[1]):
        parts = labels.max() + 1
        if parts < counts[0] or pieces(labels, edges) != parts:
            continue
        sizes = np.bincount(labels, weights=weights)
        misses = np.maximum(np.maximum(lower - sizes, sizes - upper), 0).sum()
        best = min(best, (misses, cost_of(labels, weights, edges, places)))
    return best
