"""Splitting villages, side by side with what others split graphs by: ``python -m benchmarks.grid_peers``.

All get the same land: buildings of a scattered village, who is whose neighbour, a
river, a road and village groups, as many grids as bring 36 households to each.
Each is judged alike: grids within 30 to 50 households, grids in one piece, mean
way of a household to the middle house of its grid (150 m more across the river,
40 m across the road, 60 m into another group), plain way to its grid's centre,
processor seconds. Only the first way is what our search minimises.

METIS and KaHIP know barriers by the weights of edges, k-means and spopt by
places alone. They are no dependencies: who is not installed is skipped. Each
runs in a process of its own, ended when its time is up.
"""

import argparse
import importlib.util
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from benchmarks.grids import hamlets
from geo.grids import best_split

LOWER: Final = 30
UPPER: Final = 50
MEAN: Final = 36
TOLLS: Final = (150.0, 40.0, 60.0)  # metres to cross the river, the road, into another group
_SLOW: Final = 1500  # households from which those that take minutes are left out

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Village:
    """Land with barriers, as a graph."""

    name: str
    weights: Ints
    edges: Ints
    places: Floats
    sides: Ints  # n x 3: bank of the river, side of the road, group

    @property
    def parts(self) -> int:
        """How many grids everyone makes."""
        return round(int(self.weights.sum()) / MEAN)

    def away(self, a: Ints, b: Ints) -> Floats:
        """Way between nodes, with tolls."""
        straight = np.hypot(*(self.places[a] - self.places[b]).T)
        return straight + (self.sides[a] != self.sides[b]) @ np.array(TOLLS)


