"""Square sheets: numbers by the kilometre grid, as towns and projects cut their large-scale maps.

A sheet is called after its south-west corner, northing before easting, in
kilometres: ``4196.0-38429.0`` at 1:2000, with the zone in front of the easting
or, ``4196.0-429.0``, without. Sheets are counted from zero of the grid, so the
arithmetic is on whole metres; a point on a line belongs to the sheet north and
east of it. The number alone says neither scale nor size.

Source: rectangular sheets in the practice of GB/T 20257.1-2017, the written form as seen on
published maps: 50 x 50 cm, or 40 x 50 cm with 40 from south to north; 1:5000 is cut 40 x 40 cm.
"""

import re
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from geo.errors import CodeError
from geo.sheets.index import DIRECTIONS

Size = Literal["50x50", "40x50"]
Bounds = tuple[float, float, float, float]  # west, south, east, north

ON_THE_LINE_M: Final = 0.001  # a point closer to a line than this lies on it

_ZONE_M: Final = 1_000_000  # the zone number stands in front of six digits of metres
_POLE_M: Final = 10_000_000  # farther north there is no land
_MOST_SHEETS: Final = 1_000_000
# scale: kilometres' decimals in a number, and metres from south to north and from west to east
_CUTS: Final[dict[int, tuple[int, dict[Size, tuple[int, int]]]]] = {
    5_000: (0, {"50x50": (2_000, 2_000), "40x50": (2_000, 2_000)}),
    2_000: (1, {"50x50": (1_000, 1_000), "40x50": (800, 1_000)}),
    1_000: (1, {"50x50": (500, 500), "40x50": (400, 500)}),
    500: (2, {"50x50": (250, 250), "40x50": (200, 250)}),
}
_NUMBER: Final = re.compile(r"(\d{1,4}(?:\.\d+)?)-(\d{1,5}(?:\.\d+)?)")


