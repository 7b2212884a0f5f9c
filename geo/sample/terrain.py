"""Loess hills: a height field cut by running water, and the streams that cut it.

A rough surface is flooded to find its ways out; the stream-power law then says
how steep a stream of each size runs where uplift and erosion hold the balance,
and the heights that follow are drained anew, a few times over, until valleys
branch like real ones. No pit can arise: every cell is built above its way out.

Source: Braun and Willett (2013), A very efficient O(n) method for the stream
power equation, Geomorphology 180, doi:10.1016/j.geomorph.2012.10.008.
"""

import heapq
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CELL_M: Final = 40.0
ROUNDS: Final = 5
STEEP_SLOPE: Final = 0.25  # 14 degrees: a quarter of the land is steeper, too steep for most terraces
_NEIGHBOURS: Final = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terrain:
    """A height field on a grid, row 0 in the south, with its drainage."""

    x0: float  # centre of the first cell, m
    y0: float
    cell_m: float
    height_m: Floats
    above_river_m: Floats  # height above the river cell that water from here reaches first
    catchment_m2: Floats
    receiver: Ints  # flat index of the cell the water goes to; itself at an outlet


def hashed(seed: int, rows: NDArray[Any], cols: NDArray[Any]) -> Floats:
    """Numbers in -1..1 that depend on seed, row and column only, whatever the window."""
    with np.errstate(over="ignore"):
        value = (
            np.asarray(rows, dtype=np.int64).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            ^ np.asarray(cols, dtype=np.int64).astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
            ^ np.uint64(seed % (1 << 32)) * np.uint64(0x165667B19E3779F9)
        )
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
        value ^= value >> np.uint64(31)
    return (value >> np.uint64(11)).astype(np.float64) / (1 << 52) - 1.0


def spline_weights(at: Floats, first: float, step: float, count: int) -> Floats:
    """Matrix that turns ``count`` values on a line into a cubic B-spline at places ``at``."""
    place = (at - first) / step
    base = np.floor(place).astype(np.int64)
    t = place - base
    parts = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    weights = np.zeros((len(at), count))
    for offset, part in zip((-1, 0, 1, 2), parts, strict=True):
        np.add.at(weights, (np.arange(len(at)), np.clip(base + offset, 0, count - 1)), part)
    return weights


def noise(seed: int, wave_m: float, xs: Floats, ys: Floats) -> Floats:
    """Smooth noise about -0.6..0.6 at every crossing of ``ys`` (rows) and ``xs`` (columns)."""
    first_col, last_col = int(np.floor(xs[0] / wave_m)) - 2, int(np.floor(xs[-1] / wave_m)) + 4
    first_row, last_row = int(np.floor(ys[0] / wave_m)) - 2, int(np.floor(ys[-1] / wave_m)) + 4
    lattice = hashed(seed, np.arange(first_row, last_row)[:, None], np.arange(first_col, last_col)[None, :])
    down = spline_weights(ys, first_row * wave_m, wave_m, lattice.shape[0])
    along = spline_weights(xs, first_col * wave_m, wave_m, lattice.shape[1])
    return down @ lattice @ along.T


def resample(grid: Floats, terrain: Terrain, xs: Floats, ys: Floats) -> Floats:
    """A smooth grid of the terrain (heights, say) at a finer window."""
    down = spline_weights(ys, terrain.y0, terrain.cell_m, grid.shape[0])
    along = spline_weights(xs, terrain.x0, terrain.cell_m, grid.shape[1])
    rows, cols = down.any(axis=0), along.any(axis=0)
    return down[:, rows] @ grid[np.ix_(rows, cols)] @ along[:, cols].T


