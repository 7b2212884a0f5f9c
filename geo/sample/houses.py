"""Houses of a village: in rows along lanes on its housing land, and towers where the township has its seat.

They are drawn from a stream of random numbers of their own, so that survey and
parcels of a county are the same with them and without.
"""

from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo import schema
from geo.sample.landscape import Landscape, Village
from geo.sample.net import Geometries
from geo.sample.terrain import Floats, Ints, hashed

PLOT_M: Final = (11.4, 12.6)  # breadth of a homestead, and its depth with the lane before it
HOUSEHOLDS: Final = (1, 2, 3)  # under one roof
SHARES: Final = (0.36, 0.36, 0.28)
FULL_VILLAGE: Final = (400, 450)  # households, as far as there is land
DWINDLED: Final = (9, 26)  # households that are left in a hamlet most have moved away from
STAIR_M: Final = (15.0, 13.0)  # breadth and depth of a tower's stair
SEATS: Final = 14  # villages a township

_EDGE_M: Final = 1.0  # walls keep off the patch's border
_EMPTY: Final = 0.06  # of the plots, with a ruin or a heap of straw
_TOWERS: Final = 4
_TOWER_GAP_M: Final = 9.0
_NUMERALS: Final = "一二三四五六七八九"
_SURNAMES: Final = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏"
_GIVEN: Final = "福贵明华建国文军春秀英兰桂芳玉梅志强德全有财金宝永生根旺"


def houses(
    place: Landscape, village: Village, survey: gpd.GeoDataFrame, origin: tuple[float, float]
) -> gpd.GeoDataFrame:
    """Houses of one village.

    Parameters
    ----------
    place : Landscape
    village : Village
    survey : GeoDataFrame
        Its patches (``land_class``).
    origin : (float, float)
        Map coordinates of the county's centre.

    Returns
    -------
    GeoDataFrame
        Footprints in the survey's CRS, a row a house or a stair of a tower, with the columns of
        layer ``household_file`` and ``householder_name`` (invented); by group, then north to south.
    """
    rng = np.random.default_rng([place.seed, 31, village.number])
    land = np.asarray(survey.geometry.to_numpy())[(survey["land_class"] == "0702").to_numpy()]
    hamlets = village.hamlets + origin
    inner = shapely.buffer(land, -_EDGE_M, join_style="mitre")
    lean = 0.4 + 0.1 * float(hashed(place.seed, np.array([village.number]), np.array([3]))[0])
    parts = []
    if village.number % SEATS == 0:
        towers = _towers(inner, hamlets[0], lean, rng)
        parts.append(_tower_rows(towers, village, rng))
        if len(towers):
            taken = shapely.union_all(shapely.buffer(towers, _TOWER_GAP_M, join_style="mitre"))
            inner = shapely.difference(inner, taken)
    plots = _plots(inner, hamlets, lean, rng)
    parts.append(_house_rows(plots, village, len(hamlets), rng))
    out = pd.concat(parts, ignore_index=True)
    out["village_code"] = village.code
    out["village_name"] = f"{village.name}村民委员会"
    names = rng.choice(list(_SURNAMES), len(out)), *(rng.choice(list(_GIVEN), len(out)) for _ in range(2))
    out["householder_name"] = [a + b + c for a, b, c in zip(*names, strict=True)]
    table = schema.conform(out.drop(columns="geometry"), "household_file").drop(
        columns=["x", "y", "lon", "lat"]
    )
    return gpd.GeoDataFrame(table, geometry=out["geometry"].to_numpy(), crs=survey.crs)


def _wanted(plots: pd.DataFrame, village: Village, hamlets: int, rng: np.random.Generator) -> Ints:
    """Households each hamlet is to have, by the houses it has room for; the last of some villages has dwindled."""
    total = int(rng.integers(FULL_VILLAGE[0], FULL_VILLAGE[1] + 1))
    room = np.bincount(plots["hamlet"], plots["households"], minlength=hamlets)
    out = np.ceil(room * min(1.0, total / room.sum())).astype(np.int64)
    if hamlets > 1 and village.number % 3 == 1:
        out[-1] = rng.integers(DWINDLED[0], DWINDLED[1] + 1)
    return np.asarray(out)


