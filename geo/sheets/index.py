"""Sheet numbers and frames of the national series, 1:1 000 000 to 1:500.

All arithmetic is on whole eighths of an arc-second, in which every frame of
the series is a whole number, so that a point on a line falls on one side only:
it belongs to the sheet north and east of it.

Source: GB/T 13989-2012.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from geo.errors import CodeError

UNITS_PER_DEGREE: Final = 3600 * 8
ON_THE_LINE_DEG: Final = 1e-8  # a point closer to a line than this lies on it

_MILLION_LAT: Final = 4 * UNITS_PER_DEGREE
_MILLION_LON: Final = 6 * UNITS_PER_DEGREE


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One scale: its letter, rows (= columns) in a 1:1 000 000 sheet, digits of a row."""

    letter: str
    rows: int
    digits: int


SERIES: Final = {
    1_000_000: Series(letter="", rows=1, digits=0),
    500_000: Series(letter="B", rows=2, digits=3),
    250_000: Series(letter="C", rows=4, digits=3),
    100_000: Series(letter="D", rows=12, digits=3),
    50_000: Series(letter="E", rows=24, digits=3),
    25_000: Series(letter="F", rows=48, digits=3),
    10_000: Series(letter="G", rows=96, digits=3),
    5_000: Series(letter="H", rows=192, digits=3),
    2_000: Series(letter="I", rows=576, digits=3),
    1_000: Series(letter="J", rows=1152, digits=4),
    500: Series(letter="K", rows=2304, digits=4),
}
_BY_LETTER: Final = {series.letter: series for series in SERIES.values()}
_NUMBER: Final = re.compile(r"([A-V])(\d{2})(?:([B-K])(\d{3,4}?)(\d{3,4}))?")


def sheet_code(lon: npt.ArrayLike, lat: npt.ArrayLike, scale: int = 2_000) -> npt.NDArray[np.object_]:
    """Number of the sheet that holds each point.

    Parameters
    ----------
    lon, lat : array-like of float, n
        Degrees, CGCS2000, northern and eastern hemisphere, north of 0 and south of 88.
    scale : int
        Denominator: 1_000_000 to 500.

    Returns
    -------
    ndarray of str, n
        Such as ``J49I303500``; None where a coordinate is missing.

    Raises
    ------
    CodeError
        If the series has no such scale, or a point lies outside it.
    """
    if scale not in SERIES:
        raise CodeError(f"没有 1:{scale} 的国家基本比例尺；可用：{', '.join(map(str, SERIES))}")
    series = SERIES[scale]
    x, y = np.broadcast_arrays(_units(lon), _units(lat))
    known = (x >= 0) & (y >= 0)
    if ((y[known] >= 88 * UNITS_PER_DEGREE) | (x[known] >= 180 * UNITS_PER_DEGREE)).any():
        raise CodeError("经纬度超出图幅编号范围（0-180°E，0-88°N）")
    row = series.rows - (y % _MILLION_LAT) * series.rows // _MILLION_LAT
    column = (x % _MILLION_LON) * series.rows // _MILLION_LON + 1
    out = np.full(x.shape, None, dtype=object)
    out[known] = [
        f"{chr(65 + band)}{zone:02d}{_suffix(series, r, c)}"
        for band, zone, r, c in zip(
            (y // _MILLION_LAT)[known].tolist(),
            (x // _MILLION_LON + 31)[known].tolist(),
            row[known].tolist(),
            column[known].tolist(),
            strict=True,
        )
    ]
    return out


def sheet_frame(code: str) -> tuple[float, float, float, float]:
    """West, south, east and north of a sheet, degrees.

    Raises
    ------
    CodeError
        If ``code`` is no sheet number, or its row or column lies outside the series.
    """
    match = _NUMBER.fullmatch(code)
    if match is None:
        raise CodeError(f"“{code}”不是图幅号；应如 J49I303500")
    band, zone = ord(match[1]) - 65, int(match[2]) - 31
    series = _BY_LETTER[match[3] or ""]
    row, column = (int(match[4]), int(match[5])) if match[3] else (1, 1)
    right_length = not match[3] or len(match[4]) == len(match[5]) == series.digits
    if not (right_length and 1 <= row <= series.rows and 1 <= column <= series.rows and 0 <= zone < 180 // 6):
        raise CodeError(f"图幅号“{code}”的行列号超出范围 1..{series.rows}")
    height, width = _MILLION_LAT // series.rows, _MILLION_LON // series.rows
    west = zone * _MILLION_LON + (column - 1) * width
    south = band * _MILLION_LAT + (series.rows - row) * height
    return tuple(edge / UNITS_PER_DEGREE for edge in (west, south, west + width, south + height))  # type: ignore[return-value]


def _units(degrees: npt.ArrayLike) -> npt.NDArray[np.int64]:
    values = np.asarray(degrees, dtype=np.float64)
    whole = np.floor((values + ON_THE_LINE_DEG) * UNITS_PER_DEGREE)
    return np.where(np.isnan(values), -1, whole).astype(np.int64)


def _suffix(series: Series, row: int, column: int) -> str:
    if not series.letter:
        return ""
    return f"{series.letter}{row:0{series.digits}d}{column:0{series.digits}d}"
