"""A page of paper as a value: what stands where, in millimetres, before any file is drawn.

The origin is the lower left corner of the paper, x to the right, y upwards.
What composes a page never opens a file and what draws it never asks what a
piece is, so each is tested without the other.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Colour = tuple[float, float, float]  # red, green, blue in 0..1
Anchor = Literal["start", "middle", "end"]

PAPERS: Final = {"A4": (297.0, 210.0), "A3": (420.0, 297.0), "A1": (841.0, 594.0), "A0": (1189.0, 841.0)}
# The largest map each paper takes beside its margin texts, mm: no frame may be wider or higher.
MAP_WINDOWS: Final = {"A4": (150.0, 140.0), "A3": (250.0, 220.0), "A1": (580.0, 450.0), "A0": (900.0, 680.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a line or an area looks; without stroke and fill it is not seen."""

    stroke: Colour | None = None
    width_mm: float = 0.1
    dash_mm: tuple[float, ...] = ()
    fill: Colour | None = None
    opacity: float = 1.0  # of the fill


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shapes:
    """Lines or areas of one style; an area's rings are filled even-odd, so holes stay open."""

    layer: str
    rings: tuple[Floats, ...]  # each n x 2, mm; a closed ring need not repeat its first point
    style: Style
    closed: bool = True
    clip: Floats | None = None  # n x 2, mm: nothing is drawn outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One line of text, by its anchor on the baseline."""

    layer: str
    text: str
    x_mm: float
    y_mm: float
    size_pt: float
    anchor: Anchor = "start"
    angle_deg: float = 0.0  # counter-clockwise
    colour: Colour = (0.0, 0.0, 0.0)
    halo_mm: float = 0.0  # width of the white edge
    bold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Photo:
    """A JPEG image, passed through as it is."""

    layer: str
    jpeg: bytes
    corners_mm: Floats  # 3 x 2: where its upper left, upper right and lower left corners lie
    clip: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Modules:
    """A two-dimensional bar code."""

    layer: str
    dark: npt.NDArray[np.bool_]  # rows from the top
    x_mm: float  # lower left corner
    y_mm: float
    size_mm: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Registration:
    """Where on the earth the map on the page lies."""

    epsg: int
    frame_mm: Floats  # 4 x 2: corners of the map, from the lower left, clockwise
    frame_map: Floats  # 4 x 2: the same corners, easting and northing
    frame_lonlat: Floats  # 4 x 2: the same, degrees


Item = Shapes | Text | Photo | Modules


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Page:
    """One page, items in drawing order."""

    width_mm: float
    height_mm: float
    title: str
    items: tuple[Item, ...] = ()
    registration: Registration | None = None
    layers: tuple[str, ...] = field(default=())  # names a reader may switch, in order; others are always on
