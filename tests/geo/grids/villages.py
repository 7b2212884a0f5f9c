"""Small villages for tests of grids, drawn from a few numbers."""

import geopandas as gpd
import numpy as np
import shapely
import shapely.affinity
import shapely.ops
from hypothesis import strategies as st

from tests.helpers import X0, Y0, ZONE_39, layer

CODE = "140725100200"
FIELD, HOMESTEAD, ROAD, RIVER = "0103", "0702", "1006", "1101"


def at(shape):
    """A shape drawn around (0, 0), where the tests' villages lie."""
    return shapely.transform(shape, lambda xy: xy + np.array([X0, Y0]))


def village(shape):
    return layer(at(shape), village_code=[CODE], village_name=["石榆村"])


def homes(xy, households=1, **columns):
    spots = shapely.points(np.asarray(xy, dtype=float).reshape(-1, 2) + np.array([X0, Y0]))
    return gpd.GeoDataFrame(
        {"households": np.broadcast_to(households, len(spots)).astype("int64"), **columns},
        geometry=list(spots),
        crs=ZONE_39,
    )


def patches(**classes):
    """Survey patches from shapes by land class, ``c0103=[...]``."""
    rows = [(name[1:], at(shape)) for name, shapes in classes.items() for shape in shapes]
    return layer(*[shape for _, shape in rows], land_class=[name for name, _ in rows])


def cut_up(shape, lines, width):
    """Patches a land has around roads of some width along lines."""
    road = shapely.intersection(shapely.union_all(shapely.buffer(lines, width / 2, cap_style="flat")), shape)
    fields = shapely.get_parts(shapely.difference(shape, road))
    return patches(c0103=list(fields), c1006=[p for p in shapely.get_parts(road) if p.area > 0])


OUTLINES = [
    shapely.box(0, 0, 400, 300),
    shapely.Polygon([(0, 0), (500, 60), (430, 320), (200, 210), (-80, 350)]),
    shapely.box(0, 0, 400, 300).difference(shapely.box(150, 100, 240, 170)),  # another village inside
    shapely.MultiPolygon([shapely.box(0, 0, 300, 300), shapely.box(340, 20, 460, 200)]),  # an island
    shapely.MultiPolygon(
        [shapely.box(0, 0, 200, 200), shapely.box(200, 200, 400, 400)]
    ),  # joined in a point only
]

_inside = st.integers(-100, 5200).map(lambda value: value / 10)


@st.composite
def scenes(draw):
    """Arguments of `land_units`: land, homes on it, beside it and on its borders, any of the layers."""
    shape = draw(st.sampled_from(OUTLINES))
    spots = draw(st.lists(st.tuples(_inside, _inside), min_size=0, max_size=25))
    spots += draw(st.lists(st.sampled_from([(0, 0), (100, 0), (150, 150), (75, 300)]), max_size=3))
    count = draw(st.lists(st.integers(0, 4), min_size=len(spots), max_size=len(spots)))
    scene = {"village": village(shape), "homes": homes(spots, count)}
    ends = draw(st.lists(st.tuples(_inside, _inside, _inside, _inside), max_size=4, unique=True))
    ways = [shapely.LineString([(a, b), (c, d)]) for a, b, c, d in ends if (a, b) != (c, d)]
    kind = draw(st.sampled_from(["none", "areas", "lines"]))
    if kind == "areas" and ways:
        scene["survey"] = cut_up(shape, ways, draw(st.sampled_from([0.5, 4.0, 25.0])))
    if kind == "lines" and ways:
        names = draw(st.lists(st.sampled_from(["road", "river", "wall"]), min_size=4, max_size=4))
        scene["lines"] = layer(*[at(way) for way in ways], kind=names[: len(ways)])
    if ways and draw(st.booleans()):  # another drawing of the same road, hardly elsewhere
        off = draw(st.sampled_from([1e-6, 1e-5, 1e-4, 1e-3, 0.02, 0.4]))
        twin = shapely.affinity.rotate(shapely.affinity.translate(ways[0], 0, off), off / 10)
        halves = shapely.ops.split(
            shapely.box(-900, -900, 1500, 1500), shapely.affinity.scale(twin, 90, 90)
        ).geoms
        codes = [f"{CODE}{number:02d}" for number in range(len(halves))]
        scene["groups"] = layer(*[at(half) for half in halves], group_code=codes)
    elif draw(st.booleans()):
        x = draw(st.integers(20, 380))
        whole = shape.envelope
        parts = [shapely.box(-200, -200, x, 600), shapely.box(x, -200, 900, 600)]
        codes = [CODE + "01", CODE + "02"]
        scene["groups"] = layer(*[at(p.intersection(whole)) for p in parts], group_code=codes)
    if draw(st.booleans()):
        x, y = draw(_inside), draw(_inside)
        scene["exclusive"] = layer(at(shapely.box(x, y, x + 60, y + 45)), name=["小学"])
    if draw(st.booleans()):
        scene["cut_by"] = layer(at(shapely.LineString([(-50, 120.5), (600, 133)])))
    return scene
