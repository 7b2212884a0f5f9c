"""A shapefile as a county's offices take it: exact fields, text in GBK, the same bytes each time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import pyogrio

from geo.exchange.dbf import Field, write_dbf

PARTS: Final = (".shp", ".shx", ".dbf", ".prj", ".cpg")

_DATE: Final = "2020-01-01T00:00:00.000Z"  # whatever the day


def write_shapefile(
    layer: gpd.GeoDataFrame, fields: tuple[Field, ...], path: Path, *, cpg: bool = True, prj: bool = True
) -> None:
    """Write areas as a shapefile: geometry by GDAL, table by ourselves.

    Parameters
    ----------
    layer : GeoDataFrame
        Polygons; rows in the order they shall have.
    fields : tuple of Field
        Fields in their order, and the columns they come from.
    path : Path
        The ``.shp``; its folder is made, files of the same name go.
    cpg, prj : bool
        Whether the files that name code page and CRS stand beside it.

    Raises
    ------
    OSError, pyogrio.errors.DataSourceError
        If the files cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f"{path.stem}.*"):
        if old.suffix in PARTS:
            old.unlink()
    bare = gpd.GeoDataFrame({"n": np.arange(len(layer))}, geometry=layer.geometry.to_numpy(), crs=layer.crs)
    kind = "2.5D Polygon" if bare.geometry.has_z.any() else "Polygon"
    with fixed_date():
        pyogrio.write_dataframe(bare, path, driver="ESRI Shapefile", encoding="GBK", geometry_type=kind)
    write_dbf(layer, fields, path.with_suffix(".dbf"), says_gbk=cpg)
    if cpg:
        path.with_suffix(".cpg").write_text("GBK", encoding="ascii")
    else:
        path.with_suffix(".cpg").unlink(missing_ok=True)
    if not prj:
        path.with_suffix(".prj").unlink()


@contextmanager
def fixed_date() -> Iterator[None]:
    """Have GDAL write one date, whatever the day."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _DATE})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})
