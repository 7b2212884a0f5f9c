"""What is doubtful about homes: counts, places, villages and groups that do not agree, each said once.

What many rows share is one finding that counts them, at the first of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import pandas as pd
from geopandas import GeoDataFrame

from geo.findings import findings, joined

MANY: Final = 200  # households at one place, from which on a count looks like a sum

_LAYER: Final = "households"
_NAMED_FILES: Final = 3


def doubts(homes: GeoDataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Findings about homes.

    Parameters
    ----------
    homes : GeoDataFrame, n rows
        As `geo.grids.households.households` has made them, with what it went by.
    names : mapping
        Name of each village by its code.

    Returns
    -------
    DataFrame
        Rows of `geo.findings.findings`.
    """
    # Without the care GeoDataFrames take of their geometry at each step: there are many.
    table = pd.DataFrame(homes).assign(file_village=homes["village_code"], village_code=homes["home_village"])

    def village(code: str) -> str:
        return f"{names.get(code, '')}（{code}）" if code else "（无村）"

    placed = table["located_by"].ne("GROUP")
    homeless = table["home_village"].eq("")
    outside, nowhere = table[placed & homeless], table[~placed & homeless]
    border = table[table["others"].ne("") & ~table["overlap"]]
    parts = [
        *_counts(table),
        findings(
            "household_outside",
            [
                f"{place}（{count} 户）不在任何村内，离最近的{village(near)}{far:.0f} 米"
                for place, count, near, far in zip(
                    _where(outside),
                    outside["households"],
                    outside["nearest"],
                    outside["distance_m"],
                    strict=True,
                )
            ],
            layer=_LAYER,
            rows=outside,
            row_code=outside["key"],
        ),
        findings(
            "household_no_village",
            [
                f"{place}（{count} 户）没有坐标，也看不出属于哪个村"
                for place, count in zip(_where(nowhere), nowhere["households"], strict=True)
            ],
            layer=_LAYER,
            rows=nowhere,
            row_code=nowhere["key"],
        ),
        findings(
            "household_border",
            [
                f"{place}正在村界上，归{village(own)}，另一侧是{'、'.join(map(village, others.split(';')))}"
                for place, own, others in zip(
                    _where(border), border["home_village"], border["others"], strict=True
                )
            ],
            layer=_LAYER,
            rows=border,
            row_code=border["key"],
        ),
        *_belonging(table, village),
        *_repeated(table, village),
    ]
    for code in sorted(set(names) - set(table["home_village"])):
        message = f"{village(code)}没有住户"
        parts.append(
            findings("household_village_empty", message, layer=_LAYER, row_code=code, village_code=code)
        )
    return joined(parts)


def _where(rows: pd.DataFrame) -> list[str]:
    """A row as an officer finds it: file and line, and the address where it has one."""
    return [
        (f"{file} 第 {row + 1} 行" if pd.notna(row) else file or "住户")
        + (f"（{address}）" if address else "")
        for file, row, address in zip(rows["source_file"], rows["source_row"], rows["address"], strict=True)
    ]


def _each(
    rule: str, rows: pd.DataFrame, by: list[str], message: Callable[[pd.DataFrame], str], code: str
) -> list[pd.DataFrame]:
    """One finding for all rows alike in ``by``, at the first of them."""
    if rows.empty:
        return []
    messages = [message(same) for _, same in rows.groupby(by, sort=True)]
    first = rows.drop_duplicates(by).sort_values(by)
    return [findings(rule, messages, layer=_LAYER, rows=first, row_code=first[code])]


def _counts(homes: pd.DataFrame) -> list[pd.DataFrame]:
    given: pd.Series[Any] = homes["given"]
    number = given.fillna(1)
    missing, negative, zero = homes[given.isna()], homes[number < 0], homes[number == 0]
    large = homes[homes["households"] > MANY]
    found = (
        ("household_count_missing", missing, ["的户数缺失或不是整数，按 1 户计"] * len(missing)),
        (
            "household_count_negative",
            negative,
            [f"的户数是 {value}，按 1 户计" for value in negative["given"]],
        ),
        ("household_count_zero", zero, ["的户数是 0，按无人居住保留"] * len(zero)),
        ("household_count_large", large, [f"一处有 {value} 户" for value in large["households"]]),
    )
    return [
        findings(
            rule,
            [f"{place}{text}" for place, text in zip(_where(rows), words, strict=True)],
            layer=_LAYER,
            rows=rows,
            row_code=rows["key"],
        )
        for rule, rows, words in found
    ]


