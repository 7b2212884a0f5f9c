"""Items of a page to the operators of a PDF content stream.

Lengths become points here, written to a thousandth (0.00035 mm) and placed
without any matrix over the page, so that scale is what the numbers say.

Source: ISO 32000-1:2008, 8.4 (graphics state), 8.5 (paths), 9.4 (text), 14.6 (marked content).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt

from geo.errors import GeoError
from geo.sheets.fonts import BOLD, MM_PER_PT, Glyph, glyphs, outline
from geo.sheets.page import Colour, Floats, Item, Modules, Page, Photo, Shapes, Style, Text

PT_PER_MM: Final = 72 / 25.4
_SHARE: Final = {"start": 0.0, "middle": 0.5, "end": 1.0}  # of its width that stands before a text's anchor


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What the operators call by name: a page's resources."""

    glyphs: set[Glyph] = field(default_factory=set)  # /F0, /F1: fonts of the chain
    halos: set[Glyph] = field(default_factory=set)  # /G0x12
    opacities: set[int] = field(default_factory=set)  # /A500: thousandths
    photos: set[int] = field(default_factory=set)  # /P0
    layers: set[int] = field(default_factory=set)  # /L0


def content(page: Page, layers: list[str], photos: Callable[[bytes], int]) -> tuple[bytes, Used]:
    """Operators that draw a page, and what they use.

    Parameters
    ----------
    page : Page
        Items in drawing order.
    layers : list of str
        The document's layers that can be switched: a name's place is its number.
    photos : callable
        The number of an image in the document, by its bytes.

    Returns
    -------
    operators : bytes
        Not compressed.
    used : Used
        Fonts, images and layers by the numbers in their names.

    Raises
    ------
    GeoError
        If a coordinate is not a number.
    """
    used = Used()
    out = ["0 J 0 j 3 M"]  # mitred corners, but no spikes where parcels end sharp
    for layer, group in groupby(page.items, key=lambda item: item.layer):
        switched = layer in page.layers
        if switched:
            number = layers.index(layer)
            used.layers.add(number)
            out.append(f"/OC /L{number} BDC")
        for clip, same in groupby(group, key=_clip):
            drawn = _run(same, used, photos)
            # Items of one clip share it: a thousand parcels are cut at the neat line by one path.
            out += drawn if clip is None else ["q", _path([clip.edge], closed=True), "W n", *drawn, "Q"]
        if switched:
            out.append("EMC")
    text = "\n".join(line for line in out if line)
    if "nan" in text or "inf" in text:
        raise GeoError(f"页面“{page.title}”上有坐标不是数字，无法绘制；请检查该页图形的几何")
    return text.encode("ascii"), used


@dataclass(frozen=True, slots=True, eq=False)
class _Clip:
    edge: Floats

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Clip) and (self.edge is other.edge or np.array_equal(self.edge, other.edge))

    __hash__ = None  # type: ignore[assignment]


def _clip(item: Item) -> _Clip | None:
    return _Clip(item.clip) if isinstance(item, Shapes | Photo) and item.clip is not None else None


def _style(item: Item) -> Style | None:
    return item.style if isinstance(item, Shapes) else None


def _run(items: Iterable[Item], used: Used, photos: Callable[[bytes], int]) -> list[str]:
    out: list[str] = []
    for style, same in groupby(items, key=_style):
        if style is not None:
            out += _shapes(style, same, used)
            continue
        for item in same:
            match item:
                case Text():
                    out.append(_text(item, used))
                case Photo():
                    out.append(_photo(item, used, photos))
                case Modules():
                    out.append(_modules(item))
    return out


def _rgb(colour: Colour) -> str:
    return " ".join(f"{part:.4g}" for part in colour)


@cache
def _ring_format(points: int, *, closed: bool) -> str:
    return "%.3f %.3f m\n" + "%.3f %.3f l\n" * (points - 1) + ("h" if closed else "")


def _path(rings: tuple[Floats, ...] | list[Floats], *, closed: bool) -> str:
    parts = []
    for ring in rings:
        points = np.asarray(ring, dtype=np.float64) * PT_PER_MM
        if closed and len(points) > 1 and (points[0] == points[-1]).all():
            points = points[:-1]
        if len(points):
            parts.append(_ring_format(len(points), closed=closed) % tuple(points.ravel().tolist()))
    return "\n".join(parts)


