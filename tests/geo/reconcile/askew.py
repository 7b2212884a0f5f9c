"""Parcels laid askew on purpose, and how far a movement is from laying them back."""

import numpy as np
import shapely
from shapely import box

from geo.movement import Movement
from geo.reconcile.classify import is_farmland

MEANT = ["10", "21", "22", "23"]


def farmland(county):
    """Farmland patches of a county."""
    return county.survey[is_farmland(county.survey["land_class"]).to_numpy(dtype=bool)]


def land(county):
    """Their shapes."""
    return np.asarray(farmland(county).geometry.array)


def village_codes(county):
    return county.parcels["issuer_code"].str[:12]


def village(county, number=0):
    """Shapes of the parcels of one village that are farmland."""
    codes = village_codes(county)
    mine = codes.eq(sorted(codes.unique())[number]) & county.parcels["parcel_class"].isin(MEANT)
    return np.asarray(county.parcels.geometry.array)[mine.to_numpy(dtype=bool)]


def nearest(shapes, count, to):
    """The ``count`` shapes about one of them: a hamlet of a village."""
    middle = shapely.get_coordinates(shapely.centroid(shapes))
    return shapes[np.sort(np.argsort(np.hypot(*(middle - middle[to]).T), kind="stable")[:count])]


def turned(shapes, east, north, degrees=0.0, ppm=0.0):
    """A movement about the middle of the shapes."""
    x, y = shapely.get_coordinates(shapes).mean(axis=0)
    return Movement(
        dx_m=east,
        dy_m=north,
        rotation_rad=np.deg2rad(degrees),
        scale=1 + ppm / 1e6,
        origin_x=float(x),
        origin_y=float(y),
    )


def off(shapes, movement, planted=None):
    """How far the vertices lie from home after both movements: on average, m."""
    home = shapely.get_coordinates(shapes)
    there = movement(home if planted is None else planted(home))
    return float(np.hypot(*(there - home).T).mean())


def terraces(width, *, count=40, length=400.0, cuts=8, gap=0.0):
    """Straight parallel strips of one width, and the parcels they are cut into."""
    strips = [
        box(0, k * (width + gap), length, k * (width + gap) + width).segmentize(10.0) for k in range(count)
    ]
    each = length / cuts
    fields = [
        box(each * j, k * (width + gap), each * (j + 1), k * (width + gap) + width).segmentize(8.0)
        for k in range(count)
        for j in range(cuts)
        if (3 * k + 5 * j) % 7
    ]
    return np.array(strips, dtype=object), np.array(fields, dtype=object)
