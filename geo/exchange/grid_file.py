"""Grids as a county has them: areas drawn by hand, or by this program."""

from collections.abc import Sequence
from pathlib import Path

from geopandas import GeoDataFrame
from pyproj import CRS

from geo.datum import DatumShift
from geo.exchange.gather import How, gather
from geo.exchange.read import Reading
from geo.findings import joined


def read_grids(
    path: Path | str,
    *,
    layer: str | None = None,
    near: GeoDataFrame | None = None,
    crs: CRS | str | None = None,
    datum: Sequence[DatumShift] = (),
) -> Reading:
    """Existing grids, a row a polygon of the file; micro-grids are left out.

    Parameters
    ----------
    path : Path
        Areas of grids (.shp, .gpkg, .gdb, .geojson, .parquet), with 网格编码 or 网格名称
        as far as they have any; a folder or .zip of these; a workspace.
    layer, near, crs, datum
        As `geo.exchange.read.villages` takes them.

    Returns
    -------
    Reading
        Layer ``grid_file``, then geometry as drawn.

    Raises
    ------
    InputError
        If the path cannot be read or has no such layer.
    MissingDatumError
        If the coordinate system is not known.
    """
    how = How(layer=layer, near=near, crs=crs, datum=tuple(datum))
    table, notes, files = gather(path, "grid_file", (), how)
    small = table["grid_kind"].isin(["MICRO", "微网格"])
    return Reading(table=table[~small].reset_index(drop=True), findings=joined(notes), files=files)