def _shapes(style: Style, run: Iterable[Item], used: Used) -> list[str]:
    """Shapes of one style, which is said once."""
    out = [_state(style)]
    for item in run:
        if isinstance(item, Shapes) and (path := _path(item.rings, closed=item.closed)):
            out += [path, _paint(style, closed=item.closed)]
    if style.opacity < 1:
        thousandths = round(style.opacity * 1000)
        used.opacities.add(thousandths)
        return [f"q /A{thousandths} gs", *out, "Q"]
    return out


def _paint(style: Style, *, closed: bool) -> str:
    filled = style.fill is not None and closed
    if style.stroke is None:
        return "f*" if filled else "n"
    return "B*" if filled else "S"


@lru_cache(maxsize=1024)
def _state(style: Style) -> str:
    words = []
    if style.fill is not None:
        words.append(f"{_rgb(style.fill)} rg")
    if style.stroke is not None:
        dash = " ".join(f"{part * PT_PER_MM:.3f}" for part in style.dash_mm)
        words.append(f"{_rgb(style.stroke)} RG {style.width_mm * PT_PER_MM:.3f} w [{dash}] 0 d")
    return " ".join(words)


def _text(item: Text, used: Used) -> str:
    line = glyphs(item.text)
    if not line:
        return ""
    used.glyphs.update(line)
    size = item.size_pt
    bold = BOLD * size if item.bold else 0.0
    turn = math.radians(item.angle_deg)
    cos, sin = math.cos(turn), math.sin(turn)
    back = (sum(found.width for found in line) / 1000 * size + bold) * _SHARE[item.anchor] - bold / 2
    x, y = item.x_mm * PT_PER_MM - back * cos, item.y_mm * PT_PER_MM - back * sin
    out = []
    if item.halo_mm > 0:
        out.append(_halo(line, item, bold, (size * cos, size * sin, -size * sin, size * cos, x, y)))
        used.halos.update(found for found in line if outline(found.face, found.index))
    colour = _rgb(item.colour)
    out.append(f"BT {colour} rg" + (f" {colour} RG {bold:.3f} w [] 0 d 2 Tr" if bold else " 0 Tr"))
    out.append(f"{cos:.6f} {sin:.6f} {-sin:.6f} {cos:.6f} {x:.3f} {y:.3f} Tm")
    for face, run in groupby(line, key=lambda found: found.face):
        out.append(f"/F{face} {size:g} Tf <{''.join([found.code for found in run])}> Tj")
    out.append("ET")
    return " ".join(out)


def halo_name(found: Glyph) -> str:
    """Name of the outline drawn under a glyph."""
    return f"/G{found.face}x{found.index}"


def _halo(line: list[Glyph], item: Text, bold: float, matrix: tuple[float, ...]) -> str:
    # Outlines, not white text: readers that gather text would find every code twice.
    width = 1000 * (2 * item.halo_mm / MM_PER_PT + bold) / item.size_pt
    out = [f"q 1 1 1 RG 1 j {width:.1f} w [] 0 d", " ".join(f"{part:.4f}" for part in matrix), "cm"]
    step = 0.0
    for found in line:
        if outline(found.face, found.index):
            if step:
                out.append(f"1 0 0 1 {step / 1000:.4f} 0 cm")
                step = 0.0
            out.append(f"{halo_name(found)} Do")
        step += found.width
    return " ".join([*out, "Q"])


def _photo(item: Photo, used: Used, photos: Callable[[bytes], int]) -> str:
    number = photos(item.jpeg)
    used.photos.add(number)
    corners = np.asarray(item.corners_mm, dtype=np.float64) * PT_PER_MM
    upper_left, upper_right, lower_left = corners
    matrix = np.concatenate([upper_right - upper_left, upper_left - lower_left, lower_left])
    return f"q {' '.join(f'{part:.4f}' for part in matrix)} cm /P{number} Do Q"


def _modules(item: Modules) -> str:
    dark = np.asarray(item.dark, dtype=bool)
    side = item.size_mm / dark.shape[1] * PT_PER_MM
    place = f"{side:.6f} 0 0 {side:.6f} {item.x_mm * PT_PER_MM:.3f} {item.y_mm * PT_PER_MM:.3f} cm"
    return f"q 0 g {place} {_runs(dark)}f Q"


def _runs(dark: npt.NDArray[np.bool_]) -> str:
    """Rectangles of dark modules side by side; all in one path, so that no seam shows between rows."""
    edges = np.diff(np.pad(dark, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, start = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]
    boxes = np.column_stack([start, len(dark) - 1 - row, end - start])
    return "%d %d %d 1 re " * len(boxes) % tuple(boxes.ravel().tolist())
