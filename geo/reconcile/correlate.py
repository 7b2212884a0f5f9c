"""How well two sets of edges agree at every shift, on a raster.

An edge is a complex number that points outwards. Squared, its two sides are
one, so that borders which neighbours share do not cancel; where they run
matters, and which way, not on which side the field lies. The agreement at all
shifts is one product of Fourier transforms.

Source: registration by FFT after Kuglin and Hines (1975).
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import gaussian_filter, maximum_filter

from geo.movement import Movement
from geo.reconcile.edges import Edges, Floats, Frame, chosen, moved, within

LOBE_M: Final = 15.0  # two tops of the coarse raster nearer than this are one

_PIXEL_M: Final = 6.0  # of the raster that finds a shift of any size
_MOST_PIXELS: Final = 500  # on a side: beyond, pixels grow

_FINE_PIXEL_M: Final = 1.5  # of the raster that looks for a second place nearby
_FINE_REACH_M: Final = 33.0
_FINE_TILE_M: Final = 222.0
_FINE_TILES: Final = 6
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
    frame = (moving.point.min(axis=0) - reach, moving.point.max(axis=0) + reach)
    pixel = max(_PIXEL_M, float((frame[1] - frame[0]).max()) / _MOST_PIXELS)
    spectrum = _spectrum(moving, chosen(there, within(there.point, frame)), frame, pixel, fold)
    score = _unfolded(spectrum, round(reach / pixel))
    return Surface(score / max(float(score.std()), 1e-12), pixel)


def _spectrum(
    moving: Edges, there: Edges, frame: Frame, pixel: float, fold: int = 2
) -> npt.NDArray[np.complex64]:
    """Cross-spectrum of two sets of edges within a frame.

    An edge is a complex number that points outwards; squared (``fold`` 2), its two sides are one.
    """
    width, height = (scipy.fft.next_fast_len(int(n)) for n in np.ceil((frame[1] - frame[0]) / pixel) + 1)
    spectra = []
    for these in (moving, there):
        column, row = ((these.point - frame[0]) / pixel).astype(np.intp).T
        cell = row * width + column
        east, north = these.out.T
        if fold == 2:  # noqa: PLR2004 - the square of a complex number
            east, north = east * east - north * north, 2 * east * north
        raster = np.empty((height, width), dtype=np.complex64)
        raster.real[:] = np.bincount(cell, east * these.length, width * height).reshape(height, width)
        raster.imag[:] = np.bincount(cell, north * these.length, width * height).reshape(height, width)
        # One pixel has one say, however many outlines run through it.
        raster *= 1 / np.maximum(np.abs(raster), pixel)
        spectra.append(scipy.fft.fft2(raster, overwrite_x=True))
    return np.asarray(np.conj(spectra[0]) * spectra[1])


def _unfolded(spectrum: npt.NDArray[np.complex64], reach: int) -> Floats:
    score = np.roll(scipy.fft.ifft2(spectrum).real, (reach, reach), axis=(0, 1))
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
    column, row = ((moving.point - low) / _FINE_TILE_M).astype(np.intp).T
    key = row * (int(column.max()) + 1) + column
    size = np.bincount(key)
    total = None
    for fullest in np.argsort(-size, kind="stable")[: min(_FINE_TILES, np.count_nonzero(size))]:
        mine = np.flatnonzero(key == fullest)
        laid = moved(chosen(moving, mine), move)
        middle = low + (np.array([column[mine[0]], row[mine[0]]]) + 0.5) * _FINE_TILE_M
        half = _FINE_TILE_M / 2 + _FINE_REACH_M
        frame = (move(middle) - half, move(middle) + half)
        laid = chosen(laid, within(laid.point, frame))
        near = chosen(there, within(there.point, frame))
        spectrum = _spectrum(laid, near, frame, _FINE_PIXEL_M)
        total = spectrum if total is None else total + spectrum
    if total is None:
        return 1.0
    blur = float(np.clip(spread, 0.7, 2.5)) / _FINE_PIXEL_M
    score = gaussian_filter(_unfolded(total, round(_FINE_REACH_M / _FINE_PIXEL_M)), blur)
    middle = score.shape[0] // 2
    north, east = np.mgrid[-middle : middle + 1, -middle : middle + 1] * _FINE_PIXEL_M
    away = np.hypot(north, east)
    lobe = max(_FINE_LOBE_M, _FINE_LOBE_SPREADS * spread)
    top = float(score[away <= lobe].max())
    tops = (score == maximum_filter(score, 5)) & (away > lobe)
    return float(score[tops].max(initial=0.0) / top) if top > 0 else 1.0
