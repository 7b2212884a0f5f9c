"""The Excel ledger: a workbook a village, and one for the county.

Every piece is a row, every sum a live formula with its value beside it, and
every patch shows that its parts make up its area. Villages print on A4.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import pandas as pd
import shapely

from geo import schema
from geo.area import from_cents, mu, to_cents
from geo.report import (
    CLASSES,
    LEVELS,
    SEVERITY_NAMES,
    SHAPES,
    finding_counts,
    live,
    patch_balance,
    read_tables,
    report,
    report_json,
    report_text,
)
from geo.shifts import batch_name, confidence_names, noteworthy, shift_text
from geo.standards import code_list
from geo.workbook import (
    HEAD_ROW,
    Book,
    Column,
    save,
    write_cells,
    write_csv,
    write_notes,
    write_table,
)
from geo.workspace import Workspace

__all__ = ["COUNTY_FILE", "file_name", "report_json", "report_text", "write_findings", "write_ledger"]

COUNTY_FILE: Final = "全县汇总.xlsx"

_FORBIDDEN: Final = re.compile(r'[\x00-\x1f<>:"/\\|?*]')  # in file names, of Windows and of Linux
_LONGEST_NAME: Final = 60  # characters of a file name that every disk takes
_HASH: Final = re.compile("[0-9a-f]{64}")
_SHORT_HASH: Final = 12  # digits of a SHA-256 that tell two deliveries apart; the workspace holds all
_ROLES: Final = {
    "survey": "三调图斑",
    "parcels": "承包地块",
    "rights": "权属数据",
    "villages": "村界",
    "groups": "组界",
    "baseline": "基期调查",
    "datum": "基准转换",
    "issuers": "发包方",
    "files": "文件",
    "rows": "行数",
}
_NO_VILLAGE: Final = "村代码缺失"
_PATCH_COLUMNS: Final = {
    "area": "图斑面积",
    "covered": "已确权",
    "BLOCK": "图块",
    "STRIP": "细条",
    "SLIVER": "碎屑",
}


_PIECE_COLUMNS: Final = (
    Column(title="图块编号", width=22, source="piece_code"),
    Column(title="分类", width=9, source="class_name"),
    Column(title="分类依据", width=26, source="class_reason"),
    Column(title="组代码", width=16, source="group_code"),
    Column(title="图斑编码", width=18, source="patch_code"),
    Column(title="面积㎡", width=11, source="area_m2", kind="area"),
    Column(title="净面积㎡", width=11, source="net_area_m2", kind="area"),
    Column(title="面积亩", width=8, source="area_mu", kind="mu", of="area_m2"),
    Column(title="净面积亩", width=9, source="net_area_mu", kind="mu", of="net_area_m2"),
    Column(title="图幅号", width=12, source="sheet_code"),
    Column(title="认定", width=10),
    Column(title="实测亩", width=8),
    Column(title="现使用人", width=10),
    Column(title="备注", width=12),
)
_SHAPE_COLUMN: Final = Column(title="形状", width=6, source="shape_name")

_FINDING_COLUMNS: Final = (
    Column(title="问题编号", width=10, source="finding_id"),
    Column(title="等级", width=6, source="severity_name"),
    Column(title="规则", width=18, source="title"),
    Column(title="对象编码", width=24, source="row_code"),
    Column(title="说明", width=60, source="message"),
    Column(title="处理建议", width=36, source="advice"),
    Column(title="来源文件", width=20, source="source_file"),
    Column(title="行号", width=8, source="source_row", kind="count"),
)
_SHIFT_COLUMNS: Final = (
    Column(title="村代码", width=15, source="village_code"),
    Column(title="村名称", width=17, source="village_name"),
    Column(title="批次", width=13, source="batch"),
    Column(title="地块数", width=8, source="parcel_count", kind="count"),
    Column(title="偏移量m", width=10, source="distance_m", kind="level"),
    Column(title="偏移方向", width=11, source="direction"),
    Column(title="东移改正m", width=10, source="dx_m", kind="level"),
    Column(title="北移改正m", width=10, source="dy_m", kind="level"),
    Column(title="旋转改正°", width=10, source="rotation_deg", kind="degree"),
    Column(title="中误差m", width=9, source="error_m", kind="level"),
    Column(title="可信度", width=9, source="confidence_name"),
    Column(title="采用", width=6, source="accepted_name"),
    Column(title="说明", width=42, source="reason"),
)
_COUNT_COLUMNS: Final = (
    Column(title="等级", width=8, source="severity_name"),
    Column(title="规则", width=40, source="title"),
    Column(title="条数", width=10, source="count", kind="sum"),
)


def write_ledger(
    source: Workspace | Mapping[str, pd.DataFrame], folder: str | os.PathLike[str]
) -> list[Path]:
    """Write the ledger of a workspace: ``全县汇总.xlsx`` and one workbook a village.

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
    BalanceError
        If any patch does not add up; then nothing is written.
    OutputError
        If the folder cannot be written to.
    """
    tables = read_tables(source)
    result = report(tables)
    facts = _Facts(
        proof=patch_balance(tables["patches"], tables["pieces"]),
        villages=_village_names(tables),
        notes=_notes(tables, result.title, result.run_id),
        tables=tables
        | {
            "patches": _described(tables["patches"]),
            "pieces": _readable(tables["pieces"]),
            "findings": tables["findings"].assign(severity_name=_severity_names(tables["findings"])),
            "shifts": _spoken(result.shifts),
        },
    )
    target = Path(folder)
    written = [save(target / COUNTY_FILE, partial(_county_book, facts=facts))]
    for code, name in facts.villages.items():
        written.append(save(target / file_name(code, name), partial(_village_book, facts=facts, code=code)))
    return written


def write_findings(findings: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a list of findings: an Excel workbook for ``.xlsx``, else CSV in UTF-8 that Excel opens.

    Parameters
    ----------
    findings : DataFrame
        Layer ``findings``; a point is written as ``x`` and ``y``.
    path : path

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    target = Path(path)
    rows = schema.conform(pd.DataFrame(findings), "findings")
    rows = rows.assign(severity_name=_severity_names(rows))
    if target.suffix.lower() == ".xlsx":
        return save(target, lambda book: _findings_book(book, rows))
    out = rows[schema.column_names("findings")].assign(severity=rows["severity_name"])
    out = out.rename(columns=schema.titles("findings"))
    if isinstance(findings, gpd.GeoDataFrame) and findings.active_geometry_name is not None:
        shapes = findings.geometry.to_numpy()
        out["x"], out["y"] = shapely.get_x(shapes), shapely.get_y(shapes)
    return write_csv(out, target)


def file_name(village_code: str, village_name: str) -> str:
    """Name of a village's workbook: code and name, without what a file name may not hold."""
    name = _FORBIDDEN.sub("_", f"{village_code}{village_name}")
    return f"{name[:_LONGEST_NAME].rstrip('. ')}.xlsx"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Facts:
    """What all workbooks are made from."""

    tables: dict[str, pd.DataFrame]  # layers without geometry, with Chinese names beside the codes
    proof: pd.DataFrame  # by patch_code, in cents
    villages: dict[str, str]  # code to name
    notes: list[tuple[str, str]]

    def of_village(self, layer: str, code: str) -> pd.DataFrame:
        """The village's rows of a layer."""
        table = self.tables[layer]
        return table[table["village_code"].fillna("") == code].reset_index(drop=True)

    def names(self, level: str) -> dict[str, str]:
        """Names of places of a level of the balance, by code."""
        rows = self.tables["balance"]
        rows = rows[rows["level"] == level]
        return dict(zip(rows["code"], rows["name"].fillna(""), strict=True))


