"""The roster of grids: a workbook a village, and one for the county.

Every grid is a row with room for its leader, every home a row under its grid,
and what was proved stands beside it in words. A home in no grid is listed
too: no household is lost on paper either.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pandas as pd

from geo import schema
from geo.certificate import certificate_line, certificate_text
from geo.codes import listed_names, lookup
from geo.errors import InputError
from geo.ledger import file_name
from geo.standards import code_list
from geo.workbook import Book, Column, save, write_notes, write_table
from geo.workspace import Workspace

COUNTY_FILE: Final = "网格汇总.xlsx"

_LAYERS: Final = ("grids", "households", "grid_villages", "grid_lineage", "villages", "balance", "meta")
_NOWHERE: Final = "未入网格"
_GRID_DIGITS: Final = 15
_TO_FILL: Final = ("网格长", "网格员", "党小组")

_GRID_COLUMNS: Final = (
    Column(title="网格编码", width=16, source="grid_code"),
    Column(title="网格名称", width=18, source="grid_name"),
    Column(title="类型", width=8, source="kind_name"),
    Column(title="户数", width=6, source="households", kind="sum"),
    Column(title="住处", width=6, source="homes", kind="sum"),
    Column(title="规模标准", width=12, source="profile"),
    Column(title="规模", width=6, source="balance_name"),
    Column(title="超限原因", width=22, source="reason"),
    Column(title="变动", width=6, source="change_name"),
    Column(title="涉及组", width=14, source="groups"),
    Column(title="面积㎡", width=11, source="area_m2", kind="level"),
    Column(title="半径m", width=8, source="radius_m", kind="level"),
    Column(title="平均距离m", width=9, source="mean_distance_m", kind="level"),
    Column(title="相邻网格", width=20, source="near"),
    *(Column(title=title, width=9) for title in _TO_FILL),
)
_MICRO_COLUMNS: Final = (
    Column(title="微网格编码", width=19, source="grid_code"),
    Column(title="微网格名称", width=26, source="grid_name"),
    Column(title="所属网格", width=18, source="parent_name"),
    Column(title="户数", width=6, source="households", kind="sum"),
    Column(title="住处", width=6, source="homes", kind="sum"),
    Column(title="规模标准", width=14, source="profile"),
    Column(title="规模", width=6, source="balance_name"),
    Column(title="超限原因", width=30, source="reason"),
    Column(title="微网格长", width=12),
    Column(title="备注", width=14),
)
_HOME_COLUMNS: Final = (
    Column(title="网格编码", width=16, source="grid_code"),
    Column(title="网格名称", width=18, source="grid_name"),
    Column(title="微网格", width=18, source="micro_code"),
    Column(title="户数", width=6, source="households", kind="sum"),
    Column(title="楼栋", width=10, source="building"),
    Column(title="单元", width=8, source="stair"),
    Column(title="地址", width=30, source="address"),
    Column(title="组", width=14, source="group_name"),
    Column(title="定位方式", width=9, source="located_name"),
    Column(title="住户键", width=26, source="household_key"),
)
_LINEAGE_COLUMNS: Final = (
    Column(title="版次", width=6, source="edition", kind="count"),
    Column(title="原网格", width=20, source="old_code"),
    Column(title="新网格", width=20, source="new_code"),
    Column(title="新网格名称", width=24, source="grid_name"),
    Column(title="变动", width=8, source="change_name"),
    Column(title="户数", width=8, source="households", kind="sum"),
)
_VILLAGE_COLUMNS: Final = (
    Column(title="村代码", width=15, source="village_code"),
    Column(title="村名称", width=16, source="village_name"),
    Column(title="规模标准", width=12, source="profile"),
    Column(title="户数", width=8, source="households", kind="sum"),
    Column(title="网格数", width=7, source="grids", kind="sum"),
    Column(title="合格", width=6, source="in_band", kind="sum"),
    Column(title="不足", width=6, source="under", kind="sum"),
    Column(title="超出", width=6, source="over", kind="sum"),
    Column(title="可设网格数", width=10, source="range"),
    Column(title="证明", width=36, source="proof"),
    Column(title="说明", width=36, source="reason"),
)


def write_roster(
    source: Workspace | Mapping[str, pd.DataFrame], folder: str | os.PathLike[str]
) -> list[Path]:
    """Write the roster of a workspace: ``网格汇总.xlsx`` and one workbook a village that has grids.

    Parameters
    ----------
    source : Workspace, or mapping of layer name to DataFrame
        What `geo.workspace.open` gives, or the tables of a run.
    folder : path
        Made if it is missing; workbooks of the same names are replaced, each whole.

    Returns
    -------
    list of Path
        Workbooks written, the county's first, then the villages by code.

    Raises
    ------
    InputError
        If there are no grids.
    OutputError
        If the folder cannot be written to.
    """
    facts = _facts(_read(source))
    target = Path(folder)
    written = [save(target / COUNTY_FILE, partial(_county_book, facts=facts))]
    for code, name in facts.villages.items():
        path = target / file_name(f"网格{code}", name)
        written.append(save(path, partial(_village_book, facts=facts, code=code)))
    return written


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Facts:
    """What all workbooks are made from: layers with Chinese names beside the codes."""

    tables: dict[str, pd.DataFrame]
    villages: dict[str, str]  # code to name, of those that have grids
    title: str

    def of_village(self, layer: str, code: str) -> pd.DataFrame:
        table = self.tables[layer]
        return table[table["village_code"] == code].reset_index(drop=True)


def _read(source: Workspace | Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Layers without geometry, with their promised columns; texts that are missing are empty."""
    tables = {}
    for layer in _LAYERS:
        if isinstance(source, Workspace):
            rows = source.read(layer, geometry=False) if layer in source.layers else pd.DataFrame()
        else:
            rows = pd.DataFrame(source.get(layer, {}))
        table = schema.conform(rows, layer)[schema.column_names(layer)]
        texts = [column.name for column in schema.columns(layer) if column.dtype == "str"]
        tables[layer] = table.fillna(dict.fromkeys(texts, ""))
    if tables["grids"].empty:
        raise InputError("没有网格，写不了名册：请先运行 taotu grids partition")
    return tables


