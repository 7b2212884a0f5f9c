"""Few windows of one size that together show every shape: where to put the pages of an atlas.

A window shows a shape if the shape's bounds, with a margin, lie wholly in it.
Windows stand on a coarse grid, so the places from which a window shows one
shape are few, and finding few windows is a set cover: solved greedily, and by
regular grids; then each window that the others can take over is given up.

Source: Chvátal (1979), A greedy heuristic for the set-covering problem, Math. Oper. Res. 4, doi:10.1287/moor.4.3.233.
"""

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Places = tuple[int, int, int, int]  # first and last x, first and last y, in steps of the coarse grid

_CUT_SHARES = (0.0, 0.05, 0.15)
_PASSES = 4  # rounds of giving up windows; the second rarely finds one


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A page's map on the ground, in the unit of the coordinates."""

    width: float
    height: float
    margin: float  # what is shown whole keeps this distance from the edges
    steps: tuple[float, ...]  # corners lie on multiples of the first; of the next only where a shape needs it


def tiles(shapes: npt.ArrayLike, window: Window) -> Floats:
    """South-west corners of windows that together cover every shape.

    A shape that fits into the window lies wholly in at least one, with the
    margin if it fits so; a larger one is spread over several, whose common
    land is at least twice the margin wide. Every window shows a part of some
    shape. The order of shapes does not matter.

    Parameters
    ----------
    shapes : array-like of polygons, n
        None empty or missing.
    window : Window
        Wider and higher by twice the margin than the first step.

    Returns
    -------
    ndarray of float, t x 2
        From north to south and from west to east.
    """
    geometry = np.asarray(shapes, dtype=object)
    bounds = shapely.bounds(geometry).reshape(-1, 4)
    easy = _fits_at_once(bounds, window)
    forced = [_alone(row, window) for row in bounds[~easy].tolist()]
    too_large = [shape for shape, corner in zip(geometry[~easy], forced, strict=True) if corner is None]
    parts = [part for shape in too_large for part in _parts(shape, window)]
    items = np.unique(np.concatenate([bounds[easy], np.reshape(parts, (-1, 4))]), axis=0)
    fixed = _few(sorted({corner for corner in forced if corner is not None}), bounds[~easy], window)
    shown = _shown(items, fixed, window)
    corners = np.concatenate([fixed, _cover(items[~shown], window)])
    return corners[_reading_order(corners, window)]


def aligned_start(low: float, high: float, size: float, window: Window) -> float | None:
    """Where a window of ``size`` starts on one axis to hold ``low..high`` as near its middle as its grid allows.

    The margin is kept if it can be, then the coarsest grid; None if it does not fit at all.
    """
    for margin in (window.margin, 0.0):
        for step in window.steps:
            first, last = math.ceil((high + margin - size) / step), math.floor((low - margin) / step)
            if first <= last:
                return (first + last) // 2 * step
    return None


def _range(bounds: Floats, window: Window) -> Whole:
    """From where, in steps of the coarse grid, a window shows each rectangle: first and last x, first and last y."""
    step, margin = window.steps[0], window.margin
    return np.stack(
        [
            np.ceil((bounds[:, 2] + margin - window.width) / step),
            np.floor((bounds[:, 0] - margin) / step),
            np.ceil((bounds[:, 3] + margin - window.height) / step),
            np.floor((bounds[:, 1] - margin) / step),
        ],
        axis=-1,
    ).astype(np.int64)


def _fits_at_once(bounds: Floats, window: Window) -> npt.NDArray[np.bool_]:
    places = _range(bounds, window)
    return (places[:, 0] <= places[:, 1]) & (places[:, 2] <= places[:, 3])


def _alone(bounds: list[float], window: Window) -> tuple[float, float] | None:
    """The corner of a window for one shape alone."""
    x = aligned_start(bounds[0], bounds[2], window.width, window)
    y = aligned_start(bounds[1], bounds[3], window.height, window)
    return None if x is None or y is None else (x, y)


