"""What is wrong with grids, in findings: their land, codes and sizes, and homes they miss.

Rows come from `geo.grids.check`: those of one level (grids, or the micro-grids in
them), with ``label`` to call them by and ``place_code`` of the village they lie in.
"""

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.findings import findings, joined
from geo.grids.cover import CheckSettings, Geometries, beyond, doubled, holders, noise_by, pieces, uncovered
from geo.grids.grid_code import code_fault
from geo.grids.kernel import Ints


def _frame_of(level: gpd.GeoDataFrame, frame: gpd.GeoDataFrame, *, is_micro: bool) -> Ints:
    """Position of the village, or of the grid, that each row lies in; -1 if in none."""
    if not is_micro:
        return level["place"].to_numpy(dtype=np.int64)
    place = {code: at for at, code in enumerate(frame["grid_code"])}
    return np.array([place.get(code, -1) for code in level["parent_code"]], dtype=np.int64)


def grid_faults(level: gpd.GeoDataFrame, land: gpd.GeoDataFrame, *, is_micro: bool) -> pd.DataFrame:
    """Findings on codes, sizes and parts of grids of one level; ``land`` are the villages."""
    return joined([_code_faults(level, land, is_micro=is_micro), _size_faults(level), _parts_faults(level)])


def land_faults(
    level: gpd.GeoDataFrame, frame: gpd.GeoDataFrame, settings: CheckSettings, *, is_micro: bool
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Rows with ``overlap_m2`` and ``outside_m2``; land in two, in none, and beyond village or grid."""
    shapes, frames = level.geometry.to_numpy(), frame.geometry.to_numpy()
    home = _frame_of(level, frame, is_micro=is_micro)
    used = np.unique(home[home >= 0])  # a village without any grid is told as one
    one, other, both = doubled(shapes)
    twice = pieces(both, settings, level.crs)
    bare = pieces(uncovered(frames[used], shapes), settings, level.crs)
    out = pieces(beyond(shapes, frames, home), settings, level.crs)
    labels, codes = level["label"].to_numpy(dtype=object), level["grid_code"].to_numpy(dtype=object)
    names = frame["label" if is_micro else "village_name"].to_numpy(dtype=object)
    frame_village = frame["place_code" if is_micro else "village_code"].to_numpy(dtype=object)
    village = level["place_code"].to_numpy(dtype=object)

    pairs = twice.by_owner()
    first, second = one[pairs["owner"]], other[pairs["owner"]]
    crossing = out.by_owner()
    who = crossing["owner"].to_numpy()
    noise = noise_by(
        pd.Series([*village, *frame_village]).astype("str"),
        (one, twice),
        (len(village) + used, bare),
        (np.arange(len(level)), out),
    )
    notes = [
        findings(
            "grid_overlap",
            [
                f"网格 {a} 与 {b} 重叠 {area:,.1f} m²（{count} 处）"
                for a, b, area, count in zip(
                    labels[first], labels[second], pairs["sum_m2"], pairs["places"], strict=True
                )
            ],
            layer="grids",
            rows=pairs.assign(village_code=village[first]),
            row_code=codes[first],
        ),
        findings(
            "grid_gap",
            [
                f"{names[used[at]]}有 {area:,.1f} m² 土地不在任何{'微' if is_micro else ''}网格内"
                for at, area in zip(bare.rows["owner"], bare.rows["area_m2"], strict=True)
            ],
            layer="grids",
            rows=bare.rows.assign(village_code=frame_village[used[bare.rows["owner"]]]),
        ),
        findings(
            "grid_outside_parent" if is_micro else "grid_outside_village",
            [
                f"网格 {labels[at]} 有 {area:,.1f} m²（{count} 处）在"
                + (
                    f"{names[home[at]]}之外"
                    if home[at] >= 0
                    else "其上级网格之外"
                    if is_micro
                    else "各村村界之外"
                )
                for at, area, count in zip(who, crossing["sum_m2"], crossing["places"], strict=True)
            ],
            layer="grids",
            rows=crossing.assign(village_code=village[who]),
            row_code=codes[who],
        ),
        findings(
            "grid_noise",
            [
                f"网格边线有 {count} 处细缝或细重叠（小于 {settings.least_area_m2:g} m² 或窄于 "
                f"{settings.least_width_m:g} m），共 {area:,.1f} m²"
                for count, area in zip(noise["places"], noise["noise_m2"], strict=True)
            ],
            layer="grids",
            rows=noise.assign(village_code=noise["key"]),
        ),
    ]
    shared = twice.area_m2
    overlap = np.bincount(one, shared, len(level)) + np.bincount(other, shared, len(level))
    return level.assign(overlap_m2=overlap, outside_m2=out.area_m2), joined(notes)


def _parts_faults(level: gpd.GeoDataFrame) -> pd.DataFrame:
    apart = level[level["parts"] > 1]
    return findings(
        "grid_several_parts",
        [
            f"网格 {label} 由 {parts} 片不相连的土地组成"
            for label, parts in zip(apart["label"], apart["parts"], strict=True)
        ],
        layer="grids",
        rows=_located(apart),
        row_code=apart["grid_code"],
    )


def _size_faults(level: gpd.GeoDataFrame) -> pd.DataFrame:
    out = level[level["balance"].isin(["UNDER", "OVER"])]
    below = out["balance"] == "UNDER"
    limits = out["lower"].where(below, out["upper"])
    messages = [
        f"网格 {label} 有 {count} 户，{'不足下限' if under else '超过上限'} {limit} 户"
        + (f"：{why}" if why else "")
        for label, count, under, limit, why in zip(
            out["label"], out["households"], below, limits, out["reason"], strict=True
        )
    ]
    return findings("grid_size", messages, layer="grids", rows=_located(out), row_code=out["grid_code"])


def _code_faults(level: gpd.GeoDataFrame, land: gpd.GeoDataFrame, *, is_micro: bool) -> pd.DataFrame:
    codes = level["grid_code"]
    faults = np.array([code_fault(code, micro=is_micro) for code in codes], dtype=object)
    named = bool(codes.ne("").any())
    bad = level[(faults != "") & named]
    again = level[codes.ne("") & codes.duplicated(keep="first")]
    # Of a code that is no grid's code nothing can be said about the village.
    known = level[(faults == "") & level["place_code"].ne("")]
    said = known["grid_code"].str[:12]
    given = known["village_code"].where(known["village_code"] != "", said)
    odd = (said != known["place_code"]) | (given != known["place_code"])
    away, said, given = known[odd], said[odd], given[odd]
    names = dict(zip(land["village_code"], land["village_name"], strict=True))
    none = [] if named or level.empty else [f"{len(level)} 个{_kind(level)}都没有编码"]
    return joined(
        [
            findings("grid_code_form", none, layer="grids"),
            findings(
                "grid_code_form",
                [
                    f"网格 {label}：{fault}"
                    for label, fault in zip(bad["label"], faults[bad.index], strict=True)
                ],
                layer="grids",
                rows=_located(bad),
                row_code=bad["grid_code"],
            ),
            findings(
                "grid_code_duplicate",
                [f"网格编码 {code} 用了 {int((codes == code).sum())} 次" for code in again["grid_code"]],
                layer="grids",
                rows=_located(again),
                row_code=again["grid_code"],
            ),
            findings(
                "grid_code_village",
                [
                    f"网格 {label} 按编码属 {names.get(code, '')}{code}"
                    + (f"、按登记属 {names.get(other, '')}{other}" if other != code else "")
                    + f"，实际在 {names[place]}{place}"
                    for label, code, other, place in zip(
                        away["label"], said, given, away["place_code"], strict=True
                    )
                ],
                layer="grids",
                rows=_located(away),
                row_code=away["grid_code"],
            ),
        ]
    )


def bare_villages(
    level: gpd.GeoDataFrame, land: gpd.GeoDataFrame, spots: Geometries, weight: Ints
) -> pd.DataFrame:
    """Findings on villages in which no grid lies, with the households there."""
    bare = land[~land["village_code"].isin(level["place_code"])].reset_index(drop=True)
    held, _ = holders(bare.geometry.to_numpy(), spots)
    size = np.bincount(held[held >= 0], weights=weight[held >= 0], minlength=len(bare)).astype(np.int64)
    return findings(
        "grid_village_without",
        [
            f"{name}没有网格，村内有 {count} 户"
            for name, count in zip(bare["village_name"], size, strict=True)
        ],
        layer="villages",
        rows=bare,
        row_code=bare["village_code"],
    )


def home_faults(
    homes: gpd.GeoDataFrame, level: gpd.GeoDataFrame, held: Ints, times: Ints, missed: npt.NDArray[np.bool_]
) -> pd.DataFrame:
    """Findings on homes that are missed by all grids of a level, or lie in several (``times``)."""
    spots, shapes = homes.geometry.to_numpy(), level.geometry.to_numpy()
    keys = homes["household_key"].fillna("").astype("str").to_numpy() if "household_key" in homes else None
    keys = np.full(len(homes), "", dtype=object) if keys is None else keys
    labels = level["label"].to_numpy(dtype=object)
    kind = _kind(level)
    tree = shapely.STRtree(shapes)

    def where(at: int) -> str:
        if spots[at] is None or spots[at].is_empty:
            return "没有位置"
        (near,), (away,) = tree.query_nearest(spots[at], return_distance=True, all_matches=False)
        return f"距最近的 {labels[near]} {away:,.1f} m"

    lost = np.flatnonzero(missed)
    twice = np.flatnonzero(times > 1)
    inside = [np.sort(tree.query(spots[at], predicate="within")) for at in twice]
    return joined(
        [
            findings(
                "grid_home_in_none",
                [f"住户 {keys[at]} 不在任何{kind}内，{where(int(at))}" for at in lost],
                layer="households",
                rows=homes.iloc[lost],
                row_code=keys[lost],
            ),
            findings(
                "grid_home_in_two",
                [
                    f"住户 {keys[at]} 同在{kind} {'、'.join(labels[own])} 内，计入 {labels[held[at]]}"
                    for at, own in zip(twice, inside, strict=True)
                ],
                layer="households",
                rows=homes.iloc[twice],
                row_code=keys[twice],
            ),
        ]
    )


def _kind(level: gpd.GeoDataFrame) -> str:
    return "微网格" if level["is_micro"].any() else "网格"


def _located(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Rows as findings want them: with the village they lie in."""
    return rows.assign(village_code=rows["place_code"])
