"""What a run found, in one page: shifts, areas from county to group, classes, findings, the proof that they add up."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from geo import schema
from geo.area import from_cents, mu, to_cents
from geo.codes import CLASS_LETTERS
from geo.errors import BalanceError
from geo.findings import SEVERITIES
from geo.shifts import confidence_names, noteworthy, place_name, shift_text
from geo.standards import code_list
from geo.workspace import Workspace

SHAPES: Final = ("BLOCK", "STRIP", "SLIVER")
CLASSES: Final = tuple(CLASS_LETTERS)
LEVELS: Final = {"county": "县", "township": "乡镇", "village": "村", "group": "组"}

SEVERITY_NAMES: Final = {"error": "错误", "warning": "警告", "info": "提示"}
_PARTS: Final = ("covered_m2", "block_m2", "strip_m2", "sliver_m2")
_LAYERS: Final = ("patches", "pieces", "villages", "findings", "shifts", "balance", "runs", "meta")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report:
    """One run in figures; every sum was checked to 0.01 m²."""

    title: str
    run_id: str
    shifts: pd.DataFrame  # layer ``shifts``, by key
    areas: pd.DataFrame  # layer ``balance``, county first, each township before its villages
    classes: pd.DataFrame  # piece_class, piece_shape, count, area_m2, net_area_m2, area_mu, net_area_mu
    findings: pd.DataFrame  # severity, rule, title, count; worst first


def read_tables(source: Workspace | Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Tables of a workspace, or those in hand, without geometry and with their promised columns."""
    if isinstance(source, Workspace):
        return {layer: source.read(layer, geometry=False) for layer in _LAYERS}
    return {
        layer: schema.conform(pd.DataFrame(source.get(layer, {})), layer)[schema.column_names(layer)]
        for layer in _LAYERS
    }


def live(pieces: pd.DataFrame) -> pd.DataFrame:
    """Pieces that count: one that was split has its land in its children."""
    return pieces[pieces["state"].fillna("") != "superseded"]


def patch_balance(patches: pd.DataFrame, pieces: pd.DataFrame) -> pd.DataFrame:
    """The proof, patch by patch: area = covered + block + strip + sliver, in whole cents.

    Parameters
    ----------
    patches, pieces : DataFrame
        Layers of a workspace. Only collective patches are counted.

    Returns
    -------
    DataFrame of int64, one row a collective patch, in the order of ``patches``
        Indexed by ``patch_code``: ``area, covered, BLOCK, STRIP, SLIVER`` in 0.01 m².

    Raises
    ------
    BalanceError
        If a patch does not add up, or a piece lies on no such patch; the message names it.
    """
    counted = patches[patches["patch_kind"] == "COLLECTIVE"].set_index("patch_code")
    rows = live(pieces)
    stray = ~rows["patch_code"].isin(counted.index)
    if stray.any():
        raise BalanceError(f"图块 {rows['piece_code'][stray].iloc[0]} 不在任何集体耕地图斑上")
    parts = rows.assign(cents=to_cents(rows["area_m2"])).pivot_table(
        index="patch_code", columns="piece_shape", values="cents", aggfunc="sum"
    )
    out = pd.DataFrame(
        {"area": to_cents(counted["patch_area_m2"]), "covered": to_cents(counted["covered_area_m2"])},
        index=counted.index,
    )
    for shape in SHAPES:
        out[shape] = parts[shape].reindex(out.index).fillna(0).astype("int64") if shape in parts else 0
    off = out["area"] - out.drop(columns="area").sum(axis=1)
    if (off != 0).any():
        code = off[off != 0].index[0]
        raise BalanceError(f"图斑 {code} 面积不平衡：相差 {off[code] / 100:.2f} 平方米")
    return out


