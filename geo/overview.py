"""Figures of villages at a glance: the balance, pieces by class and by state, and outlines light enough to draw.

Every figure is a sum of stored m² to 0.01; mu is made of the sum, for display.
"""

from collections.abc import Mapping
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.area import from_cents, mu, to_cents
from geo.standards import code_list

FIGURES: Final = (
    "farmland_m2", "covered_m2", "block_m2", "strip_m2", "sliver_m2", "state_m2", "share_based_m2", "net_block_m2",
)  # fmt: skip
"""Columns of ``balance`` that are shown."""

_STEP_M: Final = 15.0  # how far an outline may move


def village_figures(villages: pd.DataFrame, balance: pd.DataFrame, pieces: pd.DataFrame) -> pd.DataFrame:
    """One row a village: its balance and its pieces by class, shape and state.

    Parameters
    ----------
    villages : DataFrame
        ``village_code``, ``village_name``.
    balance : DataFrame
        Rows of level ``village``.
    pieces : DataFrame
        ``village_code``, ``piece_class``, ``piece_shape``, ``state``, ``area_m2``.

    Returns
    -------
    DataFrame
        In the order of ``village_code``, every village of any of the tables once:
        `FIGURES`, ``residual_m2`` (their block, strip and sliver), ``piece_count``, and
        for each class, shape and state ``{code}_count`` and, but for shapes, which the
        balance has, ``{code}_m2``; 0 where there is nothing. Columns in m² have one in mu beside them.
    """
    names = dict(zip(villages["village_code"], villages["village_name"], strict=True))
    told = dict(zip(balance["code"], balance["name"], strict=True))
    codes = sorted({*names, *told, *pieces["village_code"].dropna()} - {None, ""})
    out = pd.DataFrame({"village_code": pd.Series(codes, dtype="str")})
    out["village_name"] = [names.get(code) or told.get(code) or code for code in codes]
    held = balance.drop_duplicates("code").set_index("code")
    for figure in FIGURES:
        out[figure] = held[figure].reindex(codes).fillna(0.0).to_numpy()
    parts = [to_cents(out[name]) for name in ("block_m2", "strip_m2", "sliver_m2")]
    out["residual_m2"] = from_cents(parts[0] + parts[1] + parts[2])
    out = pd.concat([out, pd.DataFrame(_sums(pieces, codes))], axis=1)
    shown = {f"{name[:-3]}_mu": mu(out[name]) for name in out.columns.astype(str) if name.endswith("_m2")}
    return pd.concat([out, pd.DataFrame(shown)], axis=1)


def whole(figures: pd.DataFrame) -> dict[str, float | int]:
    """Sums over villages of `village_figures`: m² to 0.01, mu made of the sums, counts."""
    total: dict[str, float | int] = {}
    for name in figures.columns:
        if name.endswith("_count"):
            total[name] = int(figures[name].sum())
        elif name.endswith("_m2"):
            area = from_cents(to_cents(figures[name]).sum())
            total[name] = float(area)
            total[f"{name[:-3]}_mu"] = float(mu(area))
    return total


def outlines(villages: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Villages with fewer corners, borders of neighbours still one line; rows and columns as they came."""
    shapes = villages.geometry.to_numpy().copy()
    drawn = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    shapes[drawn] = shapely.coverage_simplify(shapes[drawn], _STEP_M)
    lost = drawn & (shapely.is_missing(shapes) | shapely.is_empty(shapes))
    shapes[lost] = villages.geometry.to_numpy()[lost]
    return villages.set_geometry(gpd.GeoSeries(shapes, index=villages.index, crs=villages.crs))


def _sums(pieces: pd.DataFrame, codes: list[str]) -> Mapping[str, Any]:
    """Count and area of pieces of each village by every code of the three lists."""
    place = {code: at for at, code in enumerate(codes)}
    rows = np.array([place.get(code, -1) for code in pieces["village_code"].tolist()], dtype=np.int64)
    cents = to_cents(pieces["area_m2"].fillna(0.0))
    inside = rows >= 0
    sums: dict[str, Any] = {"piece_count": np.bincount(rows[inside], minlength=len(codes)).astype(np.int64)}
    for column in ("piece_class", "piece_shape", "state"):
        given = pieces[column].fillna("candidate" if column == "state" else "")
        for code in code_list(column):
            chosen = inside & (given == code).to_numpy()
            count, area = np.zeros(len(codes), dtype=np.int64), np.zeros(len(codes), dtype=np.int64)
            np.add.at(count, rows[chosen], 1)
            np.add.at(area, rows[chosen], cents[chosen])
            sums[f"{code.lower()}_count"] = count
            if column != "piece_shape":  # the balance has these
                sums[f"{code.lower()}_m2"] = from_cents(area)
    return sums
