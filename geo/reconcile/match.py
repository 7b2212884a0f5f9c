"""Where one set of outlines lies best on another: found from the outlines alone, with an honest error.

A raster of their edges tells every place where they may lie, however far off.
From there edges are paired with the nearest edge that faces the same way, and
the movement is the one that brings them together, by least squares in which an
edge without a partner has no say.

Sources: point-to-line matching after Chen and Medioni (1992); mixture weights
after Dempster, Laird and Rubin (1977); errors by the sandwich of White (1980),
summed within each outline first, as one hand drew it in one go.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial import cKDTree

from geo.movement import Movement
from geo.reconcile.correlate import LOBE_M, Surface, coarse, peaks, second_nearby
from geo.reconcile.edges import (
    Edges,
    Floats,
    Frame,
    Geometries,
    Rows,
    by_place,
    chosen,
    edges,
    moved,
    near,
    thinned,
    together,
    within,
)

Columns = tuple[int, ...]

_CLEAR: Final = 0.5  # a second top up to this share of the first needs no second look
_CANDIDATES: Final = 4
_TURNS_DEG: Final = (-0.5, -0.25, 0.25, 0.5)

_FACING_M: Final = 10.0  # edges that face opposite ways are as far apart as edges twice this distance away
_AGREE: Final = 0.9  # cosine of the angle between paired edges
_RADII_M: Final = (14.0, 8.0, 5.0, 5.0, 5.0, 5.0)  # how far a partner may lie, round by round
_AT_REST_M: Final = 0.5  # after a step no longer than this at the last radius no round is needed
_MOST_EDGES: Final = 15_000  # of all outlines: a sample tells the shift of many to centimetres
_POINTS: Final = 1_000  # edges that are paired on the way
_SQUARE_M: Final = 6.0  # edges that have none to lie on within as much need not be paired at the end
_AROUND_M: Final = 40.0  # what lies further from outlines at a place than this has no say there
_LEAST_PAIRS: Final = 30
_MOST_LOST: Final = 0.9  # of the hold of any direction, to doubt about pairs: errors grow tenfold and no more
_LEAST_SPREAD_M: Final = 0.02
_EVIDENT: Final = 3.0  # standard errors from which on a turn or a scale is believed
_LEAST_TURN_M: Final = 0.1  # if it moves the outlines by at least this much on average
# No generated village of 100 parcels or more that was drawn in one go has a quarter that lies off so far.
_UNEVEN_M: Final = 0.3
_UNEVEN_SIGMAS: Final = 3.0

_INSET, _TURN, _GROWTH = 2, 3, 4  # columns of the design, after the shift's two
_TRANSLATION: Final = (0, 1, _INSET)
_RIGID: Final = (0, 1, _INSET, _TURN)
_SIMILARITY: Final = (0, 1, _INSET, _TURN, _GROWTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """How far a part of the outlines still lies off when all have been moved as one."""

    label: int
    dx_m: float
    dy_m: float
    error_m: float
    matched_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How outlines must be moved to lie on others, and how far that can be trusted."""

    movement: Movement
    error_m: float  # standard error of where an outline comes to lie, over all outlines
    rms_m: float  # of the distance between paired edges, at right angles to them
    median_m: float  # of its amount
    inset_m: float  # how far the outlines stay inside those they lie on
    matched_share: float  # of the length of the outlines
    matched: int  # outlines that have a partner
    second_peak: float  # score of the second best place over that of the best
    condition: float  # how well the weaker direction is held, against the stronger: 0..1
    model: str  # translation, rigid or similarity
    radius_m: float  # root mean square distance of the outlines from the origin
    uneven_m: float = 0.0  # how far a quarter of the outlines surely lies off when all have been moved as one
    parts: tuple[Part, ...] = ()  # by label, where labels were given