def report(source: Workspace | Mapping[str, pd.DataFrame]) -> Report:
    """Areas, classes and findings of a workspace, checked.

    Parameters
    ----------
    source : Workspace, or mapping of layer name to DataFrame
        What `geo.workspace.open` gives, or the tables of a run.

    Raises
    ------
    BalanceError
        If a patch, a row of ``balance``, or a level against the one above it
        does not add up to 0.01 m².
    """
    tables = read_tables(source)
    pieces, areas = live(tables["pieces"]), tables["balance"]
    patch_balance(tables["patches"], tables["pieces"])
    areas = areas.sort_values("code", kind="stable", ignore_index=True)
    _check_areas(areas)
    _check_pieces(areas, pieces)
    meta = dict(zip(tables["meta"]["key"], tables["meta"]["value"], strict=True))
    runs = tables["runs"]["run_id"]
    return Report(
        title=str(meta.get("title") or "套图成果"),
        run_id=str(runs.iloc[-1]) if len(runs) else "",
        shifts=tables["shifts"].sort_values("shift_key", kind="stable", ignore_index=True),
        areas=areas,
        classes=_classes(pieces),
        findings=finding_counts(tables["findings"]),
    )


def finding_counts(findings: pd.DataFrame) -> pd.DataFrame:
    """How often each rule was broken: ``severity, rule, title, count``, worst first, then most."""
    counts = (
        findings.groupby(["severity", "rule", "title"], dropna=False).size().rename("count").reset_index()
    )
    rank = counts["severity"].map({name: at for at, name in enumerate(SEVERITIES)})
    order = counts.assign(rank=rank).sort_values(["rank", "count", "rule"], ascending=[True, False, True])
    return order.drop(columns="rank").reset_index(drop=True)


def report_json(source: Report | Workspace | Mapping[str, pd.DataFrame]) -> str:
    """The report as JSON: areas in m² as stored, missing ones null.

    Raises
    ------
    BalanceError
        As `report` does.
    """
    result = source if isinstance(source, Report) else report(source)
    values: dict[str, Any] = {
        "title": result.title,
        "run_id": result.run_id,
        **{
            name: json.loads(getattr(result, name).to_json(orient="records", double_precision=6))
            for name in ("shifts", "areas", "classes", "findings")
        },
    }
    return json.dumps(values, ensure_ascii=False)


def report_text(source: Report | Workspace | Mapping[str, pd.DataFrame], *, level: str = "group") -> str:
    """The report as Chinese text for a terminal.

    Parameters
    ----------
    source : Report, Workspace, or mapping of layer name to DataFrame
    level : {"county", "township", "village", "group"}
        How deep the table of areas goes.

    Raises
    ------
    BalanceError
        As `report` does.
    """
    result = source if isinstance(source, Report) else report(source)
    depth = list(LEVELS).index(level)
    areas = result.areas[result.areas["level"].isin(list(LEVELS)[: depth + 1])]
    table = pd.DataFrame(
        {"级别": areas["level"].map(LEVELS), "代码": areas["code"], "名称": areas["name"].fillna("")}
    )
    titles = schema.titles("balance")
    for column in ("farmland_m2", *_PARTS, "state_m2", "share_based_m2"):
        table[titles[column]] = areas[column].fillna(0).map("{:.2f}".format)
    table["图块(亩)"] = [f"{value:.2f}" for value in mu(areas["block_m2"].fillna(0))]
    table["图块净(亩)"] = [f"{value:.2f}" for value in mu(areas["net_block_m2"].fillna(0))]
    classes = pd.DataFrame(
        {
            "分类": result.classes["piece_class"].map(code_list("piece_class")),
            "形状": result.classes["piece_shape"].map(code_list("piece_shape")),
            "块数": result.classes["count"],
            "面积": result.classes["area_m2"].map("{:.2f}".format),
            "面积(亩)": result.classes["area_mu"].map("{:.2f}".format),
            "净面积(亩)": result.classes["net_area_mu"].map("{:.2f}".format),
        }
    )
    found = pd.DataFrame(
        {
            "等级": result.findings["severity"].map(SEVERITY_NAMES),
            "规则": result.findings["title"],
            "条数": result.findings["count"],
        }
    )
    return "\n\n".join(
        [
            f"{result.title}    批次 {result.run_id or '无'}",
            f"一、套合偏移\n{_shift_lines(result.shifts)}",
            f"二、面积平衡（平方米；集体耕地 = 已确权 + 图块 + 细条 + 碎屑，逐行核对无误）\n{_text(table)}",
            f"三、剩余图块（面积为平方米）\n{_text(classes)}",
            f"四、问题清单\n{_text(found)}",
        ]
    )


