"""The report before contracts are extended, as people read it: a workbook, JSON, a screenful.

What is over a limit was decided in `geo.extension`; here it gets its words and columns.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Final

import pandas as pd

from geo.area import from_cents, mu, to_cents
from geo.atomic import whole_file
from geo.extension import LAW, SUBJECTS, Extension, ExtensionSettings
from geo.shifts import noteworthy, place_name, shift_text
from geo.workbook import Book, Column, save, write_notes, write_table

FILE: Final = "延包核查"


def extension_json(result: Extension) -> str:
    """The report as JSON: areas in m² and mu as shown, missing ones null."""
    tables = {
        name: json.loads(getattr(result, name).to_json(orient="records", double_precision=6))
        for name in ("shifts", "villages", *SUBJECTS)
    }
    values = {
        "title": result.title,
        "run_id": result.run_id,
        "settings": asdict(result.settings),
        "law": LAW,
        "aside": result.aside,
        **tables,
    }
    return json.dumps(values, ensure_ascii=False)


def extension_text(result: Extension) -> str:
    """The report as Chinese text for a terminal: shifts, the county's figures, a line a village."""
    rows = result.villages
    table = pd.DataFrame({"村代码": rows["village_code"], "村名称": rows["village_name"]})
    for name in ("bare", "overlaps", "crossing", "differing"):
        table[f"{SUBJECTS[name]}数"] = rows[f"{name}_count"]
    table["机动地(亩)"] = rows["reserve_mu"].map("{:.2f}".format)
    table["占耕地"] = [
        "-" if pd.isna(share) else f"{share:.1%}{' 超' if over else ''}"
        for share, over in zip(rows["reserve_share"], rows["reserve_over"], strict=True)
    ]
    table["户数"] = rows["households"]
    table["户均(亩)"] = ["-" if pd.isna(value) else f"{value:.2f}" for value in rows["mean_mu"]]
    with pd.option_context("display.unicode.east_asian_width", True):  # noqa: FBT003 - pandas' own form
        shown = table.to_string(index=False) if len(table) else "（无）"
    notes = "\n".join(f"{key}：{text}" for key, text in _notes(result))
    return f"{result.title}延包核查    批次 {result.run_id or '无'}\n\n{notes}\n\n{shown}"


