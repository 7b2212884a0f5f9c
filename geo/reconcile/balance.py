"""The balance of areas: from county to group, every row adds up to the cent.

Farmland = covered + blocks + strips + slivers on every row; state land and
the land of share-based villages stand beside it. All sums are of whole cents.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geo.area import from_cents, to_cents
from geo.codes import lookup
from geo.errors import BalanceError
from geo.schema import column_names, conform

LEVELS: Final = {"county": 6, "township": 9, "village": 12}
_SUMS: Final = tuple(name for name in column_names("balance") if name.endswith("_m2"))


def balance(
    patches: pd.DataFrame,
    pieces: pd.DataFrame,
    covered: pd.DataFrame,
    names: dict[str, str],
    group_village: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Areas by county, township, village and group.

    Parameters
    ----------
    patches : DataFrame
        Layer ``patches``.
    pieces : DataFrame
        Layer ``pieces``; only of collective patches.
    covered : DataFrame
        ``village_code, group_code, covered_area_m2``: the covered area of
        collective patches by the group whose parcels cover it.
    names : dict
        Code to name of villages and groups.
    group_village : mapping, optional
        First 12 digits of a group to its village, where they are not the village's own. A piece
        whose group is another village's counts as its village's own, so that groups add up to it.

    Returns
    -------
    DataFrame
        Layer ``balance``, sorted by level (county first) and code.

    Raises
    ------
    BalanceError
        If farmland is not covered + pieces on any row, or the patches' sum differs from the county's.
    """
    home = lookup(pieces["group_code"].str[:12], group_village or {})
    home = home.where(home.ne(""), pieces["group_code"].str[:12])
    at_home = home.eq(pieces["village_code"])
    group = pieces["group_code"].where(at_home, pieces["village_code"] + "00")
    cents = _entries(patches, pieces.assign(group_code=group), covered)
    tables = [
        cents.assign(level=level, code=cents["village_code"].str[:digits]) for level, digits in LEVELS.items()
    ]
    tables.append(cents.assign(level="group", code=cents["group_code"]))
    order = [*LEVELS, "group"]
    total = pd.concat(tables).groupby(["level", "code"], as_index=False)[list(_SUMS)].sum()
    total["farmland_m2"] = total[["covered_m2", "block_m2", "strip_m2", "sliver_m2"]].sum(axis=1)
    total["name"] = lookup(total["code"], names)
    total = total.sort_values(["level", "code"], key=lambda s: s.map(order.index) if s.name == "level" else s)
    collective = patches["patch_kind"].eq("COLLECTIVE")
    expected = int(to_cents(patches.loc[collective, "patch_area_m2"]).sum())
    for level, rows in total.groupby("level"):
        got = int(rows["farmland_m2"].sum())
        if got != expected:
            raise BalanceError(f"{level} 级合计 {got / 100:.2f} m² 与图斑合计 {expected / 100:.2f} m² 不等")
    for name in _SUMS:
        total[name] = from_cents(total[name].to_numpy(dtype=np.int64))
    return conform(total.reset_index(drop=True), "balance")


def _entries(patches: pd.DataFrame, pieces: pd.DataFrame, covered: pd.DataFrame) -> pd.DataFrame:
    """One row an amount, in cents, under its village and group."""
    beside = patches[~patches["patch_kind"].eq("COLLECTIVE")]
    beside_cents = to_cents(beside["patch_area_m2"])
    shape_cents = to_cents(pieces["area_m2"])
    net = np.where(pieces["piece_shape"].eq("BLOCK"), to_cents(pieces["net_area_m2"]), 0)
    parts = [
        _entry(
            covered["village_code"], covered["group_code"], covered_m2=to_cents(covered["covered_area_m2"])
        ),
        _entry(
            pieces["village_code"],
            pieces["group_code"],
            block_m2=np.where(pieces["piece_shape"].eq("BLOCK"), shape_cents, 0),
            strip_m2=np.where(pieces["piece_shape"].eq("STRIP"), shape_cents, 0),
            sliver_m2=np.where(pieces["piece_shape"].eq("SLIVER"), shape_cents, 0),
            net_block_m2=net,
        ),
        _entry(
            beside["village_code"],
            beside["village_code"] + "00",
            state_m2=np.where(beside["patch_kind"].eq("STATE"), beside_cents, 0),
            share_based_m2=np.where(beside["patch_kind"].eq("SHARE_BASED"), beside_cents, 0),
        ),
    ]
    return pd.concat(parts, ignore_index=True)


def _entry(village: pd.Series, group: pd.Series, **amounts: npt.NDArray[Any]) -> pd.DataFrame:
    table = pd.DataFrame({"village_code": village.to_numpy(), "group_code": group.to_numpy()})
    for name in _SUMS:
        table[name] = np.asarray(amounts.get(name, 0), dtype=np.int64)
    return table
