"""Characters to glyphs: which font has one, how wide it is, and the small font that goes into a file.

Chinese needs no shaping: one character is one glyph, its place is the sum of
the widths before it. Noto Sans SC is installed beside this package, so a sheet
looks the same, to the byte, on every machine; Noto Serif SC lends what it
lacks, and files named in ``TAOTU_FONTS`` lend what neither has.

Source: ISO 32000-1:2008, 9.7 (composite fonts), 9.9 (embedded font programs).
"""

import gc
import os
import struct
import unicodedata
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import uharfbuzz as hb
from fontTools.pens.basePen import BasePen
from fontTools.ttLib import TTFont, TTLibError

from geo.errors import MissingToolError

MM_PER_PT: Final = 25.4 / 72
ASCENT: Final = 0.88  # of the size: a Chinese character stands between these above and below its baseline
DESCENT: Final = 0.12
BOLD: Final = 0.03  # width of the stroke that makes a glyph bold, of the size
ABSENT: Final = "〓"  # printers' sign for a character that no font has

_KEPT: Final = ("CFF ", "glyf", "loca", "head", "hhea", "hmtx", "maxp", "cvt ", "fpgm", "prep")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """One font, as far as a document needs to know it."""

    name: str  # as the font calls itself
    cff: bool  # whether its outlines are a CFF table, else TrueType
    font: hb.Font
    per_em: int
    cids: "array[int] | None"  # code of each glyph in a document; None if it is the glyph's number
    box: tuple[int, int, int, int]  # of all glyphs, thousandths of the size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Glyph:
    """One character in the font that has it."""

    character: str  # as it is read back: `ABSENT` in place of one that no font has
    face: int  # place of the font in the chain
    index: int  # number in the font
    cid: int  # its code in a document
    code: str  # the same in hexadecimal
    width: float  # thousandths of the size


@cache
def files() -> tuple[Path, ...]:
    """Font files in the order they are asked: sans, serif, then those of ``TAOTU_FONTS``.

    Raises
    ------
    MissingToolError
        If the font package is absent.
    """
    try:
        from pylopdf_fonts_zh_cn import sans_path, serif_path  # noqa: PLC0415 - told in the officer's words if absent
    except ImportError as error:
        raise MissingToolError("缺少中文字体包 pylopdf-fonts-zh-cn，无法出图；请随本软件一并安装") from error
    more = [Path(name) for name in os.environ.get("TAOTU_FONTS", "").split(os.pathsep) if name]
    return sans_path(), serif_path(), *more


@cache
def face(number: int) -> Face:
    """The font at this place of `files`; opened when first asked for.

    Raises
    ------
    MissingToolError
        If the file cannot be read, or is of a kind that cannot be embedded.
    """
    path = files()[number]
    try:
        with path.open("rb") as file, TTFont(file, fontNumber=0, lazy=True) as tables:
            head = tables["head"]
            box = (head.xMin, head.yMin, head.xMax, head.yMax)
            per_em = int(head.unitsPerEm)
            name = str(tables["name"].getDebugName(6) or path.stem)
            cids, cff = None, "CFF " in tables
            if cff:
                top = tables["CFF "].cff.topDictIndex[0]
                if hasattr(top, "ROS"):
                    cids = array("H", [0, *(int(glyph.removeprefix("cid")) for glyph in top.charset[1:])])
            elif "glyf" not in tables:
                raise MissingToolError(
                    f"字体 {path} 既非 TrueType 也非 CFF 轮廓，不能嵌入 PDF；请换一个字体文件"
                )
    except (OSError, TTLibError) as error:
        raise MissingToolError(f"字体文件 {path} 打不开（{error}）；请检查 TAOTU_FONTS 或重新安装") from error
    gc.collect()  # tables refer to their font in circles, and are larger than all we keep
    left, low, right, high = (round(value * 1000 / per_em) for value in box)
    return Face(
        name="".join(c for c in name if c.isalnum() or c == "-"),
        cff=cff,
        font=hb.Font(hb.Face(hb.Blob.from_file_path(str(path)))),
        per_em=per_em,
        cids=cids,
        box=(left, low, right, high),
    )


@cache
def glyph(character: str) -> Glyph | None:
    """The character's glyph in the first font that has it, else that of `ABSENT`; None if it shows nothing."""
    if found := _first(character):
        return found
    if character.isspace():
        return _first(" ")
    # Joiners, marks of direction, controls and variant selectors have no shape of their own.
    if unicodedata.category(character) in {"Cc", "Cf"} or unicodedata.name(character, "").startswith(
        "VARIATION"
    ):
        return None
    return _first(ABSENT)