def _facts(tables: dict[str, pd.DataFrame]) -> _Facts:
    grids, homes, lineage = tables["grids"], tables["households"], tables["grid_lineage"]
    names = dict(zip(grids["grid_code"], grids["grid_name"], strict=True))
    balance = tables["balance"]
    rows = balance[(balance["level"] == "group") & (balance["name"] != "")]
    groups = dict(zip(rows["code"], rows["name"], strict=True))
    measures = ["area_m2", "radius_m", "mean_distance_m"]
    grids = (
        grids.assign(**{name: grids[name].round(2) for name in measures})
        .assign(
            kind_name=lookup(grids["grid_kind"], code_list("grid_kind")),
            balance_name=lookup(grids["balance"], code_list("grid_balance")),
            change_name=lookup(grids["change"], code_list("grid_change")),
            parent_name=lookup(grids["parent_code"], names),
            groups=[listed_names(text, groups) for text in grids["group_codes"]],
            near=[
                listed_names(text, names, within=str(own))
                for text, own in zip(grids["neighbours"], grids["village_name"], strict=True)
            ],
        )
        .sort_values("grid_code", kind="stable", ignore_index=True)
    )
    homes = homes.assign(
        grid_name=lookup(homes["grid_code"], names, _NOWHERE),
        group_name=[listed_names(code, groups) for code in homes["group_code"]],
        located_name=lookup(homes["located_by"], code_list("located_by")),
    ).sort_values(
        ["grid_code", "micro_code", "building", "stair", "household_key"], kind="stable", ignore_index=True
    )
    lineage = lineage.assign(
        grid_name=lookup(lineage["new_code"], names),
        change_name=lookup(lineage["change"], code_list("grid_change")),
    ).sort_values(["edition", "new_code", "old_code"], kind="stable", ignore_index=True)
    proofs = _proofs(tables["grid_villages"])
    meta = dict(zip(tables["meta"]["key"], tables["meta"]["value"], strict=True))
    return _Facts(
        tables={"grids": grids, "households": homes, "grid_lineage": lineage, "grid_villages": proofs},
        villages=_villages(tables["villages"], grids, proofs),
        title=str(meta.get("title") or "网格划分成果"),
    )


