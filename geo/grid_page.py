"""Grids before and after, side by side: a page of pictures and tables that needs no network.

A village has two pictures on one scale, as its grids were and as they are,
coloured by balance with the number of households in each, and homes that
changed grid marked in both. Villages in which no home moved and no border
changed are rows of the table only.
"""

import html
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.atomic import whole_file
from geo.grids.compare import KEPT, Comparison
from geo.standards import code_list

PAGE_TITLE: Final = "网格调整前后对照"

_WIDTH: Final = 560.0  # of a picture, in its own units
_TALLEST: Final = 900.0
_FILL: Final = {
    "IN_BAND": "#3f9e5f",
    "UNDER": "#3b8fd4",
    "OVER": "#d9483b",
    "": "#8c8c8c",
}  # as on the county's map
_STYLE: Final = """
body{font:15px/1.5 "Noto Sans CJK SC","Microsoft YaHei",sans-serif;margin:1.5em auto;max-width:1200px;padding:0 1em;
color:#222}
h1{font-size:1.5em}h2{font-size:1.2em;margin:2em 0 .4em}
table{border-collapse:collapse;margin:.6em 0}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:right}
td:first-child,th:first-child,td.t{text-align:left}
.two{display:flex;gap:1em;flex-wrap:wrap}.two figure{margin:0;flex:1 1 420px}figcaption{font-weight:bold}
svg{width:100%;height:auto;background:#fafafa;border:1px solid #ddd}
svg path{stroke:#222;stroke-width:1.1;fill-opacity:.42}svg text{font-size:15px;text-anchor:middle;paint-order:stroke;
stroke:#fff;stroke-width:3px}
svg .h{fill:#666}svg .m{fill:#c00}
.key span{display:inline-block;width:1em;height:1em;margin:0 .3em 0 1em;vertical-align:-.15em;opacity:.6}
@media print{h2{break-before:page}}
"""


def before_after(result: Comparison, names: Mapping[str, str]) -> str:
    """A page of two sets of grids.

    Parameters
    ----------
    result : Comparison
        In a projected CRS.
    names : mapping
        Name of each village by its code; one without goes by its code.

    Returns
    -------
    str
        HTML that names no outside address. The same for any order of rows.
    """
    codes = sorted({*result.before["village_code"], *result.after["village_code"]} - {""})
    changed = result.grids[result.grids["change"].ne(KEPT) | result.grids["border_changed"]]
    gone = set(result.before["grid_code"]) - set(result.grids["predecessor"])
    touched = {
        *changed["village_code"],
        *result.before.loc[result.before["grid_code"].isin(gone), "village_code"],
    }
    rows = "".join(_village_row(result, code, str(names.get(code, code))) for code in codes)
    parts = [_village(result, code, str(names.get(code, code))) for code in codes if code in touched]
    if not codes:  # grids of a file that names no village
        parts = [_village(result, "", "全部网格")]
    return (
        f'<!doctype html><html lang="zh-CN"><head><meta charset="utf-8"><title>{PAGE_TITLE}</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{_STYLE}</style></head><body><h1>{PAGE_TITLE}</h1>"
        f"<p>标准：{html.escape(str(result.profile))} 户。换了网格的住户 {result.moved} 户，"
        f"撤销的网格 {result.dissolved} 个。</p>{_totals(result)}{_key()}"
        f"<table><tr><th>村</th><th>网格数</th><th>合格</th><th>换网格户数</th></tr>{rows}</table>"
        f"{''.join(parts)}</body></html>\n"
    )


