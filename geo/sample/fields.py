"""Household fields: how the farmland patches of a village are worked.

On terraces a field is a strip between two contours; on flat land patches are
cut into rows. Fields tile their patch; what is confirmed, to whom and how it
was drawn comes later (`geo.sample.parcels`).
"""

from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from geo.sample.land import BANK, TERRACE, Patches, step_at
from geo.sample.net import Geometries, absorb, contours, downhill, faces, points_along, sample
from geo.sample.terrain import Floats, Ints

FIELD_M2: Final = 900.0
_LEAST_M2: Final = 260.0
_MOST_M2: Final = 2200.0


def _strips(land: Patches, wanted: NDArray[np.int64], rng: np.random.Generator) -> Geometries:
    """Contours and cuts that make terraces, each inside its own patch."""
    between = shapely.simplify(
        contours(land.height_m, land.step_m, land.terraced, land.xs, land.ys, skip=BANK), 0.3
    )
    every = contours(land.height_m, land.step_m, land.terraced, land.xs, land.ys)
    every = every[shapely.length(every) > 12]
    if not len(every):
        return every
    middle = shapely.get_coordinates(shapely.line_interpolate_point(every, 0.5, normalized=True))
    rise = np.tan(np.radians(np.maximum(sample(land.broad_deg, land.xs, land.ys, middle), 1.0)))
    width = np.clip(step_at(land.step_m, land.xs, land.ys, middle) / rise, 6.0, 40.0)
    start, _ = points_along(every, np.clip(FIELD_M2 / width, 22.0, 110.0), rng)
    cuts = downhill(land.height_m, land.xs, land.ys, start, step_at(land.step_m, land.xs, land.ys, start))
    lines = np.concatenate((between, shapely.simplify(cuts, 0.3)))
    roomy = shapely.buffer(land.geometry[wanted], 0.3, quad_segs=1)
    patch, line = shapely.STRtree(lines).query(roomy, predicate="intersects")
    inside = shapely.intersection(lines[line], roomy[patch])
    return np.asarray(inside[shapely.length(inside) > 0])


def _rows(plots: Geometries, rng: np.random.Generator) -> Geometries:
    """Lines that cut plots into rows of fields, along each plot's own axes."""
    boxes = shapely.oriented_envelope(plots)
    made = []
    for patch, box in zip(plots, boxes, strict=True):
        corner = shapely.get_coordinates(box)
        first, second = corner[1] - corner[0], corner[3] - corner[0]
        if np.hypot(*first) < np.hypot(*second):
            first, second = second, first
        long, short = float(np.hypot(*first)), float(np.hypot(*second))
        rows = max(1, round(short / 52))
        sway = rng.uniform(-0.06, 0.06)
        lines = [
            [(u, (k + (u - 0.5) * sway * 4 + sway) / rows) for u in (-0.05, 0.35, 0.65, 1.05)]
            for k in range(1, rows)
        ]
        columns = max(1, round(long * short / rows / FIELD_M2))
        for row in range(rows):
            places = (np.arange(1, columns) + rng.uniform(-0.18, 0.18, columns - 1)) / columns
            low, high = (
                (row - 0.03) / rows - 0.03 * (row == 0),
                (row + 1.03) / rows + 0.03 * (row == rows - 1),
            )
            lines += [[(u, low), (u + 0.25 * sway / columns, (low + high) / 2), (u, high)] for u in places]
        if lines:
            shapes = np.array(
                [shapely.LineString(corner[0] + np.array(at) @ np.stack((first, second))) for at in lines]
            )
            made.append(shapely.intersection(shapes, shapely.buffer(patch, 0.3, quad_segs=1)))
    return np.concatenate(made) if made else np.array([], dtype=object)


def fields(land: Patches, farmed: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Geometries, Ints]:
    """Fields of the farmed patches, and the number of each field's patch.

    Parameters
    ----------
    land : Patches
    farmed : bool array
        Which patches are divided.
    rng : Generator

    Returns
    -------
    (array of Polygon, array of int)
        Ordered by patch, then from one end of the patch to the other.
    """
    stepped = np.flatnonzero(farmed & (land.zone == TERRACE))
    level = np.flatnonzero(farmed & (land.zone != TERRACE))
    lines = [_strips(land, stepped, rng), _rows(land.geometry[level], rng)]
    patch = np.flatnonzero(farmed)
    borders = shapely.get_parts(shapely.boundary(land.geometry[patch]))
    made, owner = _owned(faces(np.concatenate([borders, *lines])), land.geometry, patch)
    # Where terraces are too wide for one household they are cut into rows as flat land is.
    wide = shapely.area(made) > _MOST_M2
    if wide.any():
        again = np.isin(owner, owner[wide])
        borders = shapely.get_parts(shapely.boundary(made[again]))
        cut, cut_owner = _owned(
            faces(np.concatenate([borders, _rows(made[wide], rng)])), land.geometry, np.unique(owner[wide])
        )
        made, owner = np.concatenate((made[~again], cut)), np.concatenate((owner[~again], cut_owner))
    made, names = absorb(made, owner, np.full(len(made), _LEAST_M2), np.ones(len(made)), own_kind=True)
    owner = owner[names]
    order = np.lexsort((_along(land.geometry, made, owner), owner))
    return made[order], owner[order]


def _owned(made: Geometries, patches: Geometries, which: Ints) -> tuple[Geometries, Ints]:
    """Those faces that lie in one of the patches, and the number of that patch."""
    spots = shapely.point_on_surface(made)
    face, number = shapely.STRtree(patches[which]).query(spots, predicate="within")
    return made[face], which[number]


def _along(patches: Geometries, made: Geometries, owner: Ints) -> Floats:
    """How far along its patch's longer axis each field lies."""
    used, place = np.unique(owner, return_inverse=True)
    corner = shapely.get_coordinates(shapely.oriented_envelope(patches[used])).reshape(-1, 5, 2)
    first, second = corner[:, 1] - corner[:, 0], corner[:, 3] - corner[:, 0]
    longer = (np.hypot(*first.T) >= np.hypot(*second.T))[:, None]
    axis = np.where(longer, first, second)
    axis /= np.maximum(np.hypot(*axis.T), 1e-9)[:, None]
    middle = shapely.get_coordinates(shapely.centroid(made))
    return np.asarray((middle * axis[place]).sum(axis=1))