def village(households: int, seed: int) -> Village:
    """A scattered village with a winding river, a road across and groups around the nearest of some hearts."""
    weights, edges, places = hamlets(households, seed)
    draw = np.random.default_rng(1000 + seed)
    low, high = places.min(axis=0), places.max(axis=0)
    span = high - low
    east, north = places.T
    river = (
        low[1]
        + span[1] * draw.uniform(0.35, 0.65)
        + 0.08 * span[1] * np.sin(6 * (east - low[0]) / span[0] + draw.uniform(0, 6))
    )
    road = low[0] + span[0] * draw.uniform(0.35, 0.65) + draw.uniform(-0.3, 0.3) * (north - low[1])
    hearts = places[draw.choice(len(places), max(3, households // 120), replace=False)]
    group = np.hypot(*(places[:, None] - hearts[None]).transpose(2, 0, 1)).argmin(axis=1)
    sides = np.column_stack([north > river, east > road, group]).astype(np.int64)
    return Village(
        name=f"{households:,} households, seed {seed}",
        weights=weights,
        edges=edges,
        places=places,
        sides=sides,
    )


# --- how each splits --------------------------------------------------------------------------------------


def ours(budget: str) -> Callable[[Village], Ints]:
    """Search of `geo.grids`."""

    def labels(land: Village) -> Ints:
        return best_split(
            land.weights,
            land.edges,
            parts=land.parts,
            lower=LOWER,
            upper=UPPER,
            budget=budget,
            coordinates=land.places,
            sides=land.sides,
            tolls=TOLLS,
        ).labels

    return labels


def _sparse(land: Village, order: Ints) -> tuple[Ints, Ints, Ints]:
    """Neighbours as METIS takes them, edges the heavier the shorter the way across; nodes in an order."""
    pairs = np.argsort(order)[np.vstack([land.edges, land.edges[:, ::-1]])]
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    near = np.maximum(1, 10_000 / (land.away(order[pairs[:, 0]], order[pairs[:, 1]]) + 5)).astype(np.int64)
    return np.searchsorted(pairs[:, 0], np.arange(len(land.weights) + 1)), pairs[:, 1], near


def metis(ufactors: tuple[int, ...], orders: int) -> Callable[[Village], Ints]:
    """METIS k-way in connected parts; of several runs the one most in the band, of these the most compact.

    Its seed changes nothing on graphs as small as these; the order of nodes does.
    """

    def labels(land: Village) -> Ints:
        import pymetis  # noqa: PLC0415, a peer, not a dependency

        found = []
        for turn in range(orders):
            order = np.arange(len(land.weights))
            if turn:
                order = np.random.default_rng(turn).permutation(len(order))
            start, beside, near = _sparse(land, order)
            for ufactor in ufactors:
                _, part = pymetis.part_graph(
                    land.parts,
                    pymetis.CSRAdjacency(start, beside),
                    vweights=land.weights[order],
                    eweights=near,
                    recursive=False,
                    options=pymetis.Options(ufactor=ufactor, contig=1),
                )
                answer = np.empty(len(order), dtype=np.int64)
                answer[order] = part
                measured = judged(land, answer)
                worse = -measured["in band %"] - measured["connected %"]
                found.append((worse, measured["way m"], len(found), answer))
        return min(found, key=lambda item: item[:3])[3]

    return labels


def kahip_strong(land: Village) -> Ints:
    """KaHIP, strong, 25 % imbalance."""
    import kahip  # noqa: PLC0415, a peer, not a dependency

    start, beside, near = _sparse(land, np.arange(len(land.weights)))
    quiet = True
    _, part = kahip.kaffpa(
        land.weights.tolist(), start.tolist(), near.tolist(), beside.tolist(), land.parts, 0.25, quiet, 1, 2
    )
    return np.array(part, dtype=np.int64)


def _frame(land: Village) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        {"households": land.weights, "x": land.places[:, 0], "y": land.places[:, 1]},
        geometry=gpd.points_from_xy(*land.places.T),
    )


def _weights(land: Village) -> object:
    from libpysal.weights import W  # noqa: PLC0415, comes with a peer

    beside: dict[int, list[int]] = {k: [] for k in range(len(land.weights))}
    for a, b in land.edges.tolist():
        beside[a].append(b)
        beside[b].append(a)
    return W(beside, silence_warnings=True)


def maxp(land: Village) -> Ints:
    """MaxP of spopt: as many regions as reach the lower limit."""
    from spopt.region import MaxPHeuristic  # noqa: PLC0415, a peer, not a dependency

    np.random.seed(1)  # noqa: NPY002, its only way to be the same again
    model = MaxPHeuristic(_frame(land), _weights(land), ["x", "y"], "households", LOWER, top_n=2)
    model.solve()
    return np.asarray(model.labels_, dtype=np.int64)


def azp(land: Village) -> Ints:
    """AZP of spopt: as many regions as asked, balance unknown to it."""
    from spopt.region import AZP  # noqa: PLC0415, a peer, not a dependency

    model = AZP(_frame(land), _weights(land), ["x", "y"], n_clusters=land.parts, random_state=1)
    model.solve()
    return np.asarray(model.labels_, dtype=np.int64)


def skater(land: Village) -> Ints:
    """Skater of spopt: a pruned tree, at least the lower limit's share of buildings in each."""
    from spopt.region import Skater  # noqa: PLC0415, a peer, not a dependency

    model = Skater(
        _frame(land), _weights(land), ["x", "y"], n_clusters=land.parts,
        floor=max(1, int(LOWER / land.weights.mean() / 3)),
    )  # fmt: skip
    model.solve()
    return np.asarray(model.labels_, dtype=np.int64)


def gerrychain(land: Village) -> Ints:
    """GerryChain: random trees cut until all parts keep within a share of the mean."""
    import random  # noqa: PLC0415, its source of chance

    import networkx as nx  # noqa: PLC0415, comes with a peer
    from gerrychain import Graph  # noqa: PLC0415, a peer, not a dependency
    from gerrychain.partition import recursive_tree_part  # noqa: PLC0415, the same

    random.seed(1)
    plain = nx.Graph()
    for k, weight in enumerate(land.weights.tolist()):
        plain.add_node(k, households=weight)
    plain.add_edges_from(land.edges.tolist())
    mean = float(land.weights.sum()) / land.parts
    graph = Graph.from_networkx(plain)
    part = recursive_tree_part(graph, range(land.parts), mean, "households", 0.16)
    return np.array([part[k] for k in range(len(land.weights))], dtype=np.int64)


def constrained(land: Village) -> Ints:
    """k-means-constrained on households; a building goes with most of its own."""
    from k_means_constrained import KMeansConstrained  # noqa: PLC0415, a peer, not a dependency

    points = np.repeat(land.places, land.weights, axis=0)
    model = KMeansConstrained(land.parts, size_min=LOWER, size_max=UPPER, random_state=1, n_init=2)
    part = model.fit_predict(points)
    own = np.repeat(np.arange(len(land.weights)), land.weights)
    counts = np.zeros((len(land.weights), land.parts), dtype=np.int64)
    np.add.at(counts, (own, part), 1)
    return counts.argmax(axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to split."""

    name: str
    needs: str  # the module without which it cannot run
    run: Callable[[Village], Ints]
    slow: bool = False


METHODS: Final = (
    Method(name="Taotu, fast", needs="geo", run=ours("fast")),
    Method(name="Taotu, standard", needs="geo", run=ours("standard")),
    Method(name="METIS, 10 %", needs="pymetis", run=metis((100,), 1)),
    Method(name="METIS, best of 60", needs="pymetis", run=metis((100, 150, 200), 20)),
    Method(name="KaHIP, 25 %", needs="kahip", run=kahip_strong),
    Method(name="spopt MaxP", needs="spopt", run=maxp, slow=True),
    Method(name="spopt AZP", needs="spopt", run=azp, slow=True),
    Method(name="spopt Skater", needs="spopt", run=skater, slow=True),
    Method(name="GerryChain trees", needs="gerrychain", run=gerrychain),
    Method(name="k-means-constrained", needs="k_means_constrained", run=constrained),
)


# --- how it is judged --------------------------------------------------------------------------------------


def judged(land: Village, labels: Ints) -> dict[str, float]:
    """What there is to say of labels, whoever made them."""
    _, part = np.unique(labels, return_inverse=True)
    sizes = np.bincount(part, weights=land.weights)
    inside = land.edges[part[land.edges[:, 0]] == part[land.edges[:, 1]]]
    n = len(part)
    matrix = scipy.sparse.coo_array((np.ones(len(inside)), (inside[:, 0], inside[:, 1])), shape=(n, n))
    piece = connected_components(matrix, directed=False)[1]
    pieces = np.array([len(set(piece[part == k].tolist())) for k in range(len(sizes))])
    way = plain = 0.0
    for k in range(len(sizes)):
        own = np.flatnonzero(part == k)
        table = np.stack([land.away(own, np.full(len(own), c)) for c in own])
        way += float((table @ land.weights[own]).min())
        centre = np.average(land.places[own], axis=0, weights=land.weights[own])
        plain += float(land.weights[own] @ np.hypot(*(land.places[own] - centre).T))
    whole = float(land.weights.sum())
    return {
        "grids": float(len(sizes)),
        "in band %": 100 * float(((sizes >= LOWER) & (sizes <= UPPER)).mean()),
        "least": float(sizes.min()),
        "most": float(sizes.max()),
        "connected %": 100 * float((pieces == 1).mean()),
        "way m": way / whole,
        "plain m": plain / whole,
    }


def _child(pipe: Connection, method: Method, land: Village) -> None:
    warnings.simplefilter("ignore")
    if method.needs == "geo":
        method.run(village(200, 99))  # compiled before the clock starts
    begin = time.process_time()
    labels = method.run(land)
    pipe.send((labels, time.process_time() - begin))
    pipe.close()


def measured(method: Method, land: Village, limit: float) -> Row:
    """One line of the table; a method that fails or takes too long says so."""
    row: Row = {"village": land.name, "method": method.name}
    if importlib.util.find_spec(method.needs) is None:
        return row | {"CPU s": "not installed"}
    ours_end, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_child, args=(theirs, method, land))
    process.start()
    theirs.close()
    try:
        if not ours_end.poll(limit):
            return row | {"CPU s": f"over {limit:.0f} s of the clock"}
        labels, seconds = ours_end.recv()
    except EOFError:
        return row | {"CPU s": "failed"}
    finally:
        process.kill()
        process.join()
    return row | judged(land, labels) | {"CPU s": round(seconds, 2)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", type=int, default=[200, 1000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds of the clock for each")
    parser.add_argument("--only", nargs="*", default=[], help="words of the methods' names")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = []
    for size in asked.sizes:
        for seed in range(1, asked.seeds + 1):
            land = village(size, seed)
            for method in METHODS:
                if (method.slow and size > _SLOW) or (
                    asked.only and not any(word in method.name for word in asked.only)
                ):
                    continue
                rows.append({"size": size} | measured(method, land, asked.limit))
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    numbers = table.assign(**{"CPU s": pd.to_numeric(table["CPU s"], errors="coerce")})
    print(table.drop(columns="size").round(1).to_string(index=False))
    print(numbers.groupby(["size", "method"], sort=False).mean(numeric_only=True).round(1).to_string())


if __name__ == "__main__":
    main()
