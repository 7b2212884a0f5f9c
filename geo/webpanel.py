"""The words beside the map: totals, the proof of the balance, legend and notes, as HTML.

Every text that comes from data is escaped; areas are sums of stored m², and mu
are made of the sums.
"""

import html
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import pandas as pd

from geo.area import M2_PER_MU
from geo.certificate import certificate_line
from geo.shifts import village_notes
from geo.webdata import PageLayer

_TERMS: Final = (
    ("covered_m2", "已确权到户"),
    ("block_m2", "剩余图块"),
    ("strip_m2", "细条"),
    ("sliver_m2", "碎屑"),
)
_BESIDE: Final = (("state_m2", "国有耕地"), ("share_based_m2", "确股村耕地"))
_BALANCES: Final = ("grids_in_band", "grids_under", "grids_over", "grids_exclusive")
_BLOCKS: Final = ("unconfirmed", "newly_added", "undetermined")


def text(raw: object) -> str:
    """``raw`` as HTML that shows it: no markup, and no address a scan could take for a reference."""
    return html.escape(str(raw)).replace("://", "&#58;//")


def mu(area_m2: float) -> str:
    """An area in mu with two decimals."""
    return f"{area_m2 / M2_PER_MU:,.2f}"


def swatch(layer: PageLayer) -> str:
    """A small picture of how a layer is drawn."""
    style = layer.kind.style
    color, fill = style["color"], style.get("fillColor", "none")
    if style.get("fill") is False:
        return f'<span class="swatch line" style="border-color:{color};border-style:dashed"></span>'
    if "radius" in style:
        return f'<span class="swatch point" style="border-color:{color};background:{fill}"></span>'
    ink = style.get("hatchColor")
    lines = [f"repeating-linear-gradient(-45deg,{ink} 0 1.2px,transparent 1.2px 5px)"] if ink else []
    if style.get("hatch") == "cross":
        lines.append(f"repeating-linear-gradient(45deg,{ink} 0 1.2px,transparent 1.2px 5px)")
    picture = ",".join([*lines, f"linear-gradient({fill},{fill})"])
    return f'<span class="swatch" style="border-color:{color};background:{picture}"></span>'


def legend_name(layer: PageLayer) -> str:
    """The layer's line in the layer control: picture, title, count and mu."""
    unit = (
        "个"
        if layer.kind.table in {"villages", "grids"}
        else "处"
        if layer.kind.table == "households"
        else "条"
        if layer.kind.table == "findings"
        else "块"
    )
    amount = f"{layer.count:,} {unit}"
    if layer.area_m2 is not None:
        amount += f" · {mu(layer.area_m2)} 亩"
    if layer.households is not None:
        amount += f" · {layer.households:,} 户"
    if "minZoom" in layer.kind.style:
        amount += "（放大后显示）"
    return f'{swatch(layer)}{text(layer.kind.title)}<span class="amount">{amount}</span>'


def panel(  # noqa: PLR0913 - a panel is what is beside the map
    layers: Sequence[PageLayer],
    balance: pd.DataFrame | None,
    shifts: pd.DataFrame,
    proofs: pd.DataFrame,
    *,
    title: str,
    tiles: bool,
) -> str:
    """The whole side panel; ``proofs`` is layer ``grid_villages``."""
    noted = village_notes(shifts)
    has_pieces = any(layer.kind.table == "pieces" for layer in layers)
    has_grids = any(layer.kind.table == "grids" for layer in layers)
    sought = ["图块编号、图斑编码"] * has_pieces + ["网格编码、网格名称"] * has_grids
    search = (
        '<form id="search" role="search"><input type="search" autocomplete="off"'
        f' placeholder="{"、".join(sought)}或村名" aria-label="查找图块、图斑、网格或村">'
        '<button type="submit">查找</button><ul id="found"></ul></form>'
    )
    parts = [
        f"<header><h1>{text(title)}</h1>{search}</header>",
        _notes(layers, shifts, noted),
        _classes(layers) if has_pieces else "",
        _balance(balance) if has_pieces else "",
        _grids(layers, proofs) if has_grids else "",
        _villages(balance, noted) if has_pieces else _grid_villages(proofs),
        _facts(tiles=tiles, has_pieces=has_pieces),
        '<footer><button type="button" id="print">打印本图</button></footer>',
    ]
    fold = '<button type="button" id="fold" title="收起或展开侧栏" aria-label="收起或展开侧栏">◂▸</button>'
    return f'<aside id="panel">{"".join(parts)}</aside>{fold}'