def _first(character: str) -> Glyph | None:
    for number in range(len(files())):
        found = face(number)
        if index := found.font.get_nominal_glyph(ord(character)):
            cid = index if found.cids is None else found.cids[index]
            return Glyph(
                character=character,
                face=number,
                index=index,
                cid=cid,
                code=f"{cid:04X}",
                width=found.font.get_glyph_h_advance(index) * 1000 / found.per_em,
            )
    return None


def glyphs(text: str) -> list[Glyph]:
    """Glyphs of one line of text, in order."""
    return [found for found in map(glyph, text) if found is not None]


def missing(texts: Iterable[str]) -> dict[str, list[str]]:
    """Characters that no font has, each with the texts it stands in.

    Parameters
    ----------
    texts : iterable of str
        Whatever is going to be printed.

    Returns
    -------
    dict of str to list of str
        Sorted by character, texts sorted and each once; empty if all can be printed.
    """
    found: dict[str, set[str]] = {}
    for text in texts:
        for character in set(text) - {ABSENT}:
            if (drawn := glyph(character)) is not None and drawn.character == ABSENT:
                found.setdefault(character, set()).add(text)
    return {character: sorted(found[character]) for character in sorted(found)}


def measure(text: str, size_pt: float, *, bold: bool = False) -> float:
    """Width of one line of text, as it will be drawn.

    Parameters
    ----------
    text : str
        One line.
    size_pt : float
        Size of the type, points of 1/72 inch.
    bold : bool
        Bold type is a stroke wider.

    Returns
    -------
    float, mm
        Sum of the widths of its characters; 0 for an empty text.
    """
    width = sum([found.width for found in glyphs(text)]) / 1000
    return (width + (BOLD if bold and text else 0)) * size_pt * MM_PER_PT


@lru_cache(maxsize=2)  # pages of one unit made anew; no other document has the same characters
def program(number: int, glyphs: frozenset[int]) -> bytes:
    """Font program with these glyphs of a font and no others; the glyphs keep their codes.

    Parameters
    ----------
    number : int
        Place of the font in the chain.
    glyphs : frozenset of int
        Glyph numbers.

    Returns
    -------
    bytes
        A bare CFF table, or a TrueType file.
    """
    whole = face(number)
    wanted = hb.SubsetInput()
    wanted.flags = (
        hb.SubsetFlags.NO_HINTING | hb.SubsetFlags.NO_LAYOUT_CLOSURE | hb.SubsetFlags.DESUBROUTINIZE
    )
    if whole.cids is None:
        wanted.flags |= hb.SubsetFlags.RETAIN_GIDS
    wanted.glyph_set.update(sorted(glyphs))
    wanted.drop_table_tag_set.update(_tag(name) for name in whole.font.face.table_tags if name not in _KEPT)
    small = hb.subset(whole.font.face, wanted)
    return bytes(small.reference_table("CFF ").data if whole.cff else small.blob.data)


def _tag(name: str) -> int:
    return int(struct.unpack(">I", name.encode("ascii"))[0])


class _Outline(BasePen):  # type: ignore[misc] # fonttools has no types
    """Writes an outline as path operators of a PDF content stream, in units of the font."""

    def __init__(self) -> None:
        super().__init__(None)
        self.path: list[str] = []

    def _moveTo(self, pt: Any) -> None:  # noqa: N802, ANN401 - fonttools' name and its pair of numbers
        self.path.append(f"{pt[0]:g} {pt[1]:g} m")

    def _lineTo(self, pt: Any) -> None:  # noqa: N802, ANN401
        self.path.append(f"{pt[0]:g} {pt[1]:g} l")

    def _curveToOne(self, pt1: Any, pt2: Any, pt3: Any) -> None:  # noqa: N802, ANN401
        self.path.append(f"{pt1[0]:g} {pt1[1]:g} {pt2[0]:g} {pt2[1]:g} {pt3[0]:g} {pt3[1]:g} c")

    def _closePath(self) -> None:  # noqa: N802
        self.path.append("h")


@cache
def outline(number: int, index: int) -> bytes:
    """Path operators of one glyph's outline, in the font's units, without painting it; empty for a space."""
    whole = face(number)
    pen = _Outline()
    whole.font.draw_glyph_with_pen(index, pen)
    return "\n".join(pen.path).encode("ascii")
