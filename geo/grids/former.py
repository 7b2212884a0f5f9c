"""What stood before: the grid each home was in, the codes ever given out, and grids that hold no home."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import geopandas as gpd
import pandas as pd
import shapely

from geo.grids.outline import TOLERANCE

DISSOLVED: Final = "DISSOLVED"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Former:
    """Grids of the workspace before."""

    grid: Mapping[str, str] = field(default_factory=dict)  # code of the grid of each household_key
    micro: Mapping[str, str] = field(default_factory=dict)
    codes: frozenset[str] = frozenset()  # ever given out, of grids and micro-grids
    bare: Mapping[str, Any] = field(default_factory=dict)  # shapes of grids without homes by code


def former_of(previous: Mapping[str, pd.DataFrame] | None) -> Former:
    """What a workspace tells: its ``grids, households, grid_lineage``; nothing if there was none."""
    if previous is None:
        return Former()
    grids, lineage = gpd.GeoDataFrame(previous["grids"]), previous["grid_lineage"]
    grid, micro = (
        dict(zip(held["household_key"], held[name], strict=True))
        for name in ("grid_code", "micro_code")
        for held in [previous["households"].dropna(subset=[name])]
    )
    ends = (grids["grid_code"], lineage["old_code"], lineage["new_code"], [*grid.values(), *micro.values()])
    empty = grids[grids["grid_kind"].ne("MICRO") & ~grids["grid_code"].isin(set(grid.values()))]
    return Former(
        grid=grid,
        micro=micro,
        codes=frozenset(str(code) for codes in ends for code in pd.Series(codes, dtype=object).dropna()),
        bare=dict(zip(empty["grid_code"], empty.geometry.to_numpy(), strict=True)),
    )


def same_land(shape: Any, others: Mapping[str, Any]) -> str | None:  # noqa: ANN401 - shapes
    """Code of the one among some shapes that is this very land; of several the least."""
    for code in sorted(others):
        apart = shapely.area(shapely.symmetric_difference(shape, others[code]))
        if apart <= TOLERANCE * shapely.area(shape):
            return code
    return None


def history(
    before: pd.DataFrame | None,
    now: pd.DataFrame,
    *,
    issued: Mapping[str, Sequence[str]],
    stood: Sequence[str],
    standing: Sequence[str],
) -> pd.DataFrame:
    """Lineage with this edition's rows behind.

    Parameters
    ----------
    before : layer ``grid_lineage``, optional
    now : the same of the villages just divided, without ``edition``
        A village in which nothing changed adds no row.
    issued : mapping
        Codes each of these villages ever gave out.
    stood, standing : sequence of str
        Codes of all grids there were before, and there are now. One that is gone, and
        from which no home went anywhere, gets a row that says DISSOLVED.

    Returns
    -------
    DataFrame, layer ``grid_lineage`` but for its order
    """
    other = now["change"].ne("KEPT") | now["old_code"].ne(now["new_code"])
    new = now[now["village_code"].isin(now.loc[other, "village_code"])]
    parts = [table for table in (before, new) if table is not None]
    known = {code for table in parts for name in ("old_code", "new_code") for code in table[name].dropna()}
    silent = set(stood) - set(new["old_code"].dropna())
    gone = [
        {"village_code": village, "old_code": code, "change": DISSOLVED, "households": 0}
        for village, codes in issued.items()
        for code in sorted(set(codes) - set(standing))
        if code not in known or code in silent
    ]
    last = 0 if before is None or before.empty else int(before["edition"].max())
    if gone:
        new = pd.concat([new, pd.DataFrame(gone)], ignore_index=True)
    new = new.assign(edition=last + 1)
    held = [table for table in (before, new) if table is not None and len(table)]
    return pd.concat(held, ignore_index=True) if held else new
