"""Writes data_dictionary.md: what every layer, column, code and rule means, from geo/standards.

The data files are the source; the page is for those who open a workspace in QGIS.
"""

from pathlib import Path

import pandas as pd

from geo.schema import LAYER_TITLES

ROOT = Path(__file__).parents[1]
STANDARDS = ROOT / "geo" / "standards"
PAGE = Path(__file__).parent / "data_dictionary.md"

HEAD = """\
# 数据字典 · Data dictionary

<!-- Written by docs/dictionary.py from geo/standards; change those files, then run `make docs`. -->

工作区(GeoPackage)各图层、字段、代码与检查规则。字段名是成果的约定，`标准字段` 是它在国家标准中的名字。
Layers, columns, codes and rules of a workspace; `标准字段` is the column's name in the national standards.
"""

SOURCE_TITLES = {
    "survey": "三调地类图斑（输入）",
    "rights": "承包地块信息（输入）",
    "issuers": "发包方（输入）",
    "contractors": "承包方（输入）",
    "groups": "组界（输入）",
    "baseline": "基期调查（输入）",
    "manifest": "图幅目录（输出）",
    "corners": "界址点成果（输出）",
    "piece_export": "图块 shapefile（输出）",
}
LIST_TITLES = {
    "DLBM": "地类编码（三调）",
    "DLBM2": "地类编码（二调）",
    "QSXZ": "权属性质",
    "TBXHDM": "图斑细化代码",
    "ZZSXDM": "种植属性代码",
    "CZCSXM": "城镇村属性码",
    "GDPDJB": "耕地坡度级别",
    "GDLX": "耕地类型",
    "MSSM": "描述说明",
    "DKLB": "地块类别",
    "SYQXZ": "所有权性质",
    "CBJYQQDFS": "承包经营权取得方式",
    "CBFLX": "承包方类型",
    "SFQQQG": "是否确权确股",
    "patch_kind": "图斑归类",
    "piece_class": "图块分类",
    "piece_shape": "图块形状",
    "state": "图块状态",
    "shift_confidence": "套合偏移可信度",
    "shift_model": "套合偏移模型",
    "grid_kind": "网格类型",
    "grid_balance": "网格规模",
    "grid_change": "网格变动",
    "located_by": "住户定位方式",
    "identified_as": "认定结果",
    "measured_how": "测量方式",
    "owner_kind": "权利人类型",
    "reject_reason": "剔除原因",
}
SEVERITY_TITLES = {"error": "错误", "warning": "警告", "info": "提示"}


def page() -> str:
    """The whole page as text."""
    columns, codes, rules = (_table(name) for name in ("columns.csv", "codes.csv", "rules.csv"))
    parts = [HEAD, "## 图层与字段 · Layers and columns"]
    for layer, rows in columns.groupby("layer", sort=False):
        title = LAYER_TITLES.get(layer) or SOURCE_TITLES.get(layer, "")
        parts.append(f"### `{layer}` {title}".rstrip())
        shown = rows[["column", "title", "dtype", "field", "note"]]
        parts.append(_markdown(shown, ["字段", "名称", "类型", "标准字段", "说明"], code=["column", "dtype"]))
    parts.append("## 代码 · Codes")
    for name, rows in codes.groupby("list", sort=False):
        parts.append(f"### `{name}` {LIST_TITLES.get(name, '')}".rstrip())
        parts.append(_markdown(rows[["code", "name", "source"]], ["代码", "名称", "来源"], code=["code"]))
    parts.append("## 检查规则 · Rules")
    rules["severity"] = rules["severity"].map(SEVERITY_TITLES)
    heads = ["规则", "等级", "名称", "处理建议", "来源"]
    parts.append(_markdown(rules[["rule", "severity", "title", "advice", "source"]], heads, code=["rule"]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _table(name: str) -> pd.DataFrame:
    return pd.read_csv(STANDARDS / name, dtype=str, keep_default_na=False)


def _markdown(rows: pd.DataFrame, heads: list[str], *, code: list[str]) -> str:
    rows = rows.map(lambda text: text.replace("|", "\\|").replace("<", "&lt;"))
    for name in code:
        rows[name] = "`" + rows[name] + "`"
    lines = [heads, ["---"] * len(heads), *rows.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