def write_before_after(result: Comparison, names: Mapping[str, str], path: str | os.PathLike[str]) -> Path:
    """`before_after` as a file, put into place whole.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with whole_file(Path(path)) as target:
        target.write_text(before_after(result, names), encoding="utf-8")
    return Path(path)


def _totals(result: Comparison) -> str:
    heads = {
        "grids": "网格数", "in_band": "合格", "under": "不足", "over": "超出", "households": "户数",
        "mean_distance_m": "户到中心平均（米）",
    }  # fmt: skip
    totals = result.totals.astype("float64").to_dict("index")
    rows = "".join(
        f"<tr><td>{title}</td>{''.join(f'<td>{totals[name][key]:.0f}</td>' for key in heads)}</tr>"
        for name, title in (("before", "调整前"), ("after", "调整后"))
    )
    return (
        f"<table><tr><th></th>{''.join(f'<th>{title}</th>' for title in heads.values())}</tr>{rows}</table>"
    )


def _key() -> str:
    words = {**code_list("grid_balance"), "": "专属"}
    spans = "".join(
        f'<span style="background:{color}"></span>{html.escape(words[code])}' for code, color in _FILL.items()
    )
    return (
        f'<p class="key">图例：{spans}<span style="background:#c00"></span>换了网格的住户；数字为户数。</p>'
    )


def _village_row(result: Comparison, code: str, name: str) -> str:
    was, is_ = (table[table["village_code"].eq(code)] for table in (result.before, result.after))
    good = [int(table["balance"].eq("IN_BAND").sum()) for table in (was, is_)]
    homes = result.homes
    moved = int(homes.loc[homes["moved"] & homes["village_code"].eq(code), "households"].sum())
    cells = f"<td>{len(was)} → {len(is_)}</td><td>{good[0]} → {good[1]}</td><td>{moved}</td>"
    return f'<tr><td class="t">{html.escape(name)}</td>{cells}</tr>'


def _village(result: Comparison, code: str, name: str) -> str:
    was, is_ = (
        table[table["village_code"].eq(code)].sort_values("grid_code")
        for table in (result.before, result.after)
    )
    homes = result.homes[result.homes["village_code"].eq(code)] if code else result.homes
    west, south, east, north = shapely.total_bounds(
        np.concatenate([was.geometry.to_numpy(), is_.geometry.to_numpy()])
    )
    scale = min(_WIDTH / max(east - west, 1.0), _TALLEST / max(north - south, 1.0))
    size = ((east - west) * scale, (north - south) * scale)
    figures = "".join(
        f"<figure><figcaption>{title}</figcaption>{_picture(table, homes, (west, north), scale, size)}</figure>"
        for title, table in (("调整前", was), ("调整后", is_))
    )
    rows = result.grids[result.grids["village_code"].eq(code)] if code else result.grids
    return f'<h2>{html.escape(name)}</h2><div class="two">{figures}</div>{_changes(rows)}'


def _picture(
    grids: gpd.GeoDataFrame,
    homes: gpd.GeoDataFrame,
    corner: tuple[float, float],
    scale: float,
    size: tuple[float, float],
) -> str:
    """Grids and homes as SVG, north up."""

    def place(xy: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> list[str]:
        return [f"{(x - corner[0]) * scale:.1f},{(corner[1] - y) * scale:.1f}" for x, y in xy.tolist()]

    out = []
    # as they stand: grids somebody drew need not be a tiling
    shapes = shapely.simplify(grids.geometry.to_numpy(), 0.4 / scale)
    for shape, row in zip(shapes, grids.to_dict("records"), strict=True):
        rings = shapely.get_rings(shapely.get_parts(shape))
        path = "".join(f"M{'L'.join(place(shapely.get_coordinates(ring)))}Z" for ring in rings)
        label = html.escape(f"{row['grid_name'] or row['grid_code']}：{row['households']} 户")
        fill = _FILL[row["balance"]]
        out.append(f'<path d="{path}" fill="{fill}" fill-rule="evenodd"><title>{label}</title></path>')
    xy = homes.geometry.get_coordinates().to_numpy()
    moved = homes["moved"].to_numpy(dtype=bool)
    for kind, radius, rows in (("h", 1.6, ~moved), ("m", 3.2, moved)):
        for at in sorted(place(xy[rows])):
            x, y = at.split(",")
            out.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="{radius}"/>')
    for row, at in zip(
        grids.to_dict("records"),
        place(shapely.get_coordinates(shapely.point_on_surface(grids.geometry.to_numpy()))),
        strict=True,
    ):
        x, y = at.split(",")
        out.append(f'<text x="{x}" y="{y}">{row["households"]}</text>')
    return f'<svg viewBox="0 0 {size[0]:.0f} {size[1]:.0f}">{"".join(out)}</svg>'


def _changes(rows: pd.DataFrame) -> str:
    words = code_list("grid_change")
    lines = "".join(
        f"<tr><td>{html.escape(row['grid_name'] or row['grid_code'])}</td>"
        f'<td class="t">{html.escape(words.get(row["change"], row["change"]))}</td>'
        f'<td class="t">{html.escape(row["predecessor"])}</td><td>{row["households_before"] or ""}</td>'
        f"<td>{row['households']}</td><td>{row['moved_in'] or ''}</td></tr>"
        for row in rows.sort_values("grid_code").to_dict("records")
    )
    heads = ("网格", "变化", "前身网格", "调整前户数", "户数", "调入户数")
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{lines}</table>"
