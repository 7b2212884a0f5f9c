"""What a page shows: pieces that share land with its frame, the page a piece is at home on, pages that adjoin."""

from typing import Final

import numpy as np
import numpy.typing as npt
import shapely

from geo.sheets.index import DIRECTIONS
from geo.sheets.tiles import Window

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Names = npt.NDArray[np.object_]

ADJOINING: Final = 1.5  # page widths or heights between two centres; pages farther apart do not adjoin


def home(
    bounds: Floats, starts: Floats, window: Window, pairs: tuple[Ints, Ints, Floats]
) -> npt.NDArray[np.bool_]:
    """Which pairs of piece and tile are at home: the tile shows the piece whole, nearest its middle, or most of it."""
    piece, tile, area = pairs
    bounds = bounds[piece]
    low, high = starts[tile], starts[tile] + [window.width, window.height]
    whole = ((bounds[:, :2] >= low) & (bounds[:, 2:] <= high)).all(axis=1)
    off = np.abs((bounds[:, :2] + bounds[:, 2:]) - (low + high)).max(axis=1)
    return first(piece, np.lexsort((tile, np.where(whole, off, -area), ~whole, piece)))


def adjoining(starts: Floats, window: Window) -> list[dict[str, int]]:
    """For each window the nearest one in each direction, in units of its own size."""
    at = starts / [window.width, window.height]
    reach = shapely.box(*(at - ADJOINING).T, *(at + ADJOINING).T)
    one, other = shapely.STRtree(np.asarray(shapely.points(at), dtype=object)).query(
        reach, predicate="intersects"
    )
    one, other = one[one != other], other[one != other]
    offset = at[other] - at[one]
    cell = np.rint(offset)
    # a page that lies over this one for the greater part adjoins it on the side it reaches out to
    over = (cell == 0).all(axis=1)
    far = np.abs(offset) >= np.abs(offset).max(axis=1, keepdims=True)
    cell[over] = np.where(far[over], np.sign(offset[over]), 0)
    miss = np.hypot(*(offset - cell).T)
    way_of = {way: name for name, way in DIRECTIONS.items()}
    out: list[dict[str, int]] = [{} for _ in starts]
    for i in np.lexsort((other, miss.round(9), one)).tolist():
        x, y = cell[i].tolist()
        if way := way_of.get((int(x), int(y))):
            out[int(one[i])].setdefault(way, int(other[i]))
    return [{way: found[way] for way in DIRECTIONS if way in found} for found in out]


def meeting(shapes: Names, frames: Names, piece: Ints, frame: Ints) -> tuple[Ints, Ints, Floats]:
    """Of pairs of a piece and a frame, those that share land, and how much, m²."""
    shapely.prepare(frames)
    inside = shapely.covers(frames[frame], shapes[piece])
    area = shapely.area(shapes)[piece]
    area[~inside] = shapely.area(shapely.intersection(shapes[piece[~inside]], frames[frame[~inside]]))
    keep = area > 0
    return piece[keep], frame[keep], area[keep]


def first(piece: Ints, order: Ints) -> npt.NDArray[np.bool_]:
    """The first pair of each piece, in an order that keeps pieces together."""
    out = np.zeros(len(piece), dtype=bool)
    if len(piece):
        out[order[np.r_[True, np.diff(piece[order]) != 0]]] = True
    return out


def grouped(label: Ints, groups: int) -> list[Ints]:
    """Positions of each label 0..groups-1, ascending."""
    order = np.argsort(label, kind="stable")
    return np.split(order, np.cumsum(np.bincount(label, minlength=groups))[:-1]) if groups else []


def polygons(corners: Floats) -> Names:
    """Polygons of n x 4 x 2 corners, as an array even where there is none."""
    return np.asarray(shapely.polygons(corners), dtype=object).reshape(-1)


def boxes(bounds: Floats) -> Names:
    """Boxes of n x 4 bounds, as an array even where there is none."""
    return np.asarray(shapely.box(*bounds.T), dtype=object).reshape(-1)