def _parts(shape: BaseGeometry, window: Window) -> Iterator[tuple[float, float, float, float]]:
    """Bounds of the parts of a large shape by cells, each of which a window shows with its margin."""
    step = window.steps[0]
    sides = []
    for axis, size in ((0, window.width), (1, window.height)):
        cell = math.floor((size - 2 * window.margin) / step) * step
        phase = (size - cell) / 2  # a window round the cell stands on the grid
        low, high = shape.bounds[axis], shape.bounds[axis + 2]
        start = math.floor((low - phase) / step) * step + phase
        sides.append((start, cell, max(1, math.ceil((high - start) / cell))))
    (x0, width, columns), (y0, height, rows) = sides
    todo = [(shape, 0, columns, 0, rows)]
    while todo:  # by halves, so that a long thin shape costs what it is long, not what its bounds hold
        part, left, right, low, top = todo.pop()
        if part.area <= 0:
            continue
        if right - left == 1 and top - low == 1:
            yield part.bounds
            continue
        halves = (
            [(left, (left + right) // 2, low, top), ((left + right) // 2, right, low, top)]
            if right - left >= top - low
            else [(left, right, low, (low + top) // 2), (left, right, (low + top) // 2, top)]
        )
        for a, b, c, d in halves:
            half = shapely.box(x0 + a * width, y0 + c * height, x0 + b * width, y0 + d * height)
            todo.append((shapely.intersection(part, half), a, b, c, d))


def _few(corners: list[tuple[float, float]], bounds: Floats, window: Window) -> Floats:
    """Of windows made for one shape each, those that are left when a window shows more than its own shape."""
    todo = np.array([_alone(row, window) is not None for row in bounds.tolist()], dtype=bool)
    rows, kept = bounds[todo], []
    if not len(rows):
        return np.empty((0, 2))
    tree = shapely.STRtree(np.asarray(shapely.box(*rows.T), dtype=object))
    left = np.ones(len(rows), dtype=bool)
    own: dict[tuple[float, float], list[int]] = {}
    for at, row in enumerate(rows.tolist()):
        own.setdefault(_alone(row, window) or (0.0, 0.0), []).append(at)
    for corner in corners:
        mine = own[corner]
        if left[mine].any():
            kept.append(corner)
            left[mine] = False
            left[tree.query(_inner(np.array([corner]), window)[0], predicate="contains")] = False
    return np.array(kept, dtype=np.float64)


def _inner(corners: Floats, window: Window) -> npt.NDArray[np.object_]:
    x, y, margin = corners[:, 0], corners[:, 1], window.margin
    inner = shapely.box(x + margin, y + margin, x + window.width - margin, y + window.height - margin)
    return np.asarray(inner, dtype=object)


def _shown(items: Floats, corners: Floats, window: Window) -> npt.NDArray[np.bool_]:
    shown = np.zeros(len(items), dtype=bool)
    if len(items) and len(corners):
        tree = shapely.STRtree(np.asarray(shapely.box(*items.T), dtype=object))
        shown[tree.query(_inner(corners, window), predicate="contains")[1]] = True
    return shown


def _cover(items: Floats, window: Window) -> Floats:
    """Corners on the coarse grid that show every rectangle."""
    if not len(items):
        return np.empty((0, 2))
    places = _range(items, window)
    ways = [_give_up(places, chosen) for chosen in (_greedy(places), _by_rows(places))]
    freedom = min(ways, key=len)
    middle: Floats = (freedom[:, [0, 2]] + freedom[:, [1, 3]]) // 2 * np.float64(window.steps[0])
    return middle


def _greedy(places: Whole) -> Whole:
    """For each rectangle the number of a place that shows it; of equal places the southernmost of the westernmost."""
    wide, high = places[:, 1] - places[:, 0] + 1, places[:, 3] - places[:, 2] + 1
    count = wide * high
    item = np.repeat(np.arange(len(places)), count)
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    x, y = places[item, 0] + step // high[item], places[item, 2] + step % high[item]
    place = np.unique(np.stack([x, y], axis=-1), axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(place, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(place))])
    starts = np.concatenate([[0], np.cumsum(count)])
    gain = np.bincount(place).astype(np.int64)
    heap = [(-g, p) for p, g in enumerate(gain.tolist())]
    heapq.heapify(heap)
    chosen = np.full(len(places), -1, dtype=np.int64)
    while heap:
        known, best = heapq.heappop(heap)
        now = int(gain[best])
        if now == 0:
            continue
        if now != -known:
            heapq.heappush(heap, (-now, best))
            continue
        members = item[order[ends[best] : ends[best + 1]]]
        new = members[chosen[members] < 0]
        chosen[new] = best
        for i in new.tolist():  # each rectangle is taken once, so this is as long as the incidence
            gain[place[starts[i] : starts[i + 1]]] -= 1
    return chosen


def _by_rows(places: Whole) -> Whole:
    """For each rectangle the number of a place, by the best of some regular grids; greedily for those it cuts.

    Where rectangles lie close everywhere, nothing is better than a grid, and greed is far worse.
    """
    best = (len(places) + 1, np.arange(len(places), dtype=np.int64))
    wide, high = places[:, 1] - places[:, 0] + 1, places[:, 3] - places[:, 2] + 1
    for share in _CUT_SHARES:  # a wider grid has fewer windows, and cuts some rectangles
        pitch = np.array([np.quantile(free, share, method="lower") for free in (wide, high)], dtype=np.int64)
        first = places[:, [1, 3]].min(axis=0)
        for shift in ((0, 0), (1, 0), (0, 1), (1, 1)):
            cell = (places[:, [1, 3]] - first + pitch // 2 * shift) // pitch
            at = first - pitch // 2 * shift + cell * pitch
            shown = (at >= places[:, [0, 2]]).all(axis=1)
            chosen = np.unique(at, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
            if not shown.all():
                chosen[~shown] = _greedy(places[~shown]) + len(places)
            count = len(np.unique(chosen))
            if count < best[0]:
                best = (count, chosen)
    return best[1]


def _give_up(places: Whole, chosen: Whole) -> Whole:
    """Where each window may stand and still show all its own, after those that others can take over are gone."""
    window = np.unique(chosen, return_inverse=True)[1]
    own: list[list[int]] = [[] for _ in range(int(window.max()) + 1)]
    for item, at in enumerate(window.tolist()):
        own[at].append(item)
    wanted = [tuple(row) for row in places.tolist()]
    free = [_common(wanted[i] for i in items) for items in own]
    # freedom only shrinks, so these are all the windows that can ever take a rectangle over
    near: list[list[int]] = [[] for _ in wanted]
    tree = shapely.STRtree(_boxes(np.array(free)))
    for item, at in zip(*tree.query(_boxes(places), predicate="intersects").tolist(), strict=True):
        near[item].append(at)
    for _ in range(_PASSES):
        before = sum(map(bool, own))
        for at in sorted(range(len(own)), key=lambda at: (len(own[at]), at)):
            if moves := _moves(at, own, free, wanted, near):
                for item, (to, where) in moves.items():
                    own[to].append(item)
                    free[to] = where
                own[at] = []
        if sum(map(bool, own)) == before:
            break
    return np.array([where for where, items in zip(free, own, strict=True) if items], dtype=np.int64)


def _moves(
    at: int, own: list[list[int]], free: list[Places], wanted: list[Places], near: list[list[int]]
) -> dict[int, tuple[int, Places]]:
    """To which other windows all of one window's rectangles can go, and the freedom that leaves them; else nothing."""
    moves: dict[int, tuple[int, Places]] = {}
    now: dict[int, Places] = {}
    for item in own[at]:
        best: tuple[int, int, Places] | None = None
        for to in near[item]:
            if to == at or not own[to]:
                continue
            where = _common((now.get(to, free[to]), wanted[item]))
            wide, high = where[1] - where[0], where[3] - where[2]
            if wide >= 0 and high >= 0 and (best is None or (-(wide + 1) * (high + 1), to) < best[:2]):
                best = (-(wide + 1) * (high + 1), to, where)
        if best is None:
            return {}
        now[best[1]] = best[2]
        moves[item] = best[1:]
    return {item: (to, now[to]) for item, (to, _) in moves.items()}


def _common(places: Iterable[Places]) -> Places:
    """The places in all of several ranges; last before first if there is none."""
    x0, x1, y0, y1 = zip(*places, strict=True)
    return max(x0), min(x1), max(y0), min(y1)


def _boxes(places: Whole) -> npt.NDArray[np.object_]:
    return np.asarray(shapely.box(places[:, 0], places[:, 2], places[:, 1], places[:, 3]), dtype=object)


def _reading_order(corners: Floats, window: Window) -> npt.NDArray[np.intp]:
    """From north to south in bands, in each from west to east."""
    order = np.lexsort((corners[:, 0], -corners[:, 1]))
    band = np.zeros(len(corners), dtype=np.int64)
    top, number = math.inf, 0
    for at in order.tolist():
        y = float(corners[at, 1])
        if top - y > window.height / 2:
            top, number = y, number + 1
        band[at] = number
    return np.lexsort((-corners[:, 1], corners[:, 0], band))
