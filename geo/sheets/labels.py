"""Where the labels of a map stand: each in its piece, beside it on a leader, or as a key number.

No label lies on another or on an obstacle, no leader runs through a label or
across another leader, and none leaves the map. What finds no room shrinks to a
key number, whose text stands in the table; a map too full even for that says
so. Labels are set one after another, the most important first; one that finds
no place may move a label already set, if that one finds another.

Source: the terms of quality are those of Christensen, Marks and Shieber (1995),
ACM Trans. Graphics 14(3), doi:10.1145/212332.212334.
"""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import shapely

from geo.sheets.occupied import Occupied, around, half_planes, hulls, leaders, within

Floats = npt.NDArray[np.float64]
Measure = Callable[[str, float], float]  # text and size in points to width in mm
How = Literal["inside", "leader", "key", "table"]

MM_PER_PT: Final = 25.4 / 72

_ASCII_EM: Final = 0.55
_INSIDE_STEPS: Final = 5  # a grid of so many places a side across a piece whose middle is taken
_COVERED_MM: Final = 6.0  # a label on another's land counts as so much further away
_MOVES: Final = 8  # places tried by moving another label, before giving up
_FEW: Final = 50  # labels that are tried in any case
_MOVES_IN_ALL: Final = 400  # on one map: where so many are in each other's way, key numbers are no loss
_EDGE_STARTS: Final = 6  # points of a piece's edge from which a line to its key number is tried
_EDGE_WAYS: Final = 12
_FAIR_TRIES: Final = 40  # of a ring, before it is judged
_FAIR_SHARE: Final = 0.2  # of them that must succeed
_POLE_MM: Final = 0.1  # precision of a piece's middle


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSettings:
    """Sizes of labels and how far they may stand from their piece."""

    size_pt: float = 7.0
    key_pt: float = 5.0
    line_height: float = 1.15  # of the size
    pad_mm: float = 0.35  # free on each side of a text
    hidden_share: float = 0.5  # of its own piece a label may cover where it does not fit inside
    rings_mm: tuple[tuple[float, ...], ...] = ((1.0, 3.0, 5.5, 9.0), (14.0, 20.0, 28.0), (38.0, 52.0, 70.0))
    directions: tuple[int, ...] = (16, 24, 32)  # of each set of rings
    text_share: float = 0.15  # of the map that texts may take; the least important then become key numbers
    key_share: float = 0.1  # of the map that key numbers may take; the rest then stand in the table alone


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """Where n labels stand, in the order they were asked for; mm."""

    how: tuple[How, ...]  # "table": not on the map, for it is full there
    variant: npt.NDArray[np.int64]  # which of its texts stands there; -1 for a key number or none
    boxes: Floats  # n x 4: left, bottom, right, top, with the free edge; NaN where nothing stands
    leaders: Floats  # n x 4: from the piece to the label; NaN where there is none


def text_width(text: str, size_pt: float) -> float:
    """Width of a text in mm where no font is at hand: Chinese a full em, others 0.55 em."""
    wide = sum(unicodedata.east_asian_width(letter) in "WFA" for letter in text)
    return (wide + _ASCII_EM * (len(text) - wide)) * size_pt * MM_PER_PT


def label_size(lines: Sequence[str], size_pt: float, measure: Measure, settings: LabelSettings) -> Floats:
    """Width and height in mm of lines of text with their free edge."""
    width = max(measure(line, size_pt) for line in lines)
    height = len(lines) * size_pt * settings.line_height * MM_PER_PT
    return np.array([width, height]) + 2 * settings.pad_mm


