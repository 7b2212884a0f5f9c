"""Pieces told apart by shape: blocks that can be let, strips, and slivers of mismatch.

Two maps drawn apart leave a thin piece along every common border. Such arms
hang on real blocks too, so a block is opened: what a disc of a stated width
cannot enter is cut off and becomes a row of its own. Cracks run together into
webs, and ridges and road edges hang in them; so what is left is opened again,
and a strip is told from cracks by its widest place. Nothing is dropped; the
parts of a piece tile it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from geo.errors import BalanceError
from geo.reconcile.overlay import BALANCE_TOLERANCE_M2
from geo.topology import parts, require_polygons
from geo.workers import cores

BLOCK: Final = "BLOCK"
STRIP: Final = "STRIP"
SLIVER: Final = "SLIVER"
_SHAPES: Final = (BLOCK, STRIP, SLIVER)

_CHUNK: Final = 2_000  # pieces a task
_CLEARANCE_M: Final = (
    0.05  # cores are grown back this much further: lines that nearly coincide cost time and crumbs
)
_MITRE_LIMIT: Final = 2.0  # an opened block keeps its corners down to about 60 degrees

Geometries = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeSettings:
    """Widths and areas that tell the shapes apart."""

    min_block_area_m2: float = 100.0  # 0.15 mu; the survey itself maps farmland from 400 m² on
    opening_width_m: float = 5.0  # two borders, each off by 2.5 m, may leave a gap this wide that is no land
    min_block_width_m: float = (
        2.5  # mean width 2A/L of a block; a long one is its width, a square half its side
    )
    min_strip_area_m2: float = 50.0  # a strip worth a look in the field; less is mismatch
    min_strip_width_m: float = 1.5  # at its widest place, where no gap of error is known to be wider
    strip_cut_share: float = 0.4  # of that width: where a strip is cut off from the web of cracks round it
    min_arm_area_m2: float = 2.0  # arms and corners smaller than this stay with their block


class _Parts(NamedTuple):
    polygons: Geometries
    of: Rows  # the piece each is part of
    kind: Rows  # place in _SHAPES


class _Widths(NamedTuple):
    opening: float  # a block is wider than this
    strip: float  # a strip is, at its widest place


def shape(
    pieces: gpd.GeoDataFrame,
    settings: ShapeSettings | None = None,
    *,
    gap_width_m: float | None = None,
    jobs: int = 0,
) -> gpd.GeoDataFrame:
    """Pieces divided into blocks and what hangs on them, each classed by its shape.

    Parameters
    ----------
    pieces : GeoDataFrame, n rows
        Valid single polygons in a projected CRS in metres, as `overlay` gives
        them; column ``patch_row`` is carried over if present.
    settings : ShapeSettings, optional
    gap_width_m : float, optional, m
        Gaps no wider than this come from errors of borders (`geo.reconcile.border`): blocks are
        opened at least this wide, and a strip is wider than this somewhere. Without it
        ``opening_width_m`` and ``min_strip_width_m`` decide.
    jobs : int
        Threads, 0 for one a core; never changes the answer.

    Returns
    -------
    GeoDataFrame, at least n rows
        ``piece_row`` (position in ``pieces``), ``patch_row``, ``piece_shape``
        (BLOCK, STRIP or SLIVER), ``mean_width_m`` (2 A / perimeter),
        ``planar_area_m2``, ``geometry`` (single Polygon). Ordered by piece,
        then west to east, north to south. Parts of a piece do not overlap and
        their areas add up to it.

    Raises
    ------
    GeometryTypeError
        If a geometry is no polygon.
    BalanceError
        If the parts of a piece do not add up to it.
    """
    settings = settings or ShapeSettings()
    widths = _Widths(opening_width(settings, gap_width_m), gap_width_m or settings.min_strip_width_m)
    shapes = require_polygons(pieces.geometry.to_numpy(), pieces.index, "pieces")
    tasks = [slice(start, start + _CHUNK) for start in range(0, len(shapes), _CHUNK)]
    with ThreadPoolExecutor(cores(jobs)) as pool:
        done = list(pool.map(lambda rows: _divided(shapes[rows], settings, widths), tasks))
    polygons = np.concatenate([np.empty(0, dtype=object), *(part.polygons for part in done)])
    begun = [part.of + rows.start for rows, part in zip(tasks, done, strict=True)]
    row = np.concatenate([np.empty(0, dtype=np.int64), *begun])
    kind = np.concatenate([np.empty(0, dtype=np.int64), *(part.kind for part in done)])
    area = shapely.area(polygons)
    _check_balance(shapes, row, area)
    bounds = shapely.bounds(polygons)
    order = np.lexsort((area, -bounds[:, 3], bounds[:, 0], row))
    table = {
        "piece_row": row[order],
        "piece_shape": np.array(_SHAPES, dtype=object)[kind[order]],
        "mean_width_m": mean_width(polygons[order]),
        "planar_area_m2": area[order],
    }
    if "patch_row" in pieces:
        table["patch_row"] = pieces["patch_row"].to_numpy()[row[order]]
    return gpd.GeoDataFrame(table, geometry=polygons[order], crs=pieces.crs)


def opening_width(settings: ShapeSettings, gap_width_m: float | None) -> float:
    """Width, m, that a block is opened by: the settings' own, or that of gaps of error where they are wider."""
    return max(settings.opening_width_m, gap_width_m or 0.0)


