"""Sheet numbers and frames of the national series, 1:1 000 000 to 1:500.

All arithmetic is on whole eighths of an arc-second, in which every frame of
the series is a whole number, so that a point on a line falls on one side only:
it belongs to the sheet north and east of it.

A 1:2000 sheet has two numbers, ``J49I303500`` and, by the 1:5000 sheet it is a
ninth of, ``J49H101167-6``; every function here reads both.

Source: GB/T 13989-2012.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.errors import CodeError

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

UNITS_PER_DEGREE: Final = 3600 * 8
ON_THE_LINE_DEG: Final = 1e-8  # a point closer to a line than this lies on it

DIRECTIONS: Final = {
    "n": (0, 1), "ne": (1, 1), "e": (1, 0), "se": (1, -1), "s": (0, -1), "sw": (-1, -1), "w": (-1, 0), "nw": (-1, 1),
}  # fmt: skip

_MILLION_LAT: Final = 4 * UNITS_PER_DEGREE
_MILLION_LON: Final = 6 * UNITS_PER_DEGREE
_BANDS: Final = 88 // 4  # A to V
_ZONES: Final = 180 // 6  # 31 to 60
_MOST_SHEETS: Final = 1_000_000  # an extent that meets more is a mistake: a county has 50 000 even at 1:500


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
_SCALE_OF: Final = {series.letter: scale for scale, series in SERIES.items()}
_NUMBER: Final = re.compile(r"([A-V])(\d{2})(?:([B-K])(\d{3,4}?)(\d{3,4})(?:-([1-9]))?)?")


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
    series = _series(scale)
    x, y = np.broadcast_arrays(np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64))
    out = np.full(x.shape, None, dtype=object)
    known = ~(np.isnan(x) | np.isnan(y))
    column, row = _cell(x[known], series, _MILLION_LON), _cell(y[known], series, _MILLION_LAT)
    if not _inside(column, row, series).all():
        raise CodeError("经纬度超出图幅编号范围（0-180°E，0-88°N）")
    out[known] = _numbers(column, row, series)
    return out


def sheet_frame(code: str) -> tuple[float, float, float, float]:
    """West, south, east and north of a sheet, degrees.

    Raises
    ------
    CodeError
        If ``code`` is no sheet number, or its row or column lies outside the series.
    """
    west, south, east, north = sheet_bounds([code])[0].tolist()
    return west, south, east, north


def sheet_bounds(codes: Iterable[str]) -> Floats:
    """West, south, east and north of many sheets of any scales, n x 4, degrees.

    Raises
    ------
    CodeError
        If one is no sheet number, or its row or column lies outside the series.
    """
    places = [_place(code) for code in codes]
    rows = np.array([series.rows for series, _, _ in places], dtype=np.int64)
    column = np.array([column for _, column, _ in places], dtype=np.int64)
    row = np.array([row for _, _, row in places], dtype=np.int64)
    return _edges(column, row, rows)


def sheet_scale(code: str) -> int:
    """Denominator of a sheet's scale.

    Raises
    ------
    CodeError
        If ``code`` is no sheet number, or its row or column lies outside the series.
    """
    series, _, _ = _place(code)
    return _SCALE_OF[series.letter]


def sheet_neighbours(code: str) -> dict[str, str]:
    """The sheets round a sheet, by direction ("n", "ne", … "nw").

    Across 1:1 000 000 sheets and zones as within them; a direction that leads
    out of the series (0-180°E, 0-88°N) is absent.

    Raises
    ------
    CodeError
        If ``code`` is no sheet number, or its row or column lies outside the series.
    """
    series, column, row = _place(code)
    names = list(DIRECTIONS)
    x = np.array([column + dx for dx, _ in DIRECTIONS.values()], dtype=np.int64)
    y = np.array([row + dy for _, dy in DIRECTIONS.values()], dtype=np.int64)
    there = _inside(x, y, series)
    numbers = _numbers(x[there], y[there], series)
    return dict(zip(np.array(names)[there].tolist(), numbers.tolist(), strict=True))


def sheet_parent(code: str, scale: int) -> str:
    """The sheet of a smaller scale that a sheet lies in (itself at its own scale).

    Raises
    ------
    CodeError
        If ``code`` is no sheet number, the series has no such scale, or that is
        the larger one.
    """
    series, column, row = _place(code)
    parent = _series(scale)
    ratio = series.rows // parent.rows
    if not ratio:
        raise CodeError(f"1:{_SCALE_OF[series.letter]} 图幅“{code}”不在单独一幅 1:{scale} 图内")
    number = _numbers(np.array([column // ratio]), np.array([row // ratio]), parent)
    return str(number[0])


def sheet_children(code: str, scale: int) -> list[str]:
    """The sheets of a larger scale that a sheet is divided into, by number (rows from the north).

    Raises
    ------
    CodeError
        If ``code`` is no sheet number, the series has no such scale, or that is
        the smaller one.
    """
    series, column, row = _place(code)
    child = _series(scale)
    ratio = child.rows // series.rows
    if not ratio:
        raise CodeError(f"1:{_SCALE_OF[series.letter]} 图幅“{code}”不能分为整幅的 1:{scale} 图")
    step = np.arange(ratio)
    x, y = np.meshgrid(column * ratio + step, (row + 1) * ratio - 1 - step)
    return [str(number) for number in _numbers(x.ravel(), y.ravel(), child)]


def sheet_code_by_ninth(code: str) -> str:
    """The other number of a 1:2000 sheet: that of its 1:5000 sheet and 1…9, from left to right, top to bottom.

    Raises
    ------
    CodeError
        If ``code`` is no number of a 1:2000 sheet.
    """
    series, column, row = _place(code)
    if series.letter != "I":
        raise CodeError(f"“{code}”不是 1:2000 图幅号；只有 1:2000 可用 1:5000 图幅号加 1-9 表示")
    ninth = (2 - row % 3) * 3 + column % 3 + 1
    return f"{sheet_parent(code, 5_000)}-{ninth}"


def standard_code(code: str) -> str:
    """A sheet's number in the form with rows and columns, whichever form came in.

    Raises
    ------
    CodeError
        If ``code`` is no sheet number, or its row or column lies outside the series.
    """
    series, column, row = _place(code)
    return str(_numbers(np.array([column]), np.array([row]), series)[0])


def sheets_of_extent(bounds: tuple[float, float, float, float], scale: int = 2_000) -> list[str]:
    """Numbers of the sheets that share land with an extent, sorted.

    Parameters
    ----------
    bounds : west, south, east, north
        Degrees. A side on a line does not reach into the sheet beyond it; an
        extent without width or height lies where its point lies.
    scale : int
        Denominator: 1_000_000 to 500.

    Raises
    ------
    CodeError
        If the series has no such scale, the extent reaches out of it, or is
        turned round, or meets more than a million sheets.
    """
    series = _series(scale)
    columns, rows = _cells_of(np.array([bounds], dtype=np.float64), series)
    x, y = np.meshgrid(np.arange(columns[0, 0], columns[0, 1]), np.arange(rows[0, 0], rows[0, 1]))
    return sorted(map(str, _numbers(x.ravel(), y.ravel(), series)))


def sheets_of_shapes(
    shapes: npt.ArrayLike, scale: int = 2_000
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.object_]]:
    """Which sheets each shape shares land with.

    Parameters
    ----------
    shapes : array-like of shapely geometries, n
        Longitude and latitude in degrees. A polygon that touches a sheet at its edge
        only does not meet it. A missing or empty one meets none.
    scale : int
        Denominator: 1_000_000 to 500.

    Returns
    -------
    rows : ndarray of int, m
        Position of the shape, ascending.
    codes : ndarray of str, m
        Number of a sheet it meets, ascending within a shape.

    Raises
    ------
    CodeError
        If the series has no such scale, a shape reaches out of it or meets more than a million sheets.
    """
    series = _series(scale)
    geometry = np.asarray(shapes, dtype=object)
    extent = shapely.bounds(geometry)
    there = np.flatnonzero(~np.isnan(extent).any(axis=1))
    columns, rows = _cells_of(extent[there], series)
    wide, high = np.diff(columns).ravel(), np.diff(rows).ravel()
    count = wide * high
    at = np.repeat(np.arange(len(there)), count)
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    x, y = columns[at, 0] + step % wide[at], rows[at, 0] + step // wide[at]
    sure = count[at] == 1  # in one sheet by its bounds, so no geometry has to be asked
    unsure = np.flatnonzero(~sure)
    frames = shapely.box(*(_edges(x[unsure], y[unsure], series.rows).T))
    whole = geometry[there[at[unsure]]]
    shapely.prepare(geometry[there[count > 1]])
    sure[unsure] = shapely.intersects(whole, frames) & ~shapely.touches(whole, frames)
    codes = _numbers(x[sure], y[sure], series)
    row = there[at[sure]]
    order = np.lexsort((codes.astype(str), row))
    return row[order], codes[order]


def _series(scale: int) -> Series:
    if scale not in SERIES:
        raise CodeError(f"没有 1:{scale} 的国家基本比例尺；可用：{', '.join(map(str, SERIES))}")
    return SERIES[scale]


def _place(code: str) -> tuple[Series, int, int]:
    """Series, column from Greenwich and row from the equator, of a number in either form."""
    match = _NUMBER.fullmatch(code)
    if match is None:
        raise CodeError(f"“{code}”不是图幅号；应如 J49I303500")
    band, zone = ord(match[1]) - 65, int(match[2]) - 31
    series = SERIES[_SCALE_OF[match[3] or ""]]
    row, column = (int(match[4]), int(match[5])) if match[3] else (1, 1)
    right_length = not match[3] or len(match[4]) == len(match[5]) == series.digits
    if not (right_length and 1 <= row <= series.rows and 1 <= column <= series.rows and 0 <= zone < _ZONES):
        raise CodeError(f"图幅号“{code}”的行列号超出范围 1..{series.rows}")
    x, y = zone * series.rows + column - 1, (band + 1) * series.rows - row
    if match[6]:
        if series.letter != "H":
            raise CodeError(f"“{code}”不是图幅号；“-1”至“-9”只接在 1:5000 图幅号之后")
        south, east = divmod(int(match[6]) - 1, 3)
        return SERIES[2_000], x * 3 + east, y * 3 + 2 - south
    return series, x, y


def _cell(degrees: Floats, series: Series, million: int) -> Whole:
    """How many sheets lie between zero and each coordinate; -1 for one that is no number in range."""
    sane = np.where(np.abs(degrees) <= 360, degrees, -1.0)  # noqa: PLR2004 - a full circle
    units = np.floor((sane + ON_THE_LINE_DEG) * UNITS_PER_DEGREE).astype(np.int64)
    return units // (million // series.rows)


def _inside(column: Whole, row: Whole, series: Series) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = (column >= 0) & (column < _ZONES * series.rows)
    return inside & (row >= 0) & (row < _BANDS * series.rows)


def _cells_of(bounds: Floats, series: Series) -> tuple[Whole, Whole]:
    """First and last-but-one column, and row, of the sheets that extents share land with, each n x 2."""
    if (bounds[:, :2] > bounds[:, 2:]).any():
        raise CodeError("范围的西界大于东界，或南界大于北界；应为 西, 南, 东, 北")
    out = []
    for low, high, million in ((0, 2, _MILLION_LON), (1, 3, _MILLION_LAT)):
        first = _cell(bounds[:, low], series, million)
        # an end on a line, from either side, does not reach beyond it
        last = _cell(bounds[:, high] - 2 * ON_THE_LINE_DEG, series, million)
        out.append(np.stack([first, np.maximum(first, last) + 1], axis=-1))
    columns, rows = out
    ends = np.concatenate([columns - [0, 1], rows - [0, 1]], axis=1)
    if not (_inside(ends[:, 0], ends[:, 2], series) & _inside(ends[:, 1], ends[:, 3], series)).all():
        raise CodeError("范围超出图幅编号范围（0-180°E，0-88°N）")
    if (np.diff(columns).ravel() * np.diff(rows).ravel()).sum() > _MOST_SHEETS:
        raise CodeError(f"范围内图幅超过 {_MOST_SHEETS} 幅；请缩小范围或改用较小的比例尺")
    return columns, rows


def _edges(column: Whole, row: Whole, rows: int | Whole) -> Floats:
    width, height = _MILLION_LON // rows, _MILLION_LAT // rows
    edges = [column * width, row * height, (column + 1) * width, (row + 1) * height]
    return np.stack(edges, axis=-1).reshape(-1, 4) / UNITS_PER_DEGREE


def _numbers(column: Whole, row: Whole, series: Series) -> npt.NDArray[np.object_]:
    """Numbers of sheets by their column from Greenwich and row from the equator; each is written once."""
    high = _BANDS * series.rows
    sheet, unique = pd.factorize(column * high + row)
    x, y = np.divmod(unique, high)
    zone, east = np.divmod(x, series.rows)
    band, north = np.divmod(y, series.rows)
    texts = [
        f"{chr(65 + b)}{z + 31:02d}{_suffix(series, series.rows - n, e + 1)}"
        for b, z, n, e in zip(band.tolist(), zone.tolist(), north.tolist(), east.tolist(), strict=True)
    ]
    return np.array(texts, dtype=object)[sheet] if texts else np.empty(0, dtype=object)


def _suffix(series: Series, row: int, column: int) -> str:
    if not series.letter:
        return ""
    return f"{series.letter}{row:0{series.digits}d}{column:0{series.digits}d}"