def match(
    outlines: Geometries, onto: Geometries, *, labels: Rows | None = None, reach_m: float = 150.0
) -> Match | None:
    """The movement that lays outlines onto others.

    Parameters
    ----------
    outlines, onto : array of Polygon or MultiPolygon
        In one projected CRS in metres; any number of either.
        The order of rows does not matter. An outline far from the others has no say.
    labels : array of int, optional
        Part each outline belongs to: those drawn by one crew, say.
    reach_m : float
        How far off they may lie.

    Returns
    -------
    Match, or None
        None where too little lies near to say anything at all.
    """
    bounds = shapely.bounds(outlines)
    rows = np.flatnonzero(together(bounds))
    rows = rows[by_place(bounds[rows])]
    moving = edges(outlines[rows], most=_MOST_EDGES)
    if not len(moving.of):
        return None
    frame = _about(moving, reach_m)
    there = edges(near(onto, frame))
    there = chosen(there, within(there.point, frame))
    if min(len(moving.of), len(there.of)) < _LEAST_PAIRS:
        return None
    scene, start, second = _begin(moving, there, reach_m)
    found = _settled(scene, start)
    if found is None:
        return None
    state, solution = found
    second = max(second, second_nearby(moving, scene.there, _movement(scene, state), solution.spread))
    return _judged(scene, state, second, np.zeros(0, dtype=np.intp) if labels is None else labels[rows])


def _about(these: Edges, by: float) -> Frame:
    """Frame of edges, and so much more on each side."""
    return these.point.min(axis=0) - by, these.point.max(axis=0) + by


class _State(NamedTuple):
    """A similarity in metres: shift, then turn and growth as they move an edge at the mean radius."""

    shift: Floats
    turn: float = 0.0
    growth: float = 0.0


class _Scene(NamedTuple):
    """Moving edges, the edges they shall lie on, and a tree of the latter by place and facing."""

    moving: Edges
    there: Edges
    origin: Floats
    radius: float
    tree: cKDTree
    taken: npt.NDArray[np.bool_]  # squares with an edge to lie on in them or beside them, row by row
    low: Floats  # lower left corner of the first


class _Pairs(NamedTuple):
    """Moving edges, each with the nearest that faces the same way."""

    of: Rows
    design: Floats  # 5 x n: shift east, shift north, inset, turn, growth
    gap: Floats  # m, along the normal
    length: Floats  # m
    reach: float  # no partner is further off
    whole: float  # m, of all outlines


class _Solution(NamedTuple):
    """A movement of paired edges, and how much each of them has to say."""

    step: Floats  # 5, m
    weight: Floats  # chance of being a true pair, times length
    fall: Floats  # what a pair pulls less as its gap grows, since it is less likely true
    miss: Floats  # m, what is left of the gap
    spread: float  # m, standard deviation of true pairs
    gain: float  # log likelihood a metre of outline, over that of none having a partner


def _scene(moving: Edges, there: Edges) -> _Scene:
    origin = np.average(moving.point, axis=0, weights=moving.length)
    radius = float(np.sqrt(((moving.point - origin) ** 2).sum(axis=1).mean()))
    tree = cKDTree(_place(there), balanced_tree=False, compact_nodes=False)
    low = there.point.min(axis=0) - 2 * _SQUARE_M
    column, row = ((there.point - low) / _SQUARE_M).astype(np.intp).T
    with_edge = np.zeros((int(row.max()) + 3, int(column.max()) + 3), dtype=bool)
    with_edge[row, column] = True
    wide = with_edge.copy()
    wide[:, 1:] |= with_edge[:, :-1]
    wide[:, :-1] |= with_edge[:, 1:]
    taken = wide.copy()
    taken[1:] |= wide[:-1]
    taken[:-1] |= wide[1:]
    return _Scene(moving, there, origin, radius, tree, taken, low)


def _place(these: Edges) -> Floats:
    """Edges as points in four dimensions: where they lie and which way they face."""
    place = np.empty((len(these.of), 4))
    place[:, :2] = these.point
    np.multiply(these.out, _FACING_M, out=place[:, 2:])
    return place


def _beside(scene: _Scene, point: Floats) -> Rows:
    """Points that have an edge to lie on within a square's width, and few others."""
    rows, columns = scene.taken.shape
    # The outermost squares are empty, so what lies beyond may be taken to lie in them.
    column = np.clip((point[:, 0] - scene.low[0]) / _SQUARE_M, 0, columns - 1).astype(np.intp)
    row = np.clip((point[:, 1] - scene.low[1]) / _SQUARE_M, 0, rows - 1).astype(np.intp)
    return np.flatnonzero(scene.taken[row, column])


