"""The most central of some places, and how far the others are from it."""

from typing import Final

import numpy as np
import numpy.typing as npt

from geo.grids.kernel import Floats, Ints

_BLOCK: Final = 4_000_000  # distances held at once: 32 MB
_DECIMALS: Final = 6  # of a metre: sums that differ by less are one, whatever order they were added in


def most_central(xy: Floats, weights: npt.ArrayLike) -> int:
    """Position of the place to which all have the least way together.

    Parameters
    ----------
    xy : n x 2, m
        At least one place.
    weights : n numbers, 0 or more
        How often each place counts; if all are 0, each counts once.

    Returns
    -------
    int
        Of equally central places the westernmost, of these the southernmost.
    """
    weight = _counting(weights)
    sums = np.empty(len(xy))
    step = max(1, _BLOCK // len(xy))
    for start in range(0, len(xy), step):
        block = xy[start : start + step]
        sums[start : start + step] = (
            np.hypot(block[:, None, 0] - xy[None, :, 0], block[:, None, 1] - xy[None, :, 1]) @ weight
        )
    return first_least(sums, xy)


def first_least(sums: Floats, xy: Floats) -> int:
    """Position of the least sum; of equal ones the westernmost, then the southernmost place."""
    return int(np.lexsort((xy[:, 1], xy[:, 0], np.round(sums, _DECIMALS)))[0])


def reach(xy: Floats, weights: npt.ArrayLike, centre: Floats) -> tuple[float, float]:
    """Greatest straight distance of places to a centre, and the weighted mean, in metres; (0, 0) of no place."""
    if not len(xy):
        return 0.0, 0.0
    away = np.hypot(xy[:, 0] - centre[0], xy[:, 1] - centre[1])
    return float(away.max()), float(np.average(away, weights=_counting(weights)))


def medians(xy: Floats, weights: npt.ArrayLike, labels: Ints, count: int) -> Ints:
    """Position of the most central place of each label; -1 where a label has none."""
    weight = np.asarray(weights, dtype=np.float64)
    out = np.full(count, -1, dtype=np.int64)
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    for own in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(own):
            out[labels[own[0]]] = own[most_central(xy[own], weight[own])]
    return out


def _counting(weights: npt.ArrayLike) -> Floats:
    weight = np.asarray(weights, dtype=np.float64)
    return weight if weight.sum() > 0 else np.ones(len(weight))
