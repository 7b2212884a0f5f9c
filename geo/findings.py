"""Findings: what is wrong with the data, a row each, so that the run can go on.

A rule has its severity, Chinese title and advice in ``standards/rules.csv``;
whoever meets a flaw says where it is and what he saw.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Final

import geopandas as gpd
import pandas as pd
import shapely

from geo import schema

SEVERITIES: Final = ("error", "warning", "info")


@cache
def rules() -> pd.DataFrame:
    """The registry: one row a rule, indexed by its name (severity, title, advice, source)."""
    with (files("geo.standards") / "rules.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False).set_index("rule")


def findings(
    rule: str,
    messages: str | Iterable[str],
    *,
    layer: str,
    rows: pd.DataFrame | None = None,
    row_code: "str | Iterable[str] | pd.Series[str]" = "",
    **more: Any,  # noqa: ANN401 - further columns of the findings layer, scalars or sequences
) -> pd.DataFrame:
    """Rows for the findings table, all of one rule.

    Parameters
    ----------
    rule : str
        A name in the registry; gives severity, title and advice.
    messages : str or sequence of str
        What was seen, in Chinese, with codes and numbers; one, or one a row.
    layer : str
        Layer or file the flaw is in.
    rows : DataFrame, optional, n rows
        The rows that have the flaw. ``source_file``, ``source_row``,
        ``village_code`` and the point of ``geometry`` are taken from it if present.
    row_code : str or sequence of str
        Code of each row.

    Returns
    -------
    DataFrame, n rows (1 without ``rows``)
        Columns of layer ``findings`` except ``finding_id``, and ``geometry``
        (a point inside the row's geometry, or None).

    Raises
    ------
    KeyError
        If the registry does not know ``rule``.
    """
    entry = rules().loc[rule]
    texts = messages if isinstance(messages, str) else list(messages)
    count = len(rows) if rows is not None else (1 if isinstance(texts, str) else len(texts))
    if count == 0:
        return _nothing().copy()
    table = pd.DataFrame(index=range(count))
    for name in ("severity", "title", "advice"):
        table[name] = entry[name]
    table["rule"], table["layer"] = rule, layer
    table["message"] = texts
    table["row_code"] = row_code if isinstance(row_code, str) else list(row_code)
    table["geometry"] = None
    if rows is not None:
        for name in ("source_file", "source_row", "village_code"):
            if name in rows:
                table[name] = rows[name].to_numpy()
        if "geometry" in rows:
            table["geometry"] = shapely.point_on_surface(rows["geometry"].to_numpy())
    for name, value in more.items():
        table[name] = value if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    return schema.conform(table, "findings").drop(columns="finding_id")


def joined(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Rows of several findings tables as one; an empty one if there is nothing."""
    tables = [part for part in parts if len(part)]
    return pd.concat(tables, ignore_index=True) if tables else _nothing().copy()


@cache
def _nothing() -> pd.DataFrame:
    table = schema.conform(pd.DataFrame(), "findings").drop(columns="finding_id")
    return table.assign(geometry=pd.Series(dtype="object"))


def gather(parts: Iterable[pd.DataFrame], crs: Any = None) -> gpd.GeoDataFrame:  # noqa: ANN401 - whatever pyproj takes
    """All findings as one layer: sorted worst first, numbered, the same whatever order they came in."""
    tables = [part for part in parts if len(part)]
    if tables:
        table = pd.concat(tables, ignore_index=True).drop(columns="finding_id", errors="ignore")
    else:
        table = pd.DataFrame({"geometry": []})
    table = schema.conform(table, "findings")
    rank = table["severity"].map({name: number for number, name in enumerate(SEVERITIES)})
    keys = ["rule", "layer", "village_code", "row_code", "source_file", "source_row", "message"]
    order = table.assign(_rank=rank).sort_values(["_rank", *keys], kind="stable", na_position="first").index
    table = table.loc[order].reset_index(drop=True)
    table["finding_id"] = [f"F{number:06d}" for number in range(1, len(table) + 1)]
    return gpd.GeoDataFrame(table, geometry="geometry", crs=crs)
