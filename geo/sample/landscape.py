"""A county before anybody surveys it: villages, settlements, streams and roads on a terrain.

Everything here is for the whole county at once and cheap; what is inside a
village is made village by village (`geo.sample.land`), and villages fit
because their common border is made from the same grid cells on both sides.
"""

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from geo.sample.terrain import Floats, Terrain, hashed, noise, streams, terrain

PATCH_MEAN_M2: Final = 10_400.0
GRID_M: Final = 6.0  # raster on which zones are laid out; every window is aligned to it
RIVER_M2: Final = 1.6e6
TOWNSHIPS: Final = (
    ("140725100", "朝阳镇"), ("140725101", "南燕竹镇"), ("140725102", "宗艾镇"), ("140725103", "平头镇"),
    ("140725104", "松塔镇"), ("140725105", "西洛镇"), ("140725106", "尹灵芝镇"), ("140725200", "平舒乡"),
    ("140725201", "解愁乡"), ("140725202", "温家庄乡"), ("140725203", "景尚乡"), ("140725205", "羊头崖乡"),
)  # fmt: skip
_FIRST: Final = "东西南北上下前后大小新古石白黄青红长高平"
_MIDDLE: Final = "河沟坪塬岭坡岔峪湾崖泉槐柳杨桃松榆庙窑井"
_LAST: Final = "村庄沟峪坪头底上垴寨"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Village:
    """One village: where its heart is and what it is called."""

    number: int  # place among the county's villages, from 0; seeds everything inside
    site: int  # number among all sites; the label in the village raster
    code: str  # 12 digits
    name: str
    township_name: str
    hamlets: Floats  # n x 2, settlements, the main one first; each is the heart of a villagers' group


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Landscape:
    """The county: terrain, sites (villages and the land beyond), streams and roads."""

    seed: int
    spacing_m: float
    ground: Terrain
    sites: Floats  # n x 2; the first are the villages, in their order
    villages: tuple[Village, ...]
    rivers: NDArray[np.object_]  # polygons of water
    gullies: NDArray[np.object_]  # polygons of gully floors and sides
    highways: NDArray[np.object_]  # centre lines
    lanes: NDArray[np.object_]


def _sites(villages: int, spacing: float, rng: np.random.Generator) -> tuple[Floats, int]:
    """Hearts of the villages, then those of the land beyond; and how many are villages."""
    half = int(np.ceil(np.sqrt(villages) / 2)) + 3
    row, col = np.mgrid[-half : half + 1, -half : half + 1]
    points = np.column_stack(((col + 0.5 * (row % 2)).ravel(), 0.9 * row.ravel())) * spacing
    points += rng.uniform(-0.27, 0.27, points.shape) * spacing
    order = np.argsort(np.hypot(points[:, 0], 1.15 * points[:, 1]), kind="stable")
    points = points[order]
    inside = points[:villages]
    near = np.array([np.hypot(*(inside - p).T).min() < 2.3 * spacing for p in points])
    near[:villages] = True
    # Villages of one township lie side by side: county west to east in columns, each north to south.
    columns = max(1, round(np.sqrt(villages / 14)))
    rank = np.empty(villages, dtype=int)
    rank[np.argsort(inside[:, 0], kind="stable")] = np.arange(villages)
    column = rank * columns // villages
    inside = inside[np.lexsort((-inside[:, 1], column))]
    return np.vstack((inside, points[villages:][near[villages:]])), villages


def window(low: float, high: float) -> Floats:
    """Centres of the grid cells from ``low`` to ``high``."""
    first, last = int(np.floor(low / GRID_M)), int(np.ceil(high / GRID_M))
    return (np.arange(first, last).astype(np.float64) + 0.5) * GRID_M


def site_raster(land: Landscape, xs: Floats, ys: Floats) -> NDArray[np.int32]:
    """Number of the site whose land each cell is; depends on the cell only, not on the window."""
    scale, seed = land.spacing_m, land.seed * 131
    warp_x = (
        noise(seed, 0.5 * scale, xs, ys) * 0.26 * scale + noise(seed + 1, 0.16 * scale, xs, ys) * 0.10 * scale
    )
    warp_y = (
        noise(seed + 2, 0.5 * scale, xs, ys) * 0.26 * scale
        + noise(seed + 3, 0.16 * scale, xs, ys) * 0.10 * scale
    )
    x, y = xs[None, :] + warp_x, ys[:, None] + warp_y
    best = np.full(x.shape, np.inf)
    label = np.zeros(x.shape, dtype=np.int32)
    reach = 2.2 * scale
    for number, (sx, sy) in enumerate(land.sites):
        if not (xs[0] - reach < sx < xs[-1] + reach and ys[0] - reach < sy < ys[-1] + reach):
            continue
        far = (x - sx) ** 2 + (y - sy) ** 2
        closer = far < best
        best[closer], label[closer] = far[closer], number
    # A cell alone among others is no land of a village's own: it goes with the cell to its west.
    inner = label[1:-1, 1:-1]
    sides = (label[:-2, 1:-1], label[2:, 1:-1], label[1:-1, 2:], label[1:-1, :-2])
    alone = np.logical_and.reduce([inner != side for side in sides])
    label[1:-1, 1:-1] = np.where(alone, sides[-1], inner)
    return label