def _village_book(book: Book, *, facts: _Facts, code: str) -> None:
    heading = f"{facts.villages[code]} {code}".strip()
    pieces = facts.of_village("pieces", code)
    blocks, rest = (pieces[(pieces["piece_shape"] == "BLOCK") == wanted] for wanted in (True, False))
    unit = "㎡ 为平方米；合计由平方米相加，再折算为亩"
    moved = _village_shifts(facts.of_village("shifts", code))
    write_notes(book, "说明", [*moved, *facts.notes], title=f"{heading} 非承包地台账")
    write_table(book, "图块台账", _PIECE_COLUMNS, blocks, title=f"{heading} 剩余图块台账", note=unit)
    narrow = (_PIECE_COLUMNS[0], _SHAPE_COLUMN, *_PIECE_COLUMNS[1:])
    write_table(book, "细条碎屑", narrow, rest, title=f"{heading} 细条与碎屑", note=f"{unit}；只参加面积平衡")
    _balance_sheet(book, facts.of_village("patches", code), facts.proof, heading)
    groups = _by_class(pieces, pieces["group_code"], facts.names("group") | {"": "未定组"})
    write_table(book, "组汇总", _class_columns("组"), groups, title=f"{heading} 按组汇总", note=unit)
    found = facts.of_village("findings", code)
    write_table(book, "问题清单", _FINDING_COLUMNS, found, title=f"{heading} 问题清单", note="")