def _shift_lines(shifts: pd.DataFrame) -> str:
    """A line for each village that was moved or is in doubt; of all the others one."""
    if shifts.empty:
        return "未判断"
    noted = shifts[noteworthy(shifts)]
    lines = [
        f"{place_name(row)}{shift_text(row)}  可信度：{sure}"
        for (_, row), sure in zip(noted.iterrows(), confidence_names(noted), strict=True)
    ]
    if fit := len(shifts) - len(noted):
        lines.append(f"{'其余 ' if lines else ''}{fit} 个村（批次）与三调图斑相合，没有移动")
    return "\n".join(lines)


def _check_areas(areas: pd.DataFrame) -> None:
    cents = pd.DataFrame({name: to_cents(areas[name].fillna(0)) for name in ("farmland_m2", *_PARTS)})
    off = cents["farmland_m2"] - cents[list(_PARTS)].sum(axis=1)
    for row in off.index[off != 0]:
        level, code = LEVELS.get(areas["level"][row], ""), areas["code"][row]
        raise BalanceError(f"{level} {code} 面积不平衡：相差 {off[row] / 100:.2f} 平方米")
    sums = cents.groupby(areas["level"]).sum()
    for upper, lower in (("county", "township"), ("township", "village")):
        if upper in sums.index and lower in sums.index and (sums.loc[upper] != sums.loc[lower]).any():
            raise BalanceError(f"各{LEVELS[lower]}面积之和不等于{LEVELS[upper]}的面积")


def _check_pieces(areas: pd.DataFrame, pieces: pd.DataFrame) -> None:
    counties = areas[areas["level"] == "county"]
    if counties.empty:
        return
    cents = (
        pd.Series(to_cents(pieces["area_m2"]), index=pieces["piece_shape"].fillna("")).groupby(level=0).sum()
    )
    for shape in SHAPES:
        told = int(to_cents(counties[f"{shape.lower()}_m2"]).sum())
        if told != cents.get(shape, 0):
            kind = code_list("piece_shape")[shape]
            raise BalanceError(
                f"{kind}面积之和与面积平衡表不等：相差 {(told - cents.get(shape, 0)) / 100:.2f} 平方米"
            )


def _classes(pieces: pd.DataFrame) -> pd.DataFrame:
    keys = pd.MultiIndex.from_product([CLASSES, SHAPES], names=["piece_class", "piece_shape"])
    rows = pieces.assign(gross=to_cents(pieces["area_m2"]), net=to_cents(pieces["net_area_m2"]))
    sums = rows.groupby(["piece_class", "piece_shape"]).agg(
        count=("gross", "size"), gross=("gross", "sum"), net=("net", "sum")
    )
    out = sums.reindex(keys, fill_value=0).astype("int64").reset_index()
    out["area_m2"], out["net_area_m2"] = from_cents(out.pop("gross")), from_cents(out.pop("net"))
    out["area_mu"], out["net_area_mu"] = mu(out["area_m2"]), mu(out["net_area_m2"])
    return out


def _text(table: pd.DataFrame) -> str:
    if table.empty:
        return "（无）"
    with pd.option_context("display.unicode.east_asian_width", True):  # noqa: FBT003 - pandas' own form
        return table.to_string(index=False)