def write_extension(result: Extension, folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``延包核查.xlsx`` and ``延包核查.json`` into a folder, which is made if missing.

    Returns
    -------
    list of Path
        The workbook, then the JSON; the same report gives the same bytes.

    Raises
    ------
    OutputError
        If one cannot be written; what stood there is untouched.
    """
    book = save(Path(folder) / f"{FILE}.xlsx", lambda book: _fill(book, result))
    data = Path(folder) / f"{FILE}.json"
    with whole_file(data) as scratch:
        scratch.write_text(extension_json(result) + "\n", encoding="utf-8")
    return [book, data]


def _fill(book: Book, result: Extension) -> None:
    title = f"{result.title}延包核查"
    write_notes(book, "说明", _notes(result), title=title)
    rows = result.villages.assign(over=result.villages["reserve_over"].map({True: "超", False: ""}))
    write_table(
        book,
        "分村汇总",
        _SUMMARY_COLUMNS,
        _percent(rows, "reserve_share"),
        title=title,
        note="面积合计由平方米相加",
    )
    for name, subject in SUBJECTS.items():
        table = getattr(result, name)
        if name == "land":
            table = table.assign(level=table["level"].map({"village": "村", "group": "组"}))
        else:
            table = _percent(table, "share")
        write_table(
            book,
            subject,
            _COLUMNS[name],
            table,
            title=f"{title}：{subject}",
            note=_note(name, result.settings),
        )


def _percent(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    return rows.assign(percent=rows[column] * 100) if column in rows else rows


def _note(name: str, settings: ExtensionSettings) -> str:
    """How a subject was judged, in a line."""
    check = settings.check
    wide = (
        f"{check.overlap_area_m2:.0f} 平方米以上且均宽 {check.overlap_width_m} 米以上，"
        f"或占地块 {check.overlap_share:.0%} 以上"
    )
    return {
        "bare": f"承包地块下三调耕地（含国有、确股村）不超过地块的 {settings.farmland_share:.0%}",
        "overlaps": f"两个承包地块重叠 {wide}（占较小者）；重叠面积为椭球面积",
        "crossing": f"在发包方所属村以外的部分 {wide}；本村飞入地不算；部分面积为椭球面积",
        "differing": f"|实测面积 - 合同面积| 超过合同面积的 {settings.area_share:.1%}",
        "reserve": f"机动地（地块类别 22）与村集体耕地图斑（不含国有）面积之比，限 {settings.reserve_share:.1%}",
        "land": "家庭承包地块的实测面积按承包方编码相加；户归其地块最小的发包方编码；没有地块的户不在其中",
    }[name]


def _notes(result: Extension) -> list[tuple[str, str]]:
    """What to know before the figures: shifts first, then what was found, how, and what was not looked at."""
    noted = result.shifts[noteworthy(result.shifts)] if len(result.shifts) else result.shifts
    notes = [("套合偏移", f"{place_name(row)}{shift_text(row)}") for _, row in noted.iterrows()]
    notes = notes or [("套合偏移", "地块没有移动" if len(result.shifts) else "未判断")]
    villages = result.villages
    for name in ("bare", "overlaps", "crossing", "differing"):
        count = len(getattr(result, name))
        notes.append((SUBJECTS[name], f"{count} 处。{_note(name, result.settings)}"))
    over, total = (
        int(villages["reserve_over"].sum()),
        float(from_cents(to_cents(villages["reserve_m2"]).sum())),
    )
    notes.append(
        (
            SUBJECTS["reserve"],
            f"共 {float(mu(total)):.2f} 亩，{over} 个村超限。{_note('reserve', result.settings)}",
        )
    )
    notes.append(
        (SUBJECTS["land"], f"{int(villages['households'].sum())} 户。{_note('land', result.settings)}")
    )
    notes.append(("依据", LAW))
    notes += [("未列入", f"{count} 个地块{why}") for why, count in result.aside.items() if count]
    return notes


def _pair(title: str, name: str, *, total: bool = True) -> list[Column]:
    """An area in m² and in mu."""
    if not total:
        return [
            Column(title=f"{title}㎡", width=11, source=f"{name}_m2", kind="level"),
            Column(title=f"{title}亩", width=9, source=f"{name}_mu", kind="level"),
        ]
    return [
        Column(title=f"{title}㎡", width=12, source=f"{name}_m2", kind="area"),
        Column(title=f"{title}亩", width=10, source=f"{name}_mu", kind="mu", of=f"{name}_m2"),
    ]


_VILLAGE: Final = [
    Column(title="村代码", width=14, source="village_code"),
    Column(title="村名称", width=12, source="village_name"),
]
_PARCEL: Final = [
    Column(title="地块编码", width=21, source="parcel_code"),
    *_VILLAGE,
    Column(title="承包方编码", width=20, source="contractor_code"),
    *_pair("地块", "area", total=False),
]
_SHARE: Final = Column(title="占比%", width=8, source="percent", kind="level")
_REASON: Final = Column(title="事由", width=36, source="reason")
_COLUMNS: Final = {
    "bare": [*_PARCEL, *_pair("其下耕地", "farmland"), _SHARE, _REASON],
    "overlaps": [
        *_PARCEL,
        Column(title="另一地块", width=21, source="other_parcel_code"),
        Column(title="另一承包方", width=20, source="other_contractor_code"),
        *_pair("重叠", "part"),
        _REASON,
    ],
    "crossing": [
        *_PARCEL,
        Column(title="所在村代码", width=14, source="other_village_code"),
        Column(title="所在村", width=12, source="other_village_name"),
        *_pair("在他村", "part"),
        _SHARE,
        _REASON,
    ],
    "differing": [
        *_PARCEL[:4],
        *_pair("合同", "contract"),
        *_pair("实测", "surveyed"),
        *_pair("实测减合同", "difference"),
        _SHARE,
        _REASON,
    ],
    "reserve": [
        *_VILLAGE,
        *_pair("耕地", "farmland"),
        Column(title="机动地块数", width=9, source="parcels", kind="sum"),
        *_pair("机动地", "reserve"),
        _SHARE,
        _REASON,
    ],
    "land": [
        *_VILLAGE,
        Column(title="级别", width=6, source="level"),
        Column(title="组代码", width=16, source="group_code"),
        Column(title="户数", width=7, source="households", kind="count"),
        Column(title="地块数", width=8, source="parcels", kind="count"),
        *_pair("承包地", "total", total=False),
        *_pair("户均", "mean", total=False),
        *_pair("最少", "least", total=False),
        *_pair("10%分位", "p10", total=False),
        *_pair("中位", "median", total=False),
        *_pair("90%分位", "p90", total=False),
        *_pair("最多", "most", total=False),
        Column(title="90%/10%", width=8, source="spread", kind="level"),
        _REASON,
    ],
}
_SUMMARY_COLUMNS: Final = [
    *_VILLAGE,
    *_pair("集体耕地", "farmland"),
    *(
        column
        for name, text in {
            "contract": "承包地块",
            "bare": "无耕地",
            "overlaps": "重叠",
            "crossing": "跨村",
            "differing": "面积差异",
            "share_based": "确股",
        }.items()
        for column in (
            Column(title=f"{text}数", width=8, source=f"{name}_count", kind="sum"),
            *_pair(text, name),
        )
    ),
    *_pair("机动地", "reserve"),
    Column(title="机动地占比%", width=9, source="percent", kind="level"),
    Column(title="超限", width=6, source="over"),
    Column(title="户数", width=7, source="households", kind="sum"),
    *_pair("户均", "mean", total=False),
]