def _notes(layers: Sequence[PageLayer], shifts: pd.DataFrame, noted: Mapping[str, str]) -> str:
    said = []
    if noted:
        moved = set(shifts.loc[shifts["accepted"], "village_code"])
        parts = [f"{len(moved)} 个村的承包地块已按整体偏移改正"] if moved else []
        if doubted := set(noted) - moved:
            parts.append(f"{len(doubted)} 个村拿不准是否偏移，未作移动")
        said.append("；".join(parts) + "。村名前有“偏”字，点击可看。")
    left = [layer for layer in layers if layer.data is None]
    if left:
        names = "、".join(f"{layer.kind.title} {layer.count:,} 个" for layer in left)
        said.append(
            f"要素较多，为使本页打得开，以下图层未放入：{names}。合计数仍含全部，完整数据见工作区文件。"
        )
    bare = [layer for layer in layers if layer.without_shape and layer.kind.table != "findings"]
    if bare:
        names = "、".join(f"{layer.kind.title} {layer.without_shape:,} 个" for layer in bare)
        said.append(f"没有图形、图上不显示：{names}。")
    flaws = sum(layer.without_shape for layer in layers if layer.kind.table == "findings")
    if flaws:
        said.append(f"另有 {flaws:,} 条问题针对整个文件或没有图形的记录，图上不显示，见工作区问题清单。")
    return f'<div class="notes">{"".join(f"<p>{text(line)}</p>" for line in said)}</div>' if said else ""


def _classes(layers: Sequence[PageLayer]) -> str:
    by_key = {layer.kind.key: layer for layer in layers}
    lines, count, area = [], 0, 0.0
    for key in _BLOCKS:
        layer = by_key[key]
        count += layer.count
        area += layer.area_m2 or 0.0
        lines.append(_class_line(f"{swatch(layer)}{layer.kind.title}", layer.count, layer.area_m2 or 0.0))
    lines.append(_class_line("图块合计", count, area, css="sum"))
    for key in ("strips", "slivers"):
        layer = by_key[key]
        lines.append(
            _class_line(f"{swatch(layer)}{layer.kind.title}", layer.count, layer.area_m2 or 0.0, css="beside")
        )
    head = "<thead><tr><th>分类</th><th>块数</th><th>面积（亩）</th></tr></thead>"
    return f'<h2>剩余图块</h2><table class="classes">{head}<tbody>{"".join(lines)}</tbody></table>'


def _class_line(name: str, count: int, area_m2: float, css: str = "") -> str:
    return f'<tr class="{css}"><td>{name}</td><td>{count:,}</td><td>{mu(area_m2)}</td></tr>'


def _balance(balance: pd.DataFrame | None) -> str:
    if balance is None or balance.empty:
        return ""
    top = next(
        level for level in ("county", "township", "village", "group") if (balance["level"] == level).any()
    )
    rows = balance[balance["level"] == top]
    total = {name: float(rows[name].sum()) for name, _ in (("farmland_m2", ""), *_TERMS, *_BESIDE)}
    net = float(rows["net_block_m2"].sum())
    lines = [_area_line("集体耕地", total["farmland_m2"], "sum")]
    lines += [_area_line(f"　{title}", total[name]) for name, title in _TERMS]
    lines.append(_area_line("　其中图块净面积", net, "beside"))
    lines += [_area_line(title, total[name], "beside") for name, title in _BESIDE]
    cents = {name: round(Decimal(repr(area)), 2) for name, area in total.items()}
    rest = cents["farmland_m2"] - sum((cents[name] for name, _ in _TERMS), Decimal(0))
    proof = (
        '<p class="proof">平衡检核：已确权 + 图块 + 细条 + 碎屑 = 集体耕地，差 0.00 m²</p>'
        if rest == 0
        else f'<p class="proof off">平衡检核不通过：差 {rest:,} m²，请重新运行套合</p>'
    )
    head = "<thead><tr><th>面积平衡</th><th>m²</th><th>亩</th></tr></thead>"
    return f'<h2>面积平衡</h2><table class="balance">{head}<tbody>{"".join(lines)}</tbody></table>{proof}'


def _area_line(name: str, area_m2: float, css: str = "") -> str:
    return f'<tr class="{css}"><td>{name}</td><td>{area_m2:,.2f}</td><td>{mu(area_m2)}</td></tr>'