def _belonging(homes: pd.DataFrame, village: Callable[[str], str]) -> list[pd.DataFrame]:
    """Villages and groups of the file that are not those of the place."""
    placed = homes["located_by"].ne("GROUP")
    differs = homes[
        placed
        & homes["told_village"].ne("")
        & homes["home_village"].ne("")
        & homes["told_village"].ne(homes["home_village"])
    ]
    written = homes["file_village"].str[:12]
    said = homes["group_code"].mask(homes["group_code"].eq(""), homes["group_name"])
    homes = homes.assign(written=written, said=said)
    strange = homes[written.ne("") & homes["told_village"].eq("")]
    lost = homes[said.ne("") & homes["told_group"].eq("") & homes["home_village"].ne("")]
    twice = homes[homes["overlap"]]
    spread = homes[~placed & homes["home_village"].ne("")]
    return [
        *_each(
            "household_two_villages",
            twice,
            ["home_village", "others"],
            lambda rows: (
                f"{len(rows)} 处住户（{rows['households'].sum()} 户）同时在{village(rows['home_village'].iloc[0])}和"
                f"{'、'.join(map(village, rows['others'].iloc[0].split(';')))}内，归前者"
            ),
            "home_village",
        ),
        *_each(
            "household_village_differs",
            differs,
            ["told_village", "home_village"],
            lambda rows: (
                f"{len(rows)} 处住户（{rows['households'].sum()} 户）写的是{village(rows['told_village'].iloc[0])}，"
                f"位置在{village(rows['home_village'].iloc[0])}，按位置计；首处：{_where(rows)[0]}"
            ),
            "key",
        ),
        *_each(
            "household_village_unknown",
            strange,
            ["written"],
            lambda rows: (
                f"住户的村代码 {rows['written'].iloc[0]}（{len(rows)} 处）不在村界图层中，按位置归村；"
                f"首处：{_where(rows)[0]}"
            ),
            "written",
        ),
        *_each(
            "household_group_unknown",
            lost,
            ["home_village", "said"],
            lambda rows: (
                f"{village(rows['home_village'].iloc[0])}没有“{rows['said'].iloc[0]}”这个组（{len(rows)} 处），"
                "按位置归组"
            ),
            "said",
        ),
        *_each(
            "household_spread",
            spread,
            ["home_village", "home_group", "spread_on"],
            lambda rows: (
                f"{village(rows['home_village'].iloc[0])}"
                + (f"{rows['home_group'].iloc[0][12:]} 组" if rows["home_group"].iloc[0] else "")
                + f"有 {len(rows)} 处住户（{rows['households'].sum()} 户）没有坐标，"
                f"暂散布在{rows['spread_on'].iloc[0]}内，位置不真实"
            ),
            "home_village",
        ),
        *_each(
            "household_stairs_shared",
            homes[homes["shared"]],
            ["home_village"],
            lambda rows: (
                f"{village(rows['home_village'].iloc[0])}有 {rows['shape_number'].nunique()} 栋楼只有总户数和单元数，"
                f"户数按单元均分（共 {len(rows)} 个单元、{rows['households'].sum()} 户）"
            ),
            "home_village",
        ),
    ]


def _repeated(homes: pd.DataFrame, village: Callable[[str], str]) -> list[pd.DataFrame]:
    """Rows that look like others, and villages in one point."""
    placed = homes["located_by"].ne("GROUP")
    tellable = placed | homes["words"].str.strip("\x1f").ne("")
    alike = homes[tellable & homes.duplicated(["place", "words"], keep=False)]
    apart = homes[placed & homes["home_village"].ne("")].groupby("home_village")["place"]
    heaped = [code for code, places in apart if len(places) > 1 and places.eq(places.iloc[0]).all()]
    return [
        *_each(
            "household_duplicate",
            alike,
            ["place", "words"],
            lambda rows: (
                f"{len(rows)} 行住户位置和地址相同（共 {rows['households'].sum()} 户）："
                f"{'、'.join(_where(rows)[:_NAMED_FILES])}{' 等' if len(rows) > _NAMED_FILES else ''}；均保留"
            ),
            "key",
        ),
        *_each(
            "household_key_duplicate",
            homes[homes["own_again"]],
            ["own"],
            lambda rows: (
                f"住户编号 {rows['own'].iloc[0]} 有 {len(rows)} 行，改用按位置编的键；首处：{_where(rows)[0]}"
            ),
            "own",
        ),
        *_each(
            "household_one_point",
            homes[placed & homes["home_village"].isin(heaped)],
            ["home_village"],
            lambda rows: (
                f"{village(rows['home_village'].iloc[0])}的 {len(rows)} 处住户都在同一点，无法划分网格"
            ),
            "home_village",
        ),
    ]
