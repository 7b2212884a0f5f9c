"""Boxes and lines on a page that are taken, and whether a further one is free of them.

Boxes are upright, ``left, bottom, right, top``; lines are straight,
``x0, y0, x1, y1``. A grid of cells remembers which lie where, so that a full
page costs no more to ask than an empty one.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

_CELL_MM: Final = 12.0
_FEW: Final = 120  # so many are all looked at: cheaper than to ask the grid
_ALMOST_ZERO: Final = 1e-12


class Occupied:
    """What is taken: each item has a box and may have a line."""

    def __init__(self, items: int, obstacles: Floats) -> None:
        """Room for ``items`` items, numbered from 0; obstacles are taken from the start and have no number."""
        nothing = np.full((items, 4), np.nan)
        self.boxes = np.concatenate([nothing, obstacles.reshape(-1, 4)])
        self.lines = np.full_like(self.boxes, np.nan)
        self._cells: dict[tuple[int, int], set[int]] = {}
        self._all: set[int] = set()
        for index in range(items, len(self.boxes)):
            self._enter(index)

    def add(self, index: int, box: Floats, line: Floats | None) -> None:
        """Item ``index`` now stands at ``box``."""
        self.boxes[index] = box
        self.lines[index] = np.nan if line is None else line
        self._enter(index)

    def remove(self, index: int) -> None:
        """Item ``index`` stands nowhere."""
        for cell in self._cells_of(index):
            self._cells[cell].discard(index)
        self._all.discard(index)
        self.boxes[index] = self.lines[index] = np.nan

    def near(self, boxes: Floats) -> Integers:
        """Items that may touch any of the boxes."""
        if len(self._all) <= _FEW:
            return np.fromiter(sorted(self._all), dtype=np.int64)
        found: set[int] = set()
        for cell in _cells(boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)):
            found |= self._cells.get(cell, set())
        return np.fromiter(sorted(found), dtype=np.int64)

    def meeting(self, boxes: Floats, lines: Floats | None, items: Integers) -> Bools:
        """Whether box k, or its line, meets item m: k x m."""
        lined = np.flatnonzero(~np.isnan(self.lines[items, 0]))
        out = boxes_meet(boxes, self.boxes[items])
        out[:, lined] |= lines_meet_boxes(self.lines[items[lined]], boxes).T
        if lines is not None:
            out |= lines_meet_boxes(lines, self.boxes[items])
            out[:, lined] |= lines_meet(lines, self.lines[items[lined]])
        return out

    def free(self, boxes: Floats, lines: Floats | None) -> Integers:
        """Which boxes and their lines meet no item: what fails one question is not asked the next."""
        items = self.near(boxes if lines is None else np.concatenate([boxes, hulls(lines)]))
        kept = np.flatnonzero(~boxes_meet(boxes, self.boxes[items]).any(axis=1))
        theirs = self.lines[items][~np.isnan(self.lines[items, 0])]
        if len(theirs):
            kept = kept[~lines_meet_boxes(theirs, boxes[kept]).any(axis=0)]
        if lines is not None:
            kept = kept[~lines_meet_boxes(lines[kept], self.boxes[items]).any(axis=1)]
            if len(theirs):
                kept = kept[~lines_meet(lines[kept], theirs).any(axis=1)]
        return kept

    def _enter(self, index: int) -> None:
        for cell in self._cells_of(index):
            self._cells.setdefault(cell, set()).add(index)
        self._all.add(index)

    def _cells_of(self, index: int) -> Iterable[tuple[int, int]]:
        ends = np.concatenate([self.boxes[index], self.lines[index]]).reshape(-1, 2)
        return _cells(np.nanmin(ends, axis=0), np.nanmax(ends, axis=0))


def boxes_meet(these: Floats, those: Floats) -> Bools:
    """Whether box k of these and box m of those have more than an edge in common: k x m."""
    a, b = these[:, None, :], those[None, :, :]
    out: Bools = (
        (a[..., 0] < b[..., 2]) & (b[..., 0] < a[..., 2]) & (a[..., 1] < b[..., 3]) & (b[..., 1] < a[..., 3])
    )
    return out


def lines_meet_boxes(lines: Floats, boxes: Floats) -> Bools:
    """Whether line k touches box m: k x m."""
    enter, leave = np.zeros((len(lines), 1)), np.ones((len(lines), 1))
    for axis in (0, 1):  # a reduction over an axis of length two would cost several times more
        start, step = lines[:, axis, None], lines[:, axis + 2, None] - lines[:, axis, None]
        step = np.where(step == 0, _ALMOST_ZERO, step)
        near, far = (boxes[None, :, axis] - start) / step, (boxes[None, :, axis + 2] - start) / step
        enter, leave = np.maximum(enter, np.minimum(near, far)), np.minimum(leave, np.maximum(near, far))
    out: Bools = enter <= leave
    return out


def lines_meet(these: Floats, those: Floats) -> Bools:
    """Whether line k of these and line m of those have a point in common: k x m."""
    a, b = np.ascontiguousarray(these.T)[:, :, None], np.ascontiguousarray(those.T)[:, None, :]
    out: Bools = (_side(a, b[0], b[1]) * _side(a, b[2], b[3]) <= 0) & (
        _side(b, a[0], a[1]) * _side(b, a[2], a[3]) <= 0
    )
    return out & lines_meet_boxes(these, hulls(those))  # else on one straight line, one behind the other


def hulls(lines: Floats) -> Floats:
    """The smallest box round each line."""
    return np.column_stack([np.minimum(lines[:, :2], lines[:, 2:]), np.maximum(lines[:, :2], lines[:, 2:])])


def half_planes(window: Floats) -> tuple[Floats, Floats]:
    """Inward normals (k x 2) and offsets (k) of a convex window's sides; its corners run in either direction."""
    edge = np.roll(window, -1, axis=0) - window
    inward = np.column_stack([-edge[:, 1], edge[:, 0]])
    if (edge[:, 0] * np.roll(edge[:, 1], -1) - edge[:, 1] * np.roll(edge[:, 0], -1)).sum() < 0:
        inward = -inward  # the corners run clockwise
    return inward, (window * inward).sum(axis=1)


def within(boxes: Floats, planes: tuple[Floats, Floats]) -> Bools:
    """Which boxes lie within a convex window, given by its half planes."""
    inward, offset = planes
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.asarray((centre @ inward.T - offset >= half @ np.abs(inward).T).all(axis=1), dtype=np.bool_)


def leaders(start: Floats, boxes: Floats) -> Floats:
    """Line from one point to the nearest point of each box, k x 4."""
    end = np.clip(start, boxes[:, :2], boxes[:, 2:])
    return np.column_stack([np.broadcast_to(start, end.shape), end])


def around(centres: Floats, size: Floats) -> Floats:
    """Boxes of one width and height about their centres."""
    return np.column_stack([centres - size / 2, centres + size / 2])


def _side(line: Floats, x: Floats, y: Floats) -> Floats:
    """Twice the area of the triangle of a line and a point, positive where the point lies to the left."""
    x0, y0, x1, y1 = line
    out: Floats = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
    return out


def _cells(low: Floats, high: Floats) -> list[tuple[int, int]]:
    (x0, y0), (x1, y1) = (low // _CELL_MM).astype(int).tolist(), (high // _CELL_MM).astype(int).tolist()
    return [(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)]