def _movement(scene: _Scene, state: _State) -> Movement:
    return Movement(
        dx_m=float(state.shift[0]),
        dy_m=float(state.shift[1]),
        rotation_rad=state.turn / scene.radius,
        scale=1 + state.growth / scene.radius,
        origin_x=float(scene.origin[0]),
        origin_y=float(scene.origin[1]),
    )


def _paired(scene: _Scene, these: Edges, state: _State, reach: float) -> _Pairs | None:
    """Pairs within ``reach``; None where they are too few."""
    laid = moved(these, _movement(scene, state))
    rows = _beside(scene, laid.point) if reach <= _SQUARE_M else np.arange(len(these.of))
    mine = _place(laid)[rows]
    limit = np.hypot(reach * 1.5, _FACING_M * np.sqrt(2 - 2 * _AGREE))
    distance, nearest = scene.tree.query(mine, distance_upper_bound=limit)
    found = np.flatnonzero(np.isfinite(distance))
    rows, mine, theirs = rows[found], mine[found], scene.tree.data[np.asarray(nearest)[found]]
    facing = (theirs[:, 2] * mine[:, 2] + theirs[:, 3] * mine[:, 3]) / _FACING_M**2
    (x, y), (east, north) = (theirs - mine)[:, :2].T, theirs[:, 2:].T / _FACING_M
    gap = x * east + y * north
    good = np.flatnonzero((facing > _AGREE) & (np.abs(gap) < reach))
    if len(good) < _LEAST_PAIRS:
        return None
    rows, east, north = rows[good], east[good], north[good]
    arm_x, arm_y = ((these.point[rows] - scene.origin) / scene.radius).T
    design = np.stack(
        (east, north, np.ones(len(rows)), north * arm_x - east * arm_y, east * arm_x + north * arm_y)
    )
    return _Pairs(these.of[rows], design, gap[good], these.length[rows], reach, float(these.length.sum()))


def _solved(pairs: _Pairs, free: Columns, spread: float, rounds: int) -> _Solution:
    """Least squares over the ``free`` rows of the design, each pair weighed by the chance that it is true."""
    design = pairs.design[list(free)]
    share, miss, step = 0.5, pairs.gap, np.zeros(len(free), dtype=np.float64)
    nothing = 1 / (2 * pairs.reach)
    for turn in range(rounds):
        true = share * _likely(miss, spread)
        weight = pairs.length * true / (true + (1 - share) * nothing)
        total = max(float(weight.sum()), 1e-9)
        share = float(np.clip(total / pairs.length.sum(), 0.02, 0.98))
        weighted = design * weight
        if turn == 0:
            step[free.index(_INSET)] = (weight @ miss) / total
        else:
            step[:] = np.linalg.solve(_held(weighted @ design.T), weighted @ pairs.gap)
        miss = pairs.gap - step @ design
        spread = float(np.clip(np.sqrt(weight @ miss**2 / total), _LEAST_SPREAD_M, pairs.reach / 2))
    true = share * _likely(miss, spread)
    other = (1 - share) * nothing
    gain = float(pairs.length @ np.log((true + other) / nothing) / pairs.whole)
    fall = pairs.length * (true * other / (true + other) ** 2) * (miss / spread) ** 2
    whole = np.zeros(5)
    whole[list(free)] = step
    return _Solution(whole, weight, fall, miss, spread, gain)


def _likely(miss: Floats, spread: float) -> Floats:
    """Density of the normal distribution."""
    return np.asarray(np.exp(miss * miss * (-0.5 / spread**2)) / (spread * np.sqrt(2 * np.pi)))


def _held(normal: Floats) -> Floats:
    """Normal equations, one or a stack, that can be solved even where a direction is not held."""
    trace = np.trace(normal, axis1=-2, axis2=-1)[..., None, None]
    return np.asarray(normal + np.eye(normal.shape[-1]) * 1e-9 * np.maximum(trace, 1e-9))


def _after(state: _State, step: Floats) -> _State:
    return _State(state.shift + step[:2], float(state.turn + step[3]), float(state.growth + step[4]))