def _villages(balance: pd.DataFrame | None, noted: Mapping[str, str]) -> str:
    if balance is None:
        return ""
    rows = balance[balance["level"] == "village"].sort_values("code", kind="stable")
    if rows.empty:
        return ""
    lines = [
        f'<tr tabindex="0" data-village="{text(code)}" title="{text(code)}">'
        f"<td>{_mark(noted.get(code))}{text(name if isinstance(name, str) and name else code)}</td>"
        f"<td>{mu(farmland)}</td><td>{mu(block)}</td></tr>"
        for code, name, farmland, block in zip(
            rows["code"], rows["name"], rows["farmland_m2"], rows["block_m2"], strict=True
        )
    ]
    head = "<thead><tr><th>村（点击定位）</th><th>集体耕地（亩）</th><th>图块（亩）</th></tr></thead>"
    return (
        '<section class="villages"><h2>各村</h2>'
        f"<table>{head}<tbody>{''.join(lines)}</tbody></table></section>"
    )


def _grids(layers: Sequence[PageLayer], proofs: pd.DataFrame) -> str:
    """Grids by balance, and what is proved of them in the county."""
    lines, count, households = [], 0, 0
    for layer in layers:
        if layer.kind.key not in _BALANCES:
            continue
        if layer.count or layer.kind.key == _BALANCES[0]:
            lines.append(_grid_line(f"{swatch(layer)}{layer.kind.title}", layer.count, layer.households or 0))
        count, households = count + layer.count, households + (layer.households or 0)
    lines.append(_grid_line("网格合计", count, households, css="sum"))
    lines += [
        _grid_line(f"{swatch(layer)}{layer.kind.title}", layer.count, layer.households or 0, css="beside")
        for layer in layers
        if layer.kind.key in {"micro_grids", "homes_lost"} and layer.count
    ]
    head = "<thead><tr><th>规模</th><th>个数</th><th>户数</th></tr></thead>"
    return (
        f'<h2>网格</h2><table class="classes">{head}<tbody>{"".join(lines)}</tbody></table>{_proof(proofs)}'
    )


def _grid_line(name: str, count: int, households: int, css: str = "") -> str:
    return f'<tr class="{css}"><td>{name}</td><td>{count:,}</td><td>{households:,}</td></tr>'


def _proof(proofs: pd.DataFrame) -> str:
    if proofs.empty:
        return ""
    good = int((proofs["misses"].fillna(0) == 0).sum())
    proved = int(
        ((proofs["misses"] > 0) & (proofs["misses"] <= proofs["least_misses"])).fillna(value=False).sum()
    )
    said = f"{len(proofs)} 个村中 {good} 个村的网格全部合格"
    if proved:
        said += f"，{proved} 个村的超限户数已证明不能更少"
    gaps = proofs["gap"].dropna()
    if len(gaps):
        said += f"；各村距离与可能的最优相差：中位 {gaps.median():.2%}，最大 {gaps.max():.2%}"
    return f'<p class="proof">{said}</p>'


def _grid_villages(proofs: pd.DataFrame) -> str:
    rows = proofs.sort_values("village_code", kind="stable")
    if rows.empty:
        return ""
    lines = [
        f'<tr tabindex="0" data-village="{text(row["village_code"])}" title="{text(certificate_line(row))}">'
        f"<td>{text(row['village_name'] if isinstance(row['village_name'], str) else row['village_code'])}</td>"
        f"<td>{_whole(row['households'])}</td><td>{_whole(row['in_band'])} / {_whole(row['grids'])}</td></tr>"
        for _, row in rows.iterrows()
    ]
    head = "<thead><tr><th>村（点击定位）</th><th>户数</th><th>合格 / 网格</th></tr></thead>"
    return (
        '<section class="villages"><h2>各村</h2>'
        f"<table>{head}<tbody>{''.join(lines)}</tbody></table></section>"
    )


def _whole(number: Any) -> str:  # noqa: ANN401 - a cell
    return "—" if pd.isna(number) else f"{number:,}"


def _mark(words: str | None) -> str:
    """A sign before the name of a village whose parcels were moved, or are in doubt."""
    return f'<small class="mark" title="{text(words)}">偏</small>' if words else ""


def _facts(*, tiles: bool, has_pieces: bool) -> str:
    base = (
        "底图来自本县指定的瓦片服务，其余内容均在本文件内。"
        if tiles
        else "本页不联网，所有内容均在本文件内。"
    )
    shown = (
        "坐标为 CGCS2000 经纬度，只供显示；面积以三调图斑面积（TBMJ）平差后的"
        "椭球面积为准，亩由 m² 换算（1 亩 = 2000/3 m²）。"
        if has_pieces
        else "坐标为经纬度，网格边线为显示作了简化；面积为椭球面积，完整边线见工作区文件。"
    )
    return f'<div class="facts"><p>{base}</p><p>{shown}</p></div>'
