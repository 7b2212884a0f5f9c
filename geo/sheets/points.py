"""Boundary points of pieces: numbered, measured, and written as surveyors write them.

A surveyor's x is the northing, his y the easting. A ring begins at its
north-west point; the outer one runs clockwise, a hole after it the other way,
so that land is always on the right hand. A point that two pieces share has one
number in the village.

Source: the exchange text is the land-approval form of 自然资源部 ([属性描述], [地块坐标]),
version 1.01, as public software reads and writes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from geo.area import mu
from geo.crs import BEIJING54, CGCS2000, XIAN80, central_meridian, datum_of, zone_of
from geo.errors import GeometryTypeError, InputError, MissingDatumError
from geo.standards import code_list

DECIMALS: Final = (2, 3)  # of a coordinate in metres
M2_PER_HA: Final = 10_000

_SAME_POINT: Final = 1.5  # last decimals: neighbours that were rounded apart are one point still
_CORNERS: Final = 3  # of the smallest ring
_SYSTEMS: Final = {CGCS2000: "2000国家大地坐标系", XIAN80: "1980西安坐标系", BEIJING54: "1954北京坐标系"}
_ZONES_6: Final = range(13, 24)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoundaryPoints:
    """Boundary points of some pieces, and what they enclose."""

    points: gpd.GeoDataFrame  # number, x_m (north), y_m (east): one row a point, by number
    corners: (
        pd.DataFrame
    )  # piece_code, ring, order, number, next_number, x_m, y_m, edge_m: one row a corner of a ring
    pieces: (
        pd.DataFrame
    )  # piece_code, ring_count, point_count, perimeter_m, area_m2, area_mu, plane_area_m2, …
    decimals: int  # of the coordinates


def boundary_points(pieces: gpd.GeoDataFrame, *, decimals: int = 3) -> BoundaryPoints:
    """Number the corners of pieces, in the order of their codes.

    Parameters
    ----------
    pieces : GeoDataFrame, n rows
        Polygons in a projected CRS in metres with ``piece_code`` and, if they
        are known, ``area_m2, sheet_code, land_class, piece_class``. A row
        without geometry keeps its row in ``pieces`` and has no corner.
    decimals : int
        2 or 3: coordinates are rounded to it, and corners that fall together
        are one.

    Returns
    -------
    BoundaryPoints
        Rings of a piece are counted from 1: each part's outer ring, its holes
        after it, parts from north-west. ``edge_m`` leads to ``next_number``.
        ``area_m2`` is that of the ledger; ``plane_area_m2`` is that of the
        rounded corners.

    Raises
    ------
    InputError
        If ``decimals`` is neither 2 nor 3.
    MissingDatumError
        If the pieces have no CRS, or one in degrees.
    GeometryTypeError
        If a piece is a point or a line.
    """
    if decimals not in DECIMALS:
        raise InputError(f"界址点坐标保留 2 或 3 位小数，不能是 {decimals}")
    if pieces.crs is None or pieces.crs.is_geographic:
        raise MissingDatumError("界址点需要平面直角坐标（米）：请为图块指定高斯投影坐标系")
    table = _by_code(pieces)
    rings = _Rings.of(table.geometry.to_numpy(), decimals)
    number = _numbers(rings.spot)
    scale = 10.0**decimals
    corners = _corners(rings, number, table["piece_code"].to_numpy(), scale)
    first = np.unique(rings.spot, return_index=True)[1]
    first = first[np.argsort(number[first], kind="stable")]
    places = rings.xy[first] / scale
    points = gpd.GeoDataFrame(
        {"number": [f"J{at}" for at in number[first]], "x_m": places[:, 1], "y_m": places[:, 0]},
        geometry=shapely.points(places),
        crs=pieces.crs,
    )
    return BoundaryPoints(
        points=points, corners=corners, pieces=_enclosed(table, rings, corners, scale), decimals=decimals
    )


def exchange_text(points: BoundaryPoints, *, producer: str = "", date: str = "") -> str:
    """The points as the text that land-approval software exchanges, lines ended by CR LF.

    A piece's line says: corners listed, area in hectares, code, name, 面, sheet,
    use, land class, ``@``. Each ring is listed with its first point again at its end.

    Parameters
    ----------
    points : BoundaryPoints
    producer, date : str
        Who made the data, and when (``2024-05-01``); left empty where it is not said.

    Raises
    ------
    MissingDatumError
        If the points' CRS is tied to no ellipsoid.
    """
    crs = CRS.from_user_input(points.points.crs)
    lines = [
        "[属性描述]",
        "格式版本号=1.01版本",
        f"数据产生单位={_cell(producer)}",
        f"数据产生日期={_cell(date)}",
        *(f"{name}={text}" for name, text in _system(crs).items()),
        "计量单位=米",
        f"带号={_zone(crs)}",
        f"精度={10.0**-points.decimals:.{points.decimals}f}",
        "转换参数=,,,,,,",
        "[地块坐标]",
    ]
    by_piece = dict(iter(points.corners.groupby("at", sort=False)))
    table = points.pieces
    names = ("at", "area_m2", "piece_code", "class_name", "sheet_code", "land_class")
    for at, area, code, kind, sheet, land in zip(*(table[name].tolist() for name in names), strict=True):
        listed = list(_closed(by_piece[at], points.decimals)) if at in by_piece else []
        hectares = "" if np.isnan(area) else f"{area / M2_PER_HA:.6f}"
        words = [str(len(listed)), hectares, code, kind, "面", sheet, "", land]
        lines += [",".join([*map(_cell, words), "@"]), *listed]
    return "\r\n".join(lines) + "\r\n"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rings:
    """Corners of all rings in a row, in whole last decimals."""

    xy: Ints  # n x 2, east and north
    spot: Ints  # n: which place it is
    piece: Ints  # n: row of the piece
    ring: Ints  # n: 1.. within the piece
    start: Ints  # of each ring in the row of corners

    @classmethod
    def of(cls, shapes: npt.NDArray[np.object_], decimals: int) -> "_Rings":
        """Rings in the order and direction they are listed in."""
        held = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
        stray = held & (shapely.get_dimensions(shapes) != 2)  # noqa: PLR2004 - of an area
        if stray.any():
            at = int(np.flatnonzero(stray)[0])
            raise GeometryTypeError(f"图块第 {at} 行的图形是 {shapes[at].geom_type}，应为面")
        shapes = _rounded(shapes, decimals)
        every = [(at, raw, hole) for at in np.flatnonzero(held) for raw, hole in _raw_rings(shapes[at])]
        counts = np.array([len(raw) for _, raw, _ in every], dtype=np.int64)
        flat = np.concatenate([raw for _, raw, _ in every]) if every else np.empty((0, 2))
        merged = _merged(np.rint(flat * 10.0**decimals).astype(np.int64))
        parts = np.split(merged, np.cumsum(counts)[:-1]) if every else []
        listed = [_listed(part, hole=hole) for part, (_, _, hole) in zip(parts, every, strict=True)]
        lengths = np.array([len(part) for part in listed], dtype=np.int64)
        owner = np.array([at for at, _, _ in every], dtype=np.int64)
        first = np.searchsorted(owner, owner)  # ring the owner's rings begin with
        xy = np.concatenate(listed) if listed else np.empty((0, 2), dtype=np.int64)
        return cls(
            xy=xy,
            spot=np.unique(xy, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64),
            piece=np.repeat(owner, lengths),
            ring=np.repeat(np.arange(1, len(owner) + 1) - first, lengths),
            start=np.cumsum(lengths) - lengths,
        )

    def following(self) -> Ints:
        """For each corner, the next one on its ring."""
        out = np.arange(1, len(self.xy) + 1)
        if len(self.start):
            out[np.append(self.start[1:], len(self.xy)) - 1] = self.start
        return out


def _rounded(shapes: npt.NDArray[np.object_], decimals: int) -> npt.NDArray[np.object_]:
    """Shapes with coordinates of so many decimals whose rings do not cross themselves for it.

    One that would vanish keeps its corners.
    """
    out = np.asarray(shapely.set_precision(shapes, 10.0**-decimals), dtype=object)
    return np.where(shapely.is_empty(out), shapes, out)


def _by_code(pieces: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Rows in the order of their codes, then of their land, with every column the tables show."""
    out = pieces.copy()
    if "class_name" not in out and "piece_class" in out:
        out["class_name"] = out["piece_class"].map(code_list("piece_class"))
    for name in ("piece_code", "sheet_code", "land_class", "class_name"):
        out[name] = out[name].fillna("").astype("str") if name in out else ""
    out["area_m2"] = pd.to_numeric(out["area_m2"]) if "area_m2" in out else np.nan
    land = [shapely.to_wkb(shape, hex=True) if shape is not None else "" for shape in out.geometry]
    order = out.assign(_land=land).sort_values(["piece_code", "_land"], kind="stable").index
    return out.loc[order].reset_index(drop=True)


