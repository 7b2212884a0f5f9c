"""A county of two small villages, with houses, roads and a stream: what whole runs of grids are tried on."""

from functools import cache

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.grids import GridSettings, partition, profile_of
from geo.grids.households import households
from tests.helpers import X0, Y0, ZONE_39, layer

UPPER, LOWER = "140725100201", "140725100202"
NORM = profile_of("6/8/14")
FAST = GridSettings(profile=NORM, budget="fast")
MICRO = GridSettings(profile=NORM, micro=profile_of("2/3/5"), budget="fast")
SIZE = 600  # of a village, m
EAST = X0 + SIZE  # where the second village begins


def shape_of(west):
    """A village of 600 m with a corner off and a hole in it."""
    shell = [(0, 0), (SIZE, 0), (SIZE, 430), (460, SIZE), (0, SIZE)]
    hole = [(250, 500), (330, 500), (330, 560), (250, 560)]
    return shapely.Polygon([(west + x, Y0 + y) for x, y in shell], [[(west + x, Y0 + y) for x, y in hole]])


def villages():
    return layer(shape_of(X0), shape_of(EAST), village_code=[UPPER, LOWER], village_name=["上庄村", "柳沟村"])


def source(seed=0, count=90):
    """House points, most of them in rows along lanes, some alone; up to 3 households each."""
    random = np.random.default_rng(seed)
    west = np.where(np.arange(count) < count * 0.55, X0, EAST)
    x = west + 20 + np.round(random.uniform(0, 420, count), 1)
    y = Y0 + 15 + 55.0 * random.integers(0, 8, count) + np.round(random.uniform(0, 12, count), 1)
    number = np.arange(count)
    return gpd.GeoDataFrame(
        {"households": random.choice([1, 1, 1, 2, 3], count), "address": [f"{n}号" for n in number]},
        geometry=gpd.points_from_xy(x, y),
        crs=ZONE_39,
    )


def lines():
    """A lane between every other row, and a stream through both villages."""
    ways = [
        shapely.LineString([(X0 - 10, Y0 + 48 + 110 * n), (EAST + SIZE + 10, Y0 + 50 + 110 * n)])
        for n in range(5)
    ]
    stream = shapely.LineString([(X0 + 210, Y0 - 10), (X0 + 240, Y0 + 300), (X0 + 205, Y0 + 650)])
    return layer(*ways, stream, kind=["lane"] * 5 + ["river"])


def homes(seed=0, count=90):
    """Layer ``households`` of the county."""
    return households(source(seed, count), villages()).points


@cache
def _drawn(settings, seed):
    return partition(homes(seed), villages(), lines=lines(), settings=settings, jobs=1)


def drawn(settings=FAST, seed=0):
    """Grids of the county, drawn once; nobody changes them."""
    return _drawn(settings, seed)


def again(result, *, homes_=None, settings=FAST, **more):
    """A run over what an earlier one left."""
    people = homes() if homes_ is None else homes_
    more = {"lines": lines(), "jobs": 1} | more
    return partition(people, villages(), previous=result.tables(), settings=settings, **more)


def ordinary(result):
    return result.grids[result.grids["grid_kind"].eq("ORDINARY")]


def bytes_of(result):
    """All layers of a run as bytes, geometry included."""
    parts = []
    for name, table in sorted(result.tables().items()):
        plain = pd.DataFrame(table).copy()
        if "geometry" in plain:
            plain["geometry"] = shapely.to_wkb(plain["geometry"], hex=True)
        parts.append(name + plain.to_csv(index=False))
    return "\n".join(parts)
