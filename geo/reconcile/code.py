"""Codes that never change once the paper is printed.

Each group numbers its pieces 1..9999 across the classes. At first issue the
numbers run in reading order over the land, blocks before strips before
slivers; afterwards they only grow. A piece that is found again keeps its code,
one that is gone stays in the register as superseded, and its number never
comes back. The register, not the geometry, is the memory.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from geopandas import GeoDataFrame

from geo.codes import CLASS_LETTERS, LAST_SERIAL, lookup
from geo.findings import findings, joined
from geo.schema import conform
from geo.standards import code_list

READING_BAND_M: Final = 200.0  # height of a line of reading: west to east in it, then the next one south
SHAPE_RANK: Final = {"BLOCK": 0, "STRIP": 1, "SLIVER": 2}
SAME_PIECE_SHARE: Final = 0.5  # of the larger of two outlines in common: still the same piece
CHANGED_SHARE: Final = 0.05  # of its area, by which a piece that keeps its code may differ unsaid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Allocation:
    """Codes given out."""

    pieces: GeoDataFrame  # as they came, with group_code settled, piece_key and piece_code
    register: pd.DataFrame  # layer code_register: every code ever issued
    findings: pd.DataFrame  # groups or classes that changed, groups that ran out


def allocate(
    pieces: GeoDataFrame,
    *,
    run_id: str,
    previous: GeoDataFrame | None = None,
    register: pd.DataFrame | None = None,
) -> Allocation:
    """Give every piece its key and printed code.

    Parameters
    ----------
    pieces : GeoDataFrame, n rows
        Polygons in a projected CRS, columns ``group_code, piece_class, piece_shape,
        patch_code``; their order does not matter.
    run_id : str
        Kept in the register as first and last run.
    previous : GeoDataFrame, optional
        Pieces of the run before, with ``piece_key``; a piece that shares at least
        half of the larger outline with one of them is the same piece and keeps
        its code, group and class letter.
    register : DataFrame, optional
        ``code_register`` of the run before; without it all numbers start at 1.

    Returns
    -------
    Allocation
        Pieces on their own index and order. A piece beyond serial 9999 of its
        group has empty ``piece_key`` and ``piece_code``, and a finding.
    """
    out = pieces.copy()
    old = conform(register if register is not None else pd.DataFrame(), "code_register")
    group = out["group_code"].to_numpy(dtype=object).copy()
    key = np.full(len(out), "", dtype=object)
    if previous is not None and len(previous):
        if previous.crs is not None and out.crs is not None and previous.crs != out.crs:
            previous = previous.to_crs(out.crs)
        key = _found_again(out, previous)
    kept = key != ""
    moved = kept & np.array([k[:14] != g for k, g in zip(key, group, strict=True)], dtype=bool)
    notes = [_group_changed(out[moved], key[moved])]
    group[moved] = [k[:14] for k in key[moved]]
    out["group_code"] = group

    serial = _serials(out, kept, _last_serials(old))
    full = ~kept & (serial > LAST_SERIAL)
    fresh = ~kept & ~full
    key[fresh] = [f"{g}-{s:04d}" for g, s in zip(group[fresh], serial[fresh], strict=True)]
    letter = out["piece_class"].map(CLASS_LETTERS).to_numpy(dtype=object)
    printed = np.array(
        [f"{k[:14]}-{c}-{k[15:]}" if k else "" for k, c in zip(key, letter, strict=True)], dtype=object
    )
    issued = dict(zip(old["piece_key"], old["piece_code"], strict=True))
    for at in np.flatnonzero(kept):
        printed[at] = issued.get(key[at], printed[at])
    out["piece_key"], out["piece_code"] = key, printed

    other_letter = kept & np.array([p[15:16] != c for p, c in zip(printed, letter, strict=True)], dtype=bool)
    notes += [
        _class_changed(out[other_letter]),
        _outline_changed(out[kept], previous),
        _no_longer_block(out[kept], previous),
        _out_of_codes(out[full]),
    ]
    return Allocation(
        pieces=out,
        register=_registered(old, out[key != ""], run_id),
        findings=joined(notes),
    )


def _found_again(pieces: GeoDataFrame, previous: GeoDataFrame) -> npt.NDArray[np.object_]:
    """Key of the previous piece that each piece still is, one to one; empty where it is none."""
    new = np.asarray(pieces.geometry.array)
    old = np.asarray(previous.geometry.array)
    old_key = previous["piece_key"].fillna("").to_numpy(dtype=object)
    key = np.full(len(new), "", dtype=object)
    taken = old_key == ""
    # An outline that did not move is recognised by its bytes, which spares nearly all of the geometry.
    by_outline = {
        wkb: at for at, wkb in enumerate(shapely.to_wkb(shapely.normalize(old)).tolist()) if not taken[at]
    }
    for at, wkb in enumerate(shapely.to_wkb(shapely.normalize(new)).tolist()):
        if (hit := by_outline.pop(wkb, None)) is not None:
            key[at], taken[hit] = old_key[hit], True
    rest_new, rest_old = np.flatnonzero(key == ""), np.flatnonzero(~taken)
    if not len(rest_new) or not len(rest_old):
        return key
    row, other = shapely.STRtree(old[rest_old]).query(new[rest_new], predicate="intersects")
    row, other = rest_new[row], rest_old[other]
    common = shapely.area(shapely.intersection(new[row], old[other]))
    # Of the larger, not the lesser: a sliver that a field grows out of is not that field.
    larger = np.maximum(shapely.area(new)[row], shapely.area(old)[other])
    same = common >= SAME_PIECE_SHARE * larger
    pairs = pd.DataFrame({"row": row, "other": other, "common": common, "key": old_key[other]})[same]
    west, south = shapely.bounds(new[pairs["row"].to_numpy()])[:, :2].T
    pairs = pairs.assign(west=west, south=south)
    pairs = pairs.sort_values(["common", "key", "west", "south"], ascending=[False, True, True, True])
    for at, hit in zip(pairs["row"], pairs["other"], strict=True):  # the largest common part chooses first
        if key[at] == "" and not taken[hit]:
            key[at], taken[hit] = old_key[hit], True
    return key


def _last_serials(register: pd.DataFrame) -> "pd.Series[int]":
    return register.groupby("group_code")["serial"].max().astype("int64")


def _serials(
    pieces: GeoDataFrame, kept: npt.NDArray[np.bool_], last: "pd.Series[int]"
) -> npt.NDArray[np.int64]:
    """Serial of each piece that has no code yet, in reading order within its group; 0 for the others."""
    serial = np.zeros(len(pieces), dtype=np.int64)
    fresh = np.flatnonzero(~kept)
    if not len(fresh):
        return serial
    polygons = np.asarray(pieces.geometry.array)[fresh]
    point = shapely.get_coordinates(shapely.centroid(polygons))
    bounds = shapely.bounds(polygons)
    table = pd.DataFrame(
        {
            "row": fresh,
            "group": pieces["group_code"].to_numpy(dtype=object)[fresh],
            "rank": pieces["piece_shape"].map(SHAPE_RANK).to_numpy()[fresh],
            "north": -np.floor(point[:, 1] / READING_BAND_M),
            "east": point[:, 0],
            "south": -point[:, 1],
            "patch": pieces["patch_code"].to_numpy(dtype=object)[fresh],
            "west": bounds[:, 0],
            "top": -bounds[:, 3],
            "area": shapely.area(polygons),
        }
    )
    # Extent and area come last: they settle what centroids and patches leave open, whatever the row order.
    keys = ["group", "rank", "north", "east", "south", "patch", "west", "top", "area"]
    table = table.sort_values(keys, kind="stable")
    start = table["group"].map(last).fillna(0).astype("int64")
    serial[table["row"].to_numpy()] = (start + table.groupby("group").cumcount() + 1).to_numpy()
    return serial


def _registered(old: pd.DataFrame, pieces: GeoDataFrame, run_id: str) -> pd.DataFrame:
    key = pieces["piece_key"]
    now = pd.DataFrame(
        {
            "piece_key": key,
            "piece_code": pieces["piece_code"],
            "group_code": pieces["group_code"],
            "serial": key.str[15:19].astype("int64"),
            "patch_code": pieces["patch_code"],
            "status": "ISSUED",
            "first_run": lookup(
                key, dict(zip(old["piece_key"], old["first_run"], strict=True)), default=run_id
            ),
            "last_run": run_id,
        }
    )
    here = set(key)
    gone = old[[was not in here for was in old["piece_key"]]].assign(status="SUPERSEDED")
    table = pd.concat([gone, now], ignore_index=True).sort_values("piece_key", kind="stable")
    return conform(table.reset_index(drop=True), "code_register")


def _group_changed(pieces: GeoDataFrame, keys: npt.NDArray[np.object_]) -> pd.DataFrame:
    messages = [
        f"图块 {key} 按现有资料应属组 {group}，编号已发出，仍归原组"
        for key, group in zip(keys, pieces["group_code"], strict=True)
    ]
    return findings("piece_group_changed", messages, layer="pieces", rows=pieces, row_code=list(keys))


def _class_changed(pieces: GeoDataFrame) -> pd.DataFrame:
    messages = [
        f"图块 {code} 现判为 {name}，与已印编号字母不同；编号不变"
        for code, name in zip(pieces["piece_code"], pieces["piece_class"], strict=True)
    ]
    return findings(
        "piece_class_changed", messages, layer="pieces", rows=pieces, row_code=pieces["piece_code"]
    )


def _outline_changed(pieces: GeoDataFrame, previous: GeoDataFrame | None) -> pd.DataFrame:
    if previous is None or pieces.empty:
        return joined([])
    before = dict(zip(previous["piece_key"], shapely.area(np.asarray(previous.geometry.array)), strict=True))
    was = pieces["piece_key"].map(before).to_numpy(dtype=np.float64)
    now = shapely.area(np.asarray(pieces.geometry.array))
    differs = np.abs(now - was) > CHANGED_SHARE * was
    rows = pieces[differs]
    messages = [
        f"图块 {code} 编号不变，图形面积由 {a:.2f} 变为 {b:.2f} m²"
        for code, a, b in zip(rows["piece_code"], was[differs], now[differs], strict=True)
    ]
    return findings(
        "piece_outline_changed",
        messages,
        layer="pieces",
        rows=rows,
        row_code=rows["piece_code"],
        area_before_m2=was[differs].round(2),
        area_after_m2=now[differs].round(2),
    )


def _no_longer_block(pieces: GeoDataFrame, previous: GeoDataFrame | None) -> pd.DataFrame:
    """Blocks that were printed as such, and are strips or slivers now: they leave sheets and totals of blocks."""
    if previous is None or pieces.empty or "piece_shape" not in previous:
        return joined([])
    were = set(previous.loc[previous["piece_shape"].eq("BLOCK").to_numpy(dtype=bool), "piece_key"])
    rows = pieces[pieces["piece_key"].isin(were).to_numpy(dtype=bool) & pieces["piece_shape"].ne("BLOCK")]
    names = code_list("piece_shape")
    messages = [
        f"图块 {code} 上次为{names['BLOCK']}，现判为{names[shape]}；编号不变，不再计入{names['BLOCK']}"
        for code, shape in zip(rows["piece_code"], rows["piece_shape"], strict=True)
    ]
    return findings("piece_shape_changed", messages, layer="pieces", rows=rows, row_code=rows["piece_code"])


def _out_of_codes(pieces: GeoDataFrame) -> pd.DataFrame:
    counts = pieces.groupby("group_code").size()
    messages = [f"组 {group} 的四位序号已用完，{count} 个图块未编号" for group, count in counts.items()]
    return findings("codes_exhausted", messages, layer="pieces", row_code=list(counts.index))