def mean_width(polygons: npt.ArrayLike) -> Floats:
    """Twice the area over the perimeter, m: the width of a long strip, half the side of a square."""
    shapes = np.asarray(polygons, dtype=object)
    length = shapely.length(shapes)
    return 2 * shapely.area(shapes) / np.where(length > 0, length, np.inf)


def _divided(shapes: Geometries, settings: ShapeSettings, widths: _Widths) -> _Parts:
    """Parts of each piece: blocks, then strips of what is no block, then the rest."""

    def are_blocks(hearts: Geometries) -> npt.NDArray[np.bool_]:
        large = shapely.area(hearts) >= settings.min_block_area_m2
        return np.asarray(large & (mean_width(hearts) >= settings.min_block_width_m))

    def are_strips(hearts: Geometries) -> npt.NDArray[np.bool_]:
        large = shapely.area(hearts) >= settings.min_strip_area_m2
        large[large] = has_room(hearts[large])
        return np.asarray(large)

    def has_room(hearts: Geometries) -> npt.NDArray[np.bool_]:
        return np.asarray(~shapely.is_empty(_grown(hearts, -widths.strip / 2)))

    area, width = shapely.area(shapes), mean_width(shapes)
    # Half the width is enough to ask: arms make a block's mean width smaller than its own.
    worth = (area >= settings.min_block_area_m2) & (width >= settings.min_block_width_m / 2)
    # A web of cracks without room for a strip has none for a wider block: one question settles most.
    large = (area >= settings.min_strip_area_m2) & (widths.strip <= widths.opening)
    webs = np.flatnonzero(large & (~worth | (width < settings.min_block_width_m)))
    narrow = np.zeros(len(shapes), dtype=bool)
    narrow[webs] = ~has_room(shapes[webs])
    blocks, of_block, rest, of_rest = _opened(shapes, worth & ~narrow, widths.opening, are_blocks, settings)
    cut = settings.strip_cut_share * widths.strip
    asked = np.flatnonzero(~narrow[of_rest])
    wide = np.zeros(len(rest), dtype=bool)
    wide[asked] = are_strips(rest[asked])
    strips, at, slivers, left = _opened(rest, wide, cut, are_strips, settings)
    return _Parts(
        np.concatenate([blocks, strips, slivers]),
        np.concatenate([of_block, of_rest[at], of_rest[left]]),
        np.repeat(np.arange(len(_SHAPES)), [len(blocks), len(strips), len(slivers)]),
    )


def _opened(
    shapes: Geometries,
    worth: npt.NDArray[np.bool_],
    width: float,
    accepted: Callable[[Geometries], npt.NDArray[np.bool_]],
    settings: ShapeSettings,
) -> tuple[Geometries, Rows, Geometries, Rows]:
    """Bodies wider than ``width`` and what is left, and the row of each; a row without body is left whole."""
    radius = width / 2
    asked = np.flatnonzero(worth)
    inner = _grown(shapes[asked], -radius)
    wide = np.flatnonzero(~shapely.is_empty(inner))
    hearts, at = parts(_grown(inner[wide], radius + _CLEARANCE_M))
    of_heart = asked[wide[at]]
    good = accepted(hearts)
    hearts, of_heart = hearts[good], of_heart[good]
    holders = np.unique(of_heart)
    arms, at = parts(shapely.difference(shapes[holders], _gathered(hearts, of_heart, holders)))
    of_arm = holders[at]
    real = shapely.area(arms) >= settings.min_arm_area_m2
    arms, of_arm = arms[real], of_arm[real]
    armed = np.unique(of_arm)
    bare = np.setdiff1d(holders, armed)
    bodies, at = parts(shapely.difference(shapes[armed], _gathered(arms, of_arm, armed)))
    whole = np.setdiff1d(np.arange(len(shapes)), holders)
    return (
        np.concatenate([shapes[bare], bodies]),
        np.concatenate([bare, armed[at]]),
        np.concatenate([shapes[whole], arms]),
        np.concatenate([whole, of_arm]),
    )


def _grown(shapes: Geometries, by: float) -> Geometries:
    return shapely.buffer(shapes, by, join_style="mitre", mitre_limit=_MITRE_LIMIT)


def _gathered(polygons: Geometries, of: Rows, rows: Rows) -> Geometries:
    """One valid multipolygon of the polygons of each row."""
    out = np.full(len(rows), shapely.MultiPolygon(), dtype=object)
    if len(polygons):
        order = np.argsort(of, kind="stable")
        present = np.unique(of)
        out[np.searchsorted(rows, present)] = shapely.multipolygons(
            polygons[order], indices=np.searchsorted(present, of[order])
        )
    overlapping = np.flatnonzero(~shapely.is_valid(out))
    if overlapping.size:
        out[overlapping] = shapely.union_all(out[overlapping][:, None], axis=1)
    return out


def _check_balance(shapes: Geometries, row: Rows, area: Floats) -> None:
    off = np.abs(np.bincount(row, area, minlength=len(shapes)) - shapely.area(shapes)) > BALANCE_TOLERANCE_M2
    if off.any():
        west, south, _, _ = shapely.bounds(shapes[np.flatnonzero(off)[0]])
        raise BalanceError(f"图块拆分后面积不平衡（位于 {west:.1f}, {south:.1f}），请将该图块交开发者检查")
