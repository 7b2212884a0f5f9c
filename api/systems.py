"""Coordinate systems a request may name: their addresses, their order of axes, the way there and back.

Three ways to write degrees (CRS84 with longitude first; EPSG:4490 and
EPSG:4326 with latitude first) and the county's own zone, whose first axis is
north as its register says. EPSG:4490 and WGS 84 differ by centimetres and are
told apart by their order of axes only.

Source: OGC 18-058r1, OGC API - Features - Part 2: Coordinate Reference Systems by Reference.
"""

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely.geometry import MultiPoint, Polygon
from shapely.geometry.base import BaseGeometry

from geo.crs import same_datum
from geo.errors import ConditionError, MissingDatumError

CRS84: Final = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_EPSG: Final = "http://www.opengis.net/def/crs/EPSG/0/"
_GEOGRAPHIC: Final = (4490, 4326)
_WRITTEN: Final = re.compile(
    r"\[?(?:https?://www\.opengis\.net/def/crs/EPSG/[\w.]+/|urn:ogc:def:crs:EPSG:[\w.]*:|EPSG:)(\d{4,6})\]?",
    re.IGNORECASE,
)
_WRITTEN_84: Final = re.compile(
    r"\[?(?:https?://www\.opengis\.net/def/crs/OGC/[\w.]+/|urn:ogc:def:crs:OGC:[\w.]*:|OGC:)?CRS84\]?",
    re.IGNORECASE,
)
_STEPS: Final = 24  # points along a side of a box, so that it keeps its shape in the plane
_AIR: Final = 1.0  # degree
_BOX: Final = 4  # numbers of a box in the plane
_BOX_3D: Final = 6

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class System:
    """A system coordinates are given in; ``north_first`` if its first axis is north."""

    uri: str
    crs: CRS
    north_first: bool
    home: CRS  # of the workspace

    def placed(self, shapes: NDArray[Any], decimals: int) -> NDArray[Any]:
        """Shapes of the workspace in this system, in its order of axes, rounded."""
        there = _way(self.home, self.crs)

        def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
            x, y = points[:, 0], points[:, 1]
            if there is not None:
                x, y = there.transform(x, y)
            pair = (y, x) if self.north_first else (x, y)
            return np.column_stack(pair).round(decimals)

        return np.asarray(shapely.transform(shapes, move))

    def at_home(self, shape: BaseGeometry) -> BaseGeometry:
        """A shape in this system, in its order of axes, in the system of the workspace.

        Raises
        ------
        ConditionError
            If it lies where the system of the workspace does not reach.
        """
        back = _way(self.crs, self.home)

        def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
            x, y = (points[:, 1], points[:, 0]) if self.north_first else (points[:, 0], points[:, 1])
            if back is not None:
                x, y = back.transform(x, y)
            return np.column_stack((x, y))

        moved = shapely.transform(shapely.force_2d(shape), move)
        if not np.isfinite(shapely.get_coordinates(moved)).all():
            raise ConditionError("图形离本县太远，换算不到本县的坐标系")
        return moved


# What is held keeps its key alive, so no other object can come to have that number.
_HELD: Final[dict[int, tuple[CRS, dict[str, System]]]] = {}
_MOST_HELD: Final = 16


def systems(home: CRS) -> dict[str, System]:
    """Every system a request may name, by address; the workspace's own last.

    Raises
    ------
    MissingDatumError
        If the workspace's system is tied to no ellipsoid.
    """
    # By the object: to compare two systems costs as much as to make these, and a store always hands out one.
    if (held := _HELD.get(id(home))) is not None:
        return held[1]
    geodetic = home.geodetic_crs
    if geodetic is None:
        raise MissingDatumError("工作区没有大地基准")
    found = {CRS84: System(CRS84, _degrees(home, 4326), north_first=False, home=home)}
    for code in _GEOGRAPHIC:
        uri = f"{_EPSG}{code}"
        found[uri] = System(uri, _degrees(home, code), north_first=True, home=home)
    authority = home.to_authority(min_confidence=100)
    if authority and authority[0] == "EPSG":
        uri = f"{_EPSG}{authority[1]}"
        north = home.axis_info[0].direction.lower() == "north"
        found.setdefault(uri, System(uri, home, north_first=north, home=home))
    if len(_HELD) < _MOST_HELD:
        _HELD[id(home)] = home, found
    return found


