"""Polygons that are what they seem: repaired where a ring crosses itself, counted before and after.

Sources deliver bow-ties, doubled rings and holes outside their shells. A
repair may change the land that a row stands for, so it always says by how
much and why.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.errors import GeometryTypeError

Geometries = npt.NDArray[np.object_]

_POLYGON: Final = 3
_POLYGONAL: Final = (3, 6)  # shapely's type numbers of Polygon and MultiPolygon


class Repair(NamedTuple):
    """Geometries made valid, why each was mended ('' where it was sound), planar areas before and after."""

    fixed: Geometries
    reason: npt.NDArray[np.object_]
    area_before: npt.NDArray[np.float64]
    area_after: npt.NDArray[np.float64]


def is_polygonal(geometries: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """True where the geometry is a polygon or multipolygon; false for missing ones."""
    kind = shapely.get_type_id(np.asarray(geometries, dtype=object))
    return np.isin(kind, _POLYGONAL)


def repair(geometries: npt.ArrayLike) -> Repair:
    """Invalid polygons made valid; sound ones come back as they are.

    A ring that crosses itself is divided where it crosses, and all that its
    parts enclose is kept; holes stay holes. Lines and points that are left
    over (spikes, collapsed rings) have no area and go.

    Parameters
    ----------
    geometries : array-like of shapely geometries, n rows
        Polygons, multipolygons or collections of them; missing and empty ones pass through.

    Returns
    -------
    Repair
        Arrays of n rows. ``fixed`` holds valid polygons and multipolygons in
        two dimensions. ``reason`` is GEOS's words with the place,
        ``"Self-intersection[430001.5 4196002]"``, or ``""``. ``area_before``
        is the shoelace area of the rings as delivered: a bow-tie's halves
        cancel in it, so a repair may well raise the area. Missing: NaN.

    Raises
    ------
    GeometryTypeError
        If a row is a point or a line; the message names its position.
    """
    given = _two_dimensions(np.asarray(geometries, dtype=object))
    dimension = shapely.get_dimensions(given)
    stray = np.flatnonzero((dimension >= 0) & (dimension < 2))  # noqa: PLR2004 - land has two dimensions
    if stray.size:
        raise GeometryTypeError(f"第 {stray[0]} 行的图形是点或线，不是多边形")
    fixed = given.copy()
    reason = np.full(given.shape, "", dtype=object)
    before = shapely.area(given)
    missing = shapely.is_missing(given)
    broken = np.flatnonzero(~missing & ~shapely.is_valid(given))
    reason[broken] = shapely.is_valid_reason(given[broken])
    fixed[broken] = shapely.make_valid(given[broken], method="structure", keep_collapsed=False)
    # Parts that share an edge come back side by side, which is no valid multipolygon: they are one.
    apart = broken[~shapely.is_valid(fixed[broken])]
    fixed[apart] = [shapely.union_all(shapely.get_parts(shape)) for shape in fixed[apart]]
    odd = np.flatnonzero(~missing & ~is_polygonal(fixed))
    fixed[odd] = _polygons_of(fixed[odd])
    return Repair(fixed, reason, before, shapely.area(fixed))


def parts(geometries: npt.ArrayLike) -> tuple[Geometries, npt.NDArray[np.intp]]:
    """Single polygons of polygonal geometries, and the position each came from; order is kept."""
    polygons, row = shapely.get_parts(np.asarray(geometries, dtype=object), return_index=True)
    flat = (shapely.get_type_id(polygons) == _POLYGON) & ~shapely.is_empty(polygons)
    return polygons[flat], row[flat]


def require_polygons(geometries: npt.ArrayLike, index: "pd.Index[Any]", name: str) -> Geometries:
    """Polygons in two dimensions, or an error that names the first row that is something else.

    Missing geometries become empty ones' equal: None.

    Raises
    ------
    GeometryTypeError
        If a geometry is neither polygon nor multipolygon; the message names layer and row.
    """
    shapes = np.asarray(geometries, dtype=object)
    stray = np.flatnonzero(~shapely.is_missing(shapes) & ~is_polygonal(shapes))
    if stray.size:
        raise GeometryTypeError(f"图层“{name}”第 {index[stray[0]]!r} 行不是多边形；请先修复图形")
    return _two_dimensions(shapes)


def _two_dimensions(shapes: Geometries) -> Geometries:
    return shapely.force_2d(shapes) if shapely.has_z(shapes).any() else shapes


def _polygons_of(collections: Geometries) -> Geometries:
    """The polygonal part of each collection, however deep it lies; empty where there is none."""
    out = np.empty(len(collections), dtype=object)
    for nth, collection in enumerate(collections):  # rare: rows that were broken beyond a polygon
        pieces = [collection]
        while any(shapely.get_type_id(piece) > _POLYGONAL[1] for piece in pieces):
            pieces = [part for piece in pieces for part in shapely.get_parts(piece)]
        flat, _ = parts(np.asarray(pieces, dtype=object))
        out[nth] = shapely.union_all(flat) if len(flat) else shapely.Polygon()
    return out
