"""Layers cut at a frame and brought onto paper: from easting and northing to millimetres."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from pyproj import CRS, Transformer

from geo.errors import MismatchError, MissingDatumError
from geo.sheets.frames import Frame
from geo.sheets.plan import Plan

Floats = npt.NDArray[np.float64]
Shapely = npt.NDArray[Any]  # of geometries


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnPaper:
    """Where a frame's land lies on its paper."""

    scale: int
    corners: Floats  # 4 x 2, easting and northing; NaN where it lies nowhere
    crs: CRS | None
    frame_mm: Floats  # 4 x 2, the same corners
    origin: tuple[float, float]  # easting and northing of the paper's lower left corner

    def mm(self, xy: npt.ArrayLike) -> Floats:
        """Easting and northing to mm of paper."""
        out: Floats = (np.asarray(xy, dtype=np.float64) - self.origin) * (1000 / self.scale)
        return out


def on_paper(frame: Frame, plan: Plan, layers: Mapping[str, pd.DataFrame]) -> OnPaper:
    """A frame in the middle of its paper's map zone, grid north up.

    Raises
    ------
    MismatchError
        If the frame is larger than the zone.
    MissingDatumError
        If neither frame nor ``pieces`` have a CRS.
    """
    crs = _crs(frame, layers)
    low = np.array([plan.map_left, plan.map_bottom])
    room = np.array([plan.map_right, plan.map_top]) - low
    if not np.isfinite(frame.corners).all():
        (west, south), (east, north) = low.tolist(), (low + room).tolist()
        corners_mm = np.array([[west, south], [west, north], [east, north], [east, south]])
        return OnPaper(
            scale=frame.scale, corners=frame.corners, crs=crs, frame_mm=corners_mm, origin=(0.0, 0.0)
        )
    size = np.ptp(frame.corners, axis=0) * 1000 / frame.scale
    if (size > room + 1e-6).any():
        raise MismatchError(
            f"{frame.number} 的图面 {size[0]:.0f} × {size[1]:.0f} mm 大于 {plan.paper} 纸的图面"
            f" {room[0]:.0f} × {room[1]:.0f} mm：请换更大的纸或更小的比例尺"
        )
    start = low + (room - size) / 2
    origin = frame.corners.min(axis=0) - start * frame.scale / 1000
    return OnPaper(
        scale=frame.scale,
        corners=frame.corners,
        crs=crs,
        frame_mm=(frame.corners - origin) * 1000 / frame.scale,
        origin=(float(origin[0]), float(origin[1])),
    )


def cut(
    layers: Mapping[str, pd.DataFrame], name: str, place: OnPaper, columns: Sequence[str] = ()
) -> tuple[pd.DataFrame, Shapely]:
    """Rows of a layer that meet a frame, and their land within it in mm of paper.

    Parameters
    ----------
    layers : mapping of layer name to GeoDataFrame
    name : str
        A layer that may be absent or empty.
    place : OnPaper
    columns : sequence of str
        Those of ``rows`` that are wanted; one the layer does not have comes empty.

    Returns
    -------
    rows : DataFrame, n rows
        In the layer's order; without geometry.
    shapes : array of n polygons or multipolygons
        Empty where a row only touches the frame.

    Raises
    ------
    MissingDatumError
        If the layer has no CRS.
    """
    layer = layers.get(name)
    nothing = np.empty(0, dtype=object)
    if layer is None or not len(layer) or not np.isfinite(place.corners).all():
        return pd.DataFrame(columns=[*columns]), nothing
    if not isinstance(layer, gpd.GeoDataFrame) or layer.crs is None:
        raise MissingDatumError(f"图层 {name} 没有坐标系：请在读取数据时给出 crs")
    quad = shapely.Polygon(place.corners)
    other = place.crs if place.crs != layer.crs else None
    asked = quad if other is None else shapely.Polygon(_moved(place.corners, other, layer.crs))
    found = np.sort(layer.sindex.query(asked, predicate="intersects"))
    # Only what is wanted is taken: a county's layer has a hundred thousand rows and thirty columns.
    rows = pd.DataFrame({name: layer[name].array.take(found) if name in layer else "" for name in columns})
    shapes = np.asarray(layer.geometry.array)[found]
    if other is not None:
        shapes = gpd.GeoSeries(shapes, crs=layer.crs).to_crs(other).to_numpy()
    return rows, shapely.transform(_clipped(shapes, quad), place.mm)


def _crs(frame: Frame, layers: Mapping[str, pd.DataFrame]) -> CRS | None:
    if frame.crs:
        return CRS.from_user_input(frame.crs)
    layer = layers.get("pieces")
    crs = layer.crs if isinstance(layer, gpd.GeoDataFrame) else None
    if crs is None and np.isfinite(frame.corners).all():
        raise MissingDatumError(f"{frame.number} 的图块没有坐标系：请在读取数据时给出 crs")
    return crs


def _moved(corners: Floats, source: CRS, target: Any) -> Floats:  # noqa: ANN401 - whatever pyproj takes
    x, y = Transformer.from_crs(source, target, always_xy=True).transform(*corners.T)
    return np.column_stack([x, y])


def _clipped(shapes: Shapely, quad: shapely.Polygon) -> Shapely:
    """Polygons within the frame; lines and points that an edge leaves are no land."""
    shapely.prepare(quad)
    out = shapes.copy()
    # A sliver that was valid may cross itself once it is brought into another zone; one of a layer may have before.
    flawed = ~(shapely.is_valid(out) | shapely.is_missing(out))
    out[flawed] = shapely.make_valid(out[flawed])
    across = ~shapely.contains(quad, out)
    out[across] = shapely.intersection(out[across], quad)
    mixed = np.flatnonzero(shapely.get_dimensions(out) < 2)  # noqa: PLR2004 - of a polygon
    out[mixed] = shapely.Polygon()
    for at in np.flatnonzero(shapely.get_type_id(out) == shapely.GeometryType.GEOMETRYCOLLECTION).tolist():
        parts = shapely.get_parts(out[at])
        out[at] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])  # noqa: PLR2004 - of a polygon
    return out