def _county_book(book: Book, *, facts: _Facts) -> None:
    pieces, findings = facts.tables["pieces"], facts.tables["findings"]
    villages = pieces["village_code"]
    unit = "㎡ 为平方米；合计由平方米相加，再折算为亩"
    notes = [*_county_shifts(facts.tables["shifts"]), *facts.notes]
    write_notes(book, "说明", notes, title=facts.notes[0][1])
    note = "套合前各村确权地块相对三调图斑的整体偏移；采用“是”的已按改正数移动，各表面积均按移动后的位置计算"
    shifts = facts.tables["shifts"]
    write_table(book, "套合偏移", _SHIFT_COLUMNS, shifts, title="各村套合偏移", note=note)
    towns = _by_class(pieces, villages.str[:9], facts.names("township") | {"": "未定乡镇"})
    write_table(book, "乡镇汇总", _class_columns("乡镇"), towns, title="乡镇剩余图块汇总", note=unit)
    rows = _by_class(pieces, villages, facts.villages)
    write_table(book, "村汇总", _class_columns("村"), rows, title="村剩余图块汇总", note=unit)
    _areas_sheet(book, facts.tables["balance"])
    counts = finding_counts(findings)
    counts["severity_name"] = _severity_names(counts)
    write_table(book, "问题汇总", _COUNT_COLUMNS, counts, title="问题汇总", note="各村问题见村台账")
    elsewhere = findings[~findings["village_code"].fillna("").isin(facts.villages)]
    write_table(book, "其他问题", _FINDING_COLUMNS, elsewhere, title="不属于某一村的问题", note="")


def _findings_book(book: Book, rows: pd.DataFrame) -> None:
    write_table(book, "问题清单", _FINDING_COLUMNS, rows, title="问题清单", note="")


def _balance_sheet(book: Book, patches: pd.DataFrame, proof: pd.DataFrame, heading: str) -> None:
    """图斑平衡: each patch beside its parts, and what is left between them, which is nothing."""
    columns = [
        Column(title="图斑编码", width=24, source="patch_code"),
        Column(title="地类", width=10, source="class_name"),
        *(
            Column(title=f"{text}㎡", width=13, source=key, kind="area")
            for key, text in _PATCH_COLUMNS.items()
        ),
        Column(title="差值㎡", width=10),
        Column(title="核对", width=9),
        Column(title="备注", width=24, source="remark"),
    ]
    counted = patches[patches["patch_kind"] == "COLLECTIVE"]
    own = proof.loc[counted["patch_code"]]
    counted = counted.assign(**{key: from_cents(own[key]) for key in _PATCH_COLUMNS})
    note = "图斑面积 = 已确权 + 图块 + 细条 + 碎屑，差值须为 0.00"
    sheet = write_table(book, "图斑平衡", columns, counted, title=f"{heading} 图斑面积平衡", note=note)
    end = HEAD_ROW + 1 + len(counted)
    for row in range(HEAD_ROW + 1, end + 1):
        parts = "".join(f"-{letter}{row + 1}" for letter in "DEFG")
        sheet.write_formula(
            row, 7, f"=ROUND(C{row + 1}{parts},2)", (book.sum if row == end else book.number)["area"], 0
        )
        sheet.write_formula(row, 8, f'=IF(H{row + 1}=0,"平衡","不平衡")', book.right, "平衡")
    beside = patches[patches["patch_kind"] != "COLLECTIVE"]
    if beside.empty:
        return
    sheet.write_string(end + 2, 0, "不参加平衡的耕地图斑（国有耕地、确股村耕地）", book.note)
    for at, title in enumerate(("图斑编码", "地类", "图斑面积㎡", "归类")):
        sheet.write_string(end + 3, at, title, book.head)
    beside = beside.assign(kind=beside["patch_kind"].map(code_list("patch_kind")))
    for at, (name, kind) in enumerate(
        {"patch_code": "text", "class_name": "text", "patch_area_m2": "area", "kind": "text"}.items()
    ):
        write_cells(book, sheet, (end + 4, at), beside[name], kind)


