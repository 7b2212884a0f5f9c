"""Grids as somebody drew them on a print: about the right size, along no border in particular.

Each group's land is cut by bent lines, again and again, into grids of sizes that
were meant well; about a quarter are too small or too large, and nobody counted.
"""

from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.sample.landscape import Village
from geo.sample.net import Geometries
from geo.sample.terrain import Floats

BAND: Final = (20, 50)  # the county's norm, households
MEANT: Final = (27, 42)  # sizes somebody aimed at
SMALL: Final = (11, 18)
LARGE: Final = (54, 76)
OUT_OF_BAND: Final = 0.08

_BEND_M: Final = 4.0  # how far a line drawn by hand strays
_CODE_DIGITS: Final = 3


def drawn_grids(
    village: Village, groups: gpd.GeoDataFrame, houses: gpd.GeoDataFrame, seed: int
) -> gpd.GeoDataFrame:
    """Grids of one village as the county has them.

    Parameters
    ----------
    village : Village
    groups : GeoDataFrame
        Its groups, which tile it.
    houses : GeoDataFrame
        Its houses, in the same CRS.
    seed : int
        Of the county.

    Returns
    -------
    GeoDataFrame
        ``grid_code``, ``grid_name``, ``village_code``, ``village_name``, ``households``, polygons
        of one part each that tile the village; the order is that of somebody's memory.
    """
    rng = np.random.default_rng([seed, 37, village.number])
    spots = shapely.get_coordinates(shapely.centroid(houses.geometry.to_numpy()))
    weight = houses["households"].to_numpy(dtype=np.int64)
    cut: list[shapely.Geometry] = []
    for land in groups.geometry.to_numpy():
        here = shapely.contains_xy(land, spots)
        sizes = _sizes(int(weight[here].sum()), rng)
        cut += _cut(land, spots[here], weight[here], sizes, rng)
    shapes = _whole(np.array(cut, dtype=object), spots)
    order = rng.permutation(len(shapes))
    shapes = shapes[order]
    count = [int(weight[shapely.contains_xy(shape, spots)].sum()) for shape in shapes]
    numbers = range(1, len(shapes) + 1)
    return gpd.GeoDataFrame(
        {
            "grid_code": [f"{village.code}{n:0{_CODE_DIGITS}d}" for n in numbers],
            "grid_name": [f"{village.name}第{n}网格" for n in numbers],
            "village_code": village.code,
            "village_name": f"{village.name}村民委员会",
            "households": count,
        },
        geometry=shapes,
        crs=groups.crs,
    )


def _sizes(total: int, rng: np.random.Generator) -> list[int]:
    """Sizes that add up to about ``total``; a rest too small for a grid goes to the last one."""
    out: list[int] = []
    while (left := total - sum(out)) > 0:
        low, high = MEANT
        if rng.uniform() < OUT_OF_BAND:
            low, high = SMALL if rng.uniform() < 0.5 else LARGE
        size = int(rng.integers(low, high + 1))
        if left < SMALL[0] and out:
            out[-1] += left
        else:
            out.append(min(size, left))
    return out or [0]


def _cut(
    land: shapely.Geometry, spots: Floats, weight: Floats, sizes: list[int], rng: np.random.Generator
) -> list[shapely.Geometry]:
    """Land in as many parts as there are sizes, by a bent line across the longer way and again in each half."""
    if len(sizes) == 1 or len(spots) <= 1:
        return [land]
    half = (len(sizes) + 1) // 2
    share = sum(sizes[:half]) / sum(sizes)
    spread = np.cov(spots.T, aweights=weight)
    along = np.linalg.eigh(spread)[1][:, -1]
    angle = np.arctan2(along[1], along[0]) + rng.normal(0, 0.25)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    far = spots @ along
    order = np.argsort(far, kind="stable")
    first = int(np.searchsorted(np.cumsum(weight[order]) / weight.sum(), share))
    first = min(max(first, 0), len(spots) - 2)
    at = (far[order[first]] + far[order[first + 1]]) / 2
    middle = spots.mean(axis=0)
    reach = float(np.hypot(*(shapely.bounds(land).reshape(2, 2) - middle).T).max()) * 2 + 100
    # Bends wax with the distance from the houses: out there nobody looked closely.
    way = np.array([-1.0, -0.45, -0.2, -0.08, -0.03, 0.03, 0.08, 0.2, 0.45, 1.0]) * reach
    bend = rng.normal(0, _BEND_M, len(way)) * (0.3 + np.abs(way) / (0.1 * reach))
    line = middle + np.outer(way, across) + np.outer(at - middle @ along + bend, along)
    back = np.array([line[-1] - along * 3 * reach, line[0] - along * 3 * reach])
    before = shapely.Polygon(np.vstack((line, back)))
    one, other = shapely.intersection(land, before), shapely.difference(land, before)
    if one.is_empty or other.is_empty:
        return [land]
    inside = shapely.contains_xy(one, spots)
    return [
        *_cut(one, spots[inside], weight[inside], sizes[:half], rng),
        *_cut(other, spots[~inside], weight[~inside], sizes[half:], rng),
    ]


def _whole(cut: Geometries, spots: Floats) -> Geometries:
    """Grids of one part: what is cut off from its grid, or has no house, goes to the neighbour with most border."""
    parts, owner = shapely.get_parts(cut, return_index=True)
    area = (shapely.get_type_id(parts) == 3) & (shapely.area(parts) > 0)
    parts, owner = parts[area], owner[area]
    homes = [int(shapely.contains_xy(part, spots).sum()) for part in parts]
    rank = pd.DataFrame({"owner": owner, "homes": homes, "area": shapely.area(parts)})
    main = rank.sort_values(["owner", "homes", "area"], ascending=[True, False, False]).drop_duplicates(
        "owner"
    )
    kept = np.sort(main.index[main["homes"] > 0].to_numpy())
    grids = {int(n): [parts[n]] for n in kept}
    loose = sorted(set(range(len(parts))) - set(grids))
    while loose:
        rest = []
        for n in loose:
            edge = shapely.boundary(parts[n])
            shared = {g: sum(edge.intersection(p.boundary).length for p in held) for g, held in grids.items()}
            best = max(sorted(shared), key=lambda g: shared[g])
            if shared[best] > 0:
                grids[best].append(parts[n])
            else:
                rest.append(n)
        if len(rest) == len(loose):
            break
        loose = rest
    return np.array([shapely.union_all(held) for held in grids.values()], dtype=object)
