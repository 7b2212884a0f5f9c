"""Codes and their parts.

Issuer and group: county 6 + township 3 + village 3 + group 2 = 14 digits
(GB/T 35958-2018). Ownership unit of the survey: the same 12 + group 4 +
branch 3 = 19 digits (TD/T 1057-2020). Piece: ``{group14}-{serial4}``, printed
``{group14}-{W|X|D}-{serial4}``.
"""

import re
from collections.abc import Mapping
from typing import Final

import pandas as pd

from geo.errors import CodeError

CLASS_LETTERS: Final = {"UNCONFIRMED": "W", "NEWLY_ADDED": "X", "UNDETERMINED": "D"}
LAST_SERIAL: Final = 9999

_PIECE_CODE: Final = re.compile(r"([0-9]{14})-([WXD])-([0-9]{4})(?:-[0-9]+)*")


def county_code(codes: pd.Series) -> pd.Series:
    """First 6 digits of each code."""
    return codes.str[:6]


def township_code(codes: pd.Series) -> pd.Series:
    """First 9 digits of each code."""
    return codes.str[:9]


def village_code(codes: pd.Series) -> pd.Series:
    """First 12 digits of each code."""
    return codes.str[:12]


def lookup(codes: pd.Series, table: Mapping[str, str], default: str = "") -> pd.Series:
    """What ``table`` says of each code, ``default`` where it says nothing; on the index of ``codes``, always str."""
    return pd.Series([table.get(code, default) for code in codes], index=codes.index, dtype="str")


def listed_names(codes: str, names: Mapping[str, str], *, within: str = "") -> str:
    """Names of codes that stand with ``;`` between, what all begin with (``within``) left out; else the code."""
    said = [names.get(code) or code for code in codes.split(";") if code]
    return "、".join(name.removeprefix(within) or name for name in said)


def is_digits(codes: pd.Series, length: int) -> pd.Series:
    """Whether each code is just ``length`` digits; an empty one is not."""
    return codes.str.fullmatch(rf"[0-9]{{{length}}}").fillna(value=False).astype(bool)


def piece_key(group_code: str, serial: int) -> str:
    """Key of a piece.

    Raises
    ------
    CodeError
        If the group is not 14 digits or the serial not within 1..9999.
    """
    if not re.fullmatch(r"[0-9]{14}", group_code):
        raise CodeError(f"group code {group_code!r} is not 14 digits")
    if not 1 <= serial <= LAST_SERIAL:
        raise CodeError(f"serial {serial} of group {group_code} is not within 1..{LAST_SERIAL}")
    return f"{group_code}-{serial:04d}"


def piece_code(group_code: str, piece_class: str, serial: int) -> str:
    """Printed code of a piece, with the letter of its class."""
    key = piece_key(group_code, serial)
    return f"{key[:14]}-{CLASS_LETTERS[piece_class]}-{key[15:]}"


def key_of(code: str) -> str:
    """Key of the piece a printed code names: the class letter is left out.

    Raises
    ------
    CodeError
        If it is no piece code.
    """
    match = _PIECE_CODE.fullmatch(code)
    if match is None:
        raise CodeError(f"{code!r} is not a piece code such as 14072510020201-W-0001")
    return f"{match[1]}-{match[3]}{code[match.end(3) :]}"
