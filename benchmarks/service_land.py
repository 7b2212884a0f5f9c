"""A county of 100,000 survey patches as a workspace: one of 10,000 reconciled in earnest, then copies beside it."""

from pathlib import Path
from typing import Final

import geopandas as gpd
import pandas as pd

from benchmarks.overlay import VILLAGES
from geo import schema, workspace
from geo.pipeline import Inputs, reconcile_files
from geo.sample import SampleSettings, county, deliver
from geo.workers import cores
from geo.workspace import GEOMETRIES

PATCHES: Final = 10_000  # survey patches of the county that is copied
ABREAST: Final = 4  # copies in a row from west to east: the whole stays near its zone's meridian
GAP_M: Final = 500.0
MOST: Final = 10  # copies have a digit of their townships' codes
_TOWNSHIPS: Final = "14072510"  # all codes of the county that is copied begin so
_ONCE: Final = ("runs", "meta")


def make(folder: Path, patches: int) -> Path:
    """Workspace of about so many survey patches, kept in ``folder``.

    Raises
    ------
    ValueError
        If more are asked for than there are codes for.
    """
    copies = max(1, round(patches / PATCHES))
    if copies > MOST:
        message = f"at most {MOST * PATCHES} patches"
        raise ValueError(message)
    villages = VILLAGES if patches >= PATCHES else max(2, round(VILLAGES * patches / PATCHES))
    path = folder / f"county-{villages}-{copies}.gpkg"
    if path.exists():
        return path
    base = folder / f"base-{villages}.gpkg"
    if not base.exists():
        held = folder / f"delivered-{villages}"
        if not (held / "三调").exists():
            deliver(county(SampleSettings(villages=villages, share_based_villages=0), jobs=cores(0)), held)
        (parcels,) = [found.parent for found in held.glob("*/矢量数据")]
        reconcile_files(
            Inputs(survey=held / "三调", parcels=parcels, baseline=held / "二调" / "DLTB.shp"), base
        )
    opened = workspace.open(base)
    tables = {layer: opened.read(layer) for layer in schema.RUN_LAYERS if layer in opened.layers}
    west, south, east, north = tables["villages"].total_bounds
    step = (east - west + GAP_M, north - south + GAP_M)
    workspace.write(
        path, {layer: _copied(layer, table, copies, step) for layer, table in tables.items()}, crs=opened.crs
    )
    return path


def _copied(layer: str, table: pd.DataFrame, copies: int, step: tuple[float, float]) -> pd.DataFrame:
    """A layer side by side with itself, codes of every copy its own."""
    if layer in _ONCE:
        return table
    parts = [_copy(layer, table, number, step) for number in range(copies)]
    whole = pd.concat(parts, ignore_index=True)
    return whole if layer not in GEOMETRIES else gpd.GeoDataFrame(whole, geometry="geometry", crs=table.crs)


def _copy(layer: str, table: pd.DataFrame, number: int, step: tuple[float, float]) -> pd.DataFrame:
    texts = [name for name in table.columns if pd.api.types.is_string_dtype(table[name].dtype)]
    own = f"{_TOWNSHIPS[:-1]}{number}"
    held = {name: table[name].str.replace(_TOWNSHIPS, own, regex=False) for name in texts}
    if layer == "findings":
        held["finding_id"] = f"F{number}" + table["finding_id"].str[1:]
    copy = table.assign(**held)
    if layer not in GEOMETRIES:
        return copy
    east, north = number % ABREAST * step[0], number // ABREAST * step[1]
    return copy.assign(geometry=table.geometry.translate(east, north))