def _raw_rings(shape: BaseGeometry) -> Iterator[tuple[npt.NDArray[np.float64], bool]]:
    """Rings of an area without their repeated last point; parts and holes from the north-west."""
    parts = sorted(shapely.get_parts(shape).tolist(), key=_north_west)
    for part in parts:
        yield shapely.get_coordinates(part.exterior)[:-1], False
        for hole in sorted(part.interiors, key=_north_west):
            yield shapely.get_coordinates(hole)[:-1], True


def _north_west(shape: BaseGeometry) -> tuple[float, float, bytes]:
    west, _, _, north = shape.bounds
    return west - north, -north, shapely.to_wkb(shapely.normalize(shape))


def _merged(xy: Ints) -> Ints:
    """Corners of neighbours that differ in the last decimal alone, brought together."""
    places, where = np.unique(xy, axis=0, return_inverse=True)
    marks = np.array(shapely.points(places.astype(np.float64)), dtype=object)
    left, right = shapely.STRtree(marks).query(marks, predicate="dwithin", distance=_SAME_POINT)
    lead = np.arange(len(places))
    for one, other in zip(left[left > right].tolist(), right[left > right].tolist(), strict=True):
        lead[one] = min(lead[one], lead[other])
    while (lead[lead] != lead).any():
        lead = lead[lead]
    return places[lead][where.reshape(-1)]