def place_labels(  # noqa: PLR0913 - what a label needs to know
    shapes: npt.NDArray[Any],
    texts: Sequence[Sequence[tuple[str, ...]]],
    keys: Sequence[str],
    *,
    window: Floats,
    priority: Sequence[int] | None = None,
    obstacles: Floats | None = None,
    measure: Measure = text_width,
    settings: LabelSettings | None = None,
) -> Labels:
    """A place for each label.

    Parameters
    ----------
    shapes : array of n polygons or multipolygons, mm
        The pieces, cut at the edge of the map. A missing or empty one gets no label.
    texts : n sequences of variants
        A variant is the lines of a label, the best first. Without any, the
        piece is labelled by its key number from the start.
    keys : n str
        Key numbers. One that stands for a text is square, for a circle round it.
    window : k x 2, mm
        Corners of the map, convex, in either direction.
    priority : n int, optional
        Smaller is set first and shrinks last.
    obstacles : m x 4, mm
        Boxes that stay free.
    measure : callable
        Width in mm of a text at a size in points.
    settings : LabelSettings, optional

    Returns
    -------
    Labels
        The same for each piece whatever the order of the rows, as long as no
        two have one priority, one area and one middle.
    """
    job = _Job(shapes, texts, keys, window=window, obstacles=obstacles, measure=measure, settings=settings)
    rank = np.zeros(len(job.shapes)) if priority is None else np.asarray(priority)
    order = np.lexsort((job.poles[:, 1], job.poles[:, 0], -job.area, rank)).tolist()
    full, short = job.ration([i for i in order if job.there[i]])
    beside = [i for i in full if not job.put_inside(i)]
    missed = [i for i in beside if not job.put_beside(i)]
    unlucky = {i for i in missed if not job.put_by_moving(i)}
    for i in order:
        if i in unlucky or i in short:
            job.put_key(i)
    return Labels(how=tuple(job.how), variant=job.variant, boxes=job.boxes(), leaders=job.lines())