def _settled(scene: _Scene, state: _State) -> tuple[_State, _Solution] | None:
    """Pair and move, round by round, with partners ever nearer."""
    few = thinned(scene.moving, _POINTS)
    spread = _RADII_M[0] / 3
    for reach in _RADII_M:
        pairs = _paired(scene, few, state, reach)
        if pairs is None:
            return None
        solution = _solved(pairs, _RIGID, spread, rounds=4)
        state, spread = _after(state, solution.step), solution.spread
        if reach == _RADII_M[-1] and np.hypot(*solution.step[:2]) + abs(solution.step[_TURN]) < _AT_REST_M:
            break
    return state, solution


def _begin(moving: Edges, there: Edges, reach: float) -> tuple[_Scene, _State, float]:
    """The best place within ``reach``, how near the second best comes to it, as a share, and the scene there."""
    tops = peaks(coarse(moving, there, reach), _CANDIDATES)
    second = _second([top.height for top in tops])
    if second <= _CLEAR:
        west, east = _about(moving, _AROUND_M)
        beside = within(there.point, (west + tops[0].shift, east + tops[0].shift))
        return _scene(moving, chosen(there, beside)), _State(tops[0].shift), second
    scene = _scene(moving, there)
    # In doubt the sides of the edges have their say too, and small turns, which blur the whole.
    starts: list[tuple[float, _State]] = []
    for turn in (0.0, *np.deg2rad(_TURNS_DEG).tolist()):
        state = _State(np.zeros(2), turn * scene.radius)
        turned = moved(scene.moving, _movement(scene, state))
        one, two = (coarse(turned, scene.there, reach, fold) for fold in (1, 2))
        both = peaks(Surface(one.score + two.score, one.pixel), _CANDIDATES)
        starts += [(top.height, state._replace(shift=top.shift)) for top in both]
    starts = sorted(starts, key=lambda start: -start[0])[:_CANDIDATES]
    ended = [end for _, start in starts if (end := _settled(scene, start)) is not None]
    if not ended:
        return scene, _State(np.zeros(2)), 1.0
    state, best = max(ended, key=lambda end: end[1].gain)
    others = [solution.gain for end, solution in ended if np.hypot(*(end.shift - state.shift)) > LOBE_M]
    return scene, state, float(max(others, default=0.0) / best.gain) if best.gain > 0 else 1.0


def _second(heights: list[float]) -> float:
    """Second of heights in falling order, as a share of the first."""
    first, second, *_ = [*heights, 0.0, 0.0]
    return second / first if first > 0 else 1.0


def _judged(scene: _Scene, state: _State, second: float, labels: Rows) -> Match | None:
    """The simplest movement that the pairs bear out, and its error."""
    pairs = _paired(scene, scene.moving, state, _RADII_M[-1])
    if pairs is None:
        return None
    solution = _solved(pairs, _SIMILARITY, _RADII_M[-1] / 3, rounds=6)
    step = solution.step
    error = np.sqrt(np.diag(_covariance(pairs, solution, _SIMILARITY)))
    turn, growth = state.turn + step[_TURN], state.growth + step[_GROWTH]
    turned = abs(turn) > max(_EVIDENT * error[_TURN], _LEAST_TURN_M)
    grown = abs(growth) > max(_EVIDENT * error[_GROWTH], _LEAST_TURN_M)
    # What is not evident is undone: the gaps open again by what it had closed.
    kept = _State(state.shift, state.turn * turned, state.growth * grown)
    undone = np.array([state.turn - kept.turn, state.growth - kept.growth]) @ pairs.design[[_TURN, _GROWTH]]
    pairs = pairs._replace(gap=pairs.gap + undone)
    free = (*_TRANSLATION, *([_TURN] if turned else []), *([_GROWTH] if grown else []))
    solution = _solved(pairs, free, solution.spread, rounds=6)
    # A turn too small to be evident may still be there, so its error counts.
    variance = np.diag(_covariance(pairs, solution, free))[:2].sum() + error[_TURN] ** 2
    shift = pairs.design[:2]
    held = np.linalg.eigvalsh((shift * solution.weight) @ shift.T)
    true = solution.weight > pairs.length / 2
    return Match(
        movement=_movement(scene, _after(kept, solution.step)),
        error_m=float(np.sqrt(variance)),
        rms_m=solution.spread,
        median_m=float(np.median(np.abs(solution.miss[true]))) if true.any() else float("nan"),
        inset_m=float(solution.step[_INSET]),
        matched_share=float(solution.weight.sum() / pairs.whole),
        matched=int(np.count_nonzero(np.bincount(pairs.of[true]))),
        second_peak=second,
        condition=float(held[0] / max(held[1], 1e-9)),
        model=("translation", "rigid", "similarity")[len(free) - len(_TRANSLATION)],
        radius_m=scene.radius,
        uneven_m=_uneven(_parts(pairs, solution, _quarters(scene.moving), scene.moving)),
        parts=_parts(pairs, solution, labels, scene.moving) if len(labels) else (),
    )


