"""Grids as the page shows them: lines no finer than a screen, names instead of codes, homes placed or not.

Grids follow roads and ditches vertex by vertex; drawn for looking at, they are
simplified together, so that neighbours keep one line between them.
"""

from collections.abc import Mapping
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.codes import listed_names

PLACED: Final = "is_placed"  # column of this page only: whether a home is in a grid

_FINEST_M: Final = 0.5  # a step of a line that nobody sees at any zoom
_MAX_VERTICES: Final = 250_000  # of a page's grids, some 4 MB
_COARSEST_M: Final = 16.0


def with_grids(
    tables: Mapping[str, pd.DataFrame], *, max_vertices: int = _MAX_VERTICES
) -> dict[str, pd.DataFrame]:
    """The tables, their grids and homes made ready to be shown.

    Parameters
    ----------
    tables : mapping of layer name to DataFrame or GeoDataFrame
        Where there is no grid, ``grids`` and ``households`` are left out.
    max_vertices : int
        Lines of grids are simplified by 0.5 m, and by more, up to 16 m, while
        they have more points than this.

    Returns
    -------
    dict
        ``grids`` with simplified shapes, ``group_codes`` as it was, and names in
        ``neighbours``, ``predecessors`` and ``parent_code``; ``households`` with
        ``is_placed``, ``"1"`` or ``"0"``. Other tables as they are.
    """
    told = dict(tables)
    grids = told.get("grids")
    if grids is None or grids.empty:
        told.pop("grids", None)
        told.pop("households", None)
        return told
    told["grids"] = _simplified(_named(grids), max_vertices)
    if "households" in told:
        homes = told["households"]
        codes = homes["grid_code"].fillna("") if "grid_code" in homes else pd.Series("", index=homes.index)
        placed = codes.ne("")
        told["households"] = homes.assign(**{PLACED: placed.map({True: "1", False: "0"})})
    return told


def _named(grids: pd.DataFrame) -> pd.DataFrame:
    """Codes of other grids by their names, without the village's own before them."""
    if not {"grid_code", "grid_name"} <= set(grids.columns):
        return grids
    names = dict(zip(grids["grid_code"].fillna(""), grids["grid_name"].fillna(""), strict=True))
    village = (
        grids["village_name"].fillna("") if "village_name" in grids else pd.Series("", index=grids.index)
    )
    told = {}
    for name in ("neighbours", "predecessors", "parent_code"):
        if name in grids:
            pairs = zip(grids[name].fillna(""), village, strict=True)
            said = [listed_names(str(codes), names, within=str(own)) or None for codes, own in pairs]
            told[name] = pd.Series(said, index=grids.index, dtype="str")
    return grids.assign(**told)


def _simplified(grids: pd.DataFrame, max_vertices: int) -> pd.DataFrame:
    if not isinstance(grids, gpd.GeoDataFrame) or grids.crs is None or not grids.crs.is_projected:
        return grids
    shapes = grids.geometry.to_numpy()
    micro = (
        (grids["grid_kind"] == "MICRO").to_numpy()
        if "grid_kind" in grids
        else np.zeros(len(grids), dtype=bool)
    )
    # By code, so that the order of rows changes nothing.
    order = np.argsort(grids["grid_code"].fillna("").to_numpy(dtype=object), kind="stable")
    tolerance, out = _FINEST_M, shapes
    while tolerance <= _COARSEST_M:
        out = shapes.copy()
        for level in (order[~micro[order]], order[micro[order]]):
            out[level] = _coarser(shapes[level], tolerance)
        if shapely.get_num_coordinates(out).sum() <= max_vertices:
            break
        tolerance *= 2
    return grids.set_geometry(out, crs=grids.crs)


def _coarser(shapes: npt.NDArray[np.object_], tolerance_m: float) -> npt.NDArray[np.object_]:
    """Shapes with fewer points; one that would lose its area or soundness stays as it is."""
    usable = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    usable &= np.isin(shapely.get_type_id(shapes), [3, 6])
    out = shapes.copy()
    coarse = shapely.coverage_simplify(shapes[usable], tolerance_m)
    sound = shapely.is_valid(coarse) & ~shapely.is_empty(coarse)
    out[usable] = np.where(sound, coarse, shapes[usable])
    return out
