"""Arcs in well-known binary turned into short straight lines.

Geodatabases keep circular arcs as such; polygons here have straight edges.
Every arc becomes lines of at most four degrees of its circle, so that an edge
leaves an arc of 100 m radius by less than 6 cm, and both ends stay where they are.

Source: ISO/IEC 13249-3 (SQL/MM), curve types of well-known binary.
"""

import math
import struct
from typing import Any, Final

import shapely
from shapely.geometry.base import BaseGeometry

Coordinates = list[tuple[float, ...]]

_STEP: Final = math.radians(4)
_POINT, _LINE, _POLYGON = 1, 2, 3
_CIRCULAR, _COMPOUND, _CURVE_POLYGON = 8, 9, 10
_MANY: Final[dict[int, Any]] = {
    4: shapely.MultiPoint,
    5: shapely.MultiLineString,
    6: shapely.MultiPolygon,
    11: shapely.MultiLineString,  # multicurve
    12: shapely.MultiPolygon,  # multisurface
}


def linear(wkb: bytes | None) -> BaseGeometry | None:
    """A geometry with its arcs as lines, in two dimensions; None for None.

    Raises
    ------
    ValueError
        If it is of a kind that holds neither lines nor polygons nor points.
    """
    return None if wkb is None else _geometry(wkb, 0)[0]


def _geometry(wkb: bytes, at: int) -> tuple[BaseGeometry, int]:
    order, kind, size, at = _head(wkb, at)
    if kind == _POINT:
        (x, y), at = _points(wkb, at, order, size, 1)[0][0][:2], at + 8 * size
        return shapely.Point(x, y), at
    if kind in (_LINE, _CIRCULAR, _COMPOUND):
        line, at = _curve(wkb, at, order, kind, size)
        return shapely.LineString(line), at
    (count,) = struct.unpack_from(order + "I", wkb, at)
    at += 4
    if kind in (_POLYGON, _CURVE_POLYGON):
        rings = []
        for _ in range(count):
            ring, at = _curve(wkb, at, order, _LINE, size) if kind == _POLYGON else _part(wkb, at)
            rings.append(ring)
        return shapely.Polygon(rings[0], rings[1:]) if rings else shapely.Polygon(), at
    parts: list[Any] = []
    for _ in range(count):
        part, at = _geometry(wkb, at)
        parts.append(part)
    many = _MANY.get(kind, shapely.GeometryCollection)
    return many(parts), at


def _head(wkb: bytes, at: int) -> tuple[str, int, int, int]:
    """Byte order, kind, numbers a point, and where the body begins."""
    order = "<" if wkb[at] else ">"
    (code,) = struct.unpack_from(order + "I", wkb, at + 1)
    dimensions = (code & 0xFFFF) // 1000  # ISO: 1 Z, 2 M, 3 both; the old form sets high bits
    size = 2 + (2 if dimensions == 3 else 1 if dimensions else 0)  # noqa: PLR2004 - as said
    size += bool(code & 0x80000000) + bool(code & 0x40000000)
    kind = (code & 0xFFFF) % 1000
    if not 1 <= kind <= 12:  # noqa: PLR2004 - the kinds above
        raise ValueError(f"geometry kind {kind}")
    return order, kind, size, at + 5


def _points(wkb: bytes, at: int, order: str, size: int, count: int) -> tuple[Coordinates, int]:
    numbers = struct.unpack_from(f"{order}{size * count}d", wkb, at)
    return [numbers[i : i + 2] for i in range(0, len(numbers), size)], at + 8 * size * count


def _part(wkb: bytes, at: int) -> tuple[Coordinates, int]:
    order, kind, size, at = _head(wkb, at)
    return _curve(wkb, at, order, kind, size)


def _curve(wkb: bytes, at: int, order: str, kind: int, size: int) -> tuple[Coordinates, int]:
    """Points of a line, an arc string, or a chain of both."""
    (count,) = struct.unpack_from(order + "I", wkb, at)
    at += 4
    if kind == _COMPOUND:
        line: Coordinates = []
        for _ in range(count):
            part, at = _part(wkb, at)
            line += part[1:] if line else part
        return line, at
    points, at = _points(wkb, at, order, size, count)
    if kind == _LINE or count == 0:
        return points, at
    line = points[:1]
    for i in range(0, count - 2, 2):
        line += _arc(*points[i : i + 3])
    return line, at


def _arc(start: tuple[float, ...], middle: tuple[float, ...], end: tuple[float, ...]) -> Coordinates:
    """Points of an arc through three points, without its start; a full circle where start is end."""
    (ax, ay), (bx, by), (cx, cy) = start, middle, end
    bx, by, cx, cy = bx - ax, by - ay, cx - ax, cy - ay
    if (cx, cy) == (0, 0):
        x, y, sweep = bx / 2, by / 2, 2 * math.pi
    else:
        double = 2 * (bx * cy - by * cx)
        if double == 0:
            return [middle, end]
        b, c = bx * bx + by * by, cx * cx + cy * cy
        x, y = (cy * b - by * c) / double, (bx * c - cx * b) / double
        sweep = (math.atan2(cy - y, cx - x) - math.atan2(-y, -x)) % (2 * math.pi)
        if double < 0:  # clockwise
            sweep -= 2 * math.pi
    first = math.atan2(-y, -x)
    radius = math.hypot(x, y)
    steps = max(2, math.ceil(abs(sweep) / _STEP))
    turns = [first + sweep * i / steps for i in range(1, steps)]
    return [(ax + x + radius * math.cos(t), ay + y + radius * math.sin(t)) for t in turns] + [end]