class _Job:
    """Labels while they are being set."""

    def __init__(  # noqa: PLR0913 - as `place_labels`
        self,
        shapes: npt.NDArray[Any],
        texts: Sequence[Sequence[tuple[str, ...]]],
        keys: Sequence[str],
        *,
        window: Floats,
        obstacles: Floats | None,
        measure: Measure,
        settings: LabelSettings | None,
    ) -> None:
        self.settings = settings or LabelSettings()
        self.planes = half_planes(np.asarray(window, dtype=np.float64))
        self.room = shapely.area(shapely.Polygon(window))
        self.shapes = _largest_part(np.asarray(shapes, dtype=object))
        self.count = len(self.shapes)
        self.there = ~(shapely.is_missing(self.shapes) | shapely.is_empty(self.shapes))
        self.area = np.where(self.there, shapely.area(self.shapes), 0.0)
        written = np.array([bool(variants) for variants in texts], dtype=bool)
        self.poles, self.radius = _poles(self.shapes, self.there, written)
        self.tree = shapely.STRtree(self.shapes)
        self.sizes = [
            [label_size(lines, self.settings.size_pt, measure, self.settings) for lines in variants]
            for variants in texts
        ]
        self.key_sizes = [
            _key_size(key, measure, self.settings, circled=bool(variants))
            for key, variants in zip(keys, texts, strict=True)
        ]
        self.taken = Occupied(self.count, np.empty((0, 4)) if obstacles is None else obstacles)
        self.moves = _MOVES_IN_ALL
        self.score: dict[tuple[str, int], list[int]] = {}  # tries and successes of each ring
        self.how: list[How] = ["table"] * self.count
        self.variant = np.full(self.count, -1, dtype=np.int64)

    def boxes(self) -> Floats:
        return self.taken.boxes[: self.count]

    def lines(self) -> Floats:
        return self.taken.lines[: self.count]

    def ration(self, order: Sequence[int]) -> tuple[list[int], set[int]]:
        """Which are set in full and which by their key number, so that a map too full is not tried for long."""
        if len(order) <= _FEW:
            return list(order), set()
        room, key_room = self.room * self.settings.text_share, self.room * self.settings.key_share
        full: list[int] = []
        short: set[int] = set()
        for i in order:
            smallest = min((float(np.prod(size)) for size in self.sizes[i]), default=np.inf)
            key = float(np.prod(self.key_sizes[i]))
            if smallest <= room:
                room -= smallest
                full.append(i)
            elif key <= key_room:
                key_room -= key
                short.add(i)
        return full, short

    def put_inside(self, i: int) -> bool:
        """Set a label in its piece, or over the middle of it if that hides little of it."""
        piece = self.shapes[i]
        shapely.prepare(piece)
        for variant, size in enumerate(self.sizes[i]):
            box = around(self.poles[i : i + 1], size)
            fits = shapely.contains(piece, _polygons(box))[0]
            if fits and self._set(i, box, None, variant):
                return True
            if fits or self.area[i] > 2 * np.prod(size):  # the middle is taken, or only just too narrow
                boxes = around(_inner_grid(piece), size)
                boxes = boxes[shapely.contains(piece, _polygons(boxes))]
                if self._set(i, boxes, None, variant):
                    return True
        for variant, size in enumerate(self.sizes[i]):
            box = around(self.poles[i : i + 1], size)
            drawn = _polygons(box)[0]
            hidden = shapely.area(shapely.intersection(piece, drawn))
            alone = hidden <= self.settings.hidden_share * self.area[i] and self._covered(box, i)[0] == 0
            if alone and self._set(i, box, None, variant):
                return True
        return False

    def put_beside(self, i: int) -> bool:
        """Set a label on a leader, as near as there is room."""
        for ring in range(len(self.settings.rings_mm)):
            if self.hopeless("text", ring):
                continue
            for variant, size in enumerate(self.sizes[i]):
                boxes = self._ring(i, size, ring)
                if self._set(i, boxes, leaders(self.poles[i], boxes), variant):
                    self.score["text", ring][1] += 1
                    return True
        return False

    def hopeless(self, kind: str, ring: int) -> bool:
        """Whether a ring has been tried often on this map and mostly in vain; counts one more try if not."""
        score = self.score.setdefault((kind, ring), [0, 0])
        if score[0] >= _FAIR_TRIES and score[1] < _FAIR_SHARE * score[0]:
            return True
        score[0] += 1
        return False

    def put_by_moving(self, i: int) -> bool:
        """Set a label where just one other stands in the way, if that one finds another place."""
        for variant, size in enumerate(self.sizes[i]):
            boxes = np.concatenate([self._ring(i, size, ring) for ring in (0, 1)])
            if self._move_for(i, boxes, leaders(self.poles[i], boxes), variant):
                return True
        return False

    def put_key(self, i: int) -> bool:
        """Set a key number in the piece or beside it, if need be in place of another's text."""
        return self._set_key(i) or any(
            self._move_for(i, boxes, lines, -1, shrink=True) for boxes, lines, _ in self._key_places(i)
        )

    def _set_key(self, i: int) -> bool:
        for boxes, lines, score in self._key_places(i):
            if self._set(i, boxes, lines, -1, how="key"):
                score[1] += 1
                return True
        return False

    def _key_places(self, i: int) -> Iterator[tuple[Floats, Floats | None, list[int]]]:
        """Places for a key number, the best first, each with the score of its kind."""
        size = self.key_sizes[i]
        yield around(self.poles[i : i + 1], size), None, [0, 0]
        yield around(_inner_grid(self.shapes[i]), size), None, [0, 0]
        for ring in range(len(self.settings.rings_mm) - 1):
            if not self.hopeless("key", ring):
                boxes = self._ring(i, size, ring)
                yield boxes, leaders(self.poles[i], boxes), self.score["key", ring]
        # The middle may lie under another's label: a line may start at the edge as well.
        edge = shapely.get_coordinates(self.shapes[i])
        for at in edge[:: max(1, len(edge) // _EDGE_STARTS)][:_EDGE_STARTS]:
            boxes = around(at + _ways(_EDGE_WAYS) * (np.hypot(*size) / 2 + 1.0), size)
            yield boxes, leaders(at, boxes), [0, 0]

    def _move_for(
        self, i: int, boxes: Floats, lines: Floats | None, variant: int, *, shrink: bool = False
    ) -> bool:
        """Set a label at a place where just one other stands in the way, if that one finds another."""
        kept = within(boxes, self.planes)
        boxes, lines = boxes[kept], None if lines is None else lines[kept]
        if not len(boxes):
            return False
        if self.moves == 0:
            return False
        self.moves -= 1
        near = self.taken.near(boxes if lines is None else np.concatenate([boxes, hulls(lines)]))
        meeting = self.taken.meeting(boxes, lines, near)
        for k in np.flatnonzero(meeting.sum(axis=1) == 1)[:_MOVES].tolist():
            other = int(near[int(meeting[k].argmax())])
            line = None if lines is None else lines[k]
            if other < self.count and self._swap(i, boxes[k], line, variant, other=other, shrink=shrink):
                return True
        return False

    def _swap(  # noqa: PLR0913 - one place
        self, i: int, box: Floats, line: Floats | None, variant: int, *, other: int, shrink: bool
    ) -> bool:
        how, which = self.how[other], self.variant[other]
        at, by = self.boxes()[other].copy(), self.lines()[other].copy()
        self.taken.remove(other)
        self.taken.add(i, box, line)
        moved = which >= 0 and (self.put_inside(other) or self.put_beside(other))
        if moved or (shrink and self._set_key(other)):
            self.how[i] = "key" if variant < 0 else "inside" if line is None else "leader"
            self.variant[i] = variant
            return True
        self.taken.remove(i)
        self.how[other], self.variant[other] = how, which
        self.taken.add(other, at, None if np.isnan(by[0]) else by)
        return False

    def _set(self, i: int, boxes: Floats, lines: Floats | None, variant: int, how: How | None = None) -> bool:
        """Set a label at the best of these places that is free, if any is."""
        open_ = np.flatnonzero(within(boxes, self.planes))
        if not len(open_):
            return False
        boxes, lines = boxes[open_], None if lines is None else lines[open_]
        free = self.taken.free(boxes, lines)
        if not len(free):
            return False
        best = int(free[0])
        if lines is not None and len(free) > 1:
            far = np.hypot(*(lines[free, 2:] - lines[free, :2]).T)
            best = int(free[np.argmin(np.round(far + _COVERED_MM * self._covered(boxes[free], i), 6))])
        self.taken.add(i, boxes[best], None if lines is None else lines[best])
        self.how[i] = how or ("inside" if lines is None else "leader")
        self.variant[i] = variant
        return True

    def _covered(self, boxes: Floats, i: int) -> Floats:
        """How many other pieces each box lies on."""
        asked, found = self.tree.query(_polygons(boxes), predicate="intersects")
        return np.bincount(asked[found != i], minlength=len(boxes)).astype(np.float64)

    def _ring(self, i: int, size: Floats, ring: int) -> Floats:
        """Boxes all round a piece, the nearest first."""
        ways = _ways(self.settings.directions[ring])
        reach = self.radius[i] + np.abs(ways) @ size / 2
        radii = np.array(self.settings.rings_mm[ring])
        centres = self.poles[i] + ways[None] * (reach[None] + radii[:, None])[..., None]
        return around(centres.reshape(-1, 2), size)


@cache
def _ways(count: int) -> Floats:
    """Unit vectors all round, to the right first and then by turns up and down."""
    turn = (np.arange(count) + 1) // 2 * np.where(np.arange(count) % 2, 1, -1)
    angle = turn * (2 * np.pi / count)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def _polygons(boxes: Floats) -> npt.NDArray[Any]:
    return np.asarray(shapely.box(*boxes.T), dtype=object)


def _inner_grid(piece: Any) -> Floats:  # noqa: ANN401 - a geometry
    west, south, east, north = piece.bounds
    steps = (np.arange(_INSIDE_STEPS) + 0.5) / _INSIDE_STEPS
    x, y = np.meshgrid(west + steps * (east - west), south + steps * (north - south))
    centres = np.column_stack([x.ravel(), y.ravel()])
    middle = np.array([(west + east) / 2, (south + north) / 2])
    return centres[np.argsort(np.hypot(*(centres - middle).T), kind="stable")]


def _key_size(key: str, measure: Measure, settings: LabelSettings, *, circled: bool) -> Floats:
    size = label_size((key,), settings.key_pt, measure, settings)
    return np.full(2, size.max()) if circled else size


def _largest_part(shapes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Of each shape its largest polygon: there the label belongs."""
    parts, of = shapely.get_parts(shapes, return_index=True)
    areas = shapely.area(parts)
    keep = areas > 0
    parts, of, areas = parts[keep], of[keep], areas[keep]
    order = np.lexsort((areas, of))
    last = np.append(np.diff(of[order]) != 0, True) if len(of) else np.empty(0, dtype=bool)
    out = np.full(len(shapes), None, dtype=object)
    out[of[order][last]] = parts[order][last]
    return out


def _poles(
    shapes: npt.NDArray[Any], there: npt.NDArray[np.bool_], texts: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """The point of each shape deepest inside it, and how deep that is; for a key number any point in it will do."""
    poles, radius = np.zeros((len(shapes), 2)), np.zeros(len(shapes))
    deep, any_ = there & texts, there & ~texts
    circles = shapely.maximum_inscribed_circle(shapes[deep], _POLE_MM)
    poles[deep] = shapely.get_coordinates(shapely.get_point(circles, 0))
    radius[deep] = shapely.length(circles)
    poles[any_] = shapely.get_coordinates(shapely.point_on_surface(shapes[any_]))
    return poles, radius