def _turned(local: Floats, angle: float, at: Floats) -> Floats:
    """Points of a frame turned by an angle and put at a place, in whole centimetres."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(np.round(local @ turn + at, 2))


def _towers(inner: Geometries, heart: Floats, lean: float, rng: np.random.Generator) -> Geometries:
    """Footprints of towers of three or four stairs, on the patches next to the heart that have room."""
    found: list[shapely.Polygon] = []
    reach = np.arange(-140, 141, 7.0)
    spots = np.array([(x, y) for y in reach for x in reach])
    spots = spots[np.argsort(np.hypot(*spots.T), kind="stable")]
    places = _turned(spots, lean, heart)
    tree = shapely.STRtree(inner)
    for at in places:
        wide, deep = STAIR_M[0] * int(rng.integers(3, 5)), STAIR_M[1]
        corners = np.array([(-wide, -deep), (wide, -deep), (wide, deep), (-wide, deep)]) / 2
        shape = shapely.Polygon(_turned(corners, lean, at))
        fits = len(tree.query(shape, predicate="within")) > 0
        if fits and all(shapely.distance(shape, other) > 2 * _TOWER_GAP_M for other in found):
            found.append(shape)
        if len(found) == _TOWERS:
            break
    return np.array(found, dtype=object)


def _tower_rows(towers: Geometries, village: Village, rng: np.random.Generator) -> pd.DataFrame:
    """A row a stair, of twelve to twenty-four households, each with the footprint of the whole tower."""
    rows = []
    for number, shape in enumerate(towers, start=1):
        stairs = round(
            shapely.length(shapely.oriented_envelope(shape)) / 2 / STAIR_M[0] - STAIR_M[1] / STAIR_M[0]
        )
        storeys = int(rng.integers(6, 13))
        rows += [
            {
                "group_name": f"第{_NUMERALS[0]}村民小组",
                "building": f"{number}号楼",
                "stair": f"{stair}单元",
                "stairs": None,
                "households": 2 * storeys,
                "address": f"{village.name}小区{number}号楼{stair}单元",
                "geometry": shape,
            }
            for stair in range(1, stairs + 1)
        ]
    columns = ["group_name", "building", "stair", "stairs", "households", "address", "geometry"]
    return pd.DataFrame(rows, columns=columns)


def _plots(inner: Geometries, hamlets: Floats, lean: float, rng: np.random.Generator) -> pd.DataFrame:
    """Houses that fit on the land: hamlet, place along and across the rows, footprint."""
    parts = []
    for patch in inner:
        if shapely.area(patch) < PLOT_M[0] * PLOT_M[1] / 2:
            continue
        heart = np.asarray(shapely.get_coordinates(shapely.centroid(patch))[0])
        at = _rows_that_fit(patch, heart, lean)
        at = at + rng.normal(0, 0.25, at.shape)
        shapes = _footprints(at, lean, heart, rng)
        fits = shapely.within(shapes, patch)
        far = np.hypot(*(hamlets - heart).T)
        along = _turned(hamlets[[far.argmin()]] - heart, -lean, np.zeros(2))
        u, v = (at - along)[fits].T
        parts.append(
            pd.DataFrame(
                {"hamlet": far.argmin(), "u": u, "v": v, "far_m": np.hypot(u, v), "geometry": shapes[fits]}
            )
        )
    return pd.concat(parts, ignore_index=True)


def _rows_that_fit(patch: shapely.Geometry, heart: Floats, lean: float) -> Floats:
    """Middles of plots in rows on a patch, in its own turned frame: the lattice that holds most."""
    reach = float(np.hypot(*(shapely.bounds(patch).reshape(2, 2) - heart).T).max())
    row, col = np.mgrid[-reach : reach : PLOT_M[1], -reach : reach : PLOT_M[0]]
    grid = np.column_stack((col.ravel(), row.ravel()))
    half = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (5.0, 3.4)
    shapely.prepare(patch)
    best = np.empty((0, 2))
    for shift in np.array([(x, y) for y in range(4) for x in range(4)]) / 4 * PLOT_M:
        at = grid + shift
        boxes = shapely.polygons(_turned((at[:, None] + half).reshape(-1, 2), lean, heart).reshape(-1, 4, 2))
        held = at[shapely.contains_properly(patch, boxes)]
        best = held if len(held) > len(best) else best
    return best


def _footprints(at: Floats, lean: float, heart: Floats, rng: np.random.Generator) -> Geometries:
    """House fronts to the south, some with a wing before one end."""
    count = len(at)
    wide, deep = rng.uniform(8.6, 10.2, count), rng.uniform(5.8, 7.0, count)
    wing, out = rng.uniform(2.8, 3.4, count), rng.uniform(2.4, 3.6, count)
    has_wing, left = rng.uniform(size=count) < 0.3, rng.uniform(size=count) < 0.5
    shapes = np.empty(count, dtype=object)
    for n in range(count):
        w, d = wide[n] / 2, deep[n] / 2
        ring = [(-w, -d), (w, -d), (w, d), (-w, d)]
        if has_wing[n]:
            e, o = wing[n], out[n]
            ring = [(-w, -d - o), (-w + e, -d - o), (-w + e, -d), (w, -d), (w, d), (-w, d)]
            ring = ring if left[n] else [(-x, y) for x, y in reversed(ring)]
        shapes[n] = shapely.Polygon(_turned(np.array(ring) + at[n], lean, heart))
    return shapes


def _house_rows(
    plots: pd.DataFrame, village: Village, hamlets: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Rows of the file: the plots nearest to each heart until the hamlet has its households."""
    lived_in = rng.uniform(size=len(plots)) >= _EMPTY
    plots = plots.assign(households=rng.choice(HOUSEHOLDS, len(plots), p=SHARES))[lived_in]
    wanted = _wanted(plots, village, hamlets, rng)
    parts = []
    for number in range(hamlets):
        mine = plots[plots["hamlet"] == number].sort_values("far_m", kind="stable")
        mine = mine[mine["households"].cumsum() <= wanted[number]]
        mine = mine.iloc[np.lexsort((mine["u"], -np.round(mine["v"] / PLOT_M[1])))]
        parts.append(
            mine.assign(
                group_name=f"第{_NUMERALS[number]}村民小组",
                building="",
                stair="",
                stairs=None,
                address=[f"{village.name}{_NUMERALS[number]}组{door}号" for door in range(1, len(mine) + 1)],
            )
        )
    columns = ["group_name", "building", "stair", "stairs", "households", "address", "geometry"]
    return pd.DataFrame(pd.concat(parts)[columns])
