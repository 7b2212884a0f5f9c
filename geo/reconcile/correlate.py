"""How well two sets of edges agree at every shift, on a raster.

An edge is a complex number that points outwards. Squared, its two sides are
one, so that borders which neighbours share do not cancel; where they run
matters, and which way, not on which side the field lies. The agreement at all
shifts is one product of Fourier transforms.

Source: registration by FFT after Kuglin and Hines (1975).
"""

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import gaussian_filter, maximum_filter

from geo.movement import Movement
from geo.reconcile.edges import Edges, Floats, Rows, chosen, moved, within

Raster = npt.NDArray[np.complex64]

LOBE_M: Final = 15.0  # two tops of the coarse raster nearer than this are one

_PIXEL_M: Final = 6.0  # of the raster that finds a shift of any size
_MOST_PIXELS: Final = 300  # on a side: beyond, pixels grow

_FINE_PIXEL_M: Final = 2.0  # of the raster that looks for a second place nearby
_FINE_REACH_M: Final = 33.0
_FINE_TILE_M: Final = 222.0
_FINE_TILES: Final = 4
_FINE_LOBE_M: Final = 3.0  # two tops of that raster nearer than this are one
_FINE_LOBE_SPREADS: Final = 2.5  # or than this many times the noise of the outlines


class Surface(NamedTuple):
    """Agreement at every shift within a reach: rows northward, columns eastward, the middle unmoved."""

    score: Floats
    pixel: float


class Peak(NamedTuple):
    """A shift at which the edges agree, and how far it stands out, in standard deviations of the surface."""

    shift: Floats
    height: float


def coarse(moving: Edges, there: Edges, reach: float, fold: int = 2) -> Surface:
    """Agreement of the whole outlines, in standard deviations."""
    low, high = moving.point.min(axis=0) - reach, moving.point.max(axis=0) + reach
    pixel = max(_PIXEL_M, float((high - low).max()) / _MOST_PIXELS)
    width, height = (scipy.fft.next_fast_len(int(n)) for n in np.ceil((high - low) / pixel) + 1)
    inside = within(there.point, (low, high))
    there = there if inside.all() else chosen(there, inside)
    rasters = np.stack(
        [
            _raster(
                these.length,
                these.out,
                _cells(these.point, low, pixel, width),
                (height, width),
                pixel,
                fold,
            )
            for these in (moving, there)
        ]
    )
    score = _unfolded(_spectrum(rasters), round(reach / pixel))
    return Surface(score / max(float(score.std()), 1e-12), pixel)


def _cells(point: Floats, low: Floats, pixel: float, width: int) -> Rows:
    """Pixel of each point, row by row from the lower left corner."""
    column, row = ((point - low) / pixel).astype(np.intp).T
    return np.asarray(row * width + column)


def _raster(  # noqa: PLR0913, PLR0917 - edges, where they fall, and how they count
    length: Floats, out: Floats, cell: Rows, shape: tuple[int, ...], pixel: float, fold: int = 2
) -> Raster:
    """Edges as sums of complex numbers that point outwards; squared (``fold`` 2), its two sides are one."""
    east, north = out.T
    if fold == 2:  # noqa: PLR2004 - the square of a complex number
        east, north = east * east - north * north, 2 * east * north
    size = math.prod(shape)
    east, north = (np.bincount(cell, part * length, size).astype(np.float32) for part in (east, north))
    # One pixel has one say, however many outlines run through it.
    say = 1 / np.sqrt(np.maximum(east * east + north * north, np.float32(pixel * pixel)))
    raster = np.empty(size, dtype=np.complex64)
    raster.real, raster.imag = east * say, north * say
    return raster.reshape(shape)


def _spectrum(rasters: Raster) -> Raster:
    """Cross-spectrum of moving rasters, which come first, and those they shall lie on."""
    moving, there = scipy.fft.fft2(rasters, overwrite_x=True)
    return np.asarray(np.conj(moving) * there)


def _unfolded(spectrum: Raster, reach: int) -> Floats:
    score = np.roll(scipy.fft.ifft2(spectrum, overwrite_x=True).real, (reach, reach), axis=(0, 1))
    return np.asarray(score[: 2 * reach + 1, : 2 * reach + 1], dtype=np.float64)


def peaks(surface: Surface, most: int) -> list[Peak]:
    """The highest tops of a surface, highest first, none on the flank of a higher one."""
    score, pixel = surface
    around = 2 * round(LOBE_M / pixel) + 1
    rows, columns = np.nonzero((score == maximum_filter(score, around)) & (score > 0))
    middle = score.shape[0] // 2
    order = np.argsort(-score[rows, columns], kind="stable")[:most]
    return [
        Peak(np.array([columns[k] - middle, rows[k] - middle]) * pixel, float(score[rows[k], columns[k]]))
        for k in order
    ]


def second_nearby(moving: Edges, there: Edges, move: Movement, spread: float) -> float:
    """Score of the best other place within a few fields' width, as a share of that found.

    Parallel terraces agree again one terrace further on, at a distance a coarse raster cannot see.
    """
    low = moving.point.min(axis=0)
    across = int(np.ptp(moving.point[:, 0]) / _FINE_TILE_M) + 1
    tile = _cells(moving.point, low, _FINE_TILE_M, across)
    size = np.bincount(tile)
    fullest = np.argsort(-size, kind="stable")[: min(_FINE_TILES, np.count_nonzero(size))]
    number = np.full(len(size), -1)
    number[fullest] = np.arange(len(fullest))
    mine = chosen(moving, number[tile] >= 0)
    half = _FINE_TILE_M / 2 + _FINE_REACH_M
    middle = low + (np.column_stack([fullest % across, fullest // across]) + 0.5) * _FINE_TILE_M
    corner = move(middle) - half
    side = scipy.fft.next_fast_len(math.ceil(2 * half / _FINE_PIXEL_M))
    rasters = np.stack(
        [
            _tiles(moved(mine, move), number[tile[number[tile] >= 0]], corner, side),
            _tiles(*_of_tiles(there, corner, 2 * half), corner, side),
        ]
    )
    total = _spectrum(rasters).sum(axis=0)
    blur = float(np.clip(spread, 0.7, 2.5)) / _FINE_PIXEL_M
    score = gaussian_filter(_unfolded(total, round(_FINE_REACH_M / _FINE_PIXEL_M)), blur)
    middle = score.shape[0] // 2
    north, east = np.mgrid[-middle : middle + 1, -middle : middle + 1] * _FINE_PIXEL_M
    away = np.hypot(north, east)
    lobe = max(_FINE_LOBE_M, _FINE_LOBE_SPREADS * spread)
    top = float(score[away <= lobe].max())
    tops = (score == maximum_filter(score, 5)) & (away > lobe)
    return float(score[tops].max(initial=0.0) / top) if top > 0 else 1.0


def _of_tiles(these: Edges, corner: Floats, side: float) -> tuple[Edges, Rows]:
    """Edges in each of some squares, and which square; an edge may be in several."""
    rows = [np.flatnonzero(within(these.point, (low, low + side))) for low in corner]
    number = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    return chosen(these, np.concatenate(rows)), number


def _tiles(these: Edges, number: Rows, corner: Floats, side: int) -> Raster:
    """A raster a tile, of the edges that are each in one of them."""
    column, row = ((these.point - corner[number]) / _FINE_PIXEL_M).astype(np.intp).T
    cell = (number * side + row) * side + column
    inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
    return _raster(
        these.length[inside],
        these.out[inside],
        cell[inside],
        (len(corner), side, side),
        _FINE_PIXEL_M,
    )