def _areas_sheet(book: Book, balance: pd.DataFrame) -> None:
    """面积平衡: every row of the balance, county to group, with its equation."""
    parts = {
        "farmland_m2": "集体耕地",
        "covered_m2": "已确权",
        "block_m2": "图块",
        "strip_m2": "细条",
        "sliver_m2": "碎屑",
    }
    beside = {"state_m2": "国有耕地", "share_based_m2": "确股村耕地", "net_block_m2": "图块净面积"}
    columns = [
        Column(title="代码", width=17, source="code"),
        Column(title="级别", width=6, source="level_name"),
        Column(title="名称", width=18, source="name"),
        *(Column(title=f"{text}㎡", width=14, source=key, kind="level") for key, text in parts.items()),
        Column(title="差值㎡", width=9),
        *(Column(title=f"{text}㎡", width=14, source=key, kind="level") for key, text in beside.items()),
    ]
    rows = balance.assign(level_name=balance["level"].map(LEVELS)).sort_values("code", kind="stable")
    note = "集体耕地 = 已确权 + 图块 + 细条 + 碎屑；国有耕地与确股村耕地另列，不在其内"
    sheet = write_table(book, "面积平衡", columns, rows, title="面积平衡表", note=note)
    for row in range(HEAD_ROW + 1, HEAD_ROW + 1 + len(rows)):
        formula = f"=ROUND(D{row + 1}" + "".join(f"-{letter}{row + 1}" for letter in "EFGH") + ",2)"
        sheet.write_formula(row, 8, formula, book.number["area"], 0)


def _notes(tables: Mapping[str, pd.DataFrame], title: str, run_id: str) -> list[tuple[str, str]]:
    """What the reader must know: where the figures come from and how to read them."""
    meta = dict(zip(tables["meta"]["key"], tables["meta"]["value"], strict=True))
    rows = [("成果名称", title), ("批次", run_id or "无"), ("坐标系", str(meta.get("crs") or ""))]
    rows += [
        (
            "面积口径",
            "面积以三调图斑面积（TBMJ，平方米，两位小数）为准，按椭球面积比例分到各部分，逐图斑平衡到 0.01 平方米。",
        ),
        ("净面积", "净面积 = 面积 - 面积 × 扣除系数（KCXS）。"),
        ("亩", "1 亩 = 2000/3 平方米。亩数只供阅读；合计由平方米折算，可能与各行亩数之和相差 0.01。"),
        ("分类", "W 未确权地；X 新增地；D 待定。分类依据见各行，最终由实地认定。"),
        (
            "形状",
            "图块为可认定、可发包的候选；细条为田坎、沟、路；碎屑为两图边线不一致所致。三者都参加面积平衡。",
        ),
        ("误差", "面积平衡误差为 0.00 平方米。图块边界的精度取决于两图的成图精度。"),
        ("填写", "认定、实测亩、现使用人、备注四栏由实地核查人员填写。"),
    ]
    runs = tables["runs"]
    if len(runs):
        run = runs.iloc[-1]
        rows += [("数据来源", text) for text in _lines(run["inputs"])]
        rows += [("设置", text) for text in _lines(run["settings"])]
        rows += [("软件版本", text) for text in _lines(run["versions"])]
    return rows


def _village_shifts(shifts: pd.DataFrame) -> list[tuple[str, str]]:
    """How far the village's parcels were moved: what a reader must know before any area."""
    return [
        (
            "套合偏移",
            batch_name(row)
            + shift_text(row)
            + ("。以下面积均按改正后的位置计算。" if row["accepted"] else "。以下面积按原位置计算。"),
        )
        for _, row in shifts.iterrows()
    ]


def _county_shifts(shifts: pd.DataFrame) -> list[tuple[str, str]]:
    if shifts.empty:
        return []
    moved, noted = int(shifts["accepted"].sum()), int(noteworthy(shifts).sum())
    text = (
        f"{len(shifts)} 个村（批次）中，{moved} 个的确权地块已整体改正，{noted - moved} 个存疑未动；"
        "逐村见“套合偏移”。"
    )
    return [("套合偏移", text)]


def _spoken(shifts: pd.DataFrame) -> pd.DataFrame:
    """Shifts with Chinese words for what is a code."""
    return shifts.assign(
        confidence_name=confidence_names(shifts),
        accepted_name=shifts["accepted"].map({True: "是", False: "否"}),
    )


def _lines(text: Any) -> list[str]:  # noqa: ANN401 - a cell of the runs table
    """A JSON text as lines a person can read; any other text as it is."""
    if pd.isna(text):
        return []
    try:
        value = json.loads(text)
    except ValueError:
        return [str(text)]
    if not isinstance(value, dict):
        return [_phrase(value)]
    return [f"{_ROLES.get(key, key)}：{_phrase(item)}" for key, item in value.items()]