def system(text: str | None, home: CRS, parameter: str = "crs") -> System:
    """The system a request names by address, ``EPSG:4490`` or URN; CRS84 where it names none.

    Raises
    ------
    ConditionError
        If the service does not offer it.
    """
    known = systems(home)
    if text is None or _WRITTEN_84.fullmatch(text.strip()):
        return known[CRS84]
    match = _WRITTEN.fullmatch(text.strip())
    found = known.get(f"{_EPSG}{match[1]}") if match else None
    if found is None:
        raise ConditionError(f"{parameter}={text[:80]} 不可用；可用：{'、'.join(known)}")
    return found


def storage_uri(home: CRS) -> str | None:
    """Address of the workspace's own system; None where no register has it."""
    authority = home.to_authority(min_confidence=100)
    return f"{_EPSG}{authority[1]}" if authority and authority[0] == "EPSG" else None


def boxes(text: str, named: System, parameter: str = "bbox") -> list[Bounds]:
    """Boxes with east first that ``bbox=`` means: one, or two if it runs over the antimeridian; heights fall away.

    Raises
    ------
    ConditionError
        If it is not four or six numbers in their order, within the globe where they are degrees.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in {_BOX, _BOX_3D} or not all(map(math.isfinite, numbers)):
        raise ConditionError(f"{parameter}={text[:60]} 不可用：应为 4 个（或带高程 6 个）用逗号分开的数")
    half = len(numbers) // 2
    low, high = numbers[:2], numbers[half : half + 2]
    if named.north_first:
        low, high = low[::-1], high[::-1]
    (west, south), (east, north) = low, high
    if south > north:
        raise ConditionError(f"{parameter}={text[:60]} 不可用：南不大于北")
    if not named.crs.is_geographic:
        if west > east:
            raise ConditionError(f"{parameter}={text[:60]} 不可用：西不大于东")
        return [(west, south, east, north)]
    if not (-180 <= west <= 180 and -180 <= east <= 180 and south >= -90 and north <= 90):  # noqa: PLR2004 - the globe
        raise ConditionError(f"{parameter}={text[:60]} 不可用：须在经纬度范围内")
    if west > east:
        return [(west, south, 180.0, north), (-180.0, south, east, north)]
    return [(west, south, east, north)]


def clipped(boxes_: list[Bounds], named: System, reach: Bounds | None) -> list[BaseGeometry] | None:
    """What of the boxes lies about the county, as polygons in the workspace's system; None if they hold all of it.

    ``reach`` are bounds of the county in the workspace's system. Its formulas fail
    far from home, so a box as large as the globe is first cut to what lies within
    `_AIR` degrees of the county; a box that holds all of that holds everything.
    """
    if reach is None:
        return None
    if named.crs == named.home:
        return [shapely.box(*box) for box in boxes_]
    west, south, east, north = lonlat(reach, named)
    limit = (west - _AIR, south - _AIR, east + _AIR, north + _AIR)
    found = []
    for box in boxes_:
        if box[0] <= limit[0] and box[1] <= limit[1] and box[2] >= limit[2] and box[3] >= limit[3]:
            return None
        if _meet(box, limit):
            part = (
                max(box[0], limit[0]), max(box[1], limit[1]), min(box[2], limit[2]), min(box[3], limit[3])
            )  # fmt: skip
            found.append(_in_plane(part, named))
    return found


def lonlat(bounds: Bounds, named: System) -> Bounds:
    """Bounds of the workspace's system in degrees of ``named``, east first."""
    there = _way(named.home, named.crs)
    if there is None:
        return bounds
    west, south, east, north = there.transform_bounds(*bounds)
    return west, south, east, north


def _in_plane(box: Bounds, named: System) -> BaseGeometry:
    west, south, east, north = box
    across, up = np.linspace(west, east, _STEPS), np.linspace(south, north, _STEPS)
    ring = np.concatenate([
        np.column_stack((across, np.full(_STEPS, south))), np.column_stack((np.full(_STEPS, east), up)),
        np.column_stack((across[::-1], np.full(_STEPS, north))), np.column_stack((np.full(_STEPS, west), up[::-1])),
    ])  # fmt: skip
    back = _way(named.crs, named.home)
    if back is not None:
        ring = np.column_stack(back.transform(ring[:, 0], ring[:, 1]))
    if west == east or south == north:  # a box without width is a line or a point
        return MultiPoint(ring).convex_hull
    return Polygon(ring)


def _meet(one: Bounds, other: Bounds) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _degrees(home: CRS, code: int) -> CRS:
    """The geographic system ``code``, or the workspace's own where its datum is the same: no shift is made up."""
    geodetic = home.geodetic_crs
    asked = CRS.from_epsg(code)
    return geodetic if geodetic is not None and same_datum(geodetic, asked) else asked


@lru_cache(maxsize=64)
def _way(start: CRS, end: CRS) -> Transformer | None:
    return None if start == end else Transformer.from_crs(start, end, always_xy=True)