def smooth_line(points: Floats, rounds: int = 3) -> Floats:
    """A line with its corners cut (Chaikin), ends kept."""
    for _ in range(rounds):
        if len(points) < 3:
            return points
        a, b = points[:-1], points[1:]
        cut = np.stack((0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b), axis=1).reshape(-1, 2)
        points = np.vstack((points[:1], cut[1:-1], points[-1:]))
    return points


def _wander(points: Floats, seed: int, size: float) -> Floats:
    """Points moved a little by hashed noise, ends included, so that lines that meet still meet."""
    key = np.round(points).astype(np.int64)
    return points + size * np.column_stack(
        (hashed(seed, key[:, 0], key[:, 1]), hashed(seed + 1, key[:, 0], key[:, 1]))
    )


def _settle(ground: Terrain, rng: np.random.Generator, heart: Floats, spacing: float, count: int) -> Floats:
    """Places for settlements near a heart: gentle ground, above the floods, apart from each other."""
    tries = heart + rng.uniform(-0.36, 0.36, (160, 2)) * spacing
    tries[0] = heart
    col = np.clip(
        ((tries[:, 0] - ground.x0) / ground.cell_m).round().astype(int), 1, ground.height_m.shape[1] - 2
    )
    row = np.clip(
        ((tries[:, 1] - ground.y0) / ground.cell_m).round().astype(int), 1, ground.height_m.shape[0] - 2
    )
    h, cell = ground.height_m, ground.cell_m
    slope = np.hypot(h[row, col + 1] - h[row, col - 1], h[row + 1, col] - h[row - 1, col]) / (2 * cell)
    above = ground.above_river_m[row, col]
    wet = ground.catchment_m2[row, col] > 60_000
    cost = slope * 12 + np.abs(above - 25) / 60 + 3.0 * (above < 7) + 2.0 * wet
    chosen = [int(np.argmin(cost + np.hypot(*(tries - heart).T) / spacing * 2.5))]
    for _ in range(count - 1):
        gap = np.min([np.hypot(*(tries - tries[k]).T) for k in chosen], axis=0)
        chosen.append(int(np.argmin(cost + 50 * np.maximum(0.30 - gap / spacing, 0))))
    return tries[chosen]