def _proofs(rows: pd.DataFrame) -> pd.DataFrame:
    most, least = rows["most_grids"], rows["least_grids"]
    spans = [
        "" if pd.isna(a) or pd.isna(b) else f"{a}–{b}" if a < b else f"{a}" if a == b else "无"
        for a, b in zip(least, most, strict=True)
    ]
    proof = [certificate_line(row) for _, row in rows.iterrows()]
    return rows.assign(range=spans, proof=proof).sort_values("village_code", kind="stable", ignore_index=True)


def _villages(villages: pd.DataFrame, grids: pd.DataFrame, proofs: pd.DataFrame) -> dict[str, str]:
    """Villages that have grids, by code; a name from the first that gives one."""
    rows = pd.concat([layer[["village_code", "village_name"]] for layer in (villages, grids, proofs)])
    rows = rows.assign(bare=rows["village_name"] == "").sort_values(["village_code", "bare"], kind="stable")
    rows = rows[rows["village_code"].isin(grids["village_code"])].drop_duplicates("village_code")
    return dict(zip(rows["village_code"], rows["village_name"], strict=True))


def _village_book(book: Book, *, facts: _Facts, code: str) -> None:
    heading = f"{facts.villages[code]} {code}".strip()
    grids, homes = facts.of_village("grids", code), facts.of_village("households", code)
    own = grids[grids["grid_kind"] != "MICRO"].reset_index(drop=True)
    micro = grids[grids["grid_kind"] == "MICRO"].reset_index(drop=True)
    note = "户数为住户登记户数；半径、平均距离由网格中心量至住房；网格长、网格员、党小组由村填写"
    write_table(book, "网格名册", _GRID_COLUMNS, own, title=f"{heading} 网格名册", note=note)
    if len(micro):
        note = "微网格在网格之内划分，户数已含在网格中"
        write_table(book, "微网格", _MICRO_COLUMNS, micro, title=f"{heading} 微网格名册", note=note)
    note = f"按网格排列；未落入任何网格的列在最前，网格名称为“{_NOWHERE}”"
    write_table(book, "住户", _HOME_COLUMNS, homes, title=f"{heading} 住户分网格表", note=note)
    write_notes(book, "划分证明", _proof(facts, code), title=f"{heading} 网格划分证明")
    history = facts.of_village("grid_lineage", code)
    # A micro-grid's moves are within those of its grid: to add both up counts households twice.
    large = history["old_code"].str.len().le(_GRID_DIGITS) & history["new_code"].str.len().le(_GRID_DIGITS)
    history = history[history["old_code"].ne("") & large].reset_index(drop=True)
    if len(history):
        note = "户数为由原网格到新网格的户数"
        write_table(book, "网格沿革", _LINEAGE_COLUMNS, history, title=f"{heading} 网格沿革", note=note)


def _proof(facts: _Facts, code: str) -> list[tuple[str, str]]:
    rows = facts.of_village("grid_villages", code)
    lines = [line for _, row in rows.iterrows() for line in certificate_text(row)]
    lines = lines or [("说明", "本村网格不是由本软件划分，没有证明。")]
    homes = facts.of_village("households", code)
    lost = homes[homes["grid_code"] == ""]
    if len(lost):
        lines.append(
            (_NOWHERE, f"{len(lost)} 处住房 {int(lost['households'].sum())} 户不在任何网格内，见“住户”表。")
        )
    return lines


def _county_book(book: Book, *, facts: _Facts) -> None:
    proofs, homes = facts.tables["grid_villages"], facts.tables["households"]
    note = "证明一栏：能全部合格的村，界限对任何全部合格的划法成立，其余的对任何划法成立；距离为各户到网格中心之和"
    write_table(book, "各村网格", _VILLAGE_COLUMNS, proofs, title=f"{facts.title} 各村网格", note=note)
    grids = facts.tables["grids"]
    own = grids[grids["grid_kind"] != "MICRO"].reset_index(drop=True)
    note = "全县网格，按编码排列"
    write_table(book, "全县网格", _GRID_COLUMNS, own, title=f"{facts.title} 网格名册", note=note)
    lost = homes[homes["grid_code"] == ""].reset_index(drop=True)
    note = "这些住户没有落在任何网格内，原因见问题清单"
    write_table(book, _NOWHERE, _HOME_COLUMNS, lost, title=f"{facts.title} 未入网格的住户", note=note)