def _listed(ring: Ints, *, hole: bool) -> Ints:
    """A ring from its north-west point on, land to the right, without corners that fall together."""
    again = (ring == np.roll(ring, 1, axis=0)).all(axis=1)
    if (~again).sum() >= _CORNERS:
        ring = ring[~again]
    origin = ring - ring[0]  # so that products of large coordinates keep every digit
    x, y = origin[:, 0], origin[:, 1]
    twice = int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
    if (twice > 0) != hole:
        ring = ring[::-1]
    order = np.lexsort((-ring[:, 1], ring[:, 0] - ring[:, 1]))
    return np.roll(ring, -int(order[0]), axis=0)


def _numbers(spot: Ints) -> Ints:
    """Number of each corner's place: places are counted as they are first met."""
    seen, first = np.unique(spot, return_index=True)
    number = np.empty(len(seen), dtype=np.int64)
    number[np.argsort(first, kind="stable")] = np.arange(1, len(seen) + 1)
    return number[spot]


def _corners(rings: _Rings, number: Ints, codes: npt.NDArray[np.object_], scale: float) -> pd.DataFrame:
    after = rings.following()
    steps = (rings.xy[after] - rings.xy) / scale
    order = (
        np.arange(len(rings.xy)) - np.repeat(rings.start, np.diff(np.append(rings.start, len(rings.xy)))) + 1
    )
    return pd.DataFrame(
        {
            "at": rings.piece,
            "piece_code": pd.Series(codes[rings.piece], dtype="str"),
            "ring": rings.ring,
            "order": order,
            "number": pd.Series([f"J{at}" for at in number], dtype="str"),
            "next_number": pd.Series([f"J{at}" for at in number[after]], dtype="str"),
            "x_m": rings.xy[:, 1] / scale,
            "y_m": rings.xy[:, 0] / scale,
            "edge_m": np.hypot(steps[:, 0], steps[:, 1]).round(3),
        }
    )


def _enclosed(table: gpd.GeoDataFrame, rings: _Rings, corners: pd.DataFrame, scale: float) -> pd.DataFrame:
    after = rings.following()
    # From each ring's first corner, so that the products are of metres and not of megametres.
    base = np.repeat(rings.start, np.diff(np.append(rings.start, len(rings.xy))))
    here, there = rings.xy - rings.xy[base], rings.xy[after] - rings.xy[base]
    twice = here[:, 1] * there[:, 0] - here[:, 0] * there[:, 1]  # clockwise counts as land
    count = len(table)
    area = np.zeros(count, dtype=np.int64)
    np.add.at(area, rings.piece, twice)
    sums = corners.groupby("at")
    return pd.DataFrame(
        {
            "at": np.arange(count),
            "piece_code": table["piece_code"].to_numpy(),
            "class_name": table["class_name"].to_numpy(),
            "land_class": table["land_class"].to_numpy(),
            "sheet_code": table["sheet_code"].to_numpy(),
            "ring_count": sums["ring"].max().reindex(range(count), fill_value=0).to_numpy(),
            "point_count": sums.size().reindex(range(count), fill_value=0).to_numpy(),
            "perimeter_m": sums["edge_m"].sum().reindex(range(count), fill_value=0.0).round(3).to_numpy(),
            "area_m2": table["area_m2"].to_numpy(),
            "area_mu": mu(table["area_m2"]),
            "plane_area_m2": (area / (2 * scale**2)).round(2),
        }
    )


def _system(crs: CRS) -> dict[str, str]:
    datum = datum_of(crs)
    meridian = central_meridian(crs)
    six = zone_of(crs) in _ZONES_6
    known = meridian is not None
    return {
        "坐标系": _SYSTEMS.get(datum, datum),
        "几度分带": ("6" if six else "3") if known else "",
        "投影类型": "高斯克吕格" if known else "",
    }


def _zone(crs: CRS) -> str:
    """Number of the zone, also where eastings do not carry it."""
    zone, meridian = zone_of(crs), central_meridian(crs)
    if zone is None and meridian is not None and meridian % 3 == 0:
        zone = int(meridian / 3)
    return str(zone or "")


def _closed(corners: pd.DataFrame, decimals: int) -> Iterator[str]:
    """Lines of a piece: ring after ring, each with its first point again."""
    for ring, rows in corners.groupby("ring", sort=True):
        spots = list(zip(rows["number"], rows["x_m"], rows["y_m"], strict=True))
        for number, x, y in [*spots, spots[0]]:
            yield f"{number},{ring},{x:.{decimals}f},{y:.{decimals}f}"


def _cell(text: object) -> str:
    """A text that cannot break its line: commas are full-width ones."""
    return " ".join(str(text).split()).replace(",", "，")
