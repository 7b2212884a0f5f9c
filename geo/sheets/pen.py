"""Texts and rules of a margin: what fits its place, in the sizes of the page."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import segno

from geo.sheets.labels import MM_PER_PT, Measure
from geo.sheets.page import Anchor, Colour, Floats, Modules, Shapes, Style, Text

MARGIN: Final = "图廓整饰"
BLACK: Final[Colour] = (0.0, 0.0, 0.0)
THIN: Final = Style(stroke=BLACK, width_mm=0.12)
THICK: Final = Style(stroke=BLACK, width_mm=0.35)

_MIDDLE: Final = 0.36  # of the size: from the baseline to the middle of Chinese letters
_SMALLEST: Final = 0.45  # of the size a text may shrink to; what is longer still is cut short
_MASK: Final = 2  # choosing the best of eight takes five times as long


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """Writes texts, knowing how wide they come out."""

    measure: Measure

    def text(  # noqa: PLR0913 - as `Text`
        self,
        text: str,
        x: float,
        y: float,
        size_pt: float,
        *,
        anchor: Anchor = "start",
        width: float | None = None,
        bold: bool = False,
        halo_mm: float = 0.0,
        angle_deg: float = 0.0,
    ) -> Text:
        """A text by its baseline, shrunk into ``width`` and at last cut short with ``…``."""
        if width is not None and (wide := self.measure(text, size_pt)) > width:
            size_pt *= max(width / wide, _SMALLEST)
            while len(text) > 1 and self.measure(text, size_pt) > width:
                text = text[:-2] + "…"
        return Text(
            layer=MARGIN, text=text, x_mm=float(x), y_mm=float(y), size_pt=float(size_pt), anchor=anchor,
            angle_deg=angle_deg, halo_mm=halo_mm, bold=bold,
        )  # fmt: skip

    def cell(
        self,
        text: str,
        box: tuple[float, float, float, float],
        size_pt: float,
        *,
        anchor: Anchor = "middle",
        bold: bool = False,
    ) -> Text:
        """A text in the middle of the height of a box: left, bottom, right, top."""
        left, bottom, right, top = box
        x = {"start": left + 0.8, "middle": (left + right) / 2, "end": right - 0.8}[anchor]
        y = (bottom + top) / 2 - _MIDDLE * size_pt * MM_PER_PT
        return self.text(text, x, y, size_pt, anchor=anchor, width=right - left - 0.8, bold=bold)


def strokes(lines: npt.ArrayLike, style: Style) -> Shapes:
    """Straight lines, n x 2 x 2."""
    ends = np.asarray(lines, dtype=np.float64).reshape(-1, 2, 2)
    return Shapes(layer=MARGIN, rings=tuple(ends), style=style, closed=False)


def frame_of(box: tuple[float, float, float, float], style: Style) -> Shapes:
    """A rectangle: left, bottom, right, top."""
    return Shapes(layer=MARGIN, rings=(rectangle(box),), style=style)


def rectangle(box: tuple[float, float, float, float]) -> Floats:
    """Corners of left, bottom, right, top."""
    left, bottom, right, top = box
    return np.array([[left, bottom], [left, top], [right, top], [right, bottom]])


def bar_code(payload: str, x: float, y: float, size: float) -> Modules:
    """A QR code, with its blank edge inside ``size``."""
    dark = _modules(payload)
    edge = size * 4 / (len(dark) + 8)  # four modules on each side
    return Modules(layer=MARGIN, dark=dark, x_mm=x + edge, y_mm=y + edge, size_mm=size - 2 * edge)


@cache
def _modules(payload: str) -> npt.NDArray[np.bool_]:
    code = segno.make_qr(payload, error="m", mask=_MASK, boost_error=False)
    return np.array([list(row) for row in code.matrix], dtype=bool)
