"""Splitting graphs, against optima others have proved: ``python -m benchmarks.grids``.

``iowa``: 99 counties into 4 connected groups of equal population. ``pmedcap``:
the capacitated p-median problem, on a complete graph as it knows no neighbours.
``bubenec``: buildings of a district. ``village``: scattered hamlets of 1 to 6
households a building, in rural bands, of the sizes asked for. Public data are
looked for in the sibling folder ``shared/data``; what is not there is skipped.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from scipy.spatial import Delaunay
from scipy.spatial.distance import cdist

from geo.grids import Split, best_split

SHARED: Final = Path(__file__).parents[1].parent / "shared" / "data"
Row = dict[str, object]
Ints = npt.NDArray[np.int64]


def touching(shapes: gpd.GeoSeries) -> npt.NDArray[np.float64]:
    """Pairs of shapes that share a border, and its length."""
    a, b = shapes.sindex.query(shapes, predicate="intersects")
    a, b = a[a < b], b[a < b]
    outline = shapely.boundary(shapes.to_numpy())
    shared = shapely.length(shapely.intersection(outline[a], outline[b]))
    return np.column_stack([a, b, shared])[shared > 0]


def iowa() -> tuple[Ints, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Population of the counties, their borders without prices, their centres in metres."""
    counties = gpd.read_file(f"zip://{SHARED / 'partition_iowa_counties' / 'IA_counties.zip'}").to_crs(26915)
    people = counties["TOTPOP"].astype(np.int64).to_numpy()
    return people, touching(counties.geometry)[:, :2], counties.centroid.get_coordinates().to_numpy()


def pmedcap(number: int) -> tuple[Ints, npt.NDArray[np.float64], int, int, int]:
    """Demand, distances, number of medians, capacity and the optimum of an instance."""
    text = (SHARED / "pmedian_capacitated_small" / f"pmedcap1_{number:02d}.txt").read_text(encoding="ascii")
    words = np.array(text.split(), dtype=np.float64)
    optimum, n, medians, capacity = words[1:5].astype(int)
    points = words[5:].reshape(n, 4)
    return (
        points[:, 3].astype(np.int64),
        np.floor(cdist(points[:, 1:3], points[:, 1:3])),
        int(medians),
        int(capacity),
        int(optimum),
    )


def instances() -> list[int]:
    """Numbers of the instances of the capacitated p-median problem that are there, of 20."""
    folder = SHARED / "pmedian_capacitated_small"
    return [number for number in range(1, 21) if (folder / f"pmedcap1_{number:02d}.txt").exists()]


def bubenec() -> tuple[Ints, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A household a building, cells that touch, centres in metres."""
    cells = gpd.read_file(SHARED / "village_bubenec" / "bubenec.gpkg", layer="tessellation").to_crs(5514)
    return (
        np.ones(len(cells), dtype=np.int64),
        touching(cells.geometry)[:, :2],
        (cells.centroid.get_coordinates().to_numpy()),
    )


def hamlets(households: int, seed: int) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """Buildings of a scattered village: households in each, neighbours, places in metres."""
    draw = np.random.default_rng(seed)
    sizes = draw.choice([1, 1, 1, 2, 2, 3, 6], households)
    n = int(np.searchsorted(np.cumsum(sizes), households)) + 1
    count = max(3, n // 60)
    hearts = draw.uniform(0, 1000 * np.sqrt(n / 600), (count, 2))
    places = hearts[draw.integers(0, count, n)] + draw.normal(0, 70, (n, 2))
    corners = Delaunay(places).simplices
    pairs = np.vstack([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])
    return sizes[:n], np.unique(np.sort(pairs, axis=1), axis=0), places


def told(name: str, work: Callable[[], Split], optimum: float | None = None) -> Row:
    """One line of the table."""
    begin = time.process_time()
    split = work()
    seconds = time.process_time() - begin
    mean = split.sizes.mean()
    return {
        "graph": name,
        "nodes": len(split.labels),
        "parts": len(split.sizes),
        "outside": split.misses,
        "deviation %": round(100 * float(np.abs(split.sizes - mean).max() / mean), 4),
        "cost": round(split.cost),
        "gap %": round(100 * split.gap, 2),
        "over optimum %": "" if optimum is None else round(100 * (split.cost / optimum - 1), 2),
        "why": " ".join(sorted({reason.kind for reason in split.reasons})),
        "CPU s": round(seconds, 1),
    }


def rows(kinds: list[str], budget: str, sizes: list[int], seeds: int) -> Iterator[Row]:
    """Lines of all that was asked for."""
    for seed in range(seeds):
        if "iowa" in kinds and SHARED.exists():
            people, edges, places = iowa()
            for share in (1e-2, 1e-4):
                ideal = people.sum() / 4
                band = {"lower": int(np.ceil(ideal * (1 - share))), "upper": int(ideal * (1 + share))}
                yield told(
                    f"Iowa, {share:.2%}",
                    lambda band=band, people=people, edges=edges, places=places, seed=seed: best_split(
                        people, edges, parts=4, **band, coordinates=places, budget=budget, seed=seed
                    ),
                )
        if "pmedcap" in kinds and SHARED.exists():
            for number in instances():
                demand, table, medians, capacity, optimum = pmedcap(number)
                n = len(demand)
                everyone = np.column_stack(np.triu_indices(n, 1))
                yield told(
                    f"pmedcap {number}",
                    lambda d=demand, t=table, p=medians, c=capacity, e=everyone, n=n, seed=seed: best_split(
                        d,
                        e,
                        parts=p,
                        lower=0,
                        upper=c,
                        distances=t,
                        masses=np.ones(n),
                        budget=budget,
                        seed=seed,
                    ),
                    optimum,
                )
        if "bubenec" in kinds and SHARED.exists():
            ones, edges, places = bubenec()
            yield told(
                "Bubenec",
                lambda o=ones, e=edges, p=places, seed=seed: best_split(
                    o, e, lower=30, upper=50, coordinates=p, budget=budget, seed=seed
                ),
            )
        for size in sizes if "village" in kinds else []:
            weights, edges, places = hamlets(size, seed + 1)
            yield told(
                f"village {size}, seed {seed + 1}",
                lambda w=weights, e=edges, p=places: best_split(
                    w, e, parts=round(int(w.sum()) / 36), lower=30, upper=50, coordinates=p, budget=budget
                ),
            )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["iowa", "pmedcap", "bubenec", "village"])
    parser.add_argument("--budget", default="standard", choices=["fast", "standard", "best"])
    parser.add_argument("--sizes", nargs="*", type=int, default=[200, 1000])
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    best_split(*hamlets(300, 0)[:2], lower=30, upper=50, budget="fast")  # compiled before the clock starts
    table = pd.DataFrame(rows(asked.kinds, asked.budget, asked.sizes, asked.seeds))
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
