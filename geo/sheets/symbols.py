"""How each kind of land is drawn: colours of the county's map, hatching for grey print."""

from typing import Final

from geo.sheets.page import Colour, Style

# Angle in degrees, distance between strokes in mm, dashes in mm.
Hatch = tuple[float, float, tuple[float, ...]]

OVER_PHOTO: Final = 0.3  # opacity of fills on an orthophoto
CASING_MM: Final = 0.4  # white on both sides of a line there, so that it stands out of dark fields
WHITE: Final[Colour] = (1.0, 1.0, 1.0)

_INK: Final[dict[str, Colour]] = {
    "UNCONFIRMED": (0.62, 0.20, 0.02),
    "NEWLY_ADDED": (0.03, 0.25, 0.50),
    "UNDETERMINED": (0.37, 0.16, 0.52),
}
_TINT: Final[dict[str, Colour]] = {
    "UNCONFIRMED": (1.0, 0.86, 0.76),
    "NEWLY_ADDED": (0.80, 0.89, 0.97),
    "UNDETERMINED": (0.91, 0.85, 0.95),
}

PIECES: Final = {
    (name, shape): style
    for name in _INK
    for shape, style in {
        "BLOCK": Style(stroke=_INK[name], width_mm=0.35, fill=_TINT[name]),
        "STRIP": Style(stroke=_INK[name], width_mm=0.12, fill=_TINT[name]),
        "SLIVER": Style(stroke=_INK[name], width_mm=0.08),
    }.items()
}

# Strokes up to the right, strokes down to the right, both: a copy in grey keeps them apart.
HATCHES: Final[dict[str, tuple[Hatch, ...]]] = {
    "UNCONFIRMED": ((45.0, 2.2, ()),),
    "NEWLY_ADDED": ((135.0, 2.2, (1.6, 0.8)),),
    "UNDETERMINED": ((0.0, 2.6, ()), (90.0, 2.6, ())),
}

LINES: Final = {
    "parcels": Style(stroke=(0.72, 0.72, 0.72), width_mm=0.1, fill=(0.955, 0.955, 0.955)),
    "parcels_over": Style(stroke=(0.9, 0.9, 0.9), width_mm=0.12),
    "patches": Style(stroke=(0.35, 0.5, 0.25), width_mm=0.12, dash_mm=(2.0, 0.8)),
    "others": Style(stroke=(0.55, 0.55, 0.55), width_mm=0.15, dash_mm=(1.0, 0.6)),
    "villages": Style(stroke=(0.1, 0.1, 0.1), width_mm=0.3, dash_mm=(4.0, 1.2, 0.3, 1.2)),
    "crosses": Style(stroke=(0.2, 0.2, 0.2), width_mm=0.1),
}

NAMES: Final = {"UNCONFIRMED": "W 未确权地", "NEWLY_ADDED": "X 新增地", "UNDETERMINED": "D 待定"}
