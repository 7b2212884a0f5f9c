"""Land without homes given to the homes that are nearest over the land, so that each unit is one piece."""

from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np
import scipy.sparse
import shapely
from scipy.sparse.csgraph import connected_components, dijkstra

from geo.errors import BalanceError
from geo.grids.blocks import BARRIERS, Blocks, net_between, pair_number
from geo.grids.cells import Cells
from geo.grids.linework import NOWHERE, Floats, Geometries, Ints, Mesh, enclosed

_DETOUR: Final = 5.0  # land crosses a barrier to reach its homes only if that saves so many times the toll
_NEVER_M: Final = 1e9


class Gathered(NamedTuple):
    """Units as sets of faces."""

    unit: Ints  # f: unit of each face
    seed: Ints  # u: the face each unit grew from
    place: Ints  # u: place of homes it grew from, NOWHERE for others
    site: Ints  # u: exclusive site it is, NOWHERE for others


def gathered(
    blocks: Blocks, cells: Cells, *, tolls: dict[str, float], group_m: float, forbid: Collection[str]
) -> Gathered:
    """Faces joined into units.

    Parameters
    ----------
    blocks : Blocks
    cells : Cells
        With f faces.
    tolls : metres that crossing each barrier costs
    group_m : the same for a group border
    forbid : barriers that land crosses only where no other way leads to a home

    Returns
    -------
    Gathered
        Each unit is connected through common borders. It has a place of homes,
        or is a piece of an exclusive site, or a detached piece of land without homes.
    """
    n = len(cells.block)
    site = blocks.site[cells.block]
    a, b = cells.faces.sides[cells.faces.sides[:, 0] != NOWHERE].T
    pair = np.unique(pair_number(a, b, n))
    a, b = pair // n, pair % n
    same_site = (site[a] == site[b]) & (site[a] != NOWHERE)
    seed_of = np.full(n, NOWHERE)  # the face a face's unit grew from

    # Pieces of exclusive sites are whole, and no way leads through them
    _, piece = connected_components(_graph(a[same_site], b[same_site], 1.0, n), directed=False)
    _, first = np.unique(piece, return_index=True)
    closed = site != NOWHERE
    seed_of[closed] = first[piece[closed]]

    open_ways = ~closed[a] & ~closed[b]
    price = _prices(blocks, cells, a, b, tolls, group_m, forbid)
    ways = _graph(a[open_ways], b[open_ways], price[open_ways], n)
    homes = np.flatnonzero(cells.home != NOWHERE)
    _grow(ways, homes, seed_of)
    if len(homes):  # land that only a site separates from all else is that site's
        _grow(_graph(a, b, price, n), np.flatnonzero(closed), seed_of)
    rest = seed_of == NOWHERE
    if rest.any():
        _, part = connected_components(ways, directed=False)
        _, first = np.unique(part, return_index=True)
        seed_of[rest] = first[part[rest]]
    seed, unit = np.unique(seed_of, return_inverse=True)
    return Gathered(unit, seed, cells.home[seed], site[seed])


def _graph(a: Ints, b: Ints, price: Floats | float, count: int) -> "scipy.sparse.csr_array[np.float64]":
    return scipy.sparse.csr_array((np.broadcast_to(price, a.shape), (a, b)), shape=(count, count))


def _grow(ways: "scipy.sparse.csr_array[np.float64]", seeds: Ints, seed_of: Ints) -> None:
    """Give each face that has no seed yet that of the nearest seed with a way to it."""
    if not len(seeds):
        return
    _, _, origin = dijkstra(ways, directed=False, indices=seeds, return_predecessors=True, min_only=True)
    reached = (seed_of == NOWHERE) & (origin >= 0)
    origin = origin[reached]
    seed_of[reached] = np.where(seed_of[origin] == NOWHERE, origin, seed_of[origin])


def _prices(  # noqa: PLR0913, PLR0917, blocks and what crossing costs
    blocks: Blocks,
    cells: Cells,
    a: Ints,
    b: Ints,
    tolls: dict[str, float],
    group_m: float,
    forbid: Collection[str],
) -> Floats:
    """What going from face to face costs."""
    centre = shapely.get_coordinates(shapely.centroid(cells.faces.shapes))
    gap = centre[a] - centre[b]
    price: Floats = np.hypot(gap[:, 0], gap[:, 1]) + 1e-6
    one, two = cells.block[a], cells.block[b]
    crossing = barrier_between(blocks, one, two)
    for code, name in enumerate(BARRIERS):
        price[crossing == code] += _NEVER_M if name in forbid else _DETOUR * tolls[name]
    price[blocks.group[one] != blocks.group[two]] += _DETOUR * group_m
    price[blocks.former[one] != blocks.former[two]] += _NEVER_M
    return price


def barrier_between(blocks: Blocks, a: Ints, b: Ints) -> Ints:
    """Position in BARRIERS of what parts two blocks, NOWHERE for nothing and for one and the same block."""
    return _looked_up(blocks, blocks.barrier, a, b)


def natural_between(blocks: Blocks, a: Ints, b: Ints) -> Ints:
    """Position in NATURAL of what runs between two blocks, NOWHERE for nothing and inside a block."""
    return _looked_up(blocks, blocks.natural, a, b)


def _looked_up(blocks: Blocks, values: Ints, a: Ints, b: Ints) -> Ints:
    wanted = pair_number(a, b, len(blocks.group))
    at = np.minimum(np.searchsorted(blocks.pair, wanted), max(len(blocks.pair) - 1, 0))
    if not len(blocks.pair):
        return np.full(len(wanted), NOWHERE)
    return np.where((blocks.pair[at] == wanted) & (a != b), values[at], NOWHERE)


def outlines(mesh: Mesh, cells: Cells, units: Gathered) -> Geometries:
    """Polygon of each unit, in metres from the mesh's corner.

    Raises
    ------
    BalanceError
        If a unit is not one polygon: a fault of the program.
    """
    net, _ = net_between(cells.faces, units.unit)
    shapes = enclosed(mesh, net)
    spots = cells.faces.inner[units.seed]
    shape, unit = shapely.STRtree(spots).query(shapes, predicate="contains")
    if len(unit) != len(units.seed) or len(np.unique(unit)) != len(units.seed):
        raise BalanceError("有地块单元不是一个完整的多边形，是程序错误")
    out = np.empty(len(units.seed), dtype=object)
    out[unit] = shapes[shape]
    return out
