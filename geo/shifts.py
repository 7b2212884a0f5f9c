"""A village's shift in one line: what officers read of layer ``shifts``, everywhere in the same words.

Who prints an area says first how far the parcels were moved for it.
"""

from typing import Any, Final

import numpy as np
import pandas as pd

from geo.standards import code_list

LEAST_M: Final = 0.2  # parcels that lie off less, or less than three standard errors, fit the survey
LEAST_SIGMAS: Final = 3.0

_WINDS: Final = (
    "东", "东北偏东", "东北", "东北偏北", "北", "西北偏北", "西北", "西北偏西",
    "西", "西南偏西", "西南", "西南偏南", "南", "东南偏南", "东南", "东南偏东",
)  # fmt: skip


def direction(east: float, north: float) -> str:
    """Where a vector points, as one of sixteen directions in Chinese."""
    sixteenth = round(float(np.rad2deg(np.arctan2(north, east))) / 22.5)
    return _WINDS[sixteenth % 16]


def confidence_names(shifts: pd.DataFrame) -> "pd.Series[str]":
    """Confidence of each row in Chinese: 高, 中, 低, 无法判断, 给定."""
    return shifts["confidence"].map(code_list("shift_confidence")).fillna("")


def noteworthy(shifts: pd.DataFrame) -> "pd.Series[bool]":
    """Rows in which parcels were moved, were decided on, or may lie off; the rest fit.

    Parameters
    ----------
    shifts : DataFrame
        Layer ``shifts``.
    """
    found = shifts["confidence"].isin(["high", "medium"])
    off = shifts["distance_m"].fillna(0.0)
    within = off < np.maximum(LEAST_M, LEAST_SIGMAS * shifts["error_m"].fillna(0.0))
    decided = shifts["reason"].fillna("").str.startswith("依据")
    return shifts["accepted"] | decided | ~(found & within)


def shift_size(shift: "pd.Series[Any]") -> str:
    """How far and which way parcels lay off: ``偏东南偏东 1.8 m``, or a turn alone; empty if unknown."""
    return " ".join(_way_and_amount(shift)).strip()


def shift_text(shift: "pd.Series[Any]") -> str:
    """What happened to the parcels of one row, and by how much.

    Returns
    -------
    str
        Such as ``确权地块整体偏东北 3.1 m，已改正（西移 2.55 m，南移 1.81 m）``; where
        nothing was moved, why. A phrase that begins with the parcels, so that a name can stand before it.
    """
    reason = shift["reason"] if isinstance(shift["reason"], str) else ""
    if not shift["accepted"]:
        return f"确权地块{reason or '未作移动'}"
    east, north = shift["dx_m"], shift["dy_m"]
    parts = [
        f"{'西' if east < 0 else '东'}移 {abs(east):.2f} m",
        f"{'南' if north < 0 else '北'}移 {abs(north):.2f} m",
    ]
    if shift["rotation_deg"]:
        parts.append(f"旋转 {shift['rotation_deg']:.4f}°")
    if shift["scale_ppm"]:
        parts.append(f"缩放 {shift['scale_ppm']:.0f} ppm")
    given = "，按给定参数" if shift["confidence"] == "given" else "，"
    rough = f"，改正后仍可能偏 {2 * shift['error_m']:.1f} m" if shift["confidence"] == "medium" else ""
    return f"确权地块整体{shift_size(shift)}{given}已改正（{'，'.join(parts)}）{rough}"


def place_name(shift: "pd.Series[Any]") -> str:
    """Village of a row, with its batch where it has several, and the code."""
    name = shift["village_name"] if isinstance(shift["village_name"], str) else ""
    return f"{name}（{shift['shift_key']}）"


def batch_name(shift: "pd.Series[Any]", of: str = "本村") -> str:
    """The village as ``of``, with the batch a row is for."""
    batch = shift["batch"] if isinstance(shift["batch"], str) else ""
    return f"{of}（{batch}）" if batch else of


def village_notes(shifts: pd.DataFrame) -> dict[str, str]:
    """By village code, that its parcels were moved or are in doubt, batch after batch; the rest are left out."""
    said: dict[str, str] = {}
    for _, shift in shifts[noteworthy(shifts)].sort_values("shift_key", kind="stable").iterrows():
        words = f"{batch_name(shift)}{shift_text(shift)}"
        said[shift["village_code"]] = "；".join(filter(None, (said.get(shift["village_code"]), words)))
    return said


def corrections(shifts: pd.DataFrame) -> dict[str, str]:
    """By key of a shift that was applied, what a card of a parcel says of it: ``按 1.8 m 偏东南偏东改正``."""
    said = {}
    for _, shift in shifts[shifts["accepted"]].iterrows():
        way, amount = _way_and_amount(shift)
        said[str(shift["shift_key"])] = f"按 {amount} {way}改正"
    return said


def _way_and_amount(shift: "pd.Series[Any]") -> tuple[str, str]:
    if pd.isna(shift["distance_m"]):
        return "", ""
    if shift["distance_m"] < LEAST_M / 2 and shift["rotation_deg"]:
        return "旋转", f"{abs(shift['rotation_deg']):.3f}°"
    return f"偏{shift['direction']}", f"{shift['distance_m']:.1f} m"
