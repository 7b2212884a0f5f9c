"""What parcels leave of each patch: every piece, and a balance checked patch by patch.

The work of a patch hangs on nothing but the patch and the parcels that meet
it, so patches go in chunks, near ones together, to as many threads as there
are cores; the answer is the same for any chunk, number of threads or order of rows.

What a patch's parcels cover is taken as patch less residual, never as a sum
over parcels: where parcels overlap, a sum counts land twice.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from shapely.errors import GEOSException

from geo.errors import BalanceError, MismatchError
from geo.reconcile.common_area import common_area
from geo.topology import parts, repair, require_polygons
from geo.workers import cores

BALANCE_TOLERANCE_M2: Final = 1e-3  # a patch whose areas differ by more is done again another way
_RELATIVE_TOLERANCE: Final = 1e-9  # of the patch's area: what floats lose on patches of square kilometres
_FRAME_MARGIN_M: Final = 0.5  # parcels are cut to a patch's frame this much wider, clear of its border
_CUT_SHARE: Final = 0.8  # a parcel that lies in the frame with more of its own frame is not worth cutting
_POLYGON: Final = 3  # shapely's type number
_TRIANGLE: Final = 3  # points a ring has at least
_PAIRS_CHUNK: Final = 16  # parcels are looked at in larger chunks than patches: their work is arithmetic
_GRID_M: Final = 1e-6  # last resort: nodes are snapped to a micrometre

Geometries = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlaySettings:
    """How the work is cut; none of it changes the answer."""

    chunk: int = 250  # patches a task; more cost memory, fewer cost calls
    jobs: int = 0  # threads; 0: as many as this process has cores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlay:
    """Pieces that parcels leave of patches, and the areas that prove nothing is lost."""

    pieces: gpd.GeoDataFrame  # patch_row (position in patches), geometry (single Polygon), planar_area_m2
    patches: (
        pd.DataFrame
    )  # on the index of patches: planar_area_m2 covered_planar_m2 residual_planar_m2 n_parcels
    settings: OverlaySettings


class _Chunk(NamedTuple):
    polygons: Geometries  # single polygons
    patch: Rows  # the patch of each, as position in the chunk
    residual: Floats  # area left of each patch
    hits: npt.NDArray[np.int64]  # parcels that meet each patch


def overlay(
    patches: gpd.GeoDataFrame, parcels: gpd.GeoDataFrame, settings: OverlaySettings | None = None
) -> Overlay:
    """Each patch less the union of all parcels, in single polygons, with its area balance.

    Parameters
    ----------
    patches : GeoDataFrame, n rows
        Valid polygons or multipolygons in a projected CRS in metres (`geo.topology.repair`).
    parcels : GeoDataFrame, m rows
        The same, in the same CRS; they may overlap. Missing and empty ones are ignored.
    settings : OverlaySettings, optional

    Returns
    -------
    Overlay
        ``pieces``: one row a polygon, by patch, then from west to east, north
        to south, small to large. Nothing is dropped, slivers of 1e-9 m²
        neither. A patch that is covered or missing has no piece; one that no
        parcel meets is its own piece.
        ``patches``: planar areas in m²; covered + residual = patch.
        ``n_parcels`` counts parcels that meet the patch, be it in a border.

    Raises
    ------
    MismatchError
        If the layers have different coordinate reference systems.
    GeometryTypeError
        If a geometry is no polygon.
    BalanceError
        If patch less residual is not what the parcels cover, measured apart,
        to 1e-3 m² in any patch, by either of two routes.
    """
    settings = settings or OverlaySettings()
    if patches.crs is not None and parcels.crs is not None and patches.crs != parcels.crs:
        raise MismatchError(
            f"两个图层坐标系不同（{patches.crs.name} 与 {parcels.crs.name}），请先转换到同一坐标系"
        )
    land = require_polygons(patches.geometry.to_numpy(), patches.index, "patches")
    rights = _in_canonical_order(require_polygons(parcels.geometry.to_numpy(), parcels.index, "parcels"))
    tree = shapely.STRtree(rights)
    tasks = _near_together(land, settings.chunk)
    with ThreadPoolExecutor(cores(settings.jobs)) as pool:
        done = list(pool.map(lambda rows: _chunk(land[rows], rights, tree), tasks))
    return _assemble(patches, land, tasks, done, settings)


def pairs(
    parcels: gpd.GeoDataFrame,
    *,
    min_area_m2: float = 0.01,
    min_frame_m2: float = 0.0,
    settings: OverlaySettings | None = None,
) -> pd.DataFrame:
    """Pairs of parcels that lie on the same land, and how much of it.

    Parameters
    ----------
    parcels : GeoDataFrame, m rows
        Valid polygons in a projected CRS in metres; missing and empty ones are ignored.
    min_area_m2 : float, m²
        Pairs that share less are left out: neighbours' borders cross by a hair everywhere.
    min_frame_m2 : float, m²
        Pairs whose bounding boxes share less are not looked at.
    settings : OverlaySettings, optional

    Returns
    -------
    DataFrame
        ``left``, ``right`` (positions in ``parcels``, left < right), ``overlap_m2`` (planar,
        more than or equal to ``min_area_m2``), ordered by left and right.

    Raises
    ------
    GeometryTypeError
        If a geometry is no polygon.
    """
    settings = settings or OverlaySettings()
    shapes = require_polygons(parcels.geometry.to_numpy(), parcels.index, "parcels")
    tree = shapely.STRtree(shapes)
    frames = shapely.bounds(shapes)
    tasks = _near_together(shapes, settings.chunk * _PAIRS_CHUNK)

    def shared(rows: Rows) -> tuple[Rows, Rows, Floats]:
        at, right = tree.query(shapes[rows])
        left = rows[at]
        once = left < right
        left, right = _frames_share(frames, left[once], right[once], max(min_area_m2, min_frame_m2))
        area = common_area(shapes, left, shapes, right)
        wide = area >= max(min_area_m2, np.finfo(np.float64).tiny)
        return left[wide], right[wide], area[wide]

    with ThreadPoolExecutor(cores(settings.jobs)) as pool:
        found = list(pool.map(shared, tasks))
    table = pd.DataFrame(
        {
            "left": _joined([left for left, _, _ in found], np.int64),
            "right": _joined([right for _, right, _ in found], np.int64),
            "overlap_m2": _joined([area for _, _, area in found], np.float64),
        }
    )
    return table.sort_values(["left", "right"], ignore_index=True)


def _frames_share(frames: Floats, left: Rows, right: Rows, least: float) -> tuple[Rows, Rows]:
    """Pairs whose frames share enough to matter: most neighbours fall out before geometry is touched."""
    a, b = frames[left], frames[right]
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    enough = (sides > 0).all(axis=1) & (sides.prod(axis=1) >= least)
    return left[enough], right[enough]


def _in_canonical_order(shapes: Geometries) -> Geometries:
    """Shapes sorted by themselves: the last digits of a union hang on the order of its parts."""
    shapes = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    bounds = shapely.bounds(shapes)
    keys = [shapely.get_num_coordinates(shapes), shapely.area(shapes), *bounds.T[::-1]]
    order = np.lexsort(keys)
    sorted_keys = np.stack(keys)[:, order]
    tied = (np.diff(sorted_keys, axis=1) == 0).all(axis=0)
    if tied.any():
        run = np.concatenate([[0], np.cumsum(~tied)])
        doubled = np.flatnonzero(np.concatenate([tied, [False]]) | np.concatenate([[False], tied]))
        wkb = shapely.to_wkb(shapes[order[doubled]])
        by_bytes = sorted(range(len(doubled)), key=lambda nth: (run[doubled[nth]], wkb[nth]))
        order[doubled] = order[doubled[by_bytes]]
    return shapes[order]


def _near_together(shapes: Geometries, chunk: int) -> list[Rows]:
    """Rows in chunks of neighbours, along a Hilbert curve; rows without geometry come last."""
    void = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    rows = np.flatnonzero(~void)
    if rows.size:
        rows = rows[np.argsort(gpd.GeoSeries(shapes[rows]).hilbert_distance().to_numpy(), kind="stable")]
    return [rows[start : start + chunk] for start in range(0, len(rows), chunk)]


def _chunk(land: Geometries, rights: Geometries, tree: shapely.STRtree) -> _Chunk:
    patch, parcel = tree.query(land, predicate="intersects")
    order = np.lexsort((parcel, patch))
    patch, parcel = patch[order], parcel[order]
    hits = np.bincount(patch, minlength=len(land))
    area = shapely.area(land)
    try:
        residual, covered = _subtract(land, patch, rights[parcel], hits)
        off = np.abs(area - shapely.area(residual) - covered) > _tolerance(area)
    except GEOSException:
        residual, off = land.copy(), hits > 0
    begin = np.cumsum(hits) - hits
    for row in np.flatnonzero(off):
        residual[row] = _another_way(land[row], rights[parcel[begin[row] : begin[row] + hits[row]]])
    polygons, of = parts(residual)
    return _Chunk(polygons, of, shapely.area(residual), hits)


def _tolerance(area: npt.ArrayLike) -> Floats:
    return BALANCE_TOLERANCE_M2 + _RELATIVE_TOLERANCE * np.asarray(area, dtype=np.float64)


def _subtract(land: Geometries, patch: Rows, parcels: Geometries, hits: Rows) -> tuple[Geometries, Floats]:
    """Residual of each patch, and the area its parcels cover, measured apart: from edges, without an overlay."""
    residual = land.copy()
    covered = np.zeros(len(land))
    met = np.flatnonzero(hits)
    if met.size:
        cut = _cut_to_frames(parcels, shapely.bounds(land)[patch])
        unions = np.asarray(shapely.disjoint_subset_union_all(_table(cut, hits)[met], axis=1), dtype=object)
        residual[met] = shapely.difference(land[met], unions)
        nth = np.arange(len(met))
        covered[met] = common_area(land[met], nth, unions, nth)
    return residual, covered


def _table(shapes: Geometries, hits: Rows) -> Geometries:
    """Ragged groups as rows of a table, filled up with None."""
    table = np.full((len(hits), int(hits.max())), None, dtype=object)
    row = np.repeat(np.arange(len(hits)), hits)
    table[row, np.arange(len(shapes)) - np.repeat(np.cumsum(hits) - hits, hits)] = shapes
    return table


def _cut_to_frames(shapes: Geometries, frames: Floats) -> Geometries:
    """Shapes cut to their patch's frame where much of them lies outside: half of all vertices go.

    Cutting a ring by half-planes keeps its area inside them to the last digit,
    but may run a concave ring back along the cut; such a ring is not valid,
    and then the whole shape stands, which is as good. So it does if it has holes.
    """
    frames = frames + np.array([-1, -1, 1, 1]) * _FRAME_MARGIN_M
    bounds = shapely.bounds(shapes)
    inner = np.minimum(bounds[:, 2:], frames[:, 2:]) - np.maximum(bounds[:, :2], frames[:, :2])
    own = bounds[:, 2:] - bounds[:, :2]
    simple = (shapely.get_type_id(shapes) == _POLYGON) & (shapely.get_num_interior_rings(shapes) == 0)
    far = np.flatnonzero(simple & (inner.prod(axis=1) < _CUT_SHARE * own.prod(axis=1)))
    if not far.size:
        return shapes
    cut, ring = shapely.get_coordinates(shapely.get_exterior_ring(shapes[far]), return_index=True)
    open_end = np.concatenate(
        [ring[1:] == ring[:-1], [False]]
    )  # rings repeat their first point; these do not
    cut, ring = cut[open_end], ring[open_end]
    for side, sign in ((0, 1.0), (1, 1.0), (2, -1.0), (3, -1.0)):
        cut, ring = _half_plane(cut, ring, side % 2, frames[far, side], sign)
    whole = np.bincount(ring, minlength=len(far)) >= _TRIANGLE
    kept = whole[ring]
    rings = shapely.linearrings(cut[kept], indices=np.cumsum(whole)[ring[kept]] - 1)
    cuts = np.asarray(shapely.polygons(rings), dtype=object)
    valid = shapely.is_valid(cuts)
    out = shapes.copy()
    out[far[whole][valid]] = cuts[valid]
    return out


def _half_plane(xy: Floats, ring: Rows, axis: int, limits: Floats, sign: float) -> tuple[Floats, Rows]:
    """Open rings cut by a line of their own across one axis (Sutherland and Hodgman, all rings at once)."""
    depth = sign * (xy[:, axis] - limits[ring])
    inside = depth >= 0
    if inside.all():
        return xy, ring
    size = np.bincount(ring, minlength=len(limits))
    begin = np.cumsum(size) - size
    following = np.arange(1, len(xy) + 1)
    last = (begin + size - 1)[size > 0]
    following[last] = begin[size > 0]
    crosses = inside != inside[following]
    emitted = inside.astype(np.int64) + crosses
    place = np.cumsum(emitted) - emitted
    out = np.empty((int(emitted.sum()), 2))
    out[place[inside]] = xy[inside]
    at = np.flatnonzero(crosses)
    start, end = xy[at], xy[following[at]]
    share = depth[at] / (depth[at] - depth[following[at]])
    out[place[at] + inside[at]] = start + share[:, None] * (end - start)
    return out, np.repeat(ring, emitted)


def _another_way(patch: shapely.Geometry, parcels: Geometries) -> shapely.Geometry:
    """The residual of one patch by the slow route: parcel after parcel, on mended geometry.

    Raises
    ------
    BalanceError
        If the balance is still off.
    """
    patch = repair(np.array([patch], dtype=object)).fixed[0]
    parcels = repair(parcels).fixed
    area = shapely.area(patch)
    for grid in (None, _GRID_M):
        try:
            residual = patch
            for parcel in parcels:
                residual = shapely.difference(residual, parcel, grid_size=grid)
            inside = shapely.intersection(patch, parcels, grid_size=grid)
            covered = shapely.area(shapely.union_all(inside, grid_size=grid))
        except GEOSException:
            continue
        if abs(area - shapely.area(residual) - covered) <= _tolerance(area):
            return residual
    west, south, _, _ = shapely.bounds(patch)
    raise BalanceError(
        f"图斑面积不平衡（位于 {west:.1f}, {south:.1f}）：图斑 − 剩余 ≠ 覆盖，请将该图斑交开发者检查"
    )


def _assemble(
    patches: gpd.GeoDataFrame,
    land: Geometries,
    tasks: Sequence[Rows],
    done: Sequence[_Chunk],
    settings: OverlaySettings,
) -> Overlay:
    residual, hits = np.zeros(len(land)), np.zeros(len(land), dtype=np.int64)
    for rows, part in zip(tasks, done, strict=True):
        residual[rows], hits[rows] = part.residual, part.hits
    polygons = _joined([part.polygons for part in done], object)
    row = _joined([rows[part.patch] for rows, part in zip(tasks, done, strict=True)], np.int64)
    area = shapely.area(polygons)
    bounds = shapely.bounds(polygons)
    order = np.lexsort((area, bounds[:, 2], bounds[:, 1], -bounds[:, 3], bounds[:, 0], row))
    pieces = gpd.GeoDataFrame(
        {"patch_row": row[order], "planar_area_m2": area[order]}, geometry=polygons[order], crs=patches.crs
    )
    whole = np.nan_to_num(shapely.area(land))
    balance = pd.DataFrame(
        {
            "planar_area_m2": whole,
            "covered_planar_m2": whole - residual,
            "residual_planar_m2": residual,
            "n_parcels": hits,
        },
        index=patches.index,
    )
    return Overlay(pieces=pieces, patches=balance, settings=settings)


def _joined(arrays: Sequence[npt.NDArray[Any]], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=dtype), *arrays]).astype(dtype)
