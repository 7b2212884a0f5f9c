"""Tables of grids as an office reads them: Chinese titles, words instead of codes, texts that stay texts."""

import os
from pathlib import Path
from typing import Final

import pandas as pd

from geo import schema
from geo.codes import lookup
from geo.standards import code_list
from geo.workbook import write_csv

_CODED: Final = {
    "grid_kind": "grid_kind",
    "balance": "grid_balance",
    "balance_before": "grid_balance",
    "change": "grid_change",
}
_TITLES: Final = {
    "parts": "分块数",
    "overlap_m2": "重叠面积",
    "outside_m2": "越界面积",
    "predecessor": "前身网格",
    "households_before": "调整前户数",
    "moved_in": "调入户数",
    "balance_before": "调整前规模",
    "border_changed": "边界变动",
}
_CHECKED: Final = (
    "grid_code", "grid_name", "grid_kind", "village_code", "village_name", "profile", "households", "homes", "balance",
    "parts", "overlap_m2", "outside_m2", "area_m2", "radius_m", "mean_distance_m",
)  # fmt: skip
_COMPARED: Final = (
    "grid_code", "grid_name", "village_code", "change", "predecessor", "predecessors", "households_before",
    "households", "moved_in", "balance_before", "balance", "border_changed",
)  # fmt: skip


def write_checked(rows: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write what `geo.grids.check.check_grids` found of each grid, as CSV.

    Raises
    ------
    OutputError
        If the file cannot be written; what stood there stays.
    """
    return write_csv(_titled(rows, _CHECKED), path)


def write_compared(rows: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write ``Comparison.grids`` of `geo.grids.compare.compare`, as CSV.

    Raises
    ------
    OutputError
        If the file cannot be written; what stood there stays.
    """
    return write_csv(_titled(rows, _COMPARED), path)


def _titled(rows: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    table = pd.DataFrame(rows[[name for name in names if name in rows]]).reset_index(drop=True)
    for name, values in _CODED.items():
        if name in table:
            table[name] = lookup(table[name].fillna("").astype("str"), code_list(values))
    if "border_changed" in table:
        table["border_changed"] = table["border_changed"].map({True: "是", False: "否"})
    rounded = {name: table[name].round(2) for name in names if name in table and name.endswith(("_m", "_m2"))}
    return table.assign(**rounded).rename(columns=schema.titles("grids") | _TITLES)