def _phrase(item: Any) -> str:  # noqa: ANN401 - what JSON may hold
    if isinstance(item, dict):
        return "，".join(f"{_ROLES.get(key, key)} {_phrase(value)}" for key, value in item.items())
    if isinstance(item, list):
        return "；".join(_phrase(one) for one in item)
    return item[:_SHORT_HASH] if isinstance(item, str) and _HASH.fullmatch(item) else str(item)


def _readable(pieces: pd.DataFrame) -> pd.DataFrame:
    """Live pieces in the order of their codes, with Chinese names of class and shape and their mu."""
    rows = live(pieces)
    rows = rows.assign(
        class_name=rows["piece_class"].map(code_list("piece_class")),
        shape_name=rows["piece_shape"].map(code_list("piece_shape")),
        area_mu=mu(rows["area_m2"]),
        net_area_mu=mu(rows["net_area_m2"]),
    )
    return rows.sort_values(["piece_key", "piece_code", "patch_code"], kind="stable", ignore_index=True)


def _described(patches: pd.DataFrame) -> pd.DataFrame:
    land = code_list("DLBM")
    return patches.assign(
        class_name=patches["land_class"].map(lambda code: land.get(code, code)),
        remark=patches["is_enclave"].map({True: "飞入地", False: ""}) + patches["detail_code"].fillna(""),
    ).sort_values("patch_code", kind="stable", ignore_index=True)


def _class_columns(level: str) -> list[Column]:
    shapes = [(shape, code_list("piece_shape")[shape]) for shape in SHAPES]
    return [
        Column(title=f"{level}代码", width=16, source="code"),
        Column(title=f"{level}名称", width=16, source="name"),
        Column(title="分类", width=10, source="class_name"),
        Column(title="图块数", width=8, source="blocks", kind="sum"),
        *(
            column
            for shape, text in shapes
            for column in (
                Column(title=f"{text}㎡", width=13, source=shape, kind="area"),
                Column(title=f"{text}亩", width=11, source=f"{shape}_mu", kind="mu", of=shape),
            )
        ),
        Column(title="图块净㎡", width=13, source="net", kind="area"),
        Column(title="图块净亩", width=11, source="net_mu", kind="mu", of="net"),
        Column(title="合计㎡", width=13, source="all", kind="area"),
        Column(title="合计亩", width=11, source="all_mu", kind="mu", of="all"),
    ]


def _by_class(pieces: pd.DataFrame, codes: pd.Series, names: Mapping[str, str]) -> pd.DataFrame:
    """Sums of a place's pieces by class: a row each place and class that has any."""
    rows = pd.DataFrame(
        {
            "code": codes.fillna(""),
            "piece_class": pd.Categorical(pieces["piece_class"], categories=CLASSES, ordered=True),
            "blocks": (pieces["piece_shape"] == "BLOCK").astype("int64"),
        }
    )
    cents = to_cents(pieces["area_m2"])
    for shape in SHAPES:
        rows[shape] = cents * (pieces["piece_shape"] == shape).astype("int64")
    rows["net"] = to_cents(pieces["net_area_m2"]) * rows["blocks"]
    rows["all"] = cents
    sums = rows.groupby(["code", "piece_class"], observed=True, sort=True).sum().reset_index()
    for name in (*SHAPES, "net", "all"):
        sums[name] = from_cents(sums[name])
        sums[f"{name}_mu"] = mu(sums[name])
    sums["name"] = [names.get(code, "") for code in sums["code"]]
    sums["class_name"] = sums["piece_class"].astype("str").map(code_list("piece_class"))
    return sums


def _village_names(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Every village that has a patch, a piece or a border, by code; a name from the first that gives one."""
    parts = [tables[layer][["village_code", "village_name"]] for layer in ("villages", "patches", "pieces")]
    rows = pd.concat(parts, ignore_index=True).fillna("")
    rows = rows.assign(bare=rows["village_name"] == "").sort_values(["village_code", "bare"], kind="stable")
    first = rows.drop_duplicates("village_code")
    names = dict(zip(first["village_code"], first["village_name"], strict=True))
    return {code: name if code.strip("0") else _NO_VILLAGE for code, name in names.items()}


def _severity_names(rows: pd.DataFrame) -> pd.Series:
    return rows["severity"].map(SEVERITY_NAMES)
