"""How well outlines lie on others at a place that is proposed: for those too few to be matched by themselves."""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from geo.movement import Movement
from geo.reconcile.edges import edges, moved

Geometries = npt.NDArray[np.object_]

_FACING_M: Final = 10.0  # edges that face opposite ways are as far apart as edges twice this distance away
_REACH_M: Final = 15.0
_AGREE: Final = 0.9  # cosine of the angle between paired edges
_NOISE_M: Final = 1.5  # a pair so far apart has about half a say


def agreement(outlines: Geometries, onto: Geometries, movement: Movement) -> float:
    """Share of the outlines, by length, that runs along others once they are moved.

    Parameters
    ----------
    outlines, onto : array of Polygon or MultiPolygon
        In one projected CRS in metres.
    movement : Movement
        Of the outlines.

    Returns
    -------
    float
        0 to 1: every edge counts the more, the nearer the edge it faces with lies. 0 without any.
    """
    moving, there = moved(edges(outlines), movement), edges(onto)
    if not len(moving.of) or not len(there.of):
        return 0.0
    tree = cKDTree(np.c_[there.point, there.out * _FACING_M])
    distance, nearest = tree.query(np.c_[moving.point, moving.out * _FACING_M], distance_upper_bound=_REACH_M)
    rows = np.flatnonzero(np.isfinite(distance))
    partner = np.asarray(nearest, dtype=np.intp)[rows]
    normal = there.out[partner]
    gap = ((there.point[partner] - moving.point[rows]) * normal).sum(axis=1)
    faces = (normal * moving.out[rows]).sum(axis=1) > _AGREE
    told = moving.length[rows] * faces * np.exp(-0.5 * (gap / _NOISE_M) ** 2)
    return float(told.sum() / moving.length.sum())