def _parts(pairs: _Pairs, solution: _Solution, labels: Rows, these: Edges) -> tuple[Part, ...]:
    """What is left for the outlines of each label."""
    names, label = np.unique(labels, return_inverse=True)
    count, mine = len(names), label[pairs.of]
    whole = np.bincount(label[these.of], these.length, count)
    weight = np.bincount(mine, solution.weight, count)
    seen = np.flatnonzero(weight > 0)
    design = pairs.design[:2]
    weighted = design * solution.weight
    normal = np.array([[np.bincount(mine, one * other, count) for one in weighted] for other in design]).T
    right = np.array([np.bincount(mine, one * solution.miss, count) for one in weighted]).T
    inverse, step = np.zeros((count, 2, 2)), np.zeros((count, 2))
    inverse[seen] = np.linalg.inv(_held(normal[seen]))
    step[seen] = (inverse[seen] @ right[seen, :, None])[..., 0]
    pull = weighted * (solution.miss - (design * step[mine].T).sum(axis=0))
    by_outline = np.array([np.bincount(pairs.of, one, len(label)) for one in pull])
    pulled = (inverse[label] @ by_outline.T[..., None])[..., 0]
    variance = np.bincount(label, (pulled**2).sum(axis=1), count)
    return tuple(
        Part(
            label=int(names[k]),
            dx_m=float(step[k, 0]),
            dy_m=float(step[k, 1]),
            error_m=float(np.sqrt(variance[k])) if weight[k] > 0 else float("inf"),
            matched_share=float(weight[k] / whole[k]),
        )
        for k in np.flatnonzero(whole).tolist()
    )


def _quarters(these: Edges) -> Rows:
    """Quarter of the village each outline lies in: north or south, east or west of the middle one."""
    count = np.bincount(these.of)
    x, y = (np.bincount(these.of, column) / np.maximum(count, 1) for column in these.point.T)
    return np.asarray(2 * (x > np.median(x[count > 0])) + (y > np.median(y[count > 0])), dtype=np.intp)


def _uneven(quarters: tuple[Part, ...]) -> float:
    """How far the worst quarter lies off, 0 where that may be chance."""
    off = [
        distance
        for part in quarters
        if (distance := float(np.hypot(part.dx_m, part.dy_m))) > max(_UNEVEN_M, _UNEVEN_SIGMAS * part.error_m)
    ]
    return max(off, default=0.0)


def _covariance(pairs: _Pairs, solution: _Solution, free: Columns) -> Floats:
    """Covariance of the free movements, edges of one outline taken as one.

    A pair whose gap grows is doubted, so it holds the outlines less than its weight says: where
    outlines are so far off that true pairs and chance ones can hardly be told apart, much less.
    """
    design = pairs.design[list(free)]
    weighted = design * solution.weight
    by_outline = np.stack([np.bincount(pairs.of, pull) for pull in weighted * solution.miss])
    held, lost = _held(weighted @ design.T), (design * solution.fall) @ design.T
    worst = float(np.abs(np.linalg.eigvals(np.linalg.solve(held, lost))).max())
    pulled = np.linalg.inv(held - lost * min(1.0, _MOST_LOST / max(worst, _MOST_LOST))) @ by_outline
    return np.asarray(pulled @ pulled.T)  # a square: rounding makes no variance negative
