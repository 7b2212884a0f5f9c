"""Codes and names of grids.

A grid's code is its village's 12 digits and a serial of 3; a micro-grid's is
its grid's 15 digits and a serial of 2. New grids are numbered as a page is
read: in rows from north to south, in each row from west to east. A code that
was ever issued is not issued again.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from geo.errors import CodeError, CodesExhaustedError
from geo.grids.kernel import Ints

SERIAL_DIGITS: Final = 3  # of a grid, after the 12 digits of its village
MICRO_DIGITS: Final = 2  # of a micro-grid, after the 15 digits of its grid

_PARENT: Final = {SERIAL_DIGITS: 12, MICRO_DIGITS: 15}
_PARENT_TITLE: Final = {SERIAL_DIGITS: "村代码", MICRO_DIGITS: "网格编码"}
_DECIMALS: Final = 3  # of a metre: what differs by less is one place


def grid_codes(
    centres: npt.ArrayLike, parent: str, issued: Iterable[str], *, digits: int = SERIAL_DIGITS
) -> list[str]:
    """Codes of new grids, numbered from where the earlier ones ended.

    Parameters
    ----------
    centres : n x 2, m
        East and north of each grid's centre. Of two at one place the earlier comes first.
    parent : str
        Code of the village (12 digits), or of the grid (15) that micro-grids lie in.
    issued : iterable of str
        Codes ever given out; those of other parents do not count, and a
        micro-grid's code counts as its grid's too.
    digits : 3 or 2
        Of the serial: a grid's, or a micro-grid's.

    Returns
    -------
    list of str, n
        In the order of ``centres``. Serials follow on the highest ever issued, in
        the order of `reading_order`; when they reach 999 (99), those that were
        never issued are taken from the lowest.

    Raises
    ------
    CodeError
        If ``parent`` is not 12 (15) digits.
    CodesExhaustedError
        If fewer serials are left than there are new grids.
    """
    length = _PARENT[digits]
    if not re.fullmatch(rf"[0-9]{{{length}}}", parent):
        raise CodeError(f"{_PARENT_TITLE[digits]} {parent!r} 不是 {length} 位数字，无法给网格编号")
    places = _places(centres)
    wanted, last = len(places), 10**digits - 1
    gone = {int(code[length : length + digits]) for code in issued if _is_child(code, parent, digits)}
    start = max(gone, default=0) + 1
    free = [*range(start, last + 1), *(serial for serial in range(1, start) if serial not in gone)]
    if wanted > len(free):
        raise CodesExhaustedError(
            f"{parent} 下已发过 {len(gone)} 个编号，只剩 {len(free)} 个，不够 {wanted} 个新网格用（最大 {last}）"
        )
    codes = [""] * wanted
    for serial, nth in zip(free, reading_order(places).tolist(), strict=False):
        codes[nth] = f"{parent}{serial:0{digits}d}"
    return codes


def reading_order(centres: npt.ArrayLike) -> Ints:
    """Positions of places in the order a page is read.

    The n places are laid in as many rows as fits their spread,
    round(√(n x height / width)) and at least one. From north to south each row
    takes its share, rows being equally long but the first ones one longer;
    within a row places run from west to east.

    Parameters
    ----------
    centres : n x 2, m
        East and north. Coordinates count to the millimetre.
    """
    xy = _places(centres)
    n = len(xy)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    width, height = (float(side) for side in np.ptp(xy, axis=0))
    rows = n if width == 0 else min(n, max(1, round((n * height / width) ** 0.5)))
    # lexsort's last key is the first looked at; stable, so equal places stay in their order
    southwards = np.lexsort((xy[:, 0], -xy[:, 1]))
    return np.concatenate(
        [row[np.lexsort((-xy[row, 1], xy[row, 0]))] for row in np.array_split(southwards, rows)]
    )


def grid_names(parent_name: str, codes: Sequence[str]) -> list[str]:
    """Name of each grid by the serial in its code: ``上庄村第3网格``; of a micro-grid ``…第3微网格``."""
    length = _PARENT[SERIAL_DIGITS] + SERIAL_DIGITS
    return [
        f"{parent_name}第{int(code[length:])}微网格"
        if len(code) > length
        else f"{parent_name}第{int(code[_PARENT[SERIAL_DIGITS] :])}网格"
        for code in codes
    ]


def code_fault(code: str, *, micro: bool = False) -> str:
    """What is wrong with the form of a grid's code, in words; empty if nothing is."""
    length = _PARENT[MICRO_DIGITS] + MICRO_DIGITS if micro else _PARENT[SERIAL_DIGITS] + SERIAL_DIGITS
    built = "网格编码 15 位加 2 位序号" if micro else "村代码 12 位加 3 位序号"
    if not code:
        return f"没有编码（应为{built}）"
    if not re.fullmatch(rf"[0-9]{{{length}}}", code):
        return f"编码 {code} 不是 {length} 位数字（{built}）"
    if int(code[-(MICRO_DIGITS if micro else SERIAL_DIGITS) :]) == 0:
        return f"编码 {code} 的序号为零，应从 1 起"
    return ""


def _is_child(code: str, parent: str, digits: int) -> bool:
    return re.fullmatch(rf"{parent}[0-9]{{{digits}}}(?:[0-9]{{{MICRO_DIGITS}}})?", code) is not None


def _places(centres: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.round(np.asarray(centres, dtype=np.float64).reshape(-1, 2), _DECIMALS)