def _path(ground: Terrain, height: Floats, start: Floats, end: Floats, steep: float) -> Floats:
    """Cheapest way over the ground between two points, as cell centres."""
    rows, cols = height.shape

    def cell(p: Floats) -> tuple[int, int]:
        return (
            int(np.clip(round((p[1] - ground.y0) / ground.cell_m), 0, rows - 1)),
            int(np.clip(round((p[0] - ground.x0) / ground.cell_m), 0, cols - 1)),
        )

    a, b = cell(start), cell(end)
    pad = 14
    r0, r1 = max(min(a[0], b[0]) - pad, 0), min(max(a[0], b[0]) + pad, rows - 1)
    c0, c1 = max(min(a[1], b[1]) - pad, 0), min(max(a[1], b[1]) + pad, cols - 1)
    h = height[r0 : r1 + 1, c0 : c1 + 1].tolist()
    wide = c1 - c0 + 1
    tall = r1 - r0 + 1
    source, target = (a[0] - r0) * wide + a[1] - c0, (b[0] - r0) * wide + b[1] - c0
    steps = [
        (dr, dc, float(np.hypot(dr, dc)) * ground.cell_m)
        for dr, dc in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1),
                       (-2, -1), (-2, 1), (2, -1), (2, 1), (-1, -2), (-1, 2), (1, -2), (1, 2))
    ]  # fmt: skip
    cost = {source: 0.0}
    came: dict[int, int] = {}
    heap = [(0.0, source)]
    while heap:
        so_far, at = heapq.heappop(heap)
        if at == target:
            break
        if so_far > cost[at]:
            continue
        r, c = divmod(at, wide)
        here = h[r][c]
        for dr, dc, length in steps:
            rr, cc = r + dr, c + dc
            if 0 <= rr < tall and 0 <= cc < wide:
                grade = abs(h[rr][cc] - here) / length
                total = so_far + length * (1 + steep * grade * grade)
                to = rr * wide + cc
                if total < cost.get(to, np.inf):
                    cost[to], came[to] = total, at
                    heapq.heappush(heap, (total, to))
    way = [target]
    while way[-1] != source:
        way.append(came[way[-1]])
    cells = np.array(way[::-1])
    return np.column_stack(
        (ground.x0 + (cells % wide + c0) * ground.cell_m, ground.y0 + (cells // wide + r0) * ground.cell_m)
    ).astype(np.float64)


def _tree(points: Floats) -> list[tuple[int, int]]:
    """Links of the shortest tree through all points (Prim)."""
    joined = np.zeros(len(points), dtype=bool)
    joined[0] = True
    far = np.hypot(*(points - points[0]).T)
    parent = np.zeros(len(points), dtype=int)
    links = []
    for _ in range(len(points) - 1):
        new = int(np.argmin(np.where(joined, np.inf, far)))
        links.append((int(parent[new]), new))
        joined[new] = True
        gap = np.hypot(*(points - points[new]).T)
        closer = gap < far
        far[closer], parent[closer] = gap[closer], new
    return links


def _roads(
    ground: Terrain, villages: tuple[Village, ...], sites: Floats
) -> tuple[list[Floats], list[Floats]]:
    """Highways that link the villages and lanes that link hamlets, as lines."""
    highways, lanes = [], []
    hearts = np.array([v.hamlets[0] for v in villages])
    for a, b in _tree(hearts):
        highways.append(_path(ground, ground.height_m, hearts[a], hearts[b], 50.0))
    beyond = sites[len(villages) :]
    for end in (np.argmax(beyond[:, 0]), np.argmin(beyond[:, 0])):  # the county is not alone in the world
        start = int(np.argmin(np.hypot(*(hearts - beyond[end]).T)))
        highways.append(_path(ground, ground.height_m, hearts[start], beyond[end], 50.0))
    for village in villages:
        for a, b in _tree(village.hamlets):
            lanes.append(_path(ground, ground.height_m, village.hamlets[a], village.hamlets[b], 40.0))
        # One lane of each village goes out to its furthest fields and on to a neighbour.
        near = np.argsort(np.hypot(*(sites - sites[village.site]).T), kind="stable")[1:4]
        lanes += [
            _path(ground, ground.height_m, village.hamlets[-1], sites[neighbour], 40.0)
            for neighbour in near
            if neighbour > village.site
        ]
    return highways, lanes


def landscape(*, villages: int, patches_per_village: int, seed: int) -> Landscape:
    """A county of ``villages`` villages whose land will hold about ``patches_per_village`` patches each.

    Parameters
    ----------
    villages, patches_per_village, seed : int
        Size, and what makes it this county and no other.

    Returns
    -------
    Landscape
        In metres from the county's centre.
    """
    rng = np.random.default_rng([seed, 0x5EED])
    spacing = float(np.sqrt(patches_per_village * PATCH_MEAN_M2 / 0.9))
    sites, _ = _sites(villages, spacing, rng)
    low, high = sites[:villages].min(axis=0) - 2.0 * spacing, sites[:villages].max(axis=0) + 2.0 * spacing
    ground = terrain(seed, (low[0], low[1], high[0], high[1]), river_m2=RIVER_M2)
    townships = min(max(-(-villages // 14), min(villages, 3)), len(TOWNSHIPS))
    made, names = [], set[str]()
    for number in range(villages):
        own = np.random.default_rng([seed, 7, number])
        township = number * townships // villages
        first = -(-township * villages // townships)
        name = ""
        while not name or name in names:
            name = "".join(own.choice(list(part)) for part in (_FIRST, _MIDDLE, _LAST))
        names.add(name)
        count = int(own.integers(2, 5)) if patches_per_village >= 200 else 2 + number % 2
        made.append(
            Village(
                number=number,
                site=number,
                code=f"{TOWNSHIPS[township][0]}{200 + number - first:03d}",
                name=name,
                township_name=TOWNSHIPS[township][1],
                hamlets=_settle(ground, own, sites[number], spacing, count),
            )
        )
    highways, lanes = _roads(ground, tuple(made), sites)
    rivers, gullies = [], []
    for points, catchment in streams(ground, 26_000):
        line = shapely.LineString(smooth_line(_wander(points, seed + 5, 7.0)))
        if catchment >= RIVER_M2:
            rivers.append(shapely.buffer(line, 2.5 + 1.1e-3 * np.sqrt(catchment), quad_segs=4))
        else:
            key = np.round(points[:1]).astype(np.int64)
            breadth = 11.0 + 0.024 * np.sqrt(catchment) + 5 * float(hashed(seed + 9, key[:, 0], key[:, 1])[0])
            gullies.append(shapely.buffer(line, breadth, quad_segs=4))
    return Landscape(
        seed=seed,
        spacing_m=spacing,
        ground=ground,
        sites=sites,
        villages=tuple(made),
        rivers=np.array(rivers, dtype=object),
        gullies=np.array(gullies, dtype=object),
        highways=np.array(
            [shapely.LineString(smooth_line(_wander(p, seed + 5, 9.0))) for p in highways if len(p) > 1]
        ),
        lanes=np.array(
            [shapely.LineString(smooth_line(_wander(p, seed + 5, 9.0))) for p in lanes if len(p) > 1]
        ),
    )
