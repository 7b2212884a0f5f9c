"""The table of shifts as a file: what was found goes out, what someone decided comes back.

The columns are those of layer ``shifts`` under their Chinese titles. A row says
of one village, or one batch of a village, whether it is moved (采用: 是, 否 or
empty for as found) and by how much; without numbers, what is found is accepted.
"""

import csv
import os
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from geo.atomic import whole_file
from geo.codes import is_digits
from geo.errors import InputError, MissingColumnError
from geo.exchange.control_file import decoded
from geo.movement import GivenShift, Movement
from geo.schema import column_names, titles
from geo.shifts import confidence_names, direction
from geo.standards import code_list

_YES: Final = {"是", "采用", "1", "true", "yes", "y"}
_NO: Final = {"否", "不采用", "不移动", "0", "false", "no", "n"}
_VILLAGE_DIGITS: Final = 12
# No two maps of one village lie this far apart: a coordinate stands in the wrong column.
_FAR_M: Final = 1_000.0
_TURNED_DEG: Final = 5.0
_GROWN_PPM: Final = 5_000.0
_ROUNDED_M: Final = 0.02  # a table saved by a spreadsheet may have its numbers cut to centimetres
_SHORT_M: Final = 0.1


def write_shifts(
    shifts: pd.DataFrame, path: str | os.PathLike[str], *, decided: Iterable[GivenShift] = ()
) -> None:
    """Write layer ``shifts`` as CSV (UTF-8 with mark, for Excel); what is undecided stays empty.

    Parameters
    ----------
    shifts : DataFrame
        Layer ``shifts``.
    path : path
    decided : iterable of GivenShift
        Decisions that were made already; one not to move a village is written down again.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    table = shifts[column_names("shifts")].copy()
    decided = tuple(decided)
    refused = {shift.shift_key for shift in decided if shift.accepted is False}
    open_ = {shift.shift_key for shift in decided if shift.accepted is None}
    by_village = table["village_code"].isin(refused) & ~table["shift_key"].isin(open_)
    said_no = table["shift_key"].isin(refused) | by_village
    table["accepted"] = np.select([table["accepted"], said_no], ["是", "否"], "")
    table["confidence"] = confidence_names(shifts)
    table["model"] = table["model"].map(code_list("shift_model"))
    for name in ("village_name", "batch", "reason"):  # Excel would run a cell that begins so
        table[name] = table[name].str.replace(r"^(?=[=+\-@])", "'", regex=True)
    for name in ("shift_key", "village_code"):
        # After a tab Excel takes digits for text; else it saves 140725101200 as 1.40725E+11.
        table[name] = "\t" + table[name].astype("str")
    text = table.rename(columns=titles("shifts")).to_csv(index=False, lineterminator="\r\n")
    with whole_file(path) as scratch:
        scratch.write_text("\ufeff" + text, encoding="utf-8", newline="")


def read_shifts(path: str | os.PathLike[str]) -> tuple[GivenShift, ...]:
    """Decisions of a file of shifts, in order of key; rows in which nothing is decided are left out.

    But a batch that is listed beside its decided village, itself undecided, comes as such:
    what was decided on the village is not for it.

    Parameters
    ----------
    path : path
        CSV in UTF-8 or GBK with the columns 偏移号 (or 村代码 and 批次) and 采用, and where a movement is
        given 东移改正, 北移改正, and with a rotation or a scale 旋转改正, 缩放改正, 原点东坐标, 原点北坐标.
        English column names are read too.

    Raises
    ------
    InputError
        If the file cannot be read, or a row cannot be understood, or says by how much
        without saying whether; the message names it.
    MissingColumnError
        If a column is missing that the work cannot do without.
    """
    file = Path(path)
    reader = csv.DictReader(StringIO(decoded(file), newline=""))
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{file.name} 第 {reader.line_num + 1} 行起不是 CSV 表格；请另存为 CSV") from error
    names = {title: name for name, title in titles("shifts").items()}
    table = [
        {names.get((key or "").strip(), (key or "").strip()): (value or "") for key, value in row.items()}
        for row in (_flat(row) for _, row in rows)
    ]
    present = set(table[0]) if table else set()
    if not table or not ({"shift_key", "village_code"} & present) or "accepted" not in present:
        raise MissingColumnError(
            f"{file.name} 应有“偏移号”（或“村代码”）和“采用”两列和至少一行；现有：{'、'.join(sorted(present)) or '无'}"
        )
    out: dict[str, GivenShift] = {}
    undecided: set[str] = set()
    for (number, _), row in zip(rows, table, strict=True):
        where = f"{file.name} 第 {number} 行"
        shift = _decision(row, where)
        if shift is None:
            if key := _key(row):
                undecided.add(key)
            continue
        if shift.shift_key in out:
            raise InputError(f"{where}：{shift.shift_key} 前面已经有一行；请只留一行")
        out[shift.shift_key] = shift
    open_ = {key for key in undecided - set(out) if "/" in key and key.partition("/")[0] in out}
    out |= {key: GivenShift(shift_key=key, accepted=None) for key in open_}
    return tuple(out[key] for key in sorted(out))


def _flat(row: Mapping[str | None, object]) -> dict[str, str]:
    """Cells of a row as text; cells beyond the header are no column."""
    return {key: str(value or "").strip() for key, value in row.items() if key is not None}


def _decision(row: Mapping[str, str], where: str) -> GivenShift | None:
    key = _key(row)
    if not any(row.values()):
        return None
    village = pd.Series([key.partition("/")[0]], dtype="str")
    if not is_digits(village, _VILLAGE_DIGITS).item():
        raise InputError(f"{where}：“{key}”不是 12 位村代码（或 村代码/批次）；代码列请存为文本")
    said = row["accepted"].lower()
    if said not in _YES | _NO | {""}:
        raise InputError(f"{where}：“采用”应为 是、否或留空，现为“{row['accepted']}”")
    if not said:
        _require_as_found(row, where)
        return None
    return GivenShift(
        shift_key=key, accepted=said in _YES, movement=_movement(row, where) if said in _YES else None
    )


def _require_as_found(row: Mapping[str, str], where: str) -> None:
    """Numbers someone put into a row of which nothing is decided would be lost without a word."""
    move = _movement(row, where)
    if move is None:
        return
    shown = titles("shifts")
    found = _number(row.get("distance_m", ""), f"{where}：“{shown['distance_m']}”")
    size = float(np.hypot(move.dx_m, move.dy_m))
    kind = "similarity" if move.scale != 1 else "rigid" if move.rotation_rad else "translation"
    kinds = {"", kind, code_list("shift_model")[kind]}
    # The table says of the movement it found how far, which way and of what kind it is. Ways are told
    # apart in sixteenths, and those of the shortest by rounding alone.
    ways = {"", *(direction(*_turned(-move.dx_m, -move.dy_m, degrees)) for degrees in (-5.0, 0.0, 5.0))}
    same_way = size < _SHORT_M or row.get("direction", "") in ways
    if found is None or abs(found - size) > _ROUNDED_M or not same_way or row.get("model", "") not in kinds:
        raise InputError(
            f"{where}：填有改正数（东移 {move.dx_m:g} m，北移 {move.dy_m:g} m），但“采用”留空；"
            "要按此改正请填 是，不移动请填 否，按程序所测请清空改正数"
        )


def _turned(east: float, north: float, degrees: float) -> tuple[float, float]:
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return float(cos * east - sin * north), float(sin * east + cos * north)


def _key(row: Mapping[str, str]) -> str:
    return row.get("shift_key", "") or "/".join(
        part for part in (row.get("village_code", ""), row.get("batch", "").lstrip("'")) if part
    )


def _movement(row: Mapping[str, str], where: str) -> Movement | None:
    """Movement of a row; None where it gives none."""
    shown = titles("shifts")
    value = {
        name: _number(row.get(name, ""), f"{where}：“{shown[name]}”")
        for name in ("dx_m", "dy_m", "rotation_deg", "scale_ppm", "origin_x_m", "origin_y_m")
    }
    east, north = value["dx_m"], value["dy_m"]
    if east is None and north is None:
        return None
    if east is None or north is None:
        raise InputError(f"{where}：“东移改正”和“北移改正”应同时给出")
    turn, growth = value["rotation_deg"] or 0.0, value["scale_ppm"] or 0.0
    if max(abs(east), abs(north)) > _FAR_M or abs(turn) > _TURNED_DEG or abs(growth) > _GROWN_PPM:
        raise InputError(
            f"{where}：改正数过大（{east:g}, {north:g} m，{turn:g}°，{growth:g} ppm）；请核对列与单位"
        )
    x, y = value["origin_x_m"], value["origin_y_m"]
    if (turn or growth) and (x is None or y is None):
        raise InputError(f"{where}：有旋转或缩放时，“原点东坐标”和“原点北坐标”必须给出")
    return Movement(
        dx_m=east,
        dy_m=north,
        rotation_rad=float(np.deg2rad(turn)),
        scale=1 + growth / 1e6,
        origin_x=x or 0.0,
        origin_y=y or 0.0,
    )


def _number(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"{where}应为数字，现为“{text}”")
    return value
