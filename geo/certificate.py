"""What is proved of a village's grids, in words an officer can repeat.

A bound is said as what it bounds: how many households must lie outside the
norm, how much way could still be saved, how many had to change grid.
"""

from typing import Any, Final

import pandas as pd

_BUDGETS: Final = {"fast": "快速", "standard": "标准", "best": "精细"}
_OPTIMAL: Final = 5e-5  # a gap that prints as 0.00 %


def certificate_text(row: "pd.Series[Any]") -> list[tuple[str, str]]:
    """A row of layer ``grid_villages`` as lines: what is said of, and what is said.

    Figures that are missing are not spoken of.
    """
    lines = [("规模标准", f"{row['profile']} 户" if _there(row["profile"]) else "无")]
    lines += _counts(row)
    lines += _misses(row)
    lines += _way(row)
    if _there(row["natural_share"]):
        share = f"{row['natural_share']:.0%}"
        lines.append(
            ("界线", f"网格之间的界线有 {share} 沿道路、河流、组界、图斑界等自然界线，其余在住房之间取中。")
        )
    if _there(row["moved"]):
        proof = f"已证明：按本标准至少须调整 {row['least_moved']} 户。" if _there(row["least_moved"]) else ""
        lines.append(("调整", f"有 {row['moved']} 户换了网格，其余各户不动。{proof}"))
    if _there(row["reason"]):
        lines.append(("超限原因", str(row["reason"])))
    if _there(row["budget"]):
        lines.append(
            ("搜索档", f"{_BUDGETS.get(row['budget'], row['budget'])}；同样的输入与设置，结果相同。")
        )
    return lines


def certificate_line(row: "pd.Series[Any]") -> str:
    """The proof in one line, for a table of villages: ``全部合格；至多可再省 0.46 %``."""
    said = []
    if _there(row["misses"]):
        out = int(row["misses"])
        least = int(row["least_misses"]) if _there(row["least_misses"]) else 0
        if out == 0:
            said.append("全部合格")
        elif out <= least:
            said.append(f"超限 {out} 户，已证明不能更少")
        else:
            said.append(f"超限 {out} 户，下界 {least} 户")
    if _there(row["gap"]):
        said.append("距离已证明最短" if row["gap"] < _OPTIMAL else f"距离至多可再省 {row['gap']:.2%}")
    if _there(row["moved"]):
        bound = f"（下界 {row['least_moved']}）" if _there(row["least_moved"]) else ""
        said.append(f"调整 {row['moved']} 户{bound}")
    return "；".join(said)


def _counts(row: "pd.Series[Any]") -> list[tuple[str, str]]:
    if not _there(row["grids"]):
        return []
    text = f"{row['households']} 户（{row['homes']} 处住房）划为 {row['grids']} 个网格。"
    if _there(row["least_grids"]) and _there(row["most_grids"]):
        least, most = int(row["least_grids"]), int(row["most_grids"])
        text += (
            f"按户数与标准，可设 {least} 至 {most} 个。"
            if least < most
            else f"按户数与标准，只能设 {least} 个。"
            if least == most
            else "按户数与标准，设几个都不能全部合格。"
        )
    return [("网格数", text)]


def _misses(row: "pd.Series[Any]") -> list[tuple[str, str]]:
    if not _there(row["in_band"]):
        return []
    if not (row["under"] or row["over"]):
        return [("合格", f"{row['in_band']} 个网格全部合格。")]
    text = f"{row['in_band']} 个合格，{row['under']} 个不足，{row['over']} 个超出"
    if _there(row["misses"]):
        text += f"，超出或不足标准的户数共 {row['misses']} 户"
        if _there(row["least_misses"]):
            text += (
                "；已证明：任何划法都不能更少"
                if row["misses"] <= row["least_misses"]
                else f"；已证明任何划法不少于 {row['least_misses']} 户，能否更少尚未证明"
            )
    return [("合格", f"{text}。")]


def _way(row: "pd.Series[Any]") -> list[tuple[str, str]]:
    if not _there(row["cost_m"]):
        return []
    text = f"各户到本网格中心的距离（过河、过公路、跨组按设置折算）合计 {row['cost_m']:,.0f} 米"
    if _there(row["households"]) and row["households"] > 0:
        text += f"，平均每户 {row['cost_m'] / row['households']:,.1f} 米"
    if not _there(row["bound_m"]) or not _there(row["gap"]):
        return [("集中程度", f"{text}。")]
    # A set out of its band is measured against all others only where none can be in it.
    whose = (
        "任何划法" if _there(row["least_misses"]) and row["least_misses"] > 0 else "任何各网格都合格的划法"
    )
    if row["gap"] < _OPTIMAL:
        return [("集中程度", f"{text}；已证明：{whose}都不能更短，本划法为最优。")]
    proof = f"；已证明：{whose}不短于 {row['bound_m']:,.0f} 米，即与可能的最优相差至多 {row['gap']:.2%}"
    how = "（由穷举全部划法得出）" if _there(row["exact"]) and row["exact"] else ""
    return [("集中程度", f"{text}{proof}{how}。")]


def _there(value: Any) -> bool:  # noqa: ANN401 - a cell
    return not pd.isna(value) and value != ""