def square_code(
    easting: npt.ArrayLike,
    northing: npt.ArrayLike,
    scale: int = 2_000,
    *,
    size: Size = "50x50",
    zone: int | None = None,
) -> npt.NDArray[np.object_]:
    """Number of the square sheet that holds each point.

    Parameters
    ----------
    easting, northing : array-like of float, n
        Metres of a Gauss-Krüger zone; the easting with or without the zone in front.
    scale : int
        Denominator: 5000, 2000, 1000 or 500.
    size : {"50x50", "40x50"}
        Centimetres from south to north by west to east.
    zone : int, optional
        Stands in the number before the easting's kilometres; 0 for none. By
        default it stands there where the easting has it.

    Returns
    -------
    ndarray of str, n
        Such as ``4196.0-38429.0``; None where a coordinate is missing.

    Raises
    ------
    CodeError
        If no such sheets are cut, or a point lies outside a zone.
    """
    decimals, (high, wide) = _cut(scale, size)
    x, y = np.broadcast_arrays(np.asarray(easting, dtype=np.float64), np.asarray(northing, dtype=np.float64))
    out = np.full(x.shape, None, dtype=object)
    known = ~(np.isnan(x) | np.isnan(y))
    if not ((x[known] >= 0) & (x[known] < 100 * _ZONE_M) & (y[known] >= 0) & (y[known] < _POLE_M)).all():
        raise CodeError("坐标超出正方形分幅范围；请先投影到高斯-克吕格坐标系（东坐标、北坐标，米）")
    west = np.floor((x[known] + ON_THE_LINE_M) / wide).astype(np.int64) * wide
    south = np.floor((y[known] + ON_THE_LINE_M) / high).astype(np.int64) * high
    if zone is not None:
        west = west % _ZONE_M + zone * _ZONE_M
    sheet, unique = pd.factorize(west * _POLE_M + south)
    texts = [_number(corner // _POLE_M, corner % _POLE_M, decimals) for corner in unique.tolist()]
    if texts:
        out[known] = np.array(texts, dtype=object)[sheet]
    return out


def square_frame(code: str, scale: int = 2_000, *, size: Size = "50x50") -> Bounds:
    """West, south, east and north of a square sheet, metres; the easting with the zone if the number has it.

    Raises
    ------
    CodeError
        If no such sheets are cut, or ``code`` is no corner of one.
    """
    _, (high, wide) = _cut(scale, size)
    west, south = _corner(code, scale, size)
    return float(west), float(south), float(west + wide), float(south + high)


def square_neighbours(code: str, scale: int = 2_000, *, size: Size = "50x50") -> dict[str, str]:
    """The sheets round a square sheet, by direction ("n", "ne", … "nw"); none beyond the zone's grid.

    Raises
    ------
    CodeError
        If no such sheets are cut, or ``code`` is no corner of one.
    """
    decimals, (high, wide) = _cut(scale, size)
    west, south = _corner(code, scale, size)
    zone = west // _ZONE_M
    return {
        way: _number(west + dx * wide, south + dy * high, decimals)
        for way, (dx, dy) in DIRECTIONS.items()
        if (west + dx * wide) // _ZONE_M == zone and 0 <= south + dy * high < _POLE_M
    }


def squares_of_extent(
    bounds: Bounds, scale: int = 2_000, *, size: Size = "50x50", zone: int | None = None
) -> list[str]:
    """Numbers of the square sheets that share land with an extent, from south to north and west to east.

    Parameters
    ----------
    bounds : west, south, east, north
        Metres. A side on a line does not reach into the sheet beyond it; an
        extent without width or height lies where its point lies.
    scale, size, zone
        As for `square_code`.

    Raises
    ------
    CodeError
        If no such sheets are cut, the extent lies outside a zone or is turned
        round, or meets more than a million sheets.
    """
    _, (high, wide) = _cut(scale, size)
    west, south, east, north = bounds
    if west > east or south > north:
        raise CodeError("范围的西界大于东界，或南界大于北界；应为 西, 南, 东, 北")
    x, y = _starts(west, east, wide), _starts(south, north, high)
    if len(x) * len(y) > _MOST_SHEETS:
        raise CodeError(f"范围内图幅超过 {_MOST_SHEETS} 幅；请缩小范围或改用较小的比例尺")
    columns, rows = np.meshgrid(x, y)
    return [str(code) for code in square_code(columns.ravel(), rows.ravel(), scale, size=size, zone=zone)]


def _cut(scale: int, size: Size) -> tuple[int, tuple[int, int]]:
    if scale not in _CUTS or size not in _CUTS[scale][1]:
        cuts = "、".join(f"1:{known}" for known in _CUTS)
        raise CodeError(f"没有 1:{scale} 的 {size} cm 分幅；可用 {cuts} 的 50x50 和 40x50")
    decimals, sizes = _CUTS[scale]
    return decimals, sizes[size]


def _corner(code: str, scale: int, size: Size) -> tuple[int, int]:
    """Easting and northing of a number's corner, whole metres."""
    _, (high, wide) = _cut(scale, size)
    match = _NUMBER.fullmatch(code)
    if match is None:
        raise CodeError(f"“{code}”不是正方形分幅图号；应如 4196.0-38429.0（北坐标-东坐标，km）")
    south, west = (round(float(text) * 1_000) for text in match.groups())
    if south % high or west % wide:
        raise CodeError(f"“{code}”不是 1:{scale} {size} cm 图幅的西南角；图幅为 {wide} × {high} m")
    return west, south


def _number(west: int, south: int, decimals: int) -> str:
    return f"{south / 1_000:.{decimals}f}-{west / 1_000:.{decimals}f}"


def _starts(low: float, high: float, step: int) -> npt.NDArray[np.int64]:
    first = int(np.floor((low + ON_THE_LINE_M) / step))
    last = max(first, int(np.ceil((high - ON_THE_LINE_M) / step)) - 1)
    return np.arange(first, min(last, first + _MOST_SHEETS) + 1, dtype=np.int64) * step
