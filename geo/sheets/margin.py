"""What the margin of a map says of its place: system, coordinates, ticks, adjoining pages, scale.

Source: GB/T 20257.1-2017, appendix C (order of the margin); GB/T 13989-2012 (corners in degrees).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Proj, Transformer

from geo.crs import BEIJING54, CGCS2000, XIAN80, central_meridian, datum_of, zone_of

Floats = npt.NDArray[np.float64]

COMPASS: Final = (("nw", "n", "ne"), ("w", "", "e"), ("sw", "s", "se"))
SIDES: Final = ("west", "north", "east", "south")  # from corner i to corner i + 1, clockwise from south-west

_DATUM_NAMES: Final = {
    CGCS2000: "2000国家大地坐标系",
    XIAN80: "1980西安坐标系",
    BEIJING54: "1954年北京坐标系",
}
_TICK_MM: Final = 100.0  # the national maps have grid lines 10 cm apart
_STEPS: Final = (1.0, 2.0, 5.0)
_SQUARE_M: Final = 0.05  # corners that differ less from a rectangle's are a rectangle


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A line of the kilometre grid meeting a neat line."""

    side: str  # west, north, east or south
    at_map: tuple[float, float]  # easting and northing
    value_m: float  # northing on the west and east side, easting on the others
    text: str


@lru_cache(maxsize=64)
def system_text(crs: CRS) -> str:
    """A projected system as a Chinese map says it: datum, projection, zone, central meridian."""
    meridian, zone = central_meridian(crs), zone_of(crs)
    datum = _DATUM_NAMES.get(datum_of(crs), datum_of(crs))
    if meridian is None:
        return f"{datum}  {crs.name}"
    degrees = f"{meridian:g}"
    six = zone is not None and meridian == 6 * zone - 3 and meridian != 3 * zone
    if not six and meridian % 3 == 0:
        return f"{datum}  高斯-克吕格投影  3°带第{int(meridian / 3)}带  中央子午线{degrees}°"
    width = f"6°带第{zone}带" if six else "任意带"
    return f"{datum}  高斯-克吕格投影  {width}  中央子午线{degrees}°"


@lru_cache(maxsize=64)
def to_lonlat(crs: CRS) -> Transformer:
    """From a system to degrees on its own datum."""
    return Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)


@lru_cache(maxsize=64)
def _projection(crs: CRS) -> Proj:
    return Proj(crs)


def lonlat(corners: Floats, crs: CRS) -> Floats:
    """Corners in degrees, n x 2."""
    return np.column_stack(to_lonlat(crs).transform(*corners.T))


def convergence_deg(corners: Floats, crs: CRS) -> float:
    """Angle from true north to grid north in the middle of a frame, positive where the grid points east of north."""
    lon, lat = lonlat(corners.mean(axis=0)[None], crs)[0].tolist()
    return float(_projection(crs).get_factors(lon, lat).meridian_convergence)


def is_rectangle(corners: Floats) -> bool:
    """Whether a frame's sides run along the grid."""
    west, south = corners[0]
    east, north = corners[2]
    square = np.array([[west, south], [west, north], [east, north], [east, south]])
    return bool(np.abs(corners - square).max() < _SQUARE_M)


def dms(degrees: float, decimals: int = 1) -> str:
    """Degrees, minutes and seconds: 113°11′52.5″; whole seconds without decimals."""
    units = round(abs(degrees) * 3600 * 10**decimals)
    seconds, part = divmod(units, 10**decimals)
    tail = f".{part:0{decimals}d}" if part else ""
    sign = "-" if degrees < 0 else ""
    return f"{sign}{seconds // 3600}°{seconds // 60 % 60:02d}′{seconds % 60:02d}{tail}″"


def kilometres(metres: float, decimals: int) -> str:
    """A coordinate in km, with at least so many decimals and no more than it needs."""
    text = f"{metres / 1000:.3f}"
    while text.endswith("0") and len(text.partition(".")[2]) > decimals:
        text = text[:-1]
    return text.removesuffix(".")


def grid_step(scale: int) -> float:
    """Metres between grid lines: the round number nearest to 10 cm on paper."""
    return _round_number(scale * _TICK_MM / 1000)


def ticks(corners: Floats, scale: int) -> tuple[Tick, ...]:
    """Where the grid's lines meet the sides of a frame, corners left out."""
    step = grid_step(scale)
    decimals = 0 if step >= 1000 else 1  # noqa: PLR2004 - a km in metres
    out = []
    for number, side in enumerate(SIDES):
        start, end = corners[number], corners[(number + 1) % 4]
        axis = 1 if side in {"west", "east"} else 0
        low, high = sorted((float(start[axis]), float(end[axis])))
        for line in range(int(np.floor(low / step)) + 1, int(np.ceil(high / step))):
            share = (line * step - start[axis]) / (end[axis] - start[axis])
            x, y = (start + share * (end - start)).tolist()
            out.append(
                Tick(side=side, at_map=(x, y), value_m=line * step, text=kilometres(line * step, decimals))
            )
    return tuple(out)


def crosses(corners: Floats, scale: int) -> Floats:
    """Points of the kilometre grid within a frame, n x 2, easting and northing."""
    step = grid_step(scale)
    low, high = corners.min(axis=0), corners.max(axis=0)
    x = np.arange(np.floor(low[0] / step) + 1, np.ceil(high[0] / step)) * step
    y = np.arange(np.floor(low[1] / step) + 1, np.ceil(high[1] / step)) * step
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    sides = np.roll(corners, -1, axis=0) - corners
    offset = points[:, None] - corners[None]
    return points[(sides[:, 0] * offset[..., 1] - sides[:, 1] * offset[..., 0] < 0).all(axis=1)]


def adjoining(number: str, neighbours: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """The 3 x 3 index of adjoining pages, north first; empty where there is none.

    The unit's code, where all numbers begin with it, is left out, so that ``14072510020001-02`` reads ``02``.
    """
    stem = number[: number.rfind("-") + 1]
    shared = stem if all(text.startswith(stem) for text in neighbours.values() if text) else ""
    return tuple(
        tuple((neighbours.get(way, "") if way else number).removeprefix(shared) for way in row)
        for row in COMPASS
    )


def bar_lengths(scale: int) -> tuple[float, ...]:
    """Marks of the scale bar in metres: 0, then each 2 cm or near it, as many as make no more than 8 cm."""
    unit = _round_number(scale * 0.02)
    steps = int(0.08 * scale / unit + 1e-9)
    return tuple(unit * n for n in range(steps + 1))


def _round_number(wanted: float) -> float:
    """The nearest of 1, 2, 5, 10, 20, 50 and so on."""
    base = 10.0 ** np.floor(np.log10(wanted))
    return float(
        min((step * power for power in (base, 10 * base) for step in _STEPS), key=lambda m: abs(m - wanted))
    )