def _receivers(height: Floats) -> Ints:
    """Flat index of the steepest lower neighbour; the cell itself in a pit and in the south row."""
    rows, cols = height.shape
    index = np.arange(rows * cols).reshape(rows, cols)
    best, receiver = np.zeros_like(height), index.copy()
    padded = np.pad(height, 1, constant_values=np.inf)
    row, col = np.divmod(index, cols)
    for number, (dr, dc) in enumerate(_NEIGHBOURS):
        # Each way down is a little easier or harder than its length, or all valleys run in 8 directions.
        ease = 1 + 0.5 * hashed(number, row, col)
        drop = (height - padded[1 + dr : 1 + dr + rows, 1 + dc : 1 + dc + cols]) / np.hypot(dr, dc) * ease
        better = drop > best
        best[better] = drop[better]
        receiver[better] = index[better] + dr * cols + dc
    receiver[0] = index[0]
    return receiver.ravel()


def _flood(height: Floats) -> Ints:
    """Way out of every cell to the south row, over the lowest rims (priority flood)."""
    rows, cols = height.shape
    padded = np.full((rows + 2, cols + 2), -np.inf)
    padded[1:-1, 1:-1] = height
    level, wide = padded.ravel().tolist(), cols + 2
    heap = [(level[wide + 1 + c], wide + 1 + c) for c in range(cols)]
    way = {cell: cell for _, cell in heap}
    heapq.heapify(heap)
    steps = [dr * wide + dc for dr, dc in _NEIGHBOURS]
    while heap:
        water, cell = heapq.heappop(heap)
        for step in steps:
            near = cell + step
            if level[near] > -np.inf and near not in way:
                way[near] = cell
                heapq.heappush(heap, (max(water, level[near]), near))
    receiver = np.empty(wide * (rows + 2), dtype=np.int64)
    receiver[list(way)] = list(way.values())
    inner = receiver.reshape(rows + 2, wide)[1:-1, 1:-1]
    return np.asarray((inner // wide - 1) * cols + inner % wide - 1).ravel()


def _levels(receiver: Ints) -> list[Ints]:
    """Cells by their number of steps to the outlet, nearest first."""
    depth = (receiver != np.arange(len(receiver))).astype(np.int32)
    jump = receiver.copy()
    while True:
        further = depth[jump]
        if not further.any():
            break
        depth += further
        jump = jump[jump]
    order = np.argsort(depth.astype(np.uint16), kind="stable")
    return np.split(order, np.cumsum(np.bincount(depth))[:-1])


def _accumulate(receiver: Ints, levels: list[Ints], area: Floats) -> Floats:
    total = area.copy()
    for cells in reversed(levels[1:]):
        np.add.at(total, receiver[cells], total[cells])
    return total


def _spread(height: Floats, share: float) -> Floats:
    padded = np.pad(height, 1, mode="edge")
    mean = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
    return height + share * (mean - height)


def terrain(seed: int, bounds: tuple[float, float, float, float], *, river_m2: float) -> Terrain:
    """Hills over ``bounds`` (m), drained to the south by a river that enters in the north.

    Parameters
    ----------
    seed : int
        Makes the terrain.
    bounds : tuple
        West, south, east, north, m.
    river_m2 : float
        A catchment of this size feeds a river with a flat valley floor.
    """
    west, south, east, north = bounds
    xs = np.arange(west, east + CELL_M, CELL_M)
    ys = np.arange(south, north + CELL_M, CELL_M)
    east_of = xs[None, :] - (west + east) / 2
    # A faint trough that winds to the south is all it takes for the main river to find its way.
    bend = 0.10 * (east - west) * np.sin(ys / 1450 + 1.7) + 260 * np.sin(ys / 610)
    height = 0.005 * (ys[:, None] - south) + 0.006 * np.abs(east_of - bend[:, None])
    for octave, wave in enumerate((2400.0, 1100.0, 500.0, 230.0, 100.0)):
        height = height + noise(seed * 31 + octave, wave, xs, ys) * wave * 0.022
    softness = np.exp(
        1.1 * noise(seed * 31 + 11, 1900.0, xs, ys) + 0.5 * noise(seed * 31 + 12, 600.0, xs, ys)
    ).ravel()
    cell_area = np.full(height.size, CELL_M**2)
    top = int(np.argmin(height[-1]))
    cell_area[(len(ys) - 1) * len(xs) + top] += 12 * river_m2  # what comes from beyond the northern edge
    rows, cols = np.divmod(np.arange(height.size), len(xs))
    rough = sum(
        noise(seed * 31 + 20 + k, wave, xs, ys) * wave * 0.10 for k, wave in enumerate((85.0, 190.0, 420.0))
    )
    receiver = _flood(height)
    for _ in range(ROUNDS):
        levels = _levels(receiver)
        catchment = _accumulate(receiver, levels, cell_area)
        step = np.hypot(rows - rows[receiver], cols - cols[receiver]) * CELL_M
        rise = step * np.minimum(1.15 * softness * catchment**-0.30, 0.5)
        flat = np.where(receiver == np.arange(len(receiver)), 0.0, np.nan)
        for cells in levels[1:]:
            flat[cells] = flat[receiver[cells]] + rise[cells]
        height = flat.reshape(height.shape)
        receiver = _flood(_spread(height, 0.6) + rough)
    levels = _levels(receiver)
    catchment = _accumulate(receiver, levels, cell_area)
    for _ in range(5):
        height = _spread(height, 0.5)
    slope = np.hypot(*np.gradient(height, CELL_M))
    height *= STEEP_SLOPE / np.quantile(slope, 0.75)
    # Drainage stays that of the last step: smoothing since then has left small pits in valley floors.
    above = np.zeros(height.size)
    flat = height.ravel().copy()
    for cells in levels[1:]:
        below = receiver[cells]
        above[cells] = np.where(
            catchment[cells] >= river_m2, 0.0, np.maximum(above[below] + flat[cells] - flat[below], 0)
        )
    above = _spread(np.maximum(above.reshape(height.shape), 0), 0.5)
    # A river builds a floor: what stands less than ten metres above it lies nearly flat.
    floor = np.where(above < 10, 0.88 * above, 8.8 * np.exp(-(above - 10) / 12))
    return Terrain(
        x0=west,
        y0=south,
        cell_m=CELL_M,
        height_m=height - floor,
        above_river_m=above,
        catchment_m2=catchment.reshape(height.shape),
        receiver=receiver,
    )


def streams(ground: Terrain, least_m2: float) -> list[tuple[Floats, float]]:
    """Stream reaches as (points n x 2 from head to mouth, catchment at the mouth in m²).

    A reach runs from a head or a confluence to the next confluence; the last
    point of a reach is the first of the one below.
    """
    cols = ground.height_m.shape[1]
    catchment = ground.catchment_m2.ravel()
    wet = np.flatnonzero(catchment >= least_m2)
    receiver = ground.receiver
    donors = np.bincount(receiver[wet][receiver[wet] != wet], minlength=len(receiver))
    is_start = np.zeros(len(receiver), dtype=bool)
    is_start[wet] = donors[wet] != 1
    # Streams wind smoothly through confluences too: each point moves towards the next and the main one before.
    place = np.column_stack(np.divmod(np.arange(len(receiver)), cols)[::-1]).astype(np.float64)
    feeder = np.arange(len(receiver))
    order = wet[np.argsort(catchment[wet], kind="stable")]
    feeder[receiver[order]] = order
    for _ in range(4):
        moved = 0.4 * place + 0.3 * place[receiver] + 0.3 * place[feeder]
        place[wet] = moved[wet]
    reaches = []
    for start in wet[is_start[wet]]:
        path, at = [start], start
        while receiver[at] != at:
            at = receiver[at]
            path.append(at)
            if is_start[at]:
                break
        if len(path) > 1:
            cells = np.array(path)
            points = place[cells] * ground.cell_m + (ground.x0, ground.y0)
            reaches.append((points, float(catchment[path[-2]])))
    return reaches
