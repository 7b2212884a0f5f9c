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
from scipy.spatial import cKDTree

from geo.movement import Movement
from geo.reconcile.correlate import LOBE_M, Surface, coarse, peaks, second_nearby
from geo.reconcile.edges import (
    Edges,
    Floats,
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
_RADII_M: Final = (14.0, 8.0, 5.0, 5.0)  # how far a partner may lie, round by round
_POINTS: Final = 2_500  # edges that are paired on the way
_MOST_POINTS: Final = 15_000  # and at the end
_LEAST_PAIRS: Final = 30
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
    rows = np.flatnonzero(together(outlines))
    rows = rows[by_place(outlines[rows])]
    moving = edges(outlines[rows])
    if not len(moving.of):
        return None
    frame = (moving.point.min(axis=0) - reach_m, moving.point.max(axis=0) + reach_m)
    there = edges(near(onto, frame))
    there = chosen(there, within(there.point, frame))
    if min(len(moving.of), len(there.of)) < _LEAST_PAIRS:
        return None
    scene = _scene(moving, there)
    start, second = _begin(scene, reach_m)
    found = _settled(scene, start)
    if found is None:
        return None
    state, solution = found
    second = max(second, second_nearby(moving, there, _movement(scene, state), solution.spread))
    return _judged(scene, state, second, np.zeros(0, dtype=np.intp) if labels is None else labels[rows])


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


class _Pairs(NamedTuple):
    """Moving edges, each with the nearest that faces the same way."""

    of: Rows
    design: Floats  # n x 5: shift east, shift north, inset, turn, growth
    gap: Floats  # m, along the normal
    length: Floats  # m
    reach: float  # no partner is further off
    whole: float  # m, of all outlines


class _Solution(NamedTuple):
    """A movement of paired edges, and how much each of them has to say."""

    step: Floats  # 5, m
    weight: Floats  # chance of being a true pair, times length
    miss: Floats  # m, what is left of the gap
    spread: float  # m, standard deviation of true pairs
    gain: float  # log likelihood a metre of outline, over that of none having a partner


def _scene(moving: Edges, there: Edges) -> _Scene:
    origin = np.average(moving.point, axis=0, weights=moving.length)
    radius = float(np.sqrt(((moving.point - origin) ** 2).sum(axis=1).mean()))
    place = np.c_[there.point, there.out * _FACING_M]
    return _Scene(moving, there, origin, radius, cKDTree(place, balanced_tree=False, compact_nodes=False))


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
    limit = np.hypot(reach * 1.5, _FACING_M * np.sqrt(2 - 2 * _AGREE))
    distance, nearest = scene.tree.query(np.c_[laid.point, laid.out * _FACING_M], distance_upper_bound=limit)
    rows = np.flatnonzero(np.isfinite(distance))
    partner = np.asarray(nearest, dtype=np.intp)
    normal = scene.there.out[partner[rows]]
    gap = ((scene.there.point[partner[rows]] - laid.point[rows]) * normal).sum(axis=1)
    good = ((normal * laid.out[rows]).sum(axis=1) > _AGREE) & (np.abs(gap) < reach)
    rows, normal, gap = rows[good], normal[good], gap[good]
    if len(rows) < _LEAST_PAIRS:
        return None
    arm = (these.point[rows] - scene.origin) / scene.radius
    turn = normal[:, 1] * arm[:, 0] - normal[:, 0] * arm[:, 1]
    growth = (normal * arm).sum(axis=1)
    design = np.c_[normal, np.ones(len(rows)), turn, growth]
    return _Pairs(these.of[rows], design, gap, these.length[rows], reach, float(these.length.sum()))


def _solved(pairs: _Pairs, free: Columns, spread: float, rounds: int) -> _Solution:
    """Least squares over the ``free`` columns, each pair weighed by the chance that it is true."""
    design = pairs.design[:, free]
    share, step = 0.5, np.zeros(len(free))
    inset = free.index(_INSET)
    nothing = 1 / (2 * pairs.reach)
    for turn in range(rounds):
        miss = pairs.gap - design @ step
        like = np.exp(-0.5 * (miss / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
        weight = pairs.length * share * like / (share * like + (1 - share) * nothing)
        total = max(float(weight.sum()), 1e-9)
        share = float(np.clip(total / pairs.length.sum(), 0.02, 0.98))
        if turn == 0:
            step[inset] = (weight * miss).sum() / total
        else:
            step = np.linalg.solve(_normal(design, weight), (design * weight[:, None]).T @ pairs.gap)
        miss = pairs.gap - design @ step
        spread = float(np.clip(np.sqrt((weight * miss**2).sum() / total), _LEAST_SPREAD_M, pairs.reach / 2))
    like = np.exp(-0.5 * (miss / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
    gain = (pairs.length * np.log(1 - share + share * like / nothing)).sum() / pairs.whole
    whole = np.zeros(5)
    whole[list(free)] = step
    return _Solution(whole, weight, miss, spread, float(gain))


def _normal(design: Floats, weight: Floats) -> Floats:
    matrix = (design * weight[:, None]).T @ design
    return np.asarray(matrix + np.eye(len(matrix)) * 1e-9 * np.trace(matrix))


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
    return state, solution


def _begin(scene: _Scene, reach: float) -> tuple[_State, float]:
    """The best place within ``reach`` and how near the second best comes to it, as a share."""
    tops = peaks(coarse(scene.moving, scene.there, reach), _CANDIDATES)
    if _second([top.height for top in tops]) <= _CLEAR:
        return _State(tops[0].shift), _second([top.height for top in tops])
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
        return _State(np.zeros(2)), 1.0
    state, best = max(ended, key=lambda end: end[1].gain)
    others = [solution.gain for end, solution in ended if np.hypot(*(end.shift - state.shift)) > LOBE_M]
    return state, float(max(others, default=0.0) / best.gain) if best.gain > 0 else 1.0


def _second(heights: list[float]) -> float:
    """Second of heights in falling order, as a share of the first."""
    first, second, *_ = [*heights, 0.0, 0.0]
    return second / first if first > 0 else 1.0


def _judged(scene: _Scene, state: _State, second: float, labels: Rows) -> Match | None:
    """The simplest movement that the pairs bear out, and its error."""
    many = thinned(scene.moving, _MOST_POINTS)
    pairs = _paired(scene, many, state, _RADII_M[-1])
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
    undone = pairs.design[:, [_TURN, _GROWTH]] @ (state.turn - kept.turn, state.growth - kept.growth)
    pairs = pairs._replace(gap=pairs.gap + undone)
    free = (*_TRANSLATION, *([_TURN] if turned else []), *([_GROWTH] if grown else []))
    solution = _solved(pairs, free, solution.spread, rounds=6)
    # A turn too small to be evident may still be there, so its error counts.
    variance = np.diag(_covariance(pairs, solution, free))[:2].sum() + error[_TURN] ** 2
    held = np.linalg.eigvalsh(_normal(pairs.design[:, :2], solution.weight))
    true = solution.weight > pairs.length / 2
    return Match(
        movement=_movement(scene, _after(kept, solution.step)),
        error_m=float(np.sqrt(variance)),
        rms_m=solution.spread,
        median_m=float(np.median(np.abs(solution.miss[true]))) if true.any() else float("nan"),
        inset_m=float(solution.step[_INSET]),
        matched_share=float(solution.weight.sum() / pairs.whole),
        matched=len(np.unique(pairs.of[true])),
        second_peak=second,
        condition=float(held[0] / held[1]),
        model=("translation", "rigid", "similarity")[len(free) - len(_TRANSLATION)],
        radius_m=scene.radius,
        uneven_m=_uneven(_parts(pairs, solution, _quarters(many), many)),
        parts=_parts(pairs, solution, labels, many) if len(labels) else (),
    )


def _parts(pairs: _Pairs, solution: _Solution, labels: Rows, many: Edges) -> tuple[Part, ...]:
    return tuple(_part(pairs, solution, label, labels, many) for label in np.unique(labels[many.of]).tolist())


def _quarters(these: Edges) -> Rows:
    """Quarter of the village each outline lies in: north or south, east or west of the middle one."""
    count = np.maximum(np.bincount(these.of), 1)
    x, y = (np.bincount(these.of, column) / count for column in these.point.T)
    seen = np.unique(these.of)
    return np.asarray(2 * (x > np.median(x[seen])) + (y > np.median(y[seen])), dtype=np.intp)


def _uneven(quarters: tuple[Part, ...]) -> float:
    """How far the worst quarter lies off, 0 where that may be chance."""
    off = [
        distance
        for part in quarters
        if (distance := float(np.hypot(part.dx_m, part.dy_m))) > max(_UNEVEN_M, _UNEVEN_SIGMAS * part.error_m)
    ]
    return max(off, default=0.0)


def _part(pairs: _Pairs, solution: _Solution, label: int, labels: Rows, many: Edges) -> Part:
    """What is left for the outlines of one label."""
    mine = labels[pairs.of] == label
    whole = float(many.length[labels[many.of] == label].sum())
    weight = solution.weight[mine]
    design, miss = pairs.design[mine, :2], solution.miss[mine]
    if weight.sum() <= 0:
        return Part(label=label, dx_m=0.0, dy_m=0.0, error_m=float("inf"), matched_share=0.0)
    step = np.linalg.solve(_normal(design, weight), (design * weight[:, None]).T @ miss)
    only = pairs._replace(of=pairs.of[mine], design=pairs.design[mine])
    left = solution._replace(weight=weight, miss=miss - design @ step)
    variance = np.diag(_covariance(only, left, (0, 1)))
    return Part(
        label=label,
        dx_m=float(step[0]),
        dy_m=float(step[1]),
        error_m=float(np.sqrt(variance.sum())),
        matched_share=float(weight.sum() / whole),
    )


def _covariance(pairs: _Pairs, solution: _Solution, free: Columns) -> Floats:
    """Covariance of the free movements, edges of one outline taken as one."""
    design = pairs.design[:, free]
    pull = design * (solution.weight * solution.miss)[:, None]
    _, owner = np.unique(pairs.of, return_inverse=True)
    by_outline = np.stack([np.bincount(owner, column) for column in pull.T], axis=1)
    pulled = np.linalg.inv(_normal(design, solution.weight)) @ by_outline.T
    return np.asarray(pulled @ pulled.T)  # a square: rounding makes no variance negative
