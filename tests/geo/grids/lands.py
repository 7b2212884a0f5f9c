"""Villages cut into land by the plainest way there is: cells nearest to each home. Truth to measure others by."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry import Polygon, box

from geo.findings import joined
from geo.grids.units import Land

CRS = "EPSG:4526"
X0, Y0 = 38_430_000, 4_190_000
CODE = "140725100201"


def village(shape=None, code=CODE, name="上庄村"):
    shape = box(X0, Y0, X0 + 1000, Y0 + 800) if shape is None else shape
    return gpd.GeoDataFrame({"village_code": [code], "village_name": [name]}, geometry=[shape], crs=CRS)


def l_shaped():
    """A village with a corner taken out and a hole: cells of it come in pieces."""
    shell = [(0, 0), (1000, 0), (1000, 300), (420, 340), (400, 800), (0, 800)]
    hole = [(150, 150), (300, 160), (260, 320), (140, 280)]
    return Polygon([(X0 + x, Y0 + y) for x, y in shell], [[(X0 + x, Y0 + y) for x, y in hole]])


def points_in(shape, count, seed):
    """So many places inside, no two alike."""
    random = np.random.default_rng(seed)
    west, south, east, north = shape.bounds
    places = np.empty((0, 2))
    while len(places) < count:
        new = np.round(
            np.column_stack([random.uniform(west, east, 4 * count), random.uniform(south, north, 4 * count)]),
            2,
        )
        places = np.vstack([places, new[shapely.contains_xy(shape, new)]])
    return places[:count]


def homes_at(places, weights, code=CODE):
    return gpd.GeoDataFrame(
        {
            "household_key": [f"{code}-{x:.1f}-{y:.1f}" for x, y in places],
            "village_code": code,
            "group_code": [f"{code}{1 + (x > X0 + 500):02d}" for x, _ in places],
            "households": pd.array(weights, dtype="Int64"),
        },
        geometry=gpd.points_from_xy(*np.asarray(places).T),
        crs=CRS,
    )


def cells(places, shape):
    """For each place the land nearest to it, in one piece; together exactly the shape."""
    edges = shapely.voronoi_polygons(shapely.multipoints(places), extend_to=shape, only_edges=True)
    lines = shapely.union_all([edges, shape.boundary])
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(lines)))
    faces = faces[shapely.contains(shape, shapely.point_on_surface(faces))]
    owner = np.full(len(faces), -1)
    spots = shapely.points(places)
    for at, face in enumerate(faces):
        inside = np.flatnonzero(shapely.covers(face, spots))
        if len(inside):
            owner[at] = inside[0]
    while (bare := np.flatnonzero(owner < 0)).size:
        for at in bare:  # land cut off from its home joins the neighbour with the longest border
            length = shapely.length(shapely.intersection(faces[at], faces)) * (owner >= 0)
            length[at] = 0
            if length.max() > 0:
                owner[at] = owner[np.argmax(length)]
    return [shapely.coverage_union_all(faces[owner == at]) for at in range(len(places))]


def land_of(place, homes, *, natural="", exclusive=()):
    """What `geo.grids.units.Land` holds, of a village (1 row) and its homes, each of them a unit."""
    xy = shapely.get_coordinates(homes.geometry.to_numpy())
    shapes = np.array(cells(xy, place.geometry.iloc[0]), dtype=object)
    units = gpd.GeoDataFrame(
        {
            "unit_key": [f"u{at}" for at in range(len(xy))],
            "households": homes["households"].to_numpy(),
            "homes": 1,
            "group_code": homes["group_code"].to_numpy(),
            "is_exclusive": np.isin(np.arange(len(xy)), exclusive),
        },
        geometry=shapes,
        crs=homes.crs,
    )
    a, b = shapely.STRtree(shapes).query(shapes, predicate="touches")
    a, b = a[a < b], b[a < b]
    length = shapely.length(shapely.intersection(shapes[a], shapes[b]))
    a, b, length = a[length > 0], b[length > 0], length[length > 0]
    share = 1.0 if natural else 0.0
    borders = pd.DataFrame(
        {"a": a, "b": b, "length_m": length, "natural": natural, "natural_m": share * length, "barrier": ""}
    )
    return Land(
        units=units,
        borders=borders,
        closed=borders.iloc[:0],
        home_unit=np.arange(len(xy)),
        sides=np.zeros((len(xy), 0), dtype=np.int64),
        tolls=np.zeros(0),
        centres=xy,
        distances=None,
        side_names=(),
        parts=1,
        findings=joined([]),
    )


def grown(land, count, seed=0):
    """Labels of ``count`` connected sets of units: seeds that grow along borders."""
    n = len(land.units)
    random = np.random.default_rng(seed)
    label = np.full(n, -1)
    label[random.choice(n, count, replace=False)] = np.arange(count)
    a, b = land.borders["a"].to_numpy(), land.borders["b"].to_numpy()
    while (label < 0).any():
        before = label.copy()
        for one, other in ((a, b), (b, a)):
            free = (label[one] < 0) & (before[other] >= 0)
            label[one[free]] = before[other[free]]
        assert (label != before).any()
    return label


def connected(land, label):
    """Whether the units of each label hang together."""
    a, b = land.borders["a"].to_numpy(), land.borders["b"].to_numpy()
    same = label[a] == label[b]
    n = len(label)
    graph = coo_array((np.ones(same.sum()), (a[same], b[same])), shape=(n, n))
    return connected_components(graph, directed=False)[0] == label.max() + 1


def scene(count=40, parts=4, seed=0, shape=None, **more):
    """A village, its homes, land and labels."""
    place = village(shape)
    random = np.random.default_rng(seed)
    homes = homes_at(points_in(place.geometry.iloc[0], count, seed), random.integers(1, 6, count))
    land = land_of(place, homes, **more)
    return place, homes, land, grown(land, parts, seed)
